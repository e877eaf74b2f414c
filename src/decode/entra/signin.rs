//! Sign-in logs of all four kinds, as Azure Monitor or Microsoft Graph give them.
//!
//! Every record is kept as `other`.

use crate::decode::fields::Fields;
use crate::decode::json::Json;
use crate::event::{Action, Event, Rejection};

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    let kind = record.get("category").text().unwrap_or_default();
    let is_exported = kind.to_ascii_lowercase().ends_with("signinlogs") && record.get("properties").is_object();
    is_exported || (record.has("createdDateTime") && record.has("appId") && record.has("status"))
}

/// Adds the events of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let mut fields = Fields::new(record);
    let mut event = fields.event(&["properties.createdDateTime", "createdDateTime", "time"], Action::Other);
    event.source_event = fields.text("category");
    fields.finish(event, out)
}
