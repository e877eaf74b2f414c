//! Keycloak user events and admin events.
//!
//! Every record is kept as `other`.

use super::fields::Fields;
use super::json::Json;
use crate::event::{Action, Event, Rejection};

/// What a record must have.
pub const SHAPE: &str =
    "type, realmId and time; operationType, resourceType and realmId; or a line with type=\"...\" and realmId=\"...\"";

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    let is_user_event = record.has("type") && record.has("time") && record.has("realmId");
    is_user_event || (record.has("operationType") && record.has("resourceType") && record.has("realmId"))
}

/// Adds the events of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let mut fields = Fields::new(record);
    let mut event = fields.event(&["time"], Action::Other);
    event.source_event = fields.text("type");
    fields.finish(event, out)
}
