//! What else the server logs: starts, warnings, its database. It comes by the same way as the events, and is kept as
//! `other`, so that a whole log can be sent here without being refused line by line.

use crate::decode::fields::Fields;
use crate::decode::json::Json;
use crate::event::{Action, Event};

use super::{TIMES, line};

const PACKAGE: &str = "org.keycloak.";

/// The logger and the time of an entry that is no event, if it is one. What names a realm may be an event in a form that
/// is not known, and is better refused than kept unread.
fn entry<'a>(record: &'a Json<'a>) -> Option<(&'a str, Option<&'a str>)> {
    match record {
        Json::Text(text) if !text.contains("realmId") && !text.trim_end().contains('\n') => {
            let (before, rest) = text.split_once(" [")?;
            let (logger, _) = rest.split_once(']')?;
            logger.starts_with(PACKAGE).then_some((logger, line::time(before)))
        }
        Json::Object(..) => {
            let logger = ["loggerName", "log.logger", "logger"].into_iter().find_map(|key| record.get(key).text())?;
            let is_service = || record.get("service.name").text().is_some_and(|name| name == "Keycloak");
            let message = record.get("message").verbatim()?;
            let is_entry = (logger.starts_with(PACKAGE) || is_service()) && !message.contains("realmId");
            is_entry.then_some((logger, None))
        }
        _ => None,
    }
}

/// Whether a record is an entry of the server's log that is no event.
pub fn is_mine(record: &Json<'_>) -> bool {
    entry(record).is_some()
}

/// Adds the event of an entry, if it is one.
pub fn decode<'a>(record: &'a Json<'a>, fields: &mut Fields<'a>, out: &mut Vec<Event<'a>>) -> bool {
    let Some((logger, time)) = entry(record) else { return false };
    let mut event = match time {
        Some(time) => fields.event_at("the time of the line", &Json::Text(time.into()), Action::Other),
        None => fields.event(&TIMES, Action::Other),
    };
    event.source_event = Some(logger.into());
    fields.push(event, out);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_kept_and_what_may_be_an_event_is_not_taken_for_one() {
        for (record, expected) in [
            (
                r#"{"@timestamp":"2026-03-01T10:00:00Z","log.logger":"org.keycloak.url","message":"hostname is ignored"}"#,
                true,
            ),
            (
                r#"{"@timestamp":"2026-03-01T10:00:00Z","log.logger":"io.quarkus","message":"up","service.name":"Keycloak"}"#,
                true,
            ),
            (r#""2026-03-01 10:00:00,123 INFO  [org.keycloak.services] (main) KC-SERVICES0009: Added a user""#, true),
            (r#"{"@timestamp":"2026-03-01T10:00:00Z","log.logger":"io.quarkus","message":"up"}"#, false),
            (
                r#"{"loggerName":"org.keycloak.events","message":"EVENT::{\"type\":\"LOGIN\",\"realmId\":\"shop\"}"}"#,
                false,
            ),
            (r#""2026-03-01 10:00:00,123 INFO  [org.example] (main) about [org.keycloak.services]""#, false),
        ] {
            let record = Json::parse(record.as_bytes()).unwrap();
            assert_eq!(is_mine(&record), expected, "{record:?}");
            let (mut fields, mut out) = (Fields::new(&record), Vec::new());
            assert_eq!(decode(&record, &mut fields, &mut out), expected);
            assert!(out.iter().all(|event| event.action == Action::Other));
            assert_eq!(fields.done(), Ok(()));
        }
    }
}
