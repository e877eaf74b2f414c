//! The tables of the configuration file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::decode::Format;
use crate::ingest;
use crate::policy::spelling::nearest;

/// What a process may do of all that a service does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Ingest,
    Detect,
    Alert,
    Maintain,
}

impl Part {
    pub const ALL: [Self; 4] = [Self::Ingest, Self::Detect, Self::Alert, Self::Maintain];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Detect => "detect",
            Self::Alert => "alert",
            Self::Maintain => "maintain",
        }
    }
}

/// `[lake]`: where everything is kept, and what is taken out of records before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LakeConfig {
    /// A folder, or a URL such as s3://bucket/prefix.
    pub uri: String,
    /// File with the key of fingerprints; as for `tokentrail ingest` if none is named.
    pub secret_key_file: Option<PathBuf>,
    /// Store people and addresses under pseudonyms, and no original records.
    pub pseudonymise: bool,
    /// Keep the original bytes of accepted records beside the columns.
    pub keep_raw: bool,
}

impl Default for LakeConfig {
    fn default() -> Self {
        Self { uri: "tokentrail-data".to_owned(), secret_key_file: None, pseudonymise: false, keep_raw: true }
    }
}

/// `[ingest]`: what is read, and when it is committed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ingest {
    /// Whether this part runs.
    pub on: bool,
    /// A batch is committed when it has this many rows,
    pub commit_rows: usize,
    /// or this many MiB of text,
    pub commit_mib: usize,
    /// or is this old.
    pub commit_ms: u64,
    /// `[[ingest.source]]`, each read beside the others.
    pub source: Vec<SourceConfig>,
}

impl Default for Ingest {
    fn default() -> Self {
        let options = ingest::Options::default();
        Self {
            on: true,
            commit_rows: options.rows_max,
            commit_mib: options.bytes_max >> 20,
            commit_ms: options.age_max.as_millis() as u64,
            source: Vec::new(),
        }
    }
}

/// One `[[ingest.source]]`: either `kafka` or `files`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourceConfig {
    /// How logs and metrics call it.
    pub name: String,
    pub kafka: Option<Kafka>,
    /// Files and folders, looked at again after `every_seconds`: what has grown is read on.
    pub files: Vec<PathBuf>,
    /// Default 10.
    pub every_seconds: Option<u64>,
    /// How records are written; default auto: recognised by shape, record by record.
    pub format: Option<String>,
    /// Mapping file of a source of one's own, instead of a format.
    pub mapping: Option<PathBuf>,
}

/// `kafka` of a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kafka {
    /// Brokers, HOST:PORT.
    pub bootstrap: Vec<String>,
    pub topics: Vec<String>,
    /// Consumer group.
    pub group: String,
    /// Any librdkafka property.
    pub properties: BTreeMap<String, String>,
    /// File of properties, NAME=VALUE a line; for secrets.
    pub properties_file: Option<PathBuf>,
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            bootstrap: Vec::new(),
            topics: Vec::new(),
            group: "tokentrail".to_owned(),
            properties: BTreeMap::new(),
            properties_file: None,
        }
    }
}

/// `[detect]`: what to look for, by which policy, and who of several processes does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Detect {
    pub on: bool,
    pub policy: Option<PathBuf>,
    pub identities: Option<PathBuf>,
    /// Folder of detectors that add to or replace the built-in ones.
    pub queries: Option<PathBuf>,
    /// Shortest time from the start of a run to the start of the next.
    pub apart_seconds: u64,
    /// How long the process that runs the detectors may be silent before another takes over.
    pub lease_seconds: u64,
}

impl Default for Detect {
    fn default() -> Self {
        Self { on: true, policy: None, identities: None, queries: None, apart_seconds: 2, lease_seconds: 15 }
    }
}

/// `[maintain]`: merging small files, writing checkpoints, forgetting what was settled long ago.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Maintain {
    pub on: bool,
    pub every_seconds: u64,
    /// Rows of `alerts` are kept so long after the message was taken or given up.
    pub keep_alerts_days: u32,
    /// Rows of `detector_runs` are kept so long, and longer while a finding they led to is open.
    pub keep_runs_days: u32,
}

impl Default for Maintain {
    fn default() -> Self {
        Self { on: true, every_seconds: 60, keep_alerts_days: 400, keep_runs_days: 400 }
    }
}

/// `[telemetry]`: the pages that say how the service is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    pub on: bool,
    /// HOST:PORT of /healthz, /readyz and /metrics; port 0 takes a free one. Whoever reaches it can read it.
    pub listen: String,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { on: true, listen: "127.0.0.1:9464".to_owned() }
    }
}

/// `[serve]`: the process itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Service {
    /// How long a stopping service may finish what it is at.
    pub drain_seconds: u64,
}

impl Default for Service {
    fn default() -> Self {
        Self { drain_seconds: 25 }
    }
}

impl Maintain {
    /// What would be forgotten too early: the key, and why.
    pub fn contradictions(&self, alert: &crate::alert::Config) -> Vec<(&'static str, String)> {
        let (alerts, runs) = (crate::alert::retention::days_min(alert), crate::detect::retention::DAYS_MIN);
        let mut wrong = Vec::new();
        if self.keep_alerts_days < alerts {
            let message = format!(
                "keep_alerts_days in [maintain] must be at least {alerts}: messages are tried for {} hours (age_max_hours in [alert])",
                alert.age_max_hours
            );
            wrong.push(("keep_alerts_days", message));
        }
        if i64::from(self.keep_runs_days) < runs {
            let message = format!("keep_runs_days in [maintain] must be at least {runs}: detectors look back so far");
            wrong.push(("keep_runs_days", message));
        }
        wrong
    }
}

impl SourceConfig {
    /// How records are written.
    pub fn format(&self) -> Format {
        self.format.as_deref().and_then(Format::parse).unwrap_or(Format::Auto)
    }

    /// What is well written and cannot be done.
    pub(super) fn contradictions(&self) -> Vec<String> {
        let name = if self.name.is_empty() { "a source without a name" } else { &self.name };
        let mut wrong = Vec::new();
        let mut check = |is_wrong: bool, message: String| {
            if is_wrong {
                wrong.push(message);
            }
        };
        check(self.name.is_empty(), "a source needs a name: it is how logs and metrics call it".to_owned());
        check(
            self.kafka.is_some() != self.files.is_empty(),
            format!("{name}: give either kafka = {{ bootstrap = [...], topics = [...] }} or files = [...]"),
        );
        if let Some(kafka) = &self.kafka {
            check(kafka.topics.is_empty(), format!("{name}: kafka needs topics = [\"NAME\"]"));
            let has_brokers = !kafka.bootstrap.is_empty()
                || kafka.properties_file.is_some()
                || kafka.properties.contains_key("bootstrap.servers");
            check(!has_brokers, format!("{name}: kafka needs bootstrap = [\"HOST:PORT\"]"));
        }
        if let Some(word) = self.format.as_deref().filter(|word| Format::parse(word).is_none()) {
            let known: Vec<&str> = Format::ALL.iter().map(|format| format.as_str()).collect();
            let advice = match nearest(word, known.iter().copied()) {
                Some((word, true)) => format!("; did you mean {word:?}?"),
                _ => String::new(),
            };
            check(true, format!("{name}: unknown format {word:?}{advice} (there are {})", known.join(", ")));
        }
        check(self.format.is_some() && self.mapping.is_some(), format!("{name}: give a format or a mapping, not both"));
        wrong
    }
}
