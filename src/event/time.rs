//! Times in records: RFC 3339 with an offset, or seconds or milliseconds since 1970 told apart by magnitude.

use jiff::Timestamp;

/// 2000-01-01 and 2100-01-01 UTC in microseconds: what an event time may be.
pub const PLAUSIBLE: std::ops::Range<i64> = 946_684_800_000_000..4_102_444_800_000_000;

/// Microseconds in a second.
pub const SECOND: i64 = 1_000_000;
/// Microseconds in a day.
pub const DAY: i64 = 86_400 * SECOND;

/// Parses RFC 3339 text, or digits as an epoch. `None`: no time, or one without a UTC offset.
pub fn parse(text: &str) -> Option<i64> {
    if let Some(micros) = parse_plain_utc(text.as_bytes()) {
        return Some(micros);
    }
    match text.parse::<Timestamp>() {
        Ok(at) => Some(at.as_microsecond()),
        Err(_) => text.parse::<f64>().ok().filter(|n| n.is_finite()).and_then(from_number),
    }
}

/// An epoch number: below 10^11 seconds (until the year 5138), else milliseconds.
pub fn from_number(number: f64) -> Option<i64> {
    let scale = if number.abs() < 1e11 { 1e6 } else { 1e3 };
    let micros = (number * scale).round();
    (micros.abs() < 9.0e18).then_some(micros as i64)
}

/// The same for whole numbers, without the rounding of floating point.
pub fn from_integer(number: i64) -> Option<i64> {
    number.checked_mul(if number.unsigned_abs() < 100_000_000_000 { SECOND } else { 1000 })
}

/// `YYYY-MM-DDTHH:MM:SS[.fraction]Z`, the form nearly every record has; `None` sends the caller to the full parser.
fn parse_plain_utc(text: &[u8]) -> Option<i64> {
    let (last, body) = text.split_last()?;
    if *last != b'Z'
        || body.len() < 19
        || body[4] != b'-'
        || body[7] != b'-'
        || body[10] != b'T'
        || body[13] != b':'
        || body[16] != b':'
    {
        return None;
    }
    let number = |from: usize, to: usize| {
        body[from..to].iter().try_fold(0i64, |n, &b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if day < 1 || day > days_in_month || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let fraction = match body.len() {
        19 => 0,
        21..=28 if body[19] == b'.' => {
            let digits = body.len() - 20;
            let micros = number(20, 20 + digits.min(6))? * 10i64.pow(6 - digits.min(6) as u32);
            number(20 + digits.min(6), 20 + digits)?; // finer digits must be digits, and are dropped
            micros
        }
        _ => return None,
    };
    Some(((days_from_civil(year, month, day) * 24 + hour) * 60 + minute) * 60 * SECOND + second * SECOND + fraction)
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar (Howard Hinnant's `days_from_civil`).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// RFC 3339 in UTC, with no, three or six fraction digits.
pub fn format(micros: i64) -> String {
    let digits = match micros.rem_euclid(SECOND) {
        0 => 0,
        fraction if fraction % 1000 == 0 => 3,
        _ => 6,
    };
    match Timestamp::from_microsecond(micros) {
        Ok(at) => format!("{at:.digits$}"),
        Err(_) => format!("{micros}us"),
    }
}

/// The UTC date `YYYY-MM-DD` of a time.
pub fn date(micros: i64) -> String {
    format(micros).chars().take_while(|c| *c != 'T').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_parser_agrees_with_the_full_one() {
        for text in [
            "2026-11-01T12:00:00Z",
            "2024-02-29T23:59:59.999999Z",
            "1999-12-31T00:00:00.1Z",
            "2000-03-01T00:00:00.12345678Z",
        ] {
            assert_eq!(
                parse_plain_utc(text.as_bytes()),
                Some(text.parse::<Timestamp>().unwrap().as_microsecond()),
                "{text}"
            );
        }
        for text in [
            "2023-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
        ] {
            assert_eq!(parse_plain_utc(text.as_bytes()), None, "{text}");
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn fractions_have_none_three_or_six_digits() {
        assert_eq!(format(0), "1970-01-01T00:00:00Z");
        assert_eq!(format(940_000), "1970-01-01T00:00:00.940Z");
        assert_eq!(format(-1), "1969-12-31T23:59:59.999999Z");
        assert_eq!(date(1_793_534_400_000_000), "2026-11-01");
    }

    #[test]
    fn offsets_and_epochs() {
        let noon = 1_793_534_400_000_000;
        for text in
            ["2026-11-01T12:00:00Z", "2026-11-01T14:00:00+02:00", "2026-11-01t12:00:00z", "1793534400", "1793534400000"]
        {
            assert_eq!(parse(text), Some(noon), "{text}");
        }
        assert_eq!(from_integer(1_793_534_400), Some(noon));
        assert_eq!(from_number(1_793_534_400.5), Some(noon + 500_000));
        assert_eq!(from_integer(i64::MAX), None);
    }
}
