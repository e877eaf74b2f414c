//! Slack audit logs: entries of the Audit Logs API of Enterprise organisations.
//!
//! Actions are those of Slack's page "Audit Logs API methods & actions"; what stands where is from its page "Audit Logs
//! API" and the types of Slack's own SDK for Java. A session reset names the member it is about as `entity` and the
//! administrator as `actor`; one for many members lists their ids in `details`.

use std::borrow::Cow;

use super::fields::{Fields, outcome};
use super::json::Json;
use crate::event::{Action, Event, Outcome, Rejection, Text};

/// What a record must have.
pub const SHAPE: &str = "action, entity and actor";

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    record.get("action").text().is_some() && record.get("entity").is_object() && record.get("actor").is_object()
}

/// Adds the events of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let mut fields = Fields::new(record);
    let name = record.get("action").text().unwrap_or_default();
    let mut event = fields.event(&["date_create"], action(name));
    event.event_id = fields.id("id");
    event.source_event = fields.text("action");
    event.outcome = outcome(!name.ends_with("_failed"));
    event.ip = fields.ip("context.ip_address");
    event.user_agent = fields.text("context.ua");
    event.client_id = fields.id("entity.app.id");
    if event.action == Action::Other {
        // Else it is what the administrator used.
        event.client_id = event.client_id.or_else(|| fields.id("context.app.id"));
    }
    event.scopes = scopes(&mut fields, record);
    if event.action == Action::Issue {
        event.token_kind = Some("access".into());
    }

    let actor = person(&mut fields, "actor.user.email", "actor.user.id");
    let target = person(&mut fields, "entity.user.email", "entity.user.id");
    let is_about_app = ["app_", "org_app_", "bot_token_"].iter().any(|start| name.starts_with(start));
    event.subject_id = match event.action {
        Action::Issue => actor.clone().or(target),
        Action::Other | Action::Logout => target.or_else(|| actor.clone()),
        _ if is_about_app => actor.clone(),
        // Never the administrator, even if the member is not readable.
        _ => target,
    };
    event.actor_id = actor.filter(|actor| Some(actor) != event.subject_id.as_ref());
    if event.actor_id.is_none() && !is_about_app {
        // Else it is the administrator's session, or the one an app was installed from: not the one that ended.
        event.session_id = fields.id("context.session_id");
    }

    match name {
        "bulk_session_reset_by_admin" if has_members(record) => many(&mut fields, record, &event, out),
        "user_logout_compromised" => {
            fields.push(event.clone(), out);
            event.action = Action::Compromise;
            fields.push(event, out);
        }
        _ => {
            event.client_kind = ended_client_kind(record);
            fields.push(event, out);
        }
    }
    fields.done()
}

fn action(name: &str) -> Action {
    match name {
        "app_installed" | "org_app_installed" | "bot_token_upgraded" => Action::Issue,
        "app_uninstalled"
        | "org_app_uninstalled"
        | "user_session_reset_by_admin"
        | "bulk_session_reset_by_admin"
        | "user_sessions_reset_by_anomaly_event_response"
        | "user_session_invalidated"
        | "user_logout_compromised" => Action::Revoke,
        "user_logout" | "cli_logout" | "user_logout_non_compliant_mobile_app_version" => Action::Logout,
        "user_deactivated" | "guest_deactivated" | "guest_expired" => Action::Offboard,
        "user_reactivated" | "guest_reactivated" => Action::Reinstate,
        _ => Action::Other,
    }
}

/// Somebody, by e-mail address if that is shown.
fn person<'a>(fields: &mut Fields<'a>, email: &str, id: &str) -> Text<'a> {
    fields.text(email).or_else(|| fields.id(id))
}

/// What an app may do: as installed, or as it is now.
fn scopes<'a>(fields: &mut Fields<'a>, record: &'a Json<'a>) -> Vec<Cow<'a, str>> {
    let paths = ["entity.app.scopes", "details.new_scopes", "details.scopes"];
    let stated = paths.iter().find(|path| !record.at(path).items().is_empty());
    let mut scopes = stated.map(|path| fields.scopes(path)).unwrap_or_default();
    scopes.extend(["entity.app.bot_scopes", "entity.app.scopes_bot"].iter().flat_map(|path| fields.scopes(path)));
    scopes
}

/// A reset may end the sessions of one kind of client only.
fn ended_client_kind(record: &Json<'_>) -> Text<'static> {
    let kinds = [("details.mobile_only", "mobile"), ("details.web_only", "web")];
    kinds.iter().find(|(path, _)| record.at(path).boolean() == Some(true)).map(|(_, kind)| (*kind).into())
}

fn has_members(record: &Json<'_>) -> bool {
    members(record.at("details.succeeded_users")).chain(members(record.at("details.failed_users"))).next().is_some()
}

/// One event for each member whose sessions were, or should have been, reset.
fn many<'a>(fields: &mut Fields<'a>, record: &'a Json<'a>, all: &Event<'a>, out: &mut Vec<Event<'a>>) {
    let named = record.at("entity.user.id").text();
    for (path, outcome) in [("details.succeeded_users", Outcome::Success), ("details.failed_users", Outcome::Failure)] {
        for member in members(record.at(path)) {
            let mut event = all.clone();
            event.outcome = outcome;
            if named != Some(member) {
                event.subject_id = Some(member.into());
            }
            event.actor_id = fields.text("actor.user.email").or_else(|| fields.id("actor.user.id"));
            event.session_id = None;
            fields.push(event, out);
        }
    }
}

/// Ids of members: a list, or a list written as text.
fn members<'a>(value: &'a Json<'a>) -> impl Iterator<Item = &'a str> {
    let texts = value.items().iter().filter_map(Json::text);
    texts.flat_map(|text| text.split(['[', ']', '"', ',', ' '])).filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(record: &str) -> Vec<(String, String, Option<String>)> {
        let record = Json::parse(record.as_bytes()).unwrap();
        let mut out = Vec::new();
        decode(&record, &mut out).unwrap();
        let told = |event: &Event<'_>| {
            let subject = event.subject_id.clone().unwrap_or_default().into_owned();
            (event.action.as_str().to_owned(), subject, event.session_id.clone().map(|id| id.into_owned()))
        };
        out.iter().map(told).collect()
    }

    const ADMIN: &str =
        r#""actor":{"type":"user","user":{"id":"U1","email":"ada@example.com"}},"date_create":1790000000"#;

    #[test]
    fn the_session_of_an_administrator_is_not_the_one_that_was_reset() {
        let target = r#""entity":{"type":"user","user":{"id":"U2","email":"bob@example.com"}}"#;
        let reset =
            format!(r#"{{"action":"user_session_reset_by_admin",{ADMIN},{target},"context":{{"session_id":"77"}}}}"#);
        assert_eq!(events(&reset), [("revoke".into(), "bob@example.com".into(), None)]);
        let own = format!(
            r#"{{"action":"user_logout",{ADMIN},"entity":{{"type":"user","user":{{"email":"ada@example.com"}}}},"context":{{"session_id":77}}}}"#
        );
        assert_eq!(events(&own), [("logout".into(), "ada@example.com".into(), Some("77".into()))]);
    }

    #[test]
    fn a_reset_for_many_is_one_event_for_each() {
        for users in [r#"["U2","U3"]"#, r#""[\"U2\",\"U3\"]""#] {
            let record = format!(
                r#"{{"action":"bulk_session_reset_by_admin",{ADMIN},"entity":{{"type":"user","user":{{"id":"U2","email":"bob@example.com"}}}},"details":{{"succeeded_users":{users}}}}}"#
            );
            let expected = [("revoke".into(), "bob@example.com".into(), None), ("revoke".into(), "U3".into(), None)];
            assert_eq!(events(&record), expected);
        }
    }
}
