//! `tokentrail alert silence`: who does not want to be alerted of what, why, and until when.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;
use serde_json::{Map, Value, json};

use crate::alert::silence::{Silence, Silences};
use crate::cli::query::{quiet_pipe, table};
use crate::cli::{Global, Output};
use crate::clock;
use crate::detect::catalog::Catalog;
use crate::event::time;
use crate::lake::Lake;
use crate::query::output;

/// What to do with silences.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Begin one
    Add {
        /// Which detector; * and ? match anything
        #[arg(long, default_value = "*")]
        detector: String,
        /// Which findings: a column of the key or the evidence and its value, with * and ?; all have to match
        #[arg(long = "match", value_name = "COLUMN=VALUE", value_parser = column)]
        matching: Vec<(String, String)>,
        /// When it ends (RFC 3339)
        #[arg(long, value_parser = crate::cli::detect::moment)]
        until: i64,
        #[arg(long)]
        reason: String,
        #[arg(long, env = "USER")]
        owner: String,
    },
    /// All of them, with those that are over
    List,
    /// End one before its time
    End {
        /// Its id, or the beginning of it
        id: String,
        #[arg(long, env = "USER")]
        owner: String,
    },
}

const FIELDS: [&str; 8] = ["id", "state", "detector", "match", "until", "owner", "reason", "from"];

fn column(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected COLUMN=VALUE, such as subject_id=ana@example.com")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Runs the command.
pub async fn run(command: Command, config: &Path, global: &Global) -> anyhow::Result<ExitCode> {
    let lake = Lake::open(&global.lake).await?;
    // Silences of the lake are looked after without a configuration, too.
    let config = if config.exists() { super::load(config)? } else { Default::default() };
    let mut silences = Silences::new(&lake, &config);
    silences.refresh().await?;
    let now = clock::now_micros();
    match command {
        Command::Add { detector, matching, until, reason, owner } => {
            if until <= now {
                bail!("--until {} is over already: such a silence would silence nothing", time::format(until));
            }
            if owner.trim().is_empty() || reason.trim().is_empty() {
                bail!("--owner and --reason must say something: they are what the log keeps");
            }
            if !detector.contains(['*', '?']) {
                Catalog::load(global.queries.as_deref())?.find(&detector)?;
            }
            let matching: BTreeMap<String, String> = matching.into_iter().collect();
            if detector == "*" && matching.is_empty() {
                bail!("this would silence everything: say what by --detector or --match");
            }
            let silence = Silence::new(&owner, &reason, &detector, matching, until);
            silences.add(&silence, now).await?;
            say(global, &format!("silence {} holds until {}", silence.id, time::format(until)))?;
        }
        Command::List => print(silences.all(), now, global.output)?,
        Command::End { id, owner } => {
            let silence = one(&silences, &id)?;
            if !silence.holds_at(now) {
                bail!("silence {} is over already", silence.id);
            }
            silences.end(silence, &owner, now).await?;
            say(global, &format!("silence {} has ended", silence.id))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn one<'s>(silences: &'s Silences, id: &str) -> anyhow::Result<&'s Silence> {
    let found: Vec<&Silence> = silences.all().filter(|s| s.id.starts_with(id)).collect();
    match found.as_slice() {
        [silence] if silence.configured => {
            bail!("silence {} stands in the configuration: take it out there", silence.id)
        }
        [silence] => Ok(silence),
        [] => bail!("there is no silence {id:?}; `tokentrail alert silence list` shows all"),
        several => bail!("{} silences begin with {id:?}: give more of the id", several.len()),
    }
}

fn print<'s>(all: impl Iterator<Item = &'s Silence>, now: i64, how: Output) -> io::Result<()> {
    let row = |s: &Silence| -> Map<String, Value> {
        let value = json!({
            "id": s.id, "state": s.state(now), "detector": s.detector, "match": s.matching,
            "until": time::format(s.ended.as_ref().map_or(s.until, |(at, _)| *at)), "owner": s.owner, "reason": s.reason,
            "from": if s.configured { "configuration" } else { "lake" },
        });
        value.as_object().cloned().unwrap_or_default()
    };
    let rows: Vec<Map<String, Value>> = all.map(row).collect();
    let mut out = io::stdout().lock();
    let printed = match how {
        Output::Json => writeln!(out, "{}", json!(rows)),
        Output::Ndjson => rows.iter().try_for_each(|row| writeln!(out, "{}", json!(row))),
        Output::Csv => output::csv(FIELDS.into_iter(), rows.into_iter(), &mut out),
        Output::Table => writeln!(out, "{}", table(FIELDS.into_iter(), rows.into_iter())),
    };
    quiet_pipe(printed.and_then(|()| out.flush()))
}

fn say(global: &Global, text: &str) -> io::Result<()> {
    if global.quiet { Ok(()) } else { quiet_pipe(writeln!(io::stderr().lock(), "{text}")) }
}
