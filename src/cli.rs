//! The command line: one file per command, joined here.

mod backtest;
mod cases;
mod decode;
mod demo;
mod detect;
mod detector_docs;
mod detectors;
mod explain;
mod export;
mod findings;
mod fingerprint;
mod generate;
mod ingest;
mod key;
mod maintain;
mod mapping;
mod policy;
mod progress;
mod query;
mod repeat;
mod scaffold;
mod status;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::telemetry;

/// Audit trail and anomaly detector for the life of tokens after login.
#[derive(Parser)]
#[command(name = "tokentrail", version, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(clap::Args, Clone, Debug)]
pub struct Global {
    /// The lake: a folder, or a URL such as s3://bucket/prefix
    #[arg(long, global = true, env = "TOKENTRAIL_LAKE", default_value = "./tokentrail-data")]
    pub lake: String,
    /// Policy file (TOML); without one the defaults hold
    #[arg(long, global = true, env = "TOKENTRAIL_POLICY")]
    pub policy: Option<PathBuf>,
    /// Who is who (CSV or NDJSON with alias and subject_id): one person's names at several providers
    #[arg(long, global = true, env = "TOKENTRAIL_IDENTITIES")]
    pub identities: Option<PathBuf>,
    /// Folder of detectors that add to or replace the built-in ones
    #[arg(long, global = true, env = "TOKENTRAIL_QUERIES")]
    pub queries: Option<PathBuf>,
    /// How to print data
    #[arg(short, long, global = true, env = "TOKENTRAIL_OUTPUT", value_enum, default_value_t)]
    pub output: Output,
    /// Say only what is wrong
    #[arg(short, long, global = true, env = "TOKENTRAIL_QUIET")]
    pub quiet: bool,
    /// Say more; twice: everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// How data is printed on standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Table,
    /// One array
    Json,
    /// One object a line
    Ndjson,
    /// Comma-separated values with a header
    Csv,
}

#[derive(Subcommand)]
enum Command {
    /// Ingest the sample data, run the detectors, show what they find and what to try next
    Demo(demo::Args),
    /// Read records into the lake, each exactly once
    Ingest(ingest::Args),
    /// Show record by record what ingest would make of a file: for connecting a new source
    Decode(decode::Args),
    /// Run the detectors
    Detect(detect::Args),
    /// Ask in SQL
    Query(query::Args),
    /// Look at what the detectors found
    Findings(findings::Args),
    /// Look at the detectors themselves
    Detectors(detectors::Args),
    /// What the policy says, whom it concerns, and what another one would change
    Policy(policy::Args),
    /// Write evidence of a period for an auditor: a pack that can be checked offline
    Export(export::Args),
    /// Check a pack of evidence: hashes, rows, figures and results, worked out again; with --lake the detectors too
    Verify(verify::Args),
    /// What stands for a secret in the lake, read from standard input: to look for a token that leaked
    Fingerprint(fingerprint::Args),
    /// How far each source was read, and what the lake holds
    Status(status::Args),
    /// Compact files and write checkpoints
    Maintain(maintain::Args),
    /// Make a synthetic company's events, with planted violations
    Generate(generate::Args),
}

/// Runs the command named by the process's arguments.
///
/// # Errors
/// Whatever the command could not do, as a chain from what was tried to why it failed.
pub fn main() -> anyhow::Result<ExitCode> {
    let Cli { global, command } = Cli::parse();
    telemetry::start(global.verbose, global.quiet);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_all().max_blocking_threads(workers()).build()?;
    let result = runtime.block_on(async {
        match command {
            Command::Demo(args) => demo::run(args, &global).await,
            Command::Ingest(args) => ingest::run(args, &global).await,
            Command::Decode(args) => decode::run(args, &global).await,
            Command::Detect(args) => detect::run(args, &global).await,
            Command::Query(args) => query::run(args, &global).await,
            Command::Findings(args) => findings::run(args, &global).await,
            Command::Detectors(args) => detectors::run(args, &global).await,
            Command::Policy(args) => policy::run(args, &global).await,
            Command::Export(args) => export::run(args, &global).await,
            Command::Verify(args) => verify::run(args, &global).await,
            Command::Fingerprint(args) => fingerprint::run(&args, &global),
            Command::Status(args) => status::run(args, &global).await,
            Command::Maintain(args) => maintain::run(args, &global).await,
            Command::Generate(args) => generate::run(args, &global),
        }
    });
    // A reader of standard input may still be waiting for a line that never comes.
    runtime.shutdown_background();
    result
}

/// How many threads decode, write and wait for disks: a few more than cores. Each keeps the memory it once needed.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from) + 2
}
