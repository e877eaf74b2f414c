//! What came out as one table: a row for each test of each part, and one for a part that nothing tests.

use crate::export::model::{Assessment, Link, Subcategory, Table};
use crate::export::pack::tables;

/// The columns.
pub const COLUMNS: [&str; 17] = [
    "part",
    "title",
    "part_result",
    "part_reason",
    "detector",
    "severity",
    "relation",
    "decides",
    "result",
    "reason",
    "population",
    "events",
    "found",
    "open_at_end",
    "excepted",
    "uncertain",
    "folder",
];

/// As comma-separated values.
pub fn csv(it: &Assessment) -> Vec<u8> {
    tables::csv(&table(it))
}

/// The rows, in the order of the framework.
pub fn table(it: &Assessment) -> Table {
    let rows = it.subcategories.iter().flat_map(|part| {
        let tested: Vec<Vec<String>> = part.links.iter().filter_map(|link| row(it, part, link)).collect();
        if tested.is_empty() { vec![head(part)] } else { tested }
    });
    tables::texts(&COLUMNS, rows)
}

fn head(part: &Subcategory) -> Vec<String> {
    let verdict = &part.verdict;
    vec![part.id.clone(), part.title.clone(), verdict.result.to_string(), verdict.reason.clone()]
}

fn row(it: &Assessment, part: &Subcategory, link: &Link) -> Option<Vec<String>> {
    let detector = it.detector(&link.detector)?;
    let counts = &detector.counts;
    let mut row = head(part);
    row.extend([
        detector.id.clone(),
        detector.severity.clone(),
        link.relation.as_str().to_owned(),
        link.decides.to_string(),
        detector.verdict.result.to_string(),
        detector.verdict.reason.clone(),
        detector.population.what.clone(),
    ]);
    let numbers = [detector.population.events, counts.found, counts.open_at_end, counts.excepted, counts.uncertain];
    row.extend(numbers.map(|number| number.to_string()));
    row.push(link.folder.clone());
    Some(row)
}
