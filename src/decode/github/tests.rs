use super::*;

/// The values of these columns, absent ones left out.
fn told(record: &str, columns: &[&str]) -> String {
    let record = Json::parse(record.as_bytes()).unwrap();
    assert!(is_mine(&record));
    let mut out = Vec::new();
    decode(&record, &mut out).unwrap();
    let [event] = out.as_slice() else { panic!("one event") };
    let texts = crate::event::TEXTS.iter().zip(event.texts()).filter(|(name, _)| columns.contains(name));
    texts.filter_map(|(_, text)| text).collect::<Vec<_>>().join(" ")
}

fn record(action: &str, more: &str) -> String {
    format!(r#"{{"@timestamp":1793700000000,"action":"{action}","actor":"olga"{more}}}"#)
}

#[test]
fn whoever_is_removed_is_named_or_nobody_is() {
    for (action, more, expected) in [
        ("org.remove_member", r#","org":"atlas","user":"ben""#, "offboard ben olga atlas"),
        ("org.remove_member", r#","org":["atlas","borealis"]"#, "offboard olga atlas"),
        ("user.suspend", r#","org":"atlas","user":"ben""#, "offboard ben olga"),
        ("user.destroy", "", "offboard olga"),
        ("org.restore_member", r#","org":"atlas","user":"ben""#, "reinstate ben olga atlas"),
        ("org.add_member", r#","org":"atlas","user":"ben""#, "other ben olga atlas"),
        ("org.block_user", r#","org":"atlas","blocked_user":"mallory""#, "other mallory olga atlas"),
        ("oauth_application.revoke_all_tokens", r#","oauth_application_id":5"#, "revoke olga 5"),
    ] {
        let columns = ["action", "subject_id", "actor_id", "client_id", "project_id"];
        assert_eq!(told(&record(action, more), &columns), expected, "{action}");
    }
}

#[test]
fn the_token_of_an_administrator_is_not_the_one_that_is_revoked() {
    let columns = ["token_id", "family_id", "subject_id", "client_id"];
    let named = r#","user":"ada","user_programmatic_access_name":"release key","token_id":9,"oauth_application_id":3"#;
    assert_eq!(told(&record("personal_access_token.access_revoked", named), &columns), "ada/release key ada");
    let own = r#","user":"olga","user_programmatic_access_name":"release key","token_id":9"#;
    assert_eq!(told(&record("personal_access_token.destroy", own), &columns), "9 olga/release key olga");
    let unnamed = r#","user":"ada","user_programmatic_access_id":31,"token_id":9"#;
    assert_eq!(told(&record("personal_access_token.access_revoked", unnamed), &columns), "31 ada");
    let managed = r#","user":"ada","managed_token_id":8,"token_id":9,"application_id":3"#;
    assert_eq!(told(&record("org_credential_authorization.revoke", managed), &columns), "8 ada 3");
}

#[test]
fn a_token_of_no_application_is_a_personal_one() {
    let columns = ["token_id", "token_kind", "client_id"];
    for (more, expected) in [
        (r#","token_id":9,"oauth_application_id":0"#, "9 pat"),
        (r#","token_id":9,"oauth_application_id":"55""#, "9 access 55"),
        (r#","token_id":0,"hashed_token":"h=","programmatic_access_type":"Personal access token (classic)""#, "h= pat"),
        (r#","data":{"oauth_access_id":6,"application_id":0,"application_name":"backup"}"#, "6 pat backup"),
    ] {
        assert_eq!(told(&record("oauth_access.create", more), &columns), expected, "{more}");
    }
}

#[test]
fn a_key_without_a_fingerprint_revokes_nothing() {
    assert_eq!(told(&record("public_key.delete", ""), &["action", "token_kind"]), "other");
    let known = r#","fingerprint":"SHA256:x""#;
    assert_eq!(
        told(&record("public_key.delete", known), &["action", "token_id", "token_kind"]),
        "revoke SHA256:x other"
    );
}

#[test]
fn an_action_and_an_actor_alone_are_not_github_s() {
    for (text, expected) in [
        (r#"{"action":"user.login","actor":"ada","created_at":"2026-11-03T12:00:00Z"}"#, false),
        (r#"{"action":"user.login","created_at":1793700000000}"#, false),
        (r#"{"action":"user_login","actor":{"type":"user"},"created_at":1793700000000}"#, false),
        (r#"{"action":"org.add_member","actor":"ada","created_at":1793700000000}"#, true),
        (r#"{"action":"org.add_member","actor":"ada"}"#, false),
        (r#"{"action":"org.add_member","actor":"ada","org":"x"}"#, true),
        (r#"{"action":"oauth_authorization.create","actor":"ada","created_at":"2026-11-03T12:00:00Z"}"#, true),
        (r#"{"action":"org.add_member","org":"x","created_at":"2026-11-03 12:00:00","operation_type":"add"}"#, true),
    ] {
        assert_eq!(is_mine(&Json::parse(text.as_bytes()).unwrap()), expected, "{text}");
    }
}
