//! A verdict as one JSON object: what `tokentrail decode` prints, and what snapshots of sample records hold.

use serde_json::{Map, Value};

use super::Verdict;
use crate::event::columns::{self, Kind};
use crate::event::{Class, Event, TEXTS, time};

/// Columns that say where a record was read or hold it whole: known only when it is ingested.
const OF_INGEST: [&str; 9] = [
    "received_at",
    "topic",
    "partition",
    "offset",
    "record_hash",
    "raw",
    "raw_bytes",
    "reject_reason",
    columns::EVENT_DATE,
];
impl Verdict<'_> {
    /// The verdict on the `record`th record (from 1), its `index`th (from 0), as an object: every column that is known before
    /// a record is ingested, null where there is nothing. A rejected record shows what could be read of it.
    pub fn row(&self, record: u64, index: i32) -> Map<String, Value> {
        let (name, reason, event, class) = match self {
            Self::Event(event) => ("event", None, Some(*event), Some(event.action.class().as_str())),
            Self::Rejected(rejection, event) => {
                ("rejected", Some(rejection.0.as_str()), *event, Some(Class::Rejected.as_str()))
            }
            Self::Skipped(reason) => ("skipped", Some(*reason), None, None),
        };
        let mut row = Map::new();
        row.insert("record".to_owned(), record.into());
        row.insert("verdict".to_owned(), name.into());
        row.insert("reason".to_owned(), reason.into());
        let kept = columns::ALL.iter().filter(|column| !OF_INGEST.contains(&column.name));
        for column in kept {
            let value = match column.name {
                "record_index" => index.into(),
                columns::CLASS => class.into(),
                name => event.map_or(Value::Null, |event| value(event, name, column.kind)),
            };
            row.insert(column.name.to_owned(), value);
        }
        row
    }
}

fn value(event: &Event<'_>, name: &str, kind: Kind) -> Value {
    let shown = |micros: i64| Value::from(time::format(micros));
    match (name, kind) {
        ("event_time", _) if time::PLAUSIBLE.contains(&event.event_time) => shown(event.event_time),
        ("issued_at", _) => event.issued_at.map_or(Value::Null, shown),
        ("expires_at", _) => event.expires_at.map_or(Value::Null, shown),
        ("asn", _) => event.asn.into(),
        (_, Kind::Texts) if event.scopes.is_empty() => Value::Null,
        (_, Kind::Texts) => event.scopes.iter().map(|scope| scope.as_ref()).collect(),
        _ => {
            let place = TEXTS.iter().position(|text| *text == name);
            place.and_then(|place| event.texts()[place]).into()
        }
    }
}
