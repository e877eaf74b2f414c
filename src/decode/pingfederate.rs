//! PingFederate security audit log.
//!
//! Events and fields are those of Ping Identity's page "Security audit logging"; there is a line for each transaction,
//! in one of the layouts that come with the product (see [`line`]), or what a collector made of it: an object with the
//! same names. `connectionid` is the OAuth client of an OAuth transaction and the partner of others; `sri` is the id of
//! the session that tokens are bound to.

mod line;

use std::borrow::Cow;

use super::SCOPES_MAX;
use super::fields::{self, Fields, grant_type, outcome};
use super::json::Json;
use crate::event::{Action, Event, Rejection};
use line::Line;

/// What a record must have.
pub const SHAPE: &str = "event, role and trackingid, as fields or in a line";

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    match record {
        Json::Text(text) => line::is_audit(text),
        _ => {
            let is_tracked = record.has("trackingid") || record.has("tid");
            is_tracked && record.get("event").text().is_some() && record.has("role")
        }
    }
}

/// Adds the events of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let mut entry = Entry { record, line: record.verbatim().map(line::read), fields: Fields::new(record) };
    let name = entry.get("event");
    let role = entry.get("role");
    let status = entry.get("status").unwrap_or_default();
    let grant = entry.get("granttype");
    let action = action(name.unwrap_or_default(), role, status, grant);
    let mut event = match &entry.line {
        Some(Line { time: Some(time), .. }) => entry.fields.event_at("time", &Json::Text(time.as_ref().into()), action),
        _ => entry.fields.event(&["timestamp", "time", "@timestamp"], action),
    };
    event.source_event = name.map(Cow::Borrowed);
    event.outcome = outcome(!status.eq_ignore_ascii_case("failure"));
    event.subject_id = entry.get("subject").map(Cow::Borrowed);
    event.ip = entry.get("ip").and_then(fields::ip).map(Cow::Borrowed);
    // At a service provider's end the partner is who vouches for the subject, and no client.
    if role != Some("SP") {
        event.client_id = entry.get("connectionid").map(Cow::Borrowed);
    }
    event.session_id = entry.get("sri").map(Cow::Borrowed);
    event.family_id = entry.get("accessgrantguid").map(Cow::Borrowed);
    if matches!(event.action, Action::Issue | Action::Refresh) {
        event.grant_type = grant.map(|stated| grant_type(stated).into());
        let scopes = entry.get("scopes").or_else(|| entry.get("scope")).unwrap_or_default();
        let words = scopes.split([' ', ',']).filter(|word| !word.is_empty());
        event.scopes = words.take(SCOPES_MAX).map(Cow::Borrowed).collect();
    }
    if event.action == Action::Issue {
        event.token_id = entry.get("accesstokenjti").map(Cow::Borrowed);
    }
    if name == Some("SRI_REVOKED") {
        // That is one session, and some layouts leave out which.
        entry.fields.is_of_one_token(&mut event);
    }
    entry.fields.finish(event, out)
}

fn action(name: &str, role: Option<&str>, status: &str, grant: Option<&str>) -> Action {
    // While a transaction is in progress nothing has come of it.
    let is_answered = !["inprogress", "in progress"].iter().any(|word| status.eq_ignore_ascii_case(word));
    match (name, grant) {
        ("OAuth", Some("refresh_token")) if role == Some("AS") && is_answered => Action::Refresh,
        // A resource server asks whether a token is good, with a grant type of Ping's own.
        ("OAuth", Some(stated)) if stated.contains("validate_bearer") => Action::Other,
        ("OAuth", _) if role == Some("AS") && is_answered => Action::Issue,
        // The last is how the documentation spells the second.
        ("SRI_REVOKED" | "AUTHN_SESSIONS_DELETED" | "AUTHN_SESSION_DELETED", _) => Action::Revoke,
        ("SLO", _) => Action::Logout,
        ("ACCOUNT_DELETE", _) => Action::Offboard,
        _ => Action::Other,
    }
}

/// One transaction, as a line or as an object.
struct Entry<'a> {
    record: &'a Json<'a>,
    line: Option<Line<'a>>,
    fields: Fields<'a>,
}

impl<'a> Entry<'a> {
    fn get(&mut self, key: &str) -> Option<&'a str> {
        if let Some(line) = &self.line {
            return line.get(key);
        }
        let value = self.record.get(key);
        self.fields.text_of(key, value).and(value.text())
    }
}
