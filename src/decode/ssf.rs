//! OpenID Shared Signals: security event tokens (RFC 8417) with events of CAEP and RISC.
//!
//! A record is the claims of a token, or the token itself as a compact JWT. **Signatures are not verified**: whoever can
//! write to the topic can make events up, so let only the receiver of the stream write there.
//!
//! Where the mapping comes from: "OpenID Continuous Access Evaluation Profile 1.0" section 3, "OpenID RISC Profile 1.0"
//! section 2, "OpenID Shared Signals Framework 1.0" sections on subjects and stream events, and the draft "OAuth Event
//! Types 1.0", which Google still sends. Earlier drafts put the subject into the event, named its format `subject_type`,
//! and counted `event_timestamp` in milliseconds.
//!
//! A credential that was withdrawn (a key, a password) is a revocation of that credential, and of no token. Names of
//! tenants, groups and organizational units are left out: other sources know them by other names.

mod subject;
mod token;

use std::borrow::Cow;

use super::fields::Fields;
use super::json::Json;
use super::times;
use crate::event::{Action, Event, Rejection, Text, time};
use subject::Principals;

/// What a record must have.
pub const SHAPE: &str = "iss, jti and events; or a compact JWT with these";

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    match record {
        Json::Text(text) => token::is_one(text),
        _ => has_claims(record),
    }
}

fn has_claims(claims: &Json<'_>) -> bool {
    claims.has("iss") && claims.has("jti") && claims.get("events").is_object()
}

/// Adds an event for each that the token tells.
///
/// # Errors
/// No usable time, or text that is no token.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let Json::Text(text) = record else { return read(record, out) };
    let payload = token::payload(text).ok_or_else(|| Rejection("ssf: not a compact JWT".into()))?;
    let claims = Json::parse(payload.as_bytes())?;
    let mut events = Vec::new();
    let result = read(&claims, &mut events);
    out.extend(events.into_iter().map(token::owned));
    result
}

fn read<'a>(claims: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let mut fields = Fields::new(claims);
    for (uri, body) in claims.get("events").members() {
        if !body.is_object() {
            fields.note(format!("events: {} where an object was expected", body.kind()));
        }
        let event = event(&mut fields, claims, uri, body);
        fields.push(event, out);
    }
    fields.done()
}

fn event<'a>(fields: &mut Fields<'a>, claims: &'a Json<'a>, uri: &'a str, body: &'a Json<'a>) -> Event<'a> {
    let (profile, name) = profile_and_name(uri);
    let mut event = moment(fields, claims, body, action(profile, name, body));
    event.event_id = id(fields);
    event.source_event = Some(Cow::Borrowed(if name.is_empty() { uri } else { name })).filter(|name| !name.is_empty());
    let stated = if claims.has("sub_id") { claims.get("sub_id") } else { body.get("subject") };
    let mut principals = match (profile, name) {
        // The subject of these is the stream.
        (_, "verification" | "stream-updated") => Principals::default(),
        (_, "backchannel-logout") => {
            let (user, session) = (fields.text("sub"), fields.text("sid"));
            Principals { user, session, application: audience(fields, claims), ..Principals::default() }
        }
        _ if stated.is_null() => Principals { user: fields.text("sub"), ..Principals::default() },
        _ => subject::read(fields, stated, subject_role(name)),
    };
    principals.user = principals.user.or_else(|| subject::read(fields, body.get("token_subject"), Role::User).user);
    if name == "credential-change" && event.action == Action::Revoke {
        principals.token = Some(credential(body, principals.user.as_deref().unwrap_or_default()).into());
        event.token_kind = Some(Cow::Borrowed("other"));
    }
    let is_of_token = name == "token-revoked" && principals.token.is_none();
    if event.action == Action::Revoke && (is_of_token || principals.is_partial) {
        // With the user alone it would read as if all of the user's tokens were revoked.
        principals.user = None;
    }
    event.token_kind = event.token_kind.or(principals.token_kind.map(Cow::Borrowed));
    event.token_id = principals.token;
    event.subject_id = principals.user;
    event.device_id = principals.device;
    event.session_id = principals.session;
    event.client_id = principals.application;
    event.ip = ["ips", "current_ip_address", "ip"]
        .into_iter()
        .find_map(|name| body.get(name).items().iter().find_map(|value| fields.ip_of(name, value)));
    event.user_agent = body.get("current_user_agent").cow();
    event
}

/// What a simple subject identifies, where its format does not say so.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    User,
    Device,
    /// A session if the id is opaque, else the user of all of them.
    Session,
}

fn subject_role(name: &str) -> Role {
    match name {
        "session-revoked" | "session-established" | "session-presented" => Role::Session,
        "device-compliance-change" => Role::Device,
        _ => Role::User,
    }
}

/// `caep` and `session-revoked` of `https://schemas.openid.net/secevent/caep/event-type/session-revoked`.
fn profile_and_name(uri: &str) -> (&str, &str) {
    let mut parts = uri.rsplit('/');
    let name = parts.next().unwrap_or_default();
    (parts.nth(1).unwrap_or_default(), name)
}

fn action(profile: &str, name: &str, body: &Json<'_>) -> Action {
    let says = |member: &str, word: &str| body.get(member).text().is_some_and(|text| text.eq_ignore_ascii_case(word));
    match (profile, name) {
        ("caep", "session-revoked") if says("initiating_entity", "user") => Action::Logout,
        ("caep", "session-revoked") | ("risc", "sessions-revoked") => Action::Revoke,
        ("caep", "credential-change") if says("change_type", "revoke") || says("change_type", "delete") => {
            Action::Revoke
        }
        ("risc", "account-disabled" | "account-purged") => Action::Offboard,
        ("risc", "account-enabled") => Action::Reinstate,
        ("risc", "credential-compromise") => Action::Compromise,
        // OpenID Connect Back-Channel Logout 1.0 section 2.4: told to one client of the provider.
        (_, "backchannel-logout") => Action::Logout,
        ("oauth", "token-issued") => Action::Issue,
        ("oauth", "token-revoked" | "tokens-revoked") => Action::Revoke,
        _ => Action::Other,
    }
}

/// Whom the token is for.
fn audience<'a>(fields: &mut Fields<'a>, claims: &'a Json<'a>) -> Text<'a> {
    claims.get("aud").items().first().and_then(|name| fields.text_of("aud", name))
}

/// The event's own time if it states a plausible one, else when the token says it happened (`toe`) or was made (`iat`).
fn moment<'a>(fields: &mut Fields<'a>, claims: &'a Json<'a>, body: &'a Json<'a>, action: Action) -> Event<'a> {
    let times =
        [("event_timestamp", body.get("event_timestamp")), ("toe", claims.get("toe")), ("iat", claims.get("iat"))];
    let is_usable = |value: &Json<'_>| times::micros(value).is_some_and(|at| time::PLAUSIBLE.contains(&at));
    let usable = times.iter().find(|(_, value)| is_usable(value));
    if let (Some((found, _)), (first, stated)) = (usable, times[0])
        && *found != first
        && !stated.is_null()
    {
        fields.note(format!("{first}: no plausible time, so {found} stands for it"));
    }
    match usable.or_else(|| times.iter().find(|(_, value)| !value.is_null())) {
        Some((name, value)) => fields.event_at(name, value, action),
        None => fields.event(&["event_timestamp", "iat"], action),
    }
}

/// Token ids are unique for their issuer only.
fn id<'a>(fields: &mut Fields<'a>) -> Text<'a> {
    let jti = fields.id("jti")?;
    Some(match fields.text("iss") {
        Some(issuer) => format!("{issuer}#{jti}").into(),
        None => jti,
    })
}

/// A name for a credential that is no token, so that nobody takes its end for that of all tokens of the user.
fn credential(body: &Json<'_>, user: &str) -> String {
    let names = ["credential_type", "x509_serial", "fido2_aaguid", "friendly_name"];
    let stated = names.iter().filter_map(|name| body.get(name).text());
    let mut id = format!("credential of {user}");
    stated.for_each(|part| id.extend(["/", part]));
    id
}

#[cfg(test)]
mod tests;
