use serde_json::{Value, json};

use super::*;
use crate::event::Outcome;

fn check(record: &Value, look: impl Fn(&Event<'_>)) {
    let text = record.to_string();
    let tree = Json::parse(text.as_bytes()).unwrap();
    let mut events = Vec::new();
    decode(&tree, &mut events).unwrap_or_else(|rejection| panic!("{}: {text}", rejection.0));
    look(&events[0]);
}

fn record(class: i64, activity: i64, more: &Value) -> Value {
    let mut record = json!({"class_uid": class, "activity_id": activity, "time": 1_791_100_000_000i64});
    for (key, value) in more.as_object().unwrap() {
        record[key] = value.clone();
    }
    record
}

#[test]
fn classes_and_activities() {
    use Action::*;
    let people = json!({"user": {"name": "mallory"}, "actor": {"user": {"name": "carol"}}});
    for (class, activity, action) in [
        (3001, 1, Other),
        (3001, 2, Reinstate),
        (3001, 5, Offboard),
        (3001, 6, Offboard),
        (3001, 9, Other),
        (3002, 1, Other),
        (3002, 2, Logout),
        (3002, 3, Other),
        (3003, 1, Other),
        (6003, 4, Other),
    ] {
        check(&record(class, activity, &people), |event| {
            assert_eq!(event.action, action, "{class} {activity}");
            assert_eq!((event.subject_id.as_deref(), event.actor_id.as_deref()), (Some("mallory"), Some("carol")));
        });
    }
    check(&json!({"class_uid": "3002", "type_uid": 300_202, "time_dt": "2026-10-04T10:00:00Z"}), |event| {
        assert_eq!(event.action, Logout);
    });
}

#[test]
fn whoever_disables_an_account_is_not_disabled() {
    check(&record(3001, 5, &json!({"actor": {"user": {"name": "carol"}, "session": {"uid": "s-1"}}})), |event| {
        assert_eq!((event.action, event.subject_id.as_deref()), (Action::Offboard, None));
        assert_eq!((event.actor_id.as_deref(), event.session_id.as_deref()), (Some("carol"), None));
    });
}

#[test]
fn an_operation_means_what_the_product_means_by_it() {
    let call = |vendor: &str, service: &str, operation: &str| {
        let product = json!({"product": {"name": "CloudTrail", "vendor_name": vendor}});
        let resources = json!([{"type": "AWS::IAM::AccessKey", "uid": "AKIAEXAMPLE1"}]);
        let api = json!({"operation": operation, "service": {"name": service}});
        record(
            6003,
            1,
            &json!({"metadata": product, "api": api, "resources": resources, "actor": {"user": {"name": "erin"}}}),
        )
    };
    check(&call("AWS", "iam.amazonaws.com", "CreateAccessKey"), |event| {
        assert_eq!((event.action, event.token_id.as_deref()), (Action::Issue, Some("AKIAEXAMPLE1")));
        assert_eq!(event.subject_id.as_deref(), Some("erin"));
    });
    check(&call("AWS", "iam.amazonaws.com", "DeleteAccessKey"), |event| assert_eq!(event.action, Action::Revoke));
    check(&call("AWS", "s3.amazonaws.com", "DeleteObject"), |event| assert_eq!(event.action, Action::Other));
    // The target is not named among the resources, and the caller is not it.
    check(&call("AWS", "iam.amazonaws.com", "DeleteUser"), |event| {
        assert_eq!((event.action, event.subject_id.as_deref()), (Action::Offboard, None));
    });
    check(&call("Okta", "", "app.oauth2.as.token.detect_reuse"), |event| {
        assert_eq!(event.action, Action::ReuseDetected)
    });
    let mut of_others = call("Example", "iam.example.com", "CreateAccessKey");
    of_others["metadata"]["product"]["name"] = json!("lawsuits");
    check(&of_others, |event| assert_eq!(event.action, Action::Other));
}

#[test]
fn success_and_failure() {
    for (more, outcome) in [
        (json!({"status_id": 1, "status": "Failure"}), Outcome::Success),
        (json!({"status_id": 2}), Outcome::Failure),
        (json!({"status_id": "2"}), Outcome::Failure),
        (json!({"status_id": 99, "status": "FAILURE"}), Outcome::Failure),
        (json!({"action_id": 2}), Outcome::Failure),
        (json!({}), Outcome::Success),
    ] {
        check(&record(3002, 1, &more), |event| assert_eq!(event.outcome, outcome, "{more}"));
    }
}

#[test]
fn placeholders_are_nothing() {
    check(&record(3002, 1, &json!({"user": {"name": "-", "uid": "u-1"}, "src_endpoint": {"ip": "-"}})), |event| {
        assert_eq!((event.subject_id.as_deref(), event.ip.as_deref()), (Some("u-1"), None));
        assert_eq!(event.decode_notes, None);
    });
}
