//! A finding: what a detector found, under which key, and what has become of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::event::{hex, time};

/// How bad it is, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    /// Every value, as it is spelled, mildest first.
    pub const ALL: [(&'static str, Self); 4] =
        [("low", Self::Low), ("medium", Self::Medium), ("high", Self::High), ("critical", Self::Critical)];

    /// The severity spelled `text`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, severity)| *severity)
    }

    /// Its spelling.
    pub const fn as_str(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}

/// What has become of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The condition holds.
    Open,
    /// The condition holds and somebody looks after it.
    Acked,
    /// The condition holds and somebody decided not to hear of it.
    Suppressed,
    /// The condition held and stopped.
    Resolved,
    /// The condition holds and the policy excepts it.
    Excepted,
    /// Late data, or another policy, shows that the condition never held.
    Retracted,
}

impl State {
    /// Every value, as it is spelled.
    pub const ALL: [(&'static str, Self); 6] = [
        ("open", Self::Open),
        ("acked", Self::Acked),
        ("suppressed", Self::Suppressed),
        ("resolved", Self::Resolved),
        ("excepted", Self::Excepted),
        ("retracted", Self::Retracted),
    ];

    /// The state spelled `text`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, state)| *state)
    }

    /// Its spelling.
    pub const fn as_str(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How much of the lake a run saw: the version, and what had been read of each source by then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cut {
    pub version: i64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub positions: BTreeMap<String, i64>,
}

/// What speaks for a finding: an object, kept as JSON text, because there are many and few are read.
#[derive(Clone, Debug)]
pub struct Evidence {
    text: Arc<str>,
    digest: Arc<str>,
}

impl Evidence {
    /// The evidence in `object`, of which the columns in `ticking` change with time alone.
    pub fn new(object: &Map<String, Value>, ticking: &[String]) -> Self {
        let text = |object: &Map<String, Value>| serde_json::to_string(object).unwrap_or_default();
        let whole = text(object);
        let digest = |text: &str| hex(&Sha256::digest(text.as_bytes())[..12]);
        let digest = if ticking.iter().any(|name| object.contains_key(name)) {
            let lasting = object.iter().filter(|(name, _)| !ticking.contains(name));
            digest(&text(&lasting.map(|(name, value)| (name.clone(), value.clone())).collect()))
        } else {
            digest(&whole)
        };
        Self { text: whole.into(), digest: digest.into() }
    }

    /// Evidence as it was kept: its text and its digest.
    pub fn kept(text: &str, digest: &str) -> Self {
        Self { text: text.into(), digest: digest.into() }
    }

    /// The JSON text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Equal where everything is equal that does not change with time alone.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The columns and their values.
    pub fn object(&self) -> Map<String, Value> {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

/// One row of a detector: what it says of one key. Copies share what is large.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub detector: Arc<str>,
    pub key: Arc<Map<String, Value>>,
    pub severity: Severity,
    /// Microseconds since 1970 UTC, as all times here.
    pub violated_at: i64,
    pub resolved_at: Option<i64>,
    pub evidence: Evidence,
}

/// A finding in its present state.
#[derive(Clone, Debug)]
pub struct Finding {
    pub id: String,
    pub verdict: Verdict,
    pub state: State,
    /// When a run first saw it.
    pub first_detected_at: i64,
    /// Lake version of the run that saw it last change.
    pub version: i64,
    /// When a suppression ends.
    pub until: Option<i64>,
}

impl Verdict {
    /// The finding's identity: detector and key, and nothing that can change.
    pub fn id(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.detector.as_bytes());
        hash.update([0]);
        hash.update(serde_json::to_string(&*self.key).unwrap_or_default());
        hex(&hash.finalize()[..12])
    }

    /// Everything a finding's row says, for exceptions to match: key and evidence.
    pub fn row(&self) -> Map<String, Value> {
        let mut row = Map::clone(&self.key);
        row.extend(self.evidence.object());
        row
    }

    /// Whether the other says the same, but for what changes with time alone.
    pub fn says_the_same(&self, other: &Self) -> bool {
        (self.severity, self.violated_at, self.resolved_at) == (other.severity, other.violated_at, other.resolved_at)
            && self.evidence.digest() == other.evidence.digest()
    }
}

impl Finding {
    /// The fields of [`Finding::json`], in order.
    pub const FIELDS: [&'static str; 10] = [
        "id",
        "detector",
        "key",
        "state",
        "severity",
        "violated_at",
        "resolved_at",
        "first_detected_at",
        "evidence",
        "cut",
    ];

    /// Whether the condition holds and the policy does not except it.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open | State::Acked | State::Suppressed)
    }

    /// The finding as its users see it; the fields are a contract.
    pub fn json(&self) -> Map<String, Value> {
        let verdict = &self.verdict;
        let value = json!({
            "id": self.id,
            "detector": &*verdict.detector,
            "key": &*verdict.key,
            "state": self.state,
            "severity": verdict.severity,
            "violated_at": time::format(verdict.violated_at),
            "resolved_at": verdict.resolved_at.map(time::format),
            "first_detected_at": time::format(self.first_detected_at),
            "evidence": verdict.evidence.object(),
            "cut": { "version": self.version },
        });
        match value {
            Value::Object(object) => object,
            _ => Map::new(),
        }
    }

    /// The key as short text: its values, or `column=value` where there are several.
    pub fn key_text(&self) -> String {
        let key = &self.verdict.key;
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match key.len() {
            1 => key.values().map(text).collect(),
            _ => key.iter().map(|(k, v)| format!("{k}={}", text(v))).collect::<Vec<_>>().join(" "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_those_of_the_json() {
        let verdict = Verdict {
            detector: "d".into(),
            key: Arc::default(),
            severity: Severity::Low,
            violated_at: 0,
            resolved_at: None,
            evidence: Evidence::new(&Map::new(), &[]),
        };
        let finding =
            Finding { id: verdict.id(), verdict, state: State::Open, first_detected_at: 0, version: 1, until: None };
        assert_eq!(finding.json().keys().collect::<Vec<_>>(), Finding::FIELDS.iter().collect::<Vec<_>>());
    }

    #[test]
    fn spellings_round_trip() {
        for (name, severity) in Severity::ALL {
            assert_eq!((Severity::parse(name), severity.as_str()), (Some(severity), name));
        }
        for (name, state) in State::ALL {
            assert_eq!((State::parse(name), state.as_str()), (Some(state), name));
        }
    }
}
