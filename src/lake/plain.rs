//! Keeping the tables other than `events` small: they have no partitions, rows in no order that matters, and a file more
//! with every commit.
//!
//! Three things grow for ever if nobody looks: small files, rows that nobody needs any more, and what replaced files and
//! old log entries leave behind. Readers that follow a table ([`Table::brought_since`]) read only files of the state
//! they see, so none of this costs them a row.

use arrow::array::{BooleanArray, RecordBatch};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use deltalake::kernel::transaction::CommitProperties;
use deltalake::operations::vacuum::VacuumMode;
use parquet::arrow::arrow_reader::{ArrowPredicateFn, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowFilter};
use parquet::arrow::{ArrowWriter, ProjectionMask};

use super::LakeError;
use super::log::{Add, DataFile};
use super::maintenance::{Compacted, bytes, checkpoint, exchange, is_apart};
use super::table::{State, Table};
use super::writer;

/// Small files are merged from this many on.
pub const FILES_MIN: usize = 32;
/// Most bytes (compressed) read for one new file: bounds the memory of merging. Rows are decoded a few at a time.
const INPUT_BYTES_MAX: u64 = 64 << 20;

/// A file's rows, encoded again; none if no row is left.
struct Encoded {
    bytes: Vec<u8>,
    rows: usize,
    /// How many rows were left out.
    dropped: u64,
}

/// Merges small files where there are at least `files_min` worth it, and then writes a checkpoint.
///
/// # Errors
/// The lake cannot be read or written.
pub async fn compact(table: &Table, schema: &SchemaRef, files_min: usize) -> Result<Compacted, LakeError> {
    let state = table.refresh().await?;
    let files = worth_merging(state.files.values().cloned().collect(), files_min);
    let mut inputs = Vec::with_capacity(files.len());
    for file in &files {
        match bytes(table, file).await? {
            Some(input) => inputs.push(input),
            None => return Ok(Compacted::default()),
        }
    }
    let Some(merged) = encode(table, schema, inputs, |batch| Ok(all_of(batch))).await? else {
        return Ok(Compacted::default());
    };
    let rows = merged.rows as u64;
    let add = store(table, merged, false).await?;
    if exchange(table, "OPTIMIZE", &files, vec![add], |_| true).await?.is_none() {
        return Ok(Compacted::default());
    }
    checkpoint(table).await?;
    Ok(Compacted { files_before: files.len(), files_after: 1, rows })
}

/// Takes the rows away for which `keeps` says no, all in one commit on exactly `state`, and gives their number; `None` if
/// another commit came first, so that what was decided may not hold any more.
///
/// In one commit, because rows may be about each other: what is told by two of them must not be told by one.
///
/// # Errors
/// The lake cannot be read or written.
pub async fn thin(
    table: &Table,
    state: &State,
    schema: &SchemaRef,
    keeps: impl Fn(&RecordBatch) -> Result<BooleanArray, LakeError> + Clone + Send + 'static,
) -> Result<Option<u64>, LakeError> {
    let (mut replaced, mut adds, mut dropped) = (Vec::new(), Vec::new(), 0);
    for file in state.files.values() {
        let Some(input) = bytes(table, file).await? else { return Ok(None) };
        match encode(table, schema, vec![input], keeps.clone()).await? {
            Some(kept) if kept.dropped == 0 => continue,
            Some(kept) => {
                dropped += kept.dropped;
                adds.push(store(table, kept, true).await?);
            }
            None => dropped += file.rows,
        }
        replaced.push(file.clone());
    }
    if replaced.is_empty() {
        return Ok(Some(0));
    }
    let is_still = |now: &State| now.version == state.version;
    if exchange(table, "DELETE", &replaced, adds, is_still).await?.is_none() {
        return Ok(None);
    }
    checkpoint(table).await?;
    Ok(Some(dropped))
}

/// The rows for which `keeps` says yes, looking at one column, and of them some columns in the order of `schema`: file by
/// file, and of pages without such a row only that one column.
///
/// # Errors
/// The lake cannot be read.
pub async fn matching(
    table: &Table,
    schema: &SchemaRef,
    columns: &[&str],
    (column, keeps): (&str, impl Fn(&RecordBatch) -> BooleanArray + Clone + Send + 'static),
) -> Result<Vec<RecordBatch>, LakeError> {
    let mut found = Vec::new();
    for file in table.refresh().await?.files.values() {
        let missing = || LakeError::Log(table.url().to_string(), format!("{} is missing", file.path));
        let input = bytes(table, file).await?.ok_or_else(missing)?;
        let options = ArrowReaderOptions::new().with_schema(schema.clone());
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(input, options)?;
        let mask = |names: &[&str]| ProjectionMask::columns(builder.parquet_schema(), names.iter().copied());
        let (tested, shown, keeps) = (mask(&[column]), mask(columns), keeps.clone());
        let predicate = ArrowPredicateFn::new(tested, move |batch| Ok(keeps(&batch)));
        let reader = builder.with_projection(shown).with_row_filter(RowFilter::new(vec![Box::new(predicate)]));
        found.extend(reader.build()?.collect::<Result<Vec<_>, _>>()?);
    }
    Ok(found)
}

/// Deletes files that no version of the last week names, and log entries of more than thirty days that a checkpoint
/// stands for; Delta's own limits. Gives the number of both.
///
/// # Errors
/// The lake cannot be read or written.
pub async fn sweep(table: &Table) -> Result<usize, LakeError> {
    let failed = |cause| LakeError::Delta { doing: format!("sweeping {}", table.url()), cause };
    let mut delta = deltalake::DeltaTable::new(table.log_store().clone());
    delta.load().await.map_err(failed)?;
    let quiet = CommitProperties::default().with_create_checkpoint(false).with_cleanup_expired_logs(Some(false));
    let vacuum = delta.vacuum().with_mode(VacuumMode::Full).with_commit_properties(quiet);
    let (delta, swept) = vacuum.await.map_err(failed)?;
    let entries = deltalake::checkpoints::cleanup_metadata(&delta, None).await.map_err(failed)?;
    Ok(swept.files_deleted.len() + entries)
}

/// Files that are worth merging: the smallest of about the same size of which there are `files_min`, or none. So a row is
/// written again whenever its file has grown by half, and not with every merge.
fn worth_merging(mut files: Vec<DataFile>, files_min: usize) -> Vec<DataFile> {
    files.sort_by(|a, b| (a.bytes, &a.path).cmp(&(b.bytes, &b.path)));
    let (mut group, mut sum) = (Vec::new(), 0);
    for file in files {
        if is_apart(sum, file.bytes) || sum + file.bytes > INPUT_BYTES_MAX {
            if group.len() >= files_min.max(2) {
                break;
            }
            (group, sum) = (Vec::new(), 0);
        }
        sum += file.bytes;
        group.push(file);
    }
    group.retain(|_| sum <= INPUT_BYTES_MAX);
    if group.len() >= files_min.max(2) { group } else { Vec::new() }
}

fn all_of(batch: &RecordBatch) -> BooleanArray {
    BooleanArray::from(vec![true; batch.num_rows()])
}

/// The rows of files for which `keeps` says yes, as one file.
async fn encode(
    table: &Table,
    schema: &SchemaRef,
    inputs: Vec<Bytes>,
    keeps: impl Fn(&RecordBatch) -> Result<BooleanArray, LakeError> + Send + 'static,
) -> Result<Option<Encoded>, LakeError> {
    let schema = schema.clone();
    let work = move || -> Result<Option<Encoded>, LakeError> {
        let mut writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(writer::plain_properties()))?;
        let (mut rows, mut dropped) = (0, 0);
        for input in inputs {
            // Files are read with the schema they are written with, whatever their footer suggests.
            let options = ArrowReaderOptions::new().with_schema(schema.clone());
            for batch in ParquetRecordBatchReaderBuilder::try_new_with_options(input, options)?.build()? {
                let batch = batch?;
                let kept = arrow::compute::filter_record_batch(&batch, &keeps(&batch)?)?;
                rows += kept.num_rows();
                dropped += (batch.num_rows() - kept.num_rows()) as u64;
                writer.write(&kept)?;
            }
        }
        if rows == 0 {
            return Ok(None);
        }
        Ok(Some(Encoded { bytes: writer.into_inner()?, rows, dropped }))
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| LakeError::Log(table.url().to_string(), e.to_string()))?
}

async fn store(table: &Table, file: Encoded, data_change: bool) -> Result<Add, LakeError> {
    let stats = serde_json::json!({ "numRecords": file.rows });
    writer::store(table, file.bytes, std::collections::BTreeMap::new(), stats, data_change).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(number: usize, bytes: u64) -> DataFile {
        DataFile {
            path: format!("f{number}"),
            partition_values: std::collections::BTreeMap::new(),
            bytes,
            rows: 1,
            modified_at_ms: 0,
            stats: None,
        }
    }

    #[test]
    fn a_row_is_written_again_when_its_file_has_grown_by_half() {
        let mut files: Vec<DataFile> = Vec::new();
        let (mut written, mut most) = (0, 0);
        let commits = 20_000;
        for number in 0..commits {
            files.push(file(number, 1000));
            let merged = worth_merging(files.clone(), FILES_MIN);
            if !merged.is_empty() {
                let bytes = merged.iter().map(|f| f.bytes).sum();
                written += bytes;
                files.retain(|f| !merged.iter().any(|m| m.path == f.path));
                files.push(file(commits + number, bytes));
            }
            most = most.max(files.len());
        }
        // From 32 to 20,000 files of 1000 bytes it is sixteen times half as much again.
        assert!(written < 17 * 1000 * commits as u64, "{written} bytes were written for {}", 1000 * commits);
        assert!(most < 64, "{most} files");
        assert_eq!(files.iter().map(|f| f.bytes).sum::<u64>(), 1000 * commits as u64);
    }

    #[test]
    fn few_files_and_large_ones_are_left() {
        let of = |sizes: &[u64]| sizes.iter().enumerate().map(|(n, bytes)| file(n, *bytes)).collect::<Vec<_>>();
        assert!(worth_merging(of(&[1; 31]), FILES_MIN).is_empty());
        assert_eq!(worth_merging(of(&[1; 32]), FILES_MIN).len(), 32);
        assert_eq!(worth_merging(of(&[5, 6, 23]), 2).len(), 2, "the third is more than twice both");
        assert_eq!(worth_merging(of(&[5, 6, 22]), 2).len(), 3);
        assert_eq!(worth_merging(of(&[1, 9, 9, 9, 99]), 3).len(), 3, "the smallest are too few, the next are enough");
        assert!(worth_merging(of(&[INPUT_BYTES_MAX, INPUT_BYTES_MAX]), 2).is_empty());
        assert!(worth_merging(of(&[7]), 0).is_empty(), "one file alone is merged with nothing");
    }
}
