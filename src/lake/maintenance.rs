//! Keeping the lake quick beside live appends: small files become large ones, the log gets checkpoints.
//!
//! Compaction never changes which rows there are, so its commits say `dataChange: false` and no reader of changes sees
//! a row twice. Every attempt to commit checks again that the files it replaces are still there: of two compactions
//! of the same files one gives up, instead of doubling the rows (Delta's own conflict check would let both through).

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use bytes::Bytes;
use object_store::ObjectStoreExt as _;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::log::{Add, DataFile, Remove};
use super::table::{Commit, State, Table};
use super::{LakeError, merge, writer};
use crate::clock;
use crate::event::encoder::Rows;

/// Files below this size are worth merging.
const SMALL_BYTES: u64 = 32 << 20;
/// A partition is compacted when it has at least this many small files.
const SMALL_FILES_MIN: usize = 8;
/// Most bytes (compressed) read for one new file.
const INPUT_BYTES_MAX: u64 = 64 << 20;
/// Most rows of all files that are decoded at once, a page of each: this bounds the memory of a compaction, for a row takes
/// a kilobyte.
const DECODED_ROWS_MAX: u64 = 65_536;
/// How often what was merged is looked at again, to be merged further.
const PASSES_MAX: usize = 8;

/// What one run of maintenance did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    pub files_before: usize,
    pub files_after: usize,
    pub rows: u64,
}

/// Merges the small files of every partition that has many. `min_files` replaces the usual threshold, and then all small
/// files of a partition are merged; without it, only files of about the same size: so a row is written again whenever its
/// file has grown by half, and not with every run.
pub async fn compact(table: &Table, min_files: Option<usize>) -> Result<Compacted, LakeError> {
    let mut done = Compacted::default();
    for _ in 0..PASSES_MAX {
        let state = table.refresh().await?;
        let groups = candidates(&state, min_files.unwrap_or(SMALL_FILES_MIN), min_files.is_none());
        if groups.is_empty() {
            break;
        }
        for files in groups {
            let rows: u64 = files.iter().map(|f| f.rows).sum();
            if replace(table, &files).await? {
                done.files_before += files.len();
                done.files_after += 1;
                done.rows += rows;
            }
        }
    }
    Ok(done)
}

/// What runs beside live appends: compaction where it is due, then a checkpoint.
pub async fn maintain(table: &Table) -> Result<Compacted, LakeError> {
    let compacted = compact(table, None).await?;
    checkpoint(table).await?;
    Ok(compacted)
}

/// Groups of small files of one partition, each small enough to be merged; `alike`: of about the same size.
fn candidates(state: &State, min_files: usize, alike: bool) -> Vec<Vec<DataFile>> {
    let mut partitions: BTreeMap<_, Vec<&DataFile>> = BTreeMap::new();
    for file in state.files.values().filter(|f| f.bytes < SMALL_BYTES) {
        partitions.entry(&file.partition_values).or_default().push(file);
    }
    let least = min_files.max(2);
    let mut groups = Vec::new();
    for mut files in partitions.into_values() {
        files.sort_by(|a, b| (a.bytes, &a.path).cmp(&(b.bytes, &b.path)));
        let mut group: Vec<DataFile> = Vec::new();
        for file in files {
            let sum: u64 = group.iter().map(|f| f.bytes).sum();
            let decoded: u64 = group.iter().chain([file]).map(|f| f.rows.min(writer::PAGE_ROWS as u64)).sum();
            let is_full = sum + file.bytes > INPUT_BYTES_MAX || decoded > DECODED_ROWS_MAX;
            if is_full || (alike && is_apart(sum, file.bytes)) {
                groups.push(std::mem::take(&mut group));
            }
            group.push(file.clone());
        }
        groups.push(group);
    }
    groups.retain(|g| g.len() >= least);
    groups
}

/// Whether a file is so much larger than the smaller ones together that merging would mostly write it again.
pub(super) fn is_apart(smaller: u64, bytes: u64) -> bool {
    smaller > 0 && bytes > smaller.saturating_mul(2)
}

/// Rewrites files of one partition as one; `false` if another writer replaced some of them first.
async fn replace(table: &Table, files: &[DataFile]) -> Result<bool, LakeError> {
    let mut inputs = Vec::with_capacity(files.len());
    for file in files {
        let Some(bytes) = bytes(table, file).await? else { return Ok(false) };
        inputs.push(bytes);
    }
    let merged = tokio::task::spawn_blocking(move || merge::sorted(inputs)).await;
    let (bytes, stats) = merged.map_err(|e| LakeError::Log(table.url().to_string(), e.to_string()))??;
    let add = writer::store(table, bytes, files[0].partition_values.clone(), stats, false).await?;
    Ok(exchange(table, "OPTIMIZE", files, vec![add], |_| true).await?.is_some())
}

/// A data file's bytes; `None` if another writer replaced it long ago.
pub(super) async fn bytes(table: &Table, file: &DataFile) -> Result<Option<Bytes>, LakeError> {
    let failed = |cause| LakeError::Storage { doing: format!("reading {}", file.path), cause };
    match table.store().get(&file.path.as_str().into()).await {
        Ok(got) => Ok(Some(got.bytes().await.map_err(failed)?)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(cause) => Err(failed(cause)),
    }
}

/// Commits files in place of others; gives the version, or `None` if another writer replaced some of those first, or
/// `may` says no to the newest state. Unless it is a deletion, these are the same rows in other files.
pub(super) async fn exchange(
    table: &Table,
    operation: &'static str,
    files: &[DataFile],
    adds: Vec<Add>,
    may: impl Fn(&State) -> bool,
) -> Result<Option<i64>, LakeError> {
    let ours: Vec<String> = adds.iter().map(|add| add.path.clone()).collect();
    let now_ms = clock::now_micros() / 1000;
    let removes = files.iter().map(|f| Remove {
        path: f.path.clone(),
        deletion_timestamp: Some(now_ms),
        data_change: operation == "DELETE",
        extended_file_metadata: Some(true),
        partition_values: Some(f.partition_values.clone()),
        size: Some(f.bytes as i64),
    });
    let commit = Commit { operation, adds, removes: removes.collect(), positions: BTreeMap::new() };
    let are_there = |state: &State, commit: &mut Commit| {
        let all_there = commit.removes.iter().all(|r| state.files.contains_key(&r.path));
        if all_there && may(state) { Ok(()) } else { Err(()) }
    };
    let version = table.commit(commit, are_there).await?.ok();
    if version.is_none() {
        // Ours belong to no version; leaving them would only cost space.
        for path in ours {
            let _ = table.store().delete(&path.as_str().into()).await;
        }
    }
    Ok(version)
}

/// The rows of a data file; `None` if another writer replaced it long ago.
pub async fn read(table: &Table, file: &DataFile) -> Result<Option<Vec<RecordBatch>>, LakeError> {
    let Some(bytes) = bytes(table, file).await? else { return Ok(None) };
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, merge::reader_options())?.build()?;
    Ok(Some(reader.collect::<Result<Vec<_>, _>>()?))
}

/// Puts new rows in the place of some of a file; `rest` are the others. Gives the version, or `None` if another writer
/// replaced the file first.
///
/// The file is exchanged as compaction does it: whoever follows the log is told the new rows, and no old one twice.
pub async fn supersede(
    table: &Table,
    file: &DataFile,
    rest: Vec<RecordBatch>,
    rows: &[Rows],
    keep: &[Vec<u32>],
) -> Result<Option<i64>, LakeError> {
    let mut adds = writer::write(table, rows, keep).await?;
    if rest.iter().any(|batch| batch.num_rows() > 0) {
        let (bytes, stats) = merge::unsorted(&rest)?;
        adds.push(writer::store(table, bytes, file.partition_values.clone(), stats, false).await?);
    }
    exchange(table, "WRITE", std::slice::from_ref(file), adds, |_| true).await
}

/// Writes a checkpoint of the newest version, so that opening the table reads no more than the commits after it.
pub async fn checkpoint(table: &Table) -> Result<(), LakeError> {
    let doing = || format!("writing a checkpoint of {}", table.url());
    let mut delta = deltalake::DeltaTable::new(table.log_store().clone());
    delta.load().await.map_err(|cause| LakeError::Delta { doing: doing(), cause })?;
    deltalake::checkpoints::create_checkpoint(&delta, None)
        .await
        .map_err(|cause| LakeError::Delta { doing: doing(), cause })
}
