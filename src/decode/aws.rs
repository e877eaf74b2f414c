//! AWS CloudTrail.
//!
//! Every record is kept as `other`.

use super::fields::Fields;
use super::json::Json;
use crate::event::{Action, Event, Rejection};

/// What a record must have.
pub const SHAPE: &str = "eventSource and eventName";

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    record.get("eventSource").text().is_some() && record.get("eventName").text().is_some()
}

/// Adds the events of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let mut fields = Fields::new(record);
    let mut event = fields.event(&["eventTime"], Action::Other);
    event.source_event = fields.text("eventName");
    fields.finish(event, out)
}
