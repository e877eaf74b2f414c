//! The rows of some ids out of the files that may hold them: of each file its end, the pages of the columns that are
//! asked about, and of the columns that are shown no page without such a row.
//!
//! DataFusion gives the same rows, and reads the files of a lake elsewhere. But it plans anew for each question, and the
//! texts of its rows keep the pages they came from: three rows of each of a thousand files kept gigabytes.

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Array as _, ArrayRef, AsArray as _, BooleanArray, RecordBatch, StringViewArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowFilter, RowSelection,
};
use parquet::errors::Result;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;

use super::Among;
use super::bytes::Source;
use crate::event::columns::{FILE_SCHEMA, TABLE_SCHEMA};
use crate::lake::LakeError;
use crate::lake::log::DataFile;

/// Which rows are asked for, and what of them.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// Some column has one of the texts beside it.
    pub any: &'a [(&'static str, &'a [String])],
    pub among: Among,
    /// From, and to without its end, in microseconds; none: without a bound.
    pub from: Option<i64>,
    pub to: Option<i64>,
    /// Columns of `events` in the order in which they come.
    pub columns: &'a [&'static str],
    /// So many rows are enough.
    pub most: usize,
}

/// What `each` makes of the rows of the files, on every core.
pub fn read<T: Send>(
    root: &Path,
    files: &[DataFile],
    wanted: &Wanted<'_>,
    each: impl Fn(&RecordBatch) -> Vec<T> + Sync,
) -> std::result::Result<Vec<T>, LakeError> {
    let (next, count) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || -> std::result::Result<Vec<T>, LakeError> {
        let mut found = Vec::new();
        while count.load(Ordering::Relaxed) < wanted.most
            && let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed))
        {
            let rows = of_file(root, file, wanted, &each).map_err(|cause| LakeError::Io {
                doing: format!("reading {}", root.join(&file.path).display()),
                cause: std::io::Error::other(cause),
            })?;
            count.fetch_add(rows.len(), Ordering::Relaxed);
            found.extend(rows);
        }
        Ok(found)
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(files.len());
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..cores).map(|_| scope.spawn(work)).collect();
        let mut found = work()?;
        for other in others {
            // A panic is a fault of this program, wherever it comes up.
            found.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        found.truncate(wanted.most);
        Ok(found)
    })
}

fn of_file<T>(
    root: &Path,
    file: &DataFile,
    wanted: &Wanted<'_>,
    each: &impl Fn(&RecordBatch) -> Vec<T>,
) -> Result<Vec<T>> {
    let source = Source::open(&root.join(&file.path))?;
    // Only of what rows are ordered by do bounds of pages say anything.
    let is_ordered = matches!(wanted.any, [("grant_id", _)]);
    let bounds = if is_ordered { PageIndexPolicy::Optional } else { PageIndexPolicy::Skip };
    let options =
        ArrowReaderOptions::new().with_column_index_policy(bounds).with_offset_index_policy(PageIndexPolicy::Optional);
    // Files as they are written today need not tell their schema.
    let as_today = ArrowReaderMetadata::load(&source, options.clone().with_schema(FILE_SCHEMA.clone()));
    let metadata = as_today.or_else(|_| ArrowReaderMetadata::load(&source, options))?;
    let selection = pages(metadata.metadata(), wanted);
    if selection.as_ref().is_some_and(|selection| !selection.selects_any()) {
        return Ok(Vec::new());
    }
    let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(source, metadata);
    if let Some(selection) = selection {
        builder = builder.with_row_selection(selection);
    }
    let columns = ProjectionMask::columns(builder.parquet_schema(), asked_of(wanted));
    let shown = ProjectionMask::columns(builder.parquet_schema(), wanted.columns.iter().copied());
    let test = Test::of(wanted);
    let predicate = ArrowPredicateFn::new(columns, move |batch| test.rows(&batch));
    let reader = builder.with_projection(shown).with_row_filter(RowFilter::new(vec![Box::new(predicate)])).build()?;
    let mut found = Vec::new();
    for batch in reader {
        found.extend(each(&whole(&batch?, file, wanted.columns)?));
    }
    Ok(found)
}

/// The columns that decide which rows are asked for.
fn asked_of<'a>(wanted: &Wanted<'a>) -> impl Iterator<Item = &'a str> {
    let among: &[&str] = match wanted.among {
        Among::All => &[],
        Among::Grantless => &["action", "grant_id"],
        Among::LoneTokens => &["family_id"],
    };
    let time = (wanted.from.is_some() || wanted.to.is_some()).then_some("event_time");
    wanted.any.iter().map(|(column, _)| *column).chain(among.iter().copied()).chain(time)
}

/// The rows of pages whose bounds touch the texts; none if the bounds say nothing.
fn pages(metadata: &ParquetMetaData, wanted: &Wanted<'_>) -> Option<RowSelection> {
    let [(column, texts)] = wanted.any else { return None };
    let schema = metadata.file_metadata().schema_descr();
    let leaf = (0..schema.num_columns()).find(|i| schema.column(*i).path().string() == *column)?;
    let (mut ranges, mut first): (Vec<Range<usize>>, usize) = (Vec::new(), 0);
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let rows = usize::try_from(group.num_rows()).ok()?;
        let ColumnIndexMetaData::BYTE_ARRAY(bounds) = metadata.column_index()?.get(number)?.get(leaf)? else {
            return None;
        };
        let places = metadata.offset_index()?.get(number)?.get(leaf)?.page_locations();
        if places.len() as u64 != bounds.num_pages() {
            return None;
        }
        let starts: Option<Vec<usize>> = places.iter().map(|p| usize::try_from(p.first_row_index).ok()).collect();
        let starts = starts?;
        for (page, start) in starts.iter().enumerate() {
            let end = starts.get(page + 1).copied().unwrap_or(rows);
            // Bounds may be cut: the lower one is then less than any value, and the upper one more.
            let may = match (bounds.min_value(page), bounds.max_value(page)) {
                (Some(least), Some(most)) => {
                    texts.iter().any(|text| least <= text.as_bytes() && text.as_bytes() <= most)
                }
                _ => !bounds.is_null_page(page),
            };
            if may {
                ranges.push(first + start..first + end);
            }
        }
        first += rows;
    }
    Some(RowSelection::from_consecutive_ranges(ranges.into_iter(), first))
}

/// What rows are tested for.
struct Test {
    any: Vec<(&'static str, HashSet<String>)>,
    among: Among,
    from: i64,
    to: i64,
}

impl Test {
    fn of(wanted: &Wanted<'_>) -> Self {
        let any = wanted.any.iter().map(|(column, texts)| (*column, texts.iter().cloned().collect()));
        let (from, to) = (wanted.from.unwrap_or(i64::MIN), wanted.to.unwrap_or(i64::MAX));
        Self { any: any.collect(), among: wanted.among, from, to }
    }

    fn rows(&self, batch: &RecordBatch) -> std::result::Result<BooleanArray, ArrowError> {
        let mut kept = vec![false; batch.num_rows()];
        for (column, texts) in &self.any {
            let Some(values) = text(batch, column)? else { continue };
            let only = if texts.len() == 1 { texts.iter().next() } else { None };
            for (row, kept) in kept.iter_mut().enumerate().filter(|(row, _)| values.is_valid(*row)) {
                let value = values.value(row);
                *kept |= only.map_or_else(|| texts.contains(value), |only| only == value);
            }
        }
        if kept.contains(&true) {
            self.among(batch, &mut kept)?;
            self.within(batch, &mut kept)?;
        }
        Ok(kept.into())
    }

    fn among(&self, batch: &RecordBatch, kept: &mut [bool]) -> std::result::Result<(), ArrowError> {
        let absent = match self.among {
            Among::All => return Ok(()),
            Among::Grantless => "grant_id",
            Among::LoneTokens => "family_id",
        };
        let absent = batch.column_by_name(absent);
        let actions = if self.among == Among::Grantless { text(batch, "action")? } else { None };
        for (row, kept) in kept.iter_mut().enumerate() {
            *kept &= absent.is_none_or(|column| column.is_null(row));
            if self.among == Among::Grantless {
                *kept &= actions.as_ref().is_some_and(|a| a.is_valid(row) && a.value(row) == "revoke");
            }
        }
        Ok(())
    }

    fn within(&self, batch: &RecordBatch, kept: &mut [bool]) -> std::result::Result<(), ArrowError> {
        if (self.from, self.to) == (i64::MIN, i64::MAX) {
            return Ok(());
        }
        let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let times = batch.column_by_name("event_time").map(|times| cast(times, &micros)).transpose()?;
        let times = times.as_ref().and_then(|times| times.as_primitive_opt::<TimestampMicrosecondType>());
        for (row, kept) in kept.iter_mut().enumerate() {
            let is_within = |at: i64| at >= self.from && at < self.to;
            *kept &= times.is_some_and(|times| times.is_valid(row) && is_within(times.value(row)));
        }
        Ok(())
    }
}

/// A column of text, as files have it that are written today.
fn text(batch: &RecordBatch, column: &str) -> std::result::Result<Option<StringViewArray>, ArrowError> {
    let Some(values) = batch.column_by_name(column) else { return Ok(None) };
    Ok(cast(values, &DataType::Utf8View)?.as_string_view_opt().cloned())
}

/// The columns in their order: those of the file, those that its folder names, and nothing for what it does not have.
fn whole(
    batch: &RecordBatch,
    file: &DataFile,
    columns: &[&'static str],
) -> std::result::Result<RecordBatch, ArrowError> {
    let rows = batch.num_rows();
    let (mut fields, mut arrays): (Vec<_>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
    for name in columns {
        let field = TABLE_SCHEMA.field_with_name(name)?;
        let of_folder = file.partition(name);
        let values = match (batch.column_by_name(name), of_folder) {
            (Some(values), _) => values.clone(),
            (None, Some(value)) => Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n(value, rows))),
            (None, None) => new_null_array(field.data_type(), rows),
        };
        arrays.push(cast(&values, field.data_type())?);
        fields.push(field.clone());
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}
