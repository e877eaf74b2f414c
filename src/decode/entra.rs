//! Microsoft Entra: sign-ins, directory audit, Intune, and the copy of them in Office 365.

mod audit;
mod intune;
mod o365;
mod signin;

use super::json::Json;
use crate::event::{Event, Rejection};

/// What a record must have.
pub const SHAPE: &str = "category and properties; createdDateTime, appId and status; activityDisplayName and activityDateTime; or Workload and Operation";

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    signin::is_mine(record) || audit::is_mine(record) || intune::is_mine(record) || o365::is_mine(record)
}

/// Adds the events of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    if audit::is_mine(record) {
        audit::decode(record, out)
    } else if intune::is_mine(record) {
        intune::decode(record, out)
    } else if o365::is_mine(record) {
        o365::decode(record, out)
    } else {
        signin::decode(record, out)
    }
}
