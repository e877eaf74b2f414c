//! `tokentrail findings`: what the detectors found, and why.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::query::{printable, quiet_pipe, table};
use super::standard::counted;
use super::{Global, Output};
use crate::clock;
use crate::detect::catalog::Catalog;
use crate::detect::lifecycle::{Change, Decision, Transition};
use crate::detect::log;
use crate::event::time;
use crate::finding::{Finding, State, Verdict};
use crate::lake::Lake;
use crate::query::{self, output, views};

/// Arguments of `findings`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// All findings in one state
    List {
        /// open, acked, suppressed, resolved, excepted, retracted or all
        #[arg(long, default_value = "open", value_parser = states)]
        state: Wanted,
    },
    /// One finding: what it is about, why it is one, and where to look next
    Show {
        /// Its id, or enough of its beginning to tell it from the others
        id: String,
    },
    /// Say that you look after an open finding
    Ack {
        id: String,
        #[command(flatten)]
        said: Said,
    },
    /// Write something down about a finding; its state stays
    Note {
        id: String,
        #[command(flatten)]
        said: Said,
    },
    /// Keep an open finding from alerting for some time
    Suppress {
        id: String,
        /// When it alerts again (RFC 3339)
        #[arg(long, value_parser = super::detect::moment)]
        until: i64,
        #[command(flatten)]
        said: Said,
    },
}

/// Who says it, and why.
#[derive(clap::Args, Debug)]
struct Said {
    #[arg(long)]
    reason: String,
    #[arg(long, env = "USER")]
    owner: String,
}

/// Which findings to list.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    All,
    In(State),
}

/// Events shown of a finding's grant.
const EVENTS_SHOWN: usize = 40;

fn states(text: &str) -> Result<Wanted, String> {
    let names: Vec<&str> = State::ALL.iter().map(|(name, _)| *name).collect();
    match State::parse(text) {
        Some(state) => Ok(Wanted::In(state)),
        None if text == "all" => Ok(Wanted::All),
        None => Err(format!("expected one of {}, all", names.join(", "))),
    }
}

/// Runs the command.
pub async fn run(args: Args, global: &Global) -> anyhow::Result<ExitCode> {
    let lake = Lake::open(&global.lake).await?;
    let mut all = log::present(&lake).await?;
    all.sort_by_cached_key(|f| (f.verdict.detector.clone(), f.key_text()));
    match args.command {
        Command::List { state } => {
            let wanted = |f: &&Finding| match state {
                Wanted::All => true,
                Wanted::In(state) => f.state == state,
            };
            print(&all.iter().filter(wanted).collect::<Vec<_>>(), global.output)?;
        }
        Command::Show { id } => match one(&all, &id)? {
            finding if global.output == Output::Table => show(finding, &lake, global).await?,
            finding => print(&[finding], global.output)?,
        },
        Command::Ack { id, said } => decide(&lake, one(&all, &id)?, Change::Acked, None, said, global).await?,
        Command::Note { id, said } => decide(&lake, one(&all, &id)?, Change::Noted, None, said, global).await?,
        Command::Suppress { id, until, said } => {
            if until <= clock::now_micros() {
                bail!("--until {} is over already", time::format(until));
            }
            decide(&lake, one(&all, &id)?, Change::Suppressed, Some(until), said, global).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The finding whose id begins so.
fn one<'f>(all: &'f [Finding], id: &str) -> anyhow::Result<&'f Finding> {
    let matching: Vec<&Finding> = all.iter().filter(|f| f.id.starts_with(id)).collect();
    match matching.as_slice() {
        [finding] => Ok(finding),
        [] => bail!("there is no finding {id:?}; `tokentrail findings list --state all` shows all"),
        several => bail!("{} findings begin with {id:?}: give more of the id", several.len()),
    }
}

async fn decide(
    lake: &Lake,
    finding: &Finding,
    change: Change,
    until: Option<i64>,
    said: Said,
    global: &Global,
) -> anyhow::Result<()> {
    let Said { reason, owner } = said;
    if owner.trim().is_empty() || reason.trim().is_empty() {
        bail!("--owner and --reason must say something: they are what the log keeps");
    }
    let decision = Decision { owner, reason };
    let decided = Transition::decided(change, finding, until, decision).map_err(anyhow::Error::msg)?;
    if !log::decide(lake, decided, clock::now_micros()).await? {
        bail!("a run has changed finding {} just now; look at it again with `tokentrail findings show`", finding.id);
    }
    if !global.quiet {
        println!("{} {}: {}", short_id(finding), change.as_str(), finding.key_text());
    }
    Ok(())
}

/// The beginning of an id that people type.
pub(super) fn short_id(finding: &Finding) -> &str {
    &finding.id[..8]
}

/// Prints findings on standard output.
pub(super) fn print(findings: &[&Finding], how: Output) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let rows = || findings.iter().map(|f| f.json());
    let printed = match how {
        Output::Json => {
            let all: Vec<Map<String, Value>> = rows().collect();
            serde_json::to_writer_pretty(&mut out, &all).map_err(io::Error::from).and_then(|()| writeln!(out))
        }
        Output::Ndjson => rows().try_for_each(|row| {
            serde_json::to_writer(&mut out, &row)?;
            writeln!(out)
        }),
        Output::Csv => output::csv(Finding::FIELDS.into_iter(), rows(), &mut out),
        Output::Table => writeln!(out, "{}\n{}.", short_table(findings), counted(findings.len(), "finding")),
    };
    quiet_pipe(printed.and_then(|()| out.flush()))
}

fn short_table(findings: &[&Finding]) -> comfy_table::Table {
    let row = |f: &&Finding| {
        let value = json!({
            "finding": short_id(f), "severity": f.verdict.severity, "state": f.state, "detector": &*f.verdict.detector,
            "about": f.verdict.key.values().map(output::text).collect::<Vec<_>>().join("  "),
            "violated at": time::format(f.verdict.violated_at), "resolved at": f.verdict.resolved_at.map(time::format),
        });
        value.as_object().cloned().unwrap_or_default()
    };
    let names = ["finding", "severity", "state", "detector", "about", "violated at", "resolved at"];
    table(names.into_iter(), findings.iter().map(row))
}

/// Why it is a finding, in words, with the events beside it.
async fn show(finding: &Finding, lake: &Lake, global: &Global) -> anyhow::Result<()> {
    let verdict = &finding.verdict;
    let catalog = Catalog::load(global.queries.as_deref())?;
    let mut text = String::new();
    let detector = catalog.find(&verdict.detector).ok();
    if let Some(detector) = detector {
        let because = detector.header.because.as_deref().map(|template| because(template, verdict));
        let title = [detector.header.title.clone()].into_iter().chain(because).collect::<Vec<_>>().join("\n");
        text.push_str(&format!("{}\n\n", printable(&title)));
    }
    let mut line = |name: &str, value: &str| text.push_str(&format!("{name:<18} {}\n", printable(value)));
    line("finding", &finding.id);
    line("state", finding.state.as_str());
    line("severity", verdict.severity.as_str());
    line("detector", &verdict.detector);
    for (name, value) in verdict.key.iter() {
        line(name, &output::text(value));
    }
    line("violated_at", &time::format(verdict.violated_at));
    line("resolved_at", &verdict.resolved_at.map_or_else(|| "open".to_owned(), time::format));
    line("first_detected_at", &time::format(finding.first_detected_at));
    line("lake version", &finding.version.to_string());
    for (name, value) in verdict.evidence.object().iter().filter(|(_, v)| !v.is_null()) {
        line(name, &output::text(value));
    }
    if let Some(detector) = detector {
        text.push_str(&format!(
            "\n{}\n\n{}\n\nWhat to do:\n",
            detector.header.summary,
            detector.header.rationale.trim()
        ));
        for (number, step) in detector.header.response.iter().enumerate() {
            text.push_str(&format!("  {}. {step}\n", number + 1));
        }
        text.push_str(&format!(
            "\nThe rule as SQL: {} (tokentrail detectors show {id})\nStep by step: tokentrail detect --explain {id} {}\n",
            detector.file,
            key_words(verdict),
            id = detector.id
        ));
    }
    let changes: Vec<Map<String, Value>> = output::objects(&log::history(lake, &finding.id).await?.batches).collect();
    let names = ["at", "change", "state", "version", "owner", "reason", "until"];
    text.push_str(&format!("\nWhat happened to it:\n{}\n", table(names.into_iter(), changes.into_iter())));
    if let Some((column, Value::String(id))) = verdict
        .key
        .iter()
        .find(|(name, _)| ["grant_id", "host_id", "device_id", "subject_id"].contains(&name.as_str()))
        .map(|_| subject_of(&verdict.key))
    {
        let evidence = verdict.evidence.object().remove("event_ids").unwrap_or_default();
        text.push_str(&events(lake, column, id, &evidence).await.context("reading the events")?);
    }
    let mut out = io::stdout().lock();
    Ok(quiet_pipe(write!(out, "{text}").and_then(|()| out.flush()))?)
}

/// The detector's sentence with the finding's values in it.
fn because(template: &str, verdict: &Verdict) -> String {
    let mut row = verdict.row();
    row.insert("violated_at".to_owned(), json!(time::format(verdict.violated_at)));
    row.insert("resolved_at".to_owned(), json!(verdict.resolved_at.map(time::format)));
    row.insert("severity".to_owned(), json!(verdict.severity));
    let mut said = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        said.push_str(before);
        let Some((name, behind)) = after.split_once('}') else { break };
        match row.get(name).filter(|value| !value.is_null()) {
            Some(value) => said.push_str(&output::text(value)),
            None => said.push_str("unknown"),
        }
        rest = behind;
    }
    said + rest
}

/// The key as `detect --explain` takes it.
fn key_words(verdict: &Verdict) -> String {
    let quoted = |text: String| format!("'{}'", text.replace('\'', "'\\''"));
    let word = |(name, value): (&String, &Value)| quoted(format!("{name}={}", output::text(value)));
    printable(&verdict.key.iter().map(word).collect::<Vec<_>>().join(" "))
}

/// The key column that leads to the events: the grant where there is one.
fn subject_of(key: &Map<String, Value>) -> (&str, &Value) {
    let by = |column: &str| key.get_key_value(column).map(|(name, value)| (name.as_str(), value));
    ["grant_id", "host_id", "device_id", "subject_id"].into_iter().find_map(by).unwrap_or(("grant_id", &Value::Null))
}

/// The key's events in order, and the query that gives them all.
async fn events(lake: &Lake, column: &str, id: &str, evidence: &Value) -> anyhow::Result<String> {
    let context = query::session(query::Limits::default())?;
    let state = lake.events().refresh().await?;
    let files = query::events(lake, &context, state.files.values().cloned().collect())?;
    views::replace(&context, "events", files)?;
    let columns = "event_time, action, outcome, token_kind, subject_id, client_id, device_id, host_id, os_user, ip, project_id, event_id";
    let sql = format!(
        "SELECT DISTINCT {columns} FROM events WHERE {column} = $id AND class IN ('token', 'context') \
         ORDER BY {columns} LIMIT {}",
        EVENTS_SHOWN + 1
    );
    let value = query::ScalarValue::Utf8View(Some(id.to_owned()));
    let frame = query::plan(&context, &sql).await?.with_param_values(vec![("id", value)])?;
    let rows = query::collect(frame).await?;
    let mut all: Vec<Map<String, Value>> = output::objects(&rows.batches).collect();
    for row in &mut all {
        let id = row.remove("event_id").unwrap_or_default();
        let is_evidence = evidence.as_array().is_some_and(|ids| ids.contains(&id));
        row.insert("evidence".to_owned(), if is_evidence { json!("●") } else { Value::Null });
    }
    let more = if all.len() > EVENTS_SHOWN { "The first events" } else { "Events" };
    // Columns that say nothing here only take room.
    let used: Vec<&str> = columns
        .split(", ")
        .chain(["evidence"])
        .filter(|c| all.iter().any(|row| row.get(*c).is_some_and(|v| !v.is_null())))
        .collect();
    let narrowed = all
        .iter()
        .take(EVENTS_SHOWN)
        .map(|row| used.iter().map(|c| ((*c).to_owned(), row.get(*c).cloned().unwrap_or(Value::Null))).collect());
    let shown = table(used.iter().copied(), narrowed);
    let quoted = id.replace('\'', "''");
    Ok(format!(
        "\n{more} with {column} {}:\n{shown}\n\nTo go on:\n  tokentrail query \"SELECT * FROM token_events WHERE {column} = '{}' ORDER BY event_time\"\n",
        printable(id),
        printable(&quoted)
    ))
}
