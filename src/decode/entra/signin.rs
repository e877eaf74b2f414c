//! Sign-in logs of all kinds.
//!
//! From "signIn resource type" of Microsoft Graph and the tables SigninLogs, AADNonInteractiveUserSignInLogs,
//! AADServicePrincipalSignInLogs and AADManagedIdentitySignInLogs of Azure Monitor. What shapes the mapping:
//!
//! - A sign-in is a request for a token. Where a refresh token was presented (`incomingTokenType`), it is a refresh. A
//!   client that gets a token without the person and without a stated token mostly has one in its cache, so that is
//!   taken as a refresh as well, unless the protocol says how else the person was known.
//! - `createdDateTime` is when it happened; the envelope's `time` is when it was exported, minutes later.
//! - `uniqueTokenIdentifier` names the access token that was issued. A refresh therefore leaves the token unnamed, and so
//!   does a sign-in without a session: named by an hourly access token, it would be a grant of its own, apart from all
//!   its refreshes.
//! - `originalTransferMethod` stays with a session: its refreshes still tell that a device code began it.

use super::{address, body, country, real_id, text_in};
use crate::decode::fields::{Fields, grant_type, outcome};
use crate::decode::json::Json;
use crate::event::{Action, Event, Rejection, Text};

/// Who signs in, and whether a person is there.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Interactive,
    NonInteractive,
    Service,
}

/// Where the time is, best first.
const TIMES: [&str; 4] = ["properties.createdDateTime", "createdDateTime", "time", "TimeGenerated"];

/// Microsoft's own command-line clients ("First-party Microsoft applications in sign-in reports").
const CLI_APPS: [&str; 3] = [
    "04b07795-8ddb-461a-bbee-02f9e1bf7b46", // Azure CLI
    "1950a258-227b-4e31-a9cf-717495945fc2", // Azure PowerShell
    "14d82eec-204b-4c2f-b7e8-296a70dab67e", // Microsoft Graph command-line tools
];

/// Whether a record is a sign-in as Graph gives it.
pub fn is_flat(record: &Json<'_>) -> bool {
    const BESIDE: [&str; 4] = ["status", "signInEventTypes", "isInteractive", "resultType"];
    let has_time = record.has("createdDateTime") || record.has("TimeGenerated");
    record.has("appId") && has_time && BESIDE.iter().any(|key| record.has(key))
}

/// Adds the event of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let mut fields = Fields::new(record);
    let body = body(record);
    let kind = kind(record, body);
    let action = if kind == Kind::NonInteractive && is_refresh(body) { Action::Refresh } else { Action::Issue };
    let mut event = fields.event(&TIMES, action);
    event.event_id = fields.id_of("id", body.get("id"));
    event.source_event = fields.text("category").or_else(|| body.at("signInEventTypes").items().first()?.cow());
    event.outcome = outcome(succeeded(record, body, &mut fields));
    event.grant_type = grant(kind, action, body).map(Into::into);
    event.session_id = real_id(fields.text_of("sessionId", body.get("sessionId")));
    people(kind, body, &mut fields, &mut event);
    device(body, &mut fields, &mut event);
    network(record, body, &mut fields, &mut event);
    token(kind, body, &mut fields, &mut event);
    fields.finish(event, out)
}

fn kind(record: &Json<'_>, body: &Json<'_>) -> Kind {
    let category = record.get("category").text().unwrap_or_default().to_ascii_lowercase();
    let types = body.get("signInEventTypes");
    let is = |word: &str| category.contains(word) || types.items().iter().any(|kind| says(kind, word));
    let has_person = || body.get("userPrincipalName").text().is_some() || body.get("userId").text().is_some();
    if is("serviceprincipal") || is("managedidentity") {
        Kind::Service
    } else if is("noninteractive") {
        Kind::NonInteractive
    } else if !is("interactiveuser") && !has_person() && body.get("servicePrincipalId").text().is_some() {
        Kind::Service
    } else if category.is_empty() && body.get("isInteractive").boolean() == Some(false) {
        Kind::NonInteractive
    } else {
        Kind::Interactive
    }
}

fn says(value: &Json<'_>, word: &str) -> bool {
    value.text().is_some_and(|text| text.to_ascii_lowercase().contains(word))
}

/// Whether a sign-in without the person presented a refresh token, as far as the record tells.
fn is_refresh(body: &Json<'_>) -> bool {
    let incoming = body.get("incomingTokenType");
    let mut kinds =
        incoming.items().iter().filter_map(Json::text).flat_map(|list| list.split([';', ',', ' '])).peekable();
    let is_nothing = |kind: &str| kind.is_empty() || kind.eq_ignore_ascii_case("none");
    let mut has_other = false;
    for kind in kinds.by_ref() {
        if kind.eq_ignore_ascii_case("refreshToken") || kind.eq_ignore_ascii_case("primaryRefreshToken") {
            return true;
        }
        has_other |= !is_nothing(kind);
    }
    !has_other && body.get("authenticationProtocol").text().is_none_or(is_nothing)
}

/// How the grant was made: the protocol's name, or what the session began with.
fn grant(kind: Kind, action: Action, body: &Json<'_>) -> Option<&'static str> {
    if kind == Kind::Service {
        return Some("client_credentials");
    }
    let protocol = body.get("authenticationProtocol").text().unwrap_or_default().to_ascii_lowercase();
    let began_with_device_code = || says(body.get("originalTransferMethod"), "devicecode");
    match protocol.as_str() {
        "devicecode" => Some("device_code"),
        "ropc" | "rpoc" => Some("password"),
        _ if action == Action::Refresh => Some(if began_with_device_code() { "device_code" } else { "refresh_token" }),
        "oauth2" => Some("authorization_code"),
        _ if began_with_device_code() => Some("device_code"),
        "" | "none" => None,
        other => Some(grant_type(other)),
    }
}

/// The error code decides; where forwarders dropped it, the envelope's word for it.
fn succeeded<'a>(record: &'a Json<'a>, body: &'a Json<'a>, fields: &mut Fields<'a>) -> bool {
    let status = body.get("status");
    let code = match status {
        Json::Text(text) => Json::parse(text.as_bytes()).ok().and_then(|tree| tree.get("errorCode").integer()),
        _ => fields.integer_of("status.errorCode", status.get("errorCode")),
    };
    if let Some(code) = code {
        return code == 0;
    }
    let stated = [record.get("resultType"), body.get("resultType"), body.get("result"), record.get("resultSignature")];
    stated.into_iter().find_map(verdict).unwrap_or(true)
}

/// A code, or the word for success or failure.
fn verdict(stated: &Json<'_>) -> Option<bool> {
    if let Some(code) = stated.integer() {
        return Some(code == 0);
    }
    match stated.text()?.to_ascii_lowercase().as_str() {
        "success" | "succeeded" => Some(true),
        "failure" | "failed" | "interrupted" => Some(false),
        _ => None,
    }
}

fn people<'a>(kind: Kind, body: &'a Json<'a>, fields: &mut Fields<'a>, event: &mut Event<'a>) {
    let mut first = |names: [&'static str; 2]| -> Text<'a> {
        names.into_iter().find_map(|name| real_id(fields.text_of(name, body.get(name))))
    };
    let is_service = kind == Kind::Service;
    const SERVICE: [&str; 2] = ["servicePrincipalId", "servicePrincipalName"];
    const PERSON: [&str; 2] = ["userPrincipalName", "userId"];
    // Older records name a service where a person's name belongs.
    let service = if is_service { first(SERVICE) } else { None };
    event.subject_id = service.or_else(|| first(PERSON));
    event.client_id = first(["appId", "applicationId"]);
    let agent = body.at("agent.agentType").text();
    let is_agent = agent.is_some_and(|kind| !kind.eq_ignore_ascii_case("notAgentic"));
    event.subject_kind = Some(
        if is_agent {
            "agent"
        } else if is_service {
            "service"
        } else {
            "human"
        }
        .into(),
    );
    let is_cli = event.client_id.as_deref().is_some_and(|app| CLI_APPS.iter().any(|cli| cli.eq_ignore_ascii_case(app)));
    event.client_kind = if is_cli {
        Some("cli".into())
    } else if is_service {
        Some("service".into())
    } else {
        body.get("clientAppUsed").text().filter(|app| app.eq_ignore_ascii_case("Browser")).map(|_| "web".into())
    };
}

fn device<'a>(body: &'a Json<'a>, fields: &mut Fields<'a>, event: &mut Event<'a>) {
    event.device_id = real_id(text_in(fields, "deviceDetail.deviceId", body.get("deviceDetail"), "deviceId"));
    event.token_binding = match body.get("signInTokenProtectionStatus").text() {
        Some(status) if status.eq_ignore_ascii_case("bound") => Some("device".into()),
        Some(status) if status.eq_ignore_ascii_case("unbound") => Some("none".into()),
        _ => None,
    };
}

fn network<'a>(record: &'a Json<'a>, body: &'a Json<'a>, fields: &mut Fields<'a>, event: &mut Event<'a>) {
    event.ip = address(fields, "ipAddress", body.get("ipAddress"));
    event.asn = fields.integer_of("autonomousSystemNumber", body.get("autonomousSystemNumber"));
    event.user_agent = fields.text_of("userAgent", body.get("userAgent"));
    // An object in the record, its JSON in some exports, and only the code beside it in the envelope.
    let places = [body.get("location"), body.get("locationDetails")];
    let detailed = places.into_iter().find_map(|place| text_in(fields, "location", place, "countryOrRegion"));
    event.country = country(detailed).or_else(|| country(record.get("location").cow()));
}

/// The access token that was issued, and the scopes that were asked for.
fn token<'a>(kind: Kind, body: &'a Json<'a>, fields: &mut Fields<'a>, event: &mut Event<'a>) {
    let issued = fields.text_of("uniqueTokenIdentifier", body.get("uniqueTokenIdentifier"));
    if event.action == Action::Refresh {
        event.token_kind = Some("refresh".into());
    } else if kind == Kind::Service {
        event.token_kind = Some("access".into());
    } else if event.session_id.is_some() && issued.is_some() {
        event.token_kind = Some("access".into());
        event.token_id = issued;
    }
    // A list in JSON in text: of scope names, which need no escapes.
    let details = body.get("authenticationProcessingDetails").item_where("key", "Oauth Scope Info");
    let names = details.get("value").text().unwrap_or_default().split(['[', ']', '"', ',', ' ']);
    let scopes = names.filter(|name| !name.is_empty() && !name.contains('\\'));
    event.scopes = scopes.take(crate::decode::SCOPES_MAX).map(Into::into).collect();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Outcome;

    fn with<T>(record: &str, look: impl Fn(&Event<'_>) -> T) -> T {
        let record = Json::parse(record.as_bytes()).unwrap();
        let mut out = Vec::new();
        decode(&record, &mut out).unwrap();
        look(&out[0])
    }

    fn exported(category: &str, properties: &str) -> String {
        format!(
            r#"{{"time":"2026-03-01T10:05:00Z","category":"{category}","callerIpAddress":"192.0.2.9",
                "properties":{{"createdDateTime":"2026-03-01T10:00:00.1234567Z","userPrincipalName":"ada@example.com",
                "appId":"app-1",{properties}}}}}"#
        )
    }

    #[test]
    fn a_refresh_is_told_by_what_was_presented() {
        for (category, properties, action) in [
            ("NonInteractiveUserSignInLogs", r#""incomingTokenType":"refreshToken""#, Action::Refresh),
            ("NonInteractiveUserSignInLogs", r#""incomingTokenType":"saml11;primaryRefreshToken""#, Action::Refresh),
            ("NonInteractiveUserSignInLogs", r#""incomingTokenType":["none","refreshToken"]"#, Action::Refresh),
            ("NonInteractiveUserSignInLogs", r#""incomingTokenType":"none""#, Action::Refresh),
            ("NonInteractiveUserSignInLogs", r#""authenticationProtocol":"none""#, Action::Refresh),
            ("NonInteractiveUserSignInLogs", r#""authenticationProtocol":"oAuth2""#, Action::Issue),
            ("NonInteractiveUserSignInLogs", r#""incomingTokenType":"saml20""#, Action::Issue),
            ("SignInLogs", r#""incomingTokenType":"primaryRefreshToken""#, Action::Issue),
        ] {
            assert_eq!(with(&exported(category, properties), |event| event.action), action, "{properties}");
        }
    }

    #[test]
    fn the_error_code_decides_and_then_the_word() {
        for (properties, envelope, outcome) in [
            (r#""status":{"errorCode":0}"#, r#""resultType":"50126""#, Outcome::Success),
            (r#""status":{"errorCode":50173}"#, r#""resultType":"0""#, Outcome::Failure),
            (r#""status":"{\"errorCode\":50132}""#, r#""resultType":0"#, Outcome::Failure),
            (r#""x":1"#, r#""resultType":"50076""#, Outcome::Failure),
            (r#""x":1"#, r#""resultType":"Success""#, Outcome::Success),
            (r#""x":1"#, r#""resultType":"Failure""#, Outcome::Failure),
            (r#""x":1"#, r#""resultSignature":"None""#, Outcome::Success),
        ] {
            let record = exported("SignInLogs", properties).replacen('{', &format!("{{{envelope},"), 1);
            assert_eq!(with(&record, |event| event.outcome), outcome, "{properties} {envelope}");
        }
    }

    #[test]
    fn a_token_is_named_only_where_its_session_is_known() {
        let token = r#""uniqueTokenIdentifier":"uti-1""#;
        let session = r#""uniqueTokenIdentifier":"uti-1","sessionId":"s-1""#;
        let named = |event: &Event<'_>| event.token_id.as_deref().map(str::to_owned);
        assert_eq!(with(&exported("SignInLogs", token), named), None);
        assert_eq!(with(&exported("SignInLogs", session), named).as_deref(), Some("uti-1"));
        assert_eq!(with(&exported("NonInteractiveUserSignInLogs", session), named), None, "the new one's name");
    }

    #[test]
    fn a_device_code_stays_with_its_session() {
        let grant = |event: &Event<'_>| event.grant_type.as_deref().map(str::to_owned);
        for (category, properties, expected) in [
            ("SignInLogs", r#""authenticationProtocol":"deviceCode""#, Some("device_code")),
            ("NonInteractiveUserSignInLogs", r#""originalTransferMethod":"deviceCodeFlow""#, Some("device_code")),
            ("NonInteractiveUserSignInLogs", r#""originalTransferMethod":"none""#, Some("refresh_token")),
            ("SignInLogs", r#""authenticationProtocol":"rpoc""#, Some("password")),
            ("SignInLogs", r#""authenticationProtocol":"none""#, None),
            ("ManagedIdentitySignInLogs", r#""x":1"#, Some("client_credentials")),
        ] {
            assert_eq!(with(&exported(category, properties), grant).as_deref(), expected, "{properties}");
        }
    }

    #[test]
    fn a_flat_record_tells_by_its_event_types() {
        let record = r#"{"createdDateTime":"2026-03-01T10:00:00Z","appId":"app-1","servicePrincipalId":"sp-1",
            "signInEventTypes":["servicePrincipal"],"status":{"errorCode":0},"ipAddress":"sp-1"}"#;
        with(record, |event| {
            assert_eq!(event.subject_id.as_deref(), Some("sp-1"));
            assert_eq!(event.subject_kind.as_deref(), Some("service"));
            assert_eq!(event.ip, None, "a service's id is no address");
        });
    }

    #[test]
    fn details_in_text_are_read_too() {
        let properties = r#""deviceDetail":"{\"deviceId\":\"dev-1\"}","locationDetails":"{\"countryOrRegion\":\"NO\"}",
            "authenticationProcessingDetails":[{"key":"Oauth Scope Info","value":"[\"User.Read\",\"Mail.Read\"]"}]"#;
        with(&exported("SignInLogs", properties), |event| {
            assert_eq!(event.device_id.as_deref(), Some("dev-1"));
            assert_eq!(event.country.as_deref(), Some("NO"));
            assert_eq!(event.scopes, ["User.Read", "Mail.Read"]);
            assert_eq!(event.ip.as_deref(), Some("192.0.2.9"), "the envelope's where the record has none");
        });
    }
}
