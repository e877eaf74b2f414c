//! The head of a detector file: TOML in the leading block comment, so that what a detector means, whom it concerns and
//! how it is run stand in the same file as its SQL.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use crate::finding::Severity;
use crate::policy::parse_duration;
use crate::policy::spelling::nearest;

/// Something wrong in a detector file: `FILE:LINE: MESSAGE`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mistake {
    pub file: String,
    /// From 1.
    pub line: usize,
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

/// How mature a detector is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Experimental,
    Stable,
    Deprecated,
}

/// Whether its findings are violations of policy, or leads for hunting, which never decide a verdict.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Violation,
    Lead,
}

/// What a verdict depends on, beside context events and the policy.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The rows of one grant: each is judged by itself.
    Grant,
}

/// Which controls of which framework a detector serves.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Controls {
    pub csf: Vec<String>,
    pub nhi: Vec<String>,
    pub attack: Vec<String>,
    pub nist_800_53: Vec<String>,
}

/// A value that whoever runs the detector may set.
#[derive(Clone, Debug, Deserialize)]
pub struct Param {
    #[serde(rename = "type")]
    pub kind: ParamKind,
    pub default: toml::Value,
    pub help: String,
}

/// What a parameter holds.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ParamKind {
    Integer,
    Number,
    Text,
    Boolean,
}

/// Result columns that hold a stretch of time in which something should have been seen and was not.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Absence {
    pub from: String,
    pub to: String,
}

/// All keys of a header.
#[derive(Clone, Debug, Deserialize)]
pub struct Header {
    pub title: String,
    #[serde(deserialize_with = "severity")]
    pub severity: Severity,
    pub status: Status,
    pub kind: Kind,
    pub summary: String,
    pub rationale: String,
    /// One sentence that says why of one finding, with `{column}` for the values of its row.
    #[serde(default)]
    pub because: Option<String>,
    /// The time in which something was not seen, if that is what the finding rests on.
    #[serde(default)]
    pub absence: Option<Absence>,
    #[serde(default)]
    pub false_positives: Vec<String>,
    pub response: Vec<String>,
    /// Result columns that tell one finding from another.
    pub key: Vec<String>,
    /// Tables and views the SQL reads.
    pub reads: Vec<String>,
    /// How often a scheduler runs it.
    pub every: String,
    /// How long it may take before it is stopped and counts as failed.
    #[serde(default = "ten_minutes")]
    pub timeout: String,
    /// A query over folds that names every grant (or host) the verdict may be about, in a column grant_id (or host_id); the
    /// main SQL then sees only these.
    #[serde(default)]
    pub nominate: Option<String>,
    /// If each grant is judged by itself: then very many may be judged in portions.
    #[serde(default)]
    pub scope: Option<Scope>,
    /// If everything found about a grant is resolved by when it ended, where nothing was exercised at that moment or later:
    /// then whoever asks what was wrong since some moment need not look at those that were over by then.
    #[serde(default)]
    pub resolved_by_end: bool,
    /// Evidence that changes with time alone.
    #[serde(default)]
    pub ticking: Vec<String>,
    /// Key values whose finding is resolved when its row is gone, because it is about the present.
    #[serde(default)]
    pub resolved_when_gone: Map<String, Value>,
    #[serde(default)]
    pub controls: Controls,
    #[serde(default)]
    pub params: BTreeMap<String, Param>,
}

pub(super) const KEYS: &[&str] = &[
    "title",
    "severity",
    "status",
    "kind",
    "summary",
    "rationale",
    "because",
    "absence",
    "false_positives",
    "response",
    "key",
    "reads",
    "every",
    "timeout",
    "nominate",
    "scope",
    "resolved_by_end",
    "ticking",
    "resolved_when_gone",
    "controls",
    "params",
];
const CONTROLS: &[&str] = &["csf", "nhi", "attack", "nist_800_53"];
const ABSENCE: &[&str] = &["from", "to"];
const PARAM: &[&str] = &["type", "default", "help"];
const OPENING: &str = "/*---\n";
const CLOSING: &str = "---*/";

fn ten_minutes() -> String {
    "10m".to_owned()
}

impl Header {
    /// How long the detector may take.
    ///
    /// # Errors
    /// A sentence, if `timeout` is no duration.
    pub fn timeout(&self) -> Result<std::time::Duration, String> {
        let micros = parse_duration(&self.timeout)?;
        Ok(std::time::Duration::from_micros(micros.unsigned_abs()))
    }
}

fn severity<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Severity, D::Error> {
    let text = String::deserialize(deserializer)?;
    Severity::parse(&text).ok_or_else(|| {
        let names: Vec<&str> = Severity::ALL.iter().map(|(name, _)| *name).collect();
        serde::de::Error::custom(format!("severity {text:?}; expected one of {}", names.join(", ")))
    })
}

/// Splits a detector file into its header and its SQL; the SQL keeps its line numbers.
///
/// # Errors
/// Every mistake of the header: no header, not TOML, unknown, missing and mistyped keys.
pub fn parse(file: &str, text: &str) -> Result<(Header, String), Vec<Mistake>> {
    let mistake = |line: usize, message: String| Mistake { file: file.to_owned(), line, message };
    let Some(rest) = text.strip_prefix(OPENING) else {
        return Err(vec![mistake(1, format!("a detector begins with a line {:?}", OPENING.trim_end()))]);
    };
    let Some((head, sql)) = rest.split_once(CLOSING) else {
        return Err(vec![mistake(1, format!("the header has no end: {CLOSING:?} is missing"))]);
    };
    // The header's first line is the file's second.
    let line = |at: usize| 2 + head.as_bytes()[..at.min(head.len())].iter().filter(|b| **b == b'\n').count();
    let at = |error: &toml::de::Error| line(error.span().map_or(0, |s| s.start));
    let document = DeTable::parse(head).map_err(|e| vec![mistake(at(&e), e.message().to_owned())])?;
    let unknown = unknown_keys(document.get_ref());
    if !unknown.is_empty() {
        return Err(unknown.into_iter().map(|(place, message)| mistake(line(place), message)).collect());
    }
    let header: Header = toml::from_str(head).map_err(|e| vec![mistake(at(&e), e.message().to_owned())])?;
    let blank = "\n".repeat(1 + head.matches('\n').count());
    Ok((header, format!("{blank}{}", sql.trim_end())))
}

/// Keys nobody knows, where they stand, and what may have been meant.
fn unknown_keys(document: &DeTable) -> Vec<(usize, String)> {
    let mut found = check(document, "the header", KEYS);
    for (name, value) in document {
        let DeValue::Table(table) = value.get_ref() else { continue };
        match name.get_ref().as_ref() {
            "absence" => found.extend(check(table, "[absence]", ABSENCE)),
            "controls" => found.extend(check(table, "[controls]", CONTROLS)),
            "params" => {
                for (param, value) in table {
                    if let DeValue::Table(table) = value.get_ref() {
                        found.extend(check(table, &format!("[params.{}]", param.get_ref()), PARAM));
                    }
                }
            }
            _ => {}
        }
    }
    found
}

fn check(table: &DeTable, place: &str, known: &[&str]) -> Vec<(usize, String)> {
    let unknown = table.keys().filter(|name| !known.contains(&name.get_ref().as_ref()));
    let message = |name: &str| match nearest(name, known.iter().copied()) {
        Some((word, true)) => format!("unknown key {name:?} in {place}; did you mean {word:?}?"),
        Some((word, false)) => format!("unknown key {name:?} in {place}; the nearest is {word:?}"),
        None => format!("unknown key {name:?} in {place}"),
    };
    unknown.map(|name| (name.span().start, message(name.get_ref()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"/*---
title = "T"
severity = "high"
status = "stable"
kind = "violation"
summary = "s"
rationale = "r"
response = ["do"]
key = ["grant_id"]
reads = ["grants"]
every = "1m"
[controls]
csf = ["PR.AA-01"]
[params.min_count]
type = "integer"
default = 1
help = "h"
---*/
SELECT 1
"#;

    #[test]
    fn a_file_is_a_header_and_sql_on_its_own_lines() {
        let (header, sql) = parse("d.sql", GOOD).unwrap();
        assert_eq!((header.severity, header.key.as_slice()), (Severity::High, &["grant_id".to_owned()][..]));
        assert_eq!(sql.lines().position(|l| l == "SELECT 1"), GOOD.lines().position(|l| l == "SELECT 1"));
    }

    #[test]
    fn mistakes_name_file_line_and_nearest_key() {
        for (from, to, want) in [
            ("severity =", "severty =", "d.sql:3: unknown key \"severty\" in the header; did you mean \"severity\"?"),
            ("csf =", "cfs =", "d.sql:13: unknown key \"cfs\" in [controls]; the nearest is \"csf\""),
            (
                "default = 1",
                "defalt = 1",
                "d.sql:16: unknown key \"defalt\" in [params.min_count]; did you mean \"default\"?",
            ),
            ("\"high\"", "\"hihg\"", "d.sql:3: severity \"hihg\"; expected one of low, medium, high, critical"),
            ("title = \"T\"", "", "missing field `title`"),
            ("\"T\"", "\"T", "d.sql:2: "),
            ("/*---", "/*--", "d.sql:1: a detector begins with"),
            ("---*/", "*/", "d.sql:1: the header has no end"),
        ] {
            let mistakes = parse("d.sql", &GOOD.replacen(from, to, 1)).unwrap_err();
            assert!(mistakes[0].to_string().contains(want), "{} instead of {want}", mistakes[0]);
        }
    }
}
