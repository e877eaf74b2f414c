//! Progress of an ingest: a bar on a terminal, a log line every few seconds elsewhere.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressStyle};
use tokio::sync::watch;

use super::standard::counted;
use crate::ingest::{Progress, Summary};

/// How often the log says how far it got.
const LOG_EVERY: Duration = Duration::from_secs(5);

/// Shows progress until the sender is gone.
pub async fn show(mut progress: watch::Receiver<Progress>, quiet: bool) {
    if quiet {
        while progress.changed().await.is_ok() {}
    } else if std::io::stderr().is_terminal() {
        bar(progress).await;
    } else {
        log(progress).await;
    }
}

async fn bar(mut progress: watch::Receiver<Progress>) {
    let bar = ProgressBar::new_spinner();
    // The template is a constant: it is right or the tests of this crate fail; a plain bar serves as well.
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    while progress.changed().await.is_ok() {
        let now = *progress.borrow_and_update();
        bar.set_message(line(&now));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bar.finish_and_clear();
}

async fn log(mut progress: watch::Receiver<Progress>) {
    let mut ticks = tokio::time::interval(LOG_EVERY);
    ticks.tick().await;
    loop {
        tokio::select! {
            _ = ticks.tick() => tracing::info!("{}", line(&progress.borrow())),
            changed = progress.changed() => if changed.is_err() { return },
        }
    }
}

fn line(progress: &Progress) -> String {
    let Progress { summary, lag, .. } = progress;
    let rate = summary.records as f64 / summary.seconds.max(0.001);
    let lag = lag.map(|lag| format!(", {} behind", HumanCount(lag))).unwrap_or_default();
    format!(
        "{} records, {}/s, {} rejected{lag}",
        HumanCount(summary.records),
        HumanCount(rate as u64),
        HumanCount(summary.rejected)
    )
}

/// A finished ingest in words.
pub fn sentence(summary: &Summary) -> String {
    let Summary { records, events, context, rejected, duplicates, skipped, committed_version, seconds } = *summary;
    if records == 0 {
        return format!("Nothing new: the lake stays at version {committed_version}.");
    }
    let mut parts = vec![counted(events as usize, "token event"), counted(context as usize, "context event")];
    for (count, what) in [(rejected, "rejected"), (duplicates, "repeats left out"), (skipped, "empty")] {
        if count > 0 {
            parts.push(format!("{} {what}", HumanCount(count)));
        }
    }
    let took = if seconds < 10.0 {
        format!("{seconds:.1} s")
    } else {
        HumanDuration(Duration::from_secs_f64(seconds)).to_string()
    };
    format!(
        "{} in {took}: {}. The lake is at version {committed_version}.",
        counted(records as usize, "record"),
        parts.join(", ")
    )
}
