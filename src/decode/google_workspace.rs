//! Google Workspace activities, as the Reports API gives them.
//!
//! Every record is kept as `other`.

use super::fields::Fields;
use super::json::Json;
use crate::event::{Action, Event, Rejection};

/// What a record must have.
pub const SHAPE: &str = "id.applicationName, with events or a name";

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    record.at("id.applicationName").text().is_some() && (record.has("events") || record.has("name"))
}

/// Adds the events of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let mut fields = Fields::new(record);
    let mut event = fields.event(&["id.time"], Action::Other);
    event.source_event = fields.text("name");
    fields.finish(event, out)
}
