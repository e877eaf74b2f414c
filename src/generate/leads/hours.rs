//! Days and office hours of seven countries, with the end of summer time where there is one.

use super::super::record::{DAY, HOUR};

/// 2026-09-01T00:00:00Z, a Tuesday.
pub const START: i64 = 1_788_220_800_000_000;
/// How many days are lived.
pub const DAYS: i64 = 90;
pub const END: i64 = START + DAYS * DAY;

/// How a country's clocks stand.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Half hours ahead of UTC in winter.
    pub half_hours: i64,
    pub summer: Summer,
}

/// Whether and how clocks go back in autumn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Summer {
    None,
    /// 2026-10-25T01:00Z.
    Europe,
    /// 2026-11-01T06:00Z.
    America,
}

impl Summer {
    const fn ends_at(self) -> i64 {
        match self {
            Self::None => i64::MIN,
            Self::Europe => START + 54 * DAY + HOUR,
            Self::America => START + 61 * DAY + 6 * HOUR,
        }
    }
}

impl Clock {
    /// UTC of a local time on a day of this world.
    pub fn utc(self, day: i64, local: i64) -> i64 {
        let winter = START + day * DAY + local - self.half_hours * HOUR / 2;
        if winter - HOUR < self.summer.ends_at() { winter - HOUR } else { winter }
    }

    /// Day and hour by this clock at a moment. One hour of an autumn's night comes twice.
    pub fn local(self, at: i64) -> (i64, i64) {
        let local = at - START + self.half_hours * HOUR / 2 + if at < self.summer.ends_at() { HOUR } else { 0 };
        (local.div_euclid(DAY), local.rem_euclid(DAY) / HOUR)
    }
}

/// Monday is 0.
pub fn weekday(day: i64) -> i64 {
    (day + 1).rem_euclid(7)
}

pub fn is_weekend(day: i64) -> bool {
    weekday(day) >= 5
}
