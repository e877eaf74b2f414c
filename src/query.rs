//! Read-only SQL over a lake: sessions with limits, the tables analysts know, and rows as text.
//!
//! A session sees `events` (every row as stored) and the views of queries/views, of which `token_events` shows each
//! event once and with its aliases resolved. It can ask and nothing else: [`readonly`] refuses every other statement
//! before it is planned, and the planner is told to refuse it too.

pub mod functions;
pub mod hunts;
pub mod journal;
pub mod output;
pub mod owned;
pub mod parameters;
pub mod people;
mod pool;
pub mod readonly;
pub mod scratch;
pub mod views;

use std::num::NonZeroUsize;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::BatchCoalescer;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::DataFusionError;
pub use datafusion::common::ScalarValue;
use datafusion::dataframe::DataFrame;
use datafusion::execution::memory_pool::{FairSpillPool, GreedyMemoryPool, MemoryPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionConfig;
pub use datafusion::prelude::{SessionContext, cast};
use futures::StreamExt as _;
use thiserror::Error;

use crate::event::columns::{CLASS, EVENT_DATE, TABLE_SCHEMA};
use crate::lake::log::DataFile;
use crate::lake::scan::Files;
use crate::lake::table::Table;
use crate::lake::{Lake, LakeError};
use crate::policy::spelling::nearest;
use pool::Pool;

/// What can go wrong with a query, by what the caller does about it.
#[derive(Debug, Error)]
pub enum QueryError {
    #[error("{0}: only queries can be run here (SELECT, EXPLAIN, SHOW, DESCRIBE)")]
    NotAQuery(String),
    #[error("one statement at a time, and here are {0}")]
    Several(usize),
    #[error(
        "the query has {found} {what}, and at most {limit} are accepted: put what is long into a list, or ask in parts"
    )]
    TooLong { what: &'static str, found: usize, limit: usize },
    #[error("the query asks for ${0}: give it with -p {0}=VALUE")]
    NoParameter(String),
    #[error("the query has no parameter ${name}{advice}")]
    UnknownParameter { name: String, advice: String },
    #[error("-p {name}: {value:?} is not {expected}")]
    BadParameter { name: String, value: String, expected: String },
    #[error("stopped after {0} s, the longest that is allowed: ask for less, or give it more with --timeout")]
    TimedOut(u64),
    #[error("cancelled")]
    Cancelled,
    #[error("there is no table or view {name}: {advice}")]
    NoTable { name: String, advice: String },
    #[error("the lake has no version {0}: its log reaches from a later one, or not so far")]
    NoVersion(i64),
    #[error("{}", first_lines(.0))]
    Sql(DataFusionError),
    #[error("{0}")]
    Answer(String),
    #[error(transparent)]
    Lake(#[from] LakeError),
}

impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> Self {
        Self::Sql(error)
    }
}

/// DataFusion's own words, without the stack of contexts around them. Of the columns there are, none is listed where the
/// right one is known.
fn first_lines(error: &DataFusionError) -> String {
    let words = error.strip_backtrace();
    match words.find("\nValid fields are ") {
        Some(at) if words.contains("Did you mean '") => words[..at].to_owned(),
        _ => words,
    }
}

/// An error about a table that is not there, with the name that was probably meant out of those that there are.
pub fn with_names<'n>(error: QueryError, known: impl Iterator<Item = &'n str>) -> QueryError {
    let words = error.to_string();
    let name = words.split("table 'datafusion.public.").nth(1).and_then(|rest| rest.strip_suffix("' not found"));
    let Some(name) = name else { return error };
    let advice = match nearest(name, known) {
        Some((word, true)) => format!("did you mean {word}?"),
        _ => "SHOW TABLES lists what there is".to_owned(),
    };
    QueryError::NoTable { name: name.to_owned(), advice }
}

/// Rows of a batch where few are expected.
const SPARSE_ROWS: usize = 512;
/// Rows of a batch that is kept.
const GATHERED_ROWS: usize = 8_192;

/// How much a session may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes that sorts, joins and aggregates may hold before they spill to disk, or fail where they cannot.
    pub memory_bytes: usize,
    /// How many cores work on one query.
    pub cores: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self { memory_bytes: 4 << 30, cores }
    }
}

/// An empty session.
pub fn session(limits: Limits) -> Result<SessionContext, QueryError> {
    with_memory(limits, GreedyMemoryPool::new(limits.memory_bytes))
}

/// An empty session in which sorts side by side come to an end, if need be beyond the limit by half (`pool`).
pub fn sorting(limits: Limits) -> Result<SessionContext, QueryError> {
    with_memory(limits, Pool::new(limits.memory_bytes))
}

/// An empty session in which whatever can write to disk does so, rather than that one takes the memory of another.
pub fn spilling(limits: Limits) -> Result<SessionContext, QueryError> {
    with_memory(limits, FairSpillPool::new(limits.memory_bytes))
}

fn with_memory(limits: Limits, pool: impl MemoryPool + 'static) -> Result<SessionContext, QueryError> {
    let mut config = SessionConfig::new().with_target_partitions(limits.cores).with_information_schema(true);
    let options = config.options_mut();
    options.execution.time_zone = Some("UTC".to_owned());
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
    options.execution.collect_statistics = false;
    // More passes find next to nothing more in our views, and planning is most of what a run on a small lake costs.
    options.optimizer.max_passes = 1;
    let five = NonZeroUsize::MIN.saturating_add(4);
    let runtime =
        RuntimeEnvBuilder::new().with_memory_pool(Arc::new(TrackConsumersPool::new(pool, five))).build_arc()?;
    Ok(known(SessionContext::new_with_config_rt(config, runtime)))
}

/// Whether some event stands in more than one of the rows of `events` that meet a condition. Nearly always none does, and
/// asking takes a fraction of telling repeats apart.
pub async fn has_repeats(context: &SessionContext, condition: &str) -> Result<bool, QueryError> {
    let sql =
        format!("SELECT 1 AS one FROM events WHERE {condition} GROUP BY source, event_id HAVING COUNT(*) > 1 LIMIT 1");
    let rows = context.sql(&sql).await?.collect().await?;
    Ok(rows.iter().any(|batch| batch.num_rows() > 0))
}

/// Another session with the same limits and memory, and none of the tables.
pub fn sibling(context: &SessionContext) -> SessionContext {
    known(SessionContext::new_with_config_rt(context.copied_config(), context.runtime_env()))
}

/// Another one, in which rows stay in one lane: where there are as many questions as cores, and where rows have an order.
pub fn on_one_core(context: &SessionContext) -> SessionContext {
    known(SessionContext::new_with_config_rt(context.copied_config().with_target_partitions(1), context.runtime_env()))
}

/// Another one, for few rows out of each of many files: a reader takes memory for a whole batch of each column.
pub fn sparse(context: &SessionContext) -> SessionContext {
    known(SessionContext::new_with_config_rt(
        context.copied_config().with_batch_size(SPARSE_ROWS),
        context.runtime_env(),
    ))
}

/// The session with our functions.
fn known(context: SessionContext) -> SessionContext {
    functions::register(&context);
    context
}

/// Some data files of the lake's `events` as a table.
pub fn events(lake: &Lake, context: &SessionContext, files: Vec<DataFile>) -> Result<Arc<Files>, QueryError> {
    Ok(Arc::new(files_of(lake, context, files)?))
}

/// The same, read one file after the other.
pub fn events_in_turn(lake: &Lake, context: &SessionContext, files: Vec<DataFile>) -> Result<Arc<Files>, QueryError> {
    Ok(Arc::new(files_of(lake, context, files)?.in_turn()))
}

fn files_of(lake: &Lake, context: &SessionContext, files: Vec<DataFile>) -> Result<Files, QueryError> {
    let table = lake.events();
    know_store(context, table);
    Ok(Files::new(table, TABLE_SCHEMA.clone(), &[CLASS, EVENT_DATE], files)?)
}

/// Tells a session how to read the files of a table.
pub fn know_store(context: &SessionContext, table: &Table) {
    let (store, root) = table.root_store();
    context.runtime_env().register_object_store(&root, store);
}

/// Plans one query, and nothing but a query.
pub async fn plan(context: &SessionContext, sql: &str) -> Result<DataFrame, QueryError> {
    readonly::check(sql)?;
    Ok(context.sql_with_options(sql, readonly::options()).await?)
}

/// A query's answer, whole.
#[derive(Debug)]
pub struct Rows {
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
}

impl Rows {
    /// How many rows there are.
    pub fn count(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// Names of everything a session knows: tables, columns, functions.
///
/// # Errors
/// A table whose columns cannot be told.
pub async fn names(context: &SessionContext) -> Result<Vec<String>, QueryError> {
    let sql = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' \
               UNION SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' \
               UNION SELECT DISTINCT routine_name FROM information_schema.routines";
    let rows = collect(context.sql(sql).await?).await?;
    let texts = rows.batches.iter().flat_map(|batch| output::objects(std::slice::from_ref(batch)).collect::<Vec<_>>());
    Ok(texts.filter_map(|row| row.values().next().map(output::text)).collect())
}

/// An answer that was held to its limits.
#[derive(Debug)]
pub struct Answer {
    pub rows: Rows,
    /// There were more rows than were asked for.
    pub is_cut: bool,
    /// Bytes of data files that were read.
    pub bytes_read: u64,
}

/// Runs a plan and keeps its rows, as many as are allowed.
///
/// # Errors
/// What the query itself runs into; or rows that take more than `bytes_max` of memory.
pub async fn answer(frame: DataFrame, rows_max: usize, bytes_max: usize) -> Result<Answer, QueryError> {
    let schema: SchemaRef = Arc::new(frame.schema().as_arrow().clone());
    // A plan that is shown stands alone; it has few rows.
    let is_shown = matches!(frame.logical_plan(), LogicalPlan::Explain(_) | LogicalPlan::Analyze(_));
    let frame = if is_shown { frame } else { frame.limit(0, Some(rows_max.saturating_add(1)))? };
    let context = Arc::new(frame.task_ctx());
    let plan = frame.create_physical_plan().await?;
    let mut stream = execute_stream(plan.clone(), context)?;
    let (mut batches, mut count, mut bytes) = (Vec::new(), 0, 0);
    while let Some(batch) = stream.next().await.transpose()? {
        bytes += batch.get_array_memory_size();
        if bytes > bytes_max {
            return Err(QueryError::Answer(format!(
                "the answer takes more than {} MiB: ask for fewer columns or rows, or allow more with --memory-mib",
                bytes_max >> 20
            )));
        }
        let kept = batch.num_rows().min(rows_max - count);
        count += kept;
        let is_cut = kept < batch.num_rows();
        batches.push(batch.slice(0, kept));
        if is_cut {
            return Ok(Answer { rows: Rows { schema, batches }, is_cut, bytes_read: bytes_scanned(&plan) });
        }
    }
    Ok(Answer { rows: Rows { schema, batches }, is_cut: false, bytes_read: bytes_scanned(&plan) })
}

/// Bytes that a plan's scans have read.
fn bytes_scanned(plan: &Arc<dyn ExecutionPlan>) -> u64 {
    let own = plan.metrics().and_then(|metrics| metrics.sum_by_name("bytes_scanned")).map_or(0, |sum| sum.as_usize());
    own as u64 + plan.children().into_iter().map(bytes_scanned).sum::<u64>()
}

/// Runs a plan and keeps its rows in memory that holds little else: a batch of a scan keeps room for as many rows as it could
/// have had, and the pages its texts came from.
pub async fn gather(frame: DataFrame) -> Result<Rows, QueryError> {
    let schema: SchemaRef = Arc::new(frame.schema().as_arrow().clone());
    let mut stream = frame.execute_stream().await?;
    let mut gathered = BatchCoalescer::new(stream.schema(), GATHERED_ROWS);
    let mut batches = Vec::new();
    while let Some(batch) = stream.next().await {
        gathered.push_batch(batch?).map_err(DataFusionError::from)?;
        batches.extend(gathered.next_completed_batch());
    }
    gathered.finish_buffered_batch().map_err(DataFusionError::from)?;
    batches.extend(std::iter::from_fn(|| gathered.next_completed_batch()));
    Ok(Rows { schema, batches })
}

/// Runs a plan and keeps its rows.
pub async fn collect(frame: DataFrame) -> Result<Rows, QueryError> {
    let schema: SchemaRef = Arc::new(frame.schema().as_arrow().clone());
    Ok(Rows { schema, batches: frame.collect().await? })
}
