//! Slack audit logs.
//!
//! Every record is kept as `other`.

use super::fields::Fields;
use super::json::Json;
use crate::event::{Action, Event, Rejection};

/// What a record must have.
pub const SHAPE: &str = "action, entity and actor";

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    record.get("action").text().is_some() && record.get("entity").is_object() && record.get("actor").is_object()
}

/// Adds the events of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let mut fields = Fields::new(record);
    let mut event = fields.event(&["date_create"], Action::Other);
    event.source_event = fields.text("action");
    fields.finish(event, out)
}
