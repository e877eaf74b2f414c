//! Rows by name and moment: the filters and joins that frames are made with.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::{AsArray, RecordBatch, StringViewArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::TableProvider;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::MemTable;
use datafusion::datasource::empty::EmptyTable;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{SessionContext, col, lit};

use crate::detect::folds::Fold;
use crate::query::{self, QueryError, views};

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

/// Rows stored under one of these grants, or with one of these tokens.
pub(in crate::detect) fn stored_rows(grants: &[String], tokens: &[String], token_column: &str) -> Expr {
    let by_grant = col("grant_id").in_list(literals(grants), false);
    if tokens.is_empty() { by_grant } else { by_grant.or(col(token_column).in_list(literals(tokens), false)) }
}

/// Rows that have one of the names in the column beside them, in memory.
pub(super) async fn rows_under(
    context: &SessionContext,
    table: &Arc<dyn TableProvider>,
    wanted: &[(&str, &[String])],
) -> Result<Arc<dyn TableProvider>, QueryError> {
    views::memory(query::collect(matching(context, context.read_table(table.clone())?, wanted).await?).await?)
}

/// Rows that have one of the names in the column beside them. Short lists prune files and pages; a long one would be
/// copied and simplified for each file, so it is joined.
pub(in crate::detect) async fn matching(
    context: &SessionContext,
    rows: DataFrame,
    wanted: &[(&str, &[String])],
) -> Result<DataFrame, QueryError> {
    let wanted: Vec<_> = wanted.iter().filter(|(_, texts)| !texts.is_empty()).collect();
    if wanted.iter().map(|(_, texts)| texts.len()).sum::<usize>() <= LISTED_MAX {
        let any = wanted.iter().map(|(column, texts)| one_of(column, texts)).reduce(Expr::or);
        return Ok(rows.filter(any.unwrap_or_else(|| lit(false)))?);
    }
    let context = query::sibling(context);
    views::replace(&context, "stored", rows.into_view())?;
    if let [(column, texts)] = wanted[..] {
        // The side that is held in memory comes first, and each name once, so that no row is doubled.
        let once: BTreeSet<&String> = texts.iter().collect();
        views::replace(&context, "wanted", names(column, once)?)?;
        let sql = format!("SELECT s.* FROM wanted AS w INNER JOIN stored AS s ON s.{column} = w.{column}");
        return Ok(context.sql(&sql).await?);
    }
    let mut conditions = Vec::new();
    for (column, texts) in wanted {
        views::replace(&context, &format!("wanted_{column}"), names(column, *texts)?)?;
        conditions.push(format!("{column} IN (SELECT {column} FROM wanted_{column})"));
    }
    Ok(context.sql(&format!("SELECT * FROM stored WHERE {}", conditions.join(" OR "))).await?)
}

/// A column that has one of these texts. The bounds say nothing new, but prune pages where rows are ordered by the column.
fn one_of(column: &str, texts: &[String]) -> Expr {
    let text = |text: &String| lit(datafusion::common::ScalarValue::Utf8View(Some(text.clone())));
    let listed = col(column).in_list(literals(texts), false);
    match (texts.iter().min(), texts.iter().max()) {
        (Some(least), Some(most)) => col(column).gt_eq(text(least)).and(col(column).lt_eq(text(most))).and(listed),
        _ => listed,
    }
}

pub(super) fn literals(texts: &[String]) -> Vec<Expr> {
    texts.iter().map(|text| lit(datafusion::common::ScalarValue::Utf8View(Some(text.clone())))).collect()
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
