//! Sending what is due: each sink by itself, a few messages at once, and the changes of one finding one after the other.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::backoff::Backoff;
use super::config::Config;
use super::later;
use super::notice::Message;
use super::outbox::{Entry, Pending, Place, Standing, Step};
use super::sink::{self, Failure, Sink};

/// How long a round goes on sending before it records what it has sent.
const ROUND_MAX: Duration = Duration::from_secs(1);
/// How much longer than its own limit a sink may take before it is given up.
const GRACE: Duration = Duration::from_secs(2);
/// After this many failures in a row a sink is left alone for a while.
const FAILURES_MAX: u32 = 5;
/// How soon to look again while messages are under way, in microseconds.
const BUSY_PAUSE: i64 = 200_000;

/// How a sink has been doing.
#[derive(Clone, Copy, Debug, Default)]
struct Health {
    failures_in_row: u32,
    paused_until: i64,
}

/// What became of one attempt.
struct Outcome {
    key: String,
    sink: String,
    result: Result<(), Failure>,
}

/// The sinks, and what is under way to them.
pub struct Delivery {
    sinks: BTreeMap<String, Arc<dyn Sink>>,
    health: HashMap<String, Health>,
    running: JoinSet<Outcome>,
    in_flight: HashMap<String, String>,
    backoff: Backoff,
    attempts_max: u32,
    /// In microseconds.
    age_max: i64,
    in_flight_max: usize,
    timeout: Duration,
    /// Outcomes that are not recorded yet.
    entries: Vec<Entry>,
}

impl Delivery {
    /// Makes the sinks ready.
    ///
    /// # Errors
    /// Everything that is wrong with the configuration or cannot be had.
    pub fn open(config: &Config) -> Result<Self, Vec<String>> {
        let mut problems = config.problems();
        let timeout = Duration::from_secs(config.timeout_seconds.into());
        let mut sinks = BTreeMap::new();
        for (name, sink) in config.sinks.iter().filter(|(_, sink)| sink.problems().is_empty()) {
            match sink::open(sink, timeout) {
                Ok(sink) => drop(sinks.insert(name.clone(), sink)),
                Err(why) => problems.push(format!("alert.sinks.{name}: {why}")),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let first = i64::try_from(config.backoff_first_ms).unwrap_or(i64::MAX).saturating_mul(1000);
        let max = i64::from(config.backoff_max_seconds) * 1_000_000;
        Ok(Self {
            sinks,
            health: HashMap::new(),
            running: JoinSet::new(),
            in_flight: HashMap::new(),
            backoff: Backoff { first, max: max.max(first) },
            attempts_max: config.attempts_max,
            age_max: i64::from(config.age_max_hours) * 3_600_000_000,
            in_flight_max: config.in_flight_max,
            timeout,
            entries: Vec::new(),
        })
    }

    /// Sends a message to one sink at once.
    pub async fn send_to(&self, name: &str, message: &Message) -> Option<Result<(), Failure>> {
        let sink = self.sinks.get(name)?;
        let content = serde_json::to_string(message).unwrap_or_default(); // texts by text: always JSON
        Some(send(&**sink, &content, self.timeout + GRACE).await)
    }

    /// The sinks by name.
    pub fn sinks(&self) -> &BTreeMap<String, Arc<dyn Sink>> {
        &self.sinks
    }

    /// Whether a message is under way.
    pub fn is_busy(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// Sends until nothing is due or the round is over, and gives the rows that say what became of it.
    pub async fn deliver(&mut self, standing: &mut Standing, now: i64, started: Instant) -> Vec<Entry> {
        let deadline = tokio::time::Instant::now() + ROUND_MAX;
        self.give_up(standing, now);
        let mut ready = self.ready(standing, now);
        loop {
            self.start(standing, &mut ready, later(now, started));
            if self.running.is_empty() {
                // What was sent may have made way for what comes after it.
                ready = self.ready(standing, later(now, started));
                if ready.is_empty() || tokio::time::Instant::now() >= deadline {
                    break;
                }
                continue;
            }
            match tokio::time::timeout_at(deadline, self.running.join_next()).await {
                Ok(Some(outcome)) => self.take(standing, outcome, later(now, started)),
                Ok(None) => {}
                Err(_) => break,
            }
        }
        std::mem::take(&mut self.entries)
    }

    /// Takes rows back that could not be written: the next round gives them again.
    pub fn keep(&mut self, entries: Vec<Entry>) {
        self.entries = entries;
    }

    /// Waits for what is under way.
    pub async fn finish(&mut self, standing: &mut Standing, now: i64, started: Instant) -> Vec<Entry> {
        while let Some(outcome) = self.running.join_next().await {
            self.take(standing, outcome, later(now, started));
        }
        std::mem::take(&mut self.entries)
    }

    /// When something is due next.
    pub fn next_due_at(&self, standing: &Standing, now: i64) -> Option<i64> {
        if self.is_busy() {
            return Some(now.saturating_add(BUSY_PAUSE));
        }
        let firsts = self.firsts(standing).map(|(_, m)| {
            let paused_until = self.health.get(&m.sink).map_or(0, |h| h.paused_until);
            m.due_at.max(paused_until)
        });
        firsts.chain(standing.held.values().map(|held| held.due_at)).min()
    }

    /// The pending messages before which no other about the same finding is to be sent to the same sink.
    fn firsts<'s>(&'s self, standing: &'s Standing) -> impl Iterator<Item = (&'s Place, &'s Pending)> {
        let mut taken: HashSet<(&str, &str)> = HashSet::new();
        standing.pending.iter().filter(move |(_, message)| {
            let mut is_first = self.sinks.contains_key(&message.sink);
            for finding in &message.findings {
                is_first &= taken.insert((&message.sink, finding));
            }
            is_first
        })
    }

    /// What can be sent now, by sink, in order.
    fn ready(&self, standing: &Standing, now: i64) -> BTreeMap<String, VecDeque<Place>> {
        let mut ready: BTreeMap<String, VecDeque<Place>> = BTreeMap::new();
        let firsts = self.firsts(standing).filter(|(_, m)| m.due_at <= now && !self.in_flight.contains_key(&m.key));
        for (place, message) in firsts {
            if self.health.get(&message.sink).is_none_or(|h| h.paused_until <= now) {
                ready.entry(message.sink.clone()).or_default().push_back(*place);
            }
        }
        ready
    }

    fn start(&mut self, standing: &Standing, ready: &mut BTreeMap<String, VecDeque<Place>>, now: i64) {
        for (name, places) in ready {
            let health = self.health.get(name).copied().unwrap_or_default();
            // A sink that was left alone is tried with one message first.
            let most = if health.failures_in_row >= FAILURES_MAX { 1 } else { self.in_flight_max };
            if health.paused_until > now {
                places.clear();
            }
            while self.in_flight.values().filter(|sink| *sink == name).count() < most {
                let Some(message) = places.pop_front().and_then(|place| standing.pending.get(&place)) else { break };
                let Some(sink) = self.sinks.get(name).cloned() else { break };
                self.in_flight.insert(message.key.clone(), name.clone());
                let (key, name, limit) = (message.key.clone(), name.clone(), self.timeout + GRACE);
                let content = message.content.clone();
                self.running.spawn(async move {
                    let result = send(&*sink, &content, limit).await;
                    Outcome { key, sink: name, result }
                });
            }
        }
    }

    fn take(&mut self, standing: &mut Standing, outcome: Result<Outcome, tokio::task::JoinError>, now: i64) {
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                // Which message it was is not said: all that nobody works on any more are free again.
                tracing::error!(%error, "a sink broke down");
                if self.running.is_empty() {
                    self.in_flight.clear();
                }
                return;
            }
        };
        self.in_flight.remove(&outcome.key);
        let health = self.health.entry(outcome.sink.clone()).or_default();
        match &outcome.result {
            Ok(()) => *health = Health::default(),
            Err(failure) => {
                health.failures_in_row = health.failures_in_row.saturating_add(1);
                let asked = failure.retry_after.map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX));
                if health.failures_in_row >= FAILURES_MAX || asked > 0 {
                    let pause = self
                        .backoff
                        .pause(&outcome.sink, health.failures_in_row.saturating_sub(FAILURES_MAX - 1).max(1));
                    health.paused_until = now.saturating_add(pause.max(asked.min(self.backoff.max)));
                }
            }
        }
        let Some((place, message)) = standing.find(&outcome.key) else { return };
        let (place, entry) = (place, self.entry(message, outcome.result, now));
        standing.apply(place, &entry);
        self.entries.push(entry);
    }

    /// The row that says what became of an attempt.
    fn entry(&self, message: &Pending, result: Result<(), Failure>, now: i64) -> Entry {
        let row = message.row(now);
        let attempt = message.attempt.saturating_add(1);
        let Err(failure) = result else { return Entry { step: Step::Sent, attempt, ..row } };
        tracing::warn!(sink = %message.sink, key = %message.key, attempt, reason = %failure.reason, "an alert was not taken");
        let is_old = now.saturating_sub(message.queued_at) >= self.age_max;
        if attempt >= self.attempts_max || is_old {
            return Entry { step: Step::Dead, attempt, reason: failure.reason, ..row };
        }
        let next_at = Some(now.saturating_add(self.backoff.pause(&message.key, attempt)));
        Entry { step: Step::Failed, attempt, next_at, reason: failure.reason, ..row }
    }

    /// Messages to sinks that are not configured any more wait, in case they are again, but not for ever.
    fn give_up(&mut self, standing: &mut Standing, now: i64) {
        let lost = standing
            .pending
            .iter()
            .filter(|(_, m)| !self.sinks.contains_key(&m.sink) && now.saturating_sub(m.queued_at) >= self.age_max);
        let reason = || "its sink is not in the configuration any more".to_owned();
        let dead = lost
            .map(|(place, m)| (*place, Entry { step: Step::Dead, attempt: m.attempt, reason: reason(), ..m.row(now) }));
        for (place, entry) in dead.collect::<Vec<_>>() {
            standing.apply(place, &entry);
            self.entries.push(entry);
        }
    }
}

async fn send(sink: &dyn Sink, content: &str, limit: Duration) -> Result<(), Failure> {
    let message: Message = serde_json::from_str(content)
        .map_err(|e| Failure::new(format!("the message in the outbox cannot be read: {e}")))?;
    match tokio::time::timeout(limit, sink.send(&message)).await {
        Ok(result) => result,
        Err(_) => Err(Failure::new(format!("no answer within {} s", limit.as_secs()))),
    }
}
