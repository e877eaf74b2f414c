//! What is asked of the days of refreshes, worked out some days at a time: they are nearly as many rows as there are
//! events, and no day needs another.

use std::sync::Arc;

use datafusion::arrow::array::AsArray as _;
use datafusion::arrow::datatypes::{Date32Type, Int64Type};
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::prelude::{SessionContext, col, lit};

use super::Tables;
use crate::query::{self, QueryError, Rows, views};

/// The fold that has them, and its view.
const FOLD: &str = "refresh_days";
const PARTS: &str = "refresh_days_parts";
/// Small views of it, of which each row is of one day.
pub(super) const VIEWS: [&str; 2] = ["lively_days", "refresh_crowds"];
/// Rows of whole days that are read together.
const ROWS_MAX: i64 = 1_000_000;

/// The small views from a day on, in memory; none if there is no such fold among the tables.
pub(super) async fn tables(
    wide: &SessionContext,
    mut tables: impl Iterator<Item = &(String, Arc<dyn TableProvider>)>,
    from: Option<i32>,
) -> Result<Tables, QueryError> {
    let Some((_, parts)) = tables.find(|(name, _)| name == PARTS) else { return Ok(Vec::new()) };
    let mut found: Vec<Option<Rows>> = VIEWS.map(|_| None).into();
    let mut days = days(wide, parts).await?;
    days.retain(|(day, _)| from.is_none_or(|from| *day >= from));
    for (first, last) in ranges(&days) {
        let context = query::sibling(wide);
        let day = |day: i32| lit(ScalarValue::Date32(Some(day)));
        let some = wide.read_table(parts.clone())?.filter(col("day").between(day(first), day(last)))?;
        views::replace(&context, PARTS, some.into_view())?;
        for view in views::ALL.iter().filter(|view| view.name == FOLD || VIEWS.contains(&view.name)) {
            views::register(&context, view, None).await?;
        }
        for (name, all) in VIEWS.iter().zip(&mut found) {
            let rows = query::collect(context.table(*name).await?).await?;
            match all {
                Some(all) => all.batches.extend(rows.batches),
                None => *all = Some(rows),
            }
        }
    }
    let held = VIEWS.iter().zip(found).filter_map(|(name, rows)| Some((name, rows?)));
    held.map(|(name, rows)| Ok(((*name).to_owned(), views::memory(rows)?))).collect()
}

/// Days since 1970-01-01 in order, and how many rows each has.
async fn days(wide: &SessionContext, parts: &Arc<dyn TableProvider>) -> Result<Vec<(i32, i64)>, QueryError> {
    let context = query::sibling(wide);
    views::replace(&context, PARTS, parts.clone())?;
    let sql = "SELECT day, COUNT(*) AS n FROM refresh_days_parts WHERE day IS NOT NULL GROUP BY day ORDER BY day";
    let rows = query::collect(context.sql(sql).await?).await?;
    let mut days = Vec::new();
    for batch in &rows.batches {
        let (day, count) = (batch.column(0).as_primitive::<Date32Type>(), batch.column(1).as_primitive::<Int64Type>());
        days.extend((0..day.len()).map(|row| (day.value(row), count.value(row))));
    }
    Ok(days)
}

/// First and last day of stretches with at most [`ROWS_MAX`] rows, or of one day. Without any day there is one, of none.
fn ranges(days: &[(i32, i64)]) -> Vec<(i32, i32)> {
    let mut ranges: Vec<(i32, i32)> = Vec::new();
    let mut rows = 0;
    for &(day, count) in days {
        match ranges.last_mut() {
            Some((_, last)) if rows + count <= ROWS_MAX => *last = day,
            _ => {
                rows = 0;
                ranges.push((day, day));
            }
        }
        rows += count;
    }
    if ranges.is_empty() { vec![(0, 0)] } else { ranges }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_days_are_read_together() {
        assert_eq!(
            ranges(&[(1, 400_000), (2, 600_000), (4, 1), (5, 2_000_000), (9, 7)]),
            [(1, 2), (4, 4), (5, 5), (9, 9)]
        );
        assert_eq!(ranges(&[]), [(0, 0)]);
    }
}
