//! Whether the sources were all there, as plain data.

use serde::{Deserialize, Serialize};

use super::{Moment, Total};

/// What came in, and what did not.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Coverage {
    /// By name.
    pub sources: Vec<Source>,
    /// What detectors rest on: reports of people who left, of devices that were lost.
    pub feeds: Vec<Feed>,
    /// Stretches of the period in which a source was silent though it should not have been.
    pub gaps: Vec<Gap>,
    /// Control totals of all events of the period, by source, day (UTC) and action, sorted.
    #[serde(default)]
    pub totals: Vec<Total>,
    /// Records of the lake that could not be read. When they happened nobody knows.
    pub rejected: u64,
    /// What makes results inconclusive; a sentence each. Empty: coverage is complete.
    pub problems: Vec<String>,
}

/// One source in the period. Times are None where it had no event.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Source {
    pub source: String,
    /// Events of the period, each once.
    pub events: u64,
    /// Rows that repeat an event under the same id; counted once.
    pub repeats: u64,
    pub first_event_at: Option<Moment>,
    pub last_event_at: Option<Moment>,
    /// First event ever seen, within the period or before.
    pub known_since: Option<Moment>,
    /// Days of the period with any event.
    pub days: u64,
    /// Days of the period that it was known on.
    pub days_expected: u64,
    /// Arrived more than the policy's `lateness` (15 minutes by default) after they happened.
    pub late: u64,
    /// The longest way from happening to arrival, in seconds. None without events.
    pub lag_max_seconds: Option<i64>,
    pub lag_mean_seconds: Option<i64>,
    /// Events that happened after they arrived, by more than a minute: a clock is wrong.
    pub skewed: u64,
    pub skew_max_seconds: i64,
    /// What is wrong with it, if anything; a sentence each.
    pub problems: Vec<String>,
}

/// A kind of event that detectors rest on.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Feed {
    /// The action, such as `offboard`.
    pub feed: String,
    /// In words: `reports of people who left`.
    pub what: String,
    /// Events of the period.
    pub events: u64,
    /// The last one up to the end of the period.
    pub last_event_at: Option<Moment>,
    /// How old the last one may be at the end of the period, in seconds. None: it only has to be there.
    pub fresh_seconds: Option<i64>,
    /// Why what rests on it is inconclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A silence.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    pub source: String,
    pub from: Moment,
    /// None: it goes on.
    pub to: Option<Moment>,
}
