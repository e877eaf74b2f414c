//! The detectors' clock: looks for new versions of the lake, and runs what is due, one run at a time.
//!
//! Several processes may have this part; the one that holds the lease works, and the others wait for it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Shared;
use super::lease::Held;
use super::pages::{Condition, Failure};
use super::schedule::Schedule;
use crate::config::Settings;
use crate::detect::reads::Class;
use crate::detect::{self, Report, Request};
use crate::lake::LakeError;

/// How often the lake is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Runs detectors while the lease is ours, until the service stops.
pub async fn run(shared: Shared) -> Result<(), String> {
    while !shared.is_stopping() {
        // Who waits for another is as it should be.
        shared.parts.set("detect", Condition::Ready);
        let Some(held) = shared.elected("scheduler", &mut shared.stop.clone()).await? else { break };
        tracing::info!("this process runs the detectors");
        shared.metrics.scheduler(true);
        let ended = reign(&shared, &held).await;
        shared.metrics.scheduler(false);
        held.release().await;
        ended?;
    }
    Ok(())
}

/// Runs what is due until the lease is lost or the service stops.
async fn reign(shared: &Shared, held: &Held) -> Result<(), String> {
    let began = Instant::now();
    let mut settings = shared.settings.clone();
    let mut current = settings.borrow_and_update().clone();
    let mut schedule = planned(&current);
    let mut version = None;
    while !shared.is_stopping() {
        if !held.is_ours() {
            tracing::warn!("the lease of the scheduler went to another process; waiting for it");
            return Ok(());
        }
        if settings.has_changed().unwrap_or(false) {
            current = settings.borrow_and_update().clone();
            schedule = planned(&current);
        }
        let changed = news(shared, &mut version).await.map_err(|error| error.to_string())?;
        schedule.changed(&changed);
        let due = schedule.due(began.elapsed());
        if !due.is_empty() {
            schedule.begins(&due, began.elapsed());
            match once(shared, held, &current, &due).await {
                Some(report) => {
                    report.outcomes.iter().for_each(|o| schedule.ended(&o.detector, o.verdicts.is_ok()));
                    shared.parts.set("detect", Condition::Ready);
                }
                None => due.iter().for_each(|id| schedule.ended(id, false)),
            }
        }
        shared.pause(LOOK).await;
    }
    Ok(())
}

fn planned(settings: &Settings) -> Schedule {
    Schedule::new(&settings.catalog, Duration::from_secs(settings.config.detect.apart_seconds))
}

/// Classes of rows that came since the last look; all of them where that cannot be told.
async fn news(shared: &Shared, seen: &mut Option<i64>) -> Result<BTreeSet<Class>, LakeError> {
    let events = shared.lake.events();
    let version = events.refresh().await?.version;
    shared.metrics.version_seen(version);
    let Some(before) = seen.replace(version) else { return Ok(Class::ALL.into()) };
    if before == version {
        return Ok(BTreeSet::new());
    }
    let Some(files) = events.added_between(before, version).await? else { return Ok(Class::ALL.into()) };
    Ok(files.iter().filter_map(|file| Class::parse(file.partition("class")?)).collect())
}

/// One run. `None`: it failed, or was given up because the lease was lost or the service stops.
async fn once(shared: &Shared, held: &Held, settings: &Arc<Settings>, due: &[String]) -> Option<Report> {
    let request = Request { ids: due.to_vec(), ..Request::default() };
    let began = Instant::now();
    let run = held.guard(detect::run(&shared.lake, &settings.policy, &settings.catalog, &request));
    let mut stop = shared.stop.clone();
    let grace = async {
        let _ = stop.wait_for(|stop| *stop).await; // an error is a stop too
        // Half of the time to stop in: the other half is for letting go.
        tokio::time::sleep(Duration::from_secs(settings.config.serve.drain_seconds) / 2).await;
    };
    let ended = tokio::select! {
        ended = run => ended,
        () = grace => {
            tracing::warn!("a run was given up because the service stops; the next one makes up for it");
            return None;
        }
    };
    match ended {
        Some(Ok(report)) => {
            shared.metrics.detected(&report, began.elapsed());
            tell(&report, began.elapsed());
            Some(report)
        }
        Some(Err(error)) => {
            tracing::error!(%error, "a run of the detectors failed; it is tried again");
            shared
                .parts
                .set("detect", Condition::Failing(Failure::new("a run of the detectors failed, and is tried again")));
            None
        }
        None => {
            tracing::warn!("a run was given up because the lease was lost; its holder makes up for it");
            None
        }
    }
}

fn tell(report: &Report, took: Duration) {
    for (detector, reason) in report.failures() {
        // What SQL says of a value may quote it: a person's name does not belong in every log.
        tracing::debug!(detector, reason, "why it failed");
        tracing::error!(detector, "a detector failed; it is tried again, and `tokentrail detect` says why");
    }
    let (changes, open, milliseconds) = (report.transitions.len(), report.open.len(), took.as_millis() as u64);
    let detectors = report.outcomes.len();
    if changes > 0 {
        tracing::info!(version = report.version, detectors, changes, open, milliseconds, "findings changed");
    } else {
        tracing::debug!(version = report.version, detectors, open, milliseconds, "no finding changed");
    }
}
