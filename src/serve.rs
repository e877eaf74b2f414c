//! One process that ingests, judges, alerts and tidies up, and says how it is.
//!
//! Each part is a task that is begun again when it fails, and that ends when the service is told to stop. They share the
//! lake and nothing else: what one wrote, another finds there. So the parts of one service may run in several processes,
//! and of those that run the detectors one holds a lease ([`lease`]).

mod alerting;
mod keep;
mod lease;
pub mod metrics;
pub mod pages;
mod reading;
mod reload;
mod schedule;
mod scheduler;
pub mod tidying;

use std::collections::BTreeSet;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::config::{Overrides, Part, Settings};
use crate::lake::{Lake, LakeError};
use keep::keep;
use lease::{Held, Lease};
use metrics::Metrics;
use pages::{Pages, Parts};

/// What is asked of a service.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The configuration.
    pub file: PathBuf,
    /// What counts more than the configuration.
    pub over: Overrides,
    /// Parts to run, of those that the configuration has on; all of them if empty.
    pub only: BTreeSet<Part>,
}

/// Why a service does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("{}", .0.join("\n"))]
    Settings(Vec<String>),
    #[error("{0} has no part on that is asked for: nothing to do")]
    NoPart(String),
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error("{0}")]
    Pages(#[from] std::io::Error),
}

/// What all parts share.
#[derive(Clone)]
struct Shared {
    lake: Lake,
    settings: watch::Receiver<Arc<Settings>>,
    metrics: Metrics,
    parts: Parts,
    stop: watch::Receiver<bool>,
    /// Who this process is, to others and for people.
    name: String,
}

/// Runs until `stop` becomes true, and then for as long as the configuration lets it end what it is at. A message in
/// `hangups` has the configuration read again.
///
/// # Errors
/// What keeps it from starting. Later failures are tried again, and told by log, pages and metrics.
pub async fn run(asked: Asked, mut stop: watch::Receiver<bool>, hangups: mpsc::Receiver<()>) -> Result<(), ServeError> {
    let settings = Settings::load(&asked.file, &asked.over).map_err(ServeError::Settings)?;
    let on: Vec<Part> = settings.config.parts().filter(|p| asked.only.is_empty() || asked.only.contains(p)).collect();
    if on.is_empty() {
        return Err(ServeError::NoPart(asked.file.display().to_string()));
    }
    let config = settings.config.clone();
    let lake = Lake::open_or_create(&config.lake.uri).await?;
    let (metrics, name) = (Metrics::new(), name());
    metrics.memory_max(memory_limit());
    let parts = Parts::new(metrics.clone());
    let listen = Some(&config.telemetry).filter(|telemetry| telemetry.on);
    let pages = match listen {
        Some(t) => Some(Pages::open(&t.listen, metrics.clone(), parts.clone(), stop.clone()).await?),
        None => None,
    };
    if let Some(pages) = &pages {
        tracing::info!(address = %pages.address, "health pages and metrics");
    }
    metrics.detectors(settings.catalog.all().iter().map(|detector| detector.id.as_str()));
    let names: Vec<&str> = on.iter().map(|part| part.as_str()).collect();
    tracing::info!(lake = %config.lake.uri, parts = names.join(","), name, "serving");
    let (sender, settings) = watch::channel(Arc::new(settings));
    let shared = Shared { lake, settings, metrics, parts, stop: stop.clone(), name };
    let mut tasks = JoinSet::new();
    tasks.spawn(reload::watch((asked.file, asked.over), sender, shared.clone(), hangups));
    for part in on {
        match part {
            Part::Ingest => tasks.spawn(reading::run(shared.clone())),
            Part::Detect => tasks.spawn(shared.clone().kept("detect", scheduler::run)),
            Part::Alert => tasks.spawn(shared.clone().kept("alert", alerting::run)),
            Part::Maintain => tasks.spawn(shared.clone().kept("maintain", tidying::run)),
        };
    }
    // Whoever could tell us to stop is gone too, if this fails.
    let _ = stop.wait_for(|stop| *stop).await;
    drain(tasks, Duration::from_secs(config.serve.drain_seconds)).await;
    if let Some(pages) = pages {
        pages.close();
    }
    Ok(())
}

/// How much memory the container or unit of this process may use, bytes (cgroup v2, memory.max); 0: it is not limited.
fn memory_limit() -> u64 {
    let of_process = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let unit = of_process.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    // Inside a container its own group is the root.
    let files = [format!("/sys/fs/cgroup/{unit}/memory.max"), "/sys/fs/cgroup/memory.max".to_owned()];
    files.iter().find_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok()).unwrap_or(0)
}

/// Lets the parts end what they are at. What is cut off is not lost: it was not committed, and is done again by the next.
async fn drain(mut tasks: JoinSet<()>, longest: Duration) {
    tracing::info!(seconds_max = longest.as_secs(), "stopping: committing what is held, ending the run under way");
    let ended = timeout(longest, async { while tasks.join_next().await.is_some() {} }).await;
    match ended {
        Ok(()) => tracing::info!("stopped"),
        Err(_) => tracing::warn!("not all was ended in time; the next process takes it up from the lake"),
    }
}

impl Shared {
    /// A part that is begun again when it fails.
    async fn kept<F>(self, part: &'static str, work: fn(Self) -> F)
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let (parts, stop) = (self.parts.clone(), self.stop.clone());
        keep(part, stop, |condition| parts.set(part, condition), || work(self.clone())).await;
    }

    /// Waits until this process holds the lease `name`; `None` if `stop` came first.
    async fn elected(&self, name: &str, stop: &mut watch::Receiver<bool>) -> Result<Option<Held>, String> {
        let length = Duration::from_secs(self.settings.borrow().config.detect.lease_seconds);
        let lease = Lease::new(&self.lake, name, &self.name, length).map_err(|error| error.to_string())?;
        lease.acquire(stop).await.map_err(|error| error.to_string())
    }

    fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Waits, but not beyond the service's end.
    async fn pause(&self, time: Duration) {
        // Both the end of the time and the end of the service end the wait.
        let _ = timeout(time, self.stop.clone().wait_for(|stop| *stop)).await;
    }
}

/// Where this process runs and which one it is.
fn name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}:{}:{}", host.trim(), std::process::id(), uuid::Uuid::new_v4().simple())
}
