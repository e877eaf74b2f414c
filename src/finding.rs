//! A finding: what a detector found, under which key, and what has become of it.

use std::collections::BTreeMap;
use std::fmt;

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

/// One row of a detector: what it says of one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub detector: String,
    pub key: Map<String, Value>,
    pub severity: Severity,
    /// Microseconds since 1970 UTC, as all times here.
    pub violated_at: i64,
    pub resolved_at: Option<i64>,
    pub evidence: Map<String, Value>,
}

/// A finding in its present state.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub id: String,
    pub verdict: Verdict,
    pub state: State,
    /// When a run first saw it.
    pub first_detected_at: i64,
    /// Lake version of the run that saw it last change.
    pub version: i64,
}

impl Verdict {
    /// The finding's identity: detector and key, and nothing that can change.
    pub fn id(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.detector.as_bytes());
        hash.update([0]);
        hash.update(Value::Object(self.key.clone()).to_string().as_bytes());
        hex(&hash.finalize()[..12])
    }

    /// Everything a finding's row says, for exceptions to match: key and evidence.
    pub fn row(&self) -> Map<String, Value> {
        self.key.iter().chain(&self.evidence).map(|(k, v)| (k.clone(), v.clone())).collect()
    }
}

impl Finding {
    /// The finding as its users see it ; the fields are a contract.
    pub fn json(&self) -> Map<String, Value> {
        let verdict = &self.verdict;
        let value = json!({
            "id": self.id,
            "detector": verdict.detector,
            "key": verdict.key,
            "state": self.state,
            "severity": verdict.severity,
            "violated_at": time::format(verdict.violated_at),
            "resolved_at": verdict.resolved_at.map(time::format),
            "first_detected_at": time::format(self.first_detected_at),
            "evidence": verdict.evidence,
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
    fn spellings_round_trip() {
        for (name, severity) in Severity::ALL {
            assert_eq!((Severity::parse(name), severity.as_str()), (Some(severity), name));
        }
        for (name, state) in State::ALL {
            assert_eq!((State::parse(name), state.as_str()), (Some(state), name));
        }
    }
}
