//! What must go, what must stay, and what holds for any bytes at all.

mod planted;

use super::*;

fn redactor() -> Redactor {
    Redactor::new(Key::parse(&"0123456789abcdef".repeat(4)).unwrap())
}

fn redacted(record: &str) -> String {
    String::from_utf8(redactor().redact(record.as_bytes()).into_owned()).unwrap()
}

/// A record in which `@` marks the secret: the secret must go, and all the rest stay.
#[track_caller]
fn goes(marked: &str) {
    let mut parts = marked.split('@');
    let (before, secret, after) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    assert_eq!(parts.next(), None, "{marked}");
    let found = redacted(&format!("{before}{secret}{after}"));
    let middle = found.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    let middle = middle.unwrap_or_else(|| panic!("{before} … {after} expected in {found}"));
    let plain = middle.trim_matches('"');
    assert!(text::starts_with_fingerprint(plain.as_bytes()) && plain.len() == text::FINGERPRINT_LENGTH, "{found}");
    assert_eq!(redacted(&found), found);
}

#[track_caller]
fn stays(record: &str) {
    let redactor = redactor();
    let found = redactor.redact(record.as_bytes());
    assert!(matches!(found, Cow::Borrowed(_)), "{record}\nbecame\n{}", String::from_utf8_lossy(&found));
}

const JWT: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJlLW9mLXRlc3Q";

#[test]
fn secrets_with_a_syntax_go_from_any_field() {
    for record in [
        r#"{"note":"@ghp_0123456789abcdefghijABCDEFGHIJ012345@"}"#,
        r#"{"note":"see @ghp_0123456789abcdefghijABCDEFGHIJ012345@."}"#,
        r#"{"token":{"id":"@xoxb-000000000000-111111111111-AbCdEfGhIjKlMnOpQrStUvWx@"}}"#,
        r#"{"@sk-proj-0123456789abcdefghijABCDEFGHIJ@":1}"#,
        r#"{"a":"https://example.com/cb?x=1#@npm_0123456789abcdefghijABCDEFGHIJ012345@"}"#,
        r#"{"a":"x%20@glpat-0123456789abcdefghij@%20y"}"#,
        r#"{"a":"line\n@hvs.0123456789abcdefghijABCDEFGHIJ@\n"}"#,
        r#"{"a":"\u00e9@hvs.0123456789abcdefghijABCDEFGHIJ@"}"#,
        r#"{"a":"@s.0123456789abcdefghijABCD@"}"#,
        r#"{"a":"@abc8Q~0123456789abcdefghijABCDEFGH_j12@"}"#,
        r#"{"a":"https://hooks.slack.com/services/@T00000000/B00000000/0123456789abcdefghijABCD@"}"#,
    ] {
        goes(record);
    }
    goes(&format!(r#"{{"token":{{"id":"@{JWT}@"}}}}"#));
    goes(&format!(r#"{{"a":"prefix@{JWT}@"}}"#));
    goes(&format!(r#"{{"cmd":"curl -H 'Authorization: Bearer @{JWT}@' https://example.com"}}"#));
}

#[test]
fn secrets_go_from_fields_named_for_them() {
    for record in [
        r#"{"access_token":"@tk-9f@"}"#,
        r#"{"accessToken" : "@0123@"}"#,
        r#"{"ACCESS_TOKEN":["@abc1@"]}"#,
        r#"{"refresh_token":"@550e8400-e29b-41d4-a716-446655440000@","x":1}"#,
        r#"{"password":"@letmein@"}"#,
        r#"{"password":@123456@}"#,
        r#"{"a":{"client_secret":"@correct horse battery staple@"}}"#,
        r#"{"Authorization":"Bearer @abcdef0123456789@"}"#,
        r#"{"authorization":"@Custom x1y2@"}"#,
        r#"{"headers":{"authorization":["Basic @YWxpY2U6aHVudGVyMg==@"]}}"#,
        r#"{"code":"@4c1f0b2a9d8e7f6a5b4c@"}"#,
        r#"{"cookie":"@sid=abc; theme=dark@"}"#,
        r#"{"cookies":{"sid":"@abc123@","theme":"dark"}}"#,
        r#"{"token":{"value":"@abc123@","id":"abc123"}}"#,
        r#"{"subject":{"token_identifier_alg":"plain","token":"@abc-123@"},"x":{"token_identifier_alg":"hash_a"}}"#,
        r#"{"token":{"a":"}","value":"@abc123@"}}"#,
        r#"{"name":"client_secret","type":"string","newValue":"@abc-123@"}"#,
        r#"{"value":"@abc-123@","name":"client_secret"}"#,
        r#"{"name":"token","multiValue":["@abc-123@","refresh"]}"#,
        r#"{"type":"password","value":"@letmein@","temporary":true}"#,
        r#"{"headers":[["Host","example.com"],["Cookie","@sid=0123@"]]}"#,
        r#"{"representation":"{\"type\":\"password\",\"value\":\"@letmein@\"}"}"#,
        r#"{"body":"{\"access_token\":\"@abc-123@\",\"token_type\":\"Bearer\"}"}"#,
        r#"{"body":"{\"inner\":\"{\\\"access_token\\\":\\\"@abc-123@\\\"}\"}"}"#,
        r#"{"body":"{\n  \"password\": \"@a\\\"b@\"\n}"}"#,
        r#"{"body":"grant_type=refresh_token&refresh_token=@abc123@&scope=openid"}"#,
        r#"{"url":"https://example.com/cb?code=@4c1f0b2a9d8e7f6a5b4c@&state=xyz"}"#,
        r#"{"url":"https://example.com/?next=%2Fcb%3Faccess_token%3D@abc123@%26x%3D1"}"#,
        r#"{"log":"client_secret = '@abc123@' in file"}"#,
        r#"{"log":"Cookie: @sid=abc1; x=y@\r\nHost: example.com"}"#,
        r#"{"log":"X-Auth-Token: @abc123def@\r\nHost: example.com"}"#,
        r#"{"log":"Authorization: SSWS @00abcdefghijklmnopqrstuvwxyz0123456789ABCD@"}"#,
        r#"{"xml":"<ns:access_token>@abc123@</ns:access_token>"}"#,
        r#"{"dsn":"Server=db;User Id=app;Password=@letmein@;"}"#,
        r#"{"aws":{"accessKeyId":"ASIAIOSFODNN7EXAMPLE","sessionToken":"@IQoJb3JpZ2lu@"}}"#,
        r#"{"a":"AKIAIOSFODNN7EXAMPLE","b":"@wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY@"}"#,
        r#"{"page":"&quot;access_token&quot;:&quot;@abc123@&quot;"}"#,
        r#"{"key":"@-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----@\n"}"#,
        r#"{"key":"@-----BEGIN PRIVATE KEY-----\nMIIB@"}"#,
        r#"{"access_token":"@cut 0ff@"#,
    ] {
        goes(record);
    }
}

#[test]
fn passwords_go_from_addresses() {
    for (record, expected) in [
        (r#"{"a":"postgres://app:hunter2@db.example.com/x"}"#, "postgres://app:fp:"),
        (r#"{"a":"https://Zm9vYmFyYmF6cXV4MTIz@github.example.com/x"}"#, "https://fp:"),
    ] {
        let found = redacted(record);
        assert!(found.contains(expected) && found.contains(".example.com/x"), "{found}");
        assert_eq!(redacted(&found), found);
    }
    stays(r#"{"a":"https://alice@example.com/ ssh://git@example.com:22/x mailto:alice@example.com"}"#);
}

#[test]
fn escapes_do_not_hide_a_secret() {
    let fingerprint = redactor().fingerprint(b"abc-123");
    for (record, expected) in [
        (r#"{"acc\u0065ss_token":"abc\u002d123"}"#, r#"{"access_token":"@"}"#),
        (r#"{"a":"{\u0022access_token\u0022:\u0022abc-123\u0022}"}"#, r#"{"a":"{\"access_token\":\"@\"}"}"#),
        (
            r#"{"a":"{\"b\":\"{\\u0022access_token\\u0022:\\u0022abc-123\\u0022}\"}"}"#,
            r#"{"a":"{\"b\":\"{\\\"access_token\\\":\\\"@\\\"}\"}"}"#,
        ),
    ] {
        assert_eq!(redacted(record), expected.replace('@', &fingerprint));
    }
    assert!(redacted(r#"{"a":"\u0065yJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"}"#).contains("fp:"));
    assert!(redacted(r#"{"a":"1\/\/0gABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmno"}"#).contains("fp:"));
    stays(r#"{"a":"\u0068ello","url":"https:\/\/example.com\/"}"#);
}

#[test]
fn ids_and_words_stay() {
    for record in [
        r#"{"token":{"id":"tk-9f","family":"fm-31","kind":"refresh","grant":"device_code","storage":"keychain"}}"#,
        r#"{"token":{"id":"550e8400-e29b-41d4-a716-446655440000"},"uniqueTokenIdentifier":"AbCdEfGhIjKlMnOpQrStUv"}"#,
        r#"{"hash":"Xk3vQ9ZpLmN0oRsTuVwXyZ-_aBcDeFgHiJkLmNoPqR0","token_id":"0","hashed_token":"c2hhMjU2LWhhc2g="}"#,
        r#"{"token_type":"Bearer","expires_in":3600,"tokens":1500,"access_token":null,"password":"***"}"#,
        r#"{"client_token":"hmac-sha256:0123456789abcdef0123456789abcdef","accessor":"0123456789abcdef"}"#,
        r#"{"arn":"arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf","accessKeyId":"AKIAIOSFODNN7EXAMPLE"}"#,
        r#"{"scope":"token:read secret:write","grant_type":"urn:ietf:params:oauth:grant-type:device_code"}"#,
        r#"{"url":"https://example.com/oauth/token?response_type=code&client_id=abc&code_challenge=xyz"}"#,
        r#"{"error":{"code":"E0000004","message":"Invalid token: expired"},"status_code":"AADSTS50173"}"#,
        r#"{"userAgent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"}"#,
        r#"{"password":"","secret":false,"token":"refresh","code":"200","authorization":"none","nextPageToken":"AbC123dEf456"}"#,
        r#"{"type":"access_token","displayName":"Access Token","detailEntry":{"hash":"AbC123"}}"#,
        r#"{"authorization":{"action":"Microsoft.Compute/read","scope":"/subscriptions/550e8400"}}"#,
        r#"{"name":"scope","value":"openid profile"} {"methods":["password","otp"]}"#,
        r#"{"log":"Basic authentication failed. Bearer token expired. Bearer realm=\"example\""}"#,
        r#"{"name":"RESET_SIGNIN_COOKIES","parameters":[{"name":"USER_EMAIL","value":"alice@example.com"}]}"#,
        r#"{"subject":{"token_identifier_alg":"hash_base64_sha512_sha512","token":"aGFzaC1vZi1h"}}"#,
        r#"{"age_of_refresh_token":"1689","code":"TSPIFFE000I"}"#,
        r#"{"key":"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"}"#,
        "",
        "{}",
    ] {
        stays(record);
    }
}

#[test]
fn one_secret_has_one_fingerprint() {
    let token = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
    let expected = redactor().fingerprint(token.as_bytes());
    for record in [
        format!(r#"{{"note":"{token}"}}"#),
        format!(r#"{{"access_token":"{token}"}}"#),
        format!(r#"{{"Authorization":"Bearer {token}"}}"#),
        format!(r#"{{"token":"bearer {token}"}}"#),
        format!(r#"{{"body":"{{\"token\":\"{token}\"}}"}}"#),
        format!("access_token={token}&x=y"),
        format!("https://{token}@github.example.com/x"),
        format!("https://x:{token}@github.example.com/x"),
    ] {
        let found = redacted(&record);
        assert!(found.contains(&expected) && !found.contains(token), "{found}");
    }
    let password = redactor().fingerprint(b"a/b+c=");
    assert!(redacted("https://example.com/?password=a%2Fb%2Bc%3D").contains(&password));
    assert!(redacted(r#"{"password":"a/b+c="}"#).contains(&password));
    let pem = |text: &str| redacted(text).split("fp:").nth(1).unwrap()[..41].to_owned();
    assert_eq!(
        pem("-----BEGIN PRIVATE KEY-----\nMIIB\nAAAA\n-----END PRIVATE KEY-----"),
        pem(r#"{"a":"{\"b\":\"-----BEGIN PRIVATE KEY-----\\nMIIB\\nAAAA\\n-----END PRIVATE KEY-----\\n\"}"}"#)
    );
    let other = Redactor::new(Key::new([9; 32]));
    assert_ne!(other.fingerprint(token.as_bytes()), expected);
}

#[test]
fn security_events_stay_unless_they_hold_a_secret() {
    use base64::Engine as _;
    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let event =
        |payload: &str| format!("{}.{}.c2ln", encode(r#"{"typ":"secevent+jwt","alg":"RS256"}"#), encode(payload));
    stays(&event(r#"{"iss":"https://example.com/","events":{"x":{"subject":{"format":"opaque","id":"a"}}}}"#));
    goes(&format!("@{}@", event(r#"{"events":{"x":{"access_token":"abc-123"}}}"#)));
    let wrapped = encode(r#"{"message":"a body","access_token":"abc-123"}"#);
    goes(&format!(r#"{{"data":"@{wrapped}@"}}"#));
    stays(&format!(r#"{{"data":"{}"}}"#, encode(r#"{"message":"a body","token_id":"abc-123"}"#)));
}

#[test]
fn what_cannot_be_read_keeps_nothing_random() {
    let redactor = redactor();
    let rejected = |bytes: &[u8]| String::from_utf8(redactor.redact_rejected(bytes).into_owned()).unwrap();
    let opaque = "Zm9vYmFyYmF6cXV4MTIzNDU2";
    for record in [
        format!(r#"{{"whatever":"{opaque}","#),
        format!("GET /{opaque} HTTP/1.1"),
        "{\"a\":\"\\u005am9vYmFyYmF6cXV4MTIzNDU2".to_owned(),
        opaque.bytes().flat_map(|b| [char::from(b), '\0']).collect(),
    ] {
        let found = rejected(record.as_bytes());
        assert!(
            !found.contains(opaque) && !found.contains("YmFyYmF6cXV4") && found.contains("fp:"),
            "{record} {found}"
        );
        assert_eq!(rejected(found.as_bytes()), found);
    }
    let zipped = [&b"\x1f\x8b\x08\x00"[..], &[200; 50]].concat();
    assert_eq!(rejected(&zipped), format!("\"{}\"", redactor.fingerprint(&zipped)));
    for record in [
        r#"{"event_time":"2026-10-01T08:00:00Z","action":"refresh","subject":{"id":"alice@exam"#,
        "this line is not JSON",
    ] {
        assert!(matches!(redactor.redact_rejected(record.as_bytes()), Cow::Borrowed(_)), "{record}");
    }
    // JSON that was rejected for what it says keeps its ids.
    assert!(matches!(redactor.redact_rejected(format!("{{\"id\":\"{opaque}\"}}").as_bytes()), Cow::Borrowed(_)));
    assert_eq!(redactor.redact_message("action: unknown value \"teleport\""), "action: unknown value \"teleport\"");
}

#[test]
fn more_than_can_be_walked_through_is_replaced_as_a_whole() {
    let deep = format!("{}1{}", r#"{"cookie":{"x":1,"#.repeat(5_000), "}".repeat(10_000));
    let started = std::time::Instant::now();
    let found = redacted(&deep);
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    assert!(found == deep || found.len() < 100, "{}", found.len());
}
