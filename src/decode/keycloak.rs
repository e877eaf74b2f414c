//! Keycloak: user events and admin events, as JSON or as lines of the server's log.
//!
//! Event types, details and resource paths are those of Keycloak's own source (EventType, Details, AdminEvent, the
//! resources of its admin API) and of the chapter "Configuring auditing to track events" of its server administration
//! guide. Listeners that send events to Kafka or a web hook serialise its Event and AdminEvent classes: fields have the
//! same names everywhere, at most with a wrapper around them, which an envelope is taken for. The listener that is on
//! by default, `jboss-logging`, writes the same names and values as text ([`line`]), at a level that leaves out what
//! succeeded; a log in JSON holds that text in `message`, beside the time. The rest of that log is [`server`].

mod admin;
mod line;
mod server;
mod user;

use std::borrow::Cow;

use super::fields::Fields;
use super::json::{Json, is_value};
use crate::event::{Action, Event, Rejection, Text};

/// What a record must have.
pub const SHAPE: &str = "type and realmId; operationType (or a type such as USER-UPDATE), resourceType and realmId; or \
    a line or message with type=\"...\" and realmId=\"...\", or of a logger of Keycloak";

/// Where the time is, best first.
const TIMES: [&str; 5] = ["time", "timestamp", "@timestamp", "eventTime", "ts"];

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    let is_event = match record {
        Json::Object(..) => is_admin(record) || is_user(record) || message(record).is_some_and(line::is_event),
        // Several lines are taken apart before.
        Json::Text(text) => !text.trim_end().contains('\n') && line::is_event(text),
        _ => false,
    };
    is_event || server::is_mine(record)
}

/// Names a realm, as every event does.
fn has_realm(record: &Json<'_>) -> bool {
    ["realmId", "realmName"].iter().any(|key| record.has(key)) || record.get("authDetails").is_object()
}

fn is_admin(record: &Json<'_>) -> bool {
    let has_resource = ["resourceType", "resourceTypeAsString", "resourcePath"].iter().any(|key| record.has(key));
    let is_operation = || record.get("type").text().is_some_and(|name| admin::operation(name).is_some());
    has_resource && has_realm(record) && (record.get("operationType").text().is_some() || is_operation())
}

fn is_user(record: &Json<'_>) -> bool {
    let is_type =
        |name: &str| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    record.get("type").text().is_some_and(|name| is_type(user::bare_type(name))) && has_realm(record)
}

/// The text of a log line that stands in a record of a log in JSON.
fn message<'a>(record: &'a Json<'a>) -> Option<&'a str> {
    ["message", "msg", "log"].into_iter().find_map(|key| record.get(key).verbatim().filter(|text| line::is_event(text)))
}

/// Adds the event of a record.
///
/// # Errors
/// No usable time, or no type of event.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let text = match record {
        Json::Text(text) => Some(text.as_ref()),
        _ if is_admin(record) || is_user(record) => None,
        _ => message(record),
    };
    let written = match text {
        Some(text) => Written::Line(line::parse(text)),
        None => Written::Tree(record),
    };
    let mut fields = Fields::new(record);
    if server::decode(record, &mut fields, out) {
        return fields.done();
    }
    if written.has("operationType") || matches!(written, Written::Tree(record) if is_admin(record)) {
        admin::decode(&written, &mut fields, out);
    } else if written.has("type") {
        user::decode(&written, &mut fields, out);
    } else {
        return Err(Rejection("type or operationType: missing".into()));
    }
    fields.done()
}

/// An event, however it was written.
enum Written<'a> {
    Tree(&'a Json<'a>),
    Line(line::Line<'a>),
}

impl<'a> Written<'a> {
    fn has(&self, key: &str) -> bool {
        match self {
            Self::Tree(record) => record.has(key),
            Self::Line(line) => line.get(key).is_some(),
        }
    }

    /// An event at the time that is stated: in the record, or before the line, or beside it.
    fn event(&self, fields: &mut Fields<'a>, action: Action) -> Event<'a> {
        match self {
            Self::Tree(_) => fields.event(&TIMES, action),
            Self::Line(line) => match line.time {
                Some(time) => fields.event_at("the time of the line", &Json::Text(time.into()), action),
                None => fields.event(&TIMES, action),
            },
        }
    }

    /// What every event has: the realm's client, the user, the address.
    fn text(&self, fields: &mut Fields<'a>, key: &str) -> Text<'a> {
        match self {
            Self::Tree(record) => {
                let stated = fields.text_of(key, record.get(key));
                stated.or_else(|| fields.text_of(key, record.at("authDetails").get(key)))
            }
            Self::Line(line) => value(line.get(key)),
        }
    }

    /// What only some events have.
    fn detail(&self, fields: &mut Fields<'a>, key: &str) -> Text<'a> {
        match self {
            Self::Tree(record) => fields.text_of(key, record.get("details").get(key)),
            Self::Line(line) => value(line.get(key)),
        }
    }

    fn ip(&self, fields: &mut Fields<'a>) -> Text<'a> {
        let stated = self.text(fields, "ipAddress")?;
        match stated {
            Cow::Borrowed(text) => super::fields::ip(text).map(Into::into),
            Cow::Owned(text) => super::fields::ip(&text).map(|ip| ip.to_owned().into()),
        }
    }
}

fn value(stated: Option<&str>) -> Text<'_> {
    stated.map(str::trim).filter(|text| is_value(text)).map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Shown = Option<(Action, Option<String>, i64)>;

    fn first(record: &str) -> (Result<(), Rejection>, Shown) {
        let record = Json::parse(record.as_bytes()).unwrap();
        assert!(is_mine(&record), "{record:?}");
        let mut out = Vec::new();
        let result = decode(&record, &mut out);
        let event = out.first().map(|e| (e.action, e.subject_id.as_deref().map(str::to_owned), e.event_time));
        (result, event)
    }

    #[test]
    fn one_event_however_it_is_written() {
        const AT: i64 = 1_772_359_200_123_000;
        for record in [
            r#"{"time":1772359200123,"type":"REFRESH_TOKEN","realmId":"shop","userId":"u-1"}"#,
            r#"{"time":1772359200123,"type":"access.REFRESH_TOKEN","realmId":"shop","authDetails":{"userId":"u-1"}}"#,
            r#""2026-03-01 10:00:00,123 DEBUG [org.keycloak.events] (executor-thread-1) type=\"REFRESH_TOKEN\", realmId=\"shop\", userId=\"u-1\"""#,
            r#"{"timestamp":"2026-03-01T10:00:00.123Z","loggerName":"org.keycloak.events","message":"type=REFRESH_TOKEN, realmId=shop, userId=u-1"}"#,
        ] {
            let (result, event) = first(record);
            assert_eq!(result, Ok(()));
            assert_eq!(event, Some((Action::Refresh, Some("u-1".to_owned()), AT)), "{record}");
        }
    }

    #[test]
    fn a_line_without_a_date_is_shown_but_refused() {
        let (result, event) = first(
            r#""10:00:00,123 WARN  [org.keycloak.events] (default task-1) type=LOGOUT, realmId=shop, userId=u-1""#,
        );
        assert!(result.unwrap_err().0.contains("missing"));
        assert_eq!(event.map(|event| event.1), Some(Some("u-1".to_owned())));
    }

    #[test]
    fn what_is_not_an_event() {
        for record in [
            r#"{"type":"LOGIN","time":1}"#,
            r#"{"type":"login","realmId":"shop"}"#,
            r#"{"operationType":"UPDATE","realmId":"shop"}"#,
            r#"{"message":"Listening on: http://0.0.0.0:8080"}"#,
            r#""realmId=shop, type of thing""#,
        ] {
            assert!(!is_mine(&Json::parse(record.as_bytes()).unwrap()), "{record}");
        }
    }
}
