//! Intune audit and operational logs, as Azure Monitor gives them.
//!
//! Every record is kept as `other`.

use crate::decode::fields::Fields;
use crate::decode::json::Json;
use crate::event::{Action, Event, Rejection};

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    let is_export = record.get("properties").is_object() && record.has("operationName") && record.has("category");
    is_export && record.at("properties.ActivityDate").text().is_some()
}

/// Adds the events of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let mut fields = Fields::new(record);
    let mut event = fields.event(&["properties.ActivityDate", "time"], Action::Other);
    event.source_event = fields.text("operationName");
    fields.finish(event, out)
}
