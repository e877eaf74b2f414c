//! The files of a pack, made from an assessment alone: `verify` makes them again and compares byte by byte.

pub mod manifest;
pub mod tables;
pub mod write;

use serde::Serialize;
use serde_json::json;

use super::ExportError;
use super::formats;
use super::model::{Assessment, Detector, Link, Subcategory};
use tables::{csv, parquet, texts};

/// A file of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Path in the pack, with `/`.
    pub name: String,
    pub bytes: Vec<u8>,
    /// Rows, where it has any.
    pub rows: Option<u64>,
}

/// Name of the list of all files.
pub const MANIFEST: &str = "manifest.json";
/// Name of the one file that changes from run to run.
pub const RUN: &str = "run.json";
/// Everything but the rows.
pub const ASSESSMENT: &str = "assessment.json";
/// The framework file that was used.
pub const FRAMEWORK: &str = "framework.toml";
/// Whole timelines of the sample.
pub const TIMELINES: &str = "sample/timelines";

/// The folder of what a detector says of a part. Letters that are no part of names become `-`.
pub fn folder_of(part: &str, detector: &str) -> String {
    format!("controls/{}/{}", plain(part), plain(detector))
}

fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect()
}

/// Gives every file but manifest and run to `take`, one at a time, each made when its turn comes.
///
/// # Errors
/// The first error of `take`, or a table that could not be written.
pub fn each(
    it: &Assessment,
    framework: &str,
    take: &mut dyn FnMut(File) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    take(File { name: FRAMEWORK.to_owned(), bytes: framework.as_bytes().to_vec(), rows: None })?;
    take(json_file(ASSESSMENT, it)?)?;
    take(json_file("scope.json", &json!({ "scope": it.scope, "period": it.period, "summary": it.summary }))?)?;
    take(json_file("provenance.json", &it.provenance)?)?;
    overview(it, take)?;
    for part in &it.subcategories {
        let links: Vec<&Link> = part.links.iter().collect();
        take(json_file(&format!("controls/{}/summary.json", plain(&part.id)), &part)?)?;
        for link in links {
            if let Some(detector) = it.detector(&link.detector) {
                evidence(part, link, detector, take)?;
            }
        }
    }
    if let Some(sample) = &it.sample {
        take(json_file("sample/sample.json", sample)?)?;
        let rows = Some(sample.timelines.len() as u64);
        take(File { name: format!("{TIMELINES}.csv"), bytes: csv(&sample.timelines), rows })?;
        take(File { name: format!("{TIMELINES}.parquet"), bytes: parquet(&sample.timelines)?, rows })?;
    }
    for (name, bytes) in formats::files(it)? {
        take(File { name, bytes, rows: None })?;
    }
    Ok(())
}

fn json_file(name: &str, value: &impl Serialize) -> Result<File, ExportError> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|e| ExportError::Terms(format!("{name}: {e}")))?;
    bytes.push(b'\n');
    Ok(File { name: name.to_owned(), bytes, rows: None })
}

/// What is not about one detector.
fn overview(it: &Assessment, take: &mut dyn FnMut(File) -> Result<(), ExportError>) -> Result<(), ExportError> {
    let tables = [
        ("coverage/sources.csv", tables::sources(&it.coverage)),
        ("coverage/feeds.csv", tables::feeds(&it.coverage)),
        ("coverage/gaps.csv", tables::gaps(&it.coverage)),
        ("coverage/totals.csv", tables::totals(&it.coverage.totals)),
        ("exceptions.csv", tables::exceptions(&it.exceptions)),
        ("remediation.csv", tables::remediation(&it.remediation)),
        ("history.csv", tables::history(&it.history)),
        ("trend.csv", tables::trend(&it.trend)),
    ];
    for (name, table) in tables {
        take(File { name: name.to_owned(), rows: Some(table.len() as u64), bytes: csv(&table) })?;
    }
    let mut limits = String::from("What this data cannot show\n\n");
    it.limits.iter().for_each(|limit| limits.push_str(&format!("- {limit}\n")));
    take(File { name: "limits.txt".to_owned(), bytes: limits.into_bytes(), rows: None })?;
    take(File { name: "sign-off.txt".to_owned(), bytes: SIGN_OFF.as_bytes().to_vec(), rows: None })
}

/// A folder: what one detector says of one part.
fn evidence(
    part: &Subcategory,
    link: &Link,
    detector: &Detector,
    take: &mut dyn FnMut(File) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let folder = &link.folder;
    let rows = Some(detector.rows.len() as u64);
    let name = |file: &str| format!("{folder}/{file}");
    take(File { name: name("query.sql"), bytes: detector.sql.as_bytes().to_vec(), rows: None })?;
    take(json_file(&name("parameters.json"), &detector.parameters)?)?;
    take(File { name: name("result.csv"), bytes: csv(&detector.rows), rows })?;
    take(File { name: name("result.parquet"), bytes: parquet(&detector.rows)?, rows })?;
    let totals = texts(&["source", "day", "action", "events"], detector.population.totals.iter().map(tables::total));
    take(File { name: name("population.csv"), rows: Some(totals.len() as u64), bytes: csv(&totals) })?;
    let columns = detector.rows.columns();
    let summary = json!({
        "part": part.id,
        "detector": detector.id,
        "title": detector.title,
        "kind": detector.kind,
        "relation": link.relation,
        "why": link.why,
        "decides": link.decides,
        "result": detector.verdict.result,
        "reason": detector.verdict.reason,
        "population": { "what": detector.population.what, "definition": detector.population.definition,
            "events": detector.population.events },
        "counts": detector.counts,
        "sql_sha256": detector.sql_sha256,
        "rows_sha256": detector.rows_sha256,
        "columns": columns,
        "withheld": detector.withheld,
        "references": detector.references,
    });
    take(json_file(&name("summary.json"), &summary)?)
}

/// Left blank: a program signs nothing.
const SIGN_OFF: &str = "\
Sign-off (left blank by the program; a copy of this page is to be filled in, for the pack itself must stay as it is)

Prepared by   name ______________________  role ______________________  date ____________
Reviewed by   name ______________________  role ______________________  date ____________
Approved by   name ______________________  role ______________________  date ____________

Root hash of the pack (from manifest.json) _______________________________________________
Remarks _________________________________________________________________________________
";
