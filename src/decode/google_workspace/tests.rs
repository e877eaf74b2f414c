use super::*;

/// What the events of a record say: each the values of these columns, absent ones left out.
fn told(record: &str, columns: &[&str]) -> Vec<String> {
    let record = Json::parse(record.as_bytes()).unwrap();
    assert!(is_mine(&record));
    let mut out = Vec::new();
    decode(&record, &mut out).unwrap();
    let values = |event: &Event<'_>| {
        let texts = crate::event::TEXTS.iter().zip(event.texts()).filter(|(name, _)| columns.contains(name));
        texts.filter_map(|(_, text)| text.map(str::to_owned)).collect::<Vec<_>>().join(" ")
    };
    out.iter().map(values).collect()
}

fn activity(application: &str, events: &str) -> String {
    format!(
        r#"{{"id":{{"time":"2026-11-03T10:00:00Z","uniqueQualifier":"-7","applicationName":"{application}"}},"actor":{{"email":"Admin@example.com","profileId":1}},"events":{events}}}"#
    )
}

fn named(name: &str, parameters: &str) -> String {
    format!(r#"{{"name":"{name}","parameters":{parameters}}}"#)
}

#[test]
fn an_activity_of_several_events_gives_each() {
    let user = r#"[{"name":"USER_EMAIL","value":"ben@example.com"}]"#;
    let events = format!("[{},{}]", named("SUSPEND_USER", user), named("RESET_SIGNIN_COOKIES", user));
    assert_eq!(
        told(&activity("admin", &events), &["action", "event_id", "subject_id", "actor_id"]),
        [
            "offboard 1793700000000000/-7/SUSPEND_USER ben@example.com Admin@example.com",
            "revoke 1793700000000000/-7/RESET_SIGNIN_COOKIES ben@example.com Admin@example.com"
        ]
    );
}

#[test]
fn one_event_without_a_list_around_it_is_read_alike() {
    for event in [
        named(
            "REVOKE_3LO_DEVICE_TOKENS",
            r#"[{"name":"USER_EMAIL","value":"b@example.com"},{"name":"DEVICE_ID","value":"d-1"}]"#,
        ),
        named("REVOKE_3LO_DEVICE_TOKENS", r#"{"USER_EMAIL":"b@example.com","device_id":"d-1"}"#),
    ] {
        assert_eq!(
            told(&activity("admin", &event), &["action", "subject_id", "device_id"]),
            ["revoke b@example.com d-1"]
        );
    }
    let one = named("DELETE_USER", r#"{"name":"USER_EMAIL","value":"b@example.com"}"#);
    assert_eq!(told(&activity("admin", &one), &["action", "subject_id"]), ["offboard b@example.com"]);
}

#[test]
fn an_administrator_is_not_offboarded_for_want_of_a_target() {
    assert_eq!(told(&activity("admin", &named("SUSPEND_USER", "[]")), &["action", "subject_id"]), ["offboard"]);
    let wiped = named("COMPANY_OWNED_DEVICE_WIPED", r#"{"SERIAL_NUMBER":"sn-1"}"#);
    let columns = ["action", "subject_id", "device_id", "actor_id"];
    assert_eq!(told(&activity("admin", &wiped), &columns), ["device_lost Admin@example.com sn-1"]);
    let warning = named("account_disabled_hijacked", r#"{"affected_email_address":"b@example.com"}"#);
    assert_eq!(told(&activity("login", &warning), &["action", "subject_id"]), ["compromise b@example.com"]);
}

#[test]
fn a_password_of_one_application_is_revoked_alone() {
    let event =
        named("REVOKE_ASP", r#"[{"name":"USER_EMAIL","value":"b@example.com"},{"name":"ASP_ID","intValue":"17"}]"#);
    assert_eq!(told(&activity("admin", &event), &["action", "token_id", "subject_id"]), ["revoke 17 b@example.com"]);
}

#[test]
fn only_a_wipe_loses_a_device() {
    for (application, name, kind, state, expected) in [
        ("admin", "ACTION_REQUESTED", "ACCOUNT_WIPE", "", "device_lost"),
        ("admin", "ACTION_REQUESTED", "REVOKE_TOKEN", "", "revoke"),
        ("admin", "ACTION_REQUESTED", "BLOCK", "", "other"),
        ("admin", "ACTION_CANCELLED", "DEVICE_WIPE", "", "device_recovered"),
        ("admin", "ACTION_CANCELLED", "REVOKE_TOKEN", "", "other"),
        ("mobile", "DEVICE_ACTION_EVENT", "DEVICE_WIPE", "PENDING", "other"),
        ("mobile", "DEVICE_ACTION_EVENT", "DEVICE_WIPE", "EXECUTED", "device_lost"),
        ("token", "ACTION_REQUESTED", "DEVICE_WIPE", "", "other"),
    ] {
        let parameters = format!(r#"{{"ACTION_TYPE":"{kind}","ACTION_EXECUTION_STATUS":"{state}"}}"#);
        assert_eq!(told(&activity(application, &named(name, &parameters)), &["action"]), [expected], "{name} {kind}");
    }
}

#[test]
fn scopes_stand_in_one_of_two_places() {
    for parameters in [
        r#"[{"name":"scope","multiValue":["openid","email"]}]"#,
        r#"[{"name":"scope_data","multiMessageValue":[{"parameter":[{"name":"scope_name","value":"openid"}]},{"parameter":[{"name":"product_bucket","multiValue":["GMAIL"]},{"name":"scope_name","value":"email"}]}]}]"#,
        r#"{"scope":["openid","email"]}"#,
    ] {
        let record = activity("token", &named("authorize", parameters));
        let record = Json::parse(record.as_bytes()).unwrap();
        let mut out = Vec::new();
        decode(&record, &mut out).unwrap();
        assert_eq!(out[0].scopes, ["openid", "email"], "{parameters}");
    }
}
