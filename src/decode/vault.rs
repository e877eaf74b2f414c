//! HashiCorp Vault and OpenBao audit devices.
//!
//! Where the mapping comes from: Vault documentation, "Audit log entry schema", and the audit entry types in the sources
//! of both (`audit/types.go`, `audit/format.go`); "Token auth method (API)" for the paths below `auth/token`, "Identity
//! secrets engine: entity (API)" for entities ("disabled entities' associated tokens cannot be used, but are not
//! revoked"), "Leases (API)" for `sys/leases/revoke-prefix`.
//!
//! An audit device writes a request and its response, both with the id of the request. What was done is told by the
//! response; the request is kept as `other`. Accessors and tokens are hashed with a salt of the device, so ids of the
//! same token at two devices differ; within one device they are the same wherever they stand.

use std::borrow::Cow;

use super::fields::{self, Fields};
use super::json::Json;
use super::times;
use crate::event::{Action, Event, Rejection, Text};

/// What a record must have.
pub const SHAPE: &str = "type request or response, with request.path; or type kmip-request or kmip-response";

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    let Some(kind) = record.get("type").text() else { return false };
    let is_entry = kind.ends_with("request") || kind.ends_with("response");
    // What came in by KMIP has no path.
    let is_kmip = || kind.starts_with("kmip-") && record.get("request").is_object();
    is_entry && (record.at("request.path").text().is_some() || is_kmip())
}

/// What a response is about.
#[derive(Clone, Copy, PartialEq)]
enum Call {
    /// A login, or a token made with another.
    Issue,
    Renew,
    Revoke,
    /// All tokens that were made at a path.
    RevokePrefix,
    Entity(Action),
    Other,
}

/// Adds the events of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let mut fields = Fields::new(record);
    let is_response = record.get("type").text().is_some_and(|kind| kind.ends_with("response"));
    let path = record.at("request.path").text().unwrap_or_default().trim_start_matches('/');
    let call = if is_response { call(path, record) } else { Call::Other };
    let mut event = fields.event(&["time"], action(call));
    event.event_id = fields.id("request.id").map(|id| if is_response { id } else { format!("{id}#request").into() });
    event.source_event = stated(without_token(path)).or_else(|| fields.text("type"));
    event.outcome = fields::outcome(!has_failed(record));
    event.ip = fields.ip("request.remote_address");
    let agent = record.at("request.headers.user-agent").items().first();
    event.user_agent = agent.and_then(|agent| fields.text_of("user-agent", agent)).filter(|text| is_clear(text));
    event.project_id = record.at("request.namespace.path").text().and_then(|path| stated(path.trim_matches('/')));
    let caller = principal(&mut fields, "auth.entity_id", "auth.display_name");
    match call {
        Call::Issue | Call::Renew => token(&mut fields, call, path, &mut event, caller),
        Call::Revoke => revoked(&mut fields, path, &mut event, caller),
        Call::RevokePrefix => event.actor_id = caller,
        Call::Entity(_) => {
            event.actor_id = caller;
            return entities(fields, record, path, event, out);
        }
        Call::Other => {
            event.token_id = own_accessor(&mut fields);
            event.subject_id = caller;
        }
    }
    fields.finish(event, out)
}

const fn action(call: Call) -> Action {
    match call {
        Call::Issue => Action::Issue,
        Call::Renew => Action::Refresh,
        Call::Revoke | Call::RevokePrefix => Action::Revoke,
        Call::Entity(action) => action,
        Call::Other => Action::Other,
    }
}

/// What a response is about, by its path and by what it hands out.
fn call(path: &str, record: &Json<'_>) -> Call {
    if let Some(rest) = path.strip_prefix("auth/token/") {
        return match rest.split('/').next().unwrap_or_default() {
            "create" | "create-orphan" => Call::Issue,
            "renew" | "renew-self" | "renew-accessor" => Call::Renew,
            "revoke" | "revoke-self" | "revoke-accessor" | "revoke-orphan" => Call::Revoke,
            _ => Call::Other,
        };
    }
    if let Some(entity) = path.strip_prefix("identity/entity") {
        return entity_call(entity, record);
    }
    let revoked = ["sys/leases/revoke-prefix/", "sys/leases/revoke-force/", "sys/revoke-prefix/", "sys/revoke-force/"]
        .into_iter()
        .find_map(|prefix| path.strip_prefix(prefix));
    match revoked {
        Some(prefix) if prefix.starts_with("auth/") => Call::RevokePrefix,
        _ if hands_out_token(record) => Call::Issue,
        _ if is_login(path) && (has_failed(record) || tells_nothing_of_it(record)) => Call::Issue,
        _ => Call::Other,
    }
}

/// Calls that make it impossible, or possible again, to use an entity's tokens.
fn entity_call(path: &str, record: &Json<'_>) -> Call {
    if path == "/batch-delete" {
        return Call::Entity(Action::Offboard);
    }
    let is_one = path.is_empty() || path.starts_with("/id/") || path.starts_with("/name/");
    let operation = record.at("request.operation").text().unwrap_or_default();
    match (operation, record.at("request.data.disabled").boolean()) {
        _ if !is_one => Call::Other,
        ("delete", _) if !path.is_empty() => Call::Entity(Action::Offboard),
        ("create" | "update" | "patch", Some(true)) => Call::Entity(Action::Offboard),
        ("create" | "update" | "patch", Some(false)) => Call::Entity(Action::Reinstate),
        _ => Call::Other,
    }
}

/// Whether a response holds a token; while a login waits for its second factor there is none yet.
fn hands_out_token(record: &Json<'_>) -> bool {
    let auth = record.at("response.auth");
    let handed = [auth.get("client_token"), auth.get("accessor"), record.at("response.wrap_info.wrapped_accessor")];
    handed.into_iter().any(|value| value.text().is_some())
}

/// Whether what was handed out at a login is left out of the record, as some tools between do. While a second factor is
/// waited for there is something, but no token.
fn tells_nothing_of_it(record: &Json<'_>) -> bool {
    let is_call = matches!(record.at("request.operation").text(), None | Some("update" | "create"));
    is_call && record.at("response.auth").is_null()
}

fn is_login(path: &str) -> bool {
    path.starts_with("auth/")
        && (path.ends_with("/oidc/callback") || path.split('/').skip(2).any(|part| part == "login"))
}

/// Refused, or answered with an error in place of a token.
fn has_failed(record: &Json<'_>) -> bool {
    let answers_error = || record.at("response.data.error").text().is_some() && !hands_out_token(record);
    let path = record.at("request.path").text().unwrap_or_default();
    record.get("error").text().is_some() || (path.starts_with("auth/") && answers_error())
}

/// A token that was made, or whose life was made longer.
fn token<'a>(fields: &mut Fields<'a>, call: Call, path: &'a str, event: &mut Event<'a>, caller: Text<'a>) {
    let mut token_id = ["response.auth.accessor", "response.wrap_info.wrapped_accessor"]
        .into_iter()
        .find_map(|path| fields.text(path))
        // Batch tokens have no accessor; the hash of the token itself names them as well.
        .or_else(|| fields.text("response.auth.client_token").filter(|token| !is_clear(token)));
    if token_id.is_none() && path.starts_with("auth/token/renew-self") {
        token_id = own_accessor(fields);
    }
    let subject = principal(fields, "response.auth.entity_id", "response.auth.display_name");
    let is_login = !path.starts_with("auth/token/");
    event.subject_id = match (subject, is_login) {
        (Some(subject), _) => Some(subject),
        (None, true) => caller.clone().or_else(|| login_name(path)),
        (None, false) if call == Call::Renew && !path.starts_with("auth/token/renew-self") => None,
        (None, false) if call == Call::Issue && token_id.is_some() => None,
        (None, false) => caller.clone(),
    };
    if !is_login {
        event.actor_id = caller.filter(|caller| event.subject_id.as_ref() != Some(caller));
        if call == Call::Issue && !path.starts_with("auth/token/create-orphan") {
            event.parent_id = own_accessor(fields).filter(|parent| token_id.as_ref() != Some(parent));
        }
    } else {
        event.grant_type = fields.text("request.mount_type").and_then(|kind| grant_type(&kind)).map(Cow::Borrowed);
    }
    event.token_id = token_id;
    event.token_kind = Some(Cow::Borrowed("access"));
    event.scopes = fields.scopes("response.auth.policies");
    event.issued_at = fields.time("response.auth.token_issue_time");
    let start = if call == Call::Renew { event.event_time } else { event.issued_at.unwrap_or(event.event_time) };
    // A lifetime of 0 is that of a root token: none.
    let lifetime = fields.integer("response.auth.token_ttl").filter(|seconds| *seconds > 0);
    event.expires_at = lifetime.and_then(|seconds| times::after(start, seconds));
}

/// A token that was revoked. If another than the caller's own, whose it was is not said.
fn revoked<'a>(fields: &mut Fields<'a>, path: &'a str, event: &mut Event<'a>, caller: Text<'a>) {
    if path.starts_with("auth/token/revoke-self") {
        event.token_id = own_accessor(fields);
        event.subject_id = caller;
        fields.is_of_one_token(event);
    } else {
        let named = fields.text("request.data.accessor");
        event.token_id = named.or_else(|| fields.text("request.data.token").filter(|token| !is_clear(token)));
        event.actor_id = caller;
    }
    event.token_kind = Some(Cow::Borrowed("access"));
}

/// One event for each entity.
fn entities<'a>(
    mut fields: Fields<'a>,
    record: &'a Json<'a>,
    path: &'a str,
    mut event: Event<'a>,
    out: &mut Vec<Event<'a>>,
) -> Result<(), Rejection> {
    let named = path.strip_prefix("identity/entity/id/").or_else(|| path.strip_prefix("identity/entity/name/"));
    if let Some(name) = named {
        event.subject_id = stated(name);
        return fields.finish(event, out);
    }
    // Ids in the body are hashed unless the device is told otherwise, and then name nobody.
    let ids = record.at("request.data.entity_ids").items().iter().chain(record.at("request.data.id").items());
    let clear: Vec<_> = ids.filter_map(Json::cow).filter(|text| is_clear(text)).collect();
    if clear.is_empty() {
        fields.note("request.data: the entity is not named in clear".into());
        return fields.finish(event, out);
    }
    for id in clear {
        fields.push(Event { subject_id: Some(id), ..event.clone() }, out);
    }
    fields.done()
}

/// The accessor of the token that a request was made with; batch tokens have none, but the hash of one names it as well.
fn own_accessor<'a>(fields: &mut Fields<'a>) -> Text<'a> {
    let accessor = fields.text("auth.accessor").or_else(|| fields.text("request.client_token_accessor"));
    accessor.or_else(|| fields.text("auth.client_token").filter(|token| !is_clear(token)))
}

/// An entity; without one the display name, unless that says only that a token made a token.
fn principal<'a>(fields: &mut Fields<'a>, entity: &str, name: &str) -> Text<'a> {
    fields.id(entity).or_else(|| fields.text(name).filter(|name| name != "token"))
}

/// The user that a failed login was for: `auth/<mount>/login/<name>`.
fn login_name(path: &str) -> Text<'_> {
    path.split_once("/login/").and_then(|(_, name)| stated(name))
}

/// What kind of grant a login is, where the auth method leaves no doubt.
fn grant_type(mount_type: &str) -> Option<&'static str> {
    match mount_type {
        "userpass" | "ldap" | "radius" | "okta" => Some("password"),
        "jwt" | "kubernetes" => Some("jwt_bearer"),
        "oidc" => Some("authorization_code"),
        "approle" => Some("client_credentials"),
        _ => None,
    }
}

/// A path without the token that old versions took in it.
fn without_token(path: &str) -> &str {
    let end = path.match_indices('/').nth(2).map_or(path.len(), |(at, _)| at);
    let may_hold_token = path.starts_with("auth/token/") && !path.starts_with("auth/token/create/");
    if may_hold_token { path.get(..end).unwrap_or(path) } else { path }
}

/// Whether text is not a hash made by the audit device.
fn is_clear(text: &str) -> bool {
    !text.starts_with("hmac-sha256:")
}

fn stated(text: &str) -> Text<'_> {
    (!text.is_empty()).then_some(Cow::Borrowed(text))
}

#[cfg(test)]
mod tests;
