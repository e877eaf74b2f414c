//! How long the outbox remembers. A message is settled when its sink took it or it was given up; long after that it goes,
//! with everything about it. What waits, is held, or may still be tried stays however old it is.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{AsArray as _, BooleanArray, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef};

use super::outbox::{self, Place};
use super::{Config, silence};
use crate::lake::scan::Files;
use crate::lake::table::{State, Table};
use crate::lake::{Lake, LakeError, plain};
use crate::query::{self, QueryError, views};

/// How often it is decided anew because somebody wrote to the outbox meanwhile.
const ATTEMPTS_MAX: u32 = 20;
/// The groups of the last day decide what is gathered, and a day more does no harm.
const DAYS_MORE: u32 = 2;
/// Rows of messages at their end before `$before`, of the alerts they carried, and of what was kept back before then.
///
/// A held alert goes with the message that carried it: without that row it would wait again.
const SETTLED: &str = "
WITH settled AS (
    SELECT key FROM steps WHERE key IS NOT NULL GROUP BY key
    HAVING MAX(at) < $before AND (
        BOOL_OR(step = 'sent')
        OR LAST_VALUE(step ORDER BY sequence, place) FILTER (WHERE step <> 'carried') = 'dead'
    )
), carried AS (
    SELECT DISTINCT s.item FROM steps s JOIN settled k ON s.key = k.key WHERE s.step = 'carried'
)
SELECT s.sequence, s.place FROM steps s
LEFT JOIN settled k ON s.key = k.key
LEFT JOIN carried c ON s.item = c.item
WHERE k.key IS NOT NULL OR (s.step = 'held' AND c.item IS NOT NULL)
    OR (s.step IN ('silenced', 'unrouted') AND s.at < $before)";

/// The outbox and the silences, each with its columns.
pub fn tables() -> [(&'static str, SchemaRef); 2] {
    [outbox::table(), silence::table()]
}

/// The fewest days that alerts have to be kept, so that none is forgotten that may still be sent.
pub fn days_min(config: &Config) -> u32 {
    config.age_max_hours.div_ceil(24).saturating_add(DAYS_MORE)
}

/// Takes away what was settled before a moment, microseconds UTC, and gives the number of rows.
///
/// # Errors
/// The lake cannot be read or written, or others write to the outbox all the time: then the next time will do.
pub async fn forget(lake: &Lake, before: i64) -> Result<u64, QueryError> {
    let (name, schema) = outbox::table();
    let Some(table) = Table::open(lake.uri(), name).await? else { return Ok(0) };
    for _ in 0..ATTEMPTS_MAX {
        let state = table.refresh().await?;
        let places = Arc::new(settled(&table, &state, &schema, before).await?);
        if places.is_empty() {
            return Ok(0);
        }
        let keeps = move |batch: &RecordBatch| keeps(batch, &places);
        if let Some(dropped) = plain::thin(&table, &state, &schema, keeps).await? {
            return Ok(dropped);
        }
    }
    Err(LakeError::Contended(table.url().to_string(), ATTEMPTS_MAX).into())
}

async fn settled(table: &Table, state: &State, schema: &SchemaRef, before: i64) -> Result<HashSet<Place>, QueryError> {
    let context = query::session(query::Limits::default())?;
    query::know_store(&context, table);
    let files = Files::new(table, schema.clone(), &[], state.files.values().cloned().collect())?;
    views::replace(&context, "steps", Arc::new(files))?;
    let before = vec![("before", views::timestamp(before))];
    let rows = query::collect(context.sql(SETTLED).await?.with_param_values(before)?).await?;
    let mut places = HashSet::new();
    for batch in &rows.batches {
        places.extend(places_of(batch)?);
    }
    Ok(places)
}

fn keeps(batch: &RecordBatch, dropped: &HashSet<Place>) -> Result<BooleanArray, LakeError> {
    Ok(places_of(batch)?.iter().map(|place| Some(!dropped.contains(place))).collect())
}

fn places_of(batch: &RecordBatch) -> Result<Vec<Place>, LakeError> {
    let numbers = |name: &str| batch.column_by_name(name)?.as_primitive_opt::<Int64Type>();
    let broken = || LakeError::Log("alerts".to_owned(), "a row has no place".to_owned());
    let (sequences, places) = numbers("sequence").zip(numbers("place")).ok_or_else(broken)?;
    Ok(sequences.values().iter().copied().zip(places.values().iter().copied()).collect())
}
