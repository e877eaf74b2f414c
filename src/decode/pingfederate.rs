//! PingFederate audit log.
//!
//! Every record is kept as `other`.

use super::fields::Fields;
use super::json::Json;
use crate::event::{Action, Event, Rejection};

/// What a record must have.
pub const SHAPE: &str = "event, role and trackingid, as fields or in a line";

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    record.has("event") && record.has("role") && record.has("trackingid")
}

/// Adds the events of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let mut fields = Fields::new(record);
    let mut event = fields.event(&["timestamp"], Action::Other);
    event.source_event = fields.text("event");
    fields.finish(event, out)
}
