//! A sample for a person: grants drawn by the hash of their id under a seed, so that whoever has the lake and the seed draws
//! the same, in whatever order rows are stored.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::model::{Period, Sample, Table};
use super::privacy::{How, Privacy};
use crate::event::columns;
use crate::query::{self, QueryError, SessionContext, output};

/// Most grants that one sample may have.
pub const SIZE_MAX: u64 = 10_000;

/// What is to be drawn.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub size: u64,
    pub seed: String,
}

/// Draws a sample of the grants with an event in the period. `events` in the session is the lake at its cut.
pub async fn draw(
    session: &SessionContext,
    wanted: &Wanted,
    period: Period,
    privacy: &Privacy,
) -> Result<Sample, QueryError> {
    let moment = |at: i64| format!("to_timestamp_micros({at})");
    let sql = format!(
        "SELECT DISTINCT grant_id FROM events WHERE class = 'token' AND grant_id IS NOT NULL AND event_time >= {} \
         AND event_time < {}",
        moment(period.from.0),
        moment(period.to.0)
    );
    let rows = query::collect(session.sql(&sql).await?).await?;
    let mut ranked: BTreeMap<([u8; 32], String), ()> = BTreeMap::new();
    let mut grants = 0_u64;
    for batch in &rows.batches {
        for row in 0..batch.num_rows() {
            let grant = output::text(&output::value(batch.column(0), row));
            grants += 1;
            ranked.insert((rank(&wanted.seed, &grant), grant), ());
            if ranked.len() as u64 > wanted.size {
                ranked.pop_last();
            }
        }
    }
    let drawn: Vec<String> = ranked.into_keys().map(|(_, grant)| grant).collect();
    let (timelines, withheld) = timelines(session, &drawn, period, privacy).await?;
    Ok(Sample {
        size: wanted.size,
        seed: wanted.seed.clone(),
        method: "Of all grants with an event in the period, those with the smallest \
                 SHA-256(\"tokentrail sample\", 0x00, seed, 0x00, grant_id); drawn are those with the smallest hashes, in \
                 their order, each with every event up to the end of the period."
            .to_owned(),
        grants,
        drawn: drawn.iter().map(|grant| privacy.text(How::Id, grant)).collect(),
        timelines_sha256: timelines.sha256(),
        timelines,
        withheld,
    })
}

fn rank(seed: &str, grant: &str) -> [u8; 32] {
    let hash = Sha256::new_with_prefix("tokentrail sample\0").chain_update(seed).chain_update([0]).chain_update(grant);
    hash.finalize().into()
}

/// Every event of some grants up to the end of the period, in canonical order.
async fn timelines(
    session: &SessionContext,
    grants: &[String],
    period: Period,
    privacy: &Privacy,
) -> Result<(Table, Vec<String>), QueryError> {
    // Where a record lay belongs to the lake and not to the event.
    const NOT_OF_THE_EVENT: [&str; 8] =
        ["received_at", "topic", "partition", "offset", "record_index", "record_hash", "class", "event_date"];
    let first = ["grant_id", "event_time", "event_id"];
    let rest = columns::ALL.iter().map(|c| c.name).filter(|name| !first.contains(name));
    let rest = rest.filter(|name| !NOT_OF_THE_EVENT.contains(name));
    let (shown, withheld) = privacy.columns(first.into_iter().chain(rest));
    let mut table = Table::new(shown.iter().map(|(column, _)| column.clone()).collect());
    let listed: Vec<String> = grants.iter().map(|grant| format!("'{}'", grant.replace('\'', "''"))).collect();
    let names: Vec<String> = shown.iter().map(|(column, _)| format!("\"{}\"", column.name)).collect();
    if !listed.is_empty() {
        let sql = format!(
            "SELECT DISTINCT {} FROM events WHERE class <> 'rejected' AND event_time < to_timestamp_micros({}) \
             AND grant_id IN ({})",
            names.join(", "),
            period.to.0,
            listed.join(", ")
        );
        let rows = query::collect(session.sql(&sql).await?).await?;
        for row in output::objects(&rows.batches) {
            let cells: Vec<String> = shown
                .iter()
                .map(|(column, how)| row.get(&column.name).map(|value| privacy.cell(*how, value)).unwrap_or_default())
                .collect();
            table.push(cells.iter().map(String::as_str));
        }
    }
    Ok((table.sorted(), withheld.into_iter().collect()))
}
