//! Maintenance beside everything else: small files become large ones, logs get checkpoints.

use std::time::Duration;

use super::Shared;
use super::pages::Condition;
use crate::detect::log;
use crate::lake::maintenance;

/// Tidies up every so often, while no other process does, until the service stops.
pub async fn run(shared: Shared) -> Result<(), String> {
    while !shared.is_stopping() {
        shared.parts.set("maintain", Condition::Ready);
        let Some(held) = shared.elected("maintenance", &mut shared.stop.clone()).await? else { break };
        while held.is_ours() && !shared.is_stopping() {
            let began = std::time::Instant::now();
            let mut stop = shared.stop.clone();
            // Cut off, it leaves files that no version names, and nothing else.
            let done = tokio::select! {
                done = held.guard(once(&shared)) => done,
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

async fn once(shared: &Shared) -> Result<(), String> {
    let done = maintenance::maintain(shared.lake.events()).await.map_err(|error| error.to_string())?;
    if done.files_before > 0 {
        tracing::debug!(before = done.files_before, after = done.files_after, rows = done.rows, "files were merged");
    }
    log::tidy(&shared.lake).await.map_err(|error| error.to_string())
}
