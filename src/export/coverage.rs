//! Whether the sources were all there: only then does finding nothing mean anything. Pure.

use std::collections::BTreeMap;

use super::census::{Census, Known};
use super::model::{Coverage, Feed, Gap, Moment, Period, Source};
use super::population::{Tests, in_words};
use crate::event::time::{DAY, SECOND};

/// What coverage is made of beside what was counted.
#[derive(Clone, Debug)]
pub struct Read<'a> {
    pub period: Period,
    pub tests: &'a Tests,
    pub gaps: Vec<Gap>,
    /// When the lake was last written at the cut, microseconds.
    pub read_at: i64,
    /// Why gaps are not known, if so.
    pub gaps_failed: Option<String>,
}

/// Puts together what was counted.
pub fn of(census: &Census, read: Read<'_>) -> Coverage {
    let sources = sources(census, &read);
    let feeds = read.tests.feeds.iter().map(|rule| {
        let last = census.known.iter().filter(|k| k.action == rule.action).map(|k| k.last).max();
        let events = census.all.iter().filter(|t| t.action == rule.action).map(|t| t.events).sum();
        Feed {
            feed: rule.action.clone(),
            what: rule.what.clone(),
            events,
            last_event_at: last.map(Moment),
            fresh_seconds: rule.fresh.map(|micros| micros / SECOND),
            problem: feed_problem(&rule.what, last, rule.fresh, read.period),
        }
    });
    let feeds = feeds.collect();
    let mut problems = lake_problems(census, &read);
    problems.extend(sources.iter().flat_map(|source| source.problems.iter().cloned()));
    problems.extend(read.gaps.iter().map(gap_sentence));
    problems.extend(read.gaps_failed.map(|why| format!("whether sources fell silent is not known: {why}")));
    Coverage { sources, feeds, gaps: read.gaps, totals: census.all.clone(), rejected: census.rejected, problems }
}

fn lake_problems(census: &Census, read: &Read<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    let first = census.known.iter().filter(|k| k.class == "token").map(|k| k.first).min();
    match first {
        None => problems.push("the lake has no event of a token up to the end of the period".to_owned()),
        Some(first) if first > read.period.from.0 + read.tests.begins_within => problems
            .push(format!("the lake begins at {}, later than the period; what was before is not there", Moment(first))),
        Some(_) => {}
    }
    if read.read_at < read.period.to.0 {
        problems.push(format!(
            "the lake was last written at {}, before the period ended: what came later is not there",
            Moment(read.read_at)
        ));
    }
    problems
}

fn sources(census: &Census, read: &Read<'_>) -> Vec<Source> {
    let mut known: BTreeMap<&str, Vec<&Known>> = BTreeMap::new();
    for entry in &census.known {
        known.entry(&entry.source).or_default().push(entry);
    }
    let period = read.period;
    let all = known.into_iter().map(|(name, entries)| {
        let delivery = census.deliveries.get(name).cloned().unwrap_or_default();
        let since = entries.iter().map(|k| k.first).min();
        let expected_from = since.unwrap_or(period.from.0).max(period.from.0);
        let events = i128::from(delivery.events.max(1));
        let seconds = |micros: i64| micros.div_euclid(SECOND);
        Source {
            source: name.to_owned(),
            events: delivery.events,
            repeats: delivery.repeats,
            first_event_at: super::census::moment(delivery.first),
            last_event_at: super::census::moment(delivery.last),
            known_since: since.map(Moment),
            days: delivery.days,
            days_expected: days_between(expected_from, period.to.0),
            late: delivery.late,
            lag_max_seconds: delivery.lag_max.map(seconds),
            lag_mean_seconds: delivery
                .first
                .map(|_| i64::try_from(delivery.lag_sum / events).map_or(i64::MAX, seconds)),
            skewed: delivery.skewed,
            skew_max_seconds: seconds(delivery.skew_max.max(0)),
            problems: stopped(name, &entries, read).into_iter().collect(),
        }
    });
    all.collect()
}

/// How many UTC days have some of the time from `from` until just before `to`.
fn days_between(from: i64, to: i64) -> u64 {
    if from >= to { 0 } else { ((to - 1).div_euclid(DAY) - from.div_euclid(DAY) + 1).unsigned_abs() }
}

/// Whether a source of token events had stopped when the period ended.
fn stopped(name: &str, entries: &[&Known], read: &Read<'_>) -> Option<String> {
    let last = entries.iter().filter(|k| k.class == "token").map(|k| k.last).max()?;
    let silent = read.period.to.0 - last;
    (silent > read.tests.stopped_after).then(|| {
        format!(
            "{name} stopped: its last event of a token was at {}, {} before the period ended",
            Moment(last),
            in_words(silent)
        )
    })
}

fn gap_sentence(gap: &Gap) -> String {
    match gap.to {
        Some(to) => format!("{} was silent from {} to {}", gap.source, gap.from, to),
        None => format!("{} is silent since {}", gap.source, gap.from),
    }
}

fn feed_problem(what: &str, last: Option<i64>, fresh: Option<i64>, period: Period) -> Option<String> {
    let Some(last) = last else {
        return Some(format!("there are no {what} in the lake: connect a source that sends them"));
    };
    let age = period.to.0 - last;
    fresh.filter(|fresh| age > *fresh).map(|fresh| {
        format!(
            "{what} are not fresh: the last was at {}, {} before the period ended, and {} is the limit",
            Moment(last),
            in_words(age),
            in_words(fresh)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::framework::Framework;
    use crate::policy::Policy;

    fn known(source: &str, action: &str, first: i64, last: i64) -> Known {
        let class = if action == "offboard" { "context" } else { "token" };
        Known {
            source: source.into(),
            class: class.into(),
            action: action.into(),
            first: first * DAY,
            last: last * DAY,
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        let tests = Tests::new(&Framework::default(), &Policy::default()).unwrap();
        let period = Period { from: Moment(100 * DAY), to: Moment(190 * DAY), as_of: Moment(190 * DAY - 1) };
        let problems = |known: Vec<Known>, gaps: Vec<Gap>, read_at: i64| {
            let census = Census { known, ..Census::default() };
            let read = Read { period, tests: &tests, gaps, read_at: read_at * DAY, gaps_failed: None };
            let coverage = of(&census, read);
            let feeds = coverage.feeds.iter().filter_map(|f| f.problem.clone()).collect::<Vec<_>>().join("; ");
            (coverage.problems.join("; "), feeds)
        };
        let whole = || vec![known("okta", "issue", 50, 189), known("hr", "offboard", 50, 189)];
        let (none, feeds) = problems(whole(), vec![], 191);
        assert_eq!(none, "");
        assert!(feeds.contains("no reports of lost devices") && !feeds.contains("people who left"), "{feeds}");
        assert!(problems(whole(), vec![], 150).0.contains("before the period ended"));
        assert!(problems(vec![], vec![], 191).0.contains("no event of a token"));
        assert!(problems(vec![known("okta", "use", 120, 189)], vec![], 191).0.contains("later than the period"));
        assert!(problems(vec![known("okta", "use", 50, 170)], vec![], 191).0.contains("okta stopped"));
        let gap = Gap { source: "okta".into(), from: Moment(120 * DAY), to: None };
        assert!(problems(whole(), vec![gap], 191).0.contains("okta is silent since"));
        let (_, feeds) = problems(vec![known("okta", "use", 50, 189), known("hr", "offboard", 50, 150)], vec![], 191);
        assert!(feeds.contains("people who left are not fresh") && feeds.contains("35 days is the limit"), "{feeds}");
        assert_eq!((days_between(0, DAY), days_between(5, DAY + 1), days_between(3, 3)), (1, 2, 0));
    }
}
