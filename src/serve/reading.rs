//! The sources of a service, each read beside the others, and exchanged when the configuration is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::lease::Held;
use super::pages::{Condition, Failure, Parts};
use super::{Shared, keep};
use crate::config::Reading;
use crate::csv::Layout;
use crate::ingest::key::KeySource;
use crate::ingest::protection::Protection;
use crate::ingest::{self, Options, Progress};
use crate::source::Source;
use crate::source::file::FileSource;
use crate::source::kafka::KafkaSource;

/// How often files are looked at where nothing else is said.
const LOOK: Duration = Duration::from_secs(10);

/// A source that is read.
struct Running {
    reading: Reading,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// How all sources are, told as one part.
#[derive(Clone)]
struct Conditions {
    all: Arc<Mutex<BTreeMap<String, Condition>>>,
    parts: Parts,
}

impl Conditions {
    fn set(&self, source: &str, condition: Option<Condition>) {
        // A lock whose holder panicked still guards plain values.
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        match condition {
            Some(condition) => all.insert(source.to_owned(), condition),
            None => all.remove(source),
        };
        let failing = all.iter().find_map(|(name, condition)| match condition {
            Condition::Failing(failure) => {
                Some(Condition::Failing(Failure { source: Some(name.clone()), ..failure.clone() }))
            }
            _ => None,
        });
        let other = all.values().find(|condition| **condition != Condition::Ready).cloned();
        self.parts.set("ingest", failing.or(other).unwrap_or(Condition::Ready));
    }
}

/// Reads every source of the settings until the service stops.
pub async fn run(mut shared: Shared) {
    let conditions = Conditions { all: Arc::default(), parts: shared.parts.clone() };
    let mut running: BTreeMap<String, Running> = BTreeMap::new();
    let mut stop = shared.stop.clone();
    loop {
        let settings = shared.settings.borrow_and_update().clone();
        let wanted = |name: &str| settings.sources.iter().find(|reading| reading.config.name == name);
        let gone: Vec<String> = running
            .iter()
            .filter(|(name, at)| wanted(name).is_none_or(|reading| !reading.is_same(&at.reading)))
            .map(|(name, _)| name.clone())
            .collect();
        end(gone.iter().filter_map(|name| running.remove(name))).await;
        gone.iter().for_each(|name| conditions.set(name, None));
        for reading in &settings.sources {
            let name = &reading.config.name;
            if !running.contains_key(name) {
                running.insert(name.clone(), begin(&shared, reading, &conditions));
            }
        }
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            changed = shared.settings.changed() => if changed.is_err() { break },
        }
    }
    end(running.into_values()).await;
    conditions.parts.set("ingest", Condition::Stopping);
}

fn begin(shared: &Shared, reading: &Reading, conditions: &Conditions) -> Running {
    let (stop, stopped) = watch::channel(false);
    let (shared, own, conditions) = (shared.clone(), reading.clone(), conditions.clone());
    let task = tokio::spawn(async move {
        let name = own.config.name.clone();
        tracing::info!(source = name, "reading");
        let report = |condition| conditions.set(&name, Some(condition));
        let work = || read(shared.clone(), own.clone(), conditions.clone(), stopped.clone());
        keep(&name, stopped.clone(), report, work).await;
    });
    Running { reading: reading.clone(), stop, task }
}

/// Tells sources to commit what they hold, and waits for them.
async fn end(running: impl Iterator<Item = Running>) {
    let told: Vec<Running> = running.collect();
    told.iter().for_each(|at| {
        at.stop.send_replace(true);
    });
    for at in told {
        if let Err(error) = at.task.await {
            tracing::error!(source = at.reading.config.name, %error, "reading broke off");
        }
    }
}

/// Reads one source until it is told to stop.
async fn read(
    shared: Shared,
    reading: Reading,
    conditions: Conditions,
    mut stop: watch::Receiver<bool>,
) -> Result<(), String> {
    let options = options(&shared, &reading).await?;
    let ready = || conditions.set(&reading.config.name, Some(Condition::Ready));
    if let Some(kafka) = &reading.kafka {
        let source = KafkaSource::open(kafka.clone(), ingest::positions(&shared.lake)).await;
        let mut source = source.map_err(|error| error.to_string())?;
        ready();
        ingest_from(&shared, &mut source, &options, stop.clone()).await?;
        return if *stop.borrow() { Ok(()) } else { Err("the consumer came to an end".to_owned()) };
    }
    while !*stop.borrow() {
        // Who waits for another is as it should be.
        ready();
        let name = format!("files-{}", reading.config.name);
        let Some(held) = shared.elected(&name, &mut stop).await? else { break };
        let ended = follow(&shared, &reading, &options, &held, &mut stop, &ready).await;
        held.release().await;
        ended?;
    }
    Ok(())
}

/// Reads files on as they grow, while no other process does: two would only get into each other's way.
async fn follow(
    shared: &Shared,
    reading: &Reading,
    options: &Options,
    held: &Held,
    stop: &mut watch::Receiver<bool>,
    ready: &(impl Fn() + Sync),
) -> Result<(), String> {
    let layout = options.mapping.as_ref().and_then(|mapping| mapping.csv()).cloned();
    let every = reading.config.every_seconds.map_or(LOOK, |seconds| Duration::from_secs(seconds.max(1)));
    let mut seen = None;
    while !*stop.borrow() && held.is_ours() {
        let stamps = stamps(&reading.config.files);
        if seen.as_ref() != Some(&stamps) {
            files(shared, reading, options, layout.clone(), stop.clone()).await?;
            seen = Some(stamps);
        }
        ready();
        // The time passed, or the service stops.
        let _ = tokio::time::timeout(every, stop.wait_for(|stop| *stop)).await;
    }
    Ok(())
}

async fn files(
    shared: &Shared,
    reading: &Reading,
    options: &Options,
    layout: Option<Layout>,
    stop: watch::Receiver<bool>,
) -> Result<(), String> {
    let state = shared.lake.events().refresh().await.map_err(|error| error.to_string())?;
    let source = FileSource::open_as(&reading.config.files, state.positions.clone(), layout);
    let mut source = source.map_err(|error| error.to_string())?;
    ingest_from(shared, &mut source, options, stop).await
}

async fn options(shared: &Shared, reading: &Reading) -> Result<Options, String> {
    let config = shared.settings.borrow().config.clone();
    let key = KeySource::here(config.lake.secret_key_file.clone());
    let protection = Protection::of_lake(&shared.lake, &key, false, config.lake.pseudonymise).await;
    Ok(Options {
        format: reading.config.format(),
        mapping: reading.mapping.clone(),
        keep_raw: config.lake.keep_raw,
        protection: protection.map_err(|error| error.to_string())?,
        rows_max: config.ingest.commit_rows,
        bytes_max: config.ingest.commit_mib << 20,
        age_max: Duration::from_millis(config.ingest.commit_ms),
        // A part of its own does that.
        maintain_every: 0,
        observer: Some(Arc::new(shared.metrics.clone())),
    })
}

async fn ingest_from(
    shared: &Shared,
    source: &mut dyn Source,
    options: &Options,
    stop: watch::Receiver<bool>,
) -> Result<(), String> {
    let (progress, mut seen) = watch::channel(Progress::default());
    let metrics = shared.metrics.clone();
    let told = tokio::spawn(async move {
        while seen.changed().await.is_ok() {
            metrics.progressed(&seen.borrow_and_update());
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    });
    let ingested = ingest::run(&shared.lake, source, options, stop, &progress).await;
    drop(progress);
    told.abort();
    ingested.map(|_| ()).map_err(|error| error.to_string())
}

/// Length and time of every file below these paths: what has not changed is not opened.
fn stamps(paths: &[PathBuf]) -> BTreeMap<PathBuf, (u64, Option<SystemTime>)> {
    let mut found = BTreeMap::new();
    paths.iter().for_each(|path| stamp(path, &mut found));
    found
}

fn stamp(path: &Path, found: &mut BTreeMap<PathBuf, (u64, Option<SystemTime>)>) {
    let Ok(meta) = std::fs::metadata(path) else { return };
    if !meta.is_dir() {
        found.insert(path.to_owned(), (meta.len(), meta.modified().ok()));
        return;
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.for_each(|entry| stamp(&entry.path(), found));
}
