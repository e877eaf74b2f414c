//! Teleport audit events, as its event handler exports them.
//!
//! Names and codes are those of Teleport's page "Audit Event Reference"; fields are from its event definitions and the
//! page "Session and Identity Locking". Teleport's tokens are certificates: one is issued for each login and, for bots,
//! again and again.

use super::fields::{Fields, outcome};
use super::json::Json;
use crate::event::{Action, Event, Rejection, Text, time};

/// What a record must have.
pub const SHAPE: &str = "event, a code such as T1000I, and time or uid";

/// Whether a record has the shape.
pub fn is_mine(record: &Json<'_>) -> bool {
    let is_event = record.get("event").text().is_some() && record.get("code").text().is_some_and(is_code);
    is_event && ["time", "uid", "cluster_name", "ei"].iter().any(|key| record.has(key))
}

/// Letters and digits that end with a digit and the level: information, warning or error.
fn is_code(code: &str) -> bool {
    let level = code.as_bytes().last().is_some_and(|last| b"IWEiwe".contains(last));
    let number = code.bytes().rev().nth(1).is_some_and(|byte| byte.is_ascii_digit());
    level && number && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Adds the events of a record.
///
/// # Errors
/// No usable time.
pub fn decode<'a>(record: &'a Json<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
    let mut fields = Fields::new(record);
    let name = record.get("event").text().unwrap_or_default();
    let mut event = fields.event(&["time"], action(name, record));
    event.event_id = fields.text("uid");
    event.source_event = fields.text("event");
    event.outcome = outcome(succeeded(record));
    event.user_agent = fields.text("user_agent");
    event.ip = address(&mut fields, record);
    event.device_id =
        ["device.device_id", "target.device", "lock.target.device"].iter().find_map(|path| fields.text(path));
    if event.device_id.is_none() && matches!(event.action, Action::Issue | Action::Other) {
        // Else it is the administrator's.
        event.device_id = fields.text("trusted_device.device_id");
    }
    event.subject_id = fields.text("user").or_else(|| fields.text("user_name"));
    event.subject_kind = match record.get("user_kind").integer() {
        Some(1) => Some("human".into()),
        Some(2) => Some("service".into()),
        _ => None,
    };
    match name {
        "cert.create" => certificate(&mut fields, &mut event),
        "spiffe.svid.issued" => {
            event.subject_id = fields.text("spiffe_id").or_else(|| event.subject_id.take());
            event.subject_kind = Some("service".into());
            event.token_id = fields.text("jti").or_else(|| fields.text("serial_number"));
            event.token_kind = Some("other".into());
        }
        "cert.generation_mismatch" => event.family_id = fields.text("bot_instance_id"),
        "user.create" | "user.update" | "user.delete" | "bot.delete" | "lock.created" | "lock.deleted" => {
            target(&mut fields, name, &mut event);
        }
        "device.delete" => event.actor_id = event.subject_id.take(),
        _ if name.starts_with("session.") => event.session_id = fields.text("sid"),
        _ => {}
    }
    fields.finish(event, out)
}

fn action(name: &str, record: &Json<'_>) -> Action {
    match name {
        "cert.create" if record.get("cert_type").text() != Some("host") => Action::Issue,
        "spiffe.svid.issued" => Action::Issue,
        // A bot renewed with a certificate that had been renewed before: two hold the same credential.
        "cert.generation_mismatch" => Action::ReuseDetected,
        "user.delete" | "bot.delete" => Action::Offboard,
        "device.delete" => Action::DeviceLost,
        "lock.created" if locked(record, "user") && is_temporary(record) => Action::Revoke,
        "lock.created" if locked(record, "user") => Action::Offboard,
        "lock.created" if locked(record, "device") => Action::DeviceLost,
        "lock.deleted" if locked(record, "user") => Action::Reinstate,
        "lock.deleted" if locked(record, "device") => Action::DeviceRecovered,
        _ => Action::Other,
    }
}

/// What a lock is on. Older releases do not say it when the lock is taken away.
fn locked(record: &Json<'_>, what: &str) -> bool {
    ["target", "lock.target"].iter().any(|path| record.at(path).get(what).text().is_some())
}

/// A lock that ends by itself is no leave: what was out there then is to be used no more, and that is all.
fn is_temporary(record: &Json<'_>) -> bool {
    super::times::micros(record.get("expires")).is_some_and(|at| time::PLAUSIBLE.contains(&at))
}

fn succeeded(record: &Json<'_>) -> bool {
    let stated = record.get("success").boolean().or_else(|| record.at("status.success").boolean());
    stated.unwrap_or_else(|| !record.get("code").text().is_some_and(|code| code.ends_with(['E', 'e'])))
}

/// Where the request came from. The key has a dot in it, or what the tools between made of that.
fn address<'a>(fields: &mut Fields<'a>, record: &'a Json<'a>) -> Text<'a> {
    fields
        .ip_of("addr.remote", record.get("addr.remote"))
        .or_else(|| fields.ip("addr_remote"))
        .or_else(|| fields.ip("addr.remote"))
        .or_else(|| fields.ip("identity.client_ip"))
}

fn certificate<'a>(fields: &mut Fields<'a>, event: &mut Event<'a>) {
    let owner = fields.text("identity.user");
    event.actor_id = fields.text("identity.impersonator").filter(|actor| Some(actor) != owner.as_ref());
    event.subject_id = owner.or_else(|| event.subject_id.take());
    if event.action == Action::Issue {
        event.family_id = fields.text("identity.bot_instance_id").or_else(|| fields.text("bot_instance_id"));
        event.expires_at = fields.time("identity.expires");
        event.scopes = fields.scopes("identity.roles");
        event.token_kind = Some("other".into());
        // It is of no use without its private key.
        event.token_binding = Some("mtls".into());
    }
}

/// Who or what was made, changed, deleted or locked; `user` is the administrator.
fn target<'a>(fields: &mut Fields<'a>, name: &str, event: &mut Event<'a>) {
    let owner = match name {
        "user.create" | "user.update" | "user.delete" => fields.text("name"),
        // The user a bot acts as is named after it.
        "bot.delete" => fields.text("name").map(|bot| format!("bot-{}", bot.replace(' ', "-")).into()),
        _ => fields.text("target.user").or_else(|| fields.text("lock.target.user")),
    };
    event.subject_kind = (name == "bot.delete").then(|| "service".into());
    let actor = event.subject_id.take();
    if owner.is_some() || event.action != Action::Other {
        event.actor_id = actor;
        event.subject_id = owner;
    } else {
        event.subject_id = actor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(record: &str) -> (String, Option<String>, Option<String>) {
        let record = Json::parse(record.as_bytes()).unwrap();
        assert!(is_mine(&record));
        let mut out = Vec::new();
        decode(&record, &mut out).unwrap();
        let [event] = &out[..] else { panic!("one event, not {}", out.len()) };
        let text = |text: &Text<'_>| text.as_ref().map(ToString::to_string);
        (event.action.as_str().to_owned(), text(&event.subject_id), text(&event.ip))
    }

    #[test]
    fn a_lock_is_on_a_user_for_good_or_for_a_while_or_on_a_device() {
        let lock = |rest: &str| {
            event(&format!(
                r#"{{"event":"lock.created","code":"TLK00I","time":"2026-11-01T12:00:00Z","user":"ada",{rest}}}"#
            ))
        };
        let of = |action: &str, subject: Option<&str>| (action.to_owned(), subject.map(str::to_owned), None);
        assert_eq!(lock(r#""expires":"0001-01-01T00:00:00Z","target":{"user":"bob"}"#), of("offboard", Some("bob")));
        assert_eq!(lock(r#""expires":"2026-11-01T22:00:00Z","target":{"user":"bob"}"#), of("revoke", Some("bob")));
        assert_eq!(lock(r#""target":{"device":"dev-1"}"#), of("device_lost", None));
        assert_eq!(lock(r#""target":{"role":"auditor"}"#), of("other", Some("ada")));
    }

    #[test]
    fn addresses_stand_under_a_key_with_a_dot() {
        let login = |key: &str| {
            event(&format!(
                r#"{{"event":"user.login","code":"T1000I","time":"2026-11-01T12:00:00Z","user":"ada",{key}}}"#
            ))
        };
        for key in [
            r#""addr.remote":"[2001:db8::7]:4711""#,
            r#""addr_remote":"[2001:db8::7]:4711""#,
            r#""addr":{"remote":"[2001:db8::7]:4711"}"#,
        ] {
            assert_eq!(login(key), ("other".into(), Some("ada".into()), Some("2001:db8::7".into())), "{key}");
        }
    }

    #[test]
    fn codes() {
        assert!(["T1000I", "t2000i", "TC000I", "TAL001E", "TCAUTH001I", "CJ001I"].iter().all(|code| is_code(code)));
        assert!(!["", "I", "200", "OK", "login", "E_1I"].iter().any(|code| is_code(code)));
    }
}
