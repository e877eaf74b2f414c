//! Trying what a configuration connects to, so that a service that would not come up is known before it is started.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Settings;
use crate::alert::reach;
use crate::lake::Lake;
use crate::source::kafka;

/// How long a sink may take to answer a connection.
const CONNECT: Duration = Duration::from_secs(5);

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
    problems.extend(sinks(settings).await);
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

/// Tries whether somebody listens where sinks send to, without sending anything.
async fn sinks(settings: &Settings) -> Vec<String> {
    let mut asked = Vec::new();
    for (name, sink) in &settings.config.alert.sinks {
        for address in reach::addresses(sink) {
            let name = name.clone();
            asked.push(async move {
                let connected = timeout(CONNECT, TcpStream::connect(&address)).await;
                let reason = match connected {
                    Ok(Ok(_)) => return None,
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => format!("no answer in {} s", CONNECT.as_secs()),
                };
                Some(format!("alert.sinks.{name}: {address}: {reason}"))
            });
        }
    }
    futures::future::join_all(asked).await.into_iter().flatten().collect()
}
