//! JumpCloud Directory Insights.
//!
//! Event types and attributes are those of JumpCloud's "Directory Insights API": `resource` is what an event is about,
//! `initiated_by` who caused it, `changes` what an update changed. Older events do not name their service.

use super::fields::{Fields, outcome};
use super::json::Json;
use crate::event::{Action, Event, Rejection, Text};

/// What a record must have.
pub const SHAPE: &str = "event_type, organization or service, and timestamp";

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    let has_one = |keys: &[&str]| keys.iter().any(|key| record.has(key));
    let is_event = record.get("event_type").text().is_some() && has_one(&["organization", "service"]);
    is_event && has_one(&["timestamp", "initiated_by", "client_ip"])
}

/// Adds the events of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let mut fields = Fields::new(record);
    let name = record.get("event_type").text().unwrap_or_default();
    let mut event = fields.event(&["timestamp", "server_timestamp"], action(name, record));
    event.event_id = fields.text("id");
    event.source_event = fields.text("event_type");
    let succeeded = fields.boolean("success").or_else(|| fields.boolean("sso_token_success"));
    event.outcome = outcome(succeeded != Some(false));
    event.ip = fields.ip("client_ip");
    event.country = fields.text("geoip.country_code").or_else(|| fields.text("geoip.country_code2"));
    event.user_agent = fields.text("useragent.name");
    event.client_id = fields.id("application.id");
    if matches!(event.action, Action::Other | Action::DeviceLost) {
        event.device_id = device(&mut fields, record);
    }

    let resource = person(&mut fields, ["resource.email", "resource.username", "resource.id"]);
    let initiator = person(&mut fields, ["initiated_by.email", "initiated_by.username", "initiated_by.id"]);
    // A resource that does not say what it is is one if the event is about people.
    let is_other = event.action == Action::Other;
    let is_person = record.at("resource.type").text().map_or(!is_other, |kind| PEOPLE.contains(&kind));
    event.subject_id = resource.filter(|_| is_person);
    if is_other && event.subject_id.is_none() {
        event.subject_id = initiator.clone().or_else(|| fields.text("username"));
    }
    event.actor_id = initiator.filter(|actor| Some(actor) != event.subject_id.as_ref());
    fields.finish(event, out)
}

/// Types of a resource that are people.
const PEOPLE: [&str; 4] = ["user", "systemuser", "admin", "person"];

fn action(name: &str, record: &Json<'_>) -> Action {
    match name {
        "user_suspended" | "user_delete" | "admin_suspended" | "admin_delete" => Action::Offboard,
        "user_unsuspended" | "user_activated" | "admin_unsuspend" => Action::Reinstate,
        "user_update" | "systemuser_update" | "admin_update" => update(record.get("changes")),
        "system_delete" => Action::DeviceLost,
        "mdm_command_result" if is_wiped(record) => Action::DeviceLost,
        _ => Action::Other,
    }
}

/// Whether a device did as it was told and erased itself.
fn is_wiped(record: &Json<'_>) -> bool {
    let says = |key: &str, word: &str| record.get(key).text() == Some(word);
    says("request_type", "EraseDevice") && says("status", "Acknowledged")
}

/// Suspending a user is an update too.
fn update(changes: &Json<'_>) -> Action {
    let change = |field: &str| changes.item_where("field", field);
    let suspended = change("suspended").get("to").boolean();
    let (from, to) = (change("state").get("from").text(), change("state").get("to").text());
    match (suspended, from, to) {
        (Some(true), ..) | (_, _, Some("SUSPENDED")) => Action::Offboard,
        (Some(false), ..) | (_, Some("SUSPENDED"), Some("ACTIVATED")) => Action::Reinstate,
        _ => Action::Other,
    }
}

/// Somebody, by e-mail address if that is shown.
fn person<'a>(fields: &mut Fields<'a>, paths: [&str; 3]) -> Text<'a> {
    paths.iter().find_map(|path| fields.text(path))
}

/// The computer an event is about, or that somebody came from.
fn device<'a>(fields: &mut Fields<'a>, record: &'a Json<'a>) -> Text<'a> {
    match record.at("resource.type").text() {
        Some("system" | "device") => fields.id("resource.id"),
        _ => ["system.id", "auth_context.system.id", "mdm_device_id"].into_iter().find_map(|path| fields.id(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(rest: &str) -> (Action, Option<String>, Option<String>) {
        let record = format!(
            r#"{{"timestamp":"2026-11-01T12:00:00.218Z","organization":"o","initiated_by":{{"type":"admin","email":"ada@example.com"}},{rest}}}"#
        );
        let record = Json::parse(record.as_bytes()).unwrap();
        assert!(is_mine(&record));
        let mut out = Vec::new();
        decode(&record, &mut out).unwrap();
        let text = |text: &Text<'_>| text.as_ref().map(ToString::to_string);
        (out[0].action, text(&out[0].subject_id), text(&out[0].device_id))
    }

    #[test]
    fn an_update_may_suspend_and_bring_back() {
        let update = |changes: &str| {
            let resource = r#""resource":{"type":"user","username":"bob"}"#;
            decoded(&format!(r#""event_type":"user_update",{resource},"changes":{changes}"#))
        };
        let bob = Some("bob".to_owned());
        for (changes, action) in [
            (r#"[{"field":"suspended","from":false,"to":true}]"#, Action::Offboard),
            (r#"[{"field":"state","from":"ACTIVATED","to":"SUSPENDED"}]"#, Action::Offboard),
            (r#"[{"field":"suspended","from":"true","to":"false"}]"#, Action::Reinstate),
            (r#"[{"field":"state","from":"SUSPENDED","to":"ACTIVATED"}]"#, Action::Reinstate),
        ] {
            assert_eq!(update(changes), (action, bob.clone(), None), "{changes}");
        }
        let other = update(r#"[{"field":"lastname","from":"a","to":"b"}]"#);
        assert_eq!(other, (Action::Other, bob, None));
    }

    #[test]
    fn a_system_that_is_deleted_is_lost_and_nobody_with_it() {
        let record = r#""event_type":"system_delete","resource":{"type":"system","id":"sys-1","hostname":"host-1"}"#;
        assert_eq!(decoded(record), (Action::DeviceLost, None, Some("sys-1".into())));
    }
}
