//! The Delta log, as far as appending and scanning need it: actions, replay, and the state they add up to.
//!
//! A table's state is the newest checkpoint plus the commits after it; afterwards each new commit is read once, so
//! neither the number of commits nor the number of files makes a commit slower.
//! Protocol: <https://github.com/delta-io/delta/blob/master/PROTOCOL.md>.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One line of a commit: exactly one of the actions.
#[derive(Serialize, Deserialize, Default, Debug)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_info: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub txn: Option<Txn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add: Option<Add>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove: Option<Remove>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "metaData")]
    pub metadata: Option<Metadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
}

/// How far an application got.
#[derive(Serialize, Deserialize, Debug)]
#[serde(rename_all = "camelCase")]
pub struct Txn {
    pub app_id: String,
    pub version: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_updated: Option<i64>,
}

/// A data file joins the table.
#[derive(Serialize, Deserialize, Debug, Clone)]
#[serde(rename_all = "camelCase")]
pub struct Add {
    pub path: String,
    #[serde(default, deserialize_with = "pairs")]
    pub partition_values: BTreeMap<String, Option<String>>,
    pub size: i64,
    pub modification_time: i64,
    pub data_change: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stats: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_vector: Option<Value>,
}

/// A data file leaves the table.
#[derive(Serialize, Deserialize, Debug, Clone)]
#[serde(rename_all = "camelCase")]
pub struct Remove {
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<i64>,
    #[serde(default)]
    pub data_change: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended_file_metadata: Option<bool>,
    #[serde(default, deserialize_with = "maybe_pairs", skip_serializing_if = "Option::is_none")]
    pub partition_values: Option<BTreeMap<String, Option<String>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<i64>,
}

/// What of the table's metadata matters here.
#[derive(Serialize, Deserialize, Debug)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    #[serde(default, deserialize_with = "pairs")]
    pub configuration: BTreeMap<String, Option<String>>,
}

/// Which readers and writers may touch the table.
#[derive(Serialize, Deserialize, Debug)]
#[serde(rename_all = "camelCase")]
pub struct Protocol {
    pub min_reader_version: i32,
    pub min_writer_version: i32,
    #[serde(default)]
    pub reader_features: Option<Vec<String>>,
    #[serde(default)]
    pub writer_features: Option<Vec<String>>,
}

/// A map stands in JSON as an object and comes out of a checkpoint's Parquet as a list of entries.
#[derive(Deserialize)]
#[serde(untagged)]
enum Pairs {
    Map(BTreeMap<String, Option<String>>),
    List(Vec<Pair>),
}

#[derive(Deserialize)]
struct Pair {
    key: String,
    value: Option<String>,
}

fn maybe_pairs<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<BTreeMap<String, Option<String>>>, D::Error> {
    Ok(Option::<Pairs>::deserialize(d)?.map(|pairs| match pairs {
        Pairs::Map(map) => map,
        Pairs::List(list) => list.into_iter().map(|p| (p.key, p.value)).collect(),
    }))
}

fn pairs<'de, D: serde::Deserializer<'de>>(d: D) -> Result<BTreeMap<String, Option<String>>, D::Error> {
    Ok(maybe_pairs(d)?.unwrap_or_default())
}

/// A data file of the table.
#[derive(Clone, Debug)]
pub struct DataFile {
    /// Relative to the table's folder.
    pub path: String,
    pub partition_values: BTreeMap<String, Option<String>>,
    pub bytes: u64,
    pub rows: u64,
    pub modified_at_ms: i64,
    pub stats: Option<String>,
}

/// A table at one version.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub version: i64,
    /// The `txn` actions: how far each source partition was read, and the counts beside it.
    pub positions: BTreeMap<String, i64>,
    /// Data files by path.
    pub files: HashMap<String, DataFile>,
    pub configuration: BTreeMap<String, String>,
    /// Why this version of Tokentrail cannot read the table, if so.
    pub unreadable: Option<String>,
}

impl State {
    /// Rows of all files.
    pub fn rows(&self) -> u64 {
        self.files.values().map(|file| file.rows).sum()
    }

    /// Applies the lines of one commit or checkpoint.
    ///
    /// # Errors
    /// The text of the line that is no action.
    pub fn apply(&mut self, lines: &[u8]) -> Result<(), String> {
        for line in lines.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            let line: Line = serde_json::from_slice(line)
                .map_err(|e| format!("{e}: {}", String::from_utf8_lossy(&line[..line.len().min(200)])))?;
            self.apply_line(line);
        }
        Ok(())
    }

    fn apply_line(&mut self, line: Line) {
        if let Some(txn) = line.txn {
            self.positions.insert(txn.app_id, txn.version);
        }
        if let Some(add) = line.add {
            if add.deletion_vector.is_some() {
                self.unreadable = Some("files with deletion vectors".into());
            }
            self.files.insert(add.path.clone(), DataFile::from(add));
        }
        if let Some(remove) = line.remove {
            self.files.remove(&remove.path);
        }
        if let Some(metadata) = line.metadata {
            self.configuration = metadata.configuration.into_iter().filter_map(|(k, v)| Some((k, v?))).collect();
        }
        if let Some(protocol) = line.protocol {
            self.unreadable = unsupported(&protocol);
        }
    }
}

/// Reader and writer versions and features beyond what appending and scanning here know about.
fn unsupported(protocol: &Protocol) -> Option<String> {
    const KNOWN: &[&str] = &["timestampNtz", "appendOnly", "invariants"];
    let features = protocol.reader_features.iter().chain(&protocol.writer_features).flatten();
    let unknown: Vec<_> = features.filter(|f| !KNOWN.contains(&f.as_str())).map(String::as_str).collect();
    let (reader, writer) = (protocol.min_reader_version, protocol.min_writer_version);
    if reader > 3 || writer > 7 || !unknown.is_empty() {
        return Some(format!("Delta protocol {reader}/{writer} {}", unknown.join(", ")));
    }
    None
}

/// How many rows a file's statistics state; 0 if they do not.
pub(super) fn rows_of(stats: &str) -> u64 {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Stats {
        num_records: Option<u64>,
    }
    // As it is written here the number comes first, and the rest need not be looked at.
    let digits = stats.strip_prefix("{\"numRecords\":").and_then(|rest| rest.split([',', '}']).next());
    let whole = || serde_json::from_str::<Stats>(stats).ok().and_then(|stats| stats.num_records);
    digits.and_then(|digits| digits.parse().ok()).or_else(whole).unwrap_or(0)
}

impl DataFile {
    /// Its value in a partition column, if it has one.
    pub fn partition(&self, column: &str) -> Option<&str> {
        self.partition_values.get(column)?.as_deref()
    }

    /// The greatest value of a column, as the statistics spell it; of a time up to a millisecond more. `None`: not stated.
    pub fn greatest(&self, column: &str) -> Option<String> {
        let stats: Value = serde_json::from_str(self.stats.as_deref()?).ok()?;
        stats.get("maxValues")?.get(column)?.as_str().map(str::to_owned)
    }
}

impl From<Add> for DataFile {
    fn from(add: Add) -> Self {
        Self {
            path: add.path,
            partition_values: add.partition_values,
            bytes: add.size.max(0) as u64,
            rows: add.stats.as_deref().map_or(0, rows_of),
            modified_at_ms: add.modification_time,
            stats: add.stats,
        }
    }
}
