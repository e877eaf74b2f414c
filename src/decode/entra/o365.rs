//! Records of the Office 365 Management Activity API: the copy of sign-ins and directory audit in Microsoft 365.
//!
//! From "Office 365 Management Activity API schema" (common schema, Azure Active Directory schemas). Operations are the
//! activities of directory audit with a full stop behind them. People and things stand in lists of typed ids: type 5 is
//! the name of a person, 2 an id. Times are UTC without a zone, addresses may carry a port. A sign-in asks for a token
//! only where its request type says so; whether a refresh token was presented is not told.

use std::borrow::Cow;

use super::audit::{self, About, bare, of_change, undeleted};
use super::real_id;
use crate::decode::fields::{Fields, outcome};
use crate::decode::json::Json;
use crate::event::{Action, Event, Rejection, Text};

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    const BESIDE: [&str; 3] = ["Workload", "RecordType", "AzureActiveDirectoryEventType"];
    record.get("Operation").text().is_some() && BESIDE.iter().any(|key| record.has(key))
}

/// Adds the event of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let mut fields = Fields::new(record);
    let name = record.get("Operation").text().unwrap_or_default();
    let is_sign_in = ["UserLoggedIn", "UserLoginFailed"].iter().any(|login| login.eq_ignore_ascii_case(name));
    let found = audit::meaning(name);
    let action = match found {
        Some((action, about)) => of_change(action, about, |property| change(record, property)),
        None if is_sign_in && asks_for_token(record) => Action::Issue,
        None => Action::Other,
    };
    let about = found.map(|(_, about)| about).filter(|_| action != Action::Other);
    let mut event = fields.event(&["CreationTime"], action);
    event.event_id = fields.id("Id");
    event.source_event = fields.text("Operation");
    event.outcome = outcome(succeeded(record, name));
    event.ip = fields.ip("ClientIP").or_else(|| fields.ip("ActorIpAddress"));
    event.user_agent = property(record, "UserAgent").get("Value").cow();
    let actor = actor(record, &mut fields);
    match about {
        None => event.subject_id = actor,
        Some(about) => {
            event.subject_id = target(record, about, &mut fields);
            event.actor_id = actor.filter(|actor| event.subject_id.as_ref() != Some(actor));
        }
    }
    match about {
        Some(About::Device) => event.device_id = target_device(record, &mut fields),
        Some(About::Consent) => {
            event.client_id = bare(change(record, "ServicePrincipal.AppId").0).map(Into::into);
            fields.is_of_one_token(&mut event);
        }
        Some(About::Person) => {}
        None => {
            event.client_id = real_id(fields.text("ApplicationId"));
            event.device_id = real_id(device_property(record, "Id"));
            event.session_id = real_id(device_property(record, "SessionId"));
        }
    }
    if is_sign_in {
        event.subject_kind = Some("human".into());
    }
    fields.finish(event, out)
}

fn property<'a>(record: &'a Json<'a>, name: &str) -> &'a Json<'a> {
    record.get("ExtendedProperties").item_where("Name", name)
}

fn device_property<'a>(record: &'a Json<'a>, name: &str) -> Text<'a> {
    record.get("DeviceProperties").item_where("Name", name).get("Value").cow()
}

fn change<'a>(record: &'a Json<'a>, property: &str) -> (&'a Json<'a>, &'a Json<'a>) {
    let found = record.get("ModifiedProperties").item_where("Name", property);
    (found.get("OldValue"), found.get("NewValue"))
}

fn asks_for_token(record: &Json<'_>) -> bool {
    let kind = property(record, "RequestType").get("Value").text();
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case("OAuth2:Token"))
}

/// A failed sign-in may still say that its record succeeded.
fn succeeded(record: &Json<'_>, name: &str) -> bool {
    let is_failed_login = name.eq_ignore_ascii_case("UserLoginFailed") || record.get("LogonError").text().is_some();
    let status = record.get("ResultStatus").text().unwrap_or_default();
    let is_failed = ["Failed", "Failure", "False"].iter().any(|word| word.eq_ignore_ascii_case(status));
    !is_failed_login && !is_failed && record.get("ErrorNumber").integer().is_none_or(|code| code == 0)
}

/// The first id of one type in a list of typed ids.
fn typed<'a>(list: &'a Json<'a>, kind: i64) -> &'a Json<'a> {
    let found = list.items().iter().find(|item| item.get("Type").integer() == Some(kind));
    found.map_or(&Json::Null, |item| item.get("ID"))
}

/// Who did it: by name where one stands.
fn actor<'a>(record: &'a Json<'a>, fields: &mut Fields<'a>) -> Text<'a> {
    let user = real_id(fields.text("UserId"));
    let name =
        if user.as_deref().is_some_and(|user| user.contains('@')) { None } else { typed(record.get("Actor"), 5).cow() };
    name.or(user).or_else(|| typed(record.get("Actor"), 0).cow())
}

/// Whom it is about: the name, else the id.
fn target<'a>(record: &'a Json<'a>, about: About, fields: &mut Fields<'a>) -> Text<'a> {
    let list = record.get("Target");
    let id = list.items().iter().map(|item| item.get("ID")).filter_map(Json::text).find(|id| is_guid(id));
    let name = typed(list, 5).cow();
    let named = name.or_else(|| if about == About::Person { fields.text("ObjectId") } else { None });
    let named = named.map(|name| undeleted(name, id));
    named.or_else(|| if about == About::Person { id.map(Into::into) } else { None })
}

/// The device: by the id that sign-ins name it by, which stands in JSON in text, else by its object id.
fn target_device<'a>(record: &'a Json<'a>, fields: &mut Fields<'a>) -> Text<'a> {
    let details = property(record, "additionalDetails").get("Value").text().unwrap_or_default();
    let stated = Json::parse(details.as_bytes()).ok().and_then(|tree| Some(tree.get("DeviceId").text()?.to_owned()));
    let ids = record.get("Target").items().iter().map(|item| item.get("ID")).filter_map(Json::text);
    let object = ids.map(|id| id.strip_prefix("Device_").unwrap_or(id)).find(|id| is_guid(id));
    real_id(stated.map(Cow::Owned)).or_else(|| object.map(Into::into)).or_else(|| fields.text("ObjectId"))
}

fn is_guid(text: &str) -> bool {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') && text.split('-').map(str::len).eq(GROUPS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Outcome;

    fn with<T>(rest: &str, look: impl Fn(&Event<'_>) -> T) -> T {
        let record =
            format!(r#"{{"CreationTime":"2026-03-01T10:00:00","RecordType":8,"UserId":"admin@example.com",{rest}}}"#);
        let record = Json::parse(record.as_bytes()).unwrap();
        let mut out = Vec::new();
        decode(&record, &mut out).unwrap();
        look(&out[0])
    }

    #[test]
    fn only_a_request_for_a_token_is_one() {
        let sign_in = |operation: &str, request: &str| {
            format!(
                r#""Operation":"{operation}","ResultStatus":"Success","ClientIP":"[2001:db8::1]:4431",
                    "ExtendedProperties":[{{"Name":"RequestType","Value":"{request}"}}]"#
            )
        };
        for (operation, request, action, outcome) in [
            ("UserLoggedIn", "OAuth2:Token", Action::Issue, Outcome::Success),
            ("UserLoginFailed", "OAuth2:Token", Action::Issue, Outcome::Failure),
            ("UserLoggedIn", "Login:login", Action::Other, Outcome::Success),
            ("UserLoginFailed", "OAuth2:Authorize", Action::Other, Outcome::Failure),
        ] {
            with(&sign_in(operation, request), |event| {
                assert_eq!((event.action, event.outcome), (action, outcome), "{operation} {request}");
                assert_eq!(event.ip.as_deref(), Some("2001:db8::1"));
            });
        }
    }

    #[test]
    fn a_full_stop_changes_nothing() {
        let target = r#""Target":[{"ID":"User_6ccd1bd1-a2b5-4a3f-8a87-3f1a4f3a0c11","Type":2},
            {"ID":"6ccd1bd1-a2b5-4a3f-8a87-3f1a4f3a0c11","Type":2},
            {"ID":"6ccd1bd1a2b54a3f8a873f1a4f3a0c11ada@example.com","Type":5}]"#;
        with(&format!(r#""Operation":"Delete user.",{target}"#), |event| {
            assert_eq!(event.action, Action::Offboard);
            assert_eq!(event.subject_id.as_deref(), Some("ada@example.com"));
            assert_eq!(event.actor_id.as_deref(), Some("admin@example.com"));
        });
    }

    #[test]
    fn a_device_is_found_in_the_details() {
        let target =
            r#""Operation":"Delete device.","Target":[{"ID":"Device_6ccd1bd1-a2b5-4a3f-8a87-3f1a4f3a0c11","Type":2}]"#;
        let device = |event: &Event<'_>| event.device_id.as_deref().map(str::to_owned);
        assert_eq!(with(target, device).as_deref(), Some("6ccd1bd1-a2b5-4a3f-8a87-3f1a4f3a0c11"));
        let details = format!(
            r#"{target},"ExtendedProperties":[{{"Name":"additionalDetails","Value":"{{\"DeviceId\":\"dev-1\"}}"}}]"#
        );
        assert_eq!(with(&details, device).as_deref(), Some("dev-1"));
        assert!(with(target, |event| event.subject_id.is_none()));
    }
}
