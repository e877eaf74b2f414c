//! Where messages go. A sink says yes or why not; when to try again is not its business.

mod http;
mod kafka;
mod smtp;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::config::{SinkConfig, SinkKind};
use super::notice::Message;

/// Longest reason that is kept of a failure, in characters.
const REASON_MAX: usize = 500;

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For people: what was tried, what came of it, and what to do. Never a secret.
    pub reason: String,
    /// How long the sink asked us to wait.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure for this reason, cut where it is very long.
    pub fn new(reason: impl AsRef<str>) -> Self {
        let clean = reason.as_ref().chars().map(|c| if c.is_control() { ' ' } else { c });
        Self { reason: clean.take(REASON_MAX).collect(), retry_after: None }
    }
}

/// Something that takes messages. Two at a time may be under way.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Sends a message and waits for the yes.
    async fn send(&self, message: &Message) -> Result<(), Failure>;
}

/// Makes a sink ready, as far as that goes without talking to it.
///
/// # Errors
/// A sentence: what is missing or wrong.
pub fn open(config: &SinkConfig, timeout: Duration) -> Result<Arc<dyn Sink>, String> {
    Ok(match config.kind {
        SinkKind::Stdout => Arc::new(stream::Stdout::new(config)),
        SinkKind::File => Arc::new(stream::File::new(config)?),
        SinkKind::Webhook | SinkKind::Slack | SinkKind::Alertmanager => Arc::new(http::Http::new(config, timeout)?),
        SinkKind::Kafka => Arc::new(kafka::Kafka::new(config, timeout)?),
        SinkKind::Smtp => Arc::new(smtp::Smtp::new(config, timeout)?),
    })
}
