//! Rows to Parquet files: one per class and day (or piece of it), ordered so that one grant's rows lie together.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, GenericByteViewArray, RecordBatch, StringViewArray, new_null_array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::interleave;
use arrow::datatypes::{
    BinaryViewType, ByteViewType, DataType, Int32Type, Int64Type, StringViewType, TimestampMicrosecondType,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::LakeError;
use super::log::Add;
use super::table::Table;
use crate::clock;
use crate::event::columns::{self, FILE_SCHEMA, Kind};
use crate::event::encoder::{INLINE_MAX, Partition, Rows};
use crate::event::time;

/// Most rows of one file of a commit: more are cut into pieces, which are written side by side.
const PIECE_ROWS: usize = 32_768;
/// Rows of one data page: what a look-up of one grant has to read.
pub const PAGE_ROWS: usize = 8_192;

/// A row's place among the batches, with what it is ordered by.
struct Key {
    partition: Partition,
    /// The grant id's first 16 bytes; equal prefixes are compared in full.
    prefix: u128,
    time: i64,
    batch: u32,
    row: u32,
}

/// Writes the kept rows of the batches; the files belong to the table once they are committed.
pub async fn write(table: &Table, batches: &[Rows], keep: &[Vec<u32>]) -> Result<Vec<Add>, LakeError> {
    let sources: Arc<Vec<RecordBatch>> = Arc::new(batches.iter().map(|b| b.batch.clone()).collect());
    let keys = sorted_keys(batches, keep)?;
    let pieces = keys.chunk_by(|a, b| a.partition == b.partition).flat_map(|part| {
        let pieces = part.len().div_ceil(PIECE_ROWS);
        part.chunks(part.len().div_ceil(pieces))
    });
    let mut writes = tokio::task::JoinSet::new();
    for piece in pieces {
        let (table, sources, partition) = (table.clone(), sources.clone(), piece[0].partition);
        let rows: Vec<_> = piece.iter().map(|k| (k.batch as usize, k.row as usize)).collect();
        writes.spawn_blocking(move || {
            let batch = gather(&sources, &rows)?;
            encode(&batch).map(|bytes| (table, partition, statistics(&batch), bytes))
        });
    }
    let mut adds = Vec::new();
    while let Some(done) = writes.join_next().await {
        let (table, partition, stats, bytes) =
            done.map_err(|e| LakeError::Log(table.url().to_string(), e.to_string()))??;
        let values = partition_values(partition.class(), &time::date(i64::from(partition.date) * time::DAY));
        adds.push(store(&table, bytes, values, stats, true).await?);
    }
    Ok(adds)
}

/// The given rows as one batch. Columns without any value, of which there are many, cost nothing.
fn gather(sources: &[RecordBatch], rows: &[(usize, usize)]) -> Result<RecordBatch, LakeError> {
    let columns = FILE_SCHEMA.fields().iter().enumerate().map(|(index, field)| {
        let arrays: Vec<&dyn Array> = sources.iter().map(|batch| batch.column(index).as_ref()).collect();
        if arrays.iter().all(|array| array.null_count() == array.len()) {
            return Ok(new_null_array(field.data_type(), rows.len()));
        }
        match field.data_type() {
            DataType::Utf8View => Ok(gather_views::<StringViewType>(&arrays, rows)),
            DataType::BinaryView => Ok(gather_views::<BinaryViewType>(&arrays, rows)),
            _ => interleave(&arrays, rows),
        }
    });
    Ok(RecordBatch::try_new(FILE_SCHEMA.clone(), columns.collect::<Result<_, _>>()?)?)
}

/// What [`interleave`] gives for views. That asks of each view whether its buffer was met before; here all buffers of all
/// arrays are taken over, one array's after the other's, so a view's new buffer is known by adding.
fn gather_views<T: ByteViewType>(arrays: &[&dyn Array], rows: &[(usize, usize)]) -> ArrayRef {
    let arrays: Vec<&GenericByteViewArray<T>> = arrays.iter().map(|array| array.as_byte_view::<T>()).collect();
    let mut buffers = Vec::with_capacity(arrays.len());
    let sources: Vec<(&[u128], u128)> = arrays
        .iter()
        .map(|array| {
            let first = (buffers.len() as u128) << 64; // a view's bits 64..96 say which buffer
            buffers.extend_from_slice(array.data_buffers());
            (&array.views()[..], first)
        })
        .collect();
    let moved = |&(array, row): &(usize, usize)| {
        let (views, first) = sources[array];
        let view = views[row];
        if view as u32 as usize > INLINE_MAX { view + first } else { view }
    };
    let views: Vec<u128> = rows.iter().map(moved).collect();
    let valid = arrays.iter().any(|array| array.null_count() > 0).then(|| {
        let valid = BooleanBuffer::collect_bool(rows.len(), |i| arrays[rows[i].0].is_valid(rows[i].1));
        NullBuffer::new(valid)
    });
    // SAFETY: every view is one of its array's, and says the same of the same buffer at its new place. That of a null is
    // not looked at, and is as valid as it was.
    Arc::new(unsafe { GenericByteViewArray::<T>::new_unchecked(views.into(), buffers, valid) })
}

/// The partition columns' values, as the log spells them.
pub fn partition_values(class: &str, date: &str) -> BTreeMap<String, Option<String>> {
    BTreeMap::from([
        (columns::CLASS.to_owned(), Some(class.to_owned())),
        (columns::EVENT_DATE.to_owned(), Some(date.to_owned())),
    ])
}

fn sorted_keys(batches: &[Rows], keep: &[Vec<u32>]) -> Result<Vec<Key>, LakeError> {
    let mut keys = Vec::with_capacity(keep.iter().map(Vec::len).sum());
    let mut grants: Vec<StringViewArray> = Vec::with_capacity(batches.len());
    for (batch, (rows, kept)) in batches.iter().zip(keep).enumerate() {
        let (grant, times) = order_columns(&rows.batch)?;
        for &row in kept {
            let index = row as usize;
            let prefix = if grant.is_valid(index) { prefix(grant.value(index).as_bytes()) } else { 0 };
            let time = if times.is_valid(index) { times.value(index) } else { 0 };
            keys.push(Key { partition: rows.partitions[index], prefix, time, batch: batch as u32, row });
        }
        grants.push(grant);
    }
    let text = |k: &Key| grants[k.batch as usize].value(k.row as usize);
    keys.sort_unstable_by(|a, b| {
        (a.partition, a.prefix)
            .cmp(&(b.partition, b.prefix))
            .then_with(|| if a.prefix & 0xff == 0 { std::cmp::Ordering::Equal } else { text(a).cmp(text(b)) })
            .then_with(|| (a.time, a.batch, a.row).cmp(&(b.time, b.batch, b.row)))
    });
    Ok(keys)
}

/// The columns rows are ordered by.
pub fn order_columns(
    batch: &RecordBatch,
) -> Result<(StringViewArray, arrow::array::TimestampMicrosecondArray), LakeError> {
    let missing = || LakeError::Log("batch".into(), "grant_id or event_time is missing".into());
    let grant = batch.column_by_name("grant_id").and_then(|c| c.as_string_view_opt().cloned()).ok_or_else(missing)?;
    let times =
        batch.column_by_name("event_time").and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>().cloned());
    Ok((grant, times.ok_or_else(missing)?))
}

/// The first 16 bytes, ordered as the text is; the last byte is 0 only if the text is shorter (or holds a NUL there).
fn prefix(text: &[u8]) -> u128 {
    let mut bytes = [0; 16];
    let length = text.len().min(16);
    bytes[..length].copy_from_slice(&text[..length]);
    u128::from_be_bytes(bytes)
}

fn encode(batch: &RecordBatch) -> Result<Vec<u8>, LakeError> {
    let mut writer = ArrowWriter::try_new(
        Vec::with_capacity(batch.num_rows() * 128),
        batch.schema(),
        Some(properties(batch, batch.num_rows())),
    )?;
    writer.write(batch)?;
    Ok(writer.into_inner()?)
}

/// How `events` files are written, given rows like those to come: see docs/DESIGN.md for what each choice measured.
pub fn properties(like: &RecordBatch, rows: usize) -> WriterProperties {
    let path = |name: &str| ColumnPath::from(name);
    let mut builder = base_properties()
        .set_data_page_row_count_limit(PAGE_ROWS)
        // Bounds are kept of what rows are ordered by, and of times and positions. Those of other columns span nearly
        // everything in every file; keeping them costs a comparison a value.
        .set_statistics_enabled(EnabledStatistics::None)
        .set_sorting_columns(sorting());
    for name in columns::ids() {
        builder = builder
            .set_column_bloom_filter_enabled(path(name), true)
            .set_column_bloom_filter_fpp(path(name), 0.01)
            .set_column_bloom_filter_max_ndv(path(name), rows as u64);
    }
    for (field, column) in like.schema().fields().iter().zip(like.columns()) {
        if column.as_string_view_opt().is_some_and(|text| !repeats(text)) {
            builder = builder.set_column_dictionary_enabled(path(field.name()), false);
        }
    }
    for name in ["event_time", "received_at", "offset"] {
        builder = builder
            .set_column_dictionary_enabled(path(name), false)
            .set_column_encoding(path(name), Encoding::DELTA_BINARY_PACKED)
            .set_column_statistics_enabled(path(name), EnabledStatistics::Page);
    }
    for name in ["raw", "raw_bytes", "record_hash"] {
        builder = builder.set_column_dictionary_enabled(path(name), false);
    }
    builder.set_column_statistics_enabled(path("grant_id"), EnabledStatistics::Page).build()
}

/// Whether values repeat enough for a dictionary to pay, judged by a sample: building one costs more than all the rest
/// of writing a column, and ids hardly repeat within a piece.
fn repeats(text: &StringViewArray) -> bool {
    const SAMPLE: usize = 256;
    let step = (text.len() / SAMPLE).max(1);
    let sample: Vec<&str> =
        (0..text.len()).step_by(step).filter(|i| text.is_valid(*i)).map(|i| text.value(i)).collect();
    let distinct: std::collections::HashSet<&str> = sample.iter().copied().collect();
    distinct.len() * 4 <= sample.len().max(1) * 3
}

fn base_properties() -> parquet::file::properties::WriterPropertiesBuilder {
    let level = ZstdLevel::try_new(1).unwrap_or_default();
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_created_by(concat!("tokentrail ", env!("CARGO_PKG_VERSION")).to_owned())
}

fn sorting() -> Option<Vec<SortingColumn>> {
    let column = |name: &str| {
        FILE_SCHEMA.index_of(name).ok().map(|i| SortingColumn {
            column_idx: i as i32,
            descending: false,
            nulls_first: true,
        })
    };
    ["grant_id", "event_time"].into_iter().map(column).collect()
}

/// Puts a file where the table will find it, safely on disk before any commit names it.
pub async fn store(
    table: &Table,
    bytes: Vec<u8>,
    partition_values: BTreeMap<String, Option<String>>,
    stats: Value,
    data_change: bool,
) -> Result<Add, LakeError> {
    let folder: String = [columns::CLASS, columns::EVENT_DATE]
        .iter()
        .filter_map(|name| Some(format!("{name}={}/", partition_values.get(*name)?.as_deref()?)))
        .collect();
    let path = format!("{folder}part-{}.zstd.parquet", Uuid::new_v4());
    let size = bytes.len() as i64;
    if table.url().scheme() == "file"
        && let Ok(root) = table.url().to_file_path()
    {
        let file = root.join(&path);
        let doing = format!("writing {}", file.display());
        tokio::task::spawn_blocking(move || write_synced(&file, &bytes))
            .await
            .map_err(|e| LakeError::Log(table.url().to_string(), e.to_string()))?
            .map_err(|cause| LakeError::Io { doing, cause })?;
    } else {
        use object_store::ObjectStoreExt as _;
        let put = table.store().put(&path.as_str().into(), bytes.into()).await;
        put.map_err(|cause| LakeError::Storage { doing: format!("writing {path}"), cause })?;
    }
    let modification_time = clock::now_micros() / 1000;
    Ok(Add {
        path,
        partition_values,
        size,
        modification_time,
        data_change,
        stats: Some(stats.to_string()),
        deletion_vector: None,
    })
}

fn write_synced(path: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let written = std::fs::File::create_new(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if written.is_err() {
        // Half a file is of no use to anybody; the error that matters is the first one.
        let _ = std::fs::remove_file(path);
    }
    written
}

/// How files of tables other than `events` are written.
pub fn plain_properties() -> WriterProperties {
    base_properties().build()
}

/// Writes one file of a table that has no partitions.
pub async fn write_plain(table: &Table, batch: RecordBatch) -> Result<Add, LakeError> {
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(plain_properties()))?;
    writer.write(&batch)?;
    let bytes = writer.into_inner()?;
    store(table, bytes, BTreeMap::new(), json!({ "numRecords": batch.num_rows() }), true).await
}

/// Delta's statistics of one file: counts, and bounds of the columns that may stand in the log.
pub fn statistics(batch: &RecordBatch) -> Value {
    let (mut lowest, mut highest, mut nulls) = (Map::new(), Map::new(), Map::new());
    for column in
        columns::ALL.iter().filter(|c| matches!(c.name, "event_time" | "received_at" | "partition" | "offset"))
    {
        let Some(array) = batch.column_by_name(column.name) else { continue };
        nulls.insert(column.name.into(), json!(array.null_count()));
        let bounds = match column.kind {
            Kind::Time => {
                let array = array.as_primitive::<TimestampMicrosecondType>();
                // Delta keeps milliseconds: the lower bound is rounded down, the upper one up.
                let low = arrow::compute::min(array).map(|t| time::format(t.div_euclid(1000) * 1000));
                low.zip(arrow::compute::max(array).map(|t| time::format((t + 999).div_euclid(1000) * 1000)))
                    .map(|(l, h)| (json!(l), json!(h)))
            }
            Kind::Int => {
                let array = array.as_primitive::<Int32Type>();
                arrow::compute::min(array).zip(arrow::compute::max(array)).map(|(l, h)| (json!(l), json!(h)))
            }
            _ => {
                let array = array.as_primitive::<Int64Type>();
                arrow::compute::min(array).zip(arrow::compute::max(array)).map(|(l, h)| (json!(l), json!(h)))
            }
        };
        if let Some((low, high)) = bounds {
            lowest.insert(column.name.into(), low);
            highest.insert(column.name.into(), high);
        }
    }
    json!({ "numRecords": batch.num_rows(), "minValues": lowest, "maxValues": highest, "nullCount": nulls })
}
