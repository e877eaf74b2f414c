//! Databricks audit logs: as delivered to storage, from the system table, and through Azure diagnostic settings.
//!
//! Actions are those of the page "Audit log reference"; fields are from there and from "Audit log system table
//! reference", which spells them in snake case. Azure Monitor puts an entry under `properties`, and identity,
//! parameters and response into it as JSON in text ("DatabricksAccounts" in the table reference of Azure Monitor).

use super::SCOPES_MAX;
use super::fields::{Fields, grant_type, outcome};
use super::json::Json;
use crate::event::{Action, Event, Rejection, Text, time};

/// What a record must have.
pub const SHAPE: &str = "serviceName and actionName, also in snake case or under properties";

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    let names = |log: &Json<'_>| {
        either(log, "serviceName", "service_name").text().is_some()
            && either(log, "actionName", "action_name").text().is_some()
    };
    names(record) || names(record.get("properties"))
}

/// Adds the events of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let log = if record.get("properties").is_object() { record.get("properties") } else { record };
    let mut fields = Fields::new(log);
    let params = Part::of("requestParams", either(log, "requestParams", "request_params"), &mut fields);
    let name = either(log, "actionName", "action_name").text().unwrap_or_default();
    let service = either(log, "serviceName", "service_name").text().unwrap_or_default();
    let action = action(service, name, &params, &mut fields);

    let stamps = [log.get("timestamp"), log.get("event_time"), record.get("time"), record.get("TimeGenerated")];
    let mut event = match stamps.into_iter().find(|stamp| !stamp.is_null()) {
        Some(stamp) => fields.event_at("timestamp", stamp, action),
        None => fields.event(&["timestamp", "event_time"], action),
    };
    event.event_id = ["eventId", "event_id", "logId"].iter().find_map(|path| fields.id(path));
    event.source_event = fields.text_of("actionName", either(log, "actionName", "action_name"));
    event.outcome = outcome(status(log, &mut fields).is_none_or(|code| code < 400));
    event.ip = fields.ip_of("sourceIPAddress", either(log, "sourceIPAddress", "source_ip_address"));
    event.user_agent = fields.text("userAgent").or_else(|| fields.text("user_agent"));
    // What happens in the account as a whole is recorded under workspace 0.
    let workspace = fields.id_of("workspaceId", either(log, "workspaceId", "workspace_id"));
    event.project_id = workspace.filter(|workspace| workspace != "0");

    let user = user(record, log, &mut fields);
    match event.action {
        Action::Issue | Action::Refresh | Action::Revoke => {
            token(&mut event, &params, &mut fields);
            if let Some(principal) = params.text("service_principal", &mut fields) {
                event.subject_id = Some(principal);
                event.subject_kind = Some("service".into());
            }
        }
        Action::Offboard | Action::Reinstate => {
            event.subject_id = params.first(&["targetUserName", "targetUserId"], &mut fields);
        }
        Action::Logout => event.session_id = fields.id_of("sessionId", either(log, "sessionId", "session_id")),
        _ => {}
    }
    if event.subject_id.is_none() && !matches!(event.action, Action::Offboard | Action::Reinstate) {
        event.subject_id = user;
    } else {
        event.actor_id = user.filter(|actor| Some(actor) != event.subject_id.as_ref());
    }
    fields.is_of_one_token(&mut event);
    fields.finish(event, out)
}

fn action<'a>(service: &str, name: &str, params: &Part<'a>, fields: &mut Fields<'a>) -> Action {
    let mut is_renewal = || params.text("grant_type", fields).as_deref() == Some("refresh_token");
    match (service, name) {
        ("servicePrincipalCredentials", "create") | (_, "generateDbToken") => Action::Issue,
        ("servicePrincipalCredentials", "delete") | (_, "revokeDbToken") => Action::Revoke,
        (_, "mintOAuthToken") if is_renewal() => Action::Refresh,
        (_, "mintOAuthToken") => Action::Issue,
        ("accounts", "logout") => Action::Logout,
        ("accounts", "deactivateUser" | "delete") => Action::Offboard,
        ("accounts", "activateUser" | "add") => Action::Reinstate,
        _ => Action::Other,
    }
}

/// What is known of a personal access token, an OAuth token, or the secret of a service principal.
fn token<'a>(event: &mut Event<'a>, params: &Part<'a>, fields: &mut Fields<'a>) {
    event.token_id = params.first(&["tokenId", "tokenHash", "secret_id"], fields);
    // A token without an end has -1 here.
    event.expires_at = params.time("tokenExpirationTime", fields).filter(|at| time::PLAUSIBLE.contains(at));
    event.client_id = params.first(&["client_id", "tokenClientId"], fields);
    event.grant_type = params.text("grant_type", fields).map(|stated| grant_type(&stated).into());
    let scopes = params.text("scope", fields).unwrap_or_default();
    let words = scopes.split([' ', ',']).filter(|scope| !scope.is_empty());
    event.scopes = words.take(SCOPES_MAX).map(|scope| scope.to_owned().into()).collect();
    event.token_kind = Some(
        match event.source_event.as_deref() {
            Some("generateDbToken" | "revokeDbToken") => "pat",
            Some("mintOAuthToken") => "access",
            _ => "api_key",
        }
        .into(),
    );
}

/// The field under its name in the delivered logs, else under that of the system table.
fn either<'a>(log: &'a Json<'a>, camel: &str, snake: &str) -> &'a Json<'a> {
    if log.has(camel) { log.get(camel) } else { log.get(snake) }
}

/// Who made the request.
fn user<'a>(record: &'a Json<'a>, log: &'a Json<'a>, fields: &mut Fields<'a>) -> Text<'a> {
    let stated = either(log, "userIdentity", "user_identity");
    let stated = if stated.is_null() { record.get("identity") } else { stated };
    Part::of("userIdentity", stated, fields).first(&["email", "subjectName", "subject_name"], fields)
}

/// The HTTP status of the answer.
fn status<'a>(log: &'a Json<'a>, fields: &mut Fields<'a>) -> Option<i64> {
    let response = Part::of("response", log.get("response"), fields);
    response.first(&["statusCode", "status_code"], fields)?.parse().ok()
}

/// A part of an entry: an object, or one written as text.
enum Part<'a> {
    Tree(&'a Json<'a>),
    Written(Json<'a>),
}

impl<'a> Part<'a> {
    fn of(name: &str, value: &'a Json<'a>, fields: &mut Fields<'a>) -> Self {
        let written = value.text().and_then(|text| Json::parse(text.as_bytes()).ok());
        if written.is_none() && !value.is_object() && !value.is_null() {
            fields.note(format!("{name}: {} where an object was expected", value.kind()));
        }
        written.map_or(Self::Tree(value), Self::Written)
    }

    fn text(&self, key: &str, fields: &mut Fields<'a>) -> Text<'a> {
        match self {
            Self::Tree(tree) => fields.id_of(key, tree.get(key)),
            Self::Written(tree) => tree.get(key).id().map(|text| text.into_owned().into()),
        }
    }

    fn first(&self, keys: &[&str], fields: &mut Fields<'a>) -> Text<'a> {
        keys.iter().find_map(|key| self.text(key, fields))
    }

    fn time(&self, key: &str, fields: &mut Fields<'a>) -> Option<i64> {
        match self {
            Self::Tree(tree) => fields.time_of(key, tree.get(key)),
            Self::Written(tree) => fields.time_of(key, tree.get(key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Outcome;

    #[test]
    fn an_entry_is_the_same_in_all_three_spellings() {
        for record in [
            r#"{"timestamp":1793534400000,"serviceName":"accounts","actionName":"revokeDbToken","workspaceId":"12","userIdentity":{"email":"ada@example.com"},"requestParams":{"tokenId":"t-1"},"response":{"statusCode":403}}"#,
            r#"{"event_time":"2026-11-01T12:00:00.000+00:00","service_name":"accounts","action_name":"revokeDbToken","workspace_id":12,"user_identity":{"email":"ada@example.com"},"request_params":{"tokenId":"t-1"},"response":{"status_code":403}}"#,
            r#"{"time":"2026-11-01T12:00:00Z","identity":"{\"email\":\"ada@example.com\"}","category":"accounts","properties":{"serviceName":"accounts","actionName":"revokeDbToken","workspaceId":12,"requestParams":"{\"tokenId\":\"t-1\"}","response":"{\"statusCode\":403}"}}"#,
        ] {
            let record = Json::parse(record.as_bytes()).unwrap();
            assert!(is_mine(&record));
            let mut out = Vec::new();
            decode(&record, &mut out).unwrap();
            let event = &out[0];
            assert_eq!((event.action, event.outcome), (Action::Revoke, Outcome::Failure));
            assert_eq!(Some(event.event_time), time::parse("2026-11-01T12:00:00Z"));
            let texts = [&event.subject_id, &event.token_id, &event.project_id].map(|text| text.as_deref());
            assert_eq!(texts, [Some("ada@example.com"), Some("t-1"), Some("12")]);
        }
    }

    #[test]
    fn a_token_without_an_end_has_none() {
        let record = Json::parse(
            br#"{"timestamp":1793534400000,"serviceName":"accounts","actionName":"generateDbToken","requestParams":{"tokenExpirationTime":"-1","tokenHash":"h"}}"#,
        )
        .unwrap();
        let mut out = Vec::new();
        decode(&record, &mut out).unwrap();
        assert_eq!((out[0].expires_at, out[0].token_id.as_deref()), (None, Some("h")));
    }
}
