//! The consumer's thread: polls librdkafka, gathers chunks, and knows when all that was asked for has been read.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::mpsc::Sender;

use super::KafkaOptions;
use super::consumer::{ANSWER, Connected, Context, Positions, id, lock};
use crate::clock;
use crate::source::{CHUNK_BYTES, Chunk, Polled, SourceError, SourceId};

/// What the loop asks of this thread.
pub enum Command {
    /// Read a partition again from this offset.
    Restart(Arc<SourceId>, i64),
    /// These positions are stored.
    Committed(Vec<(Arc<SourceId>, i64)>),
}

/// A chunk is handed on after this long, full or not.
const CHUNK_AGE: Duration = Duration::from_millis(100);
/// With `--once`, how long to wait for members that hold the rest of the topic and do not get on.
const OTHERS: Duration = Duration::from_secs(90);

type Outbox = Sender<Result<Polled, SourceError>>;

/// State of the thread. `next` holds the assigned partitions with the offset expected next, where it is known.
struct Poller<'a> {
    consumer: &'a BaseConsumer<Context>,
    outbox: &'a Outbox,
    ids: HashMap<(String, i32), Arc<SourceId>>,
    next: BTreeMap<(String, i32), Option<i64>>,
    at_end: BTreeMap<i32, usize>,
    chunk: Chunk,
    chunk_since: Instant,
}

/// Polls until the receiver is gone, an error ends it, or (`once`) everything was read.
pub fn run(connected: Connected, options: &KafkaOptions, outbox: &Outbox, inbox: &Receiver<Command>, lag: &AtomicI64) {
    let Connected { consumer, ends, positions } = connected;
    let (ids, next, at_end) = (HashMap::new(), BTreeMap::new(), BTreeMap::new());
    let chunk_since = Instant::now();
    let mut poller = Poller { consumer: &consumer, outbox, ids, next, at_end, chunk: Chunk::default(), chunk_since };
    let Err(error) = poller.run(options.once.then_some(&ends), &positions, inbox, lag);
    if let Some(error) = error {
        let _ = outbox.blocking_send(Err(error)); // nobody listens any more
    }
}

/// `Err(None)`: nobody listens.
type Step<T> = Result<T, Option<SourceError>>;

impl Poller<'_> {
    fn run(
        &mut self,
        ends: Option<&BTreeMap<(String, i32), i64>>,
        positions: &Positions,
        inbox: &Receiver<Command>,
        lag: &AtomicI64,
    ) -> Step<std::convert::Infallible> {
        let (mut joined, mut ended) = (false, false);
        let (mut looked_at_lag, mut looked_at_others) = (Instant::now(), Instant::now());
        let mut others = Others::default();
        loop {
            // After the end we stay: the lake may still refuse something, and then it is read again.
            ended &= !self.obey(inbox)?;
            let message = self.consumer.poll(if self.chunk.records.is_empty() { CHUNK_AGE } else { CHUNK_AGE / 10 });
            let rebalances = std::mem::take(&mut *lock(&self.consumer.context().rebalances));
            for rebalance in rebalances {
                joined = true;
                self.rebalanced(rebalance.map_err(Some)?)?;
            }
            match message {
                Some(Ok(message)) => self.push(&message),
                Some(Err(KafkaError::PartitionEOF(partition))) => *self.at_end.entry(partition).or_default() += 1,
                Some(Err(error)) => self.check(&error)?,
                None => {}
            }
            if self.chunk.data.len() >= CHUNK_BYTES
                || self.chunk.records.len() >= 8192
                || self.chunk_since.elapsed() >= CHUNK_AGE
            {
                self.flush()?;
            }
            if looked_at_lag.elapsed() > Duration::from_secs(5) {
                lag.store(self.lag(), Ordering::Relaxed);
                looked_at_lag = Instant::now();
            }
            if let Some(ends) = ends.filter(|ends| joined && !ended && self.has_reached(ends))
                && looked_at_others.elapsed() > Duration::from_millis(200)
            {
                self.flush()?;
                looked_at_others = Instant::now();
                if others.done(ends, &self.next, positions).map_err(|e| Some(SourceError::Unusable(e)))? {
                    self.send(Polled::End)?;
                    ended = true;
                }
            }
        }
    }

    fn send(&self, polled: Polled) -> Step<()> {
        self.outbox.blocking_send(Ok(polled)).map_err(|_| None)
    }

    fn flush(&mut self) -> Step<()> {
        self.chunk_since = Instant::now();
        if self.chunk.records.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::take(&mut self.chunk);
        self.send(Polled::Chunk(chunk))
    }

    fn push(&mut self, message: &BorrowedMessage<'_>) {
        if self.chunk.records.is_empty() {
            self.chunk_since = Instant::now();
            self.chunk.data.reserve(CHUNK_BYTES);
        }
        let (topic, partition) = (message.topic(), message.partition());
        let key = (topic.to_owned(), partition);
        let Some(next) = self.next.get_mut(&key) else { return }; // ours no longer
        *next = Some(message.offset() + 1);
        self.at_end.remove(&partition);
        let source = self.ids.entry(key).or_insert_with(|| id(topic, partition));
        let source = self.chunk.source(source);
        let received_at = message.timestamp().to_millis().map_or_else(clock::now_micros, |ms| ms.saturating_mul(1000));
        self.chunk.push(source, message.offset(), received_at, message.payload());
    }

    fn rebalanced(&mut self, polled: Polled) -> Step<()> {
        self.flush()?;
        self.at_end.clear();
        match &polled {
            Polled::Assigned(list) => {
                self.next.extend(list.iter().map(|(id, next)| ((id.topic.to_string(), id.partition), *next)));
            }
            Polled::Revoked(list) => list.iter().for_each(|id| {
                self.next.remove(&(id.topic.to_string(), id.partition));
            }),
            _ => {}
        }
        self.send(polled)
    }

    /// Does what was asked for; whether some partition starts again.
    fn obey(&mut self, inbox: &Receiver<Command>) -> Step<bool> {
        let mut restarted = false;
        loop {
            match inbox.try_recv() {
                Ok(Command::Restart(id, offset)) => {
                    self.flush()?;
                    let key = (id.topic.to_string(), id.partition);
                    if !self.next.contains_key(&key) {
                        continue; // taken away meanwhile; whoever has it reads it
                    }
                    let sought = self.consumer.seek(&id.topic, id.partition, Offset::Offset(offset), ANSWER);
                    sought
                        .map_err(|e| Some(self.consumer.context().explain("going back to the lake's position", &e)))?;
                    self.next.insert(key, Some(offset));
                    self.at_end.remove(&id.partition);
                    self.send(Polled::Assigned(vec![(id, Some(offset))]))?;
                    restarted = true;
                }
                Ok(Command::Committed(positions)) => {
                    let mut list = TopicPartitionList::new();
                    for (id, position) in positions {
                        // A refusal here says only that Kafka's tools will show an old lag.
                        let _ = list.add_partition_offset(&id.topic, id.partition, Offset::Offset(position));
                    }
                    let _ = self.consumer.commit(&list, CommitMode::Async);
                }
                Err(TryRecvError::Empty) => return Ok(restarted),
                Err(TryRecvError::Disconnected) => return Err(None),
            }
        }
    }

    /// Errors that librdkafka retries by itself are logged; the others end the reading.
    fn check(&self, error: &KafkaError) -> Step<()> {
        use rdkafka::types::RDKafkaErrorCode as Code;
        match error.rdkafka_error_code() {
            Some(
                Code::Authentication
                | Code::SaslAuthenticationFailed
                | Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::UnknownTopicOrPartition
                | Code::UnknownTopic
                | Code::UnknownPartition
                | Code::Fatal,
            ) => Err(Some(self.consumer.context().explain("reading was refused", error))),
            _ => {
                tracing::warn!(%error, "Kafka; trying again");
                Ok(())
            }
        }
    }

    /// Whether every partition of ours has been read up to the end seen at the start.
    fn has_reached(&self, ends: &BTreeMap<(String, i32), i64>) -> bool {
        self.next.iter().all(|((topic, partition), next)| {
            let end = ends.get(&(topic.clone(), *partition)).copied().unwrap_or(0);
            // The end of a partition is reported without its topic: it counts once for every topic that has such a partition.
            let twins = self.next.keys().filter(|(_, p)| p == partition).count();
            end == 0 || next.is_some_and(|n| n >= end) || self.at_end.get(partition).is_some_and(|n| *n >= twins)
        })
    }

    fn lag(&self) -> i64 {
        let behind = |((topic, partition), next): (&(String, i32), &Option<i64>)| {
            let (low, high) = self.consumer.fetch_watermarks(topic, *partition, Duration::from_secs(1)).ok()?;
            Some((high - next.unwrap_or(low)).max(0))
        };
        self.next.iter().map(behind).sum::<Option<i64>>().unwrap_or(-1)
    }
}

/// What other members of the group still have to read, with `--once`.
#[derive(Default)]
struct Others {
    seen: i64,
    since: Option<Instant>,
}

impl Others {
    /// Whether the lake holds the rest of the topics too, or nobody gets on with it any more.
    fn done(
        &mut self,
        ends: &BTreeMap<(String, i32), i64>,
        ours: &BTreeMap<(String, i32), Option<i64>>,
        positions: &Positions,
    ) -> Result<bool, String> {
        let (mut behind, mut seen) = (0, 0);
        for ((topic, partition), end) in ends.iter().filter(|(key, _)| !ours.contains_key(*key)) {
            let position = positions(&id(topic, *partition))?.unwrap_or(0);
            behind += i64::from(position < *end);
            seen += position;
        }
        if seen != self.seen || self.since.is_none() {
            (self.seen, self.since) = (seen, Some(Instant::now()));
        }
        let idle = self.since.is_some_and(|since| since.elapsed() > OTHERS);
        if behind > 0 && idle {
            tracing::warn!(
                partitions = behind,
                "other members of the group hold partitions and do not get on; not waiting for them"
            );
        }
        Ok(behind == 0 || idle)
    }
}
