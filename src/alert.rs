//! Alerts: what the findings log takes up goes to people and their tools, neither lost nor repeated under another key.
//!
//! A round reads on in the findings log, puts what follows from it into the outbox (a table of the lake) together with how
//! far it read, sends what is due, and records what became of it: two commits, however many alerts. A message counts as
//! sent only after its sink's yes, so a crash in between repeats it, with the same key. Each sink works for itself: one
//! that hangs or fails is asked less and less often and holds up no other.

mod backoff;
pub mod config;
mod delivery;
mod format;
pub mod notice;
pub mod outbox;
mod plan;
pub mod reach;
pub mod retention;
mod sample;
mod secret;
pub mod silence;
mod sink;
mod storm;

use std::time::Instant;

use crate::detect::catalog::Catalog;
use crate::detect::news::News;
use crate::lake::Lake;
use crate::query::QueryError;
pub use config::Config;
use delivery::Delivery;
use outbox::{Entry, Outbox, Step};
use plan::Terms;
use silence::{Silence, Silences};

/// How often a round plans again because another process read the findings log first.
const ATTEMPTS_MAX: u32 = 10;

/// Why there are no alerts.
#[derive(Debug, thiserror::Error)]
pub enum AlertError {
    #[error("{}", .0.join("\n"))]
    Config(Vec<String>),
    #[error("there is no sink {0:?}; configured are: {1}")]
    NoSink(String, String),
    #[error("the sink {0} did not take it: {1}")]
    NotTaken(String, String),
    #[error(transparent)]
    Query(#[from] QueryError),
}

/// What a round came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Messages put into the outbox.
    pub queued: usize,
    pub sent: usize,
    /// Attempts that failed and will be repeated.
    pub failed: usize,
    pub dead: usize,
    /// Alerts that a silence kept back.
    pub silenced: usize,
    /// When there is something to do again, microseconds UTC; none: when the findings log grows.
    pub next_due_at: Option<i64>,
}

/// Alerts of one lake.
pub struct Alerts {
    catalog: Catalog,
    config: Config,
    outbox: Outbox,
    news: News,
    silences: Silences,
    delivery: Delivery,
    /// How far the findings log was read without anything to alert of.
    seen: i64,
}

impl Alerts {
    /// Opens the outbox and makes the sinks ready.
    ///
    /// # Errors
    /// [`AlertError::Config`] with everything that is wrong with the configuration and the secrets it names.
    pub async fn open(lake: &Lake, catalog: Catalog, config: Config) -> Result<Self, AlertError> {
        let delivery = Delivery::open(&config).map_err(AlertError::Config)?;
        Ok(Self {
            outbox: Outbox::open(lake).await?,
            news: News::new(lake)?,
            silences: Silences::new(lake, &config),
            catalog,
            config,
            delivery,
            seen: 0,
        })
    }

    /// Queues what is new, sends what is due for about a second, and records what became of it.
    ///
    /// # Errors
    /// Where the lake cannot be read or written. What sinks say is no error of a round.
    pub async fn round(&mut self, now: i64) -> Result<Round, AlertError> {
        let started = Instant::now();
        let mut round = Round::default();
        self.outbox.refresh().await?;
        self.silences.refresh().await?;
        if !self.config.sinks.is_empty() {
            self.queue(now, &mut round).await?;
        }
        let entries = self.delivery.deliver(&mut self.outbox.standing, now, started).await;
        self.record(entries, &mut round).await?;
        let window = i64::from(self.config.group_window_seconds) * 1_000_000;
        self.outbox.standing.groups.retain(|_, at| at.saturating_add(window) > now);
        round.next_due_at = self.delivery.next_due_at(&self.outbox.standing, later(now, started));
        Ok(round)
    }

    /// Names of the sinks that are open.
    pub fn sinks(&self) -> Vec<&str> {
        self.delivery.sinks().keys().map(String::as_str).collect()
    }

    /// Waits for what is under way and records it: before the program ends.
    ///
    /// # Errors
    /// Where the lake cannot be written.
    pub async fn finish(&mut self, now: i64) -> Result<Round, AlertError> {
        let mut round = Round::default();
        let entries = self.delivery.finish(&mut self.outbox.standing, now, Instant::now()).await;
        self.record(entries, &mut round).await?;
        Ok(round)
    }

    /// Whether a message is under way.
    pub fn is_busy(&self) -> bool {
        self.delivery.is_busy()
    }

    /// What is in the outbox and not at its end.
    pub fn standing(&self) -> &outbox::Standing {
        &self.outbox.standing
    }

    async fn queue(&mut self, now: i64, round: &mut Round) -> Result<(), AlertError> {
        for _ in 0..ATTEMPTS_MAX {
            let cursor = self.outbox.cursor().await;
            let (news, to) = self.news.since(cursor.max(self.seen)).await?;
            let silences: Vec<Silence> = self.silences.all().cloned().collect();
            let terms = Terms { config: &self.config, catalog: &self.catalog, silences: &silences, now };
            let entries = plan::plan(terms, &news, &self.outbox.standing);
            if entries.is_empty() {
                self.seen = to.max(self.seen);
                return Ok(());
            }
            if self.outbox.queue(&entries, cursor, to.max(cursor)).await? {
                round.queued += count(&entries, Step::Queued);
                round.silenced += count(&entries, Step::Silenced);
                return Ok(());
            }
        }
        // Whoever was always first has queued them.
        Ok(())
    }

    async fn record(&mut self, entries: Vec<Entry>, round: &mut Round) -> Result<(), AlertError> {
        if entries.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.outbox.record(&entries).await {
            self.delivery.keep(entries);
            return Err(error.into());
        }
        round.sent += count(&entries, Step::Sent);
        round.failed += count(&entries, Step::Failed);
        round.dead += count(&entries, Step::Dead);
        Ok(())
    }
}

/// Sends a sample to one sink, past the outbox, and gives its key.
///
/// # Errors
/// [`AlertError::Config`], [`AlertError::NoSink`], or [`AlertError::NotTaken`] with what the sink said.
pub async fn test(catalog: &Catalog, config: &Config, sink: &str, now: i64) -> Result<String, AlertError> {
    let Some(only) = config.sinks.get(sink) else {
        let names: Vec<&str> = config.sinks.keys().map(String::as_str).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return Err(AlertError::NoSink(sink.to_owned(), names));
    };
    // What is wrong with another sink is no reason not to try this one.
    let sinks = [(sink.to_owned(), only.clone())].into();
    let config = Config { sinks, routes: Vec::new(), silences: Vec::new(), ..config.clone() };
    let delivery = Delivery::open(&config).map_err(AlertError::Config)?;
    let message = sample::message(catalog, sink, now);
    match delivery.send_to(sink, &message).await {
        Some(Ok(())) => Ok(message.key),
        Some(Err(failure)) => Err(AlertError::NotTaken(sink.to_owned(), failure.reason)),
        None => Err(AlertError::NoSink(sink.to_owned(), sink.to_owned())),
    }
}

fn count(entries: &[Entry], step: Step) -> usize {
    entries.iter().filter(|e| e.step == step).count()
}

/// The moment it is, if it was `now` at `started`.
fn later(now: i64, started: Instant) -> i64 {
    now.saturating_add(i64::try_from(started.elapsed().as_micros()).unwrap_or(i64::MAX))
}
