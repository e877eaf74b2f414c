//! Folding some events into several folds at once, some days at a time.
//!
//! Events are read once. Each question is answered on one core without exchanging rows, and there are more questions than
//! cores. What is folded of some days fits into memory, and of all of history it would not.

use std::collections::BTreeSet;
use std::io::{Read as _, Seek as _};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::catalog::TableProvider;
use datafusion::common::DataFusionError;
use datafusion::common::runtime::SpawnedTask;
use datafusion::dataframe::DataFrame;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::common::spawn_buffered;
use datafusion::prelude::{SessionContext, col};
use futures::{Stream, StreamExt as _, stream};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use tempfile::{SpooledTempFile, TempDir};

use super::finest::{self, Finest};
use super::reading::Reading;
use super::{Fold, ordered};
use crate::event::columns::EVENT_DATE;
use crate::lake::log::DataFile;
use crate::lake::{Lake, LakeError};
use crate::query::{self, QueryError, owned, views};

/// Batches that are worked out while one is written.
const BATCHES_AHEAD: usize = 4;
/// Folds that are merged at once: what merging waits for on one core, another can use.
const MERGED_AT_ONCE: usize = 2;
/// Rows of one page: what looking up one grant reads.
const PAGE_ROWS: usize = 4_096;
/// Bytes of a fold of days that are held before they go to a file.
const DAYS_HELD: usize = 32 << 20;
/// How many times what is folded at once is too much to hold what several folds share.
const VAST: u64 = 4;
/// Columns of which no two events have the same.
const UNPACKED_LATE: [&str; 2] = ["event_id", "record_hash"];

/// One fold in the making.
pub(super) struct Draft {
    fold: Fold,
    /// Where parts lie, of whichever fold; none: there is one chunk.
    folder: Option<Arc<TempDir>>,
    /// Rows of days are of one chunk each, and nearly as many as events: they are written as they come.
    days: Option<ArrowWriter<SpooledTempFile>>,
    /// Of each chunk, ordered by the first key.
    parts: Vec<String>,
    /// Of the only chunk.
    whole: Vec<u8>,
}

/// Folds the events of files, about `at_once` of them at a time.
pub(super) async fn folded(
    lake: &Lake,
    context: &SessionContext,
    folds: &[&Fold],
    files: Vec<DataFile>,
    at_once: u64,
) -> Result<Vec<Draft>, QueryError> {
    let chunks = chunks(files, at_once);
    let folder = (chunks.len() > 1).then(tempfile::tempdir).transpose().map_err(failed)?.map(Arc::new);
    let mut drafts = folds.iter().map(|fold| Draft::new(fold, folder.clone())).collect::<Result<Vec<_>, _>>()?;
    let beside: Vec<&Fold> = folds.iter().copied().filter(|fold| !is_apart(fold)).collect();
    let finest = Finest::of(&beside);
    for files in chunks {
        // A day of very many events may have as many groups by all keys, which are held.
        let is_vast = files.iter().map(|file| file.rows).sum::<u64>() > at_once.saturating_mul(VAST);
        drafts = add(lake, context, drafts, finest.as_ref().filter(|_| !is_vast), files).await?;
    }
    Ok(drafts)
}

/// Adds the events of some files to each draft.
async fn add(
    lake: &Lake,
    context: &SessionContext,
    drafts: Vec<Draft>,
    finest: Option<&Finest>,
    files: Vec<DataFile>,
) -> Result<Vec<Draft>, QueryError> {
    let context = query::on_one_core(context);
    let mut reading = reading(&context, query::events_in_turn(lake, &context, files.clone())?, shared(&drafts)).await?;
    let groups =
        finest.map(|finest| Ok::<_, QueryError>((finest, finest.ask(&context, reading.table()?)?))).transpose()?;
    let mut at_work = Vec::with_capacity(drafts.len());
    let mut waiting = Vec::new();
    for (number, draft) in drafts.into_iter().enumerate() {
        if finest.is_some_and(|finest| finest.has(&draft.fold)) {
            waiting.push((number, draft));
            continue;
        }
        let events = match is_apart(&draft.fold) {
            true => query::events(lake, &context, files.clone())?,
            false => reading.table()?,
        };
        let rows = finest::alone(&context, events, &draft.fold)?;
        at_work.push((number, SpawnedTask::spawn(draft.add(context.clone(), rows))));
    }
    let reading = reading.start(context.task_ctx());
    if let Some((finest, groups)) = groups {
        let groups = views::memory(query::collect(groups).await?)?;
        for (number, draft) in waiting {
            let rows = finest.fold(&context, groups.clone(), &draft.fold)?;
            at_work.push((number, SpawnedTask::spawn(draft.add(context.clone(), rows))));
        }
    }
    at_work.sort_by_key(|(number, _)| *number);
    let mut drafts = Vec::with_capacity(at_work.len());
    for (_, task) in at_work {
        drafts.push(joined(task).await?);
    }
    drop(reading);
    Ok(drafts)
}

/// Whether a fold is better read by itself: it asks about few events, but for columns that would be unpacked of all.
fn is_apart(fold: &Fold) -> bool {
    fold.columns().any(|column| UNPACKED_LATE.contains(&column))
}

/// The columns that the others ask about, and the one that rows are ordered by.
fn shared(drafts: &[Draft]) -> BTreeSet<String> {
    let folds = drafts.iter().map(|draft| &draft.fold).filter(|fold| !is_apart(fold));
    folds.flat_map(Fold::columns).chain([EVENT_DATE]).map(str::to_owned).collect()
}

async fn reading(
    context: &SessionContext,
    events: Arc<dyn TableProvider>,
    columns: BTreeSet<String>,
) -> Result<Reading, QueryError> {
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let events = context.read_table(events)?.select_columns(&columns)?;
    Ok(Reading::of(events.create_physical_plan().await?, vec![col(EVENT_DATE).sort(true, true)]))
}

impl Draft {
    fn new(fold: &Fold, folder: Option<Arc<TempDir>>) -> Result<Self, QueryError> {
        let days = (fold.keys[0] == "day").then(|| writer(fold, SpooledTempFile::new(DAYS_HELD))).transpose()?;
        Ok(Self { fold: fold.clone(), folder, days, parts: Vec::new(), whole: Vec::new() })
    }

    /// Adds what was folded of some days.
    async fn add(mut self, context: SessionContext, rows: DataFrame) -> Result<Self, QueryError> {
        if let Some(days) = &mut self.days {
            // They come in this order.
            write(&self.fold, at_work(rows.sort(ordered::order(&self.fold))?).await?, days).await?;
            return Ok(self);
        }
        let rows = owned::owned(&context, rows).await?.sort(ordered::order(&self.fold))?;
        let Some(folder) = &self.folder else {
            let mut whole = writer(&self.fold, Vec::new())?;
            write(&self.fold, at_work(rows).await?, &mut whole).await?;
            self.whole = whole.into_inner().map_err(LakeError::from)?;
            return Ok(self);
        };
        let file = folder.path().join(format!("{}-{}.parquet", self.fold.name, self.parts.len()));
        let mut part = passing(&self.fold, std::fs::File::create(&file).map_err(failed)?)?;
        write(&self.fold, at_work(rows).await?, &mut part).await?;
        part.close().map_err(LakeError::from)?;
        self.parts.push(file.to_string_lossy().into_owned());
        Ok(self)
    }

    /// The fold, as a file's content.
    async fn finish(self, context: SessionContext) -> Result<Vec<u8>, QueryError> {
        if let Some(days) = self.days {
            let (mut file, mut bytes) = (days.into_inner().map_err(LakeError::from)?, Vec::new());
            file.rewind().and_then(|()| file.read_to_end(&mut bytes)).map_err(failed)?;
            return Ok(bytes);
        }
        if self.folder.is_none() {
            return Ok(self.whole);
        }
        merged(&context, &self.fold, self.parts).await
    }
}

/// The folds, as files' contents in their order.
pub(super) fn finished(
    drafts: Vec<Draft>,
    context: &SessionContext,
) -> impl Stream<Item = Result<Vec<u8>, QueryError>> + use<> {
    let context = context.clone();
    let finish = move |draft: Draft| joined(SpawnedTask::spawn(draft.finish(context.clone())));
    stream::iter(drafts).map(finish).buffered(MERGED_AT_ONCE)
}

/// What a task came to.
pub(super) async fn joined<T: 'static>(task: SpawnedTask<Result<T, QueryError>>) -> Result<T, QueryError> {
    task.join_unwind().await.map_err(|e| DataFusionError::External(Box::new(e)))?
}

/// Files of one fold as one, with one row per key.
pub(super) async fn merged(context: &SessionContext, fold: &Fold, urls: Vec<String>) -> Result<Vec<u8>, QueryError> {
    let mut writer = writer(fold, Vec::new())?;
    write(fold, at_work(ordered::merged(context, fold, urls).await?).await?, &mut writer).await?;
    Ok(writer.into_inner().map_err(LakeError::from)?)
}

fn failed(cause: std::io::Error) -> LakeError {
    LakeError::Io { doing: "folding the events some at a time".to_owned(), cause }
}

fn writer<W: std::io::Write + Send>(fold: &Fold, to: W) -> Result<ArrowWriter<W>, QueryError> {
    let properties = fold
        .properties()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap_or_default()))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS)
        .build();
    Ok(ArrowWriter::try_new(to, fold.schema.clone(), Some(properties)).map_err(LakeError::from)?)
}

/// For rows that are read once, and soon.
fn passing<W: std::io::Write + Send>(fold: &Fold, to: W) -> Result<ArrowWriter<W>, QueryError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::LZ4_RAW)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS)
        .build();
    Ok(ArrowWriter::try_new(to, fold.schema.clone(), Some(properties)).map_err(LakeError::from)?)
}

/// Rows that are worked out from now on, whether or not somebody waits for them.
async fn at_work(rows: DataFrame) -> Result<SendableRecordBatchStream, QueryError> {
    Ok(spawn_buffered(rows.execute_stream().await?, BATCHES_AHEAD))
}

async fn write<W: std::io::Write + Send>(
    fold: &Fold,
    mut rows: SendableRecordBatchStream,
    writer: &mut ArrowWriter<W>,
) -> Result<(), QueryError> {
    while let Some(batch) = rows.next().await {
        writer.write(&as_declared(&batch?, &fold.schema).map_err(LakeError::from)?).map_err(LakeError::from)?;
    }
    Ok(())
}

/// A batch with the types of a schema, column by column.
pub(super) fn as_declared(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| compute::cast(column, field.data_type()));
    RecordBatch::try_new(schema.clone(), columns.collect::<Result<Vec<_>, _>>()?)
}

/// Files to fold one after the other, whole days at a time, earlier days first.
fn chunks(mut files: Vec<DataFile>, most: u64) -> Vec<Vec<DataFile>> {
    let day = |file: &DataFile| file.partition(EVENT_DATE).map(str::to_owned);
    files.sort_by_key(day);
    let mut chunks: Vec<Vec<DataFile>> = Vec::new();
    let mut rows = most;
    for of_day in files.chunk_by(|a, b| day(a) == day(b)) {
        if rows >= most {
            rows = 0;
            chunks.push(Vec::new());
        }
        rows += of_day.iter().map(|file| file.rows).sum::<u64>();
        if let Some(chunk) = chunks.last_mut() {
            chunk.extend_from_slice(of_day);
        }
    }
    if chunks.is_empty() { vec![files] } else { chunks }
}
