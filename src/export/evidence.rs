//! What detectors found as rows that may leave: canonical, each value as the export policy has it.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::model::{Column, Counts, Moment, Period, Table, Treatment};
use super::privacy::{How, Privacy};
use crate::detect::catalog::Detector;
use crate::event::time;
use crate::finding::Verdict;
use crate::policy;
use crate::query::output;

/// The columns that every detector's rows begin with.
pub const FIXED: [&str; 6] = ["finding", "severity", "violated_at", "resolved_at", "exception", "uncertain"];
/// Evidence that says which gap makes a finding uncertain.
const UNCERTAIN: &str = "inconclusive";

/// The rows of one detector whose condition held at some time of the period, and the columns that stay here.
pub fn rows(
    detector: &Detector,
    verdicts: &[Verdict],
    exceptions: &[policy::Exception],
    privacy: &Privacy,
    period: Period,
) -> (Table, Vec<String>) {
    let within: Vec<&Verdict> = verdicts.iter().filter(|verdict| overlaps(verdict, period)).collect();
    let mut names: BTreeSet<String> = BTreeSet::new();
    for verdict in &within {
        names.extend(verdict.evidence.object().into_iter().map(|(name, _)| name));
    }
    names.retain(|name| name != UNCERTAIN && !detector.header.key.contains(name));
    let wanted = detector.header.key.iter().chain(&names).map(String::as_str);
    let (shown, withheld) = privacy.columns(wanted);
    let fixed = FIXED.map(|name| {
        let treatment =
            if name == "finding" && privacy.key_id().is_some() { Treatment::Pseudonym } else { Treatment::Show };
        Column { name: name.to_owned(), treatment }
    });
    let mut table = Table::new(fixed.into_iter().chain(shown.iter().map(|(column, _)| column.clone())).collect());
    let own: Vec<&policy::Exception> = exceptions.iter().filter(|e| e.detector == detector.id).collect();
    for verdict in within {
        let row = verdict.row();
        let cells = cells(verdict, &row, &own, privacy, period, &shown);
        table.push(cells.iter().map(String::as_str));
    }
    (table.sorted(), withheld.into_iter().collect())
}

fn overlaps(verdict: &Verdict, period: Period) -> bool {
    verdict.violated_at < period.to.0 && verdict.resolved_at.is_none_or(|at| at > period.from.0)
}

fn cells(
    verdict: &Verdict,
    row: &Map<String, Value>,
    exceptions: &[&policy::Exception],
    privacy: &Privacy,
    period: Period,
    shown: &[(Column, How)],
) -> Vec<String> {
    let resolved_at = verdict.resolved_at.filter(|at| *at < period.to.0);
    // An exception covers what ended, or lasts until the end of the period, while it held.
    let last = resolved_at.unwrap_or(period.as_of.0);
    let exception = exceptions.iter().find(|e| e.holds_at(last) && e.matches(&verdict.detector, row));
    let uncertain = row.get(UNCERTAIN).and_then(Value::as_array).into_iter().flatten().map(output::text);
    let mut cells = vec![
        privacy.finding(&verdict.id()),
        verdict.severity.to_string(),
        time::format(verdict.violated_at),
        resolved_at.map(time::format).unwrap_or_default(),
        exception.map(|e| label(e)).unwrap_or_default(),
        uncertain.collect::<Vec<_>>().join("; "),
    ];
    let value = |name: &str| row.get(name).unwrap_or(&Value::Null);
    cells.extend(shown.iter().map(|(column, how)| privacy.cell(*how, value(&column.name))));
    cells
}

/// How rows name an exception.
pub fn label(exception: &policy::Exception) -> String {
    named(&exception.owner, &exception.reason, Moment(exception.until))
}

/// The same of an exception's parts.
pub fn named(owner: &str, reason: &str, until: Moment) -> String {
    format!("{owner}, until {until}: {reason}")
}

/// What rows come to.
pub fn counts(rows: &Table) -> Counts {
    let place = |name: &str| rows.column(name);
    let (exception, resolved, uncertain) = (place("exception"), place("resolved_at"), place("uncertain"));
    let empty = |row: usize, column: Option<usize>| column.is_none_or(|column| rows.cell(row, column).is_empty());
    let mut counts = Counts { rows: rows.len() as u64, ..Counts::default() };
    for row in 0..rows.len() {
        if !empty(row, exception) {
            counts.excepted += 1;
            continue;
        }
        counts.found += 1;
        counts.open_at_end += u64::from(empty(row, resolved));
        counts.uncertain += u64::from(!empty(row, uncertain));
    }
    counts
}
