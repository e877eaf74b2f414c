//! How a source writes times.

use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::super::json::Json;
use super::super::times;
use crate::event::time;

/// Longest pattern.
const PATTERN_BYTES_MAX: usize = 100;

/// Names of the formats that are no pattern.
pub const NAMES: [&str; 4] = ["any", "rfc3339", "epoch_s", "epoch_ms"];

/// How times are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// In any spelling that leaves no doubt; without a zone: UTC.
    #[default]
    Any,
    /// RFC 3339, with an offset.
    Rfc3339,
    /// Seconds since 1970, whole or not.
    Seconds,
    /// Milliseconds since 1970.
    Millis,
    Pattern(Pattern),
}

/// A strftime pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    /// Where wall clocks show the times that state no offset.
    zone: TimeZone,
    /// A date stands for the midnight at its end.
    ends: bool,
}

impl Clock {
    /// One that is not a pattern.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "any" => Some(Self::Any),
            "rfc3339" => Some(Self::Rfc3339),
            "epoch_s" => Some(Self::Seconds),
            "epoch_ms" => Some(Self::Millis),
            _ => None,
        }
    }

    /// Microseconds since 1970 UTC.
    pub fn micros(&self, value: &Json<'_>) -> Option<i64> {
        match (self, value) {
            (Self::Any, _) => times::micros(value),
            (Self::Rfc3339, Json::Text(text)) => text.trim().parse::<Timestamp>().ok().map(Timestamp::as_microsecond),
            (Self::Seconds, _) => scaled(value, time::SECOND),
            (Self::Millis, _) => scaled(value, time::SECOND / 1000),
            (Self::Pattern(pattern), Json::Text(text)) => pattern.micros(text.trim()).ok(),
            // A date such as 20261023 may have been taken for a number on the way.
            (Self::Pattern(pattern), Json::Integer(number)) => pattern.micros(&number.to_string()).ok(),
            _ => None,
        }
    }
}

/// A number of units that are `unit` microseconds long.
fn scaled(value: &Json<'_>, unit: i64) -> Option<i64> {
    if let Some(number) = value.integer() {
        return number.checked_mul(unit);
    }
    let number = match value {
        Json::Number(number) => *number,
        _ => value.text()?.parse::<f64>().ok()?,
    };
    let micros = (number * unit as f64).round();
    (micros.abs() < 9.0e18).then_some(micros as i64)
}

impl Pattern {
    /// A pattern, if it states a date at least.
    ///
    /// # Errors
    /// What is wrong with it, to end a sentence.
    pub fn new(text: &str, zone: TimeZone, ends: bool) -> Result<Self, String> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(format!("is longer than {PATTERN_BYTES_MAX} bytes"));
        }
        let pattern = Self { text: text.to_owned(), zone, ends: false };
        // Written and read again, a moment tells what the pattern leaves out.
        let (morning, evening) = (pattern.there_and_back(8)?, pattern.there_and_back(20)?);
        if ends && morning != evening {
            return Err("states a time of day, so \"end_of_day\" has no meaning".to_owned());
        }
        Ok(Self { ends, ..pattern })
    }

    /// What remains of a moment at this hour of an ordinary day.
    fn there_and_back(&self, hour: i8) -> Result<i64, String> {
        let day = jiff::civil::date(2026, 11, 23);
        let moment = day.at(hour, 34, 56, 0).to_zoned(self.zone.clone()).map_err(|error| error.to_string())?;
        let text = strtime::format(&self.text, &moment).map_err(|error| format!("cannot be used: {error}"))?;
        let micros = self.micros(&text).map_err(|why| format!("cannot be read: {why}"))?;
        let read = Timestamp::from_microsecond(micros).map_err(|error| error.to_string())?.to_zoned(self.zone.clone());
        if read.date() == day { Ok(micros) } else { Err("does not state year, month and day".to_owned()) }
    }

    fn micros(&self, text: &str) -> Result<i64, String> {
        let read = || -> Result<Zoned, jiff::Error> {
            let parts = strtime::parse(&self.text, text)?;
            if parts.offset().is_some() || parts.timestamp().is_some() {
                return Ok(parts.to_timestamp()?.to_zoned(self.zone.clone()));
            }
            let wall = parts.to_datetime()?;
            // Midnight may be missing or there twice where clocks are changed at night: then the first moment of the
            // day.
            let moment = wall.to_zoned(self.zone.clone())?;
            if self.ends { moment.tomorrow()?.start_of_day() } else { Ok(moment) }
        };
        read().map(|moment| moment.timestamp().as_microsecond()).map_err(|error| error.to_string())
    }
}

/// The zone of an IANA name or an offset such as `+02:00`.
pub fn zone(name: &str) -> Option<TimeZone> {
    if name.eq_ignore_ascii_case("UTC") || name == "Z" {
        return Some(TimeZone::UTC);
    }
    let parser = jiff::fmt::temporal::DateTimeParser::new();
    parser.parse_time_zone(name).ok().filter(|zone| !zone.is_unknown())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str, zone_name: &str, ends: bool) -> Clock {
        Clock::Pattern(Pattern::new(text, zone(zone_name).unwrap(), ends).unwrap())
    }

    #[track_caller]
    fn assert_reads(clock: &Clock, json: &str, expected: Option<&str>) {
        let value = Json::parse(json.as_bytes()).unwrap();
        assert_eq!(clock.micros(&value).map(time::format).as_deref(), expected, "{json}");
    }

    #[test]
    fn formats_by_name() {
        assert_reads(&Clock::Any, "\"2026-10-23 17:00:00\"", Some("2026-10-23T17:00:00Z"));
        assert_reads(&Clock::Rfc3339, "\"2026-10-23T17:00:00+02:00\"", Some("2026-10-23T15:00:00Z"));
        assert_reads(&Clock::Rfc3339, "\"2026-10-23T17:00:00\"", None);
        assert_reads(&Clock::Rfc3339, "1793534400", None);
        assert_reads(&Clock::Seconds, "1793534400", Some("2026-11-01T12:00:00Z"));
        assert_reads(&Clock::Seconds, "\"1793534400.25\"", Some("2026-11-01T12:00:00.250Z"));
        assert_reads(&Clock::Millis, "1793534400250", Some("2026-11-01T12:00:00.250Z"));
        assert_reads(&Clock::Millis, "9223372036854775807", None);
        assert_reads(&Clock::Seconds, "1e300", None);
        assert_reads(&Clock::Seconds, "[]", None);
    }

    #[test]
    fn patterns_with_zone() {
        let german = pattern("%d.%m.%Y %H:%M", "Europe/Berlin", false);
        assert_reads(&german, "\"23.10.2026 17:00\"", Some("2026-10-23T15:00:00Z"));
        assert_reads(&german, "\"23.12.2026 17:00\"", Some("2026-12-23T16:00:00Z"));
        assert_reads(&german, "\"23.13.2026 17:00\"", None);
        assert_reads(&german, "\"23.10.2026 17:00 or so\"", None);
        let american = pattern("%m/%d/%y %I:%M:%S %p", "-05:00", false);
        assert_reads(&american, "\"10/23/26 05:00:00 PM\"", Some("2026-10-23T22:00:00Z"));
        assert_reads(&pattern("%Y%m%d", "UTC", false), "20261023", Some("2026-10-23T00:00:00Z"));
        let offset = pattern("%Y-%m-%d %H:%M:%S %z", "Europe/Berlin", false);
        assert_reads(&offset, "\"2026-10-23 17:00:00 +0000\"", Some("2026-10-23T17:00:00Z"));
    }

    #[test]
    fn a_date_begins_or_ends() {
        assert_reads(&pattern("%Y-%m-%d", "Europe/Berlin", false), "\"2026-10-25\"", Some("2026-10-24T22:00:00Z"));
        // A day of 25 hours.
        assert_reads(&pattern("%Y-%m-%d", "Europe/Berlin", true), "\"2026-10-25\"", Some("2026-10-25T23:00:00Z"));
        // Midnight is skipped here.
        assert_reads(&pattern("%Y-%m-%d", "Africa/Cairo", true), "\"2026-04-23\"", Some("2026-04-23T22:00:00Z"));
    }

    #[test]
    fn what_is_no_pattern() {
        let wrong = |text: &str, ends| Pattern::new(text, TimeZone::UTC, ends).unwrap_err();
        assert!(wrong("%!", false).starts_with("cannot be used: "), "{}", wrong("%!", false));
        assert_eq!(wrong("%d %b %Y %H:%M", true), "states a time of day, so \"end_of_day\" has no meaning");
        for text in ["%H:%M", "%d.%m.", "", "%H:%M %Q"] {
            assert!(wrong(text, false).starts_with("cannot be "), "{text}");
        }
        assert!(wrong(&"%Y".repeat(100), false).starts_with("is longer"));
        assert!(zone("Europe/Berln").is_none() && zone("CEST").is_none() && zone("Europe/Berlin").is_some());
    }
}
