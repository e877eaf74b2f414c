//! `detectors backtest`: what a detector file would have found over history, beside what the current version finds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use serde_json::{Map, Value, json};

use super::query::table;
use super::{Global, Output};
use crate::clock;
use crate::detect::catalog::{Catalog, Detector};
use crate::detect::{self, Request};
use crate::event::time;
use crate::finding::Verdict;
use crate::lake::Lake;
use crate::query::output;

/// Which file, and which stretch of history.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The detector file; its name is the id of the detector it is compared with, if there is one
    file: PathBuf,
    /// Violations from this moment on (RFC 3339); from the beginning if not given
    #[arg(long, value_name = "TIME", value_parser = super::detect::moment)]
    from: Option<i64>,
    /// Violations before this moment, judged as of it; up to now if not given
    #[arg(long, value_name = "TIME", value_parser = super::detect::moment)]
    to: Option<i64>,
}

const COLUMNS: [&str; 7] = ["found by", "about", "severity", "violated at", "resolved at", "was", "week"];

/// Runs both versions as of the end of the stretch and says where they differ.
pub async fn run(args: &Args, global: &Global) -> anyhow::Result<ExitCode> {
    let to = args.to.unwrap_or_else(clock::now_micros);
    let from = args.from.unwrap_or(i64::MIN);
    ensure!(from < to, "--from must lie before --to");
    let lake = Lake::open(&global.lake).await?;
    let new = Detector::load(&args.file)?;
    let current = Catalog::load(global.queries.as_deref())?;
    // The file may lie in --queries itself: then it is compared with the version compiled in.
    let is_same = |d: &&Detector| d.text == new.text;
    let current = match current.find(&new.id).ok().filter(is_same) {
        Some(_) => Catalog::load(None)?,
        None => current,
    };
    let id = new.id.clone();
    let before = match current.find(&id) {
        Ok(_) => Some(verdicts(&lake, &current, &id, from, to, global).await.context("the current version")?),
        Err(_) => None,
    };
    let changed = Catalog::of([(new.file, new.id, new.text)])?;
    let after = verdicts(&lake, &changed, &id, from, to, global).await?;
    let rows = compared(before.as_ref().unwrap_or(&BTreeMap::new()), &after);
    match global.output {
        Output::Table => {
            println!("{}", table(COLUMNS.into_iter(), rows.iter().cloned()));
            println!("{}", said(&rows, before.is_some()));
        }
        Output::Json => println!("{}", serde_json::to_string_pretty(&rows)?),
        Output::Ndjson => rows.iter().for_each(|row| println!("{}", Value::Object(row.clone()))),
        Output::Csv => output::csv(COLUMNS.into_iter(), rows.iter().cloned(), &mut std::io::stdout().lock())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What one version says, by finding id.
async fn verdicts(
    lake: &Lake,
    catalog: &Catalog,
    id: &str,
    from: i64,
    to: i64,
    global: &Global,
) -> anyhow::Result<BTreeMap<String, Verdict>> {
    let request = Request { ids: vec![id.to_owned()], as_of: Some(to), ..Request::default() };
    let mut found = BTreeMap::new();
    for outcome in detect::look(lake, &global.load_policy()?, catalog, &request).await? {
        for verdict in outcome.verdicts.map_err(anyhow::Error::msg)? {
            if (from..to).contains(&verdict.violated_at) {
                found.insert(verdict.id(), verdict);
            }
        }
    }
    Ok(found)
}

/// One row per key: who finds it, and what differs.
fn compared(before: &BTreeMap<String, Verdict>, after: &BTreeMap<String, Verdict>) -> Vec<Map<String, Value>> {
    let ids: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut rows = Vec::new();
    for id in ids {
        let (by, verdict, was) = match (before.get(id), after.get(id)) {
            (Some(old), None) => ("current only", old, None),
            (None, Some(new)) => ("new only", new, None),
            (Some(old), Some(new)) if times(old) != times(new) => ("both, differing", new, Some(old)),
            (_, Some(new)) => ("both", new, None),
            (None, None) => continue,
        };
        let resolved = verdict.resolved_at.map(time::format);
        let was = was.map(|old| {
            let resolved = old.resolved_at.map_or_else(|| "open".to_owned(), time::format);
            format!("{} {} to {resolved}", old.severity, time::format(old.violated_at))
        });
        let about = verdict.key.values().map(output::text).collect::<Vec<_>>().join("  ");
        let values = [
            json!(by),
            json!(about),
            json!(verdict.severity),
            json!(time::format(verdict.violated_at)),
            json!(resolved),
            json!(was),
            json!(week(verdict.violated_at)),
        ];
        rows.push(COLUMNS.iter().map(|name| (*name).to_owned()).zip(values).collect());
    }
    let text = |row: &Map<String, Value>, name: &str| row[name].to_string();
    rows.sort_by_cached_key(|row: &Map<String, Value>| (text(row, "violated at"), text(row, "about")));
    rows
}

fn times(verdict: &Verdict) -> (i64, Option<i64>, crate::finding::Severity) {
    (verdict.violated_at, verdict.resolved_at, verdict.severity)
}

/// The Monday (UTC) of the moment's week, as a date.
fn week(at: i64) -> String {
    let day = at.div_euclid(time::DAY);
    let monday = day - (day + 3).rem_euclid(7); // 1970-01-01 was a Thursday
    time::format(monday * time::DAY).chars().take(10).collect()
}

/// The rows in numbers, week by week.
fn said(rows: &[Map<String, Value>], has_current: bool) -> String {
    let mut weeks: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows {
        let by = row["found by"].as_str().unwrap_or_default();
        *counts.entry(by).or_default() += 1;
        let week = weeks.entry(row["week"].as_str().unwrap_or_default()).or_default();
        week[0] += usize::from(by != "current only");
        week[1] += usize::from(by != "new only");
    }
    let mut text = if has_current { "week of      new  current\n" } else { "week of      new\n" }.to_owned();
    for (week, [new, current]) in weeks {
        let current = if has_current { format!(" {current:>8}") } else { String::new() };
        text.push_str(&format!("{week} {new:>5}{current}\n"));
    }
    let all: Vec<String> = counts.iter().map(|(by, count)| format!("{count} found by {by}")).collect();
    text + &if all.is_empty() { "Neither finds anything.".to_owned() } else { format!("{}.", all.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_begin_on_monday() {
        let day = |text: &str| time::parse(text).map(week).unwrap_or_default();
        assert_eq!(day("2026-11-23T00:00:00Z"), "2026-11-23");
        assert_eq!(day("2026-11-29T23:59:59Z"), "2026-11-23");
    }
}
