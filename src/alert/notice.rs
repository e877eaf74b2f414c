//! What an alert says: what, who, since when, the evidence, the steps to take, and the commands to look further.
//!
//! A message is what goes to a sink in one piece: an alert, several about one subject, or the digest of a storm. It is
//! written into the outbox as it is, so that a repetition says the same whatever has become of the detectors since.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::outbox::Held;
use crate::detect::catalog::Catalog;
use crate::detect::header::Kind;
use crate::detect::news::Logged;
use crate::event::{hex, time};
use crate::finding::Severity;

/// Version of the shape below; it grows when a field changes its meaning.
pub const VERSION: u32 = 1;
/// Whom or what an alert is about, in this order.
const ABOUT: [&str; 7] = ["subject_id", "device_id", "client_id", "host_id", "project_id", "grant_id", "os_user"];

/// One thing that happened to one finding.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Alert {
    /// The same whenever this is sent to this sink again.
    pub key: String,
    pub change: String,
    /// When it was found, RFC 3339.
    pub at: String,
    pub title: String,
    pub severity: String,
    pub detector: String,
    /// `violation` or `lead`.
    pub kind: String,
    pub summary: String,
    /// Subject, device, client, host, project and grant, as far as they are known.
    pub who: BTreeMap<String, String>,
    /// Since when the condition holds, RFC 3339.
    pub since: String,
    /// The finding as `tokentrail findings show -o json` prints it.
    pub finding: Map<String, Value>,
    /// What to do, step by step.
    pub response: Vec<String>,
    pub look_further: Vec<String>,
    /// ATT&CK techniques.
    #[serde(default)]
    pub attack: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What is said instead of very many alerts.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Storm {
    pub findings: usize,
    pub by_change: BTreeMap<String, usize>,
    pub by_severity: BTreeMap<String, usize>,
    /// Those with the most findings first.
    pub top_subjects: Vec<(String, usize)>,
    /// Some of the findings, the worst first.
    pub examples: Vec<String>,
    pub look_further: Vec<String>,
}

/// What goes to a sink in one piece.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Message {
    pub version: u32,
    /// The same whenever this message is sent again.
    pub key: String,
    pub title: String,
    pub severity: String,
    pub detector: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When it was put into the outbox, RFC 3339.
    pub at: String,
    /// A sample that somebody asked for.
    #[serde(default)]
    pub test: bool,
    pub alerts: Vec<Alert>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storm: Option<Storm>,
}

/// A key out of what it stands for.
pub fn key_of(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize()[..16])
}

/// The key of one thing that happened, at one sink.
pub fn item_key(logged: &Logged, sink: &str) -> String {
    key_of(&["item", &logged.finding.id, &logged.sequence.to_string(), &logged.change, sink])
}

impl Alert {
    /// The alert for something that happened. A detector that is gone from the catalog leaves only its words out.
    pub fn new(logged: &Logged, catalog: &Catalog, key: String) -> Self {
        let verdict = &logged.finding.verdict;
        let header = catalog.find(&verdict.detector).ok().map(|d| &d.header);
        let row = verdict.row();
        let who = ABOUT.iter().filter_map(|name| Some(((*name).to_owned(), text(row.get(*name)?)?)));
        let who: BTreeMap<String, String> = who.collect();
        let look_further = look_further(&logged.finding.id, &who);
        Self {
            key,
            change: logged.change.clone(),
            at: time::format(logged.at),
            title: header.map_or_else(|| verdict.detector.to_string(), |h| h.title.clone()),
            severity: verdict.severity.as_str().to_owned(),
            detector: verdict.detector.to_string(),
            kind: kind_of(catalog, &verdict.detector).to_owned(),
            summary: header.map(|h| h.summary.trim().to_owned()).unwrap_or_default(),
            who,
            since: time::format(verdict.violated_at),
            finding: logged.finding.json(),
            response: header.map(|h| h.response.clone()).unwrap_or_default(),
            look_further,
            attack: header.map(|h| h.controls.attack.clone()).unwrap_or_default(),
            owner: logged.owner.clone(),
            reason: logged.reason.clone(),
        }
    }

    /// What is left of an alert whose words cannot be read.
    pub fn bare(held: &Held) -> Self {
        Self {
            key: held.item.clone(),
            change: held.change.clone(),
            at: time::format(held.due_at),
            title: held.detector.clone(),
            severity: held.severity.clone(),
            detector: held.detector.clone(),
            kind: String::new(),
            summary: String::new(),
            who: BTreeMap::new(),
            since: String::new(),
            finding: Map::new(),
            response: Vec::new(),
            look_further: look_further(&held.finding, &BTreeMap::new()),
            attack: Vec::new(),
            owner: None,
            reason: None,
        }
    }

    /// Whether it says that something is over.
    pub fn is_over(&self) -> bool {
        matches!(self.change.as_str(), "resolved" | "retracted" | "excepted")
            || self
                .finding
                .get("state")
                .and_then(Value::as_str)
                .is_some_and(|s| ["resolved", "retracted", "excepted"].contains(&s))
    }

    /// A field of the finding, as text.
    pub fn finding_text(&self, field: &str) -> Option<&str> {
        self.finding.get(field).and_then(Value::as_str)
    }
}

impl Message {
    /// A message with the given alerts, which are about the same detector and subject.
    pub fn of(alerts: Vec<Alert>, sink: &str, at: i64) -> Self {
        let keys: Vec<&str> = alerts.iter().map(|a| a.key.as_str()).collect();
        let key = match keys.as_slice() {
            [one] => (*one).to_owned(),
            all => key_of(&[&["group", sink][..], all].concat()),
        };
        let worst = alerts.iter().filter_map(|a| Severity::parse(&a.severity)).max().unwrap_or(Severity::Low);
        let first = alerts.first();
        let title = match (first, alerts.len()) {
            (Some(alert), 1) => alert.title.clone(),
            (Some(alert), count) => format!("{} ({count} alerts)", alert.title),
            (None, _) => String::new(),
        };
        Self {
            version: VERSION,
            key,
            title,
            severity: worst.as_str().to_owned(),
            detector: first.map(|a| a.detector.clone()).unwrap_or_default(),
            subject: first.and_then(subject).map(str::to_owned),
            at: time::format(at),
            test: false,
            alerts,
            storm: None,
        }
    }

    /// Whether everything it is about is over.
    pub fn is_over(&self) -> bool {
        self.storm.is_none() && self.alerts.iter().all(Alert::is_over)
    }
}

/// Whom an alert is about first of all.
fn subject(alert: &Alert) -> Option<&str> {
    ["subject_id", "device_id", "host_id"].iter().find_map(|name| alert.who.get(*name)).map(String::as_str)
}

/// What alerts are grouped by: the subject, or the finding's own key where there is none.
pub fn group_of(logged: &Logged) -> String {
    let row = logged.finding.verdict.row();
    let named = ["subject_id", "device_id", "host_id"].iter().find_map(|name| text(row.get(*name)?));
    named.unwrap_or_else(|| logged.finding.key_text())
}

/// The project of a finding, if one is known.
pub fn project_of(logged: &Logged) -> Option<String> {
    text(logged.finding.verdict.row().get("project_id")?)
}

/// `violation` or `lead`; what is not in the catalog any more is taken for a violation.
pub fn kind_of(catalog: &Catalog, detector: &str) -> &'static str {
    match catalog.find(detector).map(|d| d.header.kind) {
        Ok(Kind::Lead) => "lead",
        _ => "violation",
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Commands for a shell that lead on from a finding.
fn look_further(id: &str, who: &BTreeMap<String, String>) -> Vec<String> {
    let mut commands = vec![format!("tokentrail findings show {id}")];
    let options = [("grant_id", "grant"), ("subject_id", "subject"), ("device_id", "device"), ("host_id", "host")];
    let found = options.iter().find_map(|(name, option)| Some((option, who.get(*name)?)));
    commands.extend(found.map(|(option, value)| format!("tokentrail timeline --{option} {}", quoted(value))));
    commands
}

/// A text as one word of a shell's command.
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@._-+:/=".contains(c);
    if !text.is_empty() && text.chars().all(plain) && !text.starts_with('-') {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}
