//! An assessment as plain data: what every file of a pack, and every format, is made from.
//!
//! Rows are canonical: whatever order the lake stores events in, an [`Assessment`] of the same events, policy and period is
//! the same, but for [`Provenance`], which says where they lay. Nothing here depends on when the command ran.
//! Personal values stand in it as they may be shown: under pseudonyms, unless [`Scope::identified`].

mod coverage;
mod followed;
mod table;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use coverage::{Coverage, Feed, Gap, Source};
pub use followed::{Bucket, Change, Exception, Remedy, RemedyState};
pub use table::{Column, Table, Treatment};

use crate::event::time;

/// A moment in microseconds since 1970 UTC; RFC 3339 text wherever it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i64);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&time::format(self.0))
    }
}

impl Serialize for Moment {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || serde::de::Error::custom(format!("{text:?} is no RFC 3339 time"));
        time::parse(&text).map(Self).ok_or_else(wrong)
    }
}

/// Everything that a pack says.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Assessment {
    pub tool: Tool,
    pub framework: Framework,
    pub scope: Scope,
    pub period: Period,
    pub summary: Summary,
    /// In the order of the framework file; those that must always be present are there with a reason if nothing speaks to
    /// them.
    pub subcategories: Vec<Subcategory>,
    /// Each once, by id; subcategories name them in [`Link`]s.
    pub detectors: Vec<Detector>,
    pub coverage: Coverage,
    pub exceptions: Vec<Exception>,
    /// What was wrong at some time of the period, and how long that lasted: by detector, then as in its rows.
    pub remediation: Vec<Remedy>,
    /// When runs saw these findings change, and what people decided about them; by finding and time. No part of the evidence
    /// hash: it depends on when detectors were run.
    #[serde(default)]
    pub history: Vec<Change>,
    /// How long a remedy may take by severity, in seconds; only severities of which somebody said so.
    #[serde(default)]
    pub targets: BTreeMap<String, i64>,
    /// Stretches of the period, oldest first: weeks, or 30 days each of a long one.
    pub trend: Vec<Bucket>,
    /// What this data cannot show, a sentence each.
    pub limits: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
    pub provenance: Provenance,
    /// SHA-256 over the canonical rows and figures, provenance left out: the same on every lake with the same events.
    pub evidence_sha256: String,
}

impl Assessment {
    /// The detector called `id`. Every [`Link`] names one that is there.
    pub fn detector(&self, id: &str) -> Option<&Detector> {
        self.detectors.iter().find(|d| d.id == id)
    }
}

/// The program that made it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// `tokentrail`.
    pub name: String,
    pub version: String,
}

/// What the evidence is arranged by.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Framework {
    /// As on the command line, such as `nist-csf-2.0`.
    pub id: String,
    pub title: String,
    pub version: String,
    /// What one of its parts is called, such as `subcategory` or `criterion`.
    pub part: String,
    /// SHA-256 of the framework file.
    pub sha256: String,
    /// The official catalogue that statements were printed from, if one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog: Option<Catalog>,
    /// What was read otherwise than it was written, such as an alias resolved; a sentence each.
    pub notes: Vec<String>,
}

/// An official catalogue in OSCAL.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    pub title: String,
    pub version: String,
    pub oscal_version: String,
    /// SHA-256 of the file as it was given.
    pub sha256: String,
}

/// Whom and what it is about.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// Sources with any event up to the end of the period, sorted.
    pub sources: Vec<String>,
    /// Whether people, devices and addresses stand in it under their own names.
    pub identified: bool,
    /// Id of the key of the pseudonyms; who holds the key can tell the pseudonym of a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pseudonym_key: Option<String>,
    /// What a result here does and does not say; sentences.
    pub statements: Vec<String>,
}

/// The time it is about: from `from` on, until just before `to`. UTC.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Period {
    pub from: Moment,
    pub to: Moment,
    /// The moment the detectors judged at: the last microsecond of the period.
    pub as_of: Moment,
}

/// The answer of a test.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// No exceptions were found by these tests in N events.
    Pass,
    /// Something was found that no exception of the policy covers.
    Fail,
    /// The organisation says that it does not concern it.
    NotApplicable,
    /// There was nothing to test, or nothing that tests.
    NotTested,
    /// It was tested, and something that it rests on was missing.
    Inconclusive,
    /// The test broke.
    Error,
}

impl Outcome {
    /// Every value, as it is spelled.
    pub const ALL: [(&'static str, Self); 6] = [
        ("pass", Self::Pass),
        ("fail", Self::Fail),
        ("not-applicable", Self::NotApplicable),
        ("not-tested", Self::NotTested),
        ("inconclusive", Self::Inconclusive),
        ("error", Self::Error),
    ];

    /// Its spelling.
    pub const fn as_str(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A result, and why it is that one.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    pub result: Outcome,
    /// A sentence, or several that are joined by `; `. It names the number of events.
    pub reason: String,
}

/// How many of what came out how.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Events in the period, each once.
    pub events: u64,
    /// By spelling of [`Outcome`]; all six are there.
    pub subcategories: BTreeMap<String, u64>,
    /// The same of detectors that decide, leads left out.
    pub detectors: BTreeMap<String, u64>,
    /// Rows of detectors that decide: at some time of the period wrong, and covered by no exception.
    pub found: u64,
    /// Of these, still so at the end.
    pub open_at_end: u64,
    /// Rows that an exception covers.
    pub excepted: u64,
}

/// What a detector has to do with a part of the framework.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// It speaks to the outcome as a whole, for tokens.
    Supports,
    /// It speaks to a side of it.
    PartiallySupports,
    /// What it finds is against the outcome; finding nothing says little.
    DetectsViolationOf,
    /// It is one contribution among others, and never decides.
    ContributesTo,
}

impl Relation {
    /// Every value, as it is spelled.
    pub const ALL: [(&'static str, Self); 4] = [
        ("supports", Self::Supports),
        ("partially-supports", Self::PartiallySupports),
        ("detects-violation-of", Self::DetectsViolationOf),
        ("contributes-to", Self::ContributesTo),
    ];

    /// Its spelling.
    pub const fn as_str(self) -> &'static str {
        Self::ALL[self as usize].0
    }

    /// For a reader: `partially supports`.
    pub fn words(self) -> String {
        self.as_str().replace('-', " ")
    }
}

/// A part of the framework: of NIST CSF a subcategory.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Subcategory {
    /// As the framework spells it, such as `PR.AA-01`.
    pub id: String,
    /// Our own short title, not the official statement.
    pub title: String,
    /// The official statement, from the catalogue given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
    /// How much this data can say of it, honestly: a sentence.
    pub reach: String,
    /// Whether it is one of those the pack is about (results), or one that the running of the tool supports.
    pub is_supporting: bool,
    #[serde(flatten)]
    pub verdict: Verdict,
    /// The detectors that speak to it: those that decide first, then by id.
    pub links: Vec<Link>,
}

/// That a detector speaks to a part of the framework.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// [`Detector::id`].
    pub detector: String,
    pub relation: Relation,
    /// Whether its result enters that of the part.
    pub decides: bool,
    pub why: String,
    /// The folder in the pack that holds its evidence, such as `controls/PR.AA-01/refresh_after_offboarding`.
    pub folder: String,
}

/// One test: a detector over the period.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Detector {
    pub id: String,
    pub title: String,
    pub summary: String,
    pub rationale: String,
    /// `violation` or `lead`. A lead is for people to look at and never decides.
    pub kind: String,
    pub severity: String,
    /// Of other frameworks: `nhi`, `attack`, `nist_800_53`, `ai_rmf` and what the identifiers are.
    pub references: BTreeMap<String, Vec<String>>,
    #[serde(flatten)]
    pub verdict: Verdict,
    pub population: Population,
    pub counts: Counts,
    /// What it rests on beside the events themselves, such as `offboard`.
    pub feeds: Vec<String>,
    /// The SQL that was run, with its header, as in the query file.
    pub sql: String,
    /// SHA-256 of [`Self::sql`].
    pub sql_sha256: String,
    /// What the SQL was run with: `as_of`, and the policy values and rules it reads, by name.
    pub parameters: BTreeMap<String, String>,
    /// Columns that are not shown because no export policy names them, or because it withholds them.
    pub withheld: Vec<String>,
    /// SHA-256 over the rows in their canonical order.
    pub rows_sha256: String,
    /// What was found: the columns say how each was treated. A row per finding of the period, in canonical order.
    /// In a pack it stands in files of its own.
    #[serde(skip)]
    pub rows: Table,
}

/// Of what a test speaks.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Population {
    /// In words: `successful refreshes`.
    pub what: String,
    /// The condition over columns of `events`, in SQL; each event of the period that meets it was tested.
    pub definition: String,
    /// Events that meet it, each once.
    pub events: u64,
    /// By source, day (UTC) and action, sorted; they sum up to `events`.
    pub totals: Vec<Total>,
}

/// A control total: to be compared with the source.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(deny_unknown_fields)]
pub struct Total {
    pub source: String,
    /// `2026-11-01`.
    pub day: String,
    pub action: String,
    pub events: u64,
}

/// How many rows of a detector.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// All: at some time of the period the condition held.
    pub rows: u64,
    /// Covered by no exception.
    pub found: u64,
    /// Covered by an exception; shown all the same.
    pub excepted: u64,
    /// Of those found, still so at the end of the period.
    pub open_at_end: u64,
    /// Of those found, such as an audit gap makes uncertain.
    pub uncertain: u64,
}

/// A random sample of grants for a person to look through.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    pub size: u64,
    pub seed: String,
    /// How they were drawn, so that somebody else can draw them again.
    pub method: String,
    /// Grants with an event in the period.
    pub grants: u64,
    /// Those drawn, in the order of their rank.
    pub drawn: Vec<String>,
    /// Every event of theirs up to the end of the period, by grant and time.
    #[serde(skip)]
    pub timelines: Table,
    pub timelines_sha256: String,
    pub withheld: Vec<String>,
}

/// Where the events lay: what another lake with the same events has otherwise.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// URI of the lake, without anything secret.
    pub lake: String,
    /// Version of its `events` table.
    pub version: i64,
    /// When that version was written.
    pub committed_at: Moment,
    /// How far each source had been read, and the counts kept beside it.
    pub positions: BTreeMap<String, i64>,
    /// Rows and data files of that version.
    pub rows: u64,
    pub files: u64,
    /// Identity of the policy's meaning, and of the queries, as `detector_runs` records them.
    pub policy_sha256: String,
    pub queries_sha256: String,
    /// Document under LAKE/runs that holds both whole.
    pub made_with: String,
}
