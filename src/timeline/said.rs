//! What an event or a change of a finding is in words.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::lives::Life;
use super::{About, Change, Entry, Event, Kind, Tone};
use crate::event::time;

/// An event as an entry. What differs between similar events (addresses, token ids) stands in the details only.
pub fn event(about: About, event: &Event, lives: &BTreeMap<String, Life>) -> Entry {
    let (text, tone) = if event.is_context() { context(event) } else { (token(about, event), tone(event)) };
    let life = event.grant.as_ref().and_then(|grant| lives.get(grant));
    Entry {
        at: event.at,
        kind: if event.is_context() { Kind::Context } else { Kind::Event },
        tone,
        text,
        grant: event.grant.clone(),
        age: life.and_then(|life| life.age(event.at)),
        details: event.row.clone(),
    }
}

fn tone(event: &Event) -> Tone {
    match event.text("action") {
        Some("reuse_detected") => Tone::Alarm,
        _ if !event.succeeded() => Tone::Notice,
        Some("revoke" | "expire" | "logout") => Tone::Good,
        _ => Tone::Plain,
    }
}

/// `refresh of a refresh token by ann@example.com with gh on laptop-1 (ann)`, without what the timeline is about.
fn token(about: About, event: &Event) -> String {
    let action = event.text("action").unwrap_or("event").replace('_', " ");
    let mut text = if event.succeeded() || event.is("reuse_detected") { action } else { format!("{action} FAILED") };
    let mut add = |word: &str, value: Option<&str>| {
        if let Some(value) = value {
            text.push_str(word);
            text.push_str(value);
        }
    };
    add(", ", event.text("token_kind"));
    add(" ", event.text("token_kind").map(|_| "token"));
    add(" for ", event.text("subject_id").filter(|_| about != About::Subject));
    add(" by ", event.text("actor_id"));
    add(" with ", event.text("client_id"));
    add(" on host ", event.text("host_id").filter(|_| about != About::Host));
    add(" as ", event.text("os_user"));
    add(" on device ", event.text("device_id").filter(|_| about != About::Device));
    add(" in ", event.text("project_id"));
    text
}

fn context(event: &Event) -> (String, Tone) {
    let subject = event.text("subject_id").unwrap_or("somebody");
    let device = event.text("device_id").unwrap_or("a device");
    let project = event.text("project_id").map(|project| format!(" from {project}")).unwrap_or_default();
    let (text, tone) = match event.text("action") {
        Some("offboard") => (format!("{subject} offboarded here{project}"), Tone::Alarm),
        Some("reinstate") => (format!("{subject} reinstated here{}", project.replace(" from ", " in ")), Tone::Good),
        Some("device_lost") => (format!("device {device} lost here"), Tone::Alarm),
        Some("device_recovered") => (format!("device {device} recovered here"), Tone::Good),
        Some("compromise") => {
            let named = ["token_id", "family_id", "session_id", "device_id", "subject_id"];
            let what = named.into_iter().find_map(|column| Some((column, event.text(column)?)));
            let what = what.map(|(column, id)| format!("{} {id}", column.trim_end_matches("_id")));
            (format!("compromise signal: {}", what.unwrap_or_else(|| "nothing named".to_owned())), Tone::Alarm)
        }
        other => (other.unwrap_or("context").replace('_', " "), Tone::Plain),
    };
    let source = event.text("source").map(|source| format!(" (says {source})")).unwrap_or_default();
    if event.succeeded() { (text + &source, tone) } else { (format!("{text}: FAILED{source}"), Tone::Notice) }
}

/// Changes of findings as entries. A finding that had ended before any run saw it was never opened: it begins all the same.
pub fn changes(changes: &[Change]) -> Vec<Entry> {
    let opened: BTreeSet<&str> =
        changes.iter().filter(|change| change.change == "opened").map(|change| change.finding_id.as_str()).collect();
    let mut begun = BTreeSet::new();
    let unopened = changes.iter().filter(|change| {
        change.change == "resolved" && !opened.contains(&*change.finding_id) && begun.insert(&change.finding_id)
    });
    let begins = unopened.map(|change| Change { change: "opened".to_owned(), ..change.clone() });
    begins.collect::<Vec<_>>().iter().chain(changes).filter_map(change).collect()
}

/// A change of a finding at the moment it is about: when the condition began or ended, or when somebody decided.
/// Changes of evidence alone are none.
fn change(change: &Change) -> Option<Entry> {
    let id = change.finding_id.get(..8).unwrap_or(&change.finding_id);
    let name = format!("finding {id} {} ({})", change.detector, change.severity);
    let said = |verb: &str| {
        let owner = change.owner.as_deref().map(|owner| format!(" by {owner}")).unwrap_or_default();
        let reason = change.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("{name} {verb}{owner}{reason}")
    };
    let alarm = if matches!(change.severity.as_str(), "high" | "critical") { Tone::Alarm } else { Tone::Notice };
    let (at, text, tone) = match change.change.as_str() {
        "opened" => (change.violated_at, format!("{name} begins"), alarm),
        "reopened" => (change.violated_at.max(change.resolved_at.unwrap_or(i64::MIN)), said("begins again"), alarm),
        "resolved" => (change.resolved_at.unwrap_or(change.at), said("resolved"), Tone::Good),
        "updated" => return None,
        other => (change.at, said(other), Tone::Plain),
    };
    let details = json!({
        "finding_id": change.finding_id,
        "detector": change.detector,
        "change": change.change,
        "severity": change.severity,
        "key": change.key,
        "violated_at": time::format(change.violated_at),
        "resolved_at": change.resolved_at.map(time::format),
        "recorded_at": time::format(change.at),
        "owner": change.owner,
        "reason": change.reason,
    });
    let grant = change.key.get("grant_id").and_then(|id| id.as_str()).map(str::to_owned);
    let details = details.as_object().cloned().unwrap_or_default();
    Some(Entry { at, kind: Kind::Finding, tone, text, grant, age: None, details })
}
