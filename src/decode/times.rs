//! Times as providers and the tools between spell them.
//!
//! RFC 3339, with up to nine digits of a second; the same with a blank, a comma or no zone, which then means UTC;
//! `3/24/2022 2:42:35 PM` as Microsoft exports write it; epochs in seconds, milliseconds, microseconds or nanoseconds,
//! told apart by magnitude, as numbers or as text; an epoch in an object of its own, `{"value": 1700000000000}`.

use super::json::Json;
use crate::event::time;

/// Microseconds since 1970-01-01 UTC.
pub fn micros(value: &Json<'_>) -> Option<i64> {
    match value {
        Json::Integer(number) => epoch(*number),
        Json::Number(number) => time::from_number(*number),
        Json::Text(text) => parse(text),
        Json::Object(..) => match value.get("value") {
            Json::Object(..) => None,
            inner => micros(inner),
        },
        _ => None,
    }
}

/// A time as text.
pub fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(number) = text.parse::<i64>() {
        return epoch(number);
    }
    time::parse(text).or_else(|| loose(text)).or_else(|| american(text))
}

/// An epoch of any usual unit: from 10^11 on milliseconds, from 10^14 on microseconds, from 10^17 on nanoseconds.
pub fn epoch(number: i64) -> Option<i64> {
    match number.unsigned_abs() {
        0..100_000_000_000_000 => time::from_integer(number),
        100_000_000_000_000..100_000_000_000_000_000 => Some(number),
        _ => Some(number / 1000),
    }
}

/// So many seconds after a time, if that is a time at all.
pub fn after(start: i64, seconds: i64) -> Option<i64> {
    let end = seconds.checked_mul(time::SECOND)?.checked_add(start)?;
    time::PLAUSIBLE.contains(&end).then_some(end)
}

/// `2023-07-26 22:58:30.983201900`, with or without a zone.
fn loose(text: &str) -> Option<i64> {
    let (date, clock) = text.split_once(['T', 't', ' '])?;
    let mut parts = date.splitn(3, '-').map(digits);
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let clock = clock.trim();
    let zone_at = clock.find(|letter: char| !(letter.is_ascii_digit() || ":.,".contains(letter)));
    let (clock, zone) = clock.split_at_checked(zone_at.unwrap_or(clock.len()))?;
    let wall = clock_micros(clock)?;
    Some(midnight(year, month, day)? + wall - offset(zone.trim())?)
}

/// `3/24/2022 2:42:35 PM`: month first, UTC unless a zone stands behind.
fn american(text: &str) -> Option<i64> {
    let mut words = text.split_ascii_whitespace();
    let (date, clock, mut half) = (words.next()?, words.next()?, words.next());
    let zone = match half {
        Some(word) if word.starts_with(['+', '-']) => half.take(),
        _ => words.next(),
    };
    let mut parts = date.splitn(3, '/').map(digits);
    let (month, day, year) = (parts.next()??, parts.next()??, parts.next()??);
    let wall = clock_micros(clock)?;
    let is_first_hour = wall >= 12 * HOUR;
    let shift = match half.map(str::to_ascii_uppercase).as_deref() {
        None => 0,
        Some("AM") => -i64::from(is_first_hour) * 12 * HOUR,
        Some("PM") => i64::from(!is_first_hour) * 12 * HOUR,
        Some(_) => return None,
    };
    Some(midnight(year, month, day)? + wall + shift - offset(zone.unwrap_or_default())?)
}

const HOUR: i64 = 3600 * time::SECOND;

fn digits(text: &str) -> Option<i64> {
    let is_number = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

fn midnight(year: i64, month: i64, day: i64) -> Option<i64> {
    time::parse(&format!("{year:04}-{month:02}-{day:02}T00:00:00Z"))
}

/// `H:MM[:SS[.fraction]]`, the fraction behind a point or a comma.
fn clock_micros(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once(['.', ',']).unwrap_or((text, ""));
    let mut parts = whole.splitn(3, ':').map(digits);
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
    if hour > 23 || minute > 59 || second > 59 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let micros = fraction.bytes().chain(std::iter::repeat(b'0')).take(6).fold(0, |n, b| n * 10 + i64::from(b - b'0'));
    Some(((hour * 60 + minute) * 60 + second) * time::SECOND + micros)
}

/// What a zone adds to UTC: none, `Z`, `UTC`, `GMT`, `+02:00`, `+0200`, `+02`.
fn offset(zone: &str) -> Option<i64> {
    if ["", "z", "utc", "gmt"].iter().any(|name| name.eq_ignore_ascii_case(zone)) {
        return Some(0);
    }
    let (sign, rest) = match zone.strip_prefix('+') {
        Some(rest) => (1, rest),
        None => (-1, zone.strip_prefix('-')?),
    };
    let (hours, minutes) = match rest.split_once(':') {
        Some(parts) => parts,
        None => rest.split_at_checked(2)?,
    };
    let minutes = if minutes.is_empty() { 0 } else { digits(minutes)? };
    let hours = digits(hours).filter(|hours| *hours < 24)?;
    (minutes < 60).then_some(sign * (hours * 60 + minutes) * 60 * time::SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_one_moment() {
        let moment = time::parse("2022-03-24T14:42:35Z").unwrap();
        for text in [
            "2022-03-24T14:42:35Z",
            "2022-03-24T14:42:35.000000000Z",
            "2022-03-24T14:42:35.0000000+00:00",
            "2022-03-24T16:42:35.0+0200",
            "2022-03-24 14:42:35",
            "2022-03-24 14:42:35.000000000",
            "2022-03-24 14:42:35,000",
            "2022-03-24 14:42:35 UTC",
            "2022-03-24 14:42:35.000 +00",
            "2022-03-24T14:42:35",
            "3/24/2022 2:42:35 PM",
            "03/24/2022 14:42:35",
            "3/24/2022 4:42:35 PM +02:00",
            "3/24/2022 15:42:35 +01:00",
            "1648132955",
            "1648132955000",
            "1648132955000000",
            "1648132955000000000",
        ] {
            assert_eq!(parse(text), Some(moment), "{text}");
        }
        let object = Json::parse(br#"{"value":1648132955000}"#).unwrap();
        assert_eq!(micros(&object), Some(moment));
        assert_eq!(parse("3/24/2022 12:05:00 AM"), time::parse("2022-03-24T00:05:00Z"));
        assert_eq!(parse("3/24/2022 12:05:00 PM"), time::parse("2022-03-24T12:05:00Z"));
        assert_eq!(parse("2023-07-26 22:58:30.983201900"), time::parse("2023-07-26T22:58:30.983201Z"));
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "yesterday",
            "08:23:52,682",
            "2022-13-01 00:00:00",
            "2022-03-24 25:00:00",
            "2022-03-24 14:42:35 CEST",
            "13/24/2022 2:42:35 PM",
            "2022-03-24 14:42:35 +é1",
            "2022-03-24 1:2:3.x",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
