//! What became of the findings: when a run first saw each, and who decided what about it. It is told as the findings log has
//! it, and stays out of the evidence hash, because it depends on when somebody ran detectors.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::model::{Change, Detector, Moment};
use super::privacy::Privacy;
use crate::detect::log;
use crate::event::time;
use crate::lake::Lake;
use crate::query::{self, QueryError, output};

const CHANGES: &str = "SELECT finding_id, change, at, owner, reason, until FROM finding_changes";

/// Every change of the findings that these detectors have rows of, by finding and time.
pub async fn of(lake: &Lake, detectors: &[Detector], privacy: &Privacy) -> Result<Vec<Change>, QueryError> {
    let context = query::session(query::Limits::default())?;
    log::register(lake, &context).await?;
    if !context.table_exist("finding_changes")? {
        return Ok(Vec::new());
    }
    let rows = detectors.iter().map(|d| &d.rows);
    let shown: BTreeSet<&str> = rows.flat_map(|rows| (0..rows.len()).map(|row| rows.named(row, "finding"))).collect();
    let found = query::collect(context.sql(CHANGES).await?).await?;
    let changes = output::objects(&found.batches).map(|row| change(&row, privacy));
    let mut changes: Vec<Change> = changes.filter(|change| shown.contains(change.finding.as_str())).collect();
    changes.sort();
    changes.dedup();
    Ok(changes)
}

fn change(row: &Map<String, Value>, privacy: &Privacy) -> Change {
    let text = |name: &str| row.get(name).map(output::text).unwrap_or_default();
    let moment = |name: &str| time::parse(&text(name)).map(Moment);
    Change {
        finding: privacy.finding(&text("finding_id")),
        at: moment("at").unwrap_or_default(),
        change: text("change"),
        owner: text("owner"),
        reason: text("reason"),
        until: moment("until"),
    }
}
