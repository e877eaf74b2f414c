//! Files ordered by a fold's first key as one table in that order: merging them holds a batch of each and one group, and
//! not all groups there are.

use std::sync::Arc;

use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::SortExpr;
use datafusion::prelude::{ParquetReadOptions, SessionContext, col};

use super::Fold;
use crate::query::{self, QueryError, owned, views};

/// Rows of a file at hand at once: there may be many files.
const BATCH_ROWS: usize = 1_024;

/// What a fold's rows are ordered by.
pub(super) fn order(fold: &Fold) -> Vec<SortExpr> {
    vec![col(fold.keys[0].as_str()).sort(true, true)]
}

/// The rows of ordered files merged to one per key, in order.
pub(super) async fn merged(context: &SessionContext, fold: &Fold, urls: Vec<String>) -> Result<DataFrame, QueryError> {
    // A partition for each file: within one of several files there would be no order to go by.
    let mut config = context.copied_config().with_target_partitions(urls.len()).with_batch_size(BATCH_ROWS);
    config.options_mut().optimizer.repartition_file_scans = false;
    let reading = SessionContext::new_with_config_rt(config, context.runtime_env());
    let options = ParquetReadOptions::default().schema(&fold.schema).file_sort_order(vec![order(fold)]);
    let plan = reading.read_parquet(urls, options).await?.sort(order(fold))?.create_physical_plan().await?;
    let table = owned::as_table(plan)?.with_sort_order(order(fold));
    // Spread over several partitions rows would have to be sorted again.
    let merging = query::on_one_core(context);
    views::replace(&merging, "parts", Arc::new(table))?;
    Ok(merging.sql(&fold.merge_sql("parts")).await?.sort(order(fold))?)
}
