//! What happened to one token, grant, subject, device or host, in order, with what the policy and the detectors say of it.
//!
//! An event log answers what was done; an analyst asks what it meant. Here events stand beside the moments at which a
//! limit of the policy was reached, an owner left, a device was lost and a finding began or ended; each with how old
//! the grant was by then. Reading ([`read`]) is the only part that touches the lake: [`build`] and [`lines`] are
//! functions of values.

pub mod lines;
pub mod lives;
pub mod read;
pub mod zone;

mod said;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::event::time;
use crate::policy::Policy;
use lives::Life;
use zone::Zone;

/// What a timeline is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    Token,
    Grant,
    Subject,
    Device,
    Host,
}

impl About {
    /// All of them, in the order in which an id is looked for.
    pub const ALL: [Self; 5] = [Self::Token, Self::Grant, Self::Subject, Self::Device, Self::Host];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Grant => "grant",
            Self::Subject => "subject",
            Self::Device => "device",
            Self::Host => "host",
        }
    }

    /// The column of events and of findings' keys that holds it.
    pub const fn column(self) -> &'static str {
        match self {
            Self::Token => "token_id",
            Self::Grant => "grant_id",
            Self::Subject => "subject_id",
            Self::Device => "device_id",
            Self::Host => "host_id",
        }
    }
}

/// One event, with the grant it belongs to once aliases are resolved.
#[derive(Clone, Debug, Default)]
pub struct Event {
    /// Microseconds since 1970 UTC, as all times here.
    pub at: i64,
    pub grant: Option<String>,
    /// The columns of `events` that are not null, times as RFC 3339.
    pub row: Map<String, Value>,
}

impl Event {
    /// A column's text.
    pub fn text(&self, column: &str) -> Option<&str> {
        self.row.get(column).and_then(Value::as_str)
    }

    /// A column's time.
    pub fn time(&self, column: &str) -> Option<i64> {
        self.text(column).and_then(time::parse)
    }

    fn is(&self, action: &str) -> bool {
        self.text("action") == Some(action)
    }

    fn succeeded(&self) -> bool {
        self.text("outcome") == Some("success")
    }

    /// Whether a token was successfully issued, refreshed or used.
    fn is_exercise(&self) -> bool {
        self.succeeded() && ["issue", "refresh", "use"].iter().any(|action| self.is(action))
    }

    fn is_context(&self) -> bool {
        self.text("class") == Some("context")
    }
}

/// One row of the findings log.
#[derive(Clone, Debug, Default)]
pub struct Change {
    pub finding_id: String,
    pub detector: String,
    pub change: String,
    pub severity: String,
    pub key: Map<String, Value>,
    pub violated_at: i64,
    pub resolved_at: Option<i64>,
    /// When it was recorded.
    pub at: i64,
    pub owner: Option<String>,
    pub reason: Option<String>,
}

/// What sort of thing an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Of equal moments, what was decided before what followed from it.
    Context,
    Event,
    Limit,
    Finding,
}

impl Kind {
    /// Its spelling in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Context => "context",
            Self::Event => "event",
            Self::Limit => "limit",
            Self::Finding => "finding",
        }
    }
}

/// How much an entry should catch the eye.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    #[default]
    Plain,
    Faint,
    Good,
    Notice,
    Alarm,
}

/// One line of the chronology, before similar ones are put together.
#[derive(Clone, Debug)]
pub struct Entry {
    pub at: i64,
    pub kind: Kind,
    pub tone: Tone,
    /// What happened, in words; of events those that similar ones share.
    pub text: String,
    pub grant: Option<String>,
    /// How old the grant was, in microseconds.
    pub age: Option<i64>,
    /// Everything known of it.
    pub details: Map<String, Value>,
}

/// A chronology.
#[derive(Clone, Debug)]
pub struct Timeline {
    pub about: About,
    pub id: String,
    pub as_of: i64,
    pub lives: BTreeMap<String, Life>,
    /// By time.
    pub entries: Vec<Entry>,
}

/// What was read, to be put in order.
#[derive(Clone, Debug, Default)]
pub struct Material {
    /// The events that the timeline is of.
    pub shown: Vec<Event>,
    /// All events known of the grants that appear in it, for when these began and ended.
    pub of_grants: Vec<Event>,
    pub changes: Vec<Change>,
}

/// Puts events, context, limits and findings in order; what lies outside of `range` (from, and to without its end) is
/// left out, but counts for ages.
pub fn build(about: About, id: &str, material: &Material, policy: &Policy, as_of: i64, range: (i64, i64)) -> Timeline {
    let lives = lives::of(&material.of_grants, policy, as_of);
    let mut entries: Vec<Entry> = material.shown.iter().map(|event| said::event(about, event, &lives)).collect();
    for life in lives.values() {
        entries.extend(lives::limits(life, &material.shown, policy, as_of));
    }
    entries.extend(said::changes(&material.changes));
    entries.retain(|entry| entry.at >= range.0 && entry.at < range.1 && entry.at <= as_of);
    entries.sort_by(|a, b| (a.at, a.kind, &a.grant, &a.text).cmp(&(b.at, b.kind, &b.grant, &b.text)));
    Timeline { about, id: id.to_owned(), as_of, lives, entries }
}

impl Timeline {
    /// Everything, as one object.
    pub fn json(&self, zone: &Zone) -> Value {
        let entries: Vec<Value> = self.entries.iter().map(|entry| entry.json(zone).into()).collect();
        let grants: Vec<Value> = self.lives.values().map(|life| life.json(zone)).collect();
        json!({
            "about": self.about.as_str(),
            "id": self.id,
            "as_of": zone.format(self.as_of),
            "grants": grants,
            "entries": entries,
        })
    }
}

impl Entry {
    /// The fields of [`Entry::json`], in order.
    pub const FIELDS: [&'static str; 6] = ["at", "kind", "text", "grant_id", "age_seconds", "details"];

    /// The entry as its users see it.
    pub fn json(&self, zone: &Zone) -> Map<String, Value> {
        let values: [Value; 6] = [
            json!(zone.format(self.at)),
            json!(self.kind.as_str()),
            json!(self.text),
            json!(self.grant),
            json!(self.age.map(|age| age / time::SECOND)),
            json!(self.details),
        ];
        Self::FIELDS.iter().map(|name| (*name).to_owned()).zip(values).collect()
    }
}

#[cfg(test)]
mod tests;
