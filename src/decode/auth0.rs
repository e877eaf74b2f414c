//! Auth0 tenant logs, from a log stream (`{"log_id", "data"}`) or from the Management API (flat).
//!
//! Which type means what is from the pages "Log Event Type Codes" and "Log Stream Filters" of the Auth0 documentation,
//! the fields from the JSON schemas Auth0 publishes for each type (auth0-log-schemas), what administrators do from the
//! Management API reference. The description is free text and is not read.
//!
//! - `ferrt` is a replayed refresh token. A family id is stated for rotating refresh tokens only.
//! - A refresh names the access token it gave; the refresh token that was spent has no id, only its family.
//! - `srrt` with a grant id took the whole grant of this user and client away, without one only this token.
//! - `universal_logout_*` ends all sessions of a user and their tokens, so it is a revocation.
//! - Of `sapi` and `fapi` (Management API) those requests count that block, delete or restore a user or end sessions,
//!   tokens and grants; then the subject is whom it was done to, and the caller is the actor. A revocation names no client
//!   then: the client of the record is the tool of the administrator.
//! - Of `sscim` and `fscim` those count that delete or (de)activate a user.

mod management;

use std::borrow::Cow;

use super::fields::{Fields, outcome};
use super::json::Json;
use crate::event::{Action, Event, Outcome, Rejection, Text};

/// What a record must have.
pub const SHAPE: &str = "log_id with a type in data; or date and type with log_id, _id, or client_id and details";

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    let log = log_of(record);
    let is_streamed = record.get("data").is_object() && record.has("log_id");
    let is_named = || log.has("log_id") || log.has("_id") || (log.has("client_id") && log.get("details").is_object());
    let is_flat = || log.has("date") && is_named();
    log.get("type").text().is_some() && (is_streamed || is_flat())
}

/// The log inside of what a stream puts around it.
fn log_of<'a>(record: &'a Json<'a>) -> &'a Json<'a> {
    let data = record.get("data");
    if data.is_object() { data } else { record }
}

/// Adds the event of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let log = log_of(record);
    let mut fields = Fields::new(log);
    let code = log.get("type").text().unwrap_or_default();
    let (action, grant) = meaning(code);
    let mut event = fields.event(&["date"], action);
    event.outcome = outcome(!is_failure(code));
    event.event_id = fields.id("log_id").or_else(|| record.get("log_id").id()).or_else(|| fields.id("_id"));
    event.source_event = fields.text("type");
    event.grant_type = grant.map(Cow::Borrowed);
    event.subject_id = fields.text("user_id");
    event.client_id = fields.text("client_id");
    event.session_id = fields
        .text("details.session_id")
        .or_else(|| fields.text("details.refresh_token.session_id"))
        .filter(|id| is_whole(id));
    event.ip = fields.ip("ip");
    event.user_agent = fields.text("user_agent");
    event.country = fields.text("location_info.country_code");
    if matches!(code, "sapi" | "fapi" | "sscim" | "fscim") {
        management::read(code.ends_with("scim"), log, &mut fields, &mut event);
    } else {
        token(code, log, &mut fields, &mut event);
    }
    fields.finish(event, out)
}

/// What the record says about the token.
fn token<'a>(code: &str, log: &'a Json<'a>, fields: &mut Fields<'a>, event: &mut Event<'a>) {
    event.family_id = fields.text("details.familyId").filter(|id| is_whole(id));
    match event.action {
        Action::Issue => {
            event.token_id = fields.text("details.access_token_jti").filter(|id| is_whole(id));
            event.token_kind = Some(Cow::Borrowed("access"));
            event.scopes = fields.scopes("scope");
        }
        Action::Refresh | Action::ReuseDetected => {
            event.token_kind = Some(Cow::Borrowed("refresh"));
            event.scopes = fields.scopes("scope");
        }
        Action::Revoke if code == "srrt" => {
            event.token_kind = Some(Cow::Borrowed("refresh"));
            if log.at("details.grant_id").text().is_none() {
                event.token_id = fields.id("details.credential_id").filter(|id| is_whole(id));
            }
        }
        _ => {}
    }
    if log.get("mtls_thumbprint_sha256").text().is_some() {
        event.token_binding = Some(Cow::Borrowed("mtls"));
    }
    if log.get("agent_id").text().is_some() {
        event.client_kind = Some(Cow::Borrowed("agent"));
    }
    let actor = fields.text("details.actor.sub");
    event.actor_id = actor.filter(|actor| Some(actor) != event.subject_id.as_ref());
}

/// The action of a type, and the grant it is about.
fn meaning(code: &str) -> (Action, Option<&'static str>) {
    match code {
        "sertft" | "fertft" => return (Action::Refresh, Some("refresh_token")),
        "ferrt" => return (Action::ReuseDetected, Some("refresh_token")),
        "srrt" | "universal_logout_succeeded" | "universal_logout_failed" => return (Action::Revoke, None),
        "slo" | "flo" | "oidc_backchannel_logout_succeeded" | "oidc_backchannel_logout_failed" => {
            return (Action::Logout, None);
        }
        "sdu" | "fdu" => return (Action::Offboard, None),
        _ => {}
    }
    // Exchanges come in pairs: a short code with s for success or f for failure in front, or a long one with a word.
    let short = code.strip_prefix(['s', 'f']).unwrap_or_default();
    let long = code.strip_suffix("_succeeded").or_else(|| code.strip_suffix("_failed")).unwrap_or_default();
    let grant = match (short, long) {
        ("eacft" | "deleacft", _) => "authorization_code",
        ("eccft", _) => "client_credentials",
        ("ede", _) => "device_code",
        ("epft" | "eoobft" | "eotpft" | "ercft", _) => "password",
        ("ens" | "ecte" | "eta", _) => "token_exchange",
        ("epotpft" | "epkoobft" | "epkotpft" | "epkrcft", _) => "other",
        (_, "ciba_exchange") => "ciba",
        (_, "idjag_exchange" | "jwt_bearer_exchange") => "jwt_bearer",
        _ if matches!(code, "success_on_behalf_of_token_exchange" | "failed_on_behalf_of_token_exchange") => {
            "token_exchange"
        }
        _ => return (Action::Other, None),
    };
    (Action::Issue, Some(grant))
}

/// Short codes say f for failure, long ones a word.
fn is_failure(code: &str) -> bool {
    match code.split_once('_') {
        None => code.starts_with('f'),
        Some((first, _)) => {
            first == "failed" || ["_failed", "_failure", "_error"].iter().any(|end| code.ends_with(end))
        }
    }
}

/// Auth0 masks what could be a secret; what is left of it tells nothing apart.
fn is_whole(id: &str) -> bool {
    !id.contains("***")
}

#[cfg(test)]
mod tests;
