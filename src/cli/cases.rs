//! `detectors test`: each detector on the small stories that say what it means.
//!
//! A case is a folder `CASES/DETECTOR/CASE`: `case.toml` with `says` and `as_of`, `events.ndjson` in order of arrival, a
//! `policy.toml` if the defaults will not do, and `expected.ndjson`, the verdicts. Every case is told three times: all at
//! once from folds, all at once from every event, and backwards in two commits with every record repeated. The verdicts
//! must be the same. And a look since just before one was resolved must leave out those that were by then, and no other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use futures::StreamExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::Global;
use crate::detect::catalog::Catalog;
use crate::detect::frame::Reach;
use crate::detect::{self, GAPS, Look, Request, Span};
use crate::event::time;
use crate::finding::Verdict;
use crate::ingest::{self, Options, Progress};
use crate::lake::Lake;
use crate::policy::Policy;
use crate::source::memory::MemorySource;

/// What `case.toml` says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Terms {
    /// What the case shows, in one sentence.
    says: String,
    /// RFC 3339.
    as_of: String,
}

/// One story and what a detector must make of it.
struct Case {
    folder: PathBuf,
    detector: String,
    says: String,
    as_of: i64,
    policy: Policy,
    records: Vec<Vec<u8>>,
}

/// What came of all cases.
#[derive(Debug, Default)]
pub struct Told {
    pub good: usize,
    pub wrong: usize,
}

/// Runs the cases of the named detectors (all if none is named); prints what differs, or with `update` writes what is.
pub async fn run(folder: &Path, ids: &[String], update: bool, global: &Global) -> anyhow::Result<Told> {
    let catalog = Arc::new(Catalog::load(global.queries.as_deref())?);
    let mut cases = Vec::new();
    for detector in catalog.select(ids)? {
        for folder in folders(&folder.join(&detector.id))? {
            cases.push(Case::read(&detector.id, folder)?);
        }
    }
    let tellings = cases.into_iter().map(|case| {
        let catalog = catalog.clone();
        tokio::spawn(async move {
            let found = case.told(&catalog).await.with_context(|| case.folder.display().to_string());
            found.map(|found| (case, found))
        })
    });
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut tellings = futures::stream::iter(tellings).buffered(cores);
    let mut told = Told::default();
    while let Some(telling) = tellings.next().await {
        let (case, found) = telling??;
        let path = case.folder.join("expected.ndjson");
        if update {
            std::fs::write(&path, &found).with_context(|| path.display().to_string())?;
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default(); // none yet: everything is too much
        if expected == found {
            told.good += 1;
        } else {
            told.wrong += 1;
            println!("{}: {}\n{}", case.folder.display(), case.says, difference(&expected, &found));
        }
    }
    Ok(told)
}

/// The folders right in this one, by name; none if it is not there.
fn folders(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let paths = entries.map(|entry| entry.map(|e| e.path())).collect::<Result<Vec<_>, _>>()?;
    let mut found: Vec<PathBuf> = paths.into_iter().filter(|path| path.is_dir()).collect();
    found.sort();
    Ok(found)
}

impl Case {
    fn read(detector: &str, folder: PathBuf) -> anyhow::Result<Self> {
        let text = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).with_context(|| path.display().to_string())
        };
        let place = folder.join("case.toml").display().to_string();
        let terms: Terms = toml::from_str(&text("case.toml")?).with_context(|| place.clone())?;
        let as_of = time::parse(&terms.as_of).with_context(|| format!("{place}: as_of is no RFC 3339 time"))?;
        let policy = folder.join("policy.toml");
        let policy = if policy.exists() { Policy::load(&policy)? } else { Policy::default() };
        let records: Vec<Vec<u8>> = text("events.ndjson")?.lines().map(|line| line.as_bytes().to_vec()).collect();
        Ok(Self { detector: detector.to_owned(), says: terms.says, as_of, policy, records, folder })
    }

    /// The verdicts, one a line, the same in every telling.
    async fn told(&self, catalog: &Catalog) -> anyhow::Result<String> {
        let once = tempfile::tempdir()?;
        let lake = Lake::open_or_create(&once.path().display().to_string()).await?;
        feed(&lake, &self.records).await?;
        let verdicts = self.verdicts(&lake, catalog, false).await?;
        let found = lines(&verdicts);
        let every_event = lines(&self.verdicts(&lake, catalog, true).await?);
        ensure!(found == every_event, "from folds and from every event differ:\n{}", difference(&every_event, &found));
        let backwards = tempfile::tempdir()?;
        let lake = Lake::open_or_create(&backwards.path().display().to_string()).await?;
        let records: Vec<Vec<u8>> = self.records.iter().rev().flat_map(|r| [r.clone(), r.clone()]).collect();
        let mut late = String::new();
        for part in records.chunks(records.len().div_ceil(2).max(1)) {
            feed(&lake, part).await?;
            late = lines(&self.verdicts(&lake, catalog, false).await?);
        }
        ensure!(found == late, "in order and backwards differ:\n{}", difference(&found, &late));
        let resolved = verdicts.iter().filter_map(|verdict| Some(verdict.resolved_at? - 1));
        // What is still so at the end may rest on a silence that was over long before.
        let end = catalog.find(&self.detector)?.header.absence.as_ref().map(|_| self.as_of);
        for since in resolved.chain(end).collect::<BTreeSet<i64>>() {
            let (looked, moment) = (self.since(since, &lake, catalog).await?, time::format(since));
            let lasting = verdicts.iter().filter(|verdict| verdict.resolved_at.is_none_or(|at| at > since));
            let lasting = lines(lasting);
            ensure!(looked == lasting, "since {moment} it differs:\n{}", difference(&lasting, &looked));
        }
        Ok(found)
    }

    /// What a look since a moment finds.
    async fn since(&self, since: i64, lake: &Lake, catalog: &Catalog) -> anyhow::Result<String> {
        let state = lake.events().refresh().await?;
        // Beside the detector of silences, as in a pack: by itself each asks for them anew.
        let mut ids = vec![self.detector.clone()];
        if catalog.find(&self.detector)?.header.absence.is_some() {
            ids.push(GAPS.to_owned());
        }
        let look = Look { ids: &ids, span: Span { since: Some(since), as_of: self.as_of } };
        let outcomes = detect::seen(lake, &state, &self.policy, catalog, look, Reach::Kept).await?;
        let mut found = String::new();
        for outcome in outcomes.into_iter().filter(|outcome| outcome.detector == self.detector) {
            found.push_str(&lines(&outcome.verdicts.map_err(anyhow::Error::msg)?));
        }
        Ok(found)
    }

    async fn verdicts(&self, lake: &Lake, catalog: &Catalog, full: bool) -> anyhow::Result<Vec<Verdict>> {
        let request = Request { ids: vec![self.detector.clone()], as_of: Some(self.as_of), full };
        let report = detect::run(lake, &self.policy, catalog, &request).await?;
        if let Some((_, reason)) = report.failures().next() {
            bail!("{reason}");
        }
        Ok(report.outcomes.into_iter().filter_map(|outcome| outcome.verdicts.ok()).flatten().collect())
    }
}

/// Stores records in one commit. Those that no event can be made of are a mistake in the case.
async fn feed(lake: &Lake, records: &[Vec<u8>]) -> anyhow::Result<()> {
    let state = lake.events().refresh().await?;
    let topic = format!("case-{}", state.version); // a stream of its own each time, so that repeats are read again
    let partition = records.iter().cloned().map(Some).collect();
    let mut source = MemorySource::new(&topic, vec![partition], |_| None);
    let (_stop, stopped) = watch::channel(false);
    let progress = watch::channel(Progress::default()).0;
    let summary = ingest::run(lake, &mut source, &Options::default(), stopped, &progress).await?;
    ensure!(summary.rejected == 0, "{} records are rejected", summary.rejected);
    Ok(())
}

fn lines<'v>(verdicts: impl IntoIterator<Item = &'v Verdict>) -> String {
    verdicts.into_iter().map(|verdict| format!("{}\n", shown(verdict))).collect()
}

fn shown(verdict: &Verdict) -> Value {
    json!({
        "key": &*verdict.key, "violated_at": time::format(verdict.violated_at),
        "resolved_at": verdict.resolved_at.map(time::format), "severity": verdict.severity,
        "evidence": verdict.evidence.object(),
    })
}

/// Lines that only one side has: `-` expected, `+` found.
fn difference(expected: &str, found: &str) -> String {
    let only = |these: &str, those: &str, sign: char| -> String {
        these.lines().filter(|line| !those.lines().any(|l| l == *line)).map(|l| format!("  {sign} {l}\n")).collect()
    };
    only(expected, found, '-') + &only(found, expected, '+')
}
