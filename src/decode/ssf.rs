//! OpenID Shared Signals: security event tokens (RFC 8417) with CAEP and RISC events.
//!
//! Every record is kept as `other`.

use super::fields::Fields;
use super::json::Json;
use crate::event::{Action, Event, Rejection};

/// What a record must have.
pub const SHAPE: &str = "iss, jti and events; or a compact JWT";

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    record.has("iss") && record.has("jti") && record.get("events").is_object()
}

/// Adds the events of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let mut fields = Fields::new(record);
    let mut event = fields.event(&["iat"], Action::Other);
    event.source_event = fields.text("jti");
    fields.finish(event, out)
}
