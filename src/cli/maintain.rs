//! `tokentrail maintain`: keeping the lake quick.

use std::process::ExitCode;

use super::Global;
use crate::detect;
use crate::lake::{Lake, maintenance};

/// Arguments of `maintain`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    /// Merge small files and write a checkpoint; safe beside running ingests
    Compact {
        /// Merge the small files of a partition from this many on
        #[arg(long, default_value_t = 2)]
        min_files: usize,
    },
    /// Make the folds again from all events, and say whether they come out as they were
    Rebuild,
}

/// Runs the command.
pub async fn run(args: Args, global: &Global) -> anyhow::Result<ExitCode> {
    let lake = Lake::open(&global.lake).await?;
    match args.what {
        What::Compact { min_files } => compact(&lake, min_files).await,
        What::Rebuild => rebuild(&lake, global).await,
    }
}

async fn rebuild(lake: &Lake, global: &Global) -> anyhow::Result<ExitCode> {
    let mut differing = 0;
    for (name, rebuilt) in detect::rebuild(lake, &global.load_policy()?).await? {
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
    println!(
        "{} files became {}, {} rows rewritten; checkpoint written.",
        done.files_before, done.files_after, done.rows
    );
    Ok(ExitCode::SUCCESS)
}
