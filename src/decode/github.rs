//! GitHub audit log.
//!
//! Every record is kept as `other`.

use super::fields::Fields;
use super::json::Json;
use crate::event::{Action, Event, Rejection};

/// What a record must have.
pub const SHAPE: &str = "action, with @timestamp, created_at or _document_id, and no entity";

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    let is_stamped =
        ["@timestamp", "created_at", "_document_id", "at_sign_timestamp"].iter().any(|key| record.has(key));
    is_stamped && record.get("action").text().is_some() && !record.has("entity")
}

/// Adds the events of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let mut fields = Fields::new(record);
    let mut event = fields.event(&["@timestamp", "created_at", "at_sign_timestamp"], Action::Other);
    event.source_event = fields.text("action");
    fields.finish(event, out)
}
