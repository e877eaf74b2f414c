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

/// The rows of a plan of one partition, on their way to each of several tables.
pub(super) struct Reading {
    plan: Arc<dyn ExecutionPlan>,
    order: Vec<SortExpr>,
    readers: Vec<Sender<Read>>,
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
                Err(error) => return tell(&self.readers, Err(error)).await,
            };
            while !self.readers.iter().all(Sender::is_closed)
                && let Some(batch) = rows.next().await
            {
                tell(&self.readers, batch).await;
            }
        })
    }
}

/// Says the same to all; who does not listen any more has what it wants, or failed and says so itself.
async fn tell(readers: &[Sender<Read>], read: Read) {
    let read = read.map_err(Arc::new);
    for reader in readers {
        let _ = reader.send(read.clone().map_err(DataFusionError::Shared)).await;
    }
}

/// Where one table's rows arrive.
#[derive(Debug)]
struct Reader {
    schema: SchemaRef,
    rows: Mutex<Option<Receiver<Read>>>,
}

impl PartitionStream for Reader {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = self.rows.lock().ok().and_then(|mut rows| rows.take());
        let rows = match rows {
            Some(rows) => stream::unfold(rows, |mut rows| async { rows.recv().await.map(|read| (read, rows)) }).boxed(),
            None => {
                stream::iter([Err(DataFusionError::Internal("rows that are gone were read again".to_owned()))]).boxed()
            }
        };
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), rows))
    }
}
