//! `detect --run` and `detect --at`: what detectors said, or would have said, of the lake as it was.

use std::process::ExitCode;

use anyhow::{Context as _, bail};

use super::{Global, findings};
use crate::detect::catalog::Catalog;
use crate::detect::cut::Cut;
use crate::detect::runs::{self, Came, Recorded};
use crate::detect::{self, Outcome};
use crate::event::time;
use crate::finding::{Finding, State, Verdict};
use crate::lake::Lake;
use crate::query::QueryError;

/// Repeats a recorded run with the policy and queries of its day, and says whether it gives the same.
pub async fn run(id: &str, global: &Global) -> anyhow::Result<ExitCode> {
    let lake = Lake::open(&global.lake).await?;
    let Recorded { run, policy, catalog, came } = runs::recorded(&lake, id).await?;
    let ids: Vec<String> = came.iter().map(|c| c.detector.clone()).collect();
    let outcomes = detect::repeat(&lake, &policy, &catalog, &ids, run.as_of, run.cut()).await?;
    print(&outcomes, run.as_of, run.version, global)?;
    let differing = differing(&came, &detect::came(&outcomes));
    for sentence in &differing {
        eprintln!("error: {sentence}");
    }
    if differing.is_empty() && !global.quiet {
        eprintln!(
            "The same to the row as run {} of {}: {} detectors, as of {}, lake version {}.",
            run.id,
            time::format(run.at),
            came.len(),
            time::format(run.as_of),
            run.version
        );
    }
    Ok(if differing.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

/// Runs detectors with the present policy and queries on the rows that the lake held at a version.
pub async fn at(version: i64, as_of: i64, ids: &[String], global: &Global) -> anyhow::Result<ExitCode> {
    let lake = Lake::open(&global.lake).await?;
    let (policy, catalog) = (global.load_policy()?, Catalog::load(global.queries.as_deref())?);
    let newest = lake.events().refresh().await?.version;
    if version > newest {
        return Err(QueryError::NoVersion(version).into());
    }
    let cut = Cut::of_version(&lake, version).await?;
    let outcomes = detect::repeat(&lake, &policy, &catalog, ids, as_of, cut).await?;
    print(&outcomes, as_of, version, global)?;
    let failed: Vec<&String> = outcomes.iter().filter_map(|o| o.verdicts.as_ref().err()).collect();
    for reason in &failed {
        eprintln!("error: {reason}");
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

/// Where a repetition came out otherwise than was recorded.
fn differing(then: &[Came], now: &[Came]) -> Vec<String> {
    let rows = |came: &Came| came.rows.map_or_else(|| "failed".to_owned(), |rows| format!("{rows} rows"));
    let pairs = then.iter().filter_map(|t| Some((t, now.iter().find(|n| n.detector == t.detector)?)));
    pairs
        .filter(|(then, now)| (then.rows, &then.digest) != (now.rows, &now.digest))
        .map(|(then, now)| {
            let reason = now.failed.as_ref().map(|f| format!(": {f}")).unwrap_or_default();
            format!("{}: {} then, {} now, and not the same{reason}", then.detector, rows(then), rows(now))
        })
        .collect()
}

fn print(outcomes: &[Outcome], as_of: i64, version: i64, global: &Global) -> anyhow::Result<()> {
    let verdicts = outcomes.iter().filter_map(|o| o.verdicts.as_ref().ok()).flatten();
    let rows: Vec<Finding> = verdicts.map(|verdict| finding(verdict, as_of, version)).collect();
    if outcomes.is_empty() {
        bail!("no detector was run");
    }
    findings::print(&rows.iter().collect::<Vec<_>>(), global.output).context("printing the rows")
}

/// A row as a finding: open or resolved, whatever people and exceptions made of it.
fn finding(verdict: &Verdict, as_of: i64, version: i64) -> Finding {
    let state = if verdict.resolved_at.is_some() { State::Resolved } else { State::Open };
    let (id, verdict) = (verdict.id(), verdict.clone());
    Finding { id, verdict, state, first_detected_at: as_of, version, until: None }
}
