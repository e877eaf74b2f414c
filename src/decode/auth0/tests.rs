use super::*;

/// What a record says, as `column value` lines of these columns; absent ones are left out.
fn told(record: &str, columns: &[&str]) -> Vec<String> {
    let record = Json::parse(record.as_bytes()).unwrap();
    assert!(is_mine(&record));
    let mut out = Vec::new();
    decode(&record, &mut out).unwrap();
    let [event] = out.as_slice() else { panic!("one event") };
    let texts = crate::event::TEXTS.iter().zip(event.texts()).filter(|(name, _)| columns.contains(name));
    texts.filter_map(|(name, text)| Some(format!("{name} {}", text?))).collect()
}

fn stream(code: &str, more: &str) -> String {
    format!(
        r#"{{"log_id":"l-1","data":{{"date":"2026-11-03T09:00:00Z","type":"{code}","client_id":"cli","user_id":"auth0|ada"{more}}}}}"#
    )
}

fn request(code: &str, method: &str, path: &str, body: &str) -> String {
    let request = format!(r#"{{"method":"{method}","path":"{path}","body":{body},"query":{{"user_id":"auth0|ben"}}}}"#);
    stream(code, &format!(r#","details":{{"request":{request},"response":{{"statusCode":200}}}}"#))
}

#[test]
fn types_come_in_pairs_of_success_and_failure() {
    for (code, expected) in [
        ("seacft", "issue success authorization_code"),
        ("feccft", "issue failure client_credentials"),
        ("sede", "issue success device_code"),
        ("ciba_exchange_failed", "issue failure ciba"),
        ("failed_on_behalf_of_token_exchange", "issue failure token_exchange"),
        ("fertft", "refresh failure refresh_token"),
        ("ferrt", "reuse_detected failure refresh_token"),
        ("srrt", "revoke success"),
        ("universal_logout_failed", "revoke failure"),
        ("flo", "logout failure"),
        ("sdu", "offboard success"),
        ("fp", "other failure"),
        ("s", "other success"),
        ("flows_execution_completed", "other success"),
        ("gd_send_pn_failure", "other failure"),
        ("a_type_of_tomorrow", "other success"),
    ] {
        let said = told(&stream(code, ""), &["action", "outcome", "grant_type"]);
        let said: Vec<_> = said.iter().filter_map(|line| line.split(' ').nth(1)).collect();
        assert_eq!(said.join(" "), expected, "{code}");
    }
}

#[test]
fn a_revoked_refresh_token_takes_its_grant_along_only_if_one_is_named() {
    let columns = ["token_id", "subject_id", "client_id"];
    assert_eq!(
        told(&stream("srrt", r#","details":{"credential_id":"dcr_1","grant_id":null}"#), &columns),
        ["token_id dcr_1", "subject_id auth0|ada", "client_id cli"]
    );
    assert_eq!(
        told(&stream("srrt", r#","details":{"credential_id":"dcr_1","grant_id":"g-1"}"#), &columns),
        ["subject_id auth0|ada", "client_id cli"]
    );
}

#[test]
fn what_is_left_of_a_masked_id_is_no_id() {
    let details = r#","details":{"familyId":"******VM-","access_token_jti":"at-1","session_id":"***"}"#;
    assert_eq!(told(&stream("sertft", details), &["family_id", "token_id", "session_id"]), [""; 0]);
}

#[test]
fn an_administrator_is_never_the_subject() {
    let columns = ["action", "token_id", "family_id", "subject_id", "actor_id", "client_id", "session_id"];
    let user = "/api/v2/users/auth0%7Cben";
    for (method, path, body, expected) in [
        (
            "PATCH",
            user,
            r#"{"blocked":true}"#,
            "action offboard, subject_id auth0|ben, actor_id auth0|ada, client_id cli",
        ),
        (
            "patch",
            user,
            r#"{"blocked":"false"}"#,
            "action reinstate, subject_id auth0|ben, actor_id auth0|ada, client_id cli",
        ),
        ("patch", user, r#"{"name":"Ben"}"#, "action other, subject_id auth0|ada, client_id cli"),
        ("get", user, "null", "action other, subject_id auth0|ada, client_id cli"),
        (
            "delete",
            "/v2/users/auth0|ben?x=1",
            "null",
            "action offboard, subject_id auth0|ben, actor_id auth0|ada, client_id cli",
        ),
        (
            "delete",
            "/api/v2/users/auth0|ben/sessions",
            "null",
            "action revoke, subject_id auth0|ben, actor_id auth0|ada",
        ),
        (
            "delete",
            "/api/v2/users/auth0|ben/multifactor/duo",
            "null",
            "action other, subject_id auth0|ada, client_id cli",
        ),
        (
            "post",
            "/api/v2/users/auth0|ben/revoke-access",
            r#"{"session_id":"s-1"}"#,
            "action revoke, subject_id auth0|ben, actor_id auth0|ada, session_id s-1",
        ),
        ("post", "/api/v2/sessions/s-2/revoke", "{}", "action revoke, actor_id auth0|ada, session_id s-2"),
        ("delete", "/api/v2/refresh-tokens/r-1", "null", "action revoke, token_id r-1, actor_id auth0|ada"),
        ("delete", "/api/v2/grants/g-1", "null", "action revoke, family_id g-1, actor_id auth0|ada"),
        ("delete", "/api/v2/grants", "null", "action revoke, subject_id auth0|ben, actor_id auth0|ada"),
    ] {
        assert_eq!(told(&request("sapi", method, path, body), &columns).join(", "), expected, "{method} {path}");
    }
}

#[test]
fn a_directory_deactivates_in_several_ways() {
    let user = "/scim/v2/connections/con_1/Users/samlp%7Cben";
    for (method, body, expected) in [
        ("DELETE", "null", "offboard"),
        ("PUT", r#"{"active":false}"#, "offboard"),
        ("PATCH", r#"{"Operations":[{"op":"replace","path":"active","value":"False"}]}"#, "offboard"),
        ("PATCH", r#"{"Operations":{"op":"replace","value":{"active":true}}}"#, "reinstate"),
        ("PATCH", r#"{"Operations":[{"op":"replace","path":"name","value":false}]}"#, "other"),
    ] {
        let said = told(&request("sscim", method, user, body), &["action"]);
        assert_eq!(said, [format!("action {expected}")], "{method} {body}");
    }
}

#[test]
fn percent_signs_are_decoded_and_never_fail() {
    for (part, expected) in
        [("auth0%7Cada", Some("auth0|ada")), ("50%", Some("50%")), ("%7", Some("%7")), ("%é", Some("%é")), ("", None)]
    {
        assert_eq!(management::decoded(part).as_deref(), expected);
    }
}
