//! Durations as people write them: `30d`, `12h`, `1h30m`, `0s`.
//!
//! A day is 24 hours and a week 7 days, always: policy is judged in UTC, where no day is longer. Months and years are
//! not units, because "a year" would not say which.

/// Microseconds in a second.
pub const SECOND: i64 = 1_000_000;
/// Microseconds in a minute.
pub const MINUTE: i64 = 60 * SECOND;
/// Microseconds in an hour.
pub const HOUR: i64 = 60 * MINUTE;
/// Microseconds in a day.
pub const DAY: i64 = 24 * HOUR;
/// The longest duration accepted: a century. Any event time plus it stays inside every timestamp and interval type.
pub const DURATION_MAX: i64 = 36_500 * DAY;

/// Units from large to small, as they must follow each other.
const UNITS: [(&str, i64); 6] =
    [("w", 7 * DAY), ("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND), ("ms", SECOND / 1_000)];

const HINT: &str = "write a number and a unit (w, d, h, m, s, ms), such as \"30d\", \"12h\" or \"1h30m\"";

/// Microseconds in `text`: numbers with units, large units first, each unit at most once.
///
/// # Errors
///
/// What is wrong with the text and how to write it instead; a duration is never negative or above [`DURATION_MAX`].
///
/// # Example
///
/// ```
/// # use tokentrail::policy::parse_duration;
/// assert_eq!(parse_duration("1h30m"), Ok(90 * 60 * 1_000_000));
/// assert!(parse_duration("-5m").is_err());
/// ```
pub fn parse_duration(text: &str) -> Result<i64, String> {
    if text.starts_with('-') {
        return Err("a duration cannot be negative".to_owned());
    }
    if text.is_empty() {
        return Err(format!("an empty text is not a duration: {HINT}"));
    }
    let (mut rest, mut units, mut total) = (text, UNITS.as_slice(), 0_i64);
    while !rest.is_empty() {
        let (digits, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        if digits.is_empty() {
            return Err(format!("not a duration: {HINT}"));
        }
        if unit.is_empty() {
            return Err(format!("the number {} has no unit: {HINT}", super::spelling::clip(digits)));
        }
        let Some(at) = units.iter().position(|(name, _)| *name == unit) else {
            let known = UNITS.iter().any(|(name, _)| *name == unit);
            let problem = if known { "units go from large to small, each once" } else { "not a unit of time" };
            return Err(format!("\"{}\": {problem}; {HINT}", super::spelling::clip(unit)));
        };
        let part = digits.parse::<i64>().ok().and_then(|number| number.checked_mul(units[at].1));
        total = match part.and_then(|part| total.checked_add(part)) {
            Some(sum) if sum <= DURATION_MAX => sum,
            _ => return Err(format!("longer than {}, the longest accepted", format_duration(DURATION_MAX))),
        };
        (rest, units) = (after, &units[at + 1..]);
    }
    Ok(total)
}

/// The one spelling of a duration in documentation and messages: days and smaller units, `0s` for none.
pub fn format_duration(micros: i64) -> String {
    let mut rest = micros;
    let mut text = String::new();
    for (name, size) in &UNITS[1..] {
        if rest / size > 0 {
            text.push_str(&format!("{}{name}", rest / size));
            rest %= size;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_documents_write() {
        let cases = [
            ("0s", 0),
            ("60s", MINUTE),
            ("5m", 5 * MINUTE),
            ("12h", 12 * HOUR),
            ("30d", 30 * DAY),
            ("2w", 14 * DAY),
            ("1h30m", 90 * MINUTE),
            ("1d0h1ms", DAY + 1_000),
            ("36500d", DURATION_MAX),
        ];
        for (text, micros) in cases {
            assert_eq!(parse_duration(text), Ok(micros), "{text}");
        }
    }

    #[test]
    fn refuses_the_rest_and_says_why() {
        let cases = [
            ("", "empty"),
            ("-1h", "negative"),
            ("30", "has no unit"),
            ("1h30", "has no unit"),
            ("30 d", "not a unit"),
            ("30y", "not a unit"),
            ("30D", "not a unit"),
            ("h", "not a duration"),
            ("1.5h", "not a unit"),
            ("30m1h", "large to small"),
            ("1h1h", "large to small"),
            ("36500d1ms", "longer than 36500d"),
            ("99999999999999999999d", "longer than"),
            ("9223372036854775807w", "longer than"),
            ("٣d", "not a duration"),
        ];
        for (text, why) in cases {
            let error = parse_duration(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn format_is_the_inverse() {
        for text in ["0s", "60d", "1h30m", "1d1ms", "59s"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
        assert_eq!(format_duration(parse_duration("2w24h").unwrap()), "15d");
    }
}
