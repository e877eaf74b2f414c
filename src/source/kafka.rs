//! Kafka: a consumer group whose positions come from the lake, not from Kafka.
//!
//! librdkafka is polled on a thread of its own. When partitions are assigned, the lake says where to start each; when
//! they are taken away, what was read but not stored is dropped, because the next owner starts from the lake too.
//! Offsets are committed to the group afterwards only so that Kafka's own tools can show the lag.

mod consumer;
mod poll;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::JoinHandle;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{Lags, Polled, Source, SourceError, SourceId};
pub use consumer::Positions;
use poll::Command;

/// What to read and how to connect.
#[derive(Clone, Debug, Default)]
pub struct KafkaOptions {
    pub topics: Vec<String>,
    /// librdkafka properties as given: `bootstrap.servers`, `group.id`, `security.protocol`, `sasl.*`, `ssl.*` ...
    pub properties: BTreeMap<String, String>,
    /// Stop at the end offsets seen at the start.
    pub once: bool,
}

impl KafkaOptions {
    /// Takes properties as a file has them: NAME=VALUE a line, empty lines and those that begin with `#` left out.
    ///
    /// # Errors
    /// The line that is not NAME=VALUE.
    pub fn add_properties(&mut self, file_name: &str, text: &str) -> Result<(), SourceError> {
        let lines = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty() && !l.trim_start().starts_with('#'));
        for (number, line) in lines {
            self.add_property(&format!("{file_name}:{}", number + 1), line)?;
        }
        Ok(())
    }

    /// Takes one property, NAME=VALUE; `place` is where it stands, for messages.
    ///
    /// # Errors
    /// It is not NAME=VALUE. Of the line only the first word is told: it may hold a secret.
    pub fn add_property(&mut self, place: &str, line: &str) -> Result<(), SourceError> {
        let wrong = || SourceError::Kafka(format!("{place}: {:?} is not NAME=VALUE", line.split(' ').next()));
        let (name, value) = line.split_once('=').ok_or_else(wrong)?;
        self.properties.insert(name.trim().to_owned(), value.trim().to_owned());
        Ok(())
    }
}

/// Whether broker and topics answer, asked without joining the group. Blocks for some seconds at most.
///
/// # Errors
/// As for [`KafkaSource::open`].
pub fn check(options: &KafkaOptions) -> Result<(), SourceError> {
    consumer::look(options, Arc::new(|_: &SourceId| Ok(None))).map(|_| ())
}

/// A member of a consumer group.
pub struct KafkaSource {
    polled: mpsc::Receiver<Result<Polled, SourceError>>,
    /// Closing it ends the thread.
    commands: Option<std::sync::mpsc::Sender<Command>>,
    lag: Arc<AtomicI64>,
    lags: Arc<Lags>,
    thread: Option<JoinHandle<()>>,
}

impl KafkaSource {
    /// Connects, checks that broker and topics are there, and joins the group.
    ///
    /// # Errors
    /// In words that name what to check: an unknown property, a broker that does not answer, credentials that are
    /// refused, a topic that does not exist, a topic that was made anew behind the lake's positions.
    pub async fn open(options: KafkaOptions, positions: Positions) -> Result<Self, SourceError> {
        let (sender, polled) = mpsc::channel(4);
        let (commands, inbox) = std::sync::mpsc::channel();
        let lag = Arc::new(AtomicI64::new(-1));
        let (ready, started) = tokio::sync::oneshot::channel();
        let lags = Arc::new(Lags::default());
        let seen = poll::Seen { lag: lag.clone(), lags: lags.clone() };
        let thread = std::thread::spawn(move || {
            let consumer = match consumer::connect(&options, positions) {
                Ok(consumer) => consumer,
                Err(error) => {
                    let _ = ready.send(Err(error)); // the caller gave up waiting
                    return;
                }
            };
            let _ = ready.send(Ok(()));
            poll::run(consumer, &options, &sender, &inbox, &seen);
        });
        started.await.map_err(|_| SourceError::Kafka("the consumer's thread ended while connecting".into()))??;
        Ok(Self { polled, commands: Some(commands), lag, lags, thread: Some(thread) })
    }
}

#[async_trait]
impl Source for KafkaSource {
    async fn next(&mut self) -> Result<Polled, SourceError> {
        match self.polled.recv().await {
            Some(polled) => polled,
            None => Ok(Polled::End),
        }
    }

    async fn restart(&mut self, id: &Arc<SourceId>, position: i64) -> Result<(), SourceError> {
        let restart = Command::Restart(id.clone(), position);
        let sent = self.commands.as_ref().is_some_and(|commands| commands.send(restart).is_ok());
        sent.then_some(()).ok_or_else(|| SourceError::Kafka("the consumer has ended".into()))
    }

    fn committed(&mut self, positions: &[(Arc<SourceId>, i64)]) {
        if let Some(commands) = &self.commands {
            let _ = commands.send(Command::Committed(positions.to_vec())); // for show only: see the module's first words
        }
    }

    fn lag(&self) -> Option<u64> {
        u64::try_from(self.lag.load(Ordering::Relaxed)).ok()
    }

    fn lags(&self) -> Option<Arc<Lags>> {
        Some(self.lags.clone())
    }
}

impl Drop for KafkaSource {
    /// Leaves the group, so that the next owner need not wait until the broker misses us.
    fn drop(&mut self) {
        self.commands = None;
        self.polled.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic of that thread was reported when it happened
        }
    }
}
