//! A Kafka topic. Records of one subject go to one partition, so they stay in order; the key is in a header.

use std::time::Duration;

use async_trait::async_trait;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::Value;

use super::{Failure, Sink};
use crate::alert::config::{Format, SinkConfig};
use crate::alert::format;
use crate::alert::notice::Message;
use crate::alert::secret;

/// A topic, and a connection that is made when it is first needed.
pub struct Kafka {
    producer: FutureProducer,
    topic: String,
    format: Format,
    timeout: Duration,
}

impl Kafka {
    pub fn new(config: &SinkConfig, timeout: Duration) -> Result<Self, String> {
        let mut client = ClientConfig::new();
        // Ours first: what is configured counts more, but not for how long we wait.
        client.set("enable.idempotence", "true").set("client.id", "tokentrail").set("log_level", "2");
        for (name, value) in config.properties.iter().flatten() {
            client.set(name, value);
        }
        client.set("delivery.timeout.ms", timeout.as_millis().to_string());
        if let Some(password) = secret::of_sink(config)? {
            client.set("sasl.password", password.reveal());
        }
        // librdkafka names the property that it does not know, and never its value.
        let producer = client.create().map_err(|e| format!("Kafka's properties are wrong: {e}"))?;
        let topic = config.topic.clone().ok_or("it needs `topic`")?;
        Ok(Self { producer, topic, format: config.format(), timeout })
    }
}

#[async_trait]
impl Sink for Kafka {
    async fn send(&self, message: &Message) -> Result<(), Failure> {
        let place = format!("{}/{}", message.detector, message.subject.as_deref().unwrap_or_default());
        for (number, document) in format::documents(message, self.format).iter().enumerate() {
            let payload = match document {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let key = match (self.format, message.alerts.get(number)) {
                (Format::Ocsf, Some(alert)) => &alert.key,
                _ => &message.key,
            };
            let headers = OwnedHeaders::new().insert(Header { key: "idempotency-key", value: Some(key) });
            let record = FutureRecord::to(&self.topic).key(&place).payload(&payload).headers(headers);
            self.producer.send(record, self.timeout).await.map_err(|(error, _)| {
                Failure::new(format!("the topic {} was not reached: {error} (do broker and topic exist?)", self.topic))
            })?;
        }
        Ok(())
    }
}
