//! `tokentrail export`: evidence of a period as a pack that an auditor can check offline.

use std::env;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::query::{quiet_pipe, sheet};
use super::{Global, Output};
use crate::clock;
use crate::decode::secrets::key::Key;
use crate::detect::catalog::Catalog;
use crate::event::time;
use crate::export::ExportError;
use crate::export::assess::{Request, Terms, assess};
use crate::export::framework::Framework;
use crate::export::framework::check::Checked;
use crate::export::framework::official::Official;
use crate::export::model::Assessment;
use crate::export::pack::manifest::{Manifest, RunBlock};
use crate::export::pack::write::{Destination, write};
use crate::export::privacy::Privacy;
use crate::export::sample::{SIZE_MAX, Wanted};
use crate::ingest::key::{KeySource, default_file};
use crate::lake::Lake;

/// Arguments of `export`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// What the evidence is arranged by: nist-csf-2.0, nist-sp800-53-r5, owasp-nhi-2025, nist-ai-rmf-1.0, or a file of
    /// your own
    #[arg(long, value_name = "ID|FILE", default_value = "nist-csf-2.0")]
    framework: String,
    /// Begin of the period: a day (UTC) or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: i64,
    /// End of the period; it itself does not belong to it
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: i64,
    /// Folder to write to; it must not be there yet, or be empty
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Write FOLDER.zip as well, the same byte by byte however often it is made
    #[arg(long)]
    zip: bool,
    /// Look at the lake as it was at this version
    #[arg(long, value_name = "VERSION")]
    at: Option<i64>,
    /// Official catalogue of the framework (OSCAL, JSON), to print its statements
    #[arg(long, value_name = "FILE")]
    catalog: Option<PathBuf>,
    /// Show people, devices and addresses under their own names
    #[arg(long)]
    identify: bool,
    #[command(flatten)]
    key: PseudonymKey,
    /// Draw a random sample of so many grants, with their whole timelines
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=SIZE_MAX), requires = "seed")]
    sample: Option<u64>,
    /// Seed of the sample: the same seed draws the same grants
    #[arg(long, value_name = "TEXT", requires = "sample")]
    seed: Option<String>,
}

/// Where the key of pseudonyms is.
#[derive(clap::Args, Clone, Debug)]
pub struct PseudonymKey {
    /// File with the key of pseudonyms, made on first use [default: tokentrail/pseudonym.key in the user's configuration];
    /// keep it apart from the packs
    #[arg(long, env = "TOKENTRAIL_PSEUDONYM_KEY_FILE", value_name = "FILE")]
    pseudonym_key_file: Option<PathBuf>,
}

impl PseudonymKey {
    /// The key; made if there is none and `make` says so.
    pub fn load(&self, lake: &Lake, make: bool) -> anyhow::Result<Option<Key>> {
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.trim().is_empty());
        let by_default = || {
            let file = default_file(variable("XDG_CONFIG_HOME").as_deref(), variable("HOME").as_deref())?;
            Some(file.with_file_name("pseudonym.key"))
        };
        let Some(file) = self.pseudonym_key_file.clone().or_else(by_default) else {
            anyhow::bail!("there is no place for the key of pseudonyms: name a file with --pseudonym-key-file");
        };
        let source = KeySource { text: None, file: Some(file) };
        let folder = lake.uri().to_file_path().ok().filter(|_| lake.uri().scheme() == "file");
        if !make {
            return Ok(source.known()?.map(|keys| keys.current));
        }
        let (keys, made_in) = source.read_or_made(folder.as_deref())?;
        if let Some(path) = made_in {
            tracing::info!(
                file = %path.display(),
                key = keys.current.id(),
                "names in packs are pseudonyms of this key: keep the file, and keep it apart from the packs"
            );
        }
        Ok(Some(keys.current))
    }
}

/// A moment, or a day, which stands for its midnight in UTC.
fn moment(text: &str) -> Result<i64, String> {
    let parsed = time::parse(text).or_else(|| time::parse(&format!("{text}T00:00:00Z")));
    parsed.ok_or_else(|| {
        "expected a day such as 2026-07-01, or RFC 3339 with an offset such as 2026-07-01T00:00:00Z".to_owned()
    })
}

/// Runs the command. What could not be exported is exit code 2.
pub async fn run(args: Args, global: &Global) -> anyhow::Result<ExitCode> {
    match export(&args, global).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("error: {error:#}");
            Ok(ExitCode::from(2))
        }
    }
}

async fn export(args: &Args, global: &Global) -> anyhow::Result<()> {
    let now = clock::now_micros();
    let destination = Destination { folder: args.out.clone(), zip: args.zip };
    destination.check()?;
    let catalog = Catalog::load(global.queries.as_deref())?;
    let policy = global.load_policy()?;
    let framework = Checked::new(Framework::load(&args.framework)?, &catalog)?;
    let official = args.catalog.as_deref().map(Official::load).transpose()?;
    let lake = Lake::open(&global.lake).await?;
    let key = if args.identify { None } else { args.key.load(&lake, true)? };
    let privacy = Privacy::new(&framework.framework.columns, key.as_ref()).map_err(ExportError::Terms)?;
    let sample = args.sample.zip(args.seed.clone()).map(|(size, seed)| Wanted { size, seed });
    let terms = Terms {
        policy: &policy,
        catalog: &catalog,
        framework: &framework,
        official: official.as_ref(),
        privacy: &privacy,
    };
    let request = Request { from: args.from, to: args.to, version: args.at, sample, now };
    let assessment = assess(&lake, &terms, &request).await?;
    let command = command(args, &assessment);
    let manifest = write(&assessment, &framework.framework.text, command, &destination, |root| RunBlock {
        command_line: env::args().map(|argument| bare(&argument)).collect(),
        started_at: time::format(now),
        finished_at: time::format(clock::now_micros()),
        root_sha256: root.to_owned(),
        sha256: String::new(),
    })?;
    let mut out = io::stdout().lock();
    let printed = match global.output {
        Output::Table => write!(out, "{}", screen(&assessment, &manifest, &destination)),
        _ => writeln!(out, "{}", told(&assessment, &manifest, &destination)),
    };
    Ok(quiet_pipe(printed.and_then(|()| out.flush()))?)
}

/// An argument without what a URL may hold that is secret.
fn bare(argument: &str) -> String {
    let (option, value) = match argument.split_once('=') {
        Some((option, value)) if option.starts_with("--") => (format!("{option}="), value),
        _ => (String::new(), argument),
    };
    match url::Url::parse(value) {
        Ok(mut url) if value.contains("://") => {
            // URLs that cannot have a password have none to take out.
            let _ = url.set_password(None);
            url.set_query(None);
            format!("{option}{url}")
        }
        _ => argument.to_owned(),
    }
}

/// The command that makes this pack again, wherever it is put.
fn command(args: &Args, it: &Assessment) -> String {
    let mut command = format!(
        "tokentrail export --framework {} --from {} --to {} --at {}",
        it.framework.id, it.period.from, it.period.to, it.provenance.version
    );
    if args.identify {
        command.push_str(" --identify");
    }
    if let Some(sample) = &it.sample {
        // Writing to a String cannot fail.
        let _ = write!(command, " --sample {} --seed {:?}", sample.size, sample.seed);
    }
    command
}

fn told(it: &Assessment, manifest: &Manifest, destination: &Destination) -> serde_json::Value {
    json!({
        "pack": destination.folder,
        "zip": destination.zip.then(|| destination.archive()),
        "root_sha256": manifest.root_sha256,
        "evidence_sha256": it.evidence_sha256,
        "files": manifest.files.len(),
        "summary": it.summary,
        "results": it.subcategories.iter().map(|part| json!({ "id": part.id, "result": part.verdict.result,
            "reason": part.verdict.reason })).collect::<Vec<_>>(),
    })
}

fn screen(it: &Assessment, manifest: &Manifest, destination: &Destination) -> String {
    let mut table = sheet();
    table.set_header(["", "result", "title", "reason"]);
    for part in &it.subcategories {
        table.add_row([part.id.as_str(), part.verdict.result.as_str(), &part.title, &part.verdict.reason]);
    }
    let mut text = format!("{table}\n");
    for problem in &it.coverage.problems {
        let _ = writeln!(text, "Coverage: {problem}"); // as above
    }
    let _ = writeln!(
        text,
        "{} events, {} files in {}{}.\nRoot hash {}: keep it where the pack is not.\nNext: tokentrail verify {}",
        it.summary.events,
        manifest.files.len(),
        destination.folder.display(),
        if destination.zip { format!(" and {}", destination.archive().display()) } else { String::new() },
        manifest.root_sha256,
        destination.folder.display(),
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_stands_in_the_run_block() {
        assert_eq!(bare("s3://me:hunter2@bucket/lake?token=1"), "s3://me@bucket/lake");
        assert_eq!(bare("--lake=s3://me:hunter2@bucket/lake"), "--lake=s3://me@bucket/lake");
        for plain in ["--out", "./q3", "--seed=a=b", "C:\\x"] {
            assert_eq!(bare(plain), plain);
        }
    }

    #[test]
    fn a_day_is_its_midnight() {
        assert_eq!(moment("2026-07-01"), moment("2026-07-01T00:00:00Z"));
        assert_eq!(moment("2026-07-01T02:00:00+02:00"), moment("2026-07-01"));
        assert!(moment("2026-07").unwrap_err().contains("expected a day"));
    }
}
