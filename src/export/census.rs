//! Counting: how many events of the period each test speaks of, per source, day and action, each event once.
//!
//! Events are counted some days at a time, because telling repeats apart needs all ids of the days at hand; a repeat of an
//! event has its time, so it lies in the same stretch. Which order rows are stored in does not matter.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::model::{Moment, Period, Total};
use crate::event::time::{self, DAY};
use crate::lake::table::State;
use crate::query::{self, QueryError, SessionContext, output};

/// So many rows are counted at once, a little more or less: their ids have to fit into memory.
const ROWS_AT_ONCE: u64 = 1_000_000;
/// Conditions that are asked at once: the bits of a BIGINT but its sign.
const CONDITIONS_MAX: usize = 62;

/// What a lake held of one source, class and action up to the end of the period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub source: String,
    pub class: String,
    pub action: String,
    pub first: i64,
    pub last: i64,
}

/// How one source delivered in the period.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    pub events: u64,
    pub repeats: u64,
    /// Microseconds.
    pub first: Option<i64>,
    pub last: Option<i64>,
    pub days: u64,
    pub late: u64,
    pub lag_max: Option<i64>,
    pub lag_sum: i128,
    pub skewed: u64,
    pub skew_max: i64,
}

/// What was counted.
#[derive(Clone, Debug, Default)]
pub struct Census {
    /// Of each condition: events that meet it.
    pub totals: Vec<Vec<Total>>,
    /// Of all events.
    pub all: Vec<Total>,
    pub deliveries: BTreeMap<String, Delivery>,
    pub known: Vec<Known>,
    pub rejected: u64,
}

/// Counts the events of a period that meet each condition. `events` in the session is the lake at its cut; `lateness` in
/// microseconds.
///
/// # Errors
/// If a condition is no SQL over columns of `events`.
pub async fn take(
    session: &SessionContext,
    state: &State,
    period: Period,
    conditions: &[&str],
    lateness: i64,
) -> Result<Census, QueryError> {
    if conditions.len() > CONDITIONS_MAX {
        return Err(QueryError::Answer(format!("{} populations; at most {CONDITIONS_MAX}", conditions.len())));
    }
    let mut census = Census { totals: vec![Vec::new(); conditions.len()], ..Census::default() };
    let mut counted: BTreeMap<(String, String, String), (u64, Vec<u64>)> = BTreeMap::new();
    for (from, to) in stretches(state, period) {
        let within = within(from, to);
        let repeats = query::has_repeats(session, &within).await?;
        let sql = counting(&within, conditions, lateness, repeats);
        let rows = query::collect(query::plan(session, &sql).await?).await?;
        for row in output::objects(&rows.batches) {
            add(&row, conditions.len(), &mut counted, &mut census.deliveries);
        }
    }
    let mut days: BTreeMap<&str, std::collections::BTreeSet<&str>> = BTreeMap::new();
    for ((source, day, action), (all, each)) in &counted {
        let total = |events| Total { source: source.clone(), day: day.clone(), action: action.clone(), events };
        census.all.push(total(*all));
        for (totals, events) in census.totals.iter_mut().zip(each).filter(|(_, events)| **events > 0) {
            totals.push(total(*events));
        }
        days.entry(source).or_default().insert(day);
    }
    for (source, delivery) in &mut census.deliveries {
        delivery.days = days.get(source.as_str()).map_or(0, |days| days.len() as u64);
    }
    census.known = known(session, period).await?;
    let rejected =
        query::collect(session.sql("SELECT COUNT(*) AS n FROM events WHERE class = 'rejected'").await?).await?;
    census.rejected = output::objects(&rejected.batches).next().map_or(0, |row| number(&row, "n").unsigned_abs());
    Ok(census)
}

/// The period in stretches of whole days that hold about so many rows as are counted at once.
fn stretches(state: &State, period: Period) -> Vec<(i64, i64)> {
    let mut rows: BTreeMap<&str, u64> = BTreeMap::new();
    for file in state.files.values() {
        if let Some(day) = file.partition("event_date") {
            *rows.entry(day).or_default() += file.rows;
        }
    }
    let (from, to) = (period.from.0, period.to.0);
    let mut stretches: Vec<(i64, i64)> = Vec::new();
    let mut held = 0;
    let mut day = from.div_euclid(DAY) * DAY;
    while day < to {
        let of_day = rows.get(time::date(day).as_str()).copied().unwrap_or(0);
        let (start, end) = (day.max(from), (day + DAY).min(to));
        match stretches.last_mut() {
            Some(last) if held + of_day <= ROWS_AT_ONCE => last.1 = end,
            _ => {
                held = 0;
                stretches.push((start, end));
            }
        }
        held += of_day;
        day += DAY;
    }
    stretches
}

/// The rows of a stretch, as a condition.
fn within(from: i64, to: i64) -> String {
    format!(
        "class <> 'rejected' AND event_time >= to_timestamp_micros({from}) AND event_time < to_timestamp_micros({to})
            AND event_date >= CAST('{}' AS DATE) AND event_date <= CAST('{}' AS DATE)",
        time::date(from),
        time::date(to - 1),
    )
}

fn counting(within: &str, conditions: &[&str], lateness: i64, repeats: bool) -> String {
    let bits = conditions.iter().enumerate();
    let bits = bits.map(|(at, condition)| format!("CASE WHEN ({condition}) THEN {} ELSE 0 END", 1_i64 << at));
    let tested = ["CAST(0 AS BIGINT)".to_owned()].into_iter().chain(bits).collect::<Vec<_>>().join(" + ");
    let once = if repeats {
        "SELECT source, event_id, MIN(action) AS action, MIN(at) AS at, MIN(came) AS came, BIT_OR(tested) AS tested,
            COUNT(*) AS copies
        FROM rows GROUP BY source, event_id"
    } else {
        "SELECT source, action, at, came, tested, 1 AS copies FROM rows"
    };
    format!(
        "WITH rows AS (
            SELECT source, event_id, action, CAST(event_time AS BIGINT) AS at, CAST(received_at AS BIGINT) AS came, {tested} AS tested
            FROM events WHERE {within}
        ),
        once AS ({once})
        SELECT coalesce(source, '') AS source, at / {DAY} AS day, action, tested,
            COUNT(*) AS events, SUM(copies - 1) AS repeats, MIN(at) AS first, MAX(at) AS last,
            SUM(CASE WHEN came - at > {lateness} THEN 1 ELSE 0 END) AS late, MAX(came - at) AS lag_max,
            SUM(CAST(came - at AS DOUBLE)) AS lag_sum,
            SUM(CASE WHEN at - came > 60000000 THEN 1 ELSE 0 END) AS skewed, MAX(at - came) AS skew_max
        FROM once GROUP BY 1, 2, 3, 4"
    )
}

fn number(row: &Map<String, Value>, name: &str) -> i64 {
    row.get(name).and_then(|value| value.as_i64().or_else(|| value.as_f64().map(|n| n as i64))).unwrap_or(0)
}

fn add(
    row: &Map<String, Value>,
    conditions: usize,
    counted: &mut BTreeMap<(String, String, String), (u64, Vec<u64>)>,
    deliveries: &mut BTreeMap<String, Delivery>,
) {
    let text = |name: &str| row.get(name).map(output::text).unwrap_or_default();
    let count = |name: &str| number(row, name).unsigned_abs();
    let (events, tested) = (count("events"), number(row, "tested"));
    let day = time::date(number(row, "day") * DAY);
    let entry = counted.entry((text("source"), day, text("action"))).or_insert((0, vec![0; conditions]));
    entry.0 += events;
    for (at, sum) in entry.1.iter_mut().enumerate() {
        if tested >> at & 1 == 1 {
            *sum += events;
        }
    }
    let delivery = deliveries.entry(text("source")).or_default();
    delivery.events += events;
    delivery.repeats += count("repeats");
    let (first, last) = (number(row, "first"), number(row, "last"));
    delivery.first = Some(delivery.first.map_or(first, |known| known.min(first)));
    delivery.last = Some(delivery.last.map_or(last, |known| known.max(last)));
    delivery.late += count("late");
    let lag = number(row, "lag_max");
    delivery.lag_max = Some(delivery.lag_max.map_or(lag, |known| known.max(lag)));
    delivery.lag_sum += i128::from(number(row, "lag_sum"));
    delivery.skewed += count("skewed");
    delivery.skew_max = delivery.skew_max.max(number(row, "skew_max"));
}

/// First and last events of everything up to the end of the period.
async fn known(session: &SessionContext, period: Period) -> Result<Vec<Known>, QueryError> {
    let sql = format!(
        "SELECT coalesce(source, '') AS source, class, action, CAST(MIN(event_time) AS BIGINT) AS first,
            CAST(MAX(event_time) AS BIGINT) AS last
        FROM events WHERE class <> 'rejected' AND event_time < to_timestamp_micros({}) GROUP BY 1, 2, 3",
        period.to.0
    );
    let rows = query::collect(session.sql(&sql).await?).await?;
    let text = |row: &Map<String, Value>, name: &str| row.get(name).map(output::text).unwrap_or_default();
    let mut known: Vec<Known> = output::objects(&rows.batches)
        .map(|row| Known {
            source: text(&row, "source"),
            class: text(&row, "class"),
            action: text(&row, "action"),
            first: number(&row, "first"),
            last: number(&row, "last"),
        })
        .collect();
    known.sort_by(|a, b| (&a.source, &a.class, &a.action).cmp(&(&b.source, &b.class, &b.action)));
    Ok(known)
}

/// A moment, if there is one.
pub(super) fn moment(at: Option<i64>) -> Option<Moment> {
    at.map(Moment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_tile_the_period() {
        let day = |n: i64| n * DAY;
        let period = Period { from: Moment(day(20_000) + 5), to: Moment(day(20_003) + 7), as_of: Moment(0) };
        assert_eq!(stretches(&State::default(), period), [(period.from.0, period.to.0)]);
        let mut state = State::default();
        for n in 0..3 {
            let date = time::date(day(20_000 + n));
            let file = crate::lake::log::DataFile {
                path: date.clone(),
                partition_values: BTreeMap::from([("event_date".to_owned(), Some(date.clone()))]),
                bytes: 1,
                rows: ROWS_AT_ONCE - 1,
                modified_at_ms: 0,
                stats: None,
            };
            state.files.insert(date, file);
        }
        let found = stretches(&state, period);
        assert_eq!(found.len(), 3);
        assert_eq!((found[0].0, found[2].1), (period.from.0, period.to.0));
        assert!(found.windows(2).all(|pair| pair[0].1 == pair[1].0));
    }

    #[tokio::test]
    async fn a_repeat_is_counted_as_one_and_told_as_one_more() {
        let ten = time::parse("2026-03-02T10:00:00Z").unwrap();
        let event = |id: &str, minute: i64, action: &str| {
            let [at, came] = [minute, 59].map(|minute| format!("to_timestamp_micros({})", ten + minute * 60_000_000));
            format!("('okta', '{id}', '{action}', {at}, {came})")
        };
        let (a, b) = (event("a", 0, "refresh"), event("b", 30, "issue"));
        for (rows, repeats) in [(vec![&a, &b], 0), (vec![&a, &b, &a, &a], 2)] {
            let session = query::session(query::Limits::default()).unwrap();
            let rows: Vec<&str> = rows.into_iter().map(String::as_str).collect();
            let sql = format!(
                "SELECT 'token' AS class, DATE '2026-03-02' AS event_date, column1 AS source, column2 AS event_id,
                    column3 AS action, column4 AS event_time, column5 AS received_at FROM (VALUES {})",
                rows.join(", ")
            );
            let events = session.sql(&sql).await.unwrap().into_view();
            session.register_table("events", events).unwrap();
            let from = time::parse("2026-03-01T00:00:00Z").unwrap();
            let period = Period { from: Moment(from), to: Moment(from + 7 * DAY), as_of: Moment(0) };
            let conditions = ["action = 'refresh'", "source IS NOT NULL"];
            let census = take(&session, &State::default(), period, &conditions, 45 * 60_000_000).await.unwrap();
            let told: Vec<_> = census.all.iter().map(|t| (t.day.as_str(), t.action.as_str(), t.events)).collect();
            assert_eq!(told, [("2026-03-02", "issue", 1), ("2026-03-02", "refresh", 1)]);
            let of = |totals: &[Total]| totals.iter().map(|total| total.events).sum::<u64>();
            assert_eq!((of(&census.totals[0]), of(&census.totals[1])), (1, 2));
            let delivery = &census.deliveries["okta"];
            assert_eq!((delivery.events, delivery.repeats, delivery.days, delivery.late), (2, repeats, 1, 1));
            assert_eq!((delivery.lag_max, delivery.lag_sum), (Some(59 * 60_000_000), 88 * 60_000_000));
        }
    }
}
