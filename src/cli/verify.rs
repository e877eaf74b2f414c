//! `tokentrail verify`: whether a pack of evidence is whole, and says what follows from its rows.

use std::env;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde_json::json;

use super::export::PseudonymKey;
use super::query::{printable, quiet_pipe};
use super::{Global, Output};
use crate::detect::runs::{self, Run};
use crate::export::ExportError;
use crate::export::assess::{Request, Terms, assess};
use crate::export::framework::Framework;
use crate::export::framework::check::Checked;
use crate::export::model::Assessment;
use crate::export::pack::FRAMEWORK;
use crate::export::privacy::Privacy;
use crate::export::sample::Wanted;
use crate::export::verify::{self, Report};
use crate::lake::Lake;

/// Arguments of `verify`. With `--lake` the detectors are run again at the recorded version, and the rows compared.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The pack: a folder or a zip
    pack: PathBuf,
    /// The root hash that the pack is to have, as you were told
    #[arg(long, value_name = "HASH")]
    root: Option<String>,
    #[command(flatten)]
    key: PseudonymKey,
}

/// Problems shown on a screen; the rest is counted.
const SHOWN_MAX: usize = 20;

/// Runs the command: exit code 1 if something does not hold, 2 if it could not be checked.
pub async fn run(args: Args, global: &Global) -> anyhow::Result<ExitCode> {
    let mut report = match verify::check(&args.pack, args.root.as_deref()) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("error: {error}");
            return Ok(ExitCode::from(2));
        }
    };
    // The lake has a default for all commands; here only one that is named is asked.
    let is_named = env::args().any(|argument| argument == "--lake" || argument.starts_with("--lake="));
    let mut recomputed = None;
    if is_named && report.problems.is_empty() {
        match again(&args, &report, global).await {
            Ok(problems) => {
                recomputed = Some(problems.is_empty());
                report.problems.extend(problems);
            }
            Err(error) => {
                eprintln!("error: the pack holds by itself, and could not be compared with the lake: {error:#}");
                return Ok(ExitCode::from(2));
            }
        }
    }
    let text = match global.output {
        Output::Table => screen(&report, recomputed),
        _ => format!("{}\n", told(&report, recomputed)),
    };
    let mut out = io::stdout().lock();
    let printed = write!(out, "{text}").and_then(|()| out.flush());
    quiet_pipe(printed)?;
    Ok(if report.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn told(report: &Report, recomputed: Option<bool>) -> serde_json::Value {
    json!({
        "holds": report.problems.is_empty(),
        "root_sha256": report.manifest.root_sha256,
        "files": report.files,
        "rows": report.rows,
        "recomputed": recomputed,
        "problems": report.problems,
        "notes": report.notes,
    })
}

fn screen(report: &Report, recomputed: Option<bool>) -> String {
    let mut text = String::new();
    for problem in report.problems.iter().take(SHOWN_MAX) {
        text.push_str(&format!("does not hold: {}\n", printable(problem)));
    }
    if report.problems.len() > SHOWN_MAX {
        text.push_str(&format!("and {} more\n", report.problems.len() - SHOWN_MAX));
    }
    for note in &report.notes {
        text.push_str(&format!("note: {}\n", printable(note)));
    }
    if report.problems.is_empty() {
        text.push_str(&format!(
            "The pack holds: {} files, {} rows, and every figure and result follows from them.\nRoot hash {}\n",
            report.files,
            report.rows,
            printable(&report.manifest.root_sha256)
        ));
        if recomputed == Some(true) {
            text.push_str("The detectors, run again on the lake at the recorded version, gave the same rows.\n");
        }
    }
    text
}

/// Runs the detectors again, and says where the lake gives something else.
async fn again(args: &Args, report: &Report, global: &Global) -> anyhow::Result<Vec<String>> {
    let Some(it) = &report.assessment else { bail!("the pack has no assessment") };
    let lake = Lake::open(&global.lake).await?;
    let run = Run { id: "of the pack".to_owned(), made_with: it.provenance.made_with.clone(), ..Run::default() };
    let (policy, catalog) =
        runs::policy_and_queries(&lake, &run).await.context("the policy and queries that the pack was made with")?;
    let framework = Checked::new(Framework::parse(FRAMEWORK, &report.framework)?, &catalog)?;
    let key = match &it.scope.pseudonym_key {
        None => None,
        Some(id) => match args.key.load(&lake, false)? {
            Some(key) if key.id() == id => Some(key),
            Some(key) => bail!(
                "names in the pack are pseudonyms of the key {id}, and this is the key {}: give the other one with \
                 --pseudonym-key-file",
                key.id()
            ),
            None => bail!(
                "names in the pack are pseudonyms of the key {id}, and there is none here: give it with --pseudonym-key-file"
            ),
        },
    };
    let privacy = Privacy::new(&framework.framework.columns, key.as_ref()).map_err(ExportError::Terms)?;
    let terms = Terms { policy: &policy, catalog: &catalog, framework: &framework, official: None, privacy: &privacy };
    let request = Request {
        from: it.period.from.0,
        to: it.period.to.0,
        version: Some(it.provenance.version),
        sample: it.sample.as_ref().map(|sample| Wanted { size: sample.size, seed: sample.seed.clone() }),
        now: it.period.to.0,
    };
    Ok(differing(it, &assess(&lake, &terms, &request).await?))
}

fn differing(then: &Assessment, now: &Assessment) -> Vec<String> {
    let mut wrong = Vec::new();
    for detector in &then.detectors {
        let Some(again) = now.detector(&detector.id) else {
            wrong.push(format!("{}: it is not run on this lake", detector.id));
            continue;
        };
        if again.rows_sha256 != detector.rows_sha256 {
            let (then, now) = (detector.counts.rows, again.counts.rows);
            wrong.push(format!("{}: the lake gives {now} rows, and not the {then} of the pack", detector.id));
        }
        if again.population != detector.population {
            let (then, now) = (detector.population.events, again.population.events);
            wrong.push(format!("{}: the lake has {now} events to test, and not the {then} of the pack", detector.id));
        }
    }
    if then.coverage.totals != now.coverage.totals {
        wrong.push("coverage/totals.csv: the lake has other totals".to_owned());
    }
    if then.sample.as_ref().map(|s| &s.timelines_sha256) != now.sample.as_ref().map(|s| &s.timelines_sha256) {
        wrong.push("sample: the lake gives other grants or timelines".to_owned());
    }
    wrong
}
