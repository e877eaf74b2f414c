//! The command line: one file per command, joined here.

/// Data on standard output. Unlike the one of the standard library it does not panic when the reader has seen enough.
macro_rules! print {
    ($($part:tt)*) => { $crate::cli::standard::output(format_args!($($part)*)) };
}
/// The same, and a new line.
macro_rules! println {
    ($($part:tt)*) => { $crate::cli::standard::output(format_args!("{}\n", format_args!($($part)*))) };
}
/// Words on standard error, likewise.
macro_rules! eprintln {
    ($($part:tt)*) => { $crate::cli::standard::message(format_args!("{}\n", format_args!($($part)*))) };
}

mod alert;
mod asking;
mod backtest;
mod cases;
mod config;
mod decode;
mod demo;
mod detect;
mod detector_docs;
mod detectors;
mod examples;
mod explain;
mod export;
mod findings;
mod fingerprint;
mod generate;
mod hint;
mod hunt;
mod ingest;
mod key;
mod maintain;
mod manual;
mod mapping;
mod policy;
mod progress;
mod query;
mod reference;
mod repeat;
mod scaffold;
mod serve;
mod shell;
mod standard;
mod status;
mod timeline;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::PossibleValue;
use clap::parser::ValueSource;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use crate::config::Overrides;
use crate::telemetry::{self, LogFormat, Logging};

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
    #[arg(short = 'o', long = "output", value_name = "OUTPUT", global = true)]
    #[arg(env = "TOKENTRAIL_OUTPUT", value_enum, default_value_t)]
    asked: Printing,
    /// The same for everything but Parquet, which only queries can write.
    #[arg(skip)]
    pub output: Output,
    /// Whether the lake was named: what a file says gives way to that.
    #[arg(skip)]
    is_lake_given: bool,
    /// Say only what is wrong
    #[arg(short, long, global = true, env = "TOKENTRAIL_QUIET")]
    pub quiet: bool,
    /// Say more; twice: everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// What is logged, by module, such as info,tokentrail::ingest=debug; it overrides -q and -v
    #[arg(long, global = true, env = "RUST_LOG", value_name = "LEVELS", hide_env_values = true)]
    pub log: Option<String>,
    /// How log lines on standard error are written
    #[arg(long, global = true, env = "TOKENTRAIL_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
}

/// What can be asked for with `-o`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Printing {
    /// For people
    #[default]
    Table,
    /// One array
    Json,
    /// One object a line
    Ndjson,
    /// Comma-separated values with a header
    Csv,
    /// Columns with their types, for other tools: `query` and `hunt run` only
    Parquet,
}

/// How data is printed as text on standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    #[default]
    Table,
    Json,
    Ndjson,
    Csv,
}

impl Global {
    /// Takes in what the arguments say together: where a value comes from, and whether the command can print so.
    fn settled(mut self, matches: &clap::ArgMatches, command: &Command) -> Result<Self, clap::Error> {
        self.is_lake_given = matches.value_source("lake").is_some_and(|from| from != ValueSource::DefaultValue);
        self.output = match self.asked {
            Printing::Table => Output::Table,
            Printing::Json => Output::Json,
            Printing::Ndjson => Output::Ndjson,
            Printing::Csv => Output::Csv,
            Printing::Parquet if command.writes_parquet() => Output::Table,
            Printing::Parquet => {
                let words = "only `query` and `hunt run` write Parquet: take table, json, ndjson or csv here\n";
                return Err(self::command().error(clap::error::ErrorKind::InvalidValue, words));
            }
        };
        Ok(self)
    }

    /// Whether rows are written to standard output as Parquet.
    fn is_parquet(&self) -> bool {
        self.asked == Printing::Parquet
    }

    /// What was said beside the configuration file, and counts more than it.
    fn overrides(&self) -> Overrides {
        Overrides {
            lake: self.is_lake_given.then(|| self.lake.clone()),
            policy: self.policy.clone(),
            identities: self.identities.clone(),
            queries: self.queries.clone(),
        }
    }
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
    /// Ask in SQL; on a terminal, without a query, in a shell
    Query(query::Args),
    /// Saved questions of analysts: list, show, run
    Hunt(hunt::Args),
    /// What happened to one token, grant, subject, device or host, with limits, context and findings
    Timeline(timeline::Args),
    /// Look at what the detectors found
    Findings(findings::Args),
    /// Send what the detectors found to people and their tools, and look after what was sent
    Alert(alert::Args),
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
    /// The first screen of a shift: what came in, what is open, what ran, and what needs a hand
    Status(status::Args),
    /// Compact files and write checkpoints
    Maintain(maintain::Args),
    /// Ingest, detect, alert and maintain in one process, until a signal ends it
    Serve(serve::Args),
    /// Check, show or begin the configuration of the service
    Config(config::Args),
    /// Make a synthetic company's events, with planted violations
    Generate(generate::Args),
    /// Print what a shell needs to complete our arguments
    Completions(manual::CompletionsArgs),
    /// Write the pages of the manual
    Man(manual::ManArgs),
    /// Every metric and setting, as Markdown made from the code; keeps docs/OPERATIONS.md true
    #[command(hide = true)]
    Reference(reference::Args),
}

impl Command {
    fn writes_parquet(&self) -> bool {
        match self {
            Self::Query(_) => true,
            Self::Hunt(args) => args.gives_rows(),
            _ => false,
        }
    }
}

impl ValueEnum for LogFormat {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Text, Self::Json]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Text => PossibleValue::new("text").help("For people"),
            Self::Json => PossibleValue::new("json").help("One object a line: at, level, module, message, and values"),
        })
    }
}

/// The arguments, with examples in the help of each command.
fn command() -> clap::Command {
    examples::taught(Cli::command())
}

/// Runs the command named by the process's arguments.
///
/// # Errors
/// Whatever the command could not do, as a chain from what was tried to why it failed.
pub fn main() -> anyhow::Result<ExitCode> {
    let matches = self::command().get_matches();
    let Cli { global, command } = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let global = global.settled(&matches, &command).unwrap_or_else(|error| error.exit());
    let Global { log_format: format, verbose, quiet, .. } = global;
    let levels = global.log.as_deref().filter(|levels| !levels.is_empty());
    telemetry::start(Logging { format, levels, verbose, quiet }).map_err(anyhow::Error::msg)?;
    let stays = matches!(command, Command::Serve(_) | Command::Ingest(_));
    let room = if stays { None } else { room() };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_all().max_blocking_threads(workers()).build()?;
    let result = runtime.block_on(async {
        match command {
            Command::Demo(args) => demo::run(args, &global).await,
            Command::Ingest(args) => ingest::run(args, &global).await,
            Command::Decode(args) => decode::run(args, &global).await,
            Command::Detect(args) => detect::run(args, &global).await,
            Command::Query(args) => query::run(args, &global).await,
            Command::Hunt(args) => hunt::run(args, &global).await,
            Command::Timeline(args) => timeline::run(args, &global).await,
            Command::Findings(args) => findings::run(args, &global).await,
            Command::Alert(args) => alert::run(args, &global).await,
            Command::Detectors(args) => detectors::run(args, &global).await,
            Command::Policy(args) => policy::run(args, &global).await,
            Command::Export(args) => export::run(args, &global).await,
            Command::Verify(args) => verify::run(args, &global).await,
            Command::Fingerprint(args) => fingerprint::run(&args, &global),
            Command::Status(args) => status::run(args, &global).await,
            Command::Maintain(args) => maintain::run(args, &global).await,
            Command::Serve(args) => serve::run(args, &global).await,
            Command::Config(args) => config::run(args, &global).await,
            Command::Generate(args) => generate::run(args, &global),
            Command::Completions(args) => manual::completions(&args),
            Command::Man(args) => manual::man(&args),
            Command::Reference(args) => reference::run(&args),
        }
    });
    // A reader of standard input may still be waiting for a line that never comes.
    runtime.shutdown_background();
    drop(room);
    Ok(result.unwrap_or_else(|error| {
        report(&error, format);
        ExitCode::from(2)
    }))
}

/// One folder for all temporary files of this process, gone with it: what a query that failed was still writing, nobody
/// takes away. Not for who stays for weeks, as systems tidy away folders that were not touched for days.
fn room() -> Option<Room> {
    let room = tempfile::tempdir().ok()?;
    tempfile::env::override_temp_dir(room.path()).ok()?;
    Some(Room(room))
}

struct Room(tempfile::TempDir);

impl Drop for Room {
    fn drop(&mut self) {
        // Tasks that were told to end may be writing still.
        for _ in 0..20 {
            match std::fs::remove_dir_all(self.0.path()) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    std::thread::sleep(std::time::Duration::from_millis(25));
                }
                _ => break,
            }
        }
    }
}

/// Says what went wrong, and what to do about it if that is known.
fn report(error: &anyhow::Error, format: LogFormat) {
    let hint = hint::of(error);
    match format {
        LogFormat::Json => tracing::error!(hint, "{error:#}"),
        LogFormat::Text => {
            eprintln!("error: {error:#}");
            if let Some(hint) = hint {
                eprintln!("hint: {hint}");
            }
        }
    }
}

/// How many threads decode, write and wait for disks: a few more than cores. Each keeps the memory it once needed.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from) + 2
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::Room;

    #[test]
    fn a_folder_of_temporary_files_goes_while_somebody_writes_into_it() {
        let room = Room(tempfile::tempdir().unwrap());
        let folder = room.0.path().to_owned();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Writes until it is told to end, a while after the folder is to go.
                for number in 0.. {
                    let inner = folder.join(format!("spills-{}", number % 50));
                    let _ = std::fs::create_dir(&inner);
                    let _ = std::fs::write(inner.join(number.to_string()), "x");
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
            scope.spawn(|| {
                std::thread::sleep(std::time::Duration::from_millis(100));
                is_over.store(true, Ordering::Relaxed);
            });
            while !folder.join("spills-0").exists() {
                std::thread::yield_now();
            }
            drop(room);
            is_over.store(true, Ordering::Relaxed);
        });
        assert!(!folder.exists());
    }
}
