//! What needs a hand: decided from values, each with the command that leads further.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::Run;
use crate::event::time::{self, DAY, SECOND};
use crate::finding::{Finding, State};
use crate::policy::Exception;
use crate::timeline::zone::{Zone, long};

/// Age buckets: name, and below which age in microseconds.
pub const AGES: [(&str, i64); 4] = [("1 day", DAY), ("7 days", 7 * DAY), ("30 days", 30 * DAY), ("older", i64::MAX)];
/// Fewer pauses than this tell nothing of what is usual.
const PAUSES_MIN: usize = 5;
/// What ends within this time is told of.
const SOON: i64 = 14 * DAY;
/// Days of which the usual number of rejected records is taken.
const REJECTED_DAYS: i64 = 14;
/// Fewer rejected records a day than this are no rise.
const REJECTED_MIN: u64 = 10;

/// One thing somebody should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hand {
    pub what: String,
    /// The command.
    pub look: String,
}

/// One sort of context from one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    pub source: String,
    pub kind: &'static str,
    pub events: usize,
    pub last_at: Option<i64>,
    /// How long it usually pauses at most, in microseconds; none if there were too few pauses to say.
    pub usual: Option<i64>,
}

impl Feed {
    /// From the times of its events, in order. What is usual is half as long again as 95 of 100 pauses; while there are
    /// fewer than 20, as the longest of them.
    pub fn of(source: String, kind: &'static str, times: &[i64]) -> Self {
        let mut pauses: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).filter(|pause| *pause > 0).collect();
        pauses.sort_unstable();
        let rank = (pauses.len() * 95).div_ceil(100);
        let usual = pauses.get(rank.saturating_sub(1)).filter(|_| pauses.len() >= PAUSES_MIN);
        Self { source, kind, events: times.len(), last_at: times.last().copied(), usual: usual.map(|p| p + p / 2) }
    }

    /// Whether it is silent for longer than is usual for it.
    pub fn is_stale(&self, as_of: i64) -> bool {
        self.last_at.zip(self.usual).is_some_and(|(last, usual)| as_of - last > usual)
    }

    /// The feed as its users see it.
    pub fn json(&self, as_of: i64, zone: &Zone) -> Value {
        json!({
            "source": self.source,
            "feed": self.kind,
            "events": self.events,
            "last_event_at": self.last_at.map(|at| zone.format(at)),
            "silent_seconds": self.last_at.map(|at| (as_of - at) / SECOND),
            "usual_seconds": self.usual.map(|usual| usual / SECOND),
            "is_stale": self.is_stale(as_of),
        })
    }
}

/// The bucket of an age.
pub fn bucket(age: i64) -> usize {
    AGES.iter().position(|(_, below)| age < *below).unwrap_or(AGES.len() - 1)
}

/// Detectors that never ran, or failed when they last did.
pub fn of_runs(runs: &[Run], rows: u64) -> Vec<Hand> {
    let Some(last) = runs.first() else {
        let what = "no detector has ever run over this lake".to_owned();
        return if rows == 0 { Vec::new() } else { vec![Hand { what, look: "tokentrail detect".to_owned() }] };
    };
    let failed = last.failed.iter().map(|(id, why)| Hand {
        what: format!("detector {id} failed: {}", why.lines().next().unwrap_or_default()),
        look: format!("tokentrail detect {id}"),
    });
    failed.collect()
}

/// Feeds that are silent for longer than is usual for them.
pub fn of_feeds(feeds: &[Feed], as_of: i64) -> Vec<Hand> {
    let stale = feeds.iter().filter(|feed| feed.is_stale(as_of));
    let hand = |feed: &Feed| {
        let silent = long(as_of - feed.last_at.unwrap_or(as_of));
        let usual = long(feed.usual.unwrap_or(0));
        let source = feed.source.replace('\'', "''");
        Hand {
            what: format!("no {} feed from {} for {silent}; up to {usual} is usual", feed.kind, feed.source),
            look: format!(
                "tokentrail query \"SELECT * FROM context_events WHERE source = '{source}' ORDER BY event_time\""
            ),
        }
    };
    stale.map(hand).collect()
}

/// Rejected records that became more: today's or yesterday's beside the daily mean of the two weeks before.
pub fn of_rejected(by_day: &BTreeMap<String, u64>, as_of: i64) -> Option<Hand> {
    let on = |days_ago: i64| by_day.get(&time::date(as_of - days_ago * DAY)).copied().unwrap_or(0);
    let before: u64 = (2..2 + REJECTED_DAYS).map(on).sum();
    let now = on(0).max(on(1));
    let is_more = now >= REJECTED_MIN && now * REJECTED_DAYS.unsigned_abs() > 3 * before;
    is_more.then(|| Hand {
        what: format!(
            "{now} records rejected in a day, beside {:.1} a day in the two weeks before",
            before as f64 / REJECTED_DAYS as f64
        ),
        look: "tokentrail query \"SELECT reject_reason, COUNT(*) FROM rejected GROUP BY 1 ORDER BY 2 DESC\"".to_owned(),
    })
}

/// Exceptions that end soon: their findings open then.
pub fn of_exceptions(exceptions: &[Exception], as_of: i64) -> Vec<Hand> {
    let ending = exceptions.iter().filter(|exception| exception.until - as_of <= SOON);
    let hand = |exception: &Exception| {
        let when = match exception.until - as_of {
            left if left > 0 => format!("ends in {}", long(left)),
            over => format!("ended {} ago and excepts nothing", long(-over)),
        };
        Hand {
            what: format!("exception for {} ({}) {when}: {}", exception.detector, exception.owner, exception.reason),
            look: "tokentrail policy check".to_owned(),
        }
    };
    ending.map(hand).collect()
}

/// Suppressions that end within a day.
pub fn of_suppressed(findings: &[Finding], as_of: i64) -> Option<Hand> {
    let ends = |finding: &&Finding| {
        finding.state == State::Suppressed && finding.until.is_some_and(|until| until > as_of && until - as_of <= DAY)
    };
    let ending = findings.iter().filter(ends).count();
    (ending > 0).then(|| Hand {
        what: format!("{ending} suppressed findings alert again within a day"),
        look: "tokentrail findings list --state suppressed".to_owned(),
    })
}

/// Feeds without which some detectors can find nothing: pairs of action and detector.
pub fn of_lacking<'a>(pairs: impl Iterator<Item = (&'static str, &'a str)>) -> Vec<Hand> {
    let mut lacking: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (action, detector) in pairs {
        lacking.entry(action).or_default().insert(detector);
    }
    let hand = |(action, detectors): (&str, BTreeSet<&str>)| {
        let first = detectors.first().copied().unwrap_or_default();
        let others = match detectors.len() {
            0 | 1 => String::new(),
            many => format!(" and {} more", many - 1),
        };
        Hand {
            what: format!("no {action} event was ever read: {first}{others} can find nothing"),
            look: "tokentrail detectors list".to_owned(),
        }
    };
    lacking.into_iter().map(hand).collect()
}

#[cfg(test)]
mod tests;
