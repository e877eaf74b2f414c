//! OpenAI organisation audit logs.
//!
//! Types and fields are those of "The audit log object" in OpenAI's API reference and of its published OpenAPI
//! description. What a record tells beyond who and when stands under a key that is its type; some clients turn the dots
//! of that key into underscores.

use super::fields::{Fields, outcome};
use super::json::Json;
use crate::event::{Action, Event, Rejection, Text};

/// What a record must have.
pub const SHAPE: &str = "type, and effective_at or object organization.audit_log";

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    let is_log = record.has("effective_at") || record.get("object").text() == Some("organization.audit_log");
    is_log && record.get("type").text().is_some()
}

/// Adds the events of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let mut fields = Fields::new(record);
    let name = record.get("type").text().unwrap_or_default();
    let mut event = fields.event(&["effective_at"], action(name));
    event.event_id = fields.text("id");
    event.source_event = fields.text("type");
    event.outcome = outcome(!name.ends_with(".failed"));
    event.project_id = fields.id("project.id");
    event.ip = fields.ip("actor.session.ip_address");
    event.user_agent = fields.text("actor.session.user_agent");
    event.country = fields.text("actor.session.ip_address_details.country");
    event.asn = asn(record);

    let details = details(record, name);
    let actor = actor(&mut fields);
    match event.action {
        Action::Issue | Action::Revoke => {
            event.token_id = fields.id_of(&format!("{name}.id"), details.get("id"));
            event.token_kind = Some(if name.contains("token") { "access" } else { "api_key" }.into());
            event.scopes = fields.scopes_of(&format!("{name}.data.scopes"), details.at("data.scopes"));
            // A key made with another key.
            event.parent_id = fields.id("actor.api_key.id").filter(|_| event.action == Action::Issue);
            event.subject_id = actor;
            event.subject_kind = actor_kind(record);
            fields.is_of_one_token(&mut event);
        }
        Action::Offboard | Action::Reinstate => {
            event.subject_id = fields.id_of(&format!("{name}.id"), details.get("id"));
            event.actor_id = actor;
            if name.ends_with("service_account.deleted") {
                // It is in one project only, and ends with it.
                event.project_id = None;
                event.subject_kind = Some("service".into());
            }
        }
        _ => {
            event.subject_id = actor;
            event.subject_kind = actor_kind(record);
        }
    }
    fields.finish(event, out)
}

fn action(name: &str) -> Action {
    match name {
        "api_key.created" | "tenant.admin_api_key.created" | "tenant.project_api_key.created" => Action::Issue,
        "api_key.deleted"
        | "tenant.admin_api_key.deleted"
        | "tenant.chatgpt_access_token.revoked"
        | "tenant.service_account.token.revoked" => Action::Revoke,
        "logout.succeeded" | "logout.failed" => Action::Logout,
        // With a project: out of that project.
        "user.deleted" | "service_account.deleted" | "tenant.user.removed" | "tenant.service_account.deleted" => {
            Action::Offboard
        }
        "user.added" | "tenant.user.added" => Action::Reinstate,
        _ => Action::Other,
    }
}

/// What stands under the key that is the record's type.
fn details<'a>(record: &'a Json<'a>, name: &str) -> &'a Json<'a> {
    let plain = record.get(name);
    if !plain.is_null() {
        return plain;
    }
    let underscored =
        |key: &str| key.len() == name.len() && key.bytes().eq(name.bytes().map(|b| if b == b'.' { b'_' } else { b }));
    record.members().iter().find(|(key, _)| underscored(key)).map_or(plain, |(_, value)| value)
}

/// Who did it: a person in a session, or whoever a key belongs to.
fn actor<'a>(fields: &mut Fields<'a>) -> Text<'a> {
    const PATHS: [&str; 5] = [
        "actor.session.user.email",
        "actor.session.user.id",
        "actor.api_key.user.email",
        "actor.api_key.user.id",
        "actor.api_key.service_account.id",
    ];
    PATHS.iter().find_map(|path| fields.text(path))
}

fn actor_kind(record: &Json<'_>) -> Text<'static> {
    match (record.at("actor.type").text(), record.at("actor.api_key.type").text()) {
        (_, Some("service_account")) => Some("service".into()),
        (Some("session"), _) | (_, Some("user")) => Some("human".into()),
        _ => None,
    }
}

/// The number of the network: a number, or text such as `AS64500`.
fn asn(record: &Json<'_>) -> Option<i64> {
    let stated = record.at("actor.session.ip_address_details.asn");
    stated.integer().or_else(|| stated.text()?.trim_start_matches(['A', 'S', 'a', 's']).parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_stand_under_the_type_with_dots_or_underscores() {
        for key in ["api_key.created", "api_key_created"] {
            let record = format!(
                r#"{{"type":"api_key.created","effective_at":1790000000,"actor":{{"type":"api_key","api_key":{{"id":"key_1","type":"service_account","service_account":{{"id":"sa_1"}}}}}},"{key}":{{"id":"key_2","data":{{"scopes":["api.model.request"]}}}}}}"#
            );
            let record = Json::parse(record.as_bytes()).unwrap();
            let mut out = Vec::new();
            decode(&record, &mut out).unwrap();
            let event = &out[0];
            assert_eq!((event.token_id.as_deref(), event.parent_id.as_deref()), (Some("key_2"), Some("key_1")));
            assert_eq!((event.subject_id.as_deref(), event.subject_kind.as_deref()), (Some("sa_1"), Some("service")));
            assert_eq!(event.scopes, ["api.model.request"]);
        }
    }
}
