//! Connecting, and what happens when the group hands partitions around.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::bindings::rd_kafka_resp_err_t as Code;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::KafkaOptions;
use crate::source::{Polled, SourceError, SourceId, Starts};

/// Asks the lake how far a partition was read. Called from the consumer's thread, so it may block.
pub type Positions = Arc<dyn Fn(&SourceId) -> Result<Option<i64>, String> + Send + Sync>;

/// How long to wait for an answer of the broker before saying that there is none.
pub const ANSWER: Duration = Duration::from_secs(15);

/// What librdkafka tells us in passing.
pub struct Context {
    positions: Positions,
    /// Assignments since the last look, in order.
    pub rebalances: Mutex<Vec<Result<Polled, SourceError>>>,
    /// The last error of the connection: the reason why nothing answers.
    last_error: Mutex<Option<String>>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Debug | RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => {
                tracing::debug!(facility, message, "librdkafka")
            }
            _ => tracing::warn!(facility, message, "librdkafka"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        *lock(&self.last_error) = Some(format!("{reason} ({error})"));
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: Code, list: &mut TopicPartitionList) {
        let cooperative = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let (polled, done) = match code {
            Code::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                let assigned = self.start_offsets(list);
                let done = if cooperative { consumer.incremental_assign(list) } else { consumer.assign(list) };
                (assigned.map(Polled::Assigned), done)
            }
            Code::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => {
                let revoked = list.elements().iter().map(|e| id(e.topic(), e.partition())).collect();
                let done = if cooperative { consumer.incremental_unassign(list) } else { consumer.unassign() };
                (Ok(Polled::Revoked(revoked)), done)
            }
            other => {
                (Err(SourceError::Kafka(format!("the group could not agree on an assignment: {other:?}"))), Ok(()))
            }
        };
        let mut rebalances = lock(&self.rebalances);
        rebalances.push(polled);
        if let Err(error) = done {
            rebalances.push(Err(SourceError::Kafka(format!("taking over partitions: {error}"))));
        }
    }
}

impl Context {
    /// Sets the lake's position for every partition of the list.
    fn start_offsets(&self, list: &mut TopicPartitionList) -> Result<Starts, SourceError> {
        let partitions: Vec<_> = list.elements().iter().map(|e| id(e.topic(), e.partition())).collect();
        let mut assigned = Vec::with_capacity(partitions.len());
        for id in partitions {
            let position = (self.positions)(&id).map_err(SourceError::Unusable)?;
            list.set_partition_offset(&id.topic, id.partition, position.map_or(Offset::Beginning, Offset::Offset))
                .map_err(|e| SourceError::Kafka(format!("{}/{}: {e}", id.topic, id.partition)))?;
            assigned.push((id, position));
        }
        Ok(assigned)
    }

    /// An error with the reason the connection gave, if it gave one.
    pub fn explain(&self, what: &str, error: &KafkaError) -> SourceError {
        match &*lock(&self.last_error) {
            Some(reason) => SourceError::Kafka(format!("{what}: {reason}")),
            None => SourceError::Kafka(format!("{what}: {error}")),
        }
    }
}

/// Partitions with their end offsets; 0 where nothing is to be waited for.
pub type Ends = BTreeMap<Arc<SourceId>, i64>;

/// A connected member of the group, and the end offsets seen when it joined.
pub struct Connected {
    pub consumer: BaseConsumer<Context>,
    pub ends: Ends,
    pub positions: Positions,
}

/// Connects, looks at every topic so that what is wrong is said now, and joins the group.
pub fn connect(options: &KafkaOptions, positions: Positions) -> Result<Connected, SourceError> {
    let connected = look(options, positions)?;
    let topics: Vec<&str> = options.topics.iter().map(String::as_str).collect();
    let consumer = &connected.consumer;
    consumer.subscribe(&topics).map_err(|error| consumer.context().explain("joining the group", &error))?;
    Ok(connected)
}

/// Connects and looks at every topic without joining the group.
pub fn look(options: &KafkaOptions, positions: Positions) -> Result<Connected, SourceError> {
    let mut config = ClientConfig::new();
    // A full queue is emptied in a fraction of the second that librdkafka would wait before it fetches more.
    config.set("queued.max.messages.kbytes", "16384").set("fetch.queue.backoff.ms", "5").set("group.id", "tokentrail");
    for (name, value) in &options.properties {
        config.set(name, value);
    }
    // The lake decides where to read on; an offset that is gone must not be skipped over unseen.
    config.set("enable.auto.commit", "false").set("auto.offset.reset", "earliest").set("enable.partition.eof", "true");
    let context = Context { positions: positions.clone(), rebalances: Mutex::default(), last_error: Mutex::default() };
    let consumer: BaseConsumer<Context> = config.create_with_context(context).map_err(|error| match error {
        KafkaError::ClientConfig(_, why, name, value) => SourceError::Kafka(format!(
            "property {name}={value:?} is refused: {why}; the names are those of librdkafka"
        )),
        other => SourceError::Kafka(other.to_string()),
    })?;
    let mut ends = BTreeMap::new();
    for topic in &options.topics {
        ends.extend(look_at(&consumer, topic, &positions)?);
    }
    Ok(Connected { consumer, ends, positions })
}

/// Partitions of a topic with their end offsets.
fn look_at(consumer: &BaseConsumer<Context>, topic: &str, positions: &Positions) -> Result<Ends, SourceError> {
    // Polling serves the error callback, which knows why a broker does not answer.
    let refused = |what: &str, error: KafkaError| {
        consumer.poll(Duration::from_millis(100));
        consumer
            .context()
            .explain(&format!("{what}; check bootstrap.servers, security.protocol and credentials"), &error)
    };
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER).map_err(|e| refused("no answer from the broker", e))?;
    let found = metadata.topics().iter().find(|t| t.name() == topic && t.error().is_none());
    let partitions: Vec<i32> = found.map(|t| t.partitions().iter().map(|p| p.id()).collect()).unwrap_or_default();
    if partitions.is_empty() {
        return Err(SourceError::Kafka(format!(
            "topic {topic:?} does not exist, or this user may not see it; check --topic"
        )));
    }
    let mut ends = Ends::new();
    for partition in partitions {
        let (first, end) = consumer
            .fetch_watermarks(topic, partition, ANSWER)
            .map_err(|e| refused("no offsets from the broker", e))?;
        let id = id(topic, partition);
        let known = positions(&id).map_err(SourceError::Unusable)?;
        if let Some(position) = known.filter(|p| *p > end) {
            return Err(SourceError::Kafka(format!(
                "{topic}/{partition} ends at offset {end}, but the lake has read it up to {position}: the topic was made \
                 anew. Ingest it under another name, or into another lake"
            )));
        }
        if let Some(position) = known.filter(|p| *p < first) {
            tracing::warn!(
                topic,
                partition,
                position,
                first,
                "records were deleted before they were read; they count as missing"
            );
        }
        ends.insert(id, if first == end { 0 } else { end }); // nothing there, nothing to wait for
    }
    Ok(ends)
}

/// The stream of a Kafka partition.
pub fn id(topic: &str, partition: i32) -> Arc<SourceId> {
    Arc::new(SourceId { kind: "kafka", topic: topic.into(), partition })
}

/// A lock whose holder panicked still guards plain values.
pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
