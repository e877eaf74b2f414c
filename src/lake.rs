//! The lake: a folder of Delta tables, of which `events` holds every record and how far each source was read.
//!
//! Rows and positions go into one commit, so a crash can neither lose nor repeat a record. Delta, because DuckDB,
//! Polars, Spark and Trino read it as it is. This module is the only one that knows the `deltalake` crate.

mod checkpoint;
pub mod keys;
pub mod log;
pub mod lookup;
pub mod maintenance;
mod merge;
pub mod plain;
pub mod scan;
pub mod table;
pub mod writer;

use std::collections::BTreeMap;
use std::path::PathBuf;

use object_store::ObjectStoreExt as _;
use thiserror::Error;
use url::Url;

use crate::event::columns::TABLE_SCHEMA;
use crate::event::encoder::Rows;
use table::{Commit, State, Table, TableSpec};

/// What can go wrong with the lake, by what the caller does about it.
#[derive(Debug, Error)]
pub enum LakeError {
    #[error("no lake at {0}: `tokentrail ingest` makes one; --lake names another")]
    Missing(String),
    #[error("{0} is not a place for a lake: {1}")]
    Location(String, String),
    #[error(
        "the lake at {uri} was written by a newer version ({found}; this one reads up to {known}): upgrade tokentrail"
    )]
    Newer { uri: String, found: String, known: String },
    #[error("{doing} failed: {cause}")]
    Storage { doing: String, cause: object_store::Error },
    #[error("{doing} failed: {cause}")]
    Io { doing: String, cause: std::io::Error },
    #[error("{doing} failed: {cause}")]
    Delta { doing: String, cause: deltalake::DeltaTableError },
    #[error("the log of {0} cannot be read: {1}")]
    Log(String, String),
    #[error(
        "the secrets in the lake at {uri} are known by fingerprints of the key {theirs}, and this is the key {ours}: \
         give the other one, or add --rotate-secret-key if this one replaces it from now on"
    )]
    Key { uri: String, theirs: String, ours: String },
    #[error("rows could not be encoded: {0}")]
    Encode(#[from] arrow::error::ArrowError),
    #[error("a data file could not be written: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    #[error("the table at {0} changed {1} times while this commit was tried: too many writers at once")]
    Contended(String, u32),
}

/// How far a batch reads on in one source partition: from `from` (what the lake held) to `to`, both next offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advance {
    /// Names the source partition; see [`crate::source::SourceId`].
    pub app_id: String,
    pub from: i64,
    pub to: i64,
    /// Records of this batch that were not stored because the lake has them.
    pub repeats: u64,
    /// Empty lines and tombstones in this batch.
    pub skips: u64,
    /// Offsets in the range that held no record.
    pub missing: u64,
}

/// Where a batch leaves its sources.
#[derive(Clone, Copy, Debug)]
pub struct Reached<'a> {
    pub advances: &'a [Advance],
    /// More to keep beside the positions, such as the hash of a file's prefix.
    pub marks: &'a BTreeMap<String, i64>,
}

/// What became of a batch.
#[derive(Debug, PartialEq, Eq)]
pub enum Appended {
    /// Rows and positions stand in this version.
    Committed(i64),
    /// The lake's position of these source partitions is not where the batch began: somebody else read them, or this
    /// process was replaced. Nothing was written; the rows of these partitions are to be dropped and read again.
    Refused(Vec<String>),
}

/// A lake, open for reading and appending.
#[derive(Clone)]
pub struct Lake {
    uri: Url,
    events: Table,
}

/// Format number of what this version writes, kept as a table property.
pub const FORMAT: u32 = 1;

impl Lake {
    /// Opens the lake at `uri` (a path, or a URL such as `s3://bucket/prefix`).
    ///
    /// # Errors
    /// [`LakeError::Missing`] if there is none, [`LakeError::Newer`] if a later version wrote it.
    pub async fn open(uri: &str) -> Result<Self, LakeError> {
        let url = locate(uri)?;
        let events = Table::open(&url, "events").await?.ok_or_else(|| LakeError::Missing(uri.to_owned()))?;
        Ok(Self { uri: url, events })
    }

    /// Opens the lake at `uri`, making it if there is none.
    pub async fn open_or_create(uri: &str) -> Result<Self, LakeError> {
        let url = locate(uri)?;
        let events = Table::open_or_create(&url, &events_spec()).await?;
        Ok(Self { uri: url, events })
    }

    /// Whether something can be put at `uri` and deleted again; a folder that is made for it is taken away.
    ///
    /// # Errors
    /// [`LakeError::Location`], or what the store says.
    pub async fn try_writing(uri: &str) -> Result<(), LakeError> {
        let url = locate(uri)?;
        let (store, folder) = table::place(&url)?;
        let doing = |what: &str| format!("{what} a file in {uri}");
        let path = folder.join(format!("try-{}", uuid::Uuid::new_v4().simple()));
        let local = url.to_file_path().ok().filter(|_| url.scheme() == "file");
        let was_there = local.as_ref().is_none_or(|folder| folder.exists());
        let put = store.put(&path, Vec::new().into()).await;
        put.map_err(|cause| LakeError::Storage { doing: doing("writing"), cause })?;
        let deleted = store.delete(&path).await;
        deleted.map_err(|cause| LakeError::Storage { doing: doing("deleting"), cause })?;
        if let Some(folder) = local.filter(|_| !was_there) {
            let _ = std::fs::remove_dir(folder); // an empty folder does no harm
        }
        Ok(())
    }

    /// The `events` table.
    pub fn events(&self) -> &Table {
        &self.events
    }

    /// The folder that holds the tables.
    pub fn uri(&self) -> &Url {
        &self.uri
    }

    /// Another table of this lake, made if it is not there.
    pub async fn table(&self, spec: &TableSpec) -> Result<Table, LakeError> {
        Table::open_or_create(&self.uri, spec).await
    }

    /// How far a source partition was read: the next offset, or `None` if never.
    pub async fn position(&self, app_id: &str) -> Result<Option<i64>, LakeError> {
        Ok(self.events.refresh().await?.positions.get(app_id).copied())
    }

    /// Appends rows and moves the positions in one commit.
    ///
    /// The commit is made on exactly the version whose positions were checked: if another commit comes first, the
    /// positions are read and checked again, so a process that lost its partitions cannot write, however late it wakes.
    pub async fn append(
        &self,
        batches: &[Rows],
        keep: &[Vec<u32>],
        reached: &Reached<'_>,
    ) -> Result<Appended, LakeError> {
        let advances = reached.advances;
        let check = |state: &State| -> Vec<String> {
            // A source partition that was never read may be taken up at any offset.
            let stale = |a: &&Advance| state.positions.get(&a.app_id).is_some_and(|position| *position != a.from);
            advances.iter().filter(stale).map(|a| a.app_id.clone()).collect()
        };
        let stale = check(&*self.events.refresh().await?);
        if !stale.is_empty() {
            return Ok(Appended::Refused(stale));
        }
        let adds = writer::write(&self.events, batches, keep).await?;
        let commit = Commit { operation: "WRITE", adds, ..Commit::default() };
        self.events
            .commit(commit, |state, commit| {
                let stale = check(state);
                if !stale.is_empty() {
                    return Err(stale);
                }
                commit.positions = advances.iter().flat_map(|a| positions(state, a)).collect();
                commit.positions.extend(reached.marks.iter().map(|(name, value)| (name.clone(), *value)));
                Ok(())
            })
            .await
            .map(|result| match result {
                Ok(version) => Appended::Committed(version),
                Err(stale) => Appended::Refused(stale),
            })
    }
}

/// The `txn` actions of one advance: the position itself, where reading began, and what was read but not stored.
fn positions(state: &State, advance: &Advance) -> BTreeMap<String, i64> {
    let mut set = BTreeMap::from([(advance.app_id.clone(), advance.to)]);
    if !state.positions.contains_key(&advance.app_id) {
        set.insert(format!("{}#first", advance.app_id), advance.from);
    }
    for (name, count) in [("repeats", advance.repeats), ("skips", advance.skips), ("missing", advance.missing)] {
        let name = format!("{}#{name}", advance.app_id);
        if count > 0 {
            let before = state.positions.get(&name).copied().unwrap_or(0);
            set.insert(name, before + i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
    set
}

fn events_spec() -> TableSpec {
    TableSpec {
        name: "events",
        schema: TABLE_SCHEMA.clone(),
        partition_columns: vec![crate::event::columns::CLASS, crate::event::columns::EVENT_DATE],
        // Personal ids and addresses must not stand in the log: what is erased from the data would live on there.
        statistics: &["event_time", "received_at", "partition", "offset"],
    }
}

/// A path or URL as the URL of a folder.
fn locate(uri: &str) -> Result<Url, LakeError> {
    let wrong = |why: &dyn std::fmt::Display| LakeError::Location(uri.to_owned(), why.to_string());
    if let Some((scheme, _)) = uri.split_once("://") {
        if scheme != "file" && !cfg!(feature = "s3") {
            return Err(wrong(&format!(
                "this build reads only the file system; `cargo build --release --features s3` adds {scheme}://"
            )));
        }
        let mut url = Url::parse(uri).map_err(|e| wrong(&e))?;
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        return Ok(url);
    }
    let path = std::path::absolute(PathBuf::from(uri)).map_err(|e| wrong(&e))?;
    if path.is_file() {
        return Err(wrong(&"it is a file"));
    }
    Url::from_directory_path(&path).map_err(|()| wrong(&"it is no absolute path"))
}
