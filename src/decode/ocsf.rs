//! Open Cybersecurity Schema Framework.
//!
//! Every record is kept as `other`.

use super::fields::Fields;
use super::json::Json;
use crate::event::{Action, Event, Rejection};

/// What a record must have.
pub const SHAPE: &str = "class_uid, with activity_id or metadata";

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    record.get("class_uid").integer().is_some() && (record.has("activity_id") || record.has("metadata"))
}

/// Adds the events of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let mut fields = Fields::new(record);
    let mut event = fields.event(&["time", "time_dt"], Action::Other);
    event.source_event = fields.text("metadata.event_code");
    fields.finish(event, out)
}
