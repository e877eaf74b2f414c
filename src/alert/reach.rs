//! What can be said of sinks before anything is sent: whether they can be opened, and where they would connect to.

use super::config::{Config, SinkConfig, SinkKind};
use super::{delivery::Delivery, secret};

/// Everything that keeps sinks from being opened: settings, and secrets that are named and not there.
pub fn problems(config: &Config) -> Vec<String> {
    Delivery::open(config).err().unwrap_or_default()
}

/// HOST:PORT of each server a sink connects to; none of a sink that writes to this machine.
pub fn addresses(sink: &SinkConfig) -> Vec<String> {
    match sink.kind {
        SinkKind::Stdout | SinkKind::File => Vec::new(),
        SinkKind::Webhook | SinkKind::Slack | SinkKind::Alertmanager => {
            let url = secret::url_of(sink).ok().and_then(|url| url::Url::parse(url.reveal()).ok());
            let address = url.and_then(|url| Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?)));
            address.into_iter().collect()
        }
        SinkKind::Kafka => {
            let brokers = sink.properties.as_ref().and_then(|properties| properties.get("bootstrap.servers"));
            brokers.into_iter().flat_map(|list| list.split(',')).map(|broker| broker.trim().to_owned()).collect()
        }
        SinkKind::Smtp => {
            let host = sink.host.as_deref().unwrap_or_default();
            vec![format!("{host}:{}", sink.smtp_port())]
        }
    }
}
