//! Rows that hold only what they show.
//!
//! An aggregate hands out slices of one large table, and a view column points into whole file pages. Whoever keeps such
//! batches counts, and holds, the large thing once for each of them: sorting 2.5 million small groups took 3.3 GB.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, UInt32Array};
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::DataFusionError;
use datafusion::dataframe::DataFrame;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties as _, SendableRecordBatchStream};
use datafusion::prelude::SessionContext;
use futures::{StreamExt as _, TryStreamExt as _};

use super::QueryError;
use super::views::compact;

/// What becomes of each batch of a plan.
type Each = fn(RecordBatch, &SchemaRef) -> Result<RecordBatch, DataFusionError>;

/// One partition of a plan.
#[derive(Debug)]
struct Partition {
    plan: Arc<dyn ExecutionPlan>,
    number: usize,
    schema: SchemaRef,
    each: Each,
}

impl PartitionStream for Partition {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (schema, each) = (self.schema.clone(), self.each);
        let rows = match self.plan.execute(self.number, context) {
            Ok(rows) => rows.map(move |batch| each(batch?, &schema)).boxed(),
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
        };
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), rows.into_stream()))
    }
}

/// The rows of a plan, in batches that hold nothing else.
pub async fn owned(context: &SessionContext, frame: DataFrame) -> Result<DataFrame, QueryError> {
    let plan = frame.create_physical_plan().await?;
    let fields =
        plan.schema().fields().iter().map(|f| Field::new(f.name(), compact(f.data_type()), true)).collect::<Vec<_>>();
    Ok(context.read_table(Arc::new(table(plan, Arc::new(Schema::new(fields)), copied)?))?)
}

/// The rows of a plan as a table, to be read with another session's settings.
pub fn as_table(plan: Arc<dyn ExecutionPlan>) -> Result<StreamingTable, QueryError> {
    let schema = plan.schema();
    table(plan, schema, |batch, _| Ok(batch))
}

fn table(plan: Arc<dyn ExecutionPlan>, schema: SchemaRef, each: Each) -> Result<StreamingTable, QueryError> {
    let partitions = (0..plan.output_partitioning().partition_count()).map(|number| {
        let partition = Partition { plan: plan.clone(), number, schema: schema.clone(), each };
        Arc::new(partition) as Arc<dyn PartitionStream>
    });
    Ok(StreamingTable::try_new(schema.clone(), partitions.collect())?)
}

fn copied(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, DataFusionError> {
    let all = UInt32Array::from_iter_values(0..u32::try_from(batch.num_rows()).unwrap_or(u32::MAX));
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| take(&cast(column, field.data_type())?, &all, None));
    Ok(RecordBatch::try_new(schema.clone(), columns.collect::<Result<Vec<_>, _>>()?)?)
}
