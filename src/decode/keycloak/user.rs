//! What users and their clients do.
//!
//! - Every type has a twin that ends in `_ERROR`: the same was asked for and refused.
//! - A refresh names the token that was presented (`refresh_token_id`), the one that replaces it and the access token.
//!   A refusal says why only in `reason`; a replay of a spent token is one of the reasons. It leaves the user out; new
//!   versions name the owner of the token (`refresh_token_sub`), whose signature they have checked by then.
//! - A session covers all clients of a login. What lives and dies as one is the client session in it (Keycloak's
//!   AuthenticatedClientSession), which has no id but those of its session and its client: together they are the family.
//! - Revoking a refresh token ends its client session; the event then names the token (Keycloak's issue 35486: version
//!   26.1, late 24.0 and 26.0). In older versions, and from the account console, it ends every session of that user with
//!   that client, and the event names no more than `revoked_client`. Revoking an access token ends that token alone.
//! - A login with a password at the token endpoint has the type of a login; that tokens were issued shows in the details.

use std::borrow::Cow;

use super::Written;
use crate::decode::fields::{Fields, grant_type, outcome};
use crate::event::time::SECOND;
use crate::event::{Action, Event, Text};

/// The types in which a person took part.
const LOGINS: [&str; 4] = ["LOGIN", "CODE_TO_TOKEN", "OAUTH2_DEVICE_CODE_TO_TOKEN", "AUTHREQID_TO_TOKEN"];

/// A type without what a web hook puts before it.
pub fn bare_type(name: &str) -> &str {
    name.strip_prefix("access.").unwrap_or(name)
}

/// What a type means, and the grant it stands for. `None`: nothing about tokens.
fn meaning(name: &str) -> Option<(Action, Option<&'static str>)> {
    use Action::*;
    let meaning = match name {
        "CODE_TO_TOKEN" => (Issue, Some("authorization_code")),
        "CLIENT_LOGIN" => (Issue, Some("client_credentials")),
        "OAUTH2_DEVICE_CODE_TO_TOKEN" => (Issue, Some("device_code")),
        "AUTHREQID_TO_TOKEN" => (Issue, Some("ciba")),
        "TOKEN_EXCHANGE" => (Issue, Some("token_exchange")),
        "JWT_BEARER" => (Issue, Some("jwt_bearer")),
        "OAUTH2_EXTENSION_GRANT" | "PERMISSION_TOKEN" => (Issue, Some("other")),
        "REFRESH_TOKEN" => (Refresh, Some("refresh_token")),
        "REVOKE_GRANT" => (Revoke, None),
        "LOGOUT" => (Logout, None),
        "DELETE_ACCOUNT" | "USER_DISABLED_BY_PERMANENT_LOCKOUT" => (Offboard, None),
        _ => return None,
    };
    Some(meaning)
}

/// The tokens that an event names.
struct Tokens<'a> {
    access: Text<'a>,
    refresh: Text<'a>,
}

/// Adds the event.
pub fn decode<'a>(written: &Written<'a>, fields: &mut Fields<'a>, out: &mut Vec<Event<'a>>) {
    let stated = written.text(fields, "type");
    let name = bare_type(stated.as_deref().unwrap_or_default());
    let error = written.text(fields, "error");
    let (name, is_error) = match name.strip_suffix("_ERROR") {
        Some(name) => (name, true),
        None => (name, error.is_some()),
    };
    let tokens =
        Tokens { access: written.detail(fields, "token_id"), refresh: written.detail(fields, "refresh_token_id") };
    let issues = !is_error && (tokens.access.is_some() || tokens.refresh.is_some());
    let known = meaning(name).or((name == "LOGIN" && issues).then_some((Action::Issue, None)));
    let (mut action, grant) = known.unwrap_or((Action::Other, None));
    let reason = written.detail(fields, "reason");
    if action == Action::Refresh && is_error && [&reason, &error].into_iter().flatten().any(|text| is_replay(text)) {
        action = Action::ReuseDetected;
    }

    let mut event = written.event(fields, action);
    event.event_id = written.text(fields, "id").or_else(|| written.text(fields, "uid"));
    event.outcome = outcome(!is_error);
    // What is refused has no user, but the token that was presented says whose it is.
    event.subject_id = written.text(fields, "userId").or_else(|| written.detail(fields, "refresh_token_sub"));
    event.client_id = written.text(fields, "clientId");
    event.session_id = written.text(fields, "sessionId");
    event.ip = written.ip(fields);
    let stated_grant = written.detail(fields, "grant_type").filter(|_| action == Action::Issue);
    event.grant_type = grant.or_else(|| stated_grant.as_deref().map(grant_type)).map(Into::into);
    let user = written.detail(fields, "username");
    let is_service = name == "CLIENT_LOGIN" || user.is_some_and(|user| user.starts_with("service-account-"));
    let is_person = event.subject_id.is_some() && LOGINS.contains(&name);
    event.subject_kind = match (is_service, is_person) {
        (true, _) => Some("service".into()),
        (false, true) => Some("human".into()),
        (false, false) => None,
    };
    token(written, tokens, fields, &mut event);
    event.source_event = stated;
    fields.push(event, out);
}

/// How Keycloak says that a refresh token was presented once more than is allowed.
fn is_replay(reason: &str) -> bool {
    reason.to_ascii_lowercase().contains("token reuse exceeded")
}

/// Which token an event is about, and what of it is known.
fn token<'a>(written: &Written<'a>, tokens: Tokens<'a>, fields: &mut Fields<'a>, event: &mut Event<'a>) {
    match event.action {
        Action::Issue => {
            let (kind, token) = match tokens {
                Tokens { refresh: Some(refresh), .. } => (Some("refresh"), Some(refresh)),
                Tokens { access, .. } => (access.as_ref().map(|_| "access"), access),
            };
            (event.token_kind, event.token_id) = (kind.map(Into::into), token);
            if kind == Some("access") {
                let lifetime = written.detail(fields, "access_token_expiration_time").and_then(|text| seconds(&text));
                event.expires_at = lifetime.map(|lifetime| event.event_time.saturating_add(lifetime));
            }
        }
        Action::Refresh | Action::ReuseDetected => {
            event.token_kind = Some("refresh".into());
            event.token_id = tokens.refresh;
            let age = written.detail(fields, "age_of_refresh_token").and_then(|text| seconds(&text));
            event.issued_at = age.map(|age| event.event_time.saturating_sub(age));
        }
        Action::Revoke => return revoked(written.detail(fields, "revoked_client"), tokens, event),
        _ => return,
    }
    event.family_id = family(event);
    event.scopes = scopes(written.detail(fields, "scope"));
}

/// The client session.
fn family(event: &Event<'_>) -> Text<'static> {
    let (session, client) = (event.session_id.as_deref()?, event.client_id.as_deref()?);
    Some(format!("{session}:{client}").into())
}

/// What a revocation ends: a client session, all of a user with a client, or one access token.
fn revoked<'a>(client: Text<'a>, tokens: Tokens<'a>, event: &mut Event<'a>) {
    match (client, tokens) {
        (Some(client), Tokens { refresh: Some(refresh), .. }) => {
            event.client_id = Some(client);
            event.family_id = family(event);
            (event.token_id, event.token_kind) = (Some(refresh), Some("refresh".into()));
        }
        (Some(client), _) => {
            event.client_id = Some(client);
            event.session_id = None;
        }
        (None, Tokens { access, .. }) => {
            event.session_id = None;
            event.token_kind = access.as_ref().map(|_| "access".into());
            event.token_id = access;
        }
    }
}

/// A span in seconds, as microseconds; whatever is longer than a century is something else.
fn seconds(text: &str) -> Option<i64> {
    let seconds: i64 = text.trim().parse().ok()?;
    (0..=3_200_000_000).contains(&seconds).then_some(seconds * SECOND)
}

fn scopes(stated: Text<'_>) -> Vec<Cow<'_, str>> {
    const MAX: usize = crate::decode::SCOPES_MAX;
    match stated {
        Some(Cow::Borrowed(text)) => text.split_whitespace().take(MAX).map(Cow::Borrowed).collect(),
        Some(Cow::Owned(text)) => text.split_whitespace().take(MAX).map(|scope| Cow::Owned(scope.to_owned())).collect(),
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::json::Json;
    use crate::event::Outcome;

    fn with<T>(name: &str, rest: &str, details: &str, look: impl Fn(&Event<'_>) -> T) -> T {
        let record = format!(
            r#"{{"time":1772359200000,"type":"{name}","realmId":"shop","clientId":"cli","userId":"u-1","sessionId":"s-1",
                "ipAddress":"192.0.2.1"{rest},"details":{{{details}}}}}"#
        );
        let record = Json::parse(record.as_bytes()).unwrap();
        let mut out = Vec::new();
        crate::decode::keycloak::decode(&record, &mut out).unwrap();
        look(&out[0])
    }

    fn shown(event: &Event<'_>) -> [Option<String>; 4] {
        [&event.token_id, &event.token_kind, &event.client_id, &event.session_id]
            .map(|text| text.as_deref().map(str::to_owned))
    }

    fn some(texts: [&str; 4]) -> [Option<String>; 4] {
        texts.map(|text| (!text.is_empty()).then(|| text.to_owned()))
    }

    #[test]
    fn every_type_and_its_error() {
        for (name, action, grant) in [
            ("CODE_TO_TOKEN", Action::Issue, Some("authorization_code")),
            ("CLIENT_LOGIN", Action::Issue, Some("client_credentials")),
            ("OAUTH2_DEVICE_CODE_TO_TOKEN", Action::Issue, Some("device_code")),
            ("TOKEN_EXCHANGE", Action::Issue, Some("token_exchange")),
            ("REFRESH_TOKEN", Action::Refresh, Some("refresh_token")),
            ("REVOKE_GRANT", Action::Revoke, None),
            ("LOGOUT", Action::Logout, None),
            ("DELETE_ACCOUNT", Action::Offboard, None),
            ("LOGIN", Action::Other, None),
            ("OAUTH2_DEVICE_AUTH", Action::Other, None),
        ] {
            let look = |event: &Event<'_>| (event.action, event.outcome, event.grant_type.as_deref() == grant);
            assert_eq!(with(name, "", "", look), (action, Outcome::Success, true), "{name}");
            let error = format!("{name}_ERROR");
            assert_eq!(
                with(&error, r#","error":"invalid_token""#, "", look),
                (action, Outcome::Failure, true),
                "{error}"
            );
        }
    }

    #[test]
    fn a_refresh_names_the_token_that_was_presented() {
        let details = r#""refresh_token_id":"old","updated_refresh_token_id":"new","token_id":"access","age_of_refresh_token":"60""#;
        assert_eq!(with("REFRESH_TOKEN", "", details, shown), some(["old", "refresh", "cli", "s-1"]));
        assert_eq!(with("REFRESH_TOKEN", "", details, |event| event.issued_at), Some(1_772_359_140_000_000));
        assert_eq!(with("CODE_TO_TOKEN", "", details, shown), some(["old", "refresh", "cli", "s-1"]));
        let access = r#""token_id":"access","access_token_expiration_time":"60""#;
        assert_eq!(with("CLIENT_LOGIN", "", access, shown), some(["access", "access", "cli", "s-1"]));
        assert_eq!(with("CLIENT_LOGIN", "", access, |event| event.expires_at), Some(1_772_359_260_000_000));
    }

    #[test]
    fn a_replay_is_told_by_its_reason_alone() {
        let action = |reason: &str| {
            let details = format!(r#""reason":"{reason}""#);
            with("REFRESH_TOKEN_ERROR", r#","error":"invalid_token""#, &details, |event| event.action)
        };
        assert_eq!(action("Maximum allowed refresh token reuse exceeded"), Action::ReuseDetected);
        assert_eq!(action("Session not active"), Action::Refresh);
        assert_eq!(action("Stale token"), Action::Refresh, "also said of what an administrator ended");
    }

    #[test]
    fn a_refusal_is_about_the_owner_of_the_token() {
        let subject = |user: &str, details: &str| {
            let record = format!(
                r#"{{"time":1772359200000,"type":"REFRESH_TOKEN_ERROR","realmId":"shop","userId":{user},"details":{{{details}}}}}"#
            );
            let record = Json::parse(record.as_bytes()).unwrap();
            let mut out = Vec::new();
            crate::decode::keycloak::decode(&record, &mut out).unwrap();
            out[0].subject_id.as_deref().map(str::to_owned)
        };
        let owner = r#""refresh_token_sub":"u-2""#;
        for user in ["null", r#""null""#] {
            assert_eq!(subject(user, owner).as_deref(), Some("u-2"));
            assert_eq!(subject(user, ""), None);
        }
        assert_eq!(subject(r#""u-1""#, owner).as_deref(), Some("u-1"));
    }

    #[test]
    fn what_was_revoked() {
        let client = r#""revoked_client":"third-party""#;
        assert_eq!(with("REVOKE_GRANT", "", client, shown), some(["", "", "third-party", ""]));
        assert_eq!(with("REVOKE_GRANT", "", r#""token_id":"access""#, shown), some(["access", "access", "cli", ""]));
        let one = r#""revoked_client":"cli","refresh_token_id":"r","refresh_token_type":"Refresh""#;
        assert_eq!(with("REVOKE_GRANT", "", one, shown), some(["r", "refresh", "cli", "s-1"]));
    }

    #[test]
    fn what_lives_and_dies_as_one() {
        let family = |event: &Event<'_>| event.family_id.as_deref().map(str::to_owned);
        let token = r#""refresh_token_id":"r","revoked_client":"cli""#;
        for name in ["CODE_TO_TOKEN", "REFRESH_TOKEN", "REFRESH_TOKEN_ERROR", "REVOKE_GRANT"] {
            assert_eq!(with(name, "", token, family).as_deref(), Some("s-1:cli"), "{name}");
        }
        assert_eq!(with("LOGOUT", "", token, family), None, "all clients of the session");
        assert_eq!(with("REVOKE_GRANT", "", r#""revoked_client":"cli""#, family), None, "all sessions of the client");
    }

    #[test]
    fn a_login_that_issues_tokens_is_an_issue() {
        let details = r#""grant_type":"password","token_id":"a","refresh_token_id":"r","scope":"openid email""#;
        with("LOGIN", "", details, |event| {
            assert_eq!((event.action, event.grant_type.as_deref()), (Action::Issue, Some("password")));
            assert_eq!(event.scopes, ["openid", "email"]);
        });
    }
}
