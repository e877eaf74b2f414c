//! Checking a pack without trusting it: every hash, row and figure is worked out again from the pack itself.
//!
//! Two ways lead to each number. The manifest says what each file was; the assessment says what follows from the rows; and
//! because every file follows from the assessment and the rows, all files are made again and compared. What a pack cannot
//! show by itself is that nobody made all of it anew: for that its root hash has to be known from elsewhere.

mod figures;
mod opened;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::model::Assessment;
use super::pack::manifest::{Entry, FORMAT, Manifest, RunBlock};
use super::pack::{self, ASSESSMENT, FRAMEWORK, MANIFEST, RUN, TIMELINES, tables};
use crate::event::hex;
use opened::Opened;

/// What became of a check.
#[derive(Debug, Default)]
pub struct Report {
    pub manifest: Manifest,
    /// The assessment with its rows, if it could be read.
    pub assessment: Option<Assessment>,
    /// The framework file in the pack.
    pub framework: String,
    /// What does not hold, each with its file or figure; the first is what to look at.
    pub problems: Vec<String>,
    /// What could not be checked, and why.
    pub notes: Vec<String>,
    /// How many files and rows were checked.
    pub files: usize,
    pub rows: u64,
}

/// Why there is nothing to check.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("{path} cannot be read as a pack: {why}")]
    Unreadable { path: String, why: String },
}

/// Problems that are told; more are counted.
const PROBLEMS_MAX: usize = 1000;

/// Checks the pack in a folder or zip. `root`: the root hash as it was told elsewhere.
///
/// # Errors
/// [`VerifyError`], if there is no pack at all. Whatever is wrong with one is in the report.
pub fn check(path: &Path, root: Option<&str>) -> Result<Report, VerifyError> {
    let mut opened = Opened::open(path)?;
    let mut report = Report { problems: std::mem::take(&mut opened.problems), ..Report::default() };
    let Some(manifest) = manifest(&mut opened, &mut report) else { return Ok(report) };
    report.manifest = manifest;
    if let Some(root) = root.filter(|root| !root.eq_ignore_ascii_case(&report.manifest.root_sha256)) {
        report.problems.push(format!("the root hash is {}, and not {root}", report.manifest.root_sha256));
    }
    files(&mut opened, &mut report);
    run_block(&mut opened, &mut report);
    content(&mut opened, &mut report);
    if opened.is_zip && report.problems.is_empty() {
        report.problems.extend(opened.as_made(&pack::write::names(&report.manifest)));
    }
    report.problems.truncate(PROBLEMS_MAX);
    Ok(report)
}

fn manifest(opened: &mut Opened, report: &mut Report) -> Option<Manifest> {
    let bytes = match opened.read(MANIFEST) {
        Ok(bytes) => bytes,
        Err(why) => {
            report.problems.insert(0, format!("{MANIFEST}: {why}"));
            return None;
        }
    };
    let manifest: Manifest = match serde_json::from_slice(&bytes) {
        Ok(manifest) => manifest,
        Err(error) => {
            report.problems.insert(0, format!("{MANIFEST}: {error}"));
            return None;
        }
    };
    if manifest.format != FORMAT {
        report.problems.push(format!(
            "{MANIFEST}: its layout is number {}, and this version knows {FORMAT}: check it with tokentrail {}",
            manifest.format, manifest.tool.version
        ));
        return None;
    }
    if manifest.root() != manifest.root_sha256 {
        report.problems.push(format!("{MANIFEST}: the root hash does not hold: what the manifest lists was changed"));
    }
    if manifest.bytes() != bytes {
        report.problems.push(format!("{MANIFEST}: it is not as it was written, though it says the same"));
    }
    if !manifest.files.windows(2).all(|pair| pair[0].name < pair[1].name) {
        report.problems.push(format!("{MANIFEST}: its files are not in order, or one is there twice"));
    }
    Some(manifest)
}

/// Every file against its entry, and files that have none.
fn files(opened: &mut Opened, report: &mut Report) {
    let listed: BTreeMap<&str, &Entry> =
        report.manifest.files.iter().map(|entry| (entry.name.as_str(), entry)).collect();
    let there: BTreeSet<String> = opened.names().map(str::to_owned).collect();
    for name in there.iter().filter(|name| !listed.contains_key(name.as_str()) && *name != MANIFEST && *name != RUN) {
        report.problems.push(format!("{name}: it is in the pack and not in the manifest"));
    }
    for entry in listed.values() {
        if !there.contains(&entry.name) {
            report.problems.push(format!("{}: it is in the manifest and not in the pack", entry.name));
            continue;
        }
        let bytes = match opened.read(&entry.name) {
            Ok(bytes) => bytes,
            Err(why) => {
                report.problems.push(format!("{}: {why}", entry.name));
                continue;
            }
        };
        report.files += 1;
        if bytes.len() as u64 != entry.bytes || hex(&Sha256::digest(&bytes)) != entry.sha256 {
            report.problems.push(format!("{}: it was changed: its hash is not the one in the manifest", entry.name));
            continue;
        }
        if let (true, Some(rows)) = (entry.name.ends_with(".parquet"), entry.rows) {
            match tables::parquet_rows(bytes) {
                Ok(found) if found == rows => {}
                Ok(found) => report.problems.push(format!("{}: it has {found} rows, and not {rows}", entry.name)),
                Err(why) => report.problems.push(format!("{}: {why}", entry.name)),
            }
        }
    }
}

fn run_block(opened: &mut Opened, report: &mut Report) {
    if !opened.names().any(|name| name == RUN) {
        if !opened.is_zip {
            report.problems.push(format!("{RUN}: it is missing"));
        }
        return;
    }
    let read = opened.read(RUN).and_then(|bytes| {
        let block: RunBlock = serde_json::from_slice(&bytes).map_err(|e| e.to_string())?;
        if block.hash() != block.sha256 || block.bytes() != bytes {
            return Err("it was changed: its hash does not hold".to_owned());
        }
        if block.root_sha256 != report.manifest.root_sha256 {
            return Err("it belongs to another pack".to_owned());
        }
        Ok(())
    });
    report.problems.extend(read.err().map(|why| format!("{RUN}: {why}")));
}

/// What the files say, worked out again.
fn content(opened: &mut Opened, report: &mut Report) {
    let read = opened
        .read(ASSESSMENT)
        .and_then(|bytes| serde_json::from_slice::<Assessment>(&bytes).map_err(|e| e.to_string()));
    let mut it = match read {
        Ok(it) => it,
        Err(why) => return report.problems.push(format!("{ASSESSMENT}: {why}")),
    };
    report.framework =
        match opened.read(FRAMEWORK).and_then(|bytes| String::from_utf8(bytes).map_err(|e| e.to_string())) {
            Ok(text) => text,
            Err(why) => return report.problems.push(format!("{FRAMEWORK}: {why}")),
        };
    if let Err(why) = attach(opened, &mut it) {
        return report.problems.push(why);
    }
    report.rows = it.detectors.iter().map(|d| d.rows.len() as u64).sum();
    report.problems.extend(figures::wrong(&it, &report.manifest, &report.framework));
    report.problems.extend(super::formats::wrong(&it));
    if it.tool.version == env!("CARGO_PKG_VERSION") {
        compare(opened, report, &it);
    } else {
        report.notes.push(format!(
            "the pack was made by version {}, and this is {}: hashes, rows and figures were checked, other files were not made again",
            it.tool.version,
            env!("CARGO_PKG_VERSION")
        ));
    }
    report.assessment = Some(it);
}

/// Reads the rows back to where they belong.
fn attach(opened: &mut Opened, it: &mut Assessment) -> Result<(), String> {
    let folders: BTreeMap<String, String> = it
        .subcategories
        .iter()
        .flat_map(|part| &part.links)
        .map(|link| (link.detector.clone(), link.folder.clone()))
        .collect();
    for detector in &mut it.detectors {
        // A detector that speaks to no part has no folder, and no rows in the pack.
        let Some(folder) = folders.get(&detector.id) else { continue };
        let summary = format!("{folder}/summary.json");
        let bytes = opened.read(&summary).map_err(|why| format!("{summary}: {why}"))?;
        let told: figures::Columns = serde_json::from_slice(&bytes).map_err(|e| format!("{summary}: {e}"))?;
        detector.rows = table(opened, &format!("{folder}/result.csv"), &told.columns)?;
    }
    if let Some(sample) = &mut it.sample {
        let name = format!("{TIMELINES}.csv");
        let first = opened.read(&name).map_err(|why| format!("{name}: {why}"))?;
        let text = String::from_utf8(first).map_err(|e| format!("{name}: {e}"))?;
        let header = text.lines().next().unwrap_or_default();
        let columns: Vec<super::model::Column> = header
            .split(',')
            .map(|name| super::model::Column { name: name.to_owned(), treatment: super::model::Treatment::Show })
            .collect();
        sample.timelines = tables::read_csv(&text, &columns).map_err(|why| format!("{name}: {why}"))?;
    }
    Ok(())
}

fn table(opened: &mut Opened, name: &str, columns: &[super::model::Column]) -> Result<super::model::Table, String> {
    let bytes = opened.read(name).map_err(|why| format!("{name}: {why}"))?;
    let text = String::from_utf8(bytes).map_err(|e| format!("{name}: {e}"))?;
    tables::read_csv(&text, columns).map_err(|why| format!("{name}: {why}"))
}

/// Every file made again from the assessment and the rows.
fn compare(opened: &mut Opened, report: &mut Report, it: &Assessment) {
    let mut made = BTreeSet::new();
    let mut wrong = Vec::new();
    let framework = report.framework.clone();
    let entries: BTreeMap<&str, &Entry> =
        report.manifest.files.iter().map(|entry| (entry.name.as_str(), entry)).collect();
    let each = pack::each(it, &framework, &mut |file| {
        match opened.read(&file.name) {
            Ok(bytes) if bytes == file.bytes => {}
            Ok(_) => wrong.push(format!("{}: it does not follow from the rows and the assessment", file.name)),
            Err(why) => wrong.push(format!("{}: {why}", file.name)),
        }
        if entries.get(file.name.as_str()).is_some_and(|entry| entry.rows != file.rows) {
            wrong.push(format!("{MANIFEST}: the rows of {} are not {:?}", file.name, file.rows));
        }
        made.insert(file.name);
        Ok(())
    });
    wrong.extend(each.err().map(|e| e.to_string()));
    let extra = report.manifest.files.iter().filter(|entry| !made.contains(&entry.name));
    wrong.extend(extra.map(|entry| format!("{}: a pack has no such file", entry.name)));
    // What the hash or the figures told already need not be told again.
    wrong.retain(|sentence| {
        let name = sentence.split(':').next().unwrap_or_default();
        !report.problems.iter().any(|problem| problem.starts_with(&format!("{name}:")))
    });
    report.problems.extend(wrong);
}
