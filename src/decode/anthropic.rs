//! Anthropic organisation activities.
//!
//! Every record is kept as `other`.

use super::fields::Fields;
use super::json::Json;
use crate::event::{Action, Event, Rejection};

/// What a record must have.
pub const SHAPE: &str = "type, created_at and actor, with an organization";

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    record.get("type").text().is_some()
        && record.has("created_at")
        && record.has("organization_id")
        && record.has("actor")
}

/// Adds the events of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let mut fields = Fields::new(record);
    let mut event = fields.event(&["created_at"], Action::Other);
    event.source_event = fields.text("type");
    fields.finish(event, out)
}
