//! What the tests share: a lake in a temporary folder, the program, and a plain reading of what a lake holds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int32Type, Int64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;
use tokentrail::ingest::{self, Options, Progress, Summary};
use tokentrail::lake::Lake;
use tokentrail::source::Source;
use tokentrail::source::memory::MemorySource;
use tokio::sync::watch;

/// A lake that goes away with the test.
pub struct TempLake {
    folder: TempDir,
}

impl TempLake {
    pub fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn uri(&self) -> String {
        self.path("lake").display().to_string()
    }

    pub async fn open(&self) -> Lake {
        Lake::open_or_create(&self.uri()).await.unwrap()
    }
}

/// The key of fingerprints of all tests. Without it the program would make one in the home of whoever runs them.
pub const SECRET_KEY: &str = "00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210";

/// The program, with the key of the tests.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tokentrail"));
    command.env_remove("RUST_LOG").env("TOKENTRAIL_SECRET_KEY", SECRET_KEY);
    command
}

/// Runs the program.
pub fn tokentrail(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

/// Runs the program on a lake and reads the one JSON object that it prints.
pub fn ingest_files(lake: &TempLake, files: &[&Path]) -> serde_json::Value {
    let uri = lake.uri();
    let mut arguments = vec!["--lake", &uri, "-o", "json", "ingest", "--from"];
    arguments.extend(files.iter().map(|f| f.to_str().unwrap()));
    let output = tokentrail(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A stop signal that never comes, and a listener for progress.
pub fn unstopped() -> (watch::Sender<bool>, watch::Receiver<bool>, watch::Sender<Progress>) {
    let (stop, stopped) = watch::channel(false);
    (stop, stopped, watch::channel(Progress::default()).0)
}

pub async fn ingest(lake: &Lake, source: &mut dyn Source, options: &Options) -> Summary {
    let (_stop, stopped, progress) = unstopped();
    ingest::run(lake, source, options, stopped, &progress).await.unwrap()
}

/// Ingests partitions of records from memory, from where the lake stands.
pub async fn ingest_memory(
    lake: &Lake,
    partitions: Vec<Vec<Option<Vec<u8>>>>,
    options: &Options,
    chunk: usize,
) -> Summary {
    let state = lake.events().refresh().await.unwrap();
    let mut source = MemorySource::new("records", partitions, |id| state.positions.get(&id.app_id()?).copied());
    source = source.with_chunk_records(chunk);
    ingest(lake, &mut source, options).await
}

/// A native record.
pub fn record(number: u64) -> Vec<u8> {
    let (day, token) = (1 + number % 28, number % 97);
    format!(
        r#"{{"event_id":"e{number}","event_time":"2026-10-{day:02}T08:00:00Z","action":"refresh","token":{{"id":"t{token}","family":"f{token}"}},"subject":{{"id":"u{}@example.com"}}}}"#,
        number % 31
    )
    .into_bytes()
}

/// One row as it stands in the data files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub record_index: i32,
    pub class: String,
    pub event_id: Option<String>,
    pub reject_reason: Option<String>,
}

/// Every row of the newest version, read from the data files without any of our own code.
pub async fn rows(lake: &Lake) -> Vec<Row> {
    let state = lake.events().refresh().await.unwrap();
    let root = lake.events().url().to_file_path().unwrap();
    let mut rows = Vec::new();
    for file in state.files.values() {
        let class = file.partition_values["class"].clone().unwrap();
        let opened = std::fs::File::open(root.join(&file.path)).unwrap();
        let mut count = 0;
        for batch in ParquetRecordBatchReaderBuilder::try_new(opened).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            let text = |name: &str| {
                arrow::compute::cast(batch.column_by_name(name).unwrap(), &arrow::datatypes::DataType::Utf8).unwrap()
            };
            let (topics, ids, reasons) = (text("topic"), text("event_id"), text("reject_reason"));
            let value = |array: &arrow::array::ArrayRef, i: usize| {
                array.is_valid(i).then(|| array.as_string::<i32>().value(i).to_owned())
            };
            for i in 0..batch.num_rows() {
                rows.push(Row {
                    topic: value(&topics, i).unwrap(),
                    partition: batch.column_by_name("partition").unwrap().as_primitive::<Int32Type>().value(i),
                    offset: batch.column_by_name("offset").unwrap().as_primitive::<Int64Type>().value(i),
                    record_index: batch.column_by_name("record_index").unwrap().as_primitive::<Int32Type>().value(i),
                    class: class.clone(),
                    event_id: value(&ids, i),
                    reject_reason: value(&reasons, i),
                });
                count += 1;
            }
        }
        assert_eq!(count, file.rows, "the log and {} disagree", file.path);
    }
    rows.sort();
    rows
}

/// Invariant 1: positions are unique, and per partition rows, repeats, skips and missing offsets tile what was read.
pub async fn assert_tiled(lake: &Lake, expected_ends: &BTreeMap<String, i64>) -> Vec<Row> {
    let rows = rows(lake).await;
    let positions = &lake.events().state().await.positions;
    let unique: BTreeSet<_> = rows.iter().map(|r| (&r.topic, r.partition, r.offset, r.record_index)).collect();
    assert_eq!(unique.len(), rows.len(), "a position stands in the lake twice");
    for (app_id, end) in expected_ends {
        let counted = |what: &str| positions.get(&format!("{app_id}#{what}")).copied().unwrap_or(0);
        assert_eq!(positions.get(app_id), Some(end), "{app_id} was not read to its end");
        let stored: BTreeSet<_> = rows
            .iter()
            .filter(|r| app_id.ends_with(&format!(":{}/{}", r.topic, r.partition)))
            .map(|r| r.offset)
            .collect();
        let accounted = stored.len() as i64 + counted("repeats") + counted("skips") + counted("missing");
        assert_eq!(accounted, end - counted("first"), "{app_id}: records are lost or counted twice");
        assert!(stored.iter().all(|o| (counted("first")..*end).contains(o)));
    }
    rows
}
