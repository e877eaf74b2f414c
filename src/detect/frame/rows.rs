//! Rows by name and moment: the filters and joins that frames are made with.

use std::sync::Arc;

use datafusion::arrow::array::{AsArray, RecordBatch, StringViewArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Date32Type, Field, Int64Type, Schema};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::datasource::empty::EmptyTable;
use datafusion::functions_aggregate::expr_fn::{count_distinct, max, min};
use datafusion::logical_expr::Expr;
use datafusion::prelude::{SessionContext, col, lit};

use crate::detect::folds::Fold;
use crate::detect::kept::Begins;
use crate::event::columns::ALL as COLUMNS;
use crate::query::{self, QueryError, functions, views};

/// Columns of events that no verdict needs and that are large.
const LEFT_OUT: &[&str] = &["raw", "raw_bytes", "reject_reason"];
/// Names that are listed in a filter.
const LISTED_MAX: usize = 500;

/// The columns of events that frames can show.
pub(super) fn all_columns() -> impl Iterator<Item = &'static str> {
    COLUMNS.iter().map(|c| c.name).filter(|name| !LEFT_OUT.contains(name))
}

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

/// Whether a column has one of these texts. The bounds of a list prune files and pages where rows are ordered by the column,
/// and so does each text of a short one; a long one would be copied and simplified for each file.
pub(super) fn one_of(column: &str, texts: &[String]) -> Expr {
    let text = |text: &String| lit(query::ScalarValue::Utf8View(Some(text.clone())));
    let (Some(least), Some(most)) = (texts.iter().min(), texts.iter().max()) else { return lit(false) };
    let found = if texts.len() <= LISTED_MAX {
        col(column).in_list(texts.iter().map(text).collect(), false)
    } else {
        functions::one_of(texts.iter().cloned().collect()).call(vec![col(column)])
    };
    col(column).gt_eq(text(least)).and(col(column).lt_eq(text(most))).and(found)
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

/// Between which days, the first and the last among them, the rows stored under these grants lie; `None`: the session's folds
/// do not know all of them.
pub(super) async fn days_of(
    context: &SessionContext,
    parts: &Arc<dyn TableProvider>,
    grants: &[String],
) -> Result<Option<(i32, i32)>, QueryError> {
    let parts = context.read_table(parts.clone())?.filter(one_of("grant_id", grants))?;
    let (first, last) = (min(col("begins_at")), max(col("last_event_at")));
    let of_all = vec![first.alias("first"), last.alias("last"), count_distinct(col("grant_id")).alias("known")];
    let day = |name: &str| query::cast(col(name), DataType::Date32);
    let rows =
        parts.aggregate(vec![], of_all)?.select(vec![day("first"), day("last"), col("known")])?.collect().await?;
    let Some(row) = rows.first().filter(|row| row.num_rows() == 1) else { return Ok(None) };
    let day = |column: usize| row.column(column).as_primitive::<Date32Type>().iter().next().flatten();
    let known = row.column(2).as_primitive::<Int64Type>().value(0);
    Ok(day(0).zip(day(1)).filter(|_| usize::try_from(known).is_ok_and(|known| known == grants.len())))
}

/// Whether a row is of one of these days: prunes whole partitions.
pub(super) fn on_days((first, last): (i32, i32)) -> Expr {
    let day = |day: i32| lit(query::ScalarValue::Date32(Some(day)));
    column("event_date").between(day(first), day(last))
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

/// Works a registered view out once, for the many times that it is read.
pub(super) async fn hold(context: &SessionContext, name: &str) -> Result<(), QueryError> {
    let rows = query::collect(context.table(name).await?).await?;
    views::replace(context, name, views::memory(rows)?)
}

/// Limits a registered view to the nominated grants.
pub(super) async fn limit(context: &SessionContext, name: &str) -> Result<(), QueryError> {
    let sql = format!("SELECT v.* FROM {name} AS v WHERE v.grant_id IN (SELECT grant_id FROM nominated)");
    let limited = context.sql(&sql).await?.into_view();
    views::replace(context, name, limited)
}
