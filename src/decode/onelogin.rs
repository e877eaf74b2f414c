//! OneLogin events, from its Events API or its event broadcaster.
//!
//! The numbers of events and the fields are those of OneLogin's page "Event Resource and Types". `user_id` is whom an
//! event is about, `actor_user_id` who caused it; names there are first and last names, so ids are kept. Locked users
//! come back by themselves or with a new password: a lock is no leave. Credentials of the API have no id in their
//! events, so they are kept as `other`.

use super::fields::{Fields, outcome};
use super::json::Json;
use crate::event::{Action, Event, Rejection};

/// What a record must have.
pub const SHAPE: &str = "event_type_id";

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    record.get("event_type_id").integer().is_some()
}

/// Adds the events of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let mut fields = Fields::new(record);
    let number = fields.integer("event_type_id").unwrap_or_default();
    // The last one is what a warehouse adds that keeps only fields of its own choice.
    let mut event = fields.event(&["event_timestamp", "created_at", "p_event_time"], action(number));
    event.event_id = fields.id("id").or_else(|| fields.text("uuid"));
    event.source_event = fields.id("event_type_id");
    event.outcome = outcome(!FAILURES.contains(&number));
    event.ip = fields.ip("ipaddr");
    event.user_agent = fields.text("user_agent");
    event.client_id = fields.id("app_id");
    let user = fields.id("user_id").or_else(|| fields.text("user_name"));
    let actor = fields.id("actor_user_id").or_else(|| fields.text("actor_user_name"));
    event.subject_id = match event.action {
        Action::Other | Action::Logout => user.or_else(|| actor.clone()),
        _ => user,
    };
    event.actor_id = actor.or_else(|| fields.text("actor_system")).filter(|id| Some(id) != event.subject_id.as_ref());
    if event.action == Action::Issue {
        event.token_kind = Some("session".into());
        // The client of the API that asked for it.
        event.client_id = fields.id("client_id");
    }
    fields.finish(event, out)
}

fn action(number: i64) -> Action {
    match number {
        // A session login token through the API: issued, or not.
        515 | 522 => Action::Issue,
        // Out of OneLogin; out of one app.
        7 | 29 => Action::Logout,
        // Logged out by somebody, through the API: done, or not.
        516 | 523 => Action::Revoke,
        // Deactivated, deleted, suspended; through the API: destroyed, not destroyed, suspended.
        15 | 17 | 21 | 530 | 524 | 551 => Action::Offboard,
        // Activated, reactivated.
        16 | 32 => Action::Reinstate,
        _ => Action::Other,
    }
}

/// Events that say that something was refused or did not work: logins (6, 9, 69, 77, 85, 86, 123, 129, 141, 154), what
/// directories and apps would not take (49, 61 to 65, 79, 111, 116, 118), and calls of the API.
const FAILURES: [i64; 35] = [
    6, 9, 49, 61, 62, 63, 64, 65, 69, 77, 79, 85, 86, 111, 116, 118, 123, 129, 141, 154, 400, 401, 517, 518, 519, 520,
    521, 522, 523, 524, 525, 526, 527, 532, 534,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Outcome;

    #[test]
    fn numbers_may_be_text_and_ids_are_kept() {
        for (record, action, outcome) in [
            (
                r#"{"event_type_id":"21","user_id":7,"actor_user_id":9,"created_at":"2026-11-01T12:00:00.990Z"}"#,
                Action::Offboard,
                Outcome::Success,
            ),
            (
                r#"{"event_type_id":523,"user_id":7,"actor_user_id":9,"event_timestamp":"2026-11-01 12:00:00 UTC"}"#,
                Action::Revoke,
                Outcome::Failure,
            ),
        ] {
            let record = Json::parse(record.as_bytes()).unwrap();
            let mut out = Vec::new();
            decode(&record, &mut out).unwrap();
            assert_eq!((out[0].action, out[0].outcome), (action, outcome));
            assert_eq!((out[0].subject_id.as_deref(), out[0].actor_id.as_deref()), (Some("7"), Some("9")));
        }
    }
}
