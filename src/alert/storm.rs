//! The digest of a storm: a mistaken policy may open 50,000 findings at once, and one message has to say so.

use std::collections::BTreeMap;

use super::notice::{self, Message, Storm, VERSION, quoted};
use super::plan::{Item, Terms};
use crate::event::time;
use crate::finding::Severity;

/// Subjects, and findings, that a digest names.
const NAMED_MAX: usize = 10;

/// One message for all of these alerts of one detector.
pub(super) fn digest(items: &[Item<'_>], sink: &str, detector: &str, terms: Terms<'_>) -> Message {
    let mut by_change: BTreeMap<String, usize> = BTreeMap::new();
    let mut by_severity: BTreeMap<String, usize> = BTreeMap::new();
    let mut by_subject: BTreeMap<&str, usize> = BTreeMap::new();
    for item in items {
        *by_change.entry(item.change().to_owned()).or_default() += 1;
        *by_severity.entry(item.severity()).or_default() += 1;
        *by_subject.entry(&item.subject).or_default() += 1;
    }
    let mut subjects: Vec<(String, usize)> = by_subject.into_iter().map(|(s, n)| (s.to_owned(), n)).collect();
    subjects.sort_by(|(a, m), (b, n)| n.cmp(m).then(a.cmp(b)));
    subjects.truncate(NAMED_MAX);
    let mut worst: Vec<(Option<Severity>, &str)> =
        items.iter().map(|i| (Severity::parse(&i.severity()), i.finding())).collect();
    worst.sort_by(|(a, x), (b, y)| b.cmp(a).then(x.cmp(y)));
    let severity = worst.first().and_then(|(s, _)| *s).unwrap_or(Severity::Low);
    let examples: Vec<String> = worst.iter().take(NAMED_MAX).map(|(_, id)| (*id).to_owned()).collect();
    let title = terms.catalog.find(detector).map_or_else(|_| detector.to_owned(), |d| d.header.title.clone());
    let keys: Vec<&str> = items.iter().map(|i| i.key.as_str()).collect();
    let sql = format!(
        "SELECT severity, state, COUNT(*) AS findings, MIN(violated_at) AS first, MAX(violated_at) AS last \
         FROM findings WHERE detector = '{}' GROUP BY severity, state ORDER BY findings DESC",
        detector.replace('\'', "''")
    );
    let mut look_further = vec![format!("tokentrail query {}", quoted(&sql))];
    look_further.extend(examples.first().map(|id| format!("tokentrail findings show {id}")));
    look_further.push(format!("tokentrail detectors show {detector}"));
    Message {
        version: VERSION,
        key: notice::key_of(&[&["storm", sink][..], &keys].concat()),
        title: format!("{title}: {} findings at once", items.len()),
        severity: severity.as_str().to_owned(),
        detector: detector.to_owned(),
        subject: None,
        at: time::format(terms.now),
        test: false,
        alerts: Vec::new(),
        storm: Some(Storm {
            findings: items.len(),
            by_change,
            by_severity,
            top_subjects: subjects,
            examples,
            look_further,
        }),
    }
}
