//! `tokentrail maintain`: keeping the lake quick.

use std::process::ExitCode;

use super::Global;
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
}

/// Runs the command.
pub async fn run(args: Args, global: &Global) -> anyhow::Result<ExitCode> {
    let What::Compact { min_files } = args.what;
    let lake = Lake::open(&global.lake).await?;
    let done = maintenance::compact(lake.events(), Some(min_files)).await?;
    maintenance::checkpoint(lake.events()).await?;
    println!(
        "{} files became {}, {} rows rewritten; checkpoint written.",
        done.files_before, done.files_after, done.rows
    );
    Ok(ExitCode::SUCCESS)
}
