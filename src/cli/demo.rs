//! `tokentrail demo`: from sample data to findings, with no service running.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use super::key::ProtectionArgs;
use super::{Global, detect, ingest};
use crate::event::time;
use crate::ingest::Options;
use crate::lake::Lake;
use crate::source::file::FileSource;

/// Arguments of `demo`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Folder of sample records
    #[arg(long, default_value = "sample-data")]
    from: PathBuf,
    #[command(flatten)]
    protection: ProtectionArgs,
}

/// The moment the sample company is looked at: its findings depend on it, and not on when somebody tries the demo.
const AS_OF: &str = "2026-11-01T00:00:00Z";

/// Runs the command.
pub async fn run(args: Args, global: &Global) -> anyhow::Result<ExitCode> {
    let files = [args.from.join("quickstart.ndjson"), args.from.join("broken.ndjson")];
    for file in &files {
        file.metadata().with_context(|| {
            format!("{}: run the demo where sample-data is, or name its place with --from", file.display())
        })?;
    }
    let lake = Lake::open_or_create(&global.lake).await?;
    let state = lake.events().refresh().await?;
    let mut source = FileSource::open(&files, state.positions.clone())?;
    let options = Options { protection: args.protection.protection(&lake).await?, ..Options::default() };
    let summary = ingest::watched(&lake, &mut source, &options, global).await?;
    println!("Ingested {} into {}:", args.from.display(), global.lake);
    println!("  {}", super::progress::sentence(&summary));
    let mut global = global.clone();
    let policy = global.policy.get_or_insert_with(|| args.from.join("policy.toml"));
    println!("\nDetectors, as of {AS_OF}, under {}:\n", policy.display());
    let as_of = time::parse(AS_OF).context("the demo's own time")?;
    let code = detect::run(detect::Args::as_of(as_of), &global).await?;
    println!("{}", next_steps(&global));
    // Open violations are what the demo is there to show; only a failed detector is a failure of it.
    Ok(if code == ExitCode::from(2) { code } else { ExitCode::SUCCESS })
}

/// The finding named is Mallory's: an id follows from detector and key, so it is the same everywhere.
fn next_steps(global: &Global) -> String {
    let program = std::env::args().next().unwrap_or_else(|| "tokentrail".into());
    let place = if global.lake == "./tokentrail-data" { String::new() } else { format!(" --lake {}", global.lake) };
    format!(
        "Try next:\n\
         \x20 {program}{place} findings list                       what is open\n\
         \x20 {program}{place} findings show 69ee32b1              one finding: why, its events, the SQL\n\
         \x20 {program}{place} query \"SELECT event_time, action, outcome, host_id, ip FROM token_events \\\n\
         \x20     WHERE grant_id = 'fm-mallory-gh' ORDER BY event_time\"\n\
         \x20 {program}{place} query \"SELECT reject_reason FROM rejected\"\n\
         \x20 {program}{place} ingest --from kafka --bootstrap HOST:PORT --topic TOPIC"
    )
}
