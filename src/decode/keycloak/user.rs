//! What users and their clients do.
//!
//! - Every type has a twin that ends in `_ERROR`: the same was asked for and refused.
//! - A refresh names the token that was presented (`refresh_token_id`), the one that replaces it and the access token.
//!   A refusal says why only in `reason`; a replay of a spent token is one of the reasons.
//! - The session is Keycloak's own. It covers all clients of a login, so it is not the family of one refresh token, but
//!   the closest that is named.
//! - Revoking a refresh token ends every session of that user with that client, whichever token was presented; the event
//!   names the client as `revoked_client`, since it may come from the account console. Revoking an access token ends
//!   that token alone.
//! - A login with a password at the token endpoint has the type of a login; that tokens were issued shows in the details.

use super::Written;
use crate::decode::fields::{Fields, grant_type, outcome};
use crate::event::time::SECOND;
use crate::event::{Action, Event};

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

/// Adds the event.
pub fn decode<'a>(written: &Written<'a>, fields: &mut Fields<'a>, out: &mut Vec<Event<'a>>) {
    let stated = written.text(fields, "type");
    let name = bare_type(stated.as_deref().unwrap_or_default());
    let error = written.text(fields, "error");
    let (name, is_error) = match name.strip_suffix("_ERROR") {
        Some(name) => (name, true),
        None => (name, error.is_some()),
    };
    let access_token = written.detail(fields, "token_id");
    let refresh_token = written.detail(fields, "refresh_token_id");
    let issues = access_token.is_some() || refresh_token.is_some();
    let known = meaning(name).or((name == "LOGIN" && issues && !is_error).then_some((Action::Issue, None)));
    let (mut action, grant) = known.unwrap_or((Action::Other, None));
    let reason = written.detail(fields, "reason");
    let is_replay = |text: &str| text.to_ascii_lowercase().contains("token reuse exceeded");
    if action == Action::Refresh && is_error && [&reason, &error].into_iter().flatten().any(|text| is_replay(text)) {
        action = Action::ReuseDetected;
    }

    let mut event = written.event(fields, action);
    event.event_id = written.text(fields, "id").or_else(|| written.text(fields, "uid"));
    event.outcome = outcome(!is_error);
    event.subject_id = written.text(fields, "userId");
    event.client_id = written.text(fields, "clientId");
    event.session_id = written.text(fields, "sessionId");
    event.ip = written.ip(fields);
    let stated_grant = written.detail(fields, "grant_type");
    event.grant_type = match (grant, stated_grant.as_deref()) {
        (Some(grant), _) => Some(grant.into()),
        (None, Some(stated)) if action == Action::Issue => Some(grant_type(stated).into()),
        _ => None,
    };
    let is_service = name == "CLIENT_LOGIN"
        || written.detail(fields, "username").is_some_and(|name| name.starts_with("service-account-"));
    let is_person = ["CODE_TO_TOKEN", "OAUTH2_DEVICE_CODE_TO_TOKEN", "AUTHREQID_TO_TOKEN", "LOGIN"].contains(&name);
    event.subject_kind = match (is_service, is_person && event.subject_id.is_some()) {
        (true, _) => Some("service".into()),
        (_, true) => Some("human".into()),
        _ => None,
    };
    match action {
        Action::Issue => {
            event.token_kind =
                refresh_token.as_ref().map(|_| "refresh").or(access_token.as_ref().map(|_| "access")).map(Into::into);
            if refresh_token.is_none() {
                let seconds = written.detail(fields, "access_token_expiration_time").and_then(|text| seconds(&text));
                event.expires_at = seconds.map(|lifetime| event.event_time.saturating_add(lifetime));
            }
            event.token_id = refresh_token.or(access_token);
        }
        Action::Refresh | Action::ReuseDetected => {
            event.token_kind = Some("refresh".into());
            event.token_id = refresh_token;
            let age = written.detail(fields, "age_of_refresh_token").and_then(|text| seconds(&text));
            event.issued_at = age.map(|age| event.event_time.saturating_sub(age));
        }
        Action::Revoke => {
            event.session_id = None;
            match written.detail(fields, "revoked_client") {
                Some(client) => event.client_id = Some(client),
                None => {
                    event.token_kind = access_token.as_ref().map(|_| "access".into());
                    event.token_id = access_token;
                }
            }
        }
        _ => {}
    }
    if matches!(action, Action::Issue | Action::Refresh | Action::ReuseDetected) {
        event.scopes = scopes(written.detail(fields, "scope"));
    }
    event.source_event = stated;
    fields.push(event, out);
}

/// A span in seconds, as microseconds; whatever is longer than a century is something else.
fn seconds(text: &str) -> Option<i64> {
    let seconds: i64 = text.trim().parse().ok()?;
    (0..=3_200_000_000).contains(&seconds).then_some(seconds * SECOND)
}

fn scopes(stated: Option<std::borrow::Cow<'_, str>>) -> Vec<std::borrow::Cow<'_, str>> {
    use std::borrow::Cow;
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
    fn what_was_revoked() {
        let client = r#""revoked_client":"third-party""#;
        assert_eq!(with("REVOKE_GRANT", "", client, shown), some(["", "", "third-party", ""]));
        assert_eq!(with("REVOKE_GRANT", "", r#""token_id":"access""#, shown), some(["access", "access", "cli", ""]));
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
