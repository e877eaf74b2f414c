//! `tokentrail detect`: runs the detectors, says what changed and what is open.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::Value;

use super::query::{printable, quiet_pipe, sheet};
use super::{Global, Output, explain, findings, repeat};
use crate::detect::catalog::Catalog;
use crate::detect::header::Kind;
use crate::detect::lifecycle::Change;
use crate::detect::{self, Report, Request};
use crate::event::time;
use crate::finding::{Finding, Severity, State};
use crate::lake::Lake;

/// Arguments of `detect`.
#[derive(clap::Args, Debug, Default)]
pub struct Args {
    /// Detectors to run; all if none is named
    ids: Vec<String>,
    /// Judge as if it were this moment (RFC 3339); the wall clock if not given
    #[arg(long, value_name = "TIME", value_parser = moment)]
    as_of: Option<i64>,
    /// Judge from all events instead of from what earlier runs kept; slow. It gives the same, unless events contradict
    /// each other under one id
    #[arg(long)]
    full: bool,
    /// Say step by step why a detector fires for a key, or why it does not; nothing is recorded
    #[arg(long, value_names = ["DETECTOR", "KEY"], num_args = 2.., conflicts_with_all = ["ids", "full", "at", "run"])]
    explain: Vec<String>,
    /// Repeat a recorded run, with the policy and queries of its day; nothing is recorded
    #[arg(long, value_name = "RUN", conflicts_with_all = ["ids", "as_of", "full", "at"])]
    run: Option<String>,
    /// Judge the rows that the lake held at this version, however they are stored now; nothing is recorded
    #[arg(long, value_name = "VERSION", requires = "as_of", conflicts_with = "full")]
    at: Option<i64>,
    /// Exit with 1 only for open violations at or above this severity
    #[arg(long, value_name = "SEVERITY", value_parser = severity, default_value = "low")]
    fail_on: Option<Severity>,
}

impl Args {
    /// All detectors, as of a moment.
    pub fn as_of(moment: i64) -> Self {
        Self { as_of: Some(moment), ..Self::default() }
    }
}

/// Open findings shown in a table; the rest is counted.
const SHOWN_MAX: usize = 50;

pub(super) fn moment(text: &str) -> Result<i64, String> {
    time::parse(text).ok_or_else(|| "expected RFC 3339 with an offset, such as 2026-11-01T00:00:00Z".to_owned())
}

fn severity(text: &str) -> Result<Severity, String> {
    let names: Vec<&str> = Severity::ALL.iter().map(|(name, _)| *name).collect();
    Severity::parse(text).ok_or_else(|| format!("expected one of {}", names.join(", ")))
}

/// Runs the command. What could not run at all is exit code 2, as a detector that failed is: 1 is for violations.
pub async fn run(args: Args, global: &Global) -> anyhow::Result<ExitCode> {
    match detect(&args, global).await {
        Ok(code) => Ok(code),
        Err(error) => {
            super::report(&error, global.log_format);
            Ok(ExitCode::from(2))
        }
    }
}

async fn detect(args: &Args, global: &Global) -> anyhow::Result<ExitCode> {
    if !args.explain.is_empty() {
        return explain::run(&args.explain, args.as_of, global).await;
    }
    match (&args.run, args.at, args.as_of) {
        (Some(id), _, _) => return repeat::run(id, global).await,
        (None, Some(version), Some(as_of)) => return repeat::at(version, as_of, &args.ids, global).await,
        _ => {}
    }
    let catalog = Catalog::load(global.queries.as_deref())?;
    let policy = global.load_policy()?;
    let lake = Lake::open(&global.lake).await?;
    let request = Request { ids: args.ids.clone(), as_of: args.as_of, full: args.full };
    let report = detect::run(&lake, &policy, &catalog, &request).await?;
    print(&report, global).context("printing the findings")?;
    for (detector, reason) in report.failures() {
        eprintln!("error: detector {detector} failed: {reason}");
    }
    let least = args.fail_on.unwrap_or(Severity::Low);
    let violates = |f: &Finding| {
        let is_lead = catalog.find(&f.verdict.detector).is_ok_and(|d| d.header.kind == Kind::Lead);
        f.state == State::Open && f.verdict.severity >= least && !is_lead
    };
    Ok(if report.failures().next().is_some() {
        ExitCode::from(2)
    } else if report.open.iter().any(violates) {
        ExitCode::from(1)
    } else {
        ExitCode::SUCCESS
    })
}

/// What changed and what is open: each finding once, the changed ones first.
fn print(report: &Report, global: &Global) -> io::Result<()> {
    if global.output != Output::Table {
        return findings::print(&listed(report), global.output);
    }
    let mut out = io::stdout().lock();
    let printed = write!(out, "{}", screen(report));
    quiet_pipe(printed.and_then(|()| out.flush()))
}

fn listed(report: &Report) -> Vec<&Finding> {
    let changed: Vec<&Finding> = report.transitions.iter().map(|t| &t.finding).collect();
    let ids: std::collections::HashSet<&str> = changed.iter().map(|f| f.id.as_str()).collect();
    let unchanged = report.open.iter().filter(|f| !ids.contains(f.id.as_str()));
    changed.iter().copied().chain(unchanged).collect()
}

/// The report for people: the worst first, then what to do next.
fn screen(report: &Report) -> String {
    let mut rows: Vec<(&str, &Finding)> = report.transitions.iter().map(|t| (t.change.as_str(), &t.finding)).collect();
    let ids: std::collections::HashSet<&str> = rows.iter().map(|(_, f)| f.id.as_str()).collect();
    rows.extend(report.open.iter().filter(|f| !ids.contains(f.id.as_str())).map(|f| ("", f)));
    let closed = |f: &Finding| !f.is_open();
    rows.sort_by(|(_, a), (_, b)| {
        (closed(a), b.verdict.severity, a.verdict.violated_at, &a.id).cmp(&(
            closed(b),
            a.verdict.severity,
            b.verdict.violated_at,
            &b.id,
        ))
    });
    let mut text = String::new();
    if !rows.is_empty() {
        let mut table = sheet();
        table.set_header([
            "finding",
            "severity",
            "state",
            "detector",
            "about",
            "violated at",
            "resolved at",
            "this run",
        ]);
        for (change, finding) in rows.iter().take(SHOWN_MAX) {
            table.add_row(cells(finding, change));
        }
        text.push_str(&format!("{table}\n"));
        if rows.len() > SHOWN_MAX {
            text.push_str(&format!("and {} more: tokentrail findings list --state all\n", rows.len() - SHOWN_MAX));
        }
    }
    let count = |change| report.count(change);
    text.push_str(&format!(
        "{} open. This run: {} opened, {} reopened, {} changed, {} resolved, {} excepted, {} retracted. \
         As of {}, lake version {}.\n",
        report.open.len(),
        count(Change::Opened),
        count(Change::Reopened),
        count(Change::Updated),
        count(Change::Resolved),
        count(Change::Excepted),
        count(Change::Retracted),
        time::format(report.as_of),
        report.version,
    ));
    if !report.recorded {
        text.push_str("A look at the past: the findings log was left as it is.\n");
    }
    if let Some((_, finding)) = rows.first() {
        text.push_str(&format!("Next: tokentrail findings show {}\n", findings::short_id(finding)));
    }
    text
}

fn cells(finding: &Finding, change: &str) -> Vec<String> {
    let verdict = &finding.verdict;
    let text = |value: &Value| printable(&crate::query::output::text(value));
    vec![
        findings::short_id(finding).to_owned(),
        verdict.severity.to_string(),
        finding.state.to_string(),
        verdict.detector.to_string(),
        verdict.key.values().map(text).collect::<Vec<_>>().join("  "),
        time::format(verdict.violated_at),
        verdict.resolved_at.map(time::format).unwrap_or_default(),
        change.to_owned(),
    ]
}
