//! Maintenance beside everything else: small files become large ones, logs get checkpoints, and what was settled long ago
//! is forgotten.

use std::time::{Duration, Instant};

use super::Shared;
use super::pages::Condition;
use crate::config::Maintain;
use crate::event::time::DAY;
use crate::lake::table::Table;
use crate::lake::{Lake, LakeError, maintenance, plain};
use crate::query::{QueryError, journal};
use crate::{alert, clock, detect};

/// How often what is old is looked for: it takes reading the tables whole.
const FORGET_EVERY: Duration = Duration::from_secs(24 * 3600);

/// What was done to the tables other than `events`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tidied {
    pub files_before: usize,
    pub files_after: usize,
    /// Files and log entries that no reader needs any more.
    pub swept: usize,
}

/// Rows that were taken away.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Forgotten {
    pub alerts: u64,
    pub runs: u64,
}

/// Tidies up every so often, while no other process does, until the service stops.
pub(super) async fn run(shared: Shared) -> Result<(), String> {
    let mut forgot: Option<Instant> = None;
    while !shared.is_stopping() {
        shared.parts.set("maintain", Condition::Ready);
        let Some(held) = shared.elected("maintenance", &mut shared.stop.clone()).await? else { break };
        while held.is_ours() && !shared.is_stopping() {
            let began = Instant::now();
            let mut stop = shared.stop.clone();
            // Cut off, it leaves files that no version names, and nothing else.
            let done = tokio::select! {
                done = held.guard(once(&shared, &mut forgot)) => done,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            done.transpose()?;
            let every = Duration::from_secs(shared.settings.borrow().config.maintain.every_seconds);
            tokio::select! {
                () = shared.pause(every.saturating_sub(began.elapsed()).max(Duration::from_secs(1))) => {}
                () = held.lost() => {}
            }
        }
        held.release().await;
    }
    Ok(())
}

/// Merges the small files of every table other than `events`, where there are so many; `sweeps`: and deletes what no
/// reader needs any more.
///
/// # Errors
/// The lake cannot be read or written.
pub async fn tables(lake: &Lake, files_min: usize, sweeps: bool) -> Result<Tidied, LakeError> {
    let mut done = Tidied::default();
    let all = detect::log::tables().into_iter().chain(alert::retention::tables()).chain([journal::table()]);
    for (name, schema) in all {
        let Some(table) = Table::open(lake.uri(), name).await? else { continue };
        let compacted = plain::compact(&table, &schema, files_min).await?;
        done.files_before += compacted.files_before;
        done.files_after += compacted.files_after;
        if sweeps {
            done.swept += plain::sweep(&table).await?;
        }
    }
    Ok(done)
}

/// Takes alerts and runs away that were settled so many days ago.
///
/// # Errors
/// The lake cannot be read or written.
pub async fn forget(lake: &Lake, keep: &Maintain, now: i64) -> Result<Forgotten, QueryError> {
    let before = |days: u32| now.saturating_sub(i64::from(days).saturating_mul(DAY));
    Ok(Forgotten {
        alerts: alert::retention::forget(lake, before(keep.keep_alerts_days)).await?,
        runs: detect::retention::forget(lake, before(keep.keep_runs_days)).await?,
    })
}

async fn once(shared: &Shared, forgot: &mut Option<Instant>) -> Result<(), String> {
    let done = maintenance::maintain(shared.lake.events()).await.map_err(|error| error.to_string())?;
    if done.files_before > 0 {
        tracing::debug!(before = done.files_before, after = done.files_after, rows = done.rows, "files were merged");
    }
    let is_due = forgot.is_none_or(|last| last.elapsed() >= FORGET_EVERY);
    if is_due {
        let keep = shared.settings.borrow().config.maintain.clone();
        let Forgotten { alerts, runs } =
            forget(&shared.lake, &keep, clock::now_micros()).await.map_err(|error| error.to_string())?;
        if alerts + runs > 0 {
            tracing::info!(alerts, runs, "rows of alerts and runs that were settled long ago are gone");
        }
    }
    let done = tables(&shared.lake, plain::FILES_MIN, is_due).await.map_err(|error| error.to_string())?;
    if done.files_before + done.swept > 0 {
        tracing::debug!(before = done.files_before, after = done.files_after, swept = done.swept, "tables were tidied");
    }
    if is_due {
        *forgot = Some(Instant::now());
    }
    Ok(())
}
