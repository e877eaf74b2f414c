//! Microsoft Entra: sign-ins, directory audit and the other logs of a tenant, Intune, and the copy of it all in
//! Microsoft 365.
//!
//! The same event comes in several coats. Azure Monitor exports it to Event Hubs with the fields under `properties`
//! ("Microsoft Entra activity logs in Azure Monitor", "Azure Monitor table reference"), Microsoft Graph gives it flat
//! ("signIn resource type", "directoryAudit resource type", "auditEvent resource type"), and the Office 365 Management
//! Activity API tells it once more in words of its own. Forwarders lower the case of keys and drop what is empty.
//! What all of them share is here; each log has a file below.

mod audit;
mod intune;
mod o365;
mod other;
mod signin;

use std::borrow::Cow;

use super::fields::Fields;
use super::json::Json;
use crate::event::{Event, Rejection, Text};

/// What a record must have.
pub const SHAPE: &str = "category and properties of a tenant's log; createdDateTime, appId and status; \
    activityDisplayName and activityDateTime; activityType and activityDateTime; or Operation and RecordType or Workload";

/// The logs that differ in where their fields are and what they mean.
#[derive(Clone, Copy, PartialEq)]
enum Log {
    SignIn,
    Audit,
    Intune,
    Office,
    Other,
}

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    log(record).is_some()
}

/// Adds the events of a record.
///
/// # Errors
/// No usable time, or a record of none of these logs.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    match log(record) {
        Some(Log::SignIn) => signin::decode(record, out),
        Some(Log::Audit) => audit::decode(record, out),
        Some(Log::Intune) => intune::decode(record, out),
        Some(Log::Office) => o365::decode(record, out),
        Some(Log::Other) => other::decode(record, out),
        None => Err(Rejection(format!("category: none of a log of Entra that is known; expected {SHAPE}"))),
    }
}

/// Which log a record is from. The category alone is not enough: other Azure services use some of the same words.
fn log(record: &Json<'_>) -> Option<Log> {
    let properties = record.get("properties");
    let category = record.get("category").text().unwrap_or_default();
    if properties.is_object() {
        exported(category, record, properties)
    } else if is_sign_in(category) {
        // Forwarders put what was under `properties` beside it.
        Some(Log::SignIn)
    } else if record.has("activityDateTime") {
        flat_activity(record)
    } else if signin::is_flat(record) {
        Some(Log::SignIn)
    } else if o365::is_mine(record) {
        Some(Log::Office)
    } else {
        other::is_flat(record).then_some(Log::Other)
    }
}

fn is_sign_in(category: &str) -> bool {
    category.len() >= 10 && category.to_ascii_lowercase().ends_with("signinlogs")
}

fn exported(category: &str, record: &Json<'_>, properties: &Json<'_>) -> Option<Log> {
    if is_sign_in(category) {
        Some(Log::SignIn)
    } else if intune::is_audit(category, properties) {
        Some(Log::Intune)
    } else if other::is_exported(category) {
        Some(Log::Other)
    } else if category.eq_ignore_ascii_case("AuditLogs") || properties.has("activityDisplayName") {
        Some(Log::Audit)
    } else if intune::is_report(category, properties) {
        Some(Log::Intune)
    } else {
        let resource = record.get("resourceId").text().unwrap_or_default().to_ascii_lowercase();
        resource.ends_with("/providers/microsoft.aadiam").then_some(Log::Other)
    }
}

fn flat_activity(record: &Json<'_>) -> Option<Log> {
    if record.has("activityDisplayName") {
        Some(Log::Audit)
    } else if record.has("activityType") && (record.has("activityOperationType") || record.has("componentName")) {
        Some(Log::Intune)
    } else {
        other::is_flat(record).then_some(Log::Other)
    }
}

/// Where the fields of a record are: under `properties` as Azure Monitor exports them, at the top as Graph gives them.
fn body<'a>(record: &'a Json<'a>) -> &'a Json<'a> {
    let properties = record.get("properties");
    if properties.is_object() { properties } else { record }
}

/// Text inside an object, which some exports write as JSON in text.
fn text_in<'a>(fields: &mut Fields<'a>, name: &str, whole: &'a Json<'a>, key: &str) -> Text<'a> {
    match whole {
        Json::Text(text) => {
            let tree = Json::parse(text.as_bytes()).ok()?;
            tree.get(key).text().map(|found| Cow::Owned(found.to_owned()))
        }
        _ => fields.text_of(name, whole.get(key)),
    }
}

/// An id made of zeros is none.
fn real_id<'a>(id: Text<'a>) -> Text<'a> {
    id.filter(|id| id.bytes().any(|byte| byte != b'0' && byte != b'-'))
}

/// Whether two names are the same to a reader: letters and digits decide, not case, blanks, hyphens or a full stop.
fn same_name(one: &str, other: &str) -> bool {
    fn letters(name: &str) -> impl Iterator<Item = u8> {
        name.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase())
    }
    letters(one).eq(letters(other))
}

/// The address in the record, or else the one on its envelope.
fn address<'a>(fields: &mut Fields<'a>, name: &str, stated: &'a Json<'a>) -> Text<'a> {
    let is_stated = !stated.is_null() && (stated.verbatim().is_none() || stated.text().is_some());
    if is_stated { fields.ip_of(name, stated) } else { fields.ip("callerIpAddress") }
}

/// A country code, where one stands.
fn country<'a>(stated: Text<'a>) -> Text<'a> {
    stated.filter(|code| code.len() == 2 && code.bytes().all(|letter| letter.is_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_of(record: &str) -> Option<Log> {
        log(&Json::parse(record.as_bytes()).unwrap())
    }

    #[test]
    fn logs_are_told_apart_by_what_is_in_them() {
        for (record, expected) in [
            (r#"{"category":"NonInteractiveUserSignInLogs","properties":{}}"#, Some(Log::SignIn)),
            (r#"{"category":"signinlogs","properties":{}}"#, Some(Log::SignIn)),
            (r#"{"category":"SignInLogs","time":"1/2/2026 1:00:00 PM"}"#, Some(Log::SignIn)),
            (r#"{"category":"UserManagement","properties":{"activityDisplayName":"Delete user"}}"#, Some(Log::Audit)),
            (r#"{"category":"AuditLogs","properties":{"ActivityDate":"1/2/2026 1:00:00 PM"}}"#, Some(Log::Intune)),
            (r#"{"category":"UserRiskEvents","properties":{"activityDateTime":"2026-01-01"}}"#, Some(Log::Other)),
            (r#"{"Operation":"Delete user.","CreationTime":"2026-01-01T00:00:00","RecordType":8}"#, Some(Log::Office)),
            (r#"{"category":"AuditEvent","properties":{"id":"https://vault.example.com"}}"#, None),
            (r#"{"category":"Devices","properties":{"port":22}}"#, None),
            (r#"{"time":1,"type":"LOGIN","realmId":"r"}"#, None),
        ] {
            assert!(log_of(record) == expected, "{record}");
        }
    }

    #[test]
    fn zeros_are_no_id_and_names_are_compared_by_their_letters() {
        assert_eq!(real_id(Some("00000000-0000-0000-0000-000000000000".into())), None);
        assert_eq!(real_id(Some("00000001".into())).as_deref(), Some("00000001"));
        assert!(same_name("Disable account.", "disable  ACCOUNT"));
        assert!(!same_name("Disable accounts", "Disable account"));
    }
}
