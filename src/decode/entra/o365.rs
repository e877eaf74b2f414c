//! The copy of Entra events in the Office 365 management activity log.
//!
//! Every record is kept as `other`.

use crate::decode::fields::Fields;
use crate::decode::json::Json;
use crate::event::{Action, Event, Rejection};

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    record.get("Workload").text().is_some() && record.get("Operation").text().is_some()
}

/// Adds the events of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let mut fields = Fields::new(record);
    let mut event = fields.event(&["CreationTime"], Action::Other);
    event.source_event = fields.text("Operation");
    fields.finish(event, out)
}
