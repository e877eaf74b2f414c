//! The consumer's thread: polls librdkafka, gathers chunks, and knows when all that was asked for has been read.

use std::collections::BTreeMap;
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
use super::consumer::{ANSWER, Connected, Context, Ends, Positions, lock};
use crate::clock;
use crate::source::{CHUNK_BYTES, Chunk, Lags, Polled, SourceError, SourceId};

/// What the loop asks of this thread.
pub enum Command {
    /// Read a partition again from this offset.
    Restart(Arc<SourceId>, i64),
    /// These positions are stored.
    Committed(Vec<(Arc<SourceId>, i64)>),
}

/// A chunk is handed on after this long, full or not.
const CHUNK_AGE: Duration = Duration::from_millis(100);
/// Or with this many records.
const CHUNK_RECORDS_MAX: usize = 8192;
/// While messages come in, clocks and ends are looked at once in so many: a millisecond brings hundreds.
const LOOK_EVERY: usize = 64;
/// With `--once`, how long to wait for members that hold the rest of the topic and do not get on.
const OTHERS: Duration = Duration::from_secs(90);

/// Where the thread leaves how far behind it is.
pub struct Seen {
    /// In all; -1 while it is not known.
    pub lag: Arc<AtomicI64>,
    pub lags: Arc<Lags>,
}

type Outbox = Sender<Result<Polled, SourceError>>;

/// A partition of ours, and the offset expected next, where it is known.
struct Reading {
    id: Arc<SourceId>,
    next: Option<i64>,
}

/// State of the thread.
struct Poller<'a> {
    consumer: &'a BaseConsumer<Context>,
    outbox: &'a Outbox,
    readings: Vec<Reading>,
    /// Which of them the last message was of: the next one mostly is too.
    last: usize,
    at_end: BTreeMap<i32, usize>,
    chunk: Chunk,
    chunk_since: Instant,
}

/// Polls until the receiver is gone, an error ends it, or (`once`) everything was read.
pub fn run(connected: Connected, options: &KafkaOptions, outbox: &Outbox, inbox: &Receiver<Command>, seen: &Seen) {
    let Connected { consumer, ends, positions } = connected;
    let mut poller = Poller {
        consumer: &consumer,
        outbox,
        readings: Vec::new(),
        last: 0,
        at_end: BTreeMap::new(),
        chunk: Chunk::default(),
        chunk_since: Instant::now(),
    };
    let Err(error) = poller.run(options.once.then_some(&ends), &positions, inbox, seen);
    if let Some(error) = error {
        let _ = outbox.blocking_send(Err(error)); // nobody listens any more
    }
}

/// `Err(None)`: nobody listens.
type Step<T> = Result<T, Option<SourceError>>;

impl Poller<'_> {
    fn run(
        &mut self,
        ends: Option<&Ends>,
        positions: &Positions,
        inbox: &Receiver<Command>,
        seen: &Seen,
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
            let busy = matches!(message, Some(Ok(_)));
            match message {
                Some(Ok(message)) => self.push(&message),
                Some(Err(KafkaError::PartitionEOF(partition))) => *self.at_end.entry(partition).or_default() += 1,
                Some(Err(error)) => self.check(&error)?,
                None => {}
            }
            let records = self.chunk.records.len();
            if self.chunk.data.len() >= CHUNK_BYTES || records >= CHUNK_RECORDS_MAX {
                self.flush()?;
            } else if busy && !records.is_multiple_of(LOOK_EVERY) {
                continue;
            }
            if self.chunk_since.elapsed() >= CHUNK_AGE {
                self.flush()?;
            }
            if looked_at_lag.elapsed() > Duration::from_secs(5) {
                self.look_at_lag(seen);
                looked_at_lag = Instant::now();
            }
            if let Some(ends) = ends.filter(|ends| joined && !ended && self.has_reached(ends))
                && looked_at_others.elapsed() > Duration::from_millis(200)
            {
                self.flush()?;
                looked_at_others = Instant::now();
                if others.done(ends, &self.readings, positions).map_err(|e| Some(SourceError::Unusable(e)))? {
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
        let is_it = |reading: &Reading| reading.id.partition == partition && *reading.id.topic == *topic;
        if !self.readings.get(self.last).is_some_and(is_it) {
            let Some(found) = self.readings.iter().position(is_it) else { return }; // ours no longer
            self.last = found;
        }
        if !self.at_end.is_empty() {
            self.at_end.remove(&partition);
        }
        let reading = &mut self.readings[self.last];
        reading.next = Some(message.offset() + 1);
        let source = self.chunk.source(&reading.id);
        let received_at = message.timestamp().to_millis().map_or_else(clock::now_micros, |ms| ms.saturating_mul(1000));
        self.chunk.push(source, message.offset(), received_at, message.payload());
    }

    fn reading(&mut self, id: &SourceId) -> Option<&mut Reading> {
        self.readings.iter_mut().find(|reading| *reading.id == *id)
    }

    fn rebalanced(&mut self, polled: Polled) -> Step<()> {
        self.flush()?;
        self.at_end.clear();
        match &polled {
            Polled::Assigned(list) => {
                self.readings.retain(|reading| !list.iter().any(|(id, _)| *id == reading.id));
                self.readings.extend(list.iter().map(|(id, next)| Reading { id: id.clone(), next: *next }));
            }
            Polled::Revoked(list) => self.readings.retain(|reading| !list.contains(&reading.id)),
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
                    let consumer = self.consumer;
                    let Some(reading) = self.reading(&id) else {
                        continue; // taken away meanwhile; whoever has it reads it
                    };
                    reading.next = Some(offset);
                    let sought = consumer.seek(&id.topic, id.partition, Offset::Offset(offset), ANSWER);
                    sought.map_err(|e| Some(consumer.context().explain("going back to the lake's position", &e)))?;
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
    fn has_reached(&self, ends: &Ends) -> bool {
        self.readings.iter().all(|reading| {
            let partition = reading.id.partition;
            let end = ends.get(&reading.id).copied().unwrap_or(0);
            // The end of a partition is reported without its topic: it counts once for every topic that has such a partition.
            let twins = self.readings.iter().filter(|other| other.id.partition == partition).count();
            end == 0
                || reading.next.is_some_and(|next| next >= end)
                || self.at_end.get(&partition).is_some_and(|n| *n >= twins)
        })
    }

    fn look_at_lag(&self, seen: &Seen) {
        let behind = |reading: &Reading| {
            let Reading { id, next } = reading;
            let (low, high) = self.consumer.fetch_watermarks(&id.topic, id.partition, Duration::from_secs(1)).ok()?;
            Some((id.clone(), u64::try_from(high - next.unwrap_or(low)).unwrap_or(0)))
        };
        let lags: Option<BTreeMap<Arc<SourceId>, u64>> = self.readings.iter().map(behind).collect();
        // A broker that does not answer leaves the last known numbers by stream: an alert on them goes on.
        let total = lags.map_or(-1, |lags| {
            let total = lags.values().sum::<u64>();
            seen.lags.set(lags);
            i64::try_from(total).unwrap_or(i64::MAX)
        });
        seen.lag.store(total, Ordering::Relaxed);
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
    fn done(&mut self, ends: &Ends, ours: &[Reading], positions: &Positions) -> Result<bool, String> {
        let (mut behind, mut seen) = (0, 0);
        for (id, end) in ends.iter().filter(|(id, _)| !ours.iter().any(|reading| reading.id == **id)) {
            let position = positions(id)?.unwrap_or(0);
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
