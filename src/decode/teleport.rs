//! Teleport audit events.
//!
//! Every record is kept as `other`.

use super::fields::Fields;
use super::json::Json;
use crate::event::{Action, Event, Rejection};

/// What a record must have.
pub const SHAPE: &str = "event, code and time, with uid or cluster_name";

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    let is_event = record.get("event").text().is_some() && record.get("code").text().is_some();
    is_event && (record.has("uid") || record.has("cluster_name") || record.has("ei"))
}

/// Adds the events of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let mut fields = Fields::new(record);
    let mut event = fields.event(&["time"], Action::Other);
    event.source_event = fields.text("event");
    fields.finish(event, out)
}
