//! OCSF 1.8.0 Detection Finding, class 2004. <https://schema.ocsf.io/1.8.0/classes/detection_finding>

use serde_json::{Map, Value, json};

use crate::alert::notice::{Alert, Message, Storm};
use crate::event::time;

const SCHEMA: &str = "1.8.0";
const CLASS: i64 = 2004;
/// Event ids of the evidence that are named as related events.
const RELATED_MAX: usize = 100;

/// A finding for each alert, or one for a storm.
pub fn findings(message: &Message) -> Vec<Value> {
    match &message.storm {
        Some(storm) => vec![digest(message, storm)],
        None => message.alerts.iter().map(|alert| finding(message, alert)).collect(),
    }
}

/// 1 create, 2 update, 3 close.
fn activity(change: &str) -> i64 {
    match change {
        "opened" => 1,
        "resolved" | "retracted" | "excepted" => 3,
        _ => 2,
    }
}

/// 1 new, 2 in progress, 3 suppressed, 4 resolved.
fn status(state: Option<&str>) -> i64 {
    match state {
        Some("acked") => 2,
        Some("suppressed" | "excepted") => 3,
        Some("resolved" | "retracted") => 4,
        _ => 1,
    }
}

/// 2 low to 5 critical.
fn severity(name: &str) -> i64 {
    match name {
        "low" => 2,
        "medium" => 3,
        "high" => 4,
        "critical" => 5,
        _ => 0,
    }
}

fn millis(text: &str) -> Option<i64> {
    Some(time::parse(text)?.div_euclid(1000))
}

fn head(message: &Message, activity: i64, at: &str, severity_name: &str, uid: &str) -> Map<String, Value> {
    let value = json!({
        "activity_id": activity,
        "category_uid": 2,
        "class_uid": CLASS,
        "type_uid": CLASS * 100 + activity,
        "severity_id": severity(severity_name),
        "is_alert": true,
        "time": millis(at).unwrap_or_default(),
        "metadata": {
            "version": SCHEMA,
            "uid": uid,
            "profiles": ["security_control"],
            "labels": if message.test { vec!["test"] } else { Vec::new() },
            "product": { "name": "Tokentrail", "vendor_name": "Tokentrail", "version": env!("CARGO_PKG_VERSION") },
        },
    });
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

fn finding(message: &Message, alert: &Alert) -> Value {
    let mut event = head(message, activity(&alert.change), &alert.at, &alert.severity, &alert.key);
    event.insert("message".into(), json!(format!("{}: {}", alert.change, alert.title)));
    event.insert("status_id".into(), json!(status(alert.finding_text("state"))));
    event.insert("start_time".into(), json!(millis(&alert.since).unwrap_or_default()));
    if let Some(end) = alert.finding_text("resolved_at").and_then(millis) {
        event.insert("end_time".into(), json!(end));
    }
    event.insert("finding_info".into(), info(alert));
    event.insert("evidences".into(), json!([evidence(alert)]));
    let resources =
        [("grant_id", "token grant"), ("host_id", "host"), ("project_id", "project"), ("client_id", "client")];
    let resources =
        resources.iter().filter_map(|(name, kind)| Some(json!({ "uid": alert.who.get(*name)?, "type": kind })));
    let resources: Vec<Value> = resources.collect();
    if !resources.is_empty() {
        event.insert("resources".into(), json!(resources));
    }
    if !alert.response.is_empty() {
        event.insert("remediation".into(), json!({ "desc": alert.response.join("\n") }));
    }
    event.insert("unmapped".into(), json!({ "finding": alert.finding, "look_further": alert.look_further }));
    Value::Object(event)
}

fn info(alert: &Alert) -> Value {
    let first = alert.finding_text("first_detected_at").and_then(millis);
    let mut info = json!({
        "uid": alert.finding_text("id").unwrap_or(&alert.key),
        "title": alert.title,
        "desc": alert.summary,
        // 1 rule
        "analytic": { "type_id": 1, "uid": alert.detector, "name": alert.detector, "version": env!("CARGO_PKG_VERSION") },
        "types": [alert.kind],
    });
    if let Value::Object(info) = &mut info {
        if let Some(first) = first {
            info.insert("created_time".into(), json!(first));
        }
        let ids = alert.finding.get("evidence").and_then(|e| e.get("event_ids")).and_then(Value::as_array);
        let related: Vec<Value> = ids
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .take(RELATED_MAX)
            .map(|id| json!({ "uid": id }))
            .collect();
        if !related.is_empty() {
            info.insert("related_events".into(), json!(related));
        }
        let attacks: Vec<Value> = alert.attack.iter().map(|id| json!({ "technique": { "uid": id } })).collect();
        if !attacks.is_empty() {
            info.insert("attacks".into(), json!(attacks));
        }
    }
    info
}

/// Who and with what; the finding's own words are its data.
fn evidence(alert: &Alert) -> Value {
    let mut evidence = Map::new();
    evidence.insert("data".into(), alert.finding.get("evidence").cloned().unwrap_or_else(|| json!({})));
    if let Some(subject) = alert.who.get("subject_id") {
        evidence.insert("user".into(), json!({ "uid": subject }));
    }
    if let Some(device) = alert.who.get("device_id") {
        // 0 unknown: records do not say what kind of device it is.
        evidence.insert("device".into(), json!({ "uid": device, "type_id": 0 }));
    }
    Value::Object(evidence)
}

fn digest(message: &Message, storm: &Storm) -> Value {
    let mut event = head(message, 1, &message.at, &message.severity, &message.key);
    event.insert("message".into(), json!(message.title));
    event.insert("status_id".into(), json!(1));
    event.insert("count".into(), json!(storm.findings));
    event.insert(
        "finding_info".into(),
        json!({
            "uid": message.key,
            "title": message.title,
            "desc": "Too many findings of one detector at once to send each; a policy or a detector may be mistaken.",
            "analytic": { "type_id": 1, "uid": message.detector, "name": message.detector, "version": env!("CARGO_PKG_VERSION") },
        }),
    );
    event.insert("unmapped".into(), json!({ "storm": storm }));
    Value::Object(event)
}
