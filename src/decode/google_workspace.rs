//! Google Workspace activities, as the Reports API gives them, flattened to one event a record, or as Cloud Logging has
//! them when they are shared with Google Cloud ("Audit logs for Google Workspace"): the same events and parameters inside
//! an entry of an audit log.
//!
//! What events mean and which parameters they have is from the appendix of the Reports API reference: the pages "OAuth
//! Token", "Login", "Mobile", "Admin: User Settings" and "Admin: Mobile Settings Audit Activity Events". The powerwash of
//! the Chrome audit events is known from records only.
//!
//! - An activity may hold several events; each gives one, in their order.
//! - Google logs no refresh and no token id: a grant is known by its user and client.
//! - `authorize` of a connected device is a device code grant: such clients have no other.
//! - An application-specific password is a token of its own (`ASP_ID`), so revoking it touches nothing else.
//! - A wipe counts when it is asked for and again when it is done; cancelling it brings the device back.
//! - Google disables accounts itself. A leaked password or a hijacked account is a compromise, the rest an offboarding.
//! - A rooted phone (`DEVICE_COMPROMISED_EVENT`) is neither lost nor a leaked credential: other. So is the use of a token.

use std::borrow::Cow;

use super::fields::{Fields, outcome};
use super::json::Json;
use crate::event::{Action, Event, Rejection, Text, time};

/// What a record must have.
pub const SHAPE: &str =
    "id.applicationName, with events or a name; or protoPayload with serviceName and events with eventName in metadata";

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    let is_reported = record.at("id.applicationName").text().is_some() && (record.has("events") || record.has("name"));
    is_reported || is_logged(record)
}

fn is_logged(record: &Json<'_>) -> bool {
    let events = record.at("protoPayload.metadata.event").items();
    record.at("protoPayload.serviceName").text().is_some() && events.iter().any(|event| event.has("eventName"))
}

/// Where things stand.
struct Layout {
    time: &'static str,
    qualifier: &'static str,
    actor: &'static str,
    address: &'static str,
    /// In an event.
    name: &'static str,
    kind: &'static str,
    parameters: &'static str,
}

static REPORTED: Layout = Layout {
    time: "id.time",
    qualifier: "id.uniqueQualifier",
    actor: "actor.email",
    address: "ipAddress",
    name: "name",
    kind: "type",
    parameters: "parameters",
};

static LOGGED: Layout = Layout {
    time: "timestamp",
    qualifier: "protoPayload.metadata.activityId.uniqQualifier",
    actor: "protoPayload.authenticationInfo.principalEmail",
    address: "protoPayload.requestMetadata.callerIp",
    name: "eventName",
    kind: "eventType",
    parameters: "parameter",
};

/// Adds the events of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let (layout, events) = if is_logged(record) {
        (&LOGGED, record.at("protoPayload.metadata.event").items())
    } else if record.has("events") {
        (&REPORTED, record.get("events").items())
    } else {
        (&REPORTED, std::slice::from_ref(record))
    };
    events.iter().try_for_each(|event| Activity { record, event, layout }.decode(out))
}

/// One event, and the activity it stands in.
struct Activity<'a> {
    record: &'a Json<'a>,
    event: &'a Json<'a>,
    layout: &'static Layout,
}

/// Parameters that name a device, the most particular first.
const DEVICES: [&str; 5] = ["DEVICE_ID", "DIRECTORY_DEVICE_ID", "RESOURCE_ID", "SERIAL_NUMBER", "DEVICE_NAME"];

/// Parameters that name whom an event is about.
const TARGETS: [&str; 3] = ["USER_EMAIL", "affected_email_address", "DEVICE_USER"];

impl<'a> Activity<'a> {
    fn name(&self) -> &'a str {
        self.event.get(self.layout.name).text().unwrap_or_default()
    }

    /// The application, which Cloud Logging names by its service.
    fn application(&self) -> &'a str {
        let service = || self.record.at("protoPayload.serviceName").text()?.split('.').next();
        match self.record.at("id.applicationName").text().or_else(service).unwrap_or_default() {
            "oauth2" => "token",
            name => name,
        }
    }

    fn decode(&self, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
        let mut fields = Fields::new(self.record);
        let layout = self.layout;
        let (application, name) = (self.application(), self.name());
        let mut event = fields.event(&[layout.time], self.action(application, name));
        event.outcome = outcome(!["_failure", "_FAILURE", "_failed"].iter().any(|end| name.ends_with(end)));
        event.source_event = (!name.is_empty()).then(|| Cow::Owned(format!("{application}.{name}")));
        if name.is_empty() {
            fields.note("name: an event without one".to_owned());
        }
        if time::PLAUSIBLE.contains(&event.event_time) {
            // The qualifier tells only activities of one moment apart; of a flattened activity each event is a record.
            let id = fields.id(layout.qualifier);
            event.event_id = id.map(|id| Cow::Owned(format!("{}/{id}/{name}", event.event_time)));
        }

        let actor = fields.text(layout.actor).or_else(|| fields.id("actor.profileId"));
        let target = TARGETS.iter().find_map(|name| self.text(&mut fields, name));
        // What administrators do must not hit themselves for want of a target.
        let is_done_to = matches!(application, "admin" | "chrome") && event.action != Action::Other;
        if is_done_to && target.is_none() && !matches!(event.action, Action::DeviceLost | Action::DeviceRecovered) {
            fields.note("USER_EMAIL: missing".to_owned());
        }
        event.subject_id = if is_done_to { target } else { target.or_else(|| actor.clone()) };
        let is_other = |actor: &Cow<'_, str>| !event.subject_id.as_ref().is_some_and(|subject| same(subject, actor));
        event.actor_id = actor.filter(is_other);
        event.ip = fields.ip(layout.address);
        event.country = fields.text("networkInfo.regionCode");
        event.asn = self.record.at("networkInfo.ipAsn").items().first().and_then(Json::integer);
        match application {
            "token" => self.token(&mut fields, &mut event),
            "admin" | "mobile" | "chrome" => self.device(&mut fields, &mut event),
            _ if self.event.get(layout.kind).text().is_some_and(|kind| kind.starts_with("device_")) => {
                self.device(&mut fields, &mut event);
            }
            _ => {}
        }
        // Signing a user out everywhere is meant to end all there is; what else ends something names it.
        if name != "RESET_SIGNIN_COOKIES" && event.device_id.is_none() {
            fields.is_of_one_token(&mut event);
        }
        fields.finish(event, out)
    }

    /// The device, and what an administrator took away.
    fn device(&self, fields: &mut Fields<'a>, event: &mut Event<'a>) {
        event.device_id = DEVICES.iter().find_map(|name| self.id(fields, name));
        match self.name() {
            "REVOKE_3LO_TOKEN" => event.client_id = self.id(fields, "APP_ID"),
            "REVOKE_ASP" => {
                event.token_id = self.id(fields, "ASP_ID");
                event.token_kind = Some(Cow::Borrowed("other"));
            }
            _ => {}
        }
    }

    /// The grant of an application, and what it may do.
    fn token(&self, fields: &mut Fields<'a>, event: &mut Event<'a>) {
        event.client_id = self.text(fields, "client_id");
        let kind = self.parameter("client_type").text().unwrap_or_default();
        event.client_kind = match kind {
            "WEB" => Some(Cow::Borrowed("web")),
            "NATIVE_ANDROID" | "NATIVE_IOS" => Some(Cow::Borrowed("mobile")),
            _ => None,
        };
        if event.action == Action::Issue && kind == "CONNECTED_DEVICE" {
            event.grant_type = Some(Cow::Borrowed("device_code"));
        }
        event.scopes = fields.scopes_of("scope", self.parameter("scope"));
        if event.scopes.is_empty() {
            // Each scope with the product it belongs to.
            let data = self.parameter("scope_data").items().iter();
            let names = data.map(|item| item.get("parameter").item_where("name", "scope_name").get("value"));
            event.scopes = names.filter_map(Json::cow).take(super::SCOPES_MAX).collect();
        }
    }

    fn action(&self, application: &str, name: &str) -> Action {
        let is_wipe = || matches!(self.parameter("ACTION_TYPE").text(), Some("DEVICE_WIPE" | "ACCOUNT_WIPE"));
        match (application, name) {
            ("token", "authorize") => Action::Issue,
            ("token", "revoke") => Action::Revoke,
            ("login", "logout") => Action::Logout,
            ("login", "account_disabled_hijacked" | "account_disabled_password_leak") => Action::Compromise,
            ("login", name) if name.starts_with("account_disabled_") => Action::Offboard,
            ("admin", "SUSPEND_USER" | "DELETE_USER" | "ARCHIVE_USER") => Action::Offboard,
            ("admin", "UNSUSPEND_USER" | "UNDELETE_USER" | "UNARCHIVE_USER") => Action::Reinstate,
            ("admin", "REVOKE_3LO_TOKEN" | "REVOKE_3LO_DEVICE_TOKENS" | "RESET_SIGNIN_COOKIES" | "REVOKE_ASP") => {
                Action::Revoke
            }
            ("admin", "ACTION_REQUESTED") if is_wipe() => Action::DeviceLost,
            ("admin", "ACTION_REQUESTED") if self.parameter("ACTION_TYPE").text() == Some("REVOKE_TOKEN") => {
                Action::Revoke
            }
            ("admin", "ACTION_CANCELLED") if is_wipe() => Action::DeviceRecovered,
            ("admin", "MOBILE_DEVICE_WIPE" | "MOBILE_ACCOUNT_WIPE" | "COMPANY_OWNED_DEVICE_WIPED") => {
                Action::DeviceLost
            }
            ("admin", "MOBILE_DEVICE_CANCEL_WIPE_THEN_APPROVE") => Action::DeviceRecovered,
            ("mobile", "DEVICE_ACTION_EVENT")
                if is_wipe() && self.parameter("ACTION_EXECUTION_STATUS").text() == Some("EXECUTED") =>
            {
                Action::DeviceLost
            }
            ("chrome", "CHROMEOS_POWERWASH_INITIATED") => Action::DeviceLost,
            _ => Action::Other,
        }
    }

    /// The value of a parameter: of a list of named values as Google writes it, or of an object as exports flatten it.
    fn parameter(&self, name: &str) -> &'a Json<'a> {
        const VALUES: [&str; 7] =
            ["value", "multiValue", "multiStrValue", "intValue", "boolValue", "multiIntValue", "multiMessageValue"];
        let parameters = self.event.get(self.layout.parameters);
        let flattened = parameters.get(name);
        if !flattened.is_null() {
            return flattened;
        }
        let found = parameters.item_where("name", name);
        VALUES.iter().map(|key| found.get(key)).find(|value| !value.is_null()).unwrap_or(flattened)
    }

    fn text(&self, fields: &mut Fields<'a>, name: &str) -> Text<'a> {
        fields.text_of(name, self.parameter(name))
    }

    fn id(&self, fields: &mut Fields<'a>, name: &str) -> Text<'a> {
        fields.id_of(name, self.parameter(name))
    }
}

/// Google writes one address in several cases.
fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

#[cfg(test)]
mod tests;
