//! A checkpoint's rows as they are: nearly all name a data file, and a lake of many days has thousands.
//!
//! Every command begins by reading them. They once went through JSON, to be read like the lines of a commit, and that took
//! longer than whatever was asked. Now it is only the way of the few other rows, and of files that are told otherwise
//! than today.

use std::collections::BTreeMap;

use arrow::array::{Array as _, ArrayRef, AsArray as _, BooleanArray, RecordBatch, StringViewArray, StructArray};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Int64Type};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::log::{DataFile, State};
use super::{LakeError, log};

/// Actions that matter here, each a column.
const WANTED: [&str; 4] = ["txn", "add", "metaData", "protocol"];

/// Takes up a checkpoint; `place` names the table in errors.
pub fn take_up(state: &mut State, bytes: Bytes, place: &str) -> Result<(), LakeError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let schema = builder.parquet_schema();
    let leaves = (0..schema.num_columns()).filter(|i| {
        let parts = schema.column(*i).path().parts().to_vec();
        WANTED.contains(&parts[0].as_str()) && !parts.iter().any(|p| p.ends_with("_parsed"))
    });
    let mask = ProjectionMask::leaves(schema, leaves.collect::<Vec<_>>());
    for batch in builder.with_projection(mask).with_batch_size(8_192).build()? {
        let batch = batch?;
        match files(&batch) {
            Some(files) => {
                state.files.reserve(files.len());
                state.files.extend(files.into_iter().map(|file| (file.path.clone(), file)));
                apply(state, &others(&batch)?, place)?;
            }
            None => apply(state, &batch, place)?,
        }
    }
    Ok(())
}

/// Rows as lines of a log entry.
fn apply(state: &mut State, batch: &RecordBatch, place: &str) -> Result<(), LakeError> {
    let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
    writer.write(batch)?;
    writer.finish()?;
    state.apply(&writer.into_inner()).map_err(|e| LakeError::Log(place.to_owned(), e))
}

/// The rows that name no data file.
fn others(batch: &RecordBatch) -> Result<RecordBatch, LakeError> {
    let names_file = |row| batch.column_by_name("add").is_some_and(|add| add.is_valid(row));
    let kept: BooleanArray = (0..batch.num_rows()).map(|row| Some(!names_file(row))).collect();
    Ok(filter_record_batch(batch, &kept)?)
}

/// The data files that rows name; none if they are told in a way that is not known here.
fn files(batch: &RecordBatch) -> Option<Vec<DataFile>> {
    let add = batch.column_by_name("add")?.as_struct_opt()?;
    if add.column_by_name("deletionVector").is_some_and(|vector| vector.null_count() < vector.len()) {
        return None;
    }
    let (paths, stats) = (texts(add, "path")?, texts(add, "stats"));
    let (sizes, times) = (numbers(add, "size")?, numbers(add, "modificationTime")?);
    let (sizes, times) = (sizes.as_primitive_opt::<Int64Type>()?, times.as_primitive_opt::<Int64Type>()?);
    let values = add.column_by_name("partitionValues")?.as_map_opt()?;
    let (keys, of_keys) = (text(values.keys())?, text(values.values())?);
    let offsets = values.value_offsets();
    let mut files = Vec::with_capacity(add.len() - add.null_count());
    for row in (0..add.len()).filter(|row| add.is_valid(*row)) {
        if paths.is_null(row) || sizes.is_null(row) || times.is_null(row) {
            return None;
        }
        let (from, to) = (usize::try_from(offsets[row]).ok()?, usize::try_from(offsets[row + 1]).ok()?);
        let entries = if values.is_null(row) { 0..0 } else { from..to };
        let value = |at: usize| of_keys.is_valid(at).then(|| of_keys.value(at).to_owned());
        let stats = stats.as_ref().filter(|stats| stats.is_valid(row)).map(|stats| stats.value(row).to_owned());
        files.push(DataFile {
            path: paths.value(row).to_owned(),
            partition_values: entries.map(|at| (keys.value(at).to_owned(), value(at))).collect::<BTreeMap<_, _>>(),
            bytes: sizes.value(row).max(0) as u64,
            rows: stats.as_deref().map_or(0, log::rows_of),
            modified_at_ms: times.value(row),
            stats,
        });
    }
    Some(files)
}

fn texts(of: &StructArray, name: &str) -> Option<StringViewArray> {
    text(of.column_by_name(name)?)
}

fn text(column: &ArrayRef) -> Option<StringViewArray> {
    cast(column, &DataType::Utf8View).ok()?.as_string_view_opt().cloned()
}

fn numbers(of: &StructArray, name: &str) -> Option<ArrayRef> {
    cast(of.column_by_name(name)?, &DataType::Int64).ok()
}

#[cfg(test)]
mod tests;
