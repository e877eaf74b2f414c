//! Times in the zone that was asked for, always with their offset.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::event::time::SECOND;

/// Where a day begins, and what the clock on the wall says.
#[derive(Clone, Debug)]
pub struct Zone(TimeZone);

impl Zone {
    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// The zone that `named` (as in the variable TZ) says, else that of this machine; UTC where neither can be read.
    pub fn local(named: Option<&str>) -> Self {
        let by_name = |name: &str| {
            let name = name.strip_prefix(':').unwrap_or(name);
            TimeZone::get(name).or_else(|_| TimeZone::posix(name)).ok()
        };
        let zone = match named.filter(|name| !name.is_empty()) {
            Some(name) => by_name(name),
            None => {
                let file = std::fs::read("/etc/localtime").ok();
                file.and_then(|bytes| TimeZone::tzif("local", &bytes).ok())
            }
        };
        Self(zone.unwrap_or(TimeZone::UTC))
    }

    fn strftime(&self, micros: i64, format: &str) -> String {
        match Timestamp::from_microsecond(micros) {
            Ok(at) => at.to_zoned(self.0.clone()).strftime(format).to_string(),
            Err(_) => format!("{micros}us"),
        }
    }

    /// RFC 3339 with the offset; fractions only where there are some.
    pub fn format(&self, micros: i64) -> String {
        match micros.rem_euclid(SECOND) {
            0 => self.strftime(micros, "%Y-%m-%dT%H:%M:%S%:z"),
            fraction if fraction % 1000 == 0 => self.strftime(micros, "%Y-%m-%dT%H:%M:%S.%3f%:z"),
            _ => self.strftime(micros, "%Y-%m-%dT%H:%M:%S.%6f%:z"),
        }
    }

    /// Date, time to the second and offset, for people.
    pub fn moment(&self, micros: i64) -> String {
        self.strftime(micros, "%Y-%m-%d %H:%M:%S%:z")
    }

    /// The time of day to the second, with the offset.
    pub fn clock(&self, micros: i64) -> String {
        self.strftime(micros, "%H:%M:%S%:z")
    }

    /// The day, with its weekday.
    pub fn day(&self, micros: i64) -> String {
        self.strftime(micros, "%a %Y-%m-%d")
    }
}

/// A duration by its two largest units, rounded down: `12d 4h`, `3h 5m`, `0s`.
pub fn short(micros: i64) -> String {
    const UNITS: [(&str, i64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let mut rest = micros.max(0) / SECOND;
    let mut parts = Vec::new();
    for (unit, size) in UNITS {
        let count = rest / size;
        rest %= size;
        if count > 0 {
            parts.push(format!("{count}{unit}"));
        } else if !parts.is_empty() {
            break;
        }
        if parts.len() == 2 {
            break;
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

/// A duration as one number and a word: `12 days`, `1 hour`.
pub fn long(micros: i64) -> String {
    const UNITS: [(&str, i64); 4] = [("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)];
    let seconds = micros.max(0) / SECOND;
    let (word, count) = UNITS
        .iter()
        .find(|(_, size)| seconds >= *size)
        .map_or(("second", seconds), |(word, size)| (*word, seconds / size));
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_793_534_400_000_000; // 2026-11-01T12:00:00Z

    #[test]
    fn every_time_has_its_offset() {
        let berlin = Zone::local(Some("Europe/Berlin"));
        assert_eq!(Zone::utc().format(NOON), "2026-11-01T12:00:00+00:00");
        assert_eq!(berlin.format(NOON + 1), "2026-11-01T13:00:00.000001+01:00");
        assert_eq!(berlin.moment(NOON - 8 * 86_400 * SECOND), "2026-10-24 14:00:00+02:00");
        assert_eq!(Zone::local(Some("XYZ-5:30")).clock(NOON), "17:30:00+05:30");
        assert_eq!(Zone::local(Some("No/Such")).clock(NOON), "12:00:00+00:00");
    }

    #[test]
    fn days_begin_where_the_zone_says() {
        assert_eq!(Zone::local(Some("Pacific/Auckland")).day(NOON), "Mon 2026-11-02");
        assert_eq!(Zone::utc().day(NOON), "Sun 2026-11-01");
    }

    #[test]
    fn durations_in_words() {
        let cases =
            [(0, "0s", "0 seconds"), (61, "1m 1s", "1 minute"), (3_600, "1h", "1 hour"), (86_460, "1d", "1 day")];
        for (seconds, brief, words) in cases {
            assert_eq!((short(seconds * SECOND), long(seconds * SECOND)), (brief.to_owned(), words.to_owned()));
        }
        assert_eq!(short(-5), "0s");
        assert_eq!(short((12 * 86_400 + 4 * 3_600 + 59) * SECOND), "12d 4h");
    }
}
