//! Intune: the audit log, as Azure Monitor exports it or Graph gives it, and reports on devices.
//!
//! From "auditEvent resource type" and "managedDevice resource type" (its actions) of Microsoft Graph, the table
//! IntuneAuditLogs of Azure Monitor and "Send log data to storage, Event Hubs, or Log Analytics in Intune". An operation
//! is a verb and the kind of thing it was done to, in varying case: `wipe ManagedDevice`. Who did it is an administrator;
//! the device is named by its id in Entra where that is among the changed properties, as sign-ins name it.

use super::{body, real_id};
use crate::decode::fields::{Fields, outcome};
use crate::decode::json::Json;
use crate::event::{Action, Event, Rejection, Text};

/// Most devices that one record may act on.
const DEVICES_MAX: usize = 1024;

/// Whether a record is of the audit log, as Azure Monitor exports it: directory audit has the same category.
pub fn is_audit(category: &str, properties: &Json<'_>) -> bool {
    let is_audit_log = category.is_empty() || category.to_ascii_lowercase().ends_with("auditlogs");
    is_audit_log
        && (properties.has("ActivityDate") || (properties.has("ActivityResultStatus") && properties.has("Actor")))
}

/// Whether a record is a report on a device.
pub fn is_report(category: &str, properties: &Json<'_>) -> bool {
    const REPORTS: [&str; 3] = ["OperationalLogs", "DeviceComplianceOrg", "Devices"];
    const DEVICE: [&str; 3] = ["IntuneAccountId", "IntuneDeviceId", "DeviceId"];
    REPORTS.iter().any(|report| report.eq_ignore_ascii_case(category)) && DEVICE.iter().any(|key| properties.has(key))
}

/// Whether an operation is done to a device: its last word is the kind of thing.
fn is_about_device(operation: &str) -> bool {
    operation.trim().rsplit(' ').next().is_some_and(|thing| thing.eq_ignore_ascii_case("ManagedDevice"))
}

/// What an operation means for the device it names. `None`: nothing about tokens.
fn meaning(operation: &str) -> Option<Action> {
    const LOST: [&str; 5] = ["wipe", "retire", "delete", "cleanWindowsDevice", "enableLostMode"];
    let (verb, thing) = operation.trim().rsplit_once(' ')?;
    let is = |name: &&str| name.eq_ignore_ascii_case(verb.trim());
    if !thing.eq_ignore_ascii_case("ManagedDevice") {
        None
    } else if LOST.iter().any(is) {
        Some(Action::DeviceLost)
    } else {
        is(&"disableLostMode").then_some(Action::DeviceRecovered)
    }
}

/// Adds the events of a record: one for each device.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    const TIMES: [&str; 4] = ["properties.ActivityDate", "activityDateTime", "time", "TimeGenerated"];
    let mut fields = Fields::new(record);
    let body = body(record);
    let operation = fields.text("operationName").or_else(|| fields.text("activityType"));
    let known = meaning(operation.as_deref().unwrap_or_default());
    let mut event = fields.event(&TIMES, known.unwrap_or(Action::Other));
    event.source_event = operation;
    event.event_id = ["AuditEventId", "id"].into_iter().find_map(|key| fields.id_of(key, body.get(key)));
    event.outcome = outcome(succeeded(record, body));
    event.ip = fields.ip_of("actor.ipAddress", body.at("Actor.ipAddress"));
    let actor = actor(body, &mut fields);
    if known.is_none() {
        event.subject_id = actor.or_else(|| fields.text_of("UPN", body.get("UPN")));
        event.device_id = reported_device(body, &mut fields);
        if event.device_id.is_none() && is_about_device(event.source_event.as_deref().unwrap_or_default()) {
            event.device_id = devices(body, &mut fields).into_iter().next().flatten();
        }
        return fields.finish(event, out);
    }
    event.actor_id = actor;
    let mut devices = devices(body, &mut fields);
    event.device_id = devices.pop().flatten();
    for device_id in devices {
        fields.push(Event { device_id, ..event.clone() }, out);
    }
    fields.finish(event, out)
}

/// Who did it: a person by name, else by id, else an application.
fn actor<'a>(body: &'a Json<'a>, fields: &mut Fields<'a>) -> Text<'a> {
    const NAMES: [&str; 7] =
        ["UPN", "userPrincipalName", "ObjectId", "userId", "servicePrincipalName", "Application", "applicationId"];
    let actor = body.get("Actor");
    NAMES.into_iter().find_map(|name| real_id(fields.text_of(name, actor.get(name))))
}

/// In a word, or in a number of which 1 is success. What says neither did not fail.
fn succeeded(record: &Json<'_>, body: &Json<'_>) -> bool {
    const FAILED: [&str; 3] = ["failure", "failed", "fail"];
    let is_failed = |word: &str| FAILED.iter().any(|failed| failed.eq_ignore_ascii_case(word));
    let words = [record.get("resultType"), body.get("activityResult")];
    let status = body.get("ActivityResultStatus").integer();
    !words.into_iter().filter_map(Json::text).any(is_failed) && status.is_none_or(|status| status == 1)
}

/// The devices that were acted on, the last one at the end. At least one, maybe without an id.
fn devices<'a>(body: &'a Json<'a>, fields: &mut Fields<'a>) -> Vec<Text<'a>> {
    let named = |target: &'a Json<'a>, name: &str, new: &str, old: &str| {
        let property = target.get("ModifiedProperties").item_where(name, "AzureADDeviceId");
        [property.get(new), property.get(old)].into_iter().find_map(|value| real_id(value.cow()))
    };
    let resources = body.get("resources").items();
    let mut found: Vec<Text<'a>> = if resources.is_empty() {
        let (ids, targets) = (body.get("TargetObjectIds").items(), body.get("Targets").items());
        let count = ids.len().max(targets.len()).min(DEVICES_MAX);
        let device = |index: usize| {
            let target = targets.get(index).and_then(|target| named(target, "Name", "New", "Old"));
            target.or_else(|| real_id(fields.text_of("TargetObjectIds", ids.get(index)?)))
        };
        (0..count).map(device).collect()
    } else {
        let of_device = |resource: &&'a Json<'a>| {
            resource.get("auditResourceType").text().is_none_or(|kind| kind.to_ascii_lowercase().contains("device"))
        };
        let device = |resource: &'a Json<'a>| {
            let target = named(resource, "displayName", "newValue", "oldValue");
            target.or_else(|| real_id(fields.text_of("resources.resourceId", resource.get("resourceId"))))
        };
        resources.iter().filter(of_device).take(DEVICES_MAX).map(device).collect()
    };
    if found.is_empty() {
        found.push(None);
    }
    found
}

/// The device that a report is about: by its id in Entra if that stands there.
fn reported_device<'a>(body: &'a Json<'a>, fields: &mut Fields<'a>) -> Text<'a> {
    const IDS: [&str; 4] = ["ReferenceId", "AADDeviceId", "IntuneDeviceId", "DeviceId"];
    IDS.into_iter().find_map(|name| real_id(fields.text_of(name, body.get(name))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices(record: &str) -> Vec<(&'static str, Option<String>)> {
        let record = Json::parse(record.as_bytes()).unwrap();
        let mut out = Vec::new();
        decode(&record, &mut out).unwrap();
        out.iter().map(|event| (event.action.as_str(), event.device_id.as_deref().map(str::to_owned))).collect()
    }

    #[test]
    fn an_operation_is_a_verb_and_a_device() {
        for (operation, action) in [
            ("wipe ManagedDevice", Some(Action::DeviceLost)),
            ("Delete manageddevice", Some(Action::DeviceLost)),
            ("disableLostMode ManagedDevice", Some(Action::DeviceRecovered)),
            ("rename device ManagedDevice", None),
            ("Delete DeviceConfiguration", None),
            ("wipe", None),
        ] {
            assert_eq!(meaning(operation), action, "{operation}");
        }
    }

    #[test]
    fn every_device_of_a_bulk_action_has_its_event() {
        let record = r#"{"time":"2026-03-01T10:00:00Z","category":"AuditLogs","operationName":"retire ManagedDevice",
            "properties":{"ActivityDate":"3/1/2026 10:00:00 AM","TargetObjectIds":["one","two","three"],
            "Targets":[{"ModifiedProperties":[{"Name":"AzureADDeviceId","New":"entra-1"}]},
                       {"ModifiedProperties":[{"Name":"AzureADDeviceId","New":"00000000-0000-0000-0000-000000000000"}]}]}}"#;
        let of = |id: &str| ("device_lost", Some(id.to_owned()));
        assert_eq!(devices(record), [of("entra-1"), of("two"), of("three")]);
    }

    #[test]
    fn graph_says_the_same_in_other_words() {
        let record = r#"{"activityDateTime":"2026-03-01T10:00:00Z","activityType":"wipe ManagedDevice",
            "activityResult":"Success","actor":{"userPrincipalName":"admin@example.com"},
            "resources":[{"auditResourceType":"Microsoft.Management.Services.Api.ManagedDevice","resourceId":"intune-1"}]}"#;
        assert_eq!(devices(record), [("device_lost", Some("intune-1".to_owned()))]);
    }

    #[test]
    fn an_action_without_a_device_is_still_told() {
        let record =
            r#"{"time":"2026-03-01T10:00:00Z","operationName":"wipe ManagedDevice","properties":{"ActivityDate":"x"}}"#;
        let record = Json::parse(record.as_bytes()).unwrap();
        let mut out = Vec::new();
        assert!(decode(&record, &mut out).unwrap_err().0.starts_with("properties.ActivityDate"));
        assert_eq!(out.len(), 1, "shown beside the rejection");
    }
}
