//! How long runs are remembered. A run that opened, changed or decided about a finding which is not over yet stays, and so
//! does the newest, however old they are: the next run and whoever looks into the finding go by them.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{AsArray as _, BooleanArray, RecordBatch};

use super::log::{self, FINDINGS};
use super::runs::SCHEMA;
use super::settled::HISTORY;
use crate::event::time::DAY;
use crate::lake::table::Table;
use crate::lake::{Lake, LakeError, plain};
use crate::query::{self, QueryError, views};

/// The fewest days that runs have to be kept: as far back as detectors look.
pub const DAYS_MIN: i64 = HISTORY / DAY;
/// How often it is decided anew because a run was recorded meanwhile.
const ATTEMPTS_MAX: u32 = 20;
/// Runs before `$before`, but for the newest and those that open findings name.
const SETTLED: &str = "
WITH open AS (
    SELECT finding_id FROM finding_changes GROUP BY finding_id
    HAVING LAST_VALUE(state ORDER BY sequence) NOT IN ('resolved', 'excepted', 'retracted')
), named AS (
    SELECT DISTINCT run_id FROM finding_changes
    WHERE run_id IS NOT NULL AND finding_id IN (SELECT finding_id FROM open)
)
SELECT run_id FROM detector_runs
WHERE at < $before
    AND run_id NOT IN (SELECT run_id FROM named)
    AND run_id NOT IN (SELECT run_id FROM detector_runs ORDER BY as_of DESC, at DESC, run_id LIMIT 1)
    AND at < (SELECT MAX(at) FROM detector_runs)";

/// Takes away the runs from before a moment, microseconds UTC, that nothing rests on, and gives their number.
///
/// # Errors
/// The lake cannot be read or written, or runs are recorded all the time: then the next time will do.
pub async fn forget(lake: &Lake, before: i64) -> Result<u64, QueryError> {
    let Some(runs) = Table::open(lake.uri(), "detector_runs").await? else { return Ok(0) };
    let Some(findings) = Table::open(lake.uri(), "findings").await? else { return Ok(0) };
    for _ in 0..ATTEMPTS_MAX {
        let state = runs.refresh().await?;
        let context = query::session(query::Limits::default())?;
        log::register_table(&context, &runs, "detector_runs", &SCHEMA).await?;
        log::register_table(&context, &findings, "finding_changes", &FINDINGS).await?;
        let before = vec![("before", views::timestamp(before))];
        let rows = query::collect(context.sql(SETTLED).await?.with_param_values(before)?).await?;
        let mut settled = HashSet::new();
        for batch in &rows.batches {
            settled.extend(ids(batch)?.into_iter().map(str::to_owned));
        }
        if settled.is_empty() {
            return Ok(0);
        }
        let settled = Arc::new(settled);
        let keeps = move |batch: &RecordBatch| -> Result<BooleanArray, LakeError> {
            Ok(ids(batch)?.into_iter().map(|id| Some(!settled.contains(id))).collect())
        };
        if let Some(dropped) = plain::thin(&runs, &state, &SCHEMA, keeps).await? {
            return Ok(dropped);
        }
    }
    Err(LakeError::Contended(runs.url().to_string(), ATTEMPTS_MAX).into())
}

fn ids(batch: &RecordBatch) -> Result<Vec<&str>, LakeError> {
    let column = batch.column_by_name("run_id").and_then(|column| column.as_string_view_opt());
    let column = column.ok_or_else(|| LakeError::Log("detector_runs".to_owned(), "a run has no id".to_owned()))?;
    Ok(column.iter().map(Option::unwrap_or_default).collect())
}
