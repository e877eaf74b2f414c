//! Anthropic organisation activities: the activity feed of the Compliance API, for Claude and for the API platform.
//!
//! Types, their fields and the kinds of actors are those of Anthropic's pages "Query the Activity Feed" and "Query
//! compliance activities". Activities of nobody's organisation, such as logins, have no `organization_id`.

use super::fields::{Fields, outcome};
use super::json::Json;
use crate::event::{Action, Event, Rejection, Text};

/// What a record must have.
pub const SHAPE: &str = "type, and an actor whose type ends with _actor";

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    let kind = record.at("actor.type").text();
    record.get("type").text().is_some() && kind.is_some_and(|kind| kind.ends_with("_actor"))
}

/// Adds the events of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let mut fields = Fields::new(record);
    let name = record.get("type").text().unwrap_or_default();
    let mut event = fields.event(&["created_at"], action(name, record));
    event.event_id = fields.text("id");
    event.source_event = fields.text("type");
    event.outcome = outcome(!name.ends_with("_failed"));
    event.ip = fields.ip("actor.ip_address");
    event.user_agent = fields.text("actor.user_agent");
    event.project_id = fields.text("workspace_id");

    let actor = first(&mut fields, &ACTORS);
    let target = match event.action {
        Action::Offboard | Action::Reinstate => first(&mut fields, &TARGETS),
        Action::Revoke if name.starts_with("org_user_") => first(&mut fields, &TARGETS),
        Action::Other if name.starts_with("scim_user_") => first(&mut fields, &TARGETS),
        _ => None,
    };
    event.subject_kind = kind(name, record, target.is_some());
    // A key acts for nobody in particular.
    let key = first(&mut fields, &["actor.api_key_id", "actor.admin_api_key_id"]);
    event.subject_id = match event.action {
        // Never the administrator, even if the member is not readable.
        Action::Offboard | Action::Reinstate if !OWN_DOING.contains(&name) => target,
        _ => target.or_else(|| actor.clone()),
    };
    event.actor_id = actor.or_else(|| key.clone()).filter(|actor| Some(actor) != event.subject_id.as_ref());
    if matches!(event.action, Action::Issue | Action::Revoke) && !name.starts_with("org_user_") {
        event.token_id = first(&mut fields, &KEYS);
        event.scopes = fields.scopes("scopes");
        event.token_kind = Some(token_kind(name).into());
        fields.is_of_one_token(&mut event);
    }
    if event.action == Action::Issue {
        // A key made with another key.
        event.parent_id = key;
    }
    fields.finish(event, out)
}

fn action(name: &str, record: &Json<'_>) -> Action {
    match name {
        "api_key_created" | "environment_token_minted" | "tunnel_token_minted" => Action::Issue,
        "environment_token_revoked" | "tunnel_token_revoked" | "claude_code_credential_revoked" => Action::Revoke,
        // With these things are signed; they let nobody in.
        _ if name.contains("signing_key") => Action::Other,
        // Keys of every kind: of administrators, services, workspaces.
        _ if name.ends_with("_key_created") => Action::Issue,
        _ if name.ends_with("_key_deleted") || name.ends_with("_key_revoked") => Action::Revoke,
        "admin_api_key_updated" | "platform_api_key_updated" | "scoped_api_key_updated" if is_switched_off(record) => {
            Action::Revoke
        }
        // All sessions of the member are ended.
        "org_user_trusted_devices_revoked" if TARGETS.iter().any(|path| record.at(path).text().is_some()) => {
            Action::Revoke
        }
        "user_logged_out" => Action::Logout,
        "session_revoked" => Action::Revoke,
        "org_user_deleted"
        | "org_user_left"
        | "scim_user_deleted"
        | "account_deleted"
        | "platform_service_account_archived"
        | "platform_workspace_member_removed"
        | "platform_service_account_workspace_member_removed" => Action::Offboard,
        "org_user_invite_accepted"
        | "scim_user_created"
        | "platform_workspace_member_added"
        | "platform_service_account_workspace_member_added" => Action::Reinstate,
        _ => Action::Other,
    }
}

fn token_kind(name: &str) -> &'static str {
    match () {
        () if name.contains("_key_") => "api_key",
        () if name.starts_with("session_") => "session",
        () => "access",
    }
}

/// Coming and going that a person sees to alone.
const OWN_DOING: [&str; 3] = ["org_user_left", "account_deleted", "org_user_invite_accepted"];
/// Who acts, by e-mail address if that is shown.
const ACTORS: [&str; 5] = [
    "actor.email_address",
    "actor.user_id",
    "actor.unauthenticated_email_address",
    "actor.service_account_id",
    "actor.subject",
];
/// Whom it is done to.
const TARGETS: [&str; 6] =
    ["deleted_user_email", "deleted_user_id", "user_email", "user_id", "target_user_id", "service_account_id"];
/// Which key or token it is about.
const KEYS: [&str; 8] = [
    "admin_api_key_id",
    "scoped_api_key_id",
    "service_key_id",
    "api_key_id",
    "environment_token_id",
    "tunnel_token_id",
    "token_id",
    "credential_id",
];

fn first<'a>(fields: &mut Fields<'a>, paths: &[&str]) -> Text<'a> {
    paths.iter().find_map(|path| fields.text(path))
}

/// A key that is set to another state than active, for good or for a while, no longer opens anything.
fn is_switched_off(record: &Json<'_>) -> bool {
    const OFF: [&str; 5] = ["inactive", "archived", "disabled", "revoked", "expired"];
    let updates = record.get("updates").items().iter();
    updates.filter_map(|update| update.get("current_value").text()).any(|state| OFF.contains(&state))
}

fn kind(name: &str, record: &Json<'_>, has_target: bool) -> Text<'static> {
    if name.starts_with("platform_service_account_") {
        return Some("service".into());
    }
    match record.at("actor.type").text() {
        _ if has_target => None,
        Some("user_actor" | "unauthenticated_user_actor") => Some("human".into()),
        Some("service_account_actor" | "federated_identity_actor" | "federated_actor") => Some("service".into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(rest: &str) -> (Action, Option<String>, Option<String>) {
        let record = format!(
            r#"{{"created_at":"2026-11-01T12:00:00Z","actor":{{"type":"user_actor","email_address":"ada@example.com"}},{rest}}}"#
        );
        let record = Json::parse(record.as_bytes()).unwrap();
        assert!(is_mine(&record));
        let mut out = Vec::new();
        decode(&record, &mut out).unwrap();
        let text = |text: &Text<'_>| text.as_ref().map(ToString::to_string);
        (out[0].action, text(&out[0].subject_id), text(&out[0].token_id))
    }

    #[test]
    fn who_leaves_is_the_target_or_whoever_says_so() {
        let bob =
            decoded(r#""type":"org_user_deleted","deleted_user_id":"user_2","deleted_user_email":"bob@example.com""#);
        assert_eq!(bob, (Action::Offboard, Some("bob@example.com".into()), None));
        assert_eq!(decoded(r#""type":"org_user_left""#), (Action::Offboard, Some("ada@example.com".into()), None));
    }

    #[test]
    fn a_key_that_is_switched_off_is_revoked() {
        let update = |state: &str| {
            decoded(&format!(
                r#""type":"platform_api_key_updated","api_key_id":"apikey_1","updates":[{{"type":"status","current_value":"{state}"}}]"#
            ))
        };
        assert_eq!(update("inactive"), (Action::Revoke, Some("ada@example.com".into()), Some("apikey_1".into())));
        assert_eq!(update("active").0, Action::Other);
    }

    #[test]
    fn one_session_is_not_all_of_them() {
        let (action, subject, token) = decoded(r#""type":"session_revoked""#);
        assert_eq!((action, subject.as_deref()), (Action::Revoke, Some("ada@example.com")));
        assert_eq!(token.as_deref(), Some("not named/2026-11-01T12:00:00Z"));
    }
}
