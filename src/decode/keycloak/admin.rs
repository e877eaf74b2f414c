//! What administrators do.
//!
//! The path of the resource tells whom it is about: `users/{id}`, `users/{id}/logout`, `sessions/{id}`. Whoever stands
//! in `authDetails` is the administrator, as are client and address. What was changed stands only in the
//! representation, which is JSON in text, and only if the realm is told to include it. It is the whole of the resource
//! after the change: a user that is stated as disabled was disabled then or before, while one that is stated as enabled
//! mostly never was anything else. So only an update of nothing else counts as enabling.
//!
//! Some listeners name the operation in `type`, alone or behind the kind of resource: `UPDATE`, `USER-UPDATE`.

use super::Written;
use crate::decode::fields::{Fields, outcome};
use crate::decode::json::Json;
use crate::event::{Action, Event, Text};

/// Most members of a representation that is taken to be about one of them.
const MEMBERS_FEW: usize = 3;

/// Whom or what an action is about, from a path.
#[derive(Default)]
struct Target<'p> {
    user: Option<&'p str>,
    session: Option<&'p str>,
    client: Option<&'p str>,
}

/// What of a representation matters here.
#[derive(Clone, Copy)]
struct Change {
    enabled: Option<bool>,
    not_before: Option<i64>,
    /// Whether there is little else in it, so that the change is about that.
    is_small: bool,
}

/// The operation in a type of event, if it is one of an administrator.
pub fn operation(name: &str) -> Option<&str> {
    const OPERATIONS: [&str; 4] = ["CREATE", "UPDATE", "DELETE", "ACTION"];
    let last = name.rsplit('-').next()?;
    OPERATIONS.contains(&last).then_some(last)
}

/// What an operation on a path means. `None`: nothing about tokens.
fn meaning<'p>(operation: &str, path: &'p str, change: Option<Change>) -> Option<(Action, Target<'p>)> {
    let mut parts = path.trim_matches('/').split('/').filter(|part| !part.is_empty());
    let parts = [parts.next(), parts.next(), parts.next(), parts.next(), parts.next()];
    let target = |user| Target { user: Some(user), ..Target::default() };
    let meaning = match (operation, parts) {
        ("DELETE", [Some("users"), Some(user), None, ..]) => (Action::Offboard, target(user)),
        ("UPDATE", [Some("users"), Some(user), None, ..]) => match change?.enabled? {
            false => (Action::Offboard, target(user)),
            true if change?.is_small => (Action::Reinstate, target(user)),
            true => return None,
        },
        ("ACTION", [Some("users"), Some(user), Some("logout"), None, _]) => (Action::Revoke, target(user)),
        ("ACTION" | "DELETE", [Some("users"), Some(user), Some("consents"), Some(client), None]) => {
            (Action::Revoke, Target { client: Some(client), ..target(user) })
        }
        ("DELETE" | "ACTION", [Some("sessions"), Some(session), None, ..]) => {
            (Action::Revoke, Target { session: Some(session), ..Target::default() })
        }
        // Everyone's: of the realm, or of one client, which the path names by an id that no other event has.
        ("ACTION", [Some("logout-all" | "push-revocation"), None, ..]) => (Action::Revoke, Target::default()),
        ("ACTION", [Some("clients"), Some(_), Some("push-revocation"), None, _]) => (Action::Revoke, Target::default()),
        ("UPDATE", [None, ..]) => {
            let sets_not_before = change.is_some_and(|change| change.is_small && change.not_before > Some(0));
            return sets_not_before.then(|| (Action::Revoke, Target::default()));
        }
        _ => return None,
    };
    Some(meaning)
}

/// Adds the event.
pub fn decode<'a>(written: &Written<'a>, fields: &mut Fields<'a>, out: &mut Vec<Event<'a>>) {
    let stated = written.text(fields, "operationType").or_else(|| written.text(fields, "type"));
    let operation = stated.as_deref().and_then(operation).or(stated.as_deref()).unwrap_or_default();
    let kind = written.text(fields, "resourceType").or_else(|| written.text(fields, "resourceTypeAsString"));
    let kind = kind.as_deref().or_else(|| stated.as_deref()?.rsplit_once('-').map(|(kind, _)| kind));
    let path = written.text(fields, "resourcePath");
    let change = change(written, fields);
    let found = meaning(operation, path.as_deref().unwrap_or_default(), change);

    let mut event = written.event(fields, found.as_ref().map_or(Action::Other, |(action, _)| *action));
    event.event_id = written.text(fields, "id").or_else(|| written.text(fields, "uid"));
    event.source_event = Some(format!("{operation} {}", kind.unwrap_or("resource")).into());
    event.outcome = outcome(written.text(fields, "error").is_none());
    event.ip = written.ip(fields);
    let administrator = written.text(fields, "userId");
    match found {
        None => {
            event.subject_id = administrator;
            event.client_id = written.text(fields, "clientId");
        }
        Some((_, target)) => {
            let own = |text: Option<&str>| -> Text<'a> { text.map(|text| text.to_owned().into()) };
            event.subject_id = own(target.user);
            event.session_id = own(target.session);
            event.client_id = own(target.client);
            event.actor_id = administrator.filter(|actor| event.subject_id.as_ref() != Some(actor));
        }
    }
    fields.push(event, out);
}

/// The representation: JSON in text, or an object as some listeners write it.
fn change<'a>(written: &Written<'a>, fields: &mut Fields<'a>) -> Option<Change> {
    if let Written::Tree(record) = written
        && let whole @ Json::Object(..) = record.get("representation")
    {
        return Some(summary(whole));
    }
    let text = written.text(fields, "representation")?;
    if let Ok(tree) = Json::parse(text.as_bytes()) {
        return Some(summary(&tree));
    }
    // In a line of the log its quotes may be escaped.
    let text = text.replace("\\\"", "\"");
    Json::parse(text.as_bytes()).ok().map(|tree| summary(&tree))
}

fn summary(tree: &Json<'_>) -> Change {
    Change {
        enabled: tree.get("enabled").boolean(),
        not_before: tree.get("notBefore").integer(),
        is_small: tree.members().len() <= MEMBERS_FEW,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(rest: &str) -> (Action, Vec<Option<String>>) {
        let record = format!(
            r#"{{"time":1772359200000,"realmId":"shop","resourceType":"USER","authDetails":{{"realmId":"master",
                "clientId":"admin-cli","userId":"admin-1","ipAddress":"192.0.2.1"}},{rest}}}"#
        );
        let record = Json::parse(record.as_bytes()).unwrap();
        let mut out = Vec::new();
        crate::decode::keycloak::decode(&record, &mut out).unwrap();
        let event = &out[0];
        assert_eq!(event.ip.as_deref(), Some("192.0.2.1"));
        let texts = [&event.subject_id, &event.session_id, &event.client_id, &event.actor_id];
        (event.action, texts.map(|text| text.as_deref().map(str::to_owned)).to_vec())
    }

    fn row(action: Action, texts: [&str; 4]) -> (Action, Vec<Option<String>>) {
        (action, texts.map(|text| (!text.is_empty()).then(|| text.to_owned())).to_vec())
    }

    #[test]
    fn the_path_tells_whom_it_is_about() {
        for (operation, path, expected) in [
            ("DELETE", "users/u-1", row(Action::Offboard, ["u-1", "", "", "admin-1"])),
            ("ACTION", "users/u-1/logout", row(Action::Revoke, ["u-1", "", "", "admin-1"])),
            ("ACTION", "users/u-1/consents/app", row(Action::Revoke, ["u-1", "", "app", "admin-1"])),
            ("DELETE", "sessions/s-1", row(Action::Revoke, ["", "s-1", "", "admin-1"])),
            ("ACTION", "push-revocation", row(Action::Revoke, ["", "", "", "admin-1"])),
            ("DELETE", "users/u-1/federated-identity/x", row(Action::Other, ["admin-1", "", "admin-cli", ""])),
            ("CREATE", "users/u-1", row(Action::Other, ["admin-1", "", "admin-cli", ""])),
            ("ACTION", "users/u-1/reset-password", row(Action::Other, ["admin-1", "", "admin-cli", ""])),
        ] {
            assert_eq!(shown(&format!(r#""operationType":"{operation}","resourcePath":"{path}""#)), expected, "{path}");
        }
    }

    #[test]
    fn an_update_is_about_what_its_representation_says() {
        for (representation, action) in [
            (
                r#""{\"username\":\"ada\",\"enabled\":false,\"email\":\"ada@example.com\",\"totp\":false}""#,
                Action::Offboard,
            ),
            (r#"{"enabled":false}"#, Action::Offboard),
            (r#""{\"enabled\":true}""#, Action::Reinstate),
            (
                r#""{\"username\":\"ada\",\"enabled\":true,\"email\":\"ada@example.com\",\"totp\":false}""#,
                Action::Other,
            ),
            (r#""{\"enabled\":""#, Action::Other),
            ("null", Action::Other),
        ] {
            let record =
                format!(r#""operationType":"UPDATE","resourcePath":"users/u-1","representation":{representation}"#);
            assert_eq!(shown(&record).0, action, "{representation}");
        }
    }
}
