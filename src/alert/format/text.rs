//! A message as plain text: what an analyst reads first stands first.

use std::fmt::Write as _;

use serde_json::Value;

use crate::alert::notice::{Alert, Message, Storm};
use crate::query::output;

/// Evidence columns shown of one alert, and the length of each.
const EVIDENCE_MAX: usize = 20;
const VALUE_CHARS_MAX: usize = 300;

/// One line that says what it is about.
pub fn headline(message: &Message) -> String {
    let test = if message.test { "TEST " } else { "" };
    let about = message.subject.as_ref().map(|s| format!(" - {s}")).unwrap_or_default();
    let over = if message.is_over() { " (over)" } else { "" };
    plain(&format!("[{test}{}] {}{about}{over}", message.severity.to_uppercase(), message.title)).replace('\n', " ")
}

/// All of it.
pub fn body(message: &Message) -> String {
    let mut out = headline(message) + "\n";
    if let Some(storm) = &message.storm {
        digest(&mut out, storm);
    }
    for one in &message.alerts {
        out.push('\n');
        alert(&mut out, one);
    }
    // Writing to a text cannot fail.
    let _ = write!(out, "\nkey {}\n", message.key);
    out
}

fn alert(out: &mut String, alert: &Alert) {
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(out, "{name:<10} {}", plain(value)); // a text takes everything
    };
    line("what", &format!("{}: {} ({}, {})", alert.change, alert.title, alert.severity, alert.detector));
    for (name, value) in &alert.who {
        line(name.trim_end_matches("_id"), value);
    }
    line("since", &alert.since);
    if let Some(until) = alert.finding_text("resolved_at") {
        line("until", until);
    }
    if let (Some(owner), Some(reason)) = (&alert.owner, &alert.reason) {
        line("decided", &format!("{owner}: {reason}"));
    }
    let evidence = alert.finding.get("evidence").and_then(Value::as_object);
    let told = evidence.into_iter().flatten().filter(|(name, v)| !v.is_null() && !alert.who.contains_key(*name));
    for (name, value) in told.take(EVIDENCE_MAX) {
        let text: String = output::text(value).chars().take(VALUE_CHARS_MAX).collect();
        line("evidence", &format!("{name} = {text}"));
    }
    for (number, step) in alert.response.iter().enumerate() {
        line(if number == 0 { "to do" } else { "" }, &format!("{}. {step}", number + 1));
    }
    for (number, command) in alert.look_further.iter().enumerate() {
        line(if number == 0 { "look at" } else { "" }, command);
    }
    line("key", &alert.key);
}

fn digest(out: &mut String, storm: &Storm) {
    let counted = |counts: &mut dyn Iterator<Item = (&String, &usize)>| {
        counts.map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
    };
    let subjects = &mut storm.top_subjects.iter().map(|(s, n)| (s, n));
    let lines = [
        ("findings", storm.findings.to_string()),
        ("changes", counted(&mut storm.by_change.iter())),
        ("severity", counted(&mut storm.by_severity.iter())),
        ("subjects", counted(subjects)),
        ("examples", storm.examples.join(" ")),
    ];
    out.push_str("\nToo many at once to send each: is a policy or a detector mistaken?\n");
    for (name, value) in lines.iter().map(|(n, v)| (*n, v)).chain(storm.look_further.iter().map(|c| ("look at", c))) {
        let _ = writeln!(out, "{name:<10} {}", plain(value)); // a text takes everything
    }
}

/// Text from records may hold what moves a cursor or ends a header.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}
