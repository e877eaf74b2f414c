//! `tokentrail detectors`: the rules themselves.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::query::table;
use super::{Global, Output, backtest, cases, detector_docs, scaffold};
use crate::detect::catalog::{Catalog, Detector};
use crate::detect::check;
use crate::detect::feeds::Feeds;
use crate::detect::frame::Frame;
use crate::lake::Lake;
use crate::query::output;

/// Arguments of `detectors`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// All detectors, and of which kinds of events that they rest on the lake has none
    List,
    /// A detector's file: what it means, and its SQL
    Show { id: String },
    /// Check detector files without running them; the built-in ones and those of --queries if none is named
    Check { files: Vec<PathBuf> },
    /// Begin a detector: a file that runs, in --queries, and cases that pass
    New(scaffold::Args),
    /// What a detector file would have found over history, beside what the current version finds
    Backtest(backtest::Args),
    /// What every detector means, as Markdown
    Docs,
    /// Run detectors on their cases; all that have some if none is named
    Test {
        ids: Vec<String>,
        /// Folder of cases, DIR/DETECTOR/CASE
        #[arg(long, value_name = "DIR", default_value = "tests/detectors")]
        cases: PathBuf,
        /// Write what is found as what is expected, to be looked at as a diff
        #[arg(long)]
        update: bool,
    },
}

/// Runs the command.
pub async fn run(args: Args, global: &Global) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::List => list(&Catalog::load(global.queries.as_deref())?, global).await?,
        Command::Show { id } => println!("{}", Catalog::load(global.queries.as_deref())?.find(&id)?.text.trim_end()),
        Command::Docs => print!("{}", detector_docs::page(&Catalog::load(global.queries.as_deref())?)),
        Command::New(args) => scaffold::run(&args, global).await?,
        Command::Backtest(args) => return backtest::run(&args, global).await,
        Command::Check { files } => return check(&files, global).await,
        Command::Test { ids, cases, update } => return test(&cases, &ids, update, global).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(catalog: &Catalog, global: &Global) -> anyhow::Result<()> {
    // Without a lake nothing is lacking yet.
    let feeds = match Lake::open(&global.lake).await {
        Ok(lake) => Some(Feeds::of(&lake).await?),
        Err(_) => None,
    };
    let lacks = |d: &Detector| {
        let lacked = feeds.as_ref().map(|feeds| feeds.lacked_by(&d.header)).unwrap_or_default();
        lacked.into_iter().collect::<Vec<_>>().join(", ")
    };
    let row = |d: &Detector| {
        let header = &d.header;
        let value = json!({
            "id": d.id, "severity": header.severity, "status": format!("{:?}", header.status).to_lowercase(),
            "kind": format!("{:?}", header.kind).to_lowercase(), "key": header.key.join(", "),
            "csf": header.controls.csf.join(", "), "lacks": lacks(d), "title": header.title,
        });
        value.as_object().cloned().unwrap_or_default()
    };
    let rows: Vec<Map<String, Value>> = catalog.all().iter().map(row).collect();
    let names = ["id", "severity", "status", "kind", "key", "csf", "lacks", "title"];
    match global.output {
        Output::Table => println!("{}", table(names.into_iter(), rows.into_iter())),
        Output::Json => println!("{}", serde_json::to_string_pretty(&rows)?),
        Output::Ndjson => rows.iter().for_each(|row| println!("{}", Value::Object(row.clone()))),
        Output::Csv => output::csv(names.into_iter(), rows.into_iter(), &mut std::io::stdout().lock())?,
    }
    Ok(())
}

/// Says what is wrong, one line each, or that nothing is.
async fn check(files: &[PathBuf], global: &Global) -> anyhow::Result<ExitCode> {
    let mut wrong = 0;
    let mut detectors = Vec::new();
    if files.is_empty() {
        detectors.extend(Catalog::load(global.queries.as_deref())?.all().to_vec());
    }
    for file in files {
        match Detector::load(file) {
            Ok(detector) => detectors.push(detector),
            Err(error) => {
                wrong += 1;
                eprintln!("{error}");
            }
        }
    }
    let policy = global.load_policy()?;
    let frame = Frame::empty(&policy).await?;
    for detector in &detectors {
        let mistakes = check::mistakes(frame.wide(), detector).await;
        wrong += usize::from(!mistakes.is_empty());
        mistakes.iter().for_each(|mistake| eprintln!("{mistake}"));
        if mistakes.is_empty() && !global.quiet {
            println!("{}: good", detector.file);
        }
    }
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Says which cases came out otherwise than expected.
async fn test(folder: &Path, ids: &[String], update: bool, global: &Global) -> anyhow::Result<ExitCode> {
    let told = cases::run(folder, ids, update, global).await?;
    if told.good + told.wrong == 0 {
        bail!("{}: there are no cases; a case is a folder DETECTOR/CASE in it", folder.display());
    }
    if !global.quiet {
        println!("{} cases as expected, {} not", told.good, told.wrong);
    }
    Ok(if told.wrong == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
