use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;

const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";

fn check(record: &Value, look: impl Fn(&[Event<'_>])) {
    let text = record.to_string();
    let tree = Json::parse(text.as_bytes()).unwrap();
    let mut events = Vec::new();
    assert!(is_mine(&tree), "{text}");
    decode(&tree, &mut events).unwrap_or_else(|rejection| panic!("{}: {text}", rejection.0));
    look(&events);
}

fn set(uri: &str, body: &Value, subject: &Value) -> Value {
    json!({"iss": "https://idp.example.com/", "jti": "j-1", "iat": 1_791_000_000, "sub_id": subject, "events": {uri: body}})
}

fn user(id: &str) -> Value {
    json!({"format": "iss_sub", "iss": "https://idp.example.com/", "sub": id})
}

#[test]
fn what_happened() {
    use Action::*;
    for (profile, name, body, action) in [
        (CAEP, "session-revoked", json!({}), Revoke),
        (CAEP, "session-revoked", json!({"initiating_entity": "user"}), Logout),
        (CAEP, "session-revoked", json!({"initiating_entity": "admin"}), Revoke),
        (CAEP, "credential-change", json!({"change_type": "delete"}), Revoke),
        (CAEP, "credential-change", json!({"change_type": "create"}), Other),
        (CAEP, "device-compliance-change", json!({"current_status": "not-compliant"}), Other),
        (CAEP, "account-disabled", json!({}), Other),
        (RISC, "sessions-revoked", json!({}), Revoke),
        (RISC, "account-disabled", json!({}), Offboard),
        (RISC, "account-purged", json!({}), Offboard),
        (RISC, "account-enabled", json!({}), Reinstate),
        (RISC, "credential-compromise", json!({}), Compromise),
        (RISC, "identifier-recycled", json!({}), Other),
    ] {
        check(&set(&format!("{profile}{name}"), &body, &user("u-1")), |events| {
            assert_eq!((events[0].action, events[0].source_event.as_deref()), (action, Some(name)), "{name} {body}");
        });
    }
}

#[test]
fn subjects_in_every_format() {
    let email = json!({"format": "email", "email": "a@example.com"});
    for (subject, expected) in [
        (user("u-1"), "u-1"),
        (email.clone(), "a@example.com"),
        (json!({"subject_type": "iss-sub", "sub": "u-1"}), "u-1"),
        (json!({"format": "opaque", "id": "o-1"}), "o-1"),
        (json!({"format": "account", "uri": "acct:a@example.com"}), "a@example.com"),
        (json!({"format": "phone_number", "phone_number": "+12065550100"}), "+12065550100"),
        (json!({"format": "aliases", "identifiers": [user("u-1"), email]}), "a@example.com"),
        (json!({"format": "complex", "user": user("u-1"), "tenant": user("t-1")}), "u-1"),
        (json!({"user": user("u-1")}), "u-1"),
        (json!({"email": "a@example.com"}), "a@example.com"),
    ] {
        check(&set(&format!("{RISC}account-disabled"), &json!({}), &subject), |events| {
            assert_eq!(events[0].subject_id.as_deref(), Some(expected), "{subject}");
        });
    }
    let nested = json!({"format": "aliases", "identifiers": [{"format": "aliases", "identifiers": [user("u-1")]}]});
    check(&set(&format!("{RISC}account-disabled"), &json!({}), &nested), |events| {
        assert_eq!(events[0].subject_id, None, "aliases of aliases are not allowed");
        assert!(events[0].decode_notes.is_some());
    });
}

#[test]
fn a_complex_subject_names_user_device_session_and_application() {
    let subject = json!({"format": "complex", "user": user("u-1"), "device": user("d-1"),
        "session": {"format": "opaque", "id": "s-1"}, "application": {"format": "opaque", "id": "a-1"}});
    check(&set(&format!("{CAEP}session-revoked"), &json!({}), &subject), |events| {
        let event = &events[0];
        assert_eq!((event.subject_id.as_deref(), event.device_id.as_deref()), (Some("u-1"), Some("d-1")));
        assert_eq!((event.session_id.as_deref(), event.client_id.as_deref()), (Some("s-1"), Some("a-1")));
    });
    // The id of the session that was revoked, not of all sessions of somebody.
    let session = json!({"format": "opaque", "id": "s-2"});
    check(&set(&format!("{CAEP}session-revoked"), &json!({}), &session), |events| {
        assert_eq!((events[0].session_id.as_deref(), events[0].subject_id.as_deref()), (Some("s-2"), None));
    });
    // What cannot be read makes a revocation narrower than it reads, never wider.
    let half = json!({"format": "complex", "user": user("u-1"), "session": {"format": "of-tomorrow", "key": "s-1"}});
    check(&set(&format!("{CAEP}session-revoked"), &json!({}), &half), |events| {
        assert_eq!((events[0].action, events[0].subject_id.as_deref()), (Action::Revoke, None));
        assert!(events[0].decode_notes.is_some());
    });
    check(&set(&format!("{CAEP}device-compliance-change"), &json!({}), &user("d-2")), |events| {
        assert_eq!((events[0].device_id.as_deref(), events[0].subject_id.as_deref()), (Some("d-2"), None));
    });
}

#[test]
fn a_credential_that_ends_takes_no_token_with_it() {
    let body = json!({"change_type": "revoke", "credential_type": "fido2-roaming", "friendly_name": "key"});
    check(&set(&format!("{CAEP}credential-change"), &body, &user("u-1")), |events| {
        assert_eq!(events[0].token_id.as_deref(), Some("credential of u-1/fido2-roaming/key"));
        assert_eq!(events[0].subject_id.as_deref(), Some("u-1"));
    });
}

#[test]
fn a_token_is_never_kept_as_it_is() {
    let uri = "https://schemas.openid.net/secevent/oauth/event-type/token-revoked";
    let secret = "plain-token-of-the-test";
    for (how, is_kept) in [("plain", false), ("", false), ("hash_base64_sha512_sha512", true), ("prefix", true)] {
        let token = json!({"subject_type": "oauth_token", "token_type": "refresh_token", "token": secret,
            "token_identifier_alg": how});
        let mut record = set(uri, &json!({"subject": token, "token_subject": user("u-1")}), &json!(null));
        record.as_object_mut().unwrap().remove("sub_id");
        check(&record, |events| {
            let event = &events[0];
            assert_eq!((event.action, event.subject_id.as_deref()), (Action::Revoke, Some("u-1")));
            assert_eq!(event.token_id.as_deref() == Some(secret), is_kept, "{how}");
            assert!(event.token_id.is_some(), "{how}");
        });
    }
    let nothing = set(uri, &json!({"token_subject": user("u-1")}), &json!({"format": "oauth_token"}));
    check(&nothing, |events| assert_eq!(events[0].subject_id, None, "would be all tokens of the user"));
}

#[test]
fn the_event_tells_the_time_or_else_the_token() {
    for (timestamp, expected) in [
        (json!(1_790_000_000), 1_790_000_000),
        (json!(1_790_000_000_123i64 / 1000 * 1000), 1_790_000_000),
        (json!(null), 1_791_000_000),
        (json!(15_203_800_012i64), 1_791_000_000),
        (json!("soon"), 1_791_000_000),
    ] {
        let body = json!({"event_timestamp": timestamp});
        check(&set(&format!("{CAEP}session-revoked"), &body, &user("u-1")), |events| {
            assert_eq!(events[0].event_time, expected * time::SECOND, "{timestamp}");
        });
    }
    let mut record = set(&format!("{CAEP}session-revoked"), &json!({}), &user("u-1"));
    record["iat"] = json!(15_203_800_012i64);
    let text = record.to_string();
    let tree = Json::parse(text.as_bytes()).unwrap();
    let rejection = decode(&tree, &mut Vec::new()).unwrap_err();
    assert!(rejection.0.starts_with("iat: 15203800012"), "{}", rejection.0);
}

#[test]
fn several_events_of_one_token() {
    let mut record = set(&format!("{CAEP}session-revoked"), &json!({}), &user("u-1"));
    record["events"][format!("{RISC}account-disabled")] = json!({});
    check(&record, |events| {
        let actions: Vec<_> = events.iter().map(|event| event.action).collect();
        assert_eq!(actions, [Action::Revoke, Action::Offboard]);
    });
}

fn base64(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn jwt(header: &Value, claims: &str) -> String {
    format!("{}.{}.c2lnbmF0dXJl", base64(&header.to_string()), base64(claims))
}

#[test]
fn a_compact_jwt_is_read_like_its_claims() {
    let claims =
        set(&format!("{RISC}account-disabled"), &json!({}), &json!({"format": "email", "email": "é@example.com"}));
    for (padding, header) in [("", json!({"typ": "secevent+jwt"})), (" ", json!({"typ": "JWT"})), ("  ", json!({}))] {
        let token = jwt(&header, &format!("{claims}{padding}"));
        check(&json!(token), |events| {
            let event = &events[0];
            assert_eq!((event.action, event.subject_id.as_deref()), (Action::Offboard, Some("é@example.com")));
            assert_eq!(event.event_id.as_deref(), Some("https://idp.example.com/#j-1"));
        });
    }
}

#[test]
fn other_jwts_are_not_events() {
    let header = json!({"typ": "JWT"});
    let declared = json!({"typ": "secevent+jwt"});
    for (text, expected) in [
        (jwt(&header, r#"{"iss":"x","jti":"y","sub":"z"}"#), false),
        (jwt(&header, "not json"), false),
        (jwt(&declared, "{}"), true),
        (format!("{}.?.x", base64(&declared.to_string())), true),
        ("eyJ".to_owned(), false),
        ("ey.ey.ey".to_owned(), false),
        ("ey.ey.ey.ey".to_owned(), false),
        ("eyé.é.é".to_owned(), false),
        (String::new(), false),
    ] {
        assert_eq!(is_mine(&Json::Text(text.as_str().into())), expected, "{text}");
        let tree = Json::Text(text.as_str().into());
        let mut events = Vec::new();
        let _ = decode(&tree, &mut events);
        assert!(events.is_empty(), "{text}");
    }
}
