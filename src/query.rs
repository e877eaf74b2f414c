//! Read-only SQL over a lake: sessions with limits, the tables analysts know, and rows as text.
//!
//! A session sees `events` (every row as stored) and the views of queries/views, of which `token_events` shows each
//! event once and with its aliases resolved. It can ask and nothing else: [`readonly`] refuses every other statement
//! before it is planned, and the planner is told to refuse it too.

mod functions;
pub mod output;
pub mod owned;
pub mod people;
pub mod readonly;
pub mod views;

use std::num::NonZeroUsize;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::DataFusionError;
pub use datafusion::common::ScalarValue;
use datafusion::dataframe::DataFrame;
use datafusion::execution::memory_pool::{GreedyMemoryPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::SessionConfig;
pub use datafusion::prelude::{SessionContext, cast};
use thiserror::Error;

use crate::event::columns::{CLASS, EVENT_DATE, TABLE_SCHEMA};
use crate::lake::log::DataFile;
use crate::lake::scan::Files;
use crate::lake::table::Table;
use crate::lake::{Lake, LakeError};

/// What can go wrong with a query, by what the caller does about it.
#[derive(Debug, Error)]
pub enum QueryError {
    #[error("{0}: only queries can be run here (SELECT, EXPLAIN, SHOW, DESCRIBE)")]
    NotAQuery(String),
    #[error("one statement at a time, and here are {0}")]
    Several(usize),
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

/// DataFusion's own words, without the stack of contexts around them.
fn first_lines(error: &DataFusionError) -> String {
    error.strip_backtrace()
}

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
    let mut config = SessionConfig::new().with_target_partitions(limits.cores).with_information_schema(true);
    let options = config.options_mut();
    options.execution.time_zone = Some("UTC".to_owned());
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
    options.execution.collect_statistics = false;
    // More passes find next to nothing more in our views, and planning is most of what a run on a small lake costs.
    options.optimizer.max_passes = 1;
    let five = NonZeroUsize::MIN.saturating_add(4);
    let pool = TrackConsumersPool::new(GreedyMemoryPool::new(limits.memory_bytes), five);
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(pool)).build_arc()?;
    Ok(known(SessionContext::new_with_config_rt(config, runtime)))
}

/// Another session with the same limits and memory, and none of the tables.
pub fn sibling(context: &SessionContext) -> SessionContext {
    known(SessionContext::new_with_config_rt(context.copied_config(), context.runtime_env()))
}

/// The session with our functions.
fn known(context: SessionContext) -> SessionContext {
    functions::register(&context);
    context
}

/// Some data files of the lake's `events` as a table.
pub fn events(lake: &Lake, context: &SessionContext, files: Vec<DataFile>) -> Result<Arc<Files>, QueryError> {
    let table = lake.events();
    know_store(context, table);
    Ok(Arc::new(Files::new(table, TABLE_SCHEMA.clone(), &[CLASS, EVENT_DATE], files)?))
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

/// Runs a plan and keeps its rows.
pub async fn collect(frame: DataFrame) -> Result<Rows, QueryError> {
    let schema: SchemaRef = Arc::new(frame.schema().as_arrow().clone());
    Ok(Rows { schema, batches: frame.collect().await? })
}
