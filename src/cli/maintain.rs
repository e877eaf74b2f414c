//! `tokentrail maintain`: keeping the lake quick.

use std::process::ExitCode;

use anyhow::bail;
use serde_json::json;

use super::ingest::format_parser;
use super::key::ProtectionArgs;
use super::mapping::MappingArgs;
use super::{Global, Output};
use crate::config::Maintain;
use crate::decode::Format;
use crate::detect::folds::store::AT_ONCE;
use crate::ingest::{Options, replay};
use crate::lake::{Lake, lookup, maintenance};
use crate::serve::tidying;
use crate::{alert, clock, detect};

/// Arguments of `maintain`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    /// Merge small files of every table, write checkpoints, and delete what no version of the last week names; safe beside
    /// running ingests
    Compact {
        /// Merge the small files of a partition from this many on
        #[arg(long, default_value_t = 2)]
        min_files: usize,
    },
    /// Take away alerts and runs that were settled long ago; what waits, and what open findings rest on, stays
    Forget {
        /// Days after a message was taken or given up
        #[arg(long, value_name = "DAYS", default_value_t = Maintain::default().keep_alerts_days)]
        alerts_days: u32,
        /// Days after a run
        #[arg(long, value_name = "DAYS", default_value_t = Maintain::default().keep_runs_days)]
        runs_days: u32,
    },
    /// Decode rejected records again, after a decoder or a mapping was mended; each becomes an event once, however often
    /// this is run
    ReplayRejected {
        /// Only records whose reason contains this text
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// How records are written; auto: recognised by shape, record by record
        #[arg(long, default_value = Format::Auto.as_str(), value_parser = format_parser())]
        format: Format,
        #[command(flatten)]
        mapping: MappingArgs,
        #[command(flatten)]
        protection: ProtectionArgs,
    },
    /// Make the folds again from all events, and say whether they come out as they were
    Rebuild,
}

/// Runs the command.
pub async fn run(args: Args, global: &Global) -> anyhow::Result<ExitCode> {
    let lake = Lake::open(&global.lake).await?;
    match args.what {
        What::Compact { min_files } => compact(&lake, min_files).await,
        What::Forget { alerts_days, runs_days } => {
            let keep = Maintain { keep_alerts_days: alerts_days, keep_runs_days: runs_days, ..Maintain::default() };
            forget(&lake, &keep, global).await
        }
        What::ReplayRejected { reason, format, mapping, protection } => {
            let (mapping, protection) = (mapping.load()?, protection.protection(&lake).await?);
            let options = Options { format, mapping, protection, ..Options::default() };
            let done = replay::run(&lake, &options, reason.as_deref()).await?;
            match global.output {
                Output::Table => println!(
                    "{} of {} rejected records gave {} events; {} are rejected still.",
                    done.decoded,
                    done.rejected,
                    done.events,
                    done.rejected - done.decoded
                ),
                _ => println!("{}", serde_json::to_string(&done)?),
            }
            Ok(ExitCode::SUCCESS)
        }
        What::Rebuild => rebuild(&lake, global).await,
    }
}

async fn rebuild(lake: &Lake, global: &Global) -> anyhow::Result<ExitCode> {
    let mut differing = 0;
    for (name, rebuilt) in detect::rebuild(lake, &global.load_policy()?, AT_ONCE).await? {
        let said = match rebuilt.is_same {
            Some(true) => "as it was",
            Some(false) => "NOT as it was: the one made now is in place",
            None => "was not there yet, or behind",
        };
        differing += usize::from(rebuilt.is_same == Some(false));
        println!("{name:<18} {:>10} rows, {said}", rebuilt.rows);
    }
    Ok(if differing == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

async fn compact(lake: &Lake, min_files: usize) -> anyhow::Result<ExitCode> {
    let done = maintenance::compact(lake.events(), Some(min_files)).await?;
    maintenance::checkpoint(lake.events()).await?;
    let tables = tidying::tables(lake, min_files, true).await?;
    // So that the first question after this does not have to.
    lookup::Lookup::open(lake, &lake.events().refresh().await?.files).await?;
    println!(
        "{} files became {}, {} rows rewritten; checkpoint written.",
        done.files_before, done.files_after, done.rows
    );
    println!(
        "Other tables: {} files became {}; {} files and log entries that nobody needs are gone.",
        tables.files_before, tables.files_after, tables.swept
    );
    Ok(ExitCode::SUCCESS)
}

async fn forget(lake: &Lake, keep: &Maintain, global: &Global) -> anyhow::Result<ExitCode> {
    // How long messages are tried stands in a configuration, which this command does not read: the usual is taken.
    if let Some((_, message)) = keep.contradictions(&alert::Config::default()).into_iter().next() {
        bail!("{message}");
    }
    let done = tidying::forget(lake, keep, clock::now_micros()).await?;
    match global.output {
        Output::Table => println!("{} rows of alerts and {} runs are gone.", done.alerts, done.runs),
        _ => println!("{}", json!({ "alerts": done.alerts, "runs": done.runs })),
    }
    Ok(ExitCode::SUCCESS)
}
