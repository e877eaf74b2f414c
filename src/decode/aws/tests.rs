use serde_json::{Value, json};

use super::*;
use crate::event::time;

fn check(record: &Value, look: impl Fn(&Event<'_>)) {
    let text = record.to_string();
    let tree = Json::parse(text.as_bytes()).unwrap();
    let mut events = Vec::new();
    decode(&tree, &mut events).unwrap_or_else(|rejection| panic!("{}: {text}", rejection.0));
    assert_eq!(events.len(), 1, "{text}");
    look(&events[0]);
}

fn call_of(source: &str, name: &str, more: &Value) -> Value {
    let mut record = json!({
        "eventSource": format!("{source}.amazonaws.com"), "eventName": name, "eventTime": "2026-10-01T08:00:00Z",
        "recipientAccountId": "111122223333",
    });
    for (key, value) in more.as_object().unwrap() {
        record[key] = value.clone();
    }
    record
}

#[test]
fn the_grant_type_tells_a_refresh_from_an_issue() {
    for (stated, action, grant) in [
        ("urn:ietf:params:oauth:grant-type:device_code", Action::Issue, "device_code"),
        ("authorization_code", Action::Issue, "authorization_code"),
        ("refresh_token", Action::Refresh, "refresh_token"),
    ] {
        let more = json!({
            "userIdentity": {"type": "IdentityCenterUser", "onBehalfOf": {"userId": "u-1"}, "credentialId": "cred-1"},
            "requestParameters": {"grantType": stated, "clientId": "c-1"},
            "responseElements": {"expiresIn": 3600},
        });
        check(&call_of("sso", "CreateToken", &more), |event| {
            assert_eq!((event.action, event.grant_type.as_deref()), (action, Some(grant)), "{stated}");
            assert_eq!((event.subject_id.as_deref(), event.client_id.as_deref()), (Some("u-1"), Some("c-1")));
            // What a refresh tells is the new token; the one that was spent is not named.
            let is_new = action == Action::Issue;
            assert_eq!(event.token_id.is_some(), is_new);
            assert_eq!(event.expires_at.map(time::format).as_deref(), is_new.then_some("2026-10-01T09:00:00Z"));
        });
    }
}

#[test]
fn a_poll_for_a_device_code_is_no_failed_issue() {
    let more = json!({"errorCode": "AuthorizationPendingException", "requestParameters": {"grantType": "device_code"}});
    check(&call_of("sso", "CreateToken", &more), |event| assert_eq!(event.action, Action::Other));
    let more = json!({"errorCode": "ExpiredTokenException", "requestParameters": {"grantType": "device_code"}});
    check(&call_of("sso", "CreateToken", &more), |event| {
        assert_eq!((event.action, event.outcome), (Action::Issue, crate::event::Outcome::Failure));
    });
}

#[test]
fn an_application_acts_for_the_user_it_names() {
    let arn = "arn:aws:sts::111122223333:assumed-role/backend/i-1";
    let more = json!({
        "userIdentity": {"type": "AssumedRole", "arn": arn},
        "requestParameters": {"grantType": "urn:ietf:params:oauth:grant-type:jwt-bearer", "scope": ["a", "b"]},
        "additionalEventData": {"identitystore:UserId": "u-2", "identitycenter:CredentialId": "cred-2"},
    });
    check(&call_of("sso-oauth", "CreateTokenWithIAM", &more), |event| {
        assert_eq!((event.subject_id.as_deref(), event.actor_id.as_deref()), (Some("u-2"), Some(arn)));
        assert_eq!((event.token_id.as_deref(), event.scopes.len()), (Some("cred-2"), 2));
    });
}

#[test]
fn who_made_a_call() {
    for (identity, expected) in [
        (json!({"type": "IAMUser", "userName": "erin", "principalId": "AIDA1"}), Some("erin")),
        (json!({"type": "Unknown", "userName": "dave@example.com", "principalId": "p"}), Some("dave@example.com")),
        (json!({"type": "Unknown", "userName": "x", "onBehalfOf": {"userId": "u-1"}}), Some("u-1")),
        (json!({"type": "AWSService", "invokedBy": "lambda.amazonaws.com"}), Some("lambda.amazonaws.com")),
        (json!({"type": "Root", "arn": "arn:aws:iam::1:root", "userName": "alias"}), Some("arn:aws:iam::1:root")),
        // Only Identity Center may make roles with this name; elsewhere the name of a session proves nothing.
        (
            json!({"type": "AssumedRole", "arn": "arn:aws:sts::1:assumed-role/AWSReservedSSO_Dev_1/a@example.com"}),
            Some("a@example.com"),
        ),
        (
            json!({"type": "AssumedRole", "arn": "arn:aws:sts::1:assumed-role/dev/a@example.com"}),
            Some("arn:aws:sts::1:assumed-role/dev/a@example.com"),
        ),
        (
            json!({"type": "AssumedRole", "arn": "arn:aws:sts::1:assumed-role/dev/s", "sessionContext": {"sourceIdentity": "erin"}}),
            Some("erin"),
        ),
        (json!({"type": "FederatedUser", "arn": "arn:aws:sts::1:federated-user/erin"}), Some("erin")),
        (json!({"type": "IAMUser", "userName": "HIDDEN_DUE_TO_SECURITY_REASONS"}), None),
        (json!({"type": "AssumedRole"}), None),
        (json!("alice"), None),
    ] {
        check(&call_of("ec2", "DescribeInstances", &json!({"userIdentity": identity})), |event| {
            assert_eq!(event.subject_id.as_deref(), expected, "{identity}");
        });
    }
}

#[test]
fn an_administrator_is_the_actor_and_the_user_the_subject() {
    let carol = json!({"type": "IAMUser", "userName": "carol"});
    let people = json!({"userIdentity": carol, "requestParameters": {"userId": "u-3"}});
    for (source, name, action) in [
        ("sso-directory", "DisableUser", Action::Offboard),
        ("identitystore", "DeleteUser", Action::Offboard),
        ("sso-directory", "EnableUser", Action::Reinstate),
    ] {
        check(&call_of(source, name, &people), |event| {
            assert_eq!((event.action, event.subject_id.as_deref()), (action, Some("u-3")));
            assert_eq!((event.actor_id.as_deref(), event.project_id.as_deref()), (Some("carol"), None));
        });
    }
    let quarantine = json!({"requestParameters": {"userName": "deploy",
        "policyArn": "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3"}});
    check(&call_of("iam", "AttachUserPolicy", &quarantine), |event| {
        assert_eq!((event.action, event.subject_id.as_deref()), (Action::Compromise, Some("deploy")));
    });
    let of_account = json!({"userIdentity": carol, "requestParameters": {"userName": "frank"}});
    check(&call_of("iam", "DeleteUser", &of_account), |event| {
        assert_eq!((event.action, event.project_id.as_deref()), (Action::Offboard, Some("111122223333")));
    });
}

#[test]
fn scim_says_whether_a_user_is_active() {
    for (name, body, action) in [
        ("PatchUser", json!({"operations": [{"op": "REPLACE", "path": "active", "value": false}]}), Action::Offboard),
        ("PatchUser", json!({"operations": [{"op": "REPLACE", "path": "active", "value": "True"}]}), Action::Reinstate),
        ("PatchUser", json!({"operations": [{"op": "REPLACE", "path": "title", "value": "x"}]}), Action::Other),
        ("PutUser", json!({"active": false}), Action::Offboard),
        // A user who is written again is no user who came back.
        ("PutUser", json!({"active": true}), Action::Other),
        ("DeleteUser", json!(null), Action::Offboard),
    ] {
        let more = json!({"requestParameters": {"id": "u-4", "httpBody": body}});
        check(&call_of("identitystore-scim", name, &more), |event| {
            assert_eq!((event.action, event.subject_id.as_deref()), (action, Some("u-4")), "{name} {body}");
        });
    }
}

#[test]
fn a_key_belongs_to_whom_it_names_or_to_the_caller() {
    let erin = json!({"type": "IAMUser", "userName": "erin"});
    let key = json!({"accessKey": {"accessKeyId": "AKIAEXAMPLE1", "userName": "deploy"}});
    check(&call_of("iam", "CreateAccessKey", &json!({"userIdentity": erin, "responseElements": key})), |event| {
        assert_eq!((event.subject_id.as_deref(), event.actor_id.as_deref()), (Some("deploy"), Some("erin")));
        assert_eq!((event.action, event.token_id.as_deref()), (Action::Issue, Some("AKIAEXAMPLE1")));
    });
    for (status, action) in [("Inactive", Action::Revoke), ("Active", Action::Other)] {
        let more =
            json!({"userIdentity": erin, "requestParameters": {"accessKeyId": "AKIAEXAMPLE1", "status": status}});
        check(&call_of("iam", "UpdateAccessKey", &more), |event| {
            assert_eq!((event.action, event.subject_id.as_deref()), (action, Some("erin")));
        });
    }
}

#[test]
fn expiry_in_english() {
    for text in ["Dec 1, 2026, 4:19:32 PM", "Dec 1, 2026 4:19:32 PM", "Dec 1, 2026, 4:19:32\u{202f}PM"] {
        assert_eq!(english(text).map(time::format).as_deref(), Some("2026-12-01T16:19:32Z"), "{text}");
    }
    for text in ["", "Dec", "Foo 1, 2026 4:19:32 PM", "Dec 41, 2026 4:19:32 PM", "Dec 1, 2026 4:19:32"] {
        assert_eq!(english(text), None, "{text}");
    }
}
