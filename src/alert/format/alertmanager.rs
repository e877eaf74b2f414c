//! Alerts for Prometheus Alertmanager, `POST /api/v2/alerts`.
//! <https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>
//!
//! Alertmanager takes an alert for over when it is not sent again, unless it says how long it lasts. We send each change
//! once, so what is open lasts a year from then, and what is over ends now.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{headline, lines, text};
use crate::alert::config::Format;
use crate::alert::notice::{Alert, Message};
use crate::event::time;

/// How long an open alert lasts if nothing more is heard of it.
const LASTS: i64 = 365 * time::DAY;
/// How long the digest of a storm lasts: nobody says when it is over.
const STORM_LASTS: i64 = time::DAY / 24;

/// The body of the request: one element an alert; of a finding that occurs twice, only what came last.
pub fn alerts(message: &Message, format: Format) -> Value {
    if message.storm.is_some() {
        return json!([storm(message, format)]);
    }
    let mut newest: BTreeMap<&str, &Alert> = BTreeMap::new();
    for alert in &message.alerts {
        newest.insert(alert.finding_text("id").unwrap_or(&alert.key), alert);
    }
    newest.into_values().map(|alert| one(alert, message, format)).collect()
}

fn one(alert: &Alert, message: &Message, format: Format) -> Value {
    let mut labels = labels(message, &alert.detector, &alert.severity);
    labels.insert("finding_id".into(), json!(alert.finding_text("id").unwrap_or_default()));
    labels.insert("kind".into(), json!(alert.kind));
    // Labels are the identity, so only what is the finding's for good may stand there: its key.
    if let Some(key) = alert.finding.get("key").and_then(Value::as_object) {
        labels.extend(key.iter().filter(|(_, v)| v.is_string()).map(|(name, value)| (name.clone(), value.clone())));
    }
    let mut alone = message.clone();
    alone.alerts = vec![alert.clone()];
    let at = time::parse(&alert.at).unwrap_or_default();
    let ends = if alert.is_over() { at } else { at.saturating_add(LASTS) };
    let starts = time::parse(&alert.since).unwrap_or(at).min(ends);
    json!({
        "labels": labels,
        "annotations": {
            "summary": headline(&alone),
            "description": described(&alone, format),
            "response": alert.response.join("\n"),
            "look_further": alert.look_further.join("\n"),
            "key": alert.key,
        },
        "startsAt": time::format(starts),
        "endsAt": time::format(ends),
    })
}

fn storm(message: &Message, format: Format) -> Value {
    let mut labels = labels(message, &message.detector, &message.severity);
    labels.insert("digest".into(), json!(message.key));
    let at = time::parse(&message.at).unwrap_or_default();
    json!({
        "labels": labels,
        "annotations": { "summary": headline(message), "description": described(message, format), "key": message.key },
        "startsAt": time::format(at),
        "endsAt": time::format(at.saturating_add(STORM_LASTS)),
    })
}

fn labels(message: &Message, detector: &str, severity: &str) -> Map<String, Value> {
    let mut labels = Map::new();
    labels.insert("alertname".into(), json!(detector));
    labels.insert("severity".into(), json!(severity));
    labels.insert("source".into(), json!("tokentrail"));
    if message.test {
        labels.insert("test".into(), json!("true"));
    }
    labels
}

fn described(message: &Message, format: Format) -> String {
    match format {
        Format::Text => text(message),
        other => lines(message, other),
    }
}
