//! `detectors new`: a detector that runs, with cases that pass, to be changed into what is wanted.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use super::{Global, cases};
use crate::detect::catalog::Catalog;

/// Where `detectors new` puts files.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Its id: what findings will be known by for good, such as refresh_from_a_test_client
    id: String,
    /// Folder of cases, DIR/DETECTOR/CASE
    #[arg(long, value_name = "DIR", default_value = "tests/detectors")]
    cases: PathBuf,
}

const DETECTOR: &str = include_str!("scaffold/detector.sql");
const CASES: [(&str, &str, &str); 2] = [
    ("fires_at_a_refresh", include_str!("scaffold/fires.toml"), include_str!("scaffold/fires.ndjson")),
    ("quiet_when_refused", include_str!("scaffold/quiet.toml"), include_str!("scaffold/quiet.ndjson")),
];

/// Writes the files and runs the cases once, so that they say what is expected of them.
pub async fn run(args: &Args, global: &Global) -> anyhow::Result<()> {
    let Args { id, cases: folder } = args;
    let is_name = id.starts_with(|c: char| c.is_ascii_lowercase())
        && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    ensure!(is_name, "{id:?} is no id: small letters, digits and _, a letter first");
    let queries = global.queries.clone().unwrap_or_else(|| PathBuf::from("queries"));
    let file = queries.join(format!("{id}.sql"));
    ensure!(!file.exists(), "{} is there already", file.display());
    let known = Catalog::load(global.queries.as_deref())?;
    ensure!(
        known.find(id).is_err(),
        "there is a detector {id} already; `tokentrail detectors show {id}` prints its file"
    );
    write(&file, &DETECTOR.replace("DETECTOR", id))?;
    for (name, terms, events) in CASES {
        let case = folder.join(id).join(name);
        write(&case.join("case.toml"), terms)?;
        write(&case.join("events.ndjson"), events)?;
    }
    let ours = Global { queries: Some(queries.clone()), ..global.clone() };
    cases::run(folder, std::slice::from_ref(id), true, &ours).await?;
    let (file, folder) = (file.display(), folder.display());
    println!("{file}\n{folder}/{id}/\n\nNext, as often as you change something:");
    let queries = queries.display();
    println!("  tokentrail detectors check {file}");
    println!("  tokentrail --queries {queries} detectors test {id} --cases {folder}");
    println!("  tokentrail --queries {queries} detectors backtest {file}");
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    std::fs::write(path, text).with_context(|| path.display().to_string())
}
