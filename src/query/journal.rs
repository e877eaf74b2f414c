//! Who asked what: every query is recorded in the lake's table `query_log`, for the same reason that tokens are.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::prelude::SessionContext;

use super::{QueryError, know_store, views};
use crate::lake::scan::Files;
use crate::lake::table::{Table, TableSpec};
use crate::lake::{Lake, LakeError, plain};

/// The table's name.
pub const NAME: &str = "query_log";

/// Small files are merged, and a checkpoint is written, every so many queries, so that opening the table stays quick.
const TIDY_EVERY: i64 = 64;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let field = |name: &str, kind: DataType| Field::new(name, kind, true);
    Arc::new(Schema::new(vec![
        field("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        field("user", DataType::Utf8View),
        field("text", DataType::Utf8View),
        field("version", DataType::Int64),
        field("rows", DataType::Int64),
        field("bytes_read", DataType::Int64),
        field("seconds", DataType::Float64),
        field("result", DataType::Utf8View),
    ]))
});

/// One query that was asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// Microseconds UTC.
    pub at: i64,
    /// Of the operating system.
    pub user: String,
    /// The query, secrets taken out.
    pub text: String,
    /// The lake's version that was asked.
    pub version: i64,
    /// Rows that were given.
    pub rows: u64,
    /// Bytes of data files that were read.
    pub bytes_read: u64,
    pub seconds: f64,
    /// `ok`, or why there was no answer.
    pub result: String,
}

/// Records a query.
///
/// # Errors
/// The lake cannot be written.
pub async fn record(lake: &Lake, entry: &Entry) -> Result<(), LakeError> {
    let spec = TableSpec { name: NAME, schema: SCHEMA.clone(), partition_columns: Vec::new(), statistics: &["at"] };
    let table = lake.table(&spec).await?;
    let text = |value: &str| Arc::new(StringViewArray::from_iter_values([value])) as ArrayRef;
    let number = |value: u64| Arc::new(Int64Array::from(vec![i64::try_from(value).unwrap_or(i64::MAX)])) as ArrayRef;
    let columns = vec![
        Arc::new(TimestampMicrosecondArray::from(vec![entry.at]).with_timezone("UTC")) as ArrayRef,
        text(&entry.user),
        text(&entry.text),
        Arc::new(Int64Array::from(vec![entry.version])),
        number(entry.rows),
        number(entry.bytes_read),
        Arc::new(Float64Array::from(vec![entry.seconds])),
        text(&entry.result),
    ];
    let version = table.append(RecordBatch::try_new(SCHEMA.clone(), columns)?).await?;
    if version % TIDY_EVERY == 0 {
        plain::compact(&table, &SCHEMA, plain::FILES_MIN).await?;
    }
    Ok(())
}

/// The table with its columns.
pub fn table() -> (&'static str, SchemaRef) {
    (NAME, SCHEMA.clone())
}

/// Makes `query_log` known to a session, if the lake has one.
pub async fn register(lake: &Lake, context: &SessionContext) -> Result<(), QueryError> {
    let Some(table) = Table::open(lake.uri(), NAME).await? else { return Ok(()) };
    let state = table.refresh().await?;
    know_store(context, &table);
    let files = Files::new(&table, SCHEMA.clone(), &[], state.files.values().cloned().collect())?;
    views::replace(context, NAME, Arc::new(files))
}
