//! Auth0 tenant logs.
//!
//! Every record is kept as `other`.

use super::fields::Fields;
use super::json::Json;
use crate::event::{Action, Event, Rejection};

/// What a record must have.
pub const SHAPE: &str = "type and date, with log_id or _id; in streams under data";

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    let log = if record.get("data").is_object() { record.get("data") } else { record };
    let has_id = ["log_id", "_id"].iter().any(|key| log.has(key) || record.has(key));
    has_id && log.get("type").text().is_some() && log.has("date")
}

/// Adds the events of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let mut fields = Fields::new(record);
    let mut event = fields.event(&["date", "data.date"], Action::Other);
    event.source_event = fields.text("type");
    fields.finish(event, out)
}
