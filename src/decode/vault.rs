//! HashiCorp Vault and OpenBao audit devices.
//!
//! Every record is kept as `other`.

use super::fields::Fields;
use super::json::Json;
use crate::event::{Action, Event, Rejection};

/// What a record must have.
pub const SHAPE: &str = "type request or response, with request.path";

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    let is_entry =
        record.get("type").text().is_some_and(|kind| kind.ends_with("request") || kind.ends_with("response"));
    is_entry && record.at("request.path").text().is_some()
}

/// Adds the events of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let mut fields = Fields::new(record);
    let mut event = fields.event(&["time"], Action::Other);
    event.source_event = fields.text("request.path");
    fields.finish(event, out)
}
