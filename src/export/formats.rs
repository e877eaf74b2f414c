//! What a pack holds for different readers: each format is a pure function of the assessment, in a file of its own.
//!
//! A new one adds its module here and a line in [`files`]; its name becomes a path in the pack. `verify` makes them again
//! and compares, so the same assessment must give the same bytes.

pub mod ocsf;
pub mod oscal;
mod readme;
pub mod report;
pub mod stable_id;
pub mod summary;
#[cfg(test)]
mod tests;
pub mod workbook;

use super::ExportError;
use super::model::Assessment;

/// For machines of governance: OSCAL assessment results.
pub const OSCAL: &str = "oscal-assessment-results.json";
/// For a SIEM: OCSF compliance findings, a JSON object a line.
pub const OCSF: &str = "ocsf-compliance-findings.ndjson";
/// For a board: one page that needs nothing else.
pub const REPORT: &str = "report.html";
/// What came out, a row for each test of each part.
pub const SUMMARY: &str = "summary.csv";
/// For those who work in a spreadsheet.
pub const WORKBOOK: &str = "evidence.xlsx";

/// Name and bytes of every file that a format makes, beside those that the pack itself consists of.
///
/// # Errors
/// If the workbook could not be written.
pub fn files(assessment: &Assessment) -> Result<Vec<(String, Vec<u8>)>, ExportError> {
    let made = [
        ("README.txt", readme::text(assessment).into_bytes()),
        (REPORT, report::page(assessment).into_bytes()),
        (SUMMARY, summary::csv(assessment)),
        (WORKBOOK, workbook::xlsx(assessment)?),
        (OSCAL, oscal::json(assessment)),
        (OCSF, ocsf::ndjson(assessment)),
    ];
    Ok(made.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect())
}

/// What does not hold in what the formats say of this assessment, a sentence each.
pub fn wrong(assessment: &Assessment) -> Vec<String> {
    let document = oscal::document(assessment);
    let known = oscal::control_ids(assessment);
    oscal::check::problems(&document, &known).into_iter().map(|problem| format!("{OSCAL}: {problem}")).collect()
}
