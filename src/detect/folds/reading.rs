//! One reading of events for several questions: opening and unpacking files takes longer than answering most of them.

use std::sync::{Arc, Mutex};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::DataFusionError;
use datafusion::common::runtime::SpawnedTask;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::SortExpr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use futures::{StreamExt as _, stream};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::query::QueryError;

/// Batches that the quickest of its readers may be ahead of the slowest.
const AHEAD: usize = 2;

type Read = Result<RecordBatch, DataFusionError>;
/// What is sent to a reader; `None`: that was all. Without that word the reading broke off, as it does by a panic.
type Sent = Option<Read>;

/// The rows of a plan of one partition, on their way to each of several tables.
pub(super) struct Reading {
    plan: Arc<dyn ExecutionPlan>,
    order: Vec<SortExpr>,
    readers: Vec<Sender<Sent>>,
}

impl Reading {
    /// `order` is what the plan's rows are ordered by.
    pub(super) const fn of(plan: Arc<dyn ExecutionPlan>, order: Vec<SortExpr>) -> Self {
        Self { plan, order, readers: Vec::new() }
    }

    /// A table of all rows, which can be read once. Each must be read, or dropped: the others wait for it.
    pub(super) fn table(&mut self) -> Result<Arc<dyn TableProvider>, QueryError> {
        let (sender, receiver) = channel(AHEAD);
        self.readers.push(sender);
        let reader = Reader { schema: self.plan.schema(), rows: Mutex::new(Some(receiver)) };
        let table = StreamingTable::try_new(self.plan.schema(), vec![Arc::new(reader)])?;
        Ok(Arc::new(table.with_sort_order(self.order.clone())))
    }

    /// Reads, as long as what is returned is kept.
    pub(super) fn start(self, context: Arc<TaskContext>) -> SpawnedTask<()> {
        SpawnedTask::spawn(async move {
            let mut rows = match self.plan.execute(0, context) {
                Ok(rows) => rows,
                Err(error) => return self.tell(Some(Err(error))).await,
            };
            while !self.readers.iter().all(Sender::is_closed) {
                let read = rows.next().await;
                let is_all = read.is_none();
                self.tell(read).await;
                if is_all {
                    return;
                }
            }
        })
    }

    /// Says the same to all; who does not listen any more has what it wants, or failed and says so itself.
    async fn tell(&self, read: Sent) {
        let read = read.map(|read| read.map_err(Arc::new));
        for reader in &self.readers {
            let _ = reader.send(read.clone().map(|read| read.map_err(DataFusionError::Shared))).await;
        }
    }
}

/// Where one table's rows arrive.
#[derive(Debug)]
struct Reader {
    schema: SchemaRef,
    rows: Mutex<Option<Receiver<Sent>>>,
}

/// What arrives next, and where more of it does; `None` when all has.
async fn next(rows: Option<Receiver<Sent>>) -> Option<(Read, Option<Receiver<Sent>>)> {
    let mut rows = rows?;
    match rows.recv().await {
        Some(read) => read.map(|read| (read, Some(rows))),
        None => Some((Err(failed("the reading of events broke off")), None)),
    }
}

fn failed(why: &str) -> DataFusionError {
    DataFusionError::Internal(why.to_owned())
}

impl PartitionStream for Reader {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = self.rows.lock().ok().and_then(|mut rows| rows.take());
        let rows = match rows {
            Some(rows) => stream::unfold(Some(rows), next).boxed(),
            None => stream::iter([Err(failed("events are handed out once"))]).boxed(),
        };
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), rows))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Int64Array;
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::prelude::SessionContext;

    use super::*;
    use crate::query;

    /// Batches of one row each, and then what an odd source does.
    #[derive(Debug)]
    struct Source {
        schema: SchemaRef,
        rows: i64,
        then: fn() -> Option<Read>,
    }

    impl PartitionStream for Source {
        fn schema(&self) -> &SchemaRef {
            &self.schema
        }

        fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
            let (schema, then) = (self.schema.clone(), self.then);
            let batch = move |n| Ok(RecordBatch::try_new(schema.clone(), vec![Arc::new(Int64Array::from(vec![n]))])?);
            let rows = stream::iter(0..self.rows).map(batch).chain(stream::iter(std::iter::from_fn(then)).take(1));
            Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), rows))
        }
    }

    /// What two readers count of it.
    async fn counted(then: fn() -> Option<Read>) -> [Result<usize, String>; 2] {
        let context = query::on_one_core(&SessionContext::new());
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let source = Source { schema: schema.clone(), rows: 50, then };
        let table = StreamingTable::try_new(schema, vec![Arc::new(source)]).unwrap();
        let plan = context.read_table(Arc::new(table)).unwrap().create_physical_plan().await.unwrap();
        let mut reading = Reading::of(plan, Vec::new());
        let tables = [(); 2].map(|()| reading.table().unwrap());
        drop(reading.table().unwrap());
        let _reading = reading.start(context.task_ctx());
        let counts = tables.map(|table| {
            let rows = context.read_table(table).unwrap();
            async move { rows.count().await.map_err(|error| error.to_string()) }
        });
        futures::future::join_all(counts).await.try_into().unwrap()
    }

    #[tokio::test]
    async fn each_reader_gets_all_rows_though_another_table_is_never_read() {
        assert_eq!(counted(|| None).await, [Ok(50), Ok(50)]);
    }

    #[tokio::test]
    async fn each_reader_is_told_what_went_wrong() {
        for count in counted(|| Some(Err(failed("a page is torn")))).await {
            assert!(count.unwrap_err().contains("a page is torn"));
        }
    }

    #[tokio::test]
    async fn a_panic_is_not_the_end_of_all_rows() {
        for count in counted(|| panic!("a page is torn")).await {
            assert!(count.unwrap_err().contains("broke off"));
        }
    }
}
