//! A made-up alert, marked as such: for somebody who has just connected a sink.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::notice::{Alert, Message, key_of};
use crate::detect::catalog::Catalog;
use crate::detect::news::Logged;
use crate::event::time;
use crate::finding::{Evidence, Finding, Severity, State, Verdict};

/// An alert of a detector that everybody has, about nobody.
pub fn message(catalog: &Catalog, sink: &str, now: i64) -> Message {
    let detector = catalog.find("refresh_after_offboarding").ok().or_else(|| catalog.all().first());
    let object = |value: Value| value.as_object().cloned().unwrap_or_default();
    let key: Map<String, Value> = object(json!({ "grant_id": "grant-of-the-sample" }));
    let evidence = json!({ "subject_id": "sample@example.com", "client_id": "sample-client", "device_id": "sample-device",
                           "note": "this is a test: nothing has happened" });
    let verdict = Verdict {
        detector: detector.map_or_else(|| Arc::from("sample"), |d| d.id.as_str().into()),
        key: Arc::new(key),
        severity: detector.map_or(Severity::Low, |d| d.header.severity),
        violated_at: now - time::DAY / 24,
        resolved_at: None,
        evidence: Evidence::new(&object(evidence), &[]),
    };
    let finding =
        Finding { id: verdict.id(), verdict, state: State::Open, first_detected_at: now, version: 0, until: None };
    let logged = Logged { change: "opened".into(), sequence: 0, at: now, owner: None, reason: None, finding };
    let alert = Alert::new(&logged, catalog, key_of(&["test", sink, &now.to_string()]));
    Message { test: true, ..Message::of(vec![alert], sink, now) }
}
