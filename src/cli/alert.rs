//! `tokentrail alert`: sends what the detectors found, and looks after what was sent, silenced or given up.

mod look;
mod silence;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde::Deserialize;
use serde_json::json;

use super::query::quiet_pipe;
use super::{Global, Output};
use crate::alert::{self, Alerts, Config, Round};
use crate::clock;
use crate::detect::catalog::Catalog;
use crate::lake::Lake;

/// Arguments of `alert`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Configuration file, of which the table [alert] is read
    #[arg(long, value_name = "FILE", env = "TOKENTRAIL_CONFIG", default_value = "tokentrail.toml")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Queue what is new, send what is due, and end: for cron
    Run {
        /// Go on until SIGTERM
        #[arg(long)]
        follow: bool,
        /// Longest pause between two looks at the findings log, with --follow
        #[arg(long, value_name = "MS", default_value_t = 1000, requires = "follow")]
        poll_ms: u64,
    },
    /// Send a sample to one sink, past the outbox, and say what it answered
    Test {
        /// Its name in the configuration
        sink: String,
    },
    /// Messages, and alerts that were kept back, with what became of them
    List(look::List),
    /// What nobody wants to be alerted of for some time
    #[command(subcommand)]
    Silence(silence::Command),
    /// Messages that were given up
    #[command(subcommand)]
    Dead(look::Dead),
}

/// The part of the configuration file that is ours.
#[derive(Deserialize, Default)]
struct File {
    #[serde(default)]
    alert: Config,
}

/// Pause when nothing is due sooner, but messages are under way or will be.
const PAUSE_MIN: Duration = Duration::from_millis(20);

/// Runs the command.
pub async fn run(args: Args, global: &Global) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Run { follow, poll_ms } => {
            let mut alerts = open(&args.config, global).await?;
            let total = match follow {
                false => once(&mut alerts).await?,
                true => self::follow(&mut alerts, Duration::from_millis(poll_ms.clamp(20, 3_600_000))).await?,
            };
            said(&total, global)?;
            Ok(if total.failed + total.dead > 0 && !follow { ExitCode::from(1) } else { ExitCode::SUCCESS })
        }
        Command::Test { sink } => {
            let (config, catalog) = (load(&args.config)?, Catalog::load(global.queries.as_deref())?);
            let key = alert::test(&catalog, &config, &sink, clock::now_micros()).await?;
            if !global.quiet {
                eprintln!("{sink} took a sample with the key {key}");
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::List(list) => look::list(&list, global).await,
        Command::Silence(command) => silence::run(command, &args.config, global).await,
        Command::Dead(command) => look::dead(command, global).await,
    }
}

async fn open(config: &std::path::Path, global: &Global) -> anyhow::Result<Alerts> {
    let config = load(config)?;
    if config.sinks.is_empty() {
        bail!("no sink is configured: add a table such as [alert.sinks.team] to the configuration (docs/ALERTING.md)");
    }
    let catalog = Catalog::load(global.queries.as_deref())?;
    let lake = Lake::open(&global.lake).await?;
    Ok(Alerts::open(&lake, catalog, config).await?)
}

/// The table [alert] of a configuration file.
fn load(path: &std::path::Path) -> anyhow::Result<Config> {
    let place = path.display();
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!("there is no configuration {place}: --config names another; docs/ALERTING.md shows what stands in it")
        }
        text => text.with_context(|| format!("reading {place}"))?,
    };
    // Other tables are other modules' business.
    let file: File = toml::from_str(&text).with_context(|| format!("{place} is not understood"))?;
    let problems = file.alert.problems();
    if !problems.is_empty() {
        bail!("{place} has {} mistakes:\n{}", problems.len(), problems.join("\n"));
    }
    Ok(file.alert)
}

/// Rounds until nothing is due.
async fn once(alerts: &mut Alerts) -> anyhow::Result<Round> {
    let mut total = Round::default();
    loop {
        let round = alerts.round(clock::now_micros()).await?;
        add(&mut total, &round);
        if !alerts.is_busy() && round.next_due_at.is_none_or(|due| due > clock::now_micros()) {
            return Ok(total);
        }
    }
}

/// Rounds until a signal; what is under way then is waited for.
async fn follow(alerts: &mut Alerts, poll: Duration) -> anyhow::Result<Round> {
    let mut total = Round::default();
    let stop = super::ingest::signal();
    tokio::pin!(stop);
    loop {
        match alerts.round(clock::now_micros()).await {
            Ok(round) => add(&mut total, &round),
            // The lake may be back soon; what is under way is kept until it can be recorded.
            Err(error) => {
                tracing::error!(%error, "a round failed and will be repeated");
                total.next_due_at = None;
            }
        }
        let left = total.next_due_at.map(|due| u64::try_from(due - clock::now_micros()).unwrap_or(0));
        let pause = left.map_or(poll, |micros| Duration::from_micros(micros).clamp(PAUSE_MIN, poll));
        tokio::select! {
            stopped = &mut stop => {
                stopped?;
                let last = alerts.finish(clock::now_micros()).await?;
                add(&mut total, &last);
                return Ok(total);
            }
            () = tokio::time::sleep(pause) => {}
        }
    }
}

fn add(total: &mut Round, round: &Round) {
    total.queued += round.queued;
    total.sent += round.sent;
    total.failed += round.failed;
    total.dead += round.dead;
    total.silenced += round.silenced;
    total.next_due_at = round.next_due_at;
}

/// What it came to: on standard error, because a sink may write to standard output.
fn said(total: &Round, global: &Global) -> io::Result<()> {
    if global.quiet {
        return Ok(());
    }
    let mut out = io::stderr().lock();
    let written = match global.output {
        Output::Json | Output::Ndjson => writeln!(
            out,
            "{}",
            json!({ "queued": total.queued, "sent": total.sent, "failed": total.failed, "dead": total.dead,
                    "silenced": total.silenced })
        ),
        _ => writeln!(
            out,
            "{} queued, {} sent, {} attempts failed, {} dead, {} silenced",
            total.queued, total.sent, total.failed, total.dead, total.silenced
        ),
    };
    quiet_pipe(written)
}
