//! Trying what a configuration connects to, so that a service that would not come up is known before it is started.

use super::Settings;
use crate::lake::Lake;
use crate::source::kafka;

/// Tries the lake and every source; gives everything that did not work.
pub async fn connections(settings: &Settings) -> Vec<String> {
    let mut problems = Vec::new();
    if let Err(error) = Lake::try_writing(&settings.config.lake.uri).await {
        problems.push(format!("[lake]: {error}"));
    }
    // Brokers that do not answer are waited for side by side.
    let asked = settings.sources.iter().filter_map(|reading| Some((&reading.config.name, reading.kafka.clone()?)));
    let asked: Vec<_> =
        asked.map(|(name, to)| (name, tokio::task::spawn_blocking(move || kafka::check(&to)))).collect();
    for (name, asked) in asked {
        match asked.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => problems.push(format!("source {name}: {error}")),
            Err(error) => problems.push(format!("source {name}: the check broke off: {error}")),
        }
    }
    for reading in &settings.sources {
        for path in &reading.config.files {
            let name = &reading.config.name;
            if let Err(error) = std::fs::metadata(path) {
                problems.push(format!("source {name}: {}: {error}", path.display()));
            }
        }
    }
    problems
}
