use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;

/// The subject of each event in a record, or why there is none; and the bytes it stands for.
fn found(record: &str) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    crate::decode::each(Format::Auto, record.as_bytes(), &crate::decode::hash(record.as_bytes()), &mut |found| {
        let what = match found.verdict {
            crate::decode::Verdict::Event(event) => event.subject_id.as_deref().unwrap_or_default().to_owned(),
            crate::decode::Verdict::Rejected(rejection, _) => rejection.0.chars().take(18).collect(),
            crate::decode::Verdict::Skipped(why) => why.to_owned(),
        };
        rows.push((what, record[found.piece].to_owned()));
    });
    rows
}

fn subjects(record: &str) -> Vec<String> {
    found(record).into_iter().map(|(subject, _)| subject).collect()
}

fn token(user: &str) -> String {
    let claims = json!({"iss": "https://idp.example.com/", "jti": user, "iat": 1_791_000_000,
        "sub_id": {"format": "opaque", "id": user},
        "events": {"https://schemas.openid.net/secevent/risc/event-type/account-disabled": {}}});
    format!(
        "{}.{}.c2ln",
        URL_SAFE_NO_PAD.encode(r#"{"typ":"secevent+jwt"}"#),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    )
}

fn audit(target: &str) -> Value {
    json!({"CreationTime": "2026-11-01T08:00:00", "Id": "a-1", "Operation": "Disable account.", "RecordType": 8,
        "ResultStatus": "Success", "Workload": "AzureActiveDirectory", "UserId": "admin@example.com", "ObjectId": target})
}

fn suspended(user: &str) -> Value {
    json!({"@timestamp": 1_793_700_000_000i64, "action": "user.suspend", "actor": "olga", "user": user})
}

#[test]
fn polled_tokens_are_records_of_their_own() {
    let (first, second) = (token("u-1"), token("u-2"));
    let poll = json!({"sets": {"j-1": first, "j-2": second}, "moreAvailable": false}).to_string();
    assert_eq!(found(&poll), [("u-1".to_owned(), first.clone()), ("u-2".to_owned(), second)]);
    let broken = json!({"sets": {"j-1": "no token", "j-2": first}}).to_string();
    assert_eq!(subjects(&broken), ["not a known format", "u-1"]);
    let inside = json!({"message": poll}).to_string();
    assert_eq!(subjects(&inside), ["u-1", "u-2"]);
    assert_eq!(subjects(r#"{"sets":{},"moreAvailable":false}"#), ["an envelope with nothing inside"]);
    assert_eq!(subjects(r#"{"sets":{"j-1":"no token"}}"#), ["not a known format"]);
    assert_eq!(subjects(r#"{"sets":{"j-1":5}}"#), ["not a known format"]);
}

#[test]
fn audit_data_is_text_or_a_tree_in_json_or_in_a_row() {
    let data = audit("ben@example.com");
    let row =
        format!(r#"1,2026-11-01,Disable account.,admin@example.com,"{}","#, data.to_string().replace('"', "\"\""));
    for record in [
        json!({"RecordId": "1", "AuditData": data.to_string()}).to_string(),
        json!({"value": [{"id": "1", "auditData": data}]}).to_string(),
        row.clone(),
        json!({"message": row}).to_string(),
    ] {
        assert_eq!(subjects(&record), ["ben@example.com"], "{record}");
    }
    for record in [r#"1,"{""a"":1}","#, r#"1,"{""a"",}"#, "RecordId,AuditData", r#""{"""#] {
        assert!(subjects(record)[0].starts_with("not JSON"), "{record}");
    }
}

#[test]
fn every_envelope_holds_every_other() {
    let text = suspended("ben").to_string();
    let wraps: [fn(Value) -> Value; 12] = [
        |inner| json!({"records": [inner]}),
        |inner| json!({"Records": [inner]}),
        |inner| json!({"value": [inner]}),
        |inner| json!({"items": [inner]}),
        |inner| json!({"data": {"events": [inner]}}),
        |inner| json!({"detail-type": "x", "source": "y", "detail": inner}),
        |inner| json!({"log_id": "1", "data": inner}),
        |inner| json!({"message": inner.to_string()}),
        |inner| json!({"event": {"original": inner.to_string()}}),
        |inner| json!({"event.original": inner.to_string()}),
        |inner| json!({"integration": "github", "github": inner}),
        |inner| json!([inner]),
    ];
    for outer in wraps {
        assert_eq!(subjects(&outer(suspended("ben")).to_string()), ["ben"], "{}", outer(suspended("ben")));
        for inner in wraps {
            let record = outer(inner(suspended("ben"))).to_string();
            assert_eq!(subjects(&record), ["ben"], "{record}");
        }
    }
    let several = json!({"message": format!("{text}\n{}", suspended("ada"))}).to_string();
    assert_eq!(subjects(&several), ["ben", "ada"]);
}
