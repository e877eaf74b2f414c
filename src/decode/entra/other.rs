//! The other logs of a tenant: use of Microsoft Graph, risk detections, provisioning and what else there is.
//!
//! From the tables MicrosoftGraphActivityLogs, AADUserRiskEvents and AADRiskyUsers of Azure Monitor and "riskDetection
//! resource type" of Microsoft Graph. They are kept as `other`, with what they say about who and from where. One thing
//! ends trust: a password found in a leak, or an administrator who confirms that an account is compromised.

use super::{address, body, country, real_id, text_in};
use crate::decode::fields::Fields;
use crate::decode::json::Json;
use crate::event::{Action, Event, Rejection};

const CATEGORIES: [&str; 11] = [
    "UserRiskEvents",
    "RiskyUsers",
    "ServicePrincipalRiskEvents",
    "RiskyServicePrincipals",
    "ProvisioningLogs",
    "MicrosoftGraphActivityLogs",
    "NetworkAccessTrafficLogs",
    "EnrichedOffice365AuditLogs",
    "RemoteNetworkHealthLogs",
    "B2CRequestLogs",
    "CustomSecurityAttributeAuditLogs",
];

/// Whether a category of Azure Monitor is one of these logs.
pub fn is_exported(category: &str) -> bool {
    CATEGORIES.iter().any(|name| name.eq_ignore_ascii_case(category))
}

/// Whether a record is a risk detection or a risky user as Graph gives them.
pub fn is_flat(record: &Json<'_>) -> bool {
    let has_risk = record.has("riskState") && record.has("riskLevel");
    has_risk && (record.has("riskEventType") || record.has("riskLastUpdatedDateTime"))
}

/// Adds the event of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    const TIMES: [&str; 8] = [
        "properties.activityDateTime",
        "properties.riskLastUpdatedDateTime",
        "properties.timeGenerated",
        "activityDateTime",
        "detectedDateTime",
        "riskLastUpdatedDateTime",
        "time",
        "TimeGenerated",
    ];
    let mut fields = Fields::new(record);
    let body = body(record);
    let mut event = fields.event(&TIMES, if is_compromise(body) { Action::Compromise } else { Action::Other });
    let mut first =
        |names: &[&'static str]| names.iter().find_map(|name| real_id(fields.text_of(name, body.get(name))));
    // A risk keeps its id while its state changes, and a risky user has the user's: each state is an event.
    event.event_id = if body.has("riskState") { None } else { first(&["id", "requestId"]) };
    event.subject_id = first(&["userPrincipalName", "userId", "servicePrincipalId"]);
    event.client_id = first(&["appId"]);
    event.session_id = first(&["sessionId", "C_Sid"]);
    event.token_id = first(&["signInActivityId"]);
    event.device_id = first(&["deviceId", "C_DeviceId"]);
    event.user_agent = first(&["userAgent"]);
    event.source_event = fields.text("category").or_else(|| body.get("riskEventType").cow());
    event.ip = address(&mut fields, "ipAddress", body.get("ipAddress"));
    event.country = country(text_in(&mut fields, "location.countryOrRegion", body.get("location"), "countryOrRegion"));
    event.issued_at = fields.time_of("tokenIssuedAt", body.get("tokenIssuedAt"));
    fields.finish(event, out)
}

fn is_compromise(body: &Json<'_>) -> bool {
    let says = |key: &str, word: &str| body.get(key).text().is_some_and(|text| text.eq_ignore_ascii_case(word));
    let is_settled =
        says("riskState", "dismissed") || says("riskState", "remediated") || says("riskState", "confirmedSafe");
    let is_confirmed = says("riskState", "confirmedCompromised")
        || says("riskDetail", "adminConfirmedUserCompromised")
        || says("riskDetail", "adminConfirmedServicePrincipalCompromised");
    !is_settled && (is_confirmed || says("riskEventType", "leakedCredentials"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_risk_is_a_compromise_only_where_it_is_sure() {
        for (risk, expected) in [
            (r#""riskEventType":"unfamiliarFeatures","riskState":"atRisk""#, false),
            (r#""riskEventType":"leakedCredentials","riskState":"atRisk""#, true),
            (r#""riskEventType":"leakedCredentials","riskState":"remediated""#, false),
            (r#""riskDetail":"adminConfirmedUserCompromised","riskState":"atRisk""#, true),
            (r#""riskState":"confirmedCompromised""#, true),
        ] {
            let record = format!("{{{risk}}}");
            assert_eq!(is_compromise(&Json::parse(record.as_bytes()).unwrap()), expected, "{risk}");
        }
    }

    #[test]
    fn use_of_graph_names_the_token_it_used() {
        let record = br#"{"time":"2026-03-01T10:00:00Z","category":"MicrosoftGraphActivityLogs","callerIpAddress":"192.0.2.1",
            "properties":{"timeGenerated":"2026-03-01T09:59:00Z","userId":"u-1","signInActivityId":"uti-1","sessionId":"s-1"}}"#;
        let record = Json::parse(record).unwrap();
        let mut out = Vec::new();
        decode(&record, &mut out).unwrap();
        assert_eq!(out[0].action, Action::Other);
        assert_eq!((out[0].token_id.as_deref(), out[0].session_id.as_deref()), (Some("uti-1"), Some("s-1")));
        assert_eq!(out[0].ip.as_deref(), Some("192.0.2.1"));
    }
}
