//! What follows from rows and totals: remedies, trend, summary, and the hash of it all. Pure: `verify` makes it again.

use std::collections::BTreeMap;

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::evidence::named;
use super::model::{
    Assessment, Bucket, Detector, Exception, Moment, Outcome, Period, Remedy, RemedyState, Subcategory, Summary, Total,
};
use crate::event::hex;
use crate::event::time::{self, DAY, SECOND};

/// A trend of more weeks than this is told in stretches of 30 days.
const WEEKS_MAX: i64 = 26;

/// What became of every row of the detectors that decide.
pub fn remedies(detectors: &[Detector], targets: &BTreeMap<String, i64>, period: Period) -> Vec<Remedy> {
    let mut remedies = Vec::new();
    for detector in detectors.iter().filter(|d| d.kind != "lead") {
        let rows = &detector.rows;
        for row in 0..rows.len() {
            let moment = |name: &str| time::parse(rows.named(row, name));
            let Some(violated_at) = moment("violated_at") else { continue };
            let resolved_at = moment("resolved_at");
            let severity = rows.named(row, "severity").to_owned();
            let target_seconds = targets.get(&severity).copied();
            let open_seconds = (resolved_at.unwrap_or(period.to.0) - violated_at) / SECOND;
            let exception = Some(rows.named(row, "exception").to_owned()).filter(|text| !text.is_empty());
            let is_late = target_seconds.is_some_and(|target| open_seconds > target);
            let state = match (exception.is_some(), resolved_at, target_seconds) {
                (true, _, _) => RemedyState::Excepted,
                (_, Some(_), None) => RemedyState::Fixed,
                (_, Some(_), Some(_)) if is_late => RemedyState::FixedLate,
                (_, Some(_), Some(_)) => RemedyState::FixedInTime,
                (_, None, _) if is_late => RemedyState::Overdue,
                (_, None, _) => RemedyState::Open,
            };
            remedies.push(Remedy {
                detector: detector.id.clone(),
                finding: rows.named(row, "finding").to_owned(),
                severity,
                violated_at: Moment(violated_at),
                resolved_at: resolved_at.map(Moment),
                open_seconds,
                target_seconds,
                state,
                exception,
            });
        }
    }
    remedies
}

/// The period in stretches that begin at midnight UTC, but for the first.
pub fn trend(remedies: &[Remedy], totals: &[Total], period: Period) -> Vec<Bucket> {
    let (from, to) = (period.from.0, period.to.0);
    let step = if to - from > WEEKS_MAX * 7 * DAY { 30 * DAY } else { 7 * DAY };
    let first_day = from.div_euclid(DAY) * DAY;
    let count = (to - first_day + step - 1) / step;
    let mut buckets: Vec<Bucket> = (0..count)
        .map(|n| Bucket {
            from: Moment((first_day + n * step).max(from)),
            to: Moment((first_day + (n + 1) * step).min(to)),
            ..Bucket::default()
        })
        .collect();
    let place = |at: i64| usize::try_from((at - first_day).div_euclid(step)).ok();
    for total in totals {
        let day = time::parse(&format!("{}T00:00:00Z", total.day)).unwrap_or(from);
        if let Some(bucket) = place(day).and_then(|n| buckets.get_mut(n)) {
            bucket.events += total.events;
        }
    }
    let within = |at: i64| at >= from && at < to;
    for remedy in remedies.iter().filter(|r| r.state != RemedyState::Excepted) {
        let (violated_at, resolved_at) = (remedy.violated_at.0, remedy.resolved_at.map(|at| at.0));
        if let Some(bucket) = place(violated_at).filter(|_| within(violated_at)).and_then(|n| buckets.get_mut(n)) {
            bucket.opened += 1;
            *bucket.opened_by_severity.entry(remedy.severity.clone()).or_default() += 1;
        }
        let resolved = resolved_at.filter(|at| within(*at)).and_then(place);
        if let Some(bucket) = resolved.and_then(|n| buckets.get_mut(n)) {
            bucket.resolved += 1;
        }
        for bucket in &mut buckets {
            let open = violated_at < bucket.to.0 && resolved_at.is_none_or(|at| at >= bucket.to.0);
            bucket.open_at_end += u64::from(open);
        }
    }
    buckets
}

/// How many of what came out how.
pub fn summary(parts: &[Subcategory], detectors: &[Detector], totals: &[Total]) -> Summary {
    let none = || Outcome::ALL.iter().map(|(name, _)| ((*name).to_owned(), 0)).collect::<BTreeMap<String, u64>>();
    let mut summary = Summary {
        events: totals.iter().map(|t| t.events).sum(),
        subcategories: none(),
        detectors: none(),
        ..Summary::default()
    };
    for part in parts {
        *summary.subcategories.entry(part.verdict.result.to_string()).or_default() += 1;
    }
    for detector in detectors.iter().filter(|d| d.kind != "lead") {
        *summary.detectors.entry(detector.verdict.result.to_string()).or_default() += 1;
        summary.found += detector.counts.found;
        summary.open_at_end += detector.counts.open_at_end;
        summary.excepted += detector.counts.excepted;
    }
    summary
}

/// Which rows each exception covers.
pub fn covered(exceptions: &mut [Exception], detectors: &[Detector]) {
    for exception in exceptions {
        let label = named(&exception.owner, &exception.reason, exception.until);
        let rows = detectors.iter().filter(|d| d.id == exception.detector).map(|d| &d.rows);
        let mut found: Vec<String> = rows
            .flat_map(|rows| (0..rows.len()).map(move |row| (rows, row)))
            .filter(|(rows, row)| rows.named(*row, "exception") == label)
            .map(|(rows, row)| rows.named(row, "finding").to_owned())
            .collect();
        found.sort();
        exception.rows = found;
    }
}

/// SHA-256 over what was tested and what came of it. Neither where the events lay nor when they arrived enters.
pub fn evidence_sha256(it: &Assessment) -> String {
    let detectors = it
        .detectors
        .iter()
        .map(|d| json!([d.id, d.sql_sha256, d.rows_sha256, d.population, d.counts, d.verdict.result, d.parameters]));
    let parts = it.subcategories.iter().map(|part| json!([part.id, part.verdict.result, part.links]));
    let sources = it.coverage.sources.iter().map(|s| json!([s.source, s.events, s.first_event_at, s.last_event_at]));
    let sample = it.sample.as_ref().map(|s| json!([s.size, s.seed, s.grants, s.drawn, s.timelines_sha256]));
    let all = json!([
        it.framework.id,
        it.framework.sha256,
        it.framework.catalog,
        it.scope.identified,
        it.scope.pseudonym_key,
        it.period,
        it.provenance.policy_sha256,
        detectors.collect::<Vec<_>>(),
        parts.collect::<Vec<_>>(),
        sources.collect::<Vec<_>>(),
        it.coverage.gaps,
        it.coverage.totals,
        it.exceptions,
        it.targets,
        sample,
    ]);
    hex(&Sha256::digest(all.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remedy(from: i64, to: Option<i64>) -> Remedy {
        Remedy {
            detector: "d".into(),
            finding: String::new(),
            severity: "high".into(),
            violated_at: Moment(from),
            resolved_at: to.map(Moment),
            open_seconds: 0,
            target_seconds: None,
            state: RemedyState::Open,
            exception: None,
        }
    }

    #[test]
    fn the_trend_counts_each_once() {
        let day = |n: i64| 20_000 * DAY + n * DAY;
        let period = Period { from: Moment(day(0) + 1), to: Moment(day(15)), as_of: Moment(day(15) - 1) };
        let total = Total { source: "s".into(), day: time::date(day(0)), action: "use".into(), events: 5 };
        let remedies = [remedy(day(-3), Some(day(8))), remedy(day(7), None), remedy(day(1), Some(day(2)))];
        let found = trend(&remedies, &[total], period);
        let told: Vec<_> = found.iter().map(|b| (b.events, b.opened, b.resolved, b.open_at_end)).collect();
        assert_eq!(told, [(5, 1, 1, 1), (0, 1, 1, 1), (0, 0, 0, 1)]);
        assert_eq!((found[0].from, found[1].from.0, found[2].to), (period.from, day(7), period.to));
        let year = Period { to: Moment(day(364)), ..period };
        assert_eq!(trend(&[], &[], year).len(), 13);
    }
}
