//! What was done about what was found, as plain data: exceptions, remedies, the trend.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Moment;

/// An exception of the policy that held at some time of the period.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    pub detector: String,
    pub reason: String,
    pub owner: String,
    pub until: Moment,
    /// Whether it ended within the period.
    pub is_expired: bool,
    /// The findings that it covers, as their rows name them, sorted.
    pub rows: Vec<String>,
}

/// What became of something that was wrong.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Remedy {
    pub detector: String,
    /// As the row names it.
    pub finding: String,
    pub severity: String,
    pub violated_at: Moment,
    /// None: it still held at the end of the period.
    pub resolved_at: Option<Moment>,
    /// From `violated_at` to `resolved_at`, or to the end of the period.
    pub open_seconds: i64,
    /// How long it was allowed to take; None: nobody said.
    pub target_seconds: Option<i64>,
    pub state: RemedyState,
    /// Reason and owner of the exception that covers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception: Option<String>,
}

/// How it went.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
pub enum RemedyState {
    FixedInTime,
    /// Fixed, and late: it counts as late for good.
    FixedLate,
    /// Fixed; there is no target.
    Fixed,
    Open,
    /// Open, and longer than the target.
    Overdue,
    /// Covered by an exception.
    Excepted,
}

impl RemedyState {
    /// Its spelling.
    pub const fn as_str(self) -> &'static str {
        ["fixed-in-time", "fixed-late", "fixed", "open", "overdue", "excepted"][self as usize]
    }
}

/// A line of the findings log.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// As the row names it.
    pub finding: String,
    pub at: Moment,
    /// `opened`, `resolved`, `acked`, `suppressed`, ...
    pub change: String,
    /// Who decided it; empty where a run found it out.
    pub owner: String,
    pub reason: String,
    /// Until when a suppression holds.
    pub until: Option<Moment>,
}

/// A stretch of the period, for the trend. Rows of detectors that decide, exceptions left out.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    pub from: Moment,
    pub to: Moment,
    pub events: u64,
    /// Began in it.
    pub opened: u64,
    /// Ended in it.
    pub resolved: u64,
    /// Held at its end.
    pub open_at_end: u64,
    /// Of those that began in it, by severity; only severities that occur.
    pub opened_by_severity: BTreeMap<String, u64>,
}
