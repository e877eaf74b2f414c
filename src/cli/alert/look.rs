//! `tokentrail alert list` and `alert dead`: the outbox, as far as people ask for it.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;

use crate::alert::outbox::{self, Outbox, Step};
use crate::cli::Global;
use crate::cli::query::{print, quiet_pipe};
use crate::clock;
use crate::lake::Lake;
use crate::query;

/// Arguments of `alert list`.
#[derive(clap::Args, Debug)]
pub struct List {
    /// queued, failed, retried, held, sent, dead, silenced, unrouted, waiting or all
    #[arg(long, default_value = "all", value_parser = states)]
    state: String,
    /// Only of this sink
    #[arg(long)]
    sink: Option<String>,
    /// Only about this finding, by its id or the beginning of it
    #[arg(long)]
    finding: Option<String>,
    /// At most this many, the newest
    #[arg(long, default_value_t = 100)]
    limit: usize,
}

/// `alert dead`.
#[derive(Subcommand, Debug)]
pub enum Dead {
    /// All of them, and why
    List,
    /// Put them into the outbox again
    Retry {
        /// Keys, or enough of their beginnings
        #[arg(required_unless_present = "all")]
        keys: Vec<String>,
        /// All of them
        #[arg(long)]
        all: bool,
        /// Only of this sink, with --all
        #[arg(long, requires = "all")]
        sink: Option<String>,
    },
}

/// What has still to be sent.
const WAITING: [&str; 4] = ["queued", "failed", "retried", "held"];

fn states(text: &str) -> Result<String, String> {
    let mut known: Vec<&str> = Step::ALL.iter().map(|(name, _)| *name).filter(|name| *name != "carried").collect();
    known.extend(["waiting", "all"]);
    if known.contains(&text) { Ok(text.to_owned()) } else { Err(format!("expected one of {}", known.join(", "))) }
}

/// Lists messages and alerts.
pub async fn list(wanted: &List, global: &Global) -> anyhow::Result<ExitCode> {
    let lake = Lake::open(&global.lake).await?;
    let context = query::session(query::Limits::default())?;
    outbox::register(&lake, &context).await?;
    let steps = match wanted.state.as_str() {
        "all" => String::new(),
        "waiting" => format!("AND step IN ({})", WAITING.map(|s| format!("'{s}'")).join(", ")),
        one => format!("AND step = '{one}'"),
    };
    let literal = |text: &String| format!("'{}'", text.replace('\'', "''"));
    let sink = wanted.sink.as_ref().map(|sink| format!("AND sink = {}", literal(sink))).unwrap_or_default();
    let finding = wanted.finding.as_ref().map(|id| {
        let begins = format!("starts_with(finding_id, {})", literal(id));
        format!("AND ({begins} OR key IN (SELECT key FROM alert_steps WHERE step = 'carried' AND {begins}))")
    });
    let finding = finding.unwrap_or_default();
    let sql = format!(
        "SELECT at, step AS state, sink, severity, detector, subject, attempt, next_at, reason, coalesce(key, item) AS key, \
         finding_id FROM alerts WHERE TRUE {sink} {finding} {steps} ORDER BY at DESC, key LIMIT {}",
        wanted.limit
    );
    print(&query::collect(context.sql(&sql).await?).await?, global.output)?;
    Ok(ExitCode::SUCCESS)
}

/// Dead letters.
pub async fn dead(command: Dead, global: &Global) -> anyhow::Result<ExitCode> {
    let Dead::Retry { keys, all, sink } = command else {
        let dead = List { state: "dead".to_owned(), sink: None, finding: None, limit: 10_000 };
        return list(&dead, global).await;
    };
    let lake = Lake::open(&global.lake).await?;
    let mut outbox = Outbox::open(&lake).await?;
    let dead: Vec<_> = outbox.standing.dead.values().cloned().collect();
    let mut chosen = Vec::new();
    if all {
        chosen.extend(dead.iter().filter(|m| sink.as_ref().is_none_or(|sink| *sink == m.sink)));
    }
    for key in &keys {
        match dead.iter().filter(|m| m.key.starts_with(key.as_str())).collect::<Vec<_>>().as_slice() {
            [one] => chosen.push(*one),
            [] => bail!("no dead letter begins with {key:?}: `tokentrail alert dead list` shows all"),
            several => bail!("{} dead letters begin with {key:?}: give more of the key", several.len()),
        }
    }
    let entries: Vec<_> = chosen.iter().map(|message| message.retried(clock::now_micros())).collect();
    if !entries.is_empty() {
        outbox.record(&entries).await?;
    }
    let mut out = io::stderr().lock();
    let said =
        if global.quiet { Ok(()) } else { writeln!(out, "{} to be sent again with the next round", entries.len()) };
    quiet_pipe(said)?;
    Ok(ExitCode::SUCCESS)
}
