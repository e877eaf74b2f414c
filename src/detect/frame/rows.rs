//! Rows by name and moment: the filters and joins that frames are made with.

use std::sync::Arc;

use datafusion::arrow::array::{AsArray, RecordBatch, StringViewArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Date32Type, Field, Schema};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::datasource::empty::EmptyTable;
use datafusion::functions_aggregate::expr_fn::min;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{SessionContext, col, lit};

use crate::detect::folds::Fold;
use crate::detect::kept::Begins;
use crate::query::{self, QueryError, functions, views};

/// Names that are listed in a filter.
const LISTED_MAX: usize = 500;

/// The fold of some events, in memory.
pub(super) async fn folded(
    context: &SessionContext,
    fold: &Fold,
    events: Arc<dyn TableProvider>,
) -> Result<Arc<dyn TableProvider>, QueryError> {
    let context = query::sibling(context);
    views::replace(&context, "events", events)?;
    views::memory(query::collect(context.sql(&fold.sql).await?).await?)
}

/// Some columns of the events up to a moment.
pub(super) fn up_to(
    context: &SessionContext,
    rows: Arc<dyn TableProvider>,
    columns: &[&str],
    as_of: i64,
) -> Result<Arc<dyn TableProvider>, QueryError> {
    let wanted: Vec<Expr> = columns.iter().map(|name| column(name)).collect();
    let until = column("event_time")
        .lt_eq(lit(views::timestamp(as_of)))
        // Says nothing new, but prunes whole partitions.
        .and(column("event_date").lt_eq(lit(query::ScalarValue::Date32(Some(day(as_of))))));
    Ok(context.read_table(rows)?.filter(until)?.select(wanted)?.into_view())
}

/// Days since 1970-01-01.
pub(super) fn day(at: i64) -> i32 {
    i32::try_from(at.div_euclid(crate::event::time::DAY)).unwrap_or(i32::MAX)
}

/// A column by its exact name; `col` would fold case and split at dots.
pub(in crate::detect) fn column(name: &str) -> Expr {
    Expr::Column(datafusion::common::Column::new_unqualified(name))
}

/// Rows that have one of the names in the column beside them, in memory.
pub(super) async fn rows_under(
    context: &SessionContext,
    table: &Arc<dyn TableProvider>,
    wanted: &[(&str, &[String])],
) -> Result<Arc<dyn TableProvider>, QueryError> {
    let rows = context.read_table(table.clone())?.filter(any_of(wanted))?;
    views::memory(query::gather(rows).await?)
}

/// Whether a row has one of the names in the column beside them.
pub(in crate::detect) fn any_of(wanted: &[(&str, &[String])]) -> Expr {
    let any = wanted.iter().filter(|(_, texts)| !texts.is_empty()).map(|(column, texts)| one_of(column, texts));
    any.reduce(Expr::or).unwrap_or_else(|| lit(false))
}

/// Whether a column has one of these texts. A short list prunes files and pages, and so do its bounds where rows are ordered
/// by the column; a long one would be copied and simplified for each file.
pub(super) fn one_of(column: &str, texts: &[String]) -> Expr {
    let text = |text: &String| lit(query::ScalarValue::Utf8View(Some(text.clone())));
    match (texts.iter().min(), texts.iter().max()) {
        (Some(least), Some(most)) if texts.len() <= LISTED_MAX => {
            let listed = col(column).in_list(texts.iter().map(text).collect(), false);
            col(column).gt_eq(text(least)).and(col(column).lt_eq(text(most))).and(listed)
        }
        _ => functions::one_of(texts.iter().cloned().collect()).call(vec![col(column)]),
    }
}

/// On which day each of these grants began, of those that the session's folds know.
pub(super) async fn begins(context: &SessionContext, grants: &[String]) -> Result<Begins, QueryError> {
    let parts = context.table("grants_parts").await?.filter(one_of("grant_id", grants))?;
    let rows = parts.aggregate(vec![col("grant_id")], vec![min(col("begins_at")).alias("at")])?;
    let rows = rows.select(vec![col("grant_id"), query::cast(col("at"), DataType::Date32)])?;
    let mut begins = Begins::new();
    for batch in rows.collect().await? {
        let (ids, days) = (texts(std::slice::from_ref(&batch))?, batch.column(1).as_primitive::<Date32Type>());
        begins.extend(ids.into_iter().zip(days).filter_map(|(id, day)| Some((id, day?))));
    }
    Ok(begins)
}

pub(super) fn names<T: AsRef<str>>(
    column: &str,
    texts: impl IntoIterator<Item = T>,
) -> Result<Arc<dyn TableProvider>, QueryError> {
    let schema = Arc::new(Schema::new(vec![Field::new(column, DataType::Utf8View, true)]));
    let array = StringViewArray::from_iter_values(texts);
    let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(array)])
        .map_err(datafusion::common::DataFusionError::from)?;
    Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
}

/// No alias at all.
pub(super) fn none() -> Result<Arc<dyn TableProvider>, QueryError> {
    let text = |name: &str| Field::new(name, DataType::Utf8View, true);
    let schema = Arc::new(Schema::new(vec![text("token_id"), text("family_id")]));
    Ok(Arc::new(EmptyTable::new(schema)))
}

/// The first column as text, nulls left out.
pub(super) fn texts(batches: &[RecordBatch]) -> Result<Vec<String>, QueryError> {
    let mut all = Vec::new();
    for batch in batches {
        let column = cast(batch.column(0), &DataType::Utf8View).map_err(datafusion::common::DataFusionError::from)?;
        all.extend(column.as_string_view().iter().flatten().map(str::to_owned));
    }
    Ok(all)
}
