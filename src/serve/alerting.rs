//! Alerts of a service: round after round through the outbox, by one process at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Shared;
use super::lease::Held;
use super::metrics::AlertOutcome;
use super::pages::Condition;
use crate::alert::{Alerts, Round};
use crate::clock;
use crate::config::Settings;

/// How often the findings log and the outbox are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Sends alerts while the lease is ours, until the service stops.
pub async fn run(shared: Shared) -> Result<(), String> {
    while !shared.is_stopping() {
        shared.parts.set("alert", Condition::Ready);
        let Some(held) = shared.elected("alerts", &mut shared.stop.clone()).await? else { break };
        let ended = send(&shared, &held).await;
        held.release().await;
        ended?;
    }
    Ok(())
}

/// Rounds until the lease is lost or the service stops; new settings open the sinks anew.
async fn send(shared: &Shared, held: &Held) -> Result<(), String> {
    let mut settings = shared.settings.clone();
    while held.is_ours() && !shared.is_stopping() {
        let current = settings.borrow_and_update().clone();
        let mut alerts = open(shared, &current).await?;
        let sinks: Vec<&str> = current.config.alert.sinks.keys().map(String::as_str).collect();
        tracing::info!(sinks = sinks.join(","), "this process sends the alerts");
        while held.is_ours() && !shared.is_stopping() && !settings.has_changed().unwrap_or(false) {
            let began = Instant::now();
            let Some(round) = held.guard(alerts.round(clock::now_micros())).await else { return Ok(()) };
            tell(shared, round.map_err(|error| error.to_string())?, &alerts, began);
            shared.pause(LOOK).await;
        }
        // What is under way was perhaps taken: if it is not recorded, it goes out once more under the same key.
        let began = Instant::now();
        if let Some(round) = held.guard(alerts.finish(clock::now_micros())).await {
            tell(shared, round.map_err(|error| error.to_string())?, &alerts, began);
        }
    }
    Ok(())
}

async fn open(shared: &Shared, settings: &Arc<Settings>) -> Result<Alerts, String> {
    let alerts = Alerts::open(&shared.lake, settings.catalog.clone(), settings.config.alert.clone()).await;
    alerts.map_err(|error| error.to_string())
}

fn tell(shared: &Shared, round: Round, alerts: &Alerts, began: Instant) {
    let outcomes = [
        (AlertOutcome::Queued, round.queued),
        (AlertOutcome::Sent, round.sent),
        (AlertOutcome::Failed, round.failed),
        (AlertOutcome::Dead, round.dead),
        (AlertOutcome::Silenced, round.silenced),
    ];
    for (outcome, count) in outcomes {
        shared.metrics.alerts(outcome, count as u64);
    }
    shared.metrics.alert_round(began.elapsed());
    shared.metrics.queue("outbox", alerts.standing().pending.len() as u64);
    if round.failed > 0 || round.dead > 0 {
        tracing::warn!(failed = round.failed, dead = round.dead, "alerts were not taken by their sinks");
    }
    if round.sent > 0 {
        tracing::info!(sent = round.sent, "alerts were sent");
    }
}
