use serde_json::{Value, json};

use super::*;
use crate::event::{Outcome, time};

fn check(record: &Value, look: impl Fn(&[Event<'_>])) {
    let text = record.to_string();
    let tree = Json::parse(text.as_bytes()).unwrap();
    let mut events = Vec::new();
    decode(&tree, &mut events).unwrap_or_else(|rejection| panic!("{}: {text}", rejection.0));
    look(&events);
}

fn response(operation: &str, path: &str, more: &Value) -> Value {
    let mut record = json!({
        "time": "2026-10-01T08:00:00.5Z", "type": "response",
        "auth": {"accessor": "hmac-sha256:own", "entity_id": "e-own"},
        "request": {"id": "r-1", "operation": operation, "path": path, "remote_address": "192.0.2.9:4711"},
    });
    for (key, value) in more.as_object().unwrap() {
        record[key] = value.clone();
    }
    record
}

#[test]
fn a_request_and_its_response_are_two_events() {
    let mut record = response("update", "auth/token/revoke-self", &json!({}));
    check(&record, |events| {
        assert_eq!((events[0].action, events[0].event_id.as_deref()), (Action::Revoke, Some("r-1")));
        assert_eq!(events[0].ip.as_deref(), Some("192.0.2.9"));
    });
    record["type"] = json!("request");
    check(&record, |events| {
        assert_eq!((events[0].action, events[0].event_id.as_deref()), (Action::Other, Some("r-1#request")));
    });
}

#[test]
fn what_came_in_by_kmip_has_no_path() {
    for (kind, event_name) in [("kmip-request", "kmip-request"), ("kmip-response", "kmip-response")] {
        let record =
            json!({"time": "2026-10-01T08:00:00Z", "type": kind, "request": {"remote_address": "192.0.2.9:4711"}});
        assert!(is_mine(&Json::parse(record.to_string().as_bytes()).unwrap()));
        check(&record, |events| {
            assert_eq!((events[0].action, events[0].source_event.as_deref()), (Action::Other, Some(event_name)));
            assert_eq!(events[0].ip.as_deref(), Some("192.0.2.9"));
        });
    }
}

#[test]
fn a_login_is_a_response_that_hands_out_a_token() {
    let auth = json!({"client_token": "hmac-sha256:t", "accessor": "hmac-sha256:new", "entity_id": "e-1",
        "policies": ["default", "dev"], "token_issue_time": "2026-10-01T08:00:00Z", "token_ttl": 60});
    for (path, action) in [
        ("auth/userpass/login/alice", Action::Issue),
        ("auth/oidc/oidc/callback", Action::Issue),
        ("sys/mfa/validate", Action::Issue),
    ] {
        check(&response("update", path, &json!({"response": {"auth": auth}})), |events| {
            let event = &events[0];
            assert_eq!((event.action, event.token_id.as_deref()), (action, Some("hmac-sha256:new")), "{path}");
            assert_eq!((event.subject_id.as_deref(), event.scopes.len()), (Some("e-1"), 2), "{path}");
            assert_eq!(event.expires_at.map(time::format).as_deref(), Some("2026-10-01T08:01:00Z"), "{path}");
        });
    }
    // The second factor is asked for; there is no token yet.
    let pending = json!({"response": {"auth": {"mfa_requirement": {}, "token_type": "default"}}});
    check(&response("update", "auth/userpass/login/alice", &pending), |events| {
        assert_eq!(events[0].action, Action::Other);
    });
}

#[test]
fn a_login_whose_token_is_left_out_is_one_all_the_same() {
    for (operation, action) in [("update", Action::Issue), ("help", Action::Other)] {
        let more = json!({"auth": {"display_name": "approle-build"}, "response": {}});
        check(&response(operation, "auth/approle/login", &more), |events| {
            assert_eq!((events[0].action, events[0].outcome), (action, Outcome::Success), "{operation}");
            assert_eq!(events[0].subject_id.as_deref(), Some("approle-build"), "{operation}");
        });
    }
}

#[test]
fn a_failed_login_is_for_the_name_in_the_path() {
    for more in
        [json!({"auth": {}, "error": "permission denied"}), json!({"auth": {}, "response": {"data": {"error": "x"}}})]
    {
        check(&response("update", "auth/userpass/login/alice", &more), |events| {
            assert_eq!((events[0].action, events[0].outcome), (Action::Issue, Outcome::Failure), "{more}");
            assert_eq!(events[0].subject_id.as_deref(), Some("alice"), "{more}");
        });
    }
}

#[test]
fn a_batch_token_is_known_by_its_hash_and_a_raw_token_by_nothing() {
    for (token, expected) in [("hmac-sha256:batch", Some("hmac-sha256:batch")), ("hvb.raw-token-of-the-test", None)] {
        let more = json!({"response": {"auth": {"client_token": token}}});
        check(&response("update", "auth/kubernetes/login", &more), |events| {
            assert_eq!(events[0].token_id.as_deref(), expected);
        });
    }
}

#[test]
fn a_token_made_with_a_token_is_its_child_unless_an_orphan() {
    let more = json!({"response": {"auth": {"accessor": "hmac-sha256:child", "display_name": "token"}}});
    for (path, parent) in [("auth/token/create", Some("hmac-sha256:own")), ("auth/token/create-orphan", None)] {
        check(&response("update", path, &more), |events| {
            let event = &events[0];
            assert_eq!((event.action, event.parent_id.as_deref()), (Action::Issue, parent), "{path}");
            // "token" says only that a token made it.
            assert_eq!((event.subject_id.as_deref(), event.actor_id.as_deref()), (None, Some("e-own")), "{path}");
        });
    }
}

#[test]
fn a_revocation_by_somebody_else_is_not_of_the_callers_tokens() {
    for (path, data, token) in [
        ("auth/token/revoke-accessor", json!({"accessor": "hmac-sha256:a"}), Some("hmac-sha256:a")),
        ("auth/token/revoke", json!({"token": "hmac-sha256:t"}), Some("hmac-sha256:t")),
        ("auth/token/revoke", json!({"token": "hvs.raw-token-of-the-test"}), None),
        ("sys/leases/revoke-prefix/auth/userpass/login/alice", json!({}), None),
    ] {
        let mut record = response("update", path, &json!({}));
        record["request"]["data"] = data;
        check(&record, |events| {
            let event = &events[0];
            assert_eq!((event.action, event.token_id.as_deref()), (Action::Revoke, token), "{path}");
            assert_eq!((event.subject_id.as_deref(), event.actor_id.as_deref()), (None, Some("e-own")), "{path}");
        });
    }
}

#[test]
fn a_revocation_that_names_no_token_is_of_none_that_is_known() {
    let more = json!({"auth": {"entity_id": "e-own"}});
    check(&response("update", "auth/token/revoke-self", &more), |events| {
        assert_eq!(events[0].subject_id.as_deref(), Some("e-own"));
        // With the subject alone it would be of all tokens.
        assert_eq!(events[0].token_id.as_deref(), Some("not named/r-1"));
    });
}

#[test]
fn an_old_path_may_hold_a_token_and_is_cut() {
    check(&response("update", "auth/token/revoke/hvs.raw-token-of-the-test", &json!({})), |events| {
        assert_eq!((events[0].action, events[0].source_event.as_deref()), (Action::Revoke, Some("auth/token/revoke")));
    });
    assert_eq!(without_token("auth/token/create/ci"), "auth/token/create/ci");
    assert_eq!(without_token("auth/token/renew-self"), "auth/token/renew-self");
}

#[test]
fn entities_are_disabled_enabled_and_deleted() {
    for (operation, path, data, action, subject) in [
        ("update", "identity/entity/id/e-1", json!({"disabled": true}), Action::Offboard, Some("e-1")),
        ("update", "identity/entity/id/e-1", json!({"disabled": false}), Action::Reinstate, Some("e-1")),
        ("update", "identity/entity/id/e-1", json!({"name": "x"}), Action::Other, Some("e-own")),
        ("read", "identity/entity/id/e-1", json!({"disabled": true}), Action::Other, Some("e-own")),
        ("delete", "identity/entity/id/e-1", json!(null), Action::Offboard, Some("e-1")),
        ("update", "identity/entity-alias/id/x", json!({"disabled": true}), Action::Other, Some("e-own")),
        ("update", "identity/entity/batch-delete", json!({"entity_ids": ["hmac-sha256:x"]}), Action::Offboard, None),
    ] {
        let mut record = response(operation, path, &json!({}));
        record["request"]["data"] = data;
        check(&record, |events| {
            assert_eq!((events[0].action, events[0].subject_id.as_deref()), (action, subject), "{operation} {path}");
        });
    }
    let mut record = response("update", "identity/entity/batch-delete", &json!({}));
    record["request"]["data"] = json!({"entity_ids": ["e-1", "e-2"]});
    check(&record, |events| assert_eq!(events.len(), 2));
}

#[test]
fn a_lifetime_beyond_all_time_is_none() {
    let more = json!({"response": {"auth": {"accessor": "hmac-sha256:a", "token_ttl": i64::MAX}}});
    check(&response("update", "auth/token/renew-self", &more), |events| {
        assert_eq!((events[0].action, events[0].expires_at), (Action::Refresh, None));
    });
}
