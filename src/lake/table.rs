//! One Delta table: its present state, and commits that are made on exactly the state they were checked against.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use deltalake::DeltaTableBuilder;
use deltalake::kernel::transaction::TransactionError;
use deltalake::kernel::{ArrayType, DataType, PrimitiveType, StructField, StructType};
use deltalake::logstore::{CommitOrBytes, LogStoreRef};
use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use serde_json::json;
use tokio::sync::Mutex;
use url::Url;
use uuid::Uuid;

pub use super::log::State;
use super::log::{Add, Line, Remove, Txn};
use super::{FORMAT, LakeError, checkpoint};
use crate::clock;

/// What a table is made of.
#[derive(Clone, Debug)]
pub struct TableSpec {
    /// Folder under the lake.
    pub name: &'static str,
    /// All columns; the partition columns last.
    pub schema: SchemaRef,
    pub partition_columns: Vec<&'static str>,
    /// Columns whose minimum and maximum may stand in the log.
    pub statistics: &'static [&'static str],
}

/// A Delta table, shared by everything in this process that reads or writes it.
#[derive(Clone)]
pub struct Table {
    url: Url,
    store: LogStoreRef,
    state: Arc<Mutex<Arc<State>>>,
}

/// What one commit does.
#[derive(Debug, Default)]
pub struct Commit {
    /// Delta's name of the operation, for the table's history.
    pub operation: &'static str,
    pub adds: Vec<Add>,
    pub removes: Vec<Remove>,
    /// `txn` actions.
    pub positions: BTreeMap<String, i64>,
}

/// How often a commit is tried again after another writer's came first.
const ATTEMPTS_MAX: u32 = 200;

impl Table {
    /// Opens the table `name` under `lake`; `None` if it is not there.
    pub async fn open(lake: &Url, name: &str) -> Result<Option<Self>, LakeError> {
        let url = lake.join(&format!("{name}/")).map_err(|e| LakeError::Location(lake.to_string(), e.to_string()))?;
        let store = DeltaTableBuilder::from_url(url.clone())
            .and_then(|b| b.build_storage())
            .map_err(|cause| LakeError::Delta { doing: format!("opening {url}"), cause })?;
        let table = Self { url, store, state: Arc::default() };
        match table.replay(None).await? {
            Some(state) => {
                *table.state.lock().await = Arc::new(state);
                Ok(Some(table))
            }
            None => Ok(None),
        }
    }

    /// Opens the table, making it if it is not there.
    pub async fn open_or_create(lake: &Url, spec: &TableSpec) -> Result<Self, LakeError> {
        if let Some(table) = Self::open(lake, spec.name).await? {
            return Ok(table);
        }
        let location = format!("{lake}{}", spec.name);
        if let Some(folder) = lake.to_file_path().ok().filter(|_| lake.scheme() == "file").map(|f| f.join(spec.name)) {
            let doing = format!("making the folder {}", folder.display());
            std::fs::create_dir_all(&folder).map_err(|cause| LakeError::Io { doing, cause })?;
        }
        let url =
            Url::parse(&format!("{location}/")).map_err(|e| LakeError::Location(location.clone(), e.to_string()))?;
        let store = DeltaTableBuilder::from_url(url.clone())
            .and_then(|b| b.build_storage())
            .map_err(|cause| LakeError::Delta { doing: format!("opening {url}"), cause })?;
        let first = CommitOrBytes::LogBytes(first_commit(spec)?);
        match store.write_commit_entry(0, first, Uuid::new_v4()).await {
            // Another process may have made it first: then it is there to be opened.
            Ok(()) | Err(TransactionError::VersionAlreadyExists(_)) => {}
            Err(TransactionError::ObjectStore { source: cause }) => {
                return Err(LakeError::Storage { doing: format!("making {location}"), cause });
            }
            Err(other) => return Err(LakeError::Log(location, other.to_string())),
        }
        Self::open(lake, spec.name).await?.ok_or(LakeError::Missing(location))
    }

    /// The table's folder.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Object store whose root is the table's folder.
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        self.store.object_store(None)
    }

    /// Deltalake's own handle, for what it does better than we would.
    pub(super) fn log_store(&self) -> &LogStoreRef {
        &self.store
    }

    /// Object store of the whole file system or bucket, with the URL DataFusion knows it by.
    pub fn root_store(&self) -> (Arc<dyn ObjectStore>, Url) {
        let mut root = self.url.clone();
        root.set_path("/");
        (self.store.root_object_store(None), root)
    }

    /// The state as last seen by this process.
    pub async fn state(&self) -> Arc<State> {
        self.state.lock().await.clone()
    }

    /// The newest state: reads the commits made since the last look.
    pub async fn refresh(&self) -> Result<Arc<State>, LakeError> {
        let mut state = self.state.lock().await;
        while let Some(lines) = self.commit_entry(state.version + 1).await? {
            // Readers hold on to the old state; a sole owner is changed in place.
            let next = Arc::make_mut(&mut state);
            next.apply(&lines).map_err(|e| LakeError::Log(self.url.to_string(), e))?;
            next.version += 1;
        }
        readable(&self.url, &state)?;
        Ok(state.clone())
    }

    /// The state at a past version; `None` if the log does not reach back to it.
    pub async fn at(&self, version: i64) -> Result<Option<Arc<State>>, LakeError> {
        Ok(self.replay(Some(version)).await?.filter(|s| s.version == version).map(Arc::new))
    }

    /// Files that commits after `version` brought new rows in; `None` if the log does not reach back to it.
    pub async fn added_since(&self, version: i64) -> Result<Option<Vec<super::log::DataFile>>, LakeError> {
        let until = self.refresh().await?.version;
        self.added_between(version, until).await
    }

    /// Files that the commits after `version`, up to `until`, brought new rows in; `None` if the log does not reach back
    /// to it, or if one of the commits took rows away.
    pub async fn added_between(
        &self,
        version: i64,
        until: i64,
    ) -> Result<Option<Vec<super::log::DataFile>>, LakeError> {
        let mut files = Vec::new();
        for version in version + 1..=until {
            let Some(lines) = self.lines_of(version).await? else { return Ok(None) };
            for line in lines {
                if line.remove.is_some_and(|r| r.data_change) {
                    return Ok(None);
                }
                files.extend(line.add.filter(|a| a.data_change).map(Into::into));
            }
        }
        Ok(Some(files))
    }

    /// Files of `state` that hold every row which commits after `version` brought in, and perhaps older ones: for readers
    /// whose rows say which commit they came with. `None` if the log does not reach back to it, or if rows were taken away.
    ///
    /// What was merged meanwhile is read where it is now: the file it came in may be gone.
    pub async fn brought_since(
        &self,
        version: i64,
        state: &State,
    ) -> Result<Option<Vec<super::log::DataFile>>, LakeError> {
        let mut brought = std::collections::BTreeSet::new();
        for version in version + 1..=state.version {
            let Some(lines) = self.lines_of(version).await? else { return Ok(None) };
            for line in lines {
                if line.remove.is_some_and(|r| r.data_change) {
                    return Ok(None);
                }
                brought.extend(line.add.map(|add| add.path));
            }
        }
        Ok(Some(brought.iter().filter_map(|path| state.files.get(path).cloned()).collect()))
    }

    /// What one commit did; `None` if the log does not have it.
    async fn lines_of(&self, version: i64) -> Result<Option<Vec<Line>>, LakeError> {
        let Some(bytes) = self.commit_entry(version).await? else { return Ok(None) };
        let lines = bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(serde_json::from_slice);
        lines.collect::<Result<_, _>>().map(Some).map_err(|e| LakeError::Log(self.url.to_string(), e.to_string()))
    }

    /// Makes a commit on exactly the state that `prepare` accepts, trying again whenever another commit came first.
    ///
    /// `prepare` sees the newest state, may change the commit to fit it, and may give up with its own answer.
    pub async fn commit<E>(
        &self,
        mut commit: Commit,
        mut prepare: impl FnMut(&State, &mut Commit) -> Result<(), E>,
    ) -> Result<Result<i64, E>, LakeError> {
        for attempt in 0..ATTEMPTS_MAX {
            let state = self.refresh().await?;
            if let Err(refusal) = prepare(&state, &mut commit) {
                return Ok(Err(refusal));
            }
            let version = state.version + 1;
            drop(state);
            let lines = CommitOrBytes::LogBytes(lines(&commit)?);
            match self.store.write_commit_entry(version as u64, lines, Uuid::new_v4()).await {
                Ok(()) => {
                    self.sync_log_entry(version);
                    return Ok(Ok(version));
                }
                Err(TransactionError::VersionAlreadyExists(_)) => {
                    tokio::time::sleep(std::time::Duration::from_millis(u64::from(attempt.min(20)))).await;
                }
                Err(TransactionError::ObjectStore { source: cause }) => {
                    return Err(LakeError::Storage { doing: format!("committing to {}", self.url), cause });
                }
                Err(other) => return Err(LakeError::Log(self.url.to_string(), other.to_string())),
            }
        }
        Err(LakeError::Contended(self.url.to_string(), ATTEMPTS_MAX))
    }

    /// Appends batches as one file (tables other than `events`).
    pub async fn append(&self, batch: RecordBatch) -> Result<i64, LakeError> {
        let adds = vec![super::writer::write_plain(self, batch).await?];
        let commit = Commit { operation: "WRITE", adds, ..Commit::default() };
        match self.commit(commit, |_, _| Ok::<(), std::convert::Infallible>(())).await? {
            Ok(version) => Ok(version),
            Err(never) => match never {},
        }
    }

    async fn commit_entry(&self, version: i64) -> Result<Option<Bytes>, LakeError> {
        self.store
            .read_commit_entry(version as u64)
            .await
            .map_err(|cause| LakeError::Delta { doing: format!("reading version {version} of {}", self.url), cause })
    }

    /// Local files are not synced by the object store; a log entry that outlives a power cut must be whole.
    fn sync_log_entry(&self, version: i64) {
        if self.url.scheme() == "file"
            && let Ok(folder) = self.url.to_file_path()
        {
            let log = folder.join("_delta_log");
            for path in [log.join(format!("{version:020}.json")), log] {
                if let Err(error) = std::fs::File::open(&path).and_then(|f| f.sync_all()) {
                    tracing::warn!(path = %path.display(), %error, "log entry is committed but may not survive a power cut");
                }
            }
        }
    }

    /// State from the newest checkpoint (at or before `until`) and the commits after it.
    async fn replay(&self, until: Option<i64>) -> Result<Option<State>, LakeError> {
        let log = Path::from("_delta_log");
        let doing = || format!("listing the log of {}", self.url);
        let listed: Vec<_> = match self.store().list(Some(&log)).try_collect().await {
            Ok(listed) => listed,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(cause) => return Err(LakeError::Storage { doing: doing(), cause }),
        };
        let until = until.unwrap_or(i64::MAX);
        let versions = |suffix: &str| -> Option<(i64, Path)> {
            let of = |name: &str| name.strip_suffix(suffix).filter(|v| v.len() == 20)?.parse::<i64>().ok();
            listed
                .iter()
                .filter_map(|m| Some((of(m.location.filename()?)?, m.location.clone())))
                .filter(|(v, _)| *v <= until)
                .max()
        };
        let mut state = State { version: -1, ..State::default() };
        if let Some((version, path)) = versions(".checkpoint.parquet") {
            let bytes = self.store().get(&path).await.map_err(|cause| LakeError::Storage { doing: doing(), cause })?;
            let bytes = bytes.bytes().await.map_err(|cause| LakeError::Storage { doing: doing(), cause })?;
            checkpoint::take_up(&mut state, bytes, self.url.as_str())?;
            state.version = version;
        }
        let Some((newest, _)) = versions(".json") else { return Ok((state.version >= 0).then_some(state)) };
        while state.version < newest {
            let Some(lines) = self.commit_entry(state.version + 1).await? else {
                return Err(LakeError::Log(self.url.to_string(), format!("version {} is missing", state.version + 1)));
            };
            state.apply(&lines).map_err(|e| LakeError::Log(self.url.to_string(), e))?;
            state.version += 1;
        }
        readable(&self.url, &state)?;
        Ok(Some(state))
    }
}

/// The store that holds a folder, and the folder's path in it.
pub(super) fn place(folder: &Url) -> Result<(Arc<dyn ObjectStore>, Path), LakeError> {
    let wrong = |e: &dyn std::fmt::Display| LakeError::Location(folder.to_string(), e.to_string());
    let store = DeltaTableBuilder::from_url(folder.clone()).and_then(|b| b.build_storage()).map_err(|e| wrong(&e))?;
    Ok((store.root_object_store(None), Path::from_url_path(folder.path()).map_err(|e| wrong(&e))?))
}

fn readable(url: &Url, state: &State) -> Result<(), LakeError> {
    let format = state.configuration.get("tokentrail.format").and_then(|f| f.parse::<u32>().ok()).unwrap_or(FORMAT);
    let newer = |found: String| LakeError::Newer { uri: url.to_string(), found, known: format!("format {FORMAT}") };
    match &state.unreadable {
        Some(what) => Err(newer(what.clone())),
        None if format > FORMAT => Err(newer(format!("format {format}"))),
        None => Ok(()),
    }
}

/// Version 0: protocol and metadata. Reader version 1 and writer version 2 are what every Delta reader knows.
fn first_commit(spec: &TableSpec) -> Result<Bytes, LakeError> {
    let unfit = |e: &dyn std::fmt::Display| LakeError::Log(spec.name.into(), e.to_string());
    let fields = spec.schema.fields().iter().map(|f| StructField::nullable(f.name(), delta_type(f.data_type())));
    let schema = StructType::try_new(fields).map_err(|e| unfit(&e))?;
    let now_ms = clock::now_micros() / 1000;
    let lines = [
        json!({"commitInfo": {"timestamp": now_ms, "operation": "CREATE TABLE", "engineInfo": ENGINE}}),
        json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}),
        json!({"metaData": {
            "id": Uuid::new_v4(), "name": spec.name, "format": {"provider": "parquet", "options": {}}, "createdTime": now_ms,
            "schemaString": serde_json::to_string(&schema).map_err(|e| unfit(&e))?,
            "partitionColumns": spec.partition_columns,
            "configuration": {
                "tokentrail.format": FORMAT.to_string(),
                "delta.dataSkippingStatsColumns": spec.statistics.join(","),
                // Maintenance cleans the log; other writers should not list it after each commit.
                "delta.enableExpiredLogCleanup": "false",
            },
        }}),
    ];
    Ok(lines.map(|line| line.to_string()).join("\n").into())
}

const ENGINE: &str = concat!("tokentrail/", env!("CARGO_PKG_VERSION"));

/// A commit as the lines of a log entry.
fn lines(commit: &Commit) -> Result<Bytes, LakeError> {
    let now_ms = clock::now_micros() / 1000;
    let info = json!({
        "timestamp": now_ms, "operation": commit.operation, "operationParameters": {"mode": "Append"},
        "isBlindAppend": commit.removes.is_empty(), "engineInfo": ENGINE,
    });
    let mut lines = vec![Line { commit_info: Some(info), ..Line::default() }];
    let txn = |(app_id, version): (&String, &i64)| Txn {
        app_id: app_id.clone(),
        version: *version,
        last_updated: Some(now_ms),
    };
    lines.extend(commit.positions.iter().map(|p| Line { txn: Some(txn(p)), ..Line::default() }));
    lines.extend(commit.removes.iter().map(|r| Line { remove: Some(r.clone()), ..Line::default() }));
    lines.extend(commit.adds.iter().map(|a| Line { add: Some(a.clone()), ..Line::default() }));
    let mut bytes = Vec::new();
    for line in &lines {
        serde_json::to_writer(&mut bytes, line).map_err(|e| LakeError::Log("commit".into(), e.to_string()))?;
        bytes.push(b'\n');
    }
    Ok(bytes.into())
}

fn delta_type(data_type: &arrow::datatypes::DataType) -> DataType {
    use arrow::datatypes::DataType as Arrow;
    match data_type {
        Arrow::Timestamp(..) => DataType::Primitive(PrimitiveType::Timestamp),
        Arrow::Int32 => DataType::Primitive(PrimitiveType::Integer),
        Arrow::Int64 => DataType::Primitive(PrimitiveType::Long),
        Arrow::Boolean => DataType::Primitive(PrimitiveType::Boolean),
        Arrow::Date32 => DataType::Primitive(PrimitiveType::Date),
        Arrow::Binary | Arrow::BinaryView => DataType::Primitive(PrimitiveType::Binary),
        Arrow::List(_) => DataType::Array(Box::new(ArrayType::new(DataType::Primitive(PrimitiveType::String), true))),
        _ => DataType::Primitive(PrimitiveType::String),
    }
}
