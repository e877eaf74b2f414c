//! `tokentrail policy`: what a policy says, whom it concerns, and what another one would change.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::query::table;
use super::{Global, Output};
use crate::clock;
use crate::detect::catalog::Catalog;
use crate::detect::frame::{Frame, Reach};
use crate::detect::policy_views::Asked;
use crate::detect::{self, Request, Span};
use crate::event::time;
use crate::finding::Verdict;
use crate::lake::Lake;
use crate::policy::Policy;
use crate::query::{self, output};

/// Arguments of `policy`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Read a policy and say what is wrong with it; that of --policy if none is named
    Check { file: Option<PathBuf> },
    /// Which value holds for a grant, and which rule decided it
    Explain {
        #[arg(long)]
        grant: String,
        /// Judge as if it were this moment (RFC 3339); the wall clock if not given
        #[arg(long, value_name = "TIME", value_parser = super::detect::moment)]
        as_of: Option<i64>,
    },
    /// What another policy would open, close and rate otherwise over the present lake; nothing is recorded
    Diff {
        new: PathBuf,
        /// Judge as if it were this moment (RFC 3339); the wall clock if not given
        #[arg(long, value_name = "TIME", value_parser = super::detect::moment)]
        as_of: Option<i64>,
    },
}

/// Runs the command.
pub async fn run(args: Args, global: &Global) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Check { file } => check(&file.map_or_else(|| global.load_policy(), |f| Ok(Policy::load(&f)?))?),
        Command::Explain { grant, as_of } => explain(&grant, as_of.unwrap_or_else(clock::now_micros), global).await?,
        Command::Diff { new, as_of } => {
            let as_of = as_of.unwrap_or_else(clock::now_micros);
            diff(&Policy::load(&new)?, as_of, global).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn check(policy: &Policy) {
    println!("good: {} rules, {} exceptions, hash {}", policy.rules().len(), policy.exceptions().len(), policy.hash());
    let now = clock::now_micros();
    for exception in policy.exceptions().iter().filter(|exception| !exception.holds_at(now)) {
        println!("an exception for {} is over and excepts nothing: {}", exception.detector, exception.reason);
    }
}

/// Every key with its value for one grant.
async fn explain(grant: &str, as_of: i64, global: &Global) -> anyhow::Result<()> {
    let (lake, policy) = (Lake::open(&global.lake).await?, global.load_policy()?);
    let state = lake.events().refresh().await?;
    let session =
        Frame::open(&lake, &state, Asked::anything(&policy), Span::until(as_of), Reach::Kept).await?.into_session();
    let id = query::ScalarValue::Utf8View(Some(grant.to_owned()));
    let frame = query::plan(&session, "SELECT * FROM grants WHERE grant_id = $id").await?;
    let rows = query::collect(frame.with_param_values(vec![("id", id)])?).await?;
    let Some(row) = output::objects(&rows.batches).next() else {
        bail!(
            "no grant {grant:?} was exercised up to {}; a query over token_events shows what is known of it",
            time::format(as_of)
        );
    };
    let rows: Vec<Map<String, Value>> = Policy::KEYS
        .iter()
        .map(|key| {
            let value = |name: &str| row.get(name).cloned().unwrap_or(Value::Null);
            let rule = value(&format!("{}_rule", key.name));
            fields(
                &["key", "value", "decided by", "what it is"],
                [json!(key.name), value(key.name), rule, json!(key.help)],
            )
        })
        .collect();
    show(&["key", "value", "decided by", "what it is"], &rows, global.output)
}

/// Findings that only one of two policies gives, and those that both give otherwise.
async fn diff(new: &Policy, as_of: i64, global: &Global) -> anyhow::Result<()> {
    let (lake, old) = (Lake::open(&global.lake).await?, global.load_policy()?);
    let catalog = Catalog::load(global.queries.as_deref())?;
    let before = open(&lake, &old, &catalog, as_of).await.context("with the present policy")?;
    let after = open(&lake, new, &catalog, as_of).await.context("with the new policy")?;
    let mut rows = Vec::new();
    let ids: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for id in ids {
        let (change, verdict, other) = match (before.get(id), after.get(id)) {
            (None, Some(new)) => ("opens", new, None),
            (Some(old), None) => ("closes", old, None),
            (Some(old), Some(new)) if (old.severity, old.violated_at) != (new.severity, new.violated_at) => {
                ("changes", new, Some(old))
            }
            _ => continue,
        };
        let was = other.map(|old| format!("{} since {}", old.severity, time::format(old.violated_at)));
        let about = verdict.key.values().map(output::text).collect::<Vec<_>>().join("  ");
        let rule = verdict.evidence.object().get("rule").cloned().unwrap_or(Value::Null);
        let since = time::format(verdict.violated_at);
        let cells =
            [json!(change), json!(verdict.detector.to_string()), json!(about), json!(verdict.severity), json!(since)];
        rows.push(fields(&DIFF, cells.into_iter().chain([json!(was), rule])));
    }
    rows.sort_by_key(|row| DIFF.iter().take(3).map(|name| row[*name].to_string()).collect::<Vec<_>>());
    show(&DIFF, &rows, global.output)?;
    if global.output == Output::Table && !global.quiet {
        let count = |change: &str| rows.iter().filter(|row| row["change"] == change).count();
        println!(
            "The new policy opens {}, closes {} and changes {}.",
            count("opens"),
            count("closes"),
            count("changes")
        );
    }
    Ok(())
}

const DIFF: [&str; 7] = ["change", "detector", "about", "severity", "since", "was", "rule"];

/// What is open under a policy, exceptions left out, by finding id.
async fn open(
    lake: &Lake,
    policy: &Policy,
    catalog: &Catalog,
    as_of: i64,
) -> anyhow::Result<BTreeMap<String, Verdict>> {
    let request = Request { as_of: Some(as_of), ..Request::default() };
    let mut found = BTreeMap::new();
    for outcome in detect::look(lake, policy, catalog, &request).await? {
        for verdict in outcome.verdicts.map_err(anyhow::Error::msg)? {
            let excepted = || {
                policy.exceptions().iter().any(|e| e.holds_at(as_of) && e.matches(&verdict.detector, &verdict.row()))
            };
            if verdict.resolved_at.is_none() && !excepted() {
                found.insert(verdict.id(), verdict);
            }
        }
    }
    Ok(found)
}

fn fields(names: &[&str], values: impl IntoIterator<Item = Value>) -> Map<String, Value> {
    names.iter().map(|name| (*name).to_owned()).zip(values).collect()
}

fn show(names: &[&str], rows: &[Map<String, Value>], how: Output) -> anyhow::Result<()> {
    match how {
        Output::Table => println!("{}", table(names.iter().copied(), rows.iter().cloned())),
        Output::Json => println!("{}", serde_json::to_string_pretty(rows)?),
        Output::Ndjson => rows.iter().for_each(|row| println!("{}", Value::Object(row.clone()))),
        Output::Csv => output::csv(names.iter().copied(), rows.iter().cloned(), &mut std::io::stdout().lock())?,
    }
    Ok(())
}
