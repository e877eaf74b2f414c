//! The named views of queries/views: what they are called, what they say, and how a session comes to know them.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::dataframe::DataFrame;
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;

use super::{QueryError, Rows};

/// A view: its name in SQL, and the query it stands for.
#[derive(Clone, Copy, Debug)]
pub struct View {
    pub name: &'static str,
    pub sql: &'static str,
}

macro_rules! view {
    ($name:literal) => {
        View { name: $name, sql: include_str!(concat!("../../queries/views/", $name, ".sql")) }
    };
}

/// Every view, in an order in which each only names those before it, tables and folds.
pub const ALL: &[View] = &[
    view!("aliases"),
    view!("single_events"),
    view!("token_events"),
    view!("context_events"),
    view!("country_discs"),
    view!("rejected"),
    view!("offboardings"),
    view!("device_losses"),
    view!("compromises"),
    view!("contexts"),
    view!("exercises"),
    view!("places"),
    view!("several_contexts"),
    view!("several_places"),
    view!("machines"),
    view!("host_bounds"),
    view!("active_days"),
    view!("refresh_days"),
    view!("lively_days"),
    view!("refresh_crowds"),
    view!("source_minutes"),
    view!("issuers"),
    view!("broad_ends"),
    view!("lifetimes"),
    view!("ends"),
    view!("logged_out"),
    view!("compromised"),
];

/// Those that need nothing but `events`.
pub const OF_EVENTS: &[&str] = &[
    "aliases",
    "single_events",
    "token_events",
    "context_events",
    "rejected",
    "offboardings",
    "device_losses",
    "compromises",
];

/// The view called `name`.
pub fn find(name: &str) -> Option<&'static View> {
    ALL.iter().find(|view| view.name == name)
}

/// Makes a view known to a session. Views are planned once; what they read is decided by what the session knows now.
pub async fn register(context: &SessionContext, view: &View, as_of: Option<i64>) -> Result<(), QueryError> {
    let frame = bind(context.sql(view.sql).await?, as_of)?;
    replace(context, view.name, frame.into_view())
}

/// Registers a table in place of one of the same name.
pub fn replace(context: &SessionContext, name: &str, table: Arc<dyn TableProvider>) -> Result<(), QueryError> {
    context.deregister_table(name)?;
    context.register_table(name, table)?;
    Ok(())
}

/// Binds `$as_of`, in microseconds UTC, if the plan asks for it.
pub fn bind(frame: DataFrame, as_of: Option<i64>) -> Result<DataFrame, QueryError> {
    match as_of {
        Some(at) => Ok(frame.with_param_values(vec![("as_of", timestamp(at))])?),
        None => Ok(frame),
    }
}

/// A moment as DataFusion's value.
pub fn timestamp(micros: i64) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()))
}

/// Rows as a table, split so that every core has a part.
pub fn memory(rows: Rows) -> Result<Arc<dyn TableProvider>, QueryError> {
    // What a plan promises and what its batches say may differ in nullability; a table holds its rows to the word.
    let field = |f: &Arc<Field>| Field::new(f.name(), compact(f.data_type()), true);
    let schema: SchemaRef = Arc::new(Schema::new(rows.schema.fields().iter().map(field).collect::<Vec<_>>()));
    let lanes = 4.min(rows.batches.len().max(1));
    let mut partitions = vec![Vec::new(); lanes];
    for (index, batch) in rows.batches.into_iter().enumerate() {
        let columns =
            batch.columns().iter().zip(schema.fields()).map(|(column, field)| cast(column, field.data_type()));
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(DataFusionError::from)?;
        let batch = RecordBatch::try_new(schema.clone(), columns).map_err(DataFusionError::from)?;
        partitions[index % lanes].push(batch);
    }
    Ok(Arc::new(MemTable::try_new(schema, partitions)?))
}

/// The type that holds only what it shows. A view keeps all of the file page it points into, and lists made of views
/// carry every page they ever saw from operator to operator: over 400,000 small groups that was 10 GB.
pub(super) fn compact(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(item) => {
            DataType::List(Arc::new(item.as_ref().clone().with_data_type(compact(item.data_type()))))
        }
        other => other.clone(),
    }
}
