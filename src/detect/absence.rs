//! What rests on something not seen, while a source was silent: it may have happened and not been delivered.
//!
//! A detector whose findings rest on an absence says in which columns it stands (`absence` in its header). Where a gap of a
//! source that has rows of the grant (or subject) meets that time, the finding's evidence says `inconclusive`, and why.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::prelude::SessionContext;
use serde_json::{Map, Value, json};

use super::catalog::{Catalog, Detector};
use super::header::Absence;
use super::{Outcome, judge};
use crate::event::time;
use crate::finding::{Evidence, Verdict};
use crate::query::{self, QueryError, output};

/// The detector that finds gaps.
pub const GAPS: &str = "audit_gap";

/// A stretch in which a source was silent though it should not have been; open: it still is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Gap {
    from: i64,
    to: Option<i64>,
}

/// Marks the verdicts that gaps make inconclusive.
pub(super) async fn mark(
    wide: &SessionContext,
    catalog: &Catalog,
    detectors: &[&Detector],
    outcomes: &mut [Outcome],
    as_of: i64,
) -> Result<(), QueryError> {
    let resting = |place: usize| detectors[place].header.absence.as_ref();
    if (0..detectors.len()).all(|place| resting(place).is_none()) {
        return Ok(());
    }
    let told = match outcomes.iter().find(|outcome| outcome.detector == GAPS) {
        Some(outcome) => outcome.verdicts.clone(),
        None => match catalog.find(GAPS) {
            Ok(detector) => judge::judged(wide, detector, as_of).await,
            Err(_) => Ok(Vec::new()), // a catalog without that detector knows no gaps
        },
    };
    let gaps = match told {
        Ok(verdicts) => by_source(&verdicts),
        Err(reason) => {
            // What SQL says of a value may quote it: a person's name does not belong in every log.
            tracing::debug!(reason, "{GAPS} failed");
            tracing::warn!("{GAPS} failed, so nothing is marked inconclusive; -v says why");
            return Ok(());
        }
    };
    if gaps.is_empty() {
        return Ok(());
    }
    for (place, outcome) in outcomes.iter_mut().enumerate() {
        let (Some(absence), Ok(verdicts)) = (resting(place), &mut outcome.verdicts) else { continue };
        let (column, view) = seen_in(detectors[place]);
        let seen = sources(wide, column, view, &gaps).await?;
        for verdict in verdicts.iter_mut() {
            let met =
                met(verdict, absence, seen.get(&output::text(verdict.key.get(column).unwrap_or(&Value::Null))), &gaps);
            if !met.is_empty() {
                let mut object = verdict.evidence.object();
                object.insert("inconclusive".to_owned(), json!(met));
                verdict.evidence = Evidence::new(&object, &detectors[place].header.ticking);
            }
        }
    }
    Ok(())
}

/// What a detector's findings are about, and the view that says which sources have rows of it.
pub(super) fn seen_in(detector: &Detector) -> (&'static str, &'static str) {
    let is_of_grants = detector.header.key.iter().any(|key| key == "grant_id");
    if is_of_grants { ("grant_id", "exercises") } else { ("subject_id", "places") }
}

fn by_source(verdicts: &[Verdict]) -> BTreeMap<String, Vec<Gap>> {
    let mut gaps: BTreeMap<String, Vec<Gap>> = BTreeMap::new();
    for verdict in verdicts {
        let source = output::text(verdict.key.get("source").unwrap_or(&Value::Null));
        gaps.entry(source).or_default().push(Gap { from: verdict.violated_at, to: verdict.resolved_at });
    }
    gaps
}

/// The silent sources that each grant (or subject) has rows of.
async fn sources(
    wide: &SessionContext,
    column: &str,
    view: &str,
    gaps: &BTreeMap<String, Vec<Gap>>,
) -> Result<BTreeMap<String, BTreeSet<String>>, QueryError> {
    let listed: Vec<String> = gaps.keys().map(|source| format!("'{}'", source.replace('\'', "''"))).collect();
    let sql = format!(
        "SELECT DISTINCT {column} AS who, source FROM {view} WHERE {column} IS NOT NULL AND source IN ({})",
        listed.join(", ")
    );
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let rows = query::collect(wide.sql(&sql).await?).await?;
    for row in output::objects(&rows.batches) {
        let text = |name: &str| row.get(name).map(output::text).unwrap_or_default();
        seen.entry(text("who")).or_default().insert(text("source"));
    }
    Ok(seen)
}

/// The gaps that meet the time in which a verdict's absence lies, in words that stay the same while a gap goes on.
fn met(
    verdict: &Verdict,
    absence: &Absence,
    sources: Option<&BTreeSet<String>>,
    gaps: &BTreeMap<String, Vec<Gap>>,
) -> Vec<String> {
    let mut row: Map<String, Value> = verdict.evidence.object();
    row.insert("violated_at".to_owned(), json!(time::format(verdict.violated_at)));
    let moment = |column: &str| row.get(column).and_then(Value::as_str).and_then(time::parse);
    let (Some(from), Some(to)) = (moment(&absence.from), moment(&absence.to)) else { return Vec::new() };
    let of_sources = sources.into_iter().flatten().filter_map(|source| Some((source, gaps.get(source)?)));
    of_sources
        .flat_map(|(source, gaps)| gaps.iter().map(move |gap| (source, gap)))
        .filter(|(_, gap)| gap.from <= to && gap.to.is_none_or(|end| end >= from))
        .map(|(source, gap)| match gap.to {
            Some(end) => format!("{source} was silent from {} to {}", time::format(gap.from), time::format(end)),
            None => format!("{source} is silent since {}", time::format(gap.from)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::finding::Severity;

    #[test]
    fn a_gap_counts_where_it_meets_the_absence() {
        let minute = |m: i64| m * 60_000_000;
        let evidence = json!({ "logged_out_at": time::format(minute(10)) });
        let verdict = Verdict {
            detector: "d".into(),
            key: Arc::default(),
            severity: Severity::Low,
            violated_at: minute(15),
            resolved_at: None,
            evidence: Evidence::new(evidence.as_object().unwrap(), &[]),
        };
        let absence = Absence { from: "logged_out_at".to_owned(), to: "violated_at".to_owned() };
        let sources = BTreeSet::from(["okta".to_owned()]);
        let told = |source: &str, from: i64, to: Option<i64>| {
            let gaps = BTreeMap::from([(source.to_owned(), vec![Gap { from: minute(from), to: to.map(minute) }])]);
            met(&verdict, &absence, Some(&sources), &gaps).len()
        };
        assert_eq!(told("okta", 0, Some(9)), 0);
        assert_eq!(told("okta", 0, Some(10)), 1);
        assert_eq!(told("okta", 15, None), 1);
        assert_eq!(told("okta", 16, None), 0);
        assert_eq!(told("github", 0, None), 0, "no row of the grant is from there");
    }
}
