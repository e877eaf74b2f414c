//! Okta System Log.
//!
//! Event names and what they mean: Okta's event type catalogue ("Event types", developer.okta.com). Fields: "System Log
//! API, LogEvent object" and "Event hooks". Three things shape the mapping:
//!
//! - Okta never logs a token, only the hash of one, in the `detailEntry` of a target named after its kind. A refresh logs
//!   the new tokens, so the one that was spent stays unnamed.
//! - Where an administrator acts on somebody, the actor, the session, the device and the client are the administrator's,
//!   and the person is a target. So whatever is revoked is a target's, if there is one: an administrator who takes back
//!   the consent of another loses nothing, nor does whoever deletes a client, a scope or a server.
//! - A device-code grant has no event of its own: only `grantType` tells.

use super::fields::{Fields, grant_type, outcome};
use super::json::Json;
use crate::event::{Action, Event, Rejection, Text};

/// What a record must have.
pub const SHAPE: &str =
    "eventType, with published, legacyEventType, displayMessage or a context; or with actor and outcome";

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    const BESIDE: [&str; 6] =
        ["published", "legacyEventType", "displayMessage", "debugContext", "authenticationContext", "securityContext"];
    let is_cut_down = || record.get("actor").is_object() && record.get("outcome").is_object();
    record.get("eventType").text().is_some() && (BESIDE.iter().any(|key| record.has(key)) || is_cut_down())
}

/// Whom an event is about.
#[derive(Clone, Copy, PartialEq)]
enum About {
    /// Whoever acts.
    Actor,
    /// The user, device or client that somebody acts on.
    Target,
    /// Something that stands by itself, an API token or a consent: not part of the session in which it began or ended.
    Apart,
}

/// What an event name means. `None`: nothing about tokens.
fn meaning(name: &str, grant: Option<&str>) -> Option<(Action, About)> {
    use Action::*;
    let oauth = name.strip_prefix("app.oauth2.").map(|rest| rest.strip_prefix("as.").unwrap_or(rest));
    let meaning = match oauth.unwrap_or(name) {
        "token.detect_reuse" => (ReuseDetected, About::Actor),
        "token.revoke" => (Revoke, About::Actor),
        "authorize.implicit.access_token" | "authorize.implicit.id_token" => (Issue, About::Actor),
        "token.grant" => (issue_or_refresh(grant), About::Actor),
        rest if rest.starts_with("token.grant.") => (issue_or_refresh(grant), About::Actor),
        rest if rest.starts_with("token.revoke.implicit") => (Revoke, About::Target),
        rest if rest.starts_with("consent.revoke.implicit") => (Revoke, About::Target),
        rest if rest.starts_with("consent.revoke") => (Revoke, About::Apart),
        "admin.consent.revoke" => (Revoke, About::Target),
        "system.api_token.create" => (Issue, About::Apart),
        "system.api_token.revoke" => (Revoke, About::Apart),
        "user.session.end" | "user.authentication.slo" => (Logout, About::Actor),
        "user.session.clear" => (Revoke, About::Target),
        "user.lifecycle.deactivate"
        | "user.lifecycle.suspend"
        | "user.lifecycle.delete.initiated"
        | "user.lifecycle.delete.completed" => (Offboard, About::Target),
        "user.lifecycle.activate" | "user.lifecycle.reactivate" | "user.lifecycle.unsuspend" => {
            (Reinstate, About::Target)
        }
        "device.lifecycle.deactivate" | "device.lifecycle.delete" | "device.lifecycle.suspend" => {
            (DeviceLost, About::Target)
        }
        "device.lifecycle.activate" | "device.lifecycle.unsuspend" => (DeviceRecovered, About::Target),
        _ => return None,
    };
    Some(meaning)
}

/// What was done, where only the name is known.
pub fn action(name: &str) -> Option<Action> {
    meaning(name, None).map(|(action, _)| action)
}

fn issue_or_refresh(grant: Option<&str>) -> Action {
    if grant == Some("refresh_token") { Action::Refresh } else { Action::Issue }
}

/// Adds the event of a record.
///
/// # Errors
/// No usable `published`.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let mut fields = Fields::new(record);
    let name = fields.text("eventType");
    let debug = record.at("debugContext.debugData");
    let grant = debug.get("grantType").text().map(grant_type);
    let known = meaning(name.as_deref().unwrap_or_default(), grant);
    // What is not about tokens is about whoever acts, unless it is done to a user.
    let is_done_to = || {
        name.as_deref().is_some_and(|name| {
            name.starts_with("user.lifecycle.") || name.starts_with("user.account.") || name.starts_with("device.user.")
        })
    };
    let about = known.map_or_else(|| if is_done_to() { About::Target } else { About::Actor }, |(_, about)| about);
    let mut event = fields.event(&["published"], known.map_or(Action::Other, |(action, _)| action));
    event.source_event = name;
    event.event_id = fields.id("uuid");
    event.outcome = outcome(!is_refused(record.at("outcome.result")));
    event.grant_type = grant.map(Into::into);
    event.scopes = fields.scopes_of("debugContext.debugData.grantedScopes", debug.get("grantedScopes"));
    network(record, &mut fields, &mut event);
    people(record, debug, about, &mut fields, &mut event);
    let by_another = event.action == Action::Revoke && event.actor_id.is_some();
    if about == About::Actor && !by_another {
        event.session_id = session(record, &mut fields);
    }
    event.device_id = device(record, about, &mut fields);
    token(record, &mut fields, &mut event);
    // What ends all of a user says so in its name.
    const OF_ONE: [&str; 4] = ["system.api_token.revoke", "token.revoke", "as.token.revoke", "as.consent.revoke"];
    let stated = event.source_event.as_deref().unwrap_or_default();
    if OF_ONE.contains(&stated.strip_prefix("app.oauth2.").unwrap_or(stated)) {
        fields.is_of_one_token(&mut event);
    }
    fields.finish(event, out)
}

fn is_refused(result: &Json<'_>) -> bool {
    let refused = |word: &str| ["FAILURE", "DENY", "SKIPPED"].iter().any(|refusal| refusal.eq_ignore_ascii_case(word));
    result.text().is_some_and(refused)
}

fn network<'a>(record: &'a Json<'a>, fields: &mut Fields<'a>, event: &mut Event<'a>) {
    let first_hop = record.at("request.ipChain").items().first();
    event.ip = fields
        .ip("client.ipAddress")
        .or_else(|| first_hop.and_then(|hop| fields.ip_of("request.ipChain.ip", hop.get("ip"))));
    event.asn = fields.integer("securityContext.asNumber");
    // Okta writes the name of the country; only a code fits.
    let country = record.at("client.geographicalContext.country").cow();
    event.country = country.filter(|name| name.len() == 2 && name.bytes().all(|letter| letter.is_ascii_uppercase()));
    event.user_agent = match record.at("client.userAgent") {
        Json::Text(_) => fields.text("client.userAgent"),
        _ => fields.text("client.userAgent.rawUserAgent"),
    };
}

/// Whose token, who acted, and through which client.
fn people<'a>(record: &'a Json<'a>, debug: &'a Json<'a>, about: About, fields: &mut Fields<'a>, event: &mut Event<'a>) {
    let (actor, user) = (record.get("actor"), target(record, &["User"]));
    let acts_as = |kind: &str| actor.get("type").text().is_some_and(|text| text.eq_ignore_ascii_case(kind));
    let is_client = acts_as("PublicClientApp") || acts_as("PublicClientAppEntity");
    let name = if acts_as("User") { named(actor, fields) } else { None };
    let targeted = fields.text_of("target.alternateId", user.get("alternateId"));
    let by_id = |fields: &mut Fields<'a>| {
        let stated = fields.id_of("debugContext.debugData.userId", debug.get("userId"));
        stated.or_else(|| fields.id_of("target.id", user.get("id")))
    };
    event.subject_id = match (about, event.action) {
        // Who locks an account by guessing at it is its user.
        (About::Target, Action::Other) | (About::Actor | About::Apart, Action::Revoke) => {
            targeted.or_else(|| name.clone()).or_else(|| by_id(fields))
        }
        (About::Target, _) => targeted.or_else(|| by_id(fields)),
        (About::Actor | About::Apart, _) => name.clone().or(targeted).or_else(|| by_id(fields)),
    };
    let whoever = if acts_as("User") { name } else { named(actor, fields).filter(|_| !is_client) };
    // Okta writes one name in several cases.
    let is_subject = |actor: &str| event.subject_id.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(actor));
    event.actor_id = whoever.filter(|actor| !is_subject(actor));
    if event.grant_type.as_deref() == Some("client_credentials") && event.subject_id.is_none() {
        event.subject_kind = Some("service".into());
    }
    let app = || target(record, &["PublicClientApp", "PublicClientAppEntity", "AppInstance"]);
    let is_oauth = event.source_event.as_deref().is_some_and(|name| name.starts_with("app.oauth2."));
    event.client_id = match about {
        About::Actor if is_client => named(actor, fields),
        About::Actor => fields.id("client.id"),
        About::Target | About::Apart => None,
    };
    if event.client_id.is_none() && is_oauth {
        event.client_id = fields.id_of("target.id", app().get("id"));
    }
}

/// The actor's name, or the id where Okta knows no name.
fn named<'a>(actor: &'a Json<'a>, fields: &mut Fields<'a>) -> Text<'a> {
    let name = fields.text_of("actor.alternateId", actor.get("alternateId"));
    name.or_else(|| fields.id_of("actor.id", actor.get("id")))
}

/// The first target of one of these types.
fn target<'a>(record: &'a Json<'a>, types: &[&str]) -> &'a Json<'a> {
    let targets = record.get("target");
    types.iter().map(|kind| targets.item_where("type", kind)).find(|found| !found.is_null()).unwrap_or(&Json::Null)
}

fn session<'a>(record: &'a Json<'a>, fields: &mut Fields<'a>) -> Text<'a> {
    let external = fields.text("authenticationContext.externalSessionId");
    external.or_else(|| record.at("authenticationContext.rootSessionId").cow())
}

fn device<'a>(record: &'a Json<'a>, about: About, fields: &mut Fields<'a>) -> Text<'a> {
    let named = target(record, &["UDDevice", "Device"]);
    let registered = fields.id_of("target.id", named.get("id"));
    registered
        .or_else(|| fields.id_of("target.detailEntry.oktaDeviceId", named.at("detailEntry.oktaDeviceId")))
        .or_else(|| if about == About::Actor { fields.id("device.id") } else { None })
}

/// The token a record names.
fn token<'a>(record: &'a Json<'a>, fields: &mut Fields<'a>, event: &mut Event<'a>) {
    const KINDS: [(&str, &str); 5] = [
        ("refresh_token", "refresh"),
        ("access_token", "access"),
        ("id_token", "id"),
        ("device_secret", "other"),
        ("Token", "api_key"),
    ];
    if event.action == Action::Refresh {
        event.token_kind = Some("refresh".into());
        return;
    }
    let found =
        KINDS.iter().map(|(kind, column)| (target(record, &[kind]), *column)).find(|(found, _)| !found.is_null());
    let Some((token, kind)) = found else {
        return;
    };
    event.token_kind = Some(kind.into());
    event.token_id = fields
        .text_of("target.detailEntry.hash", token.at("detailEntry.hash"))
        .or_else(|| fields.id_of("target.id", token.get("id")));
    event.expires_at = fields.time_of("target.detailEntry.expires", token.at("detailEntry.expires"));
}
