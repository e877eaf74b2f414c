//! Tokentrail's own record: one JSON object, of which `event_time` and `action` are required.
//!
//! The fast path lets the parser fill a struct that borrows from the record. Only when it fails is the record parsed
//! again by a slower parser that can name the field.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use super::{DEPTH_MAX, SCOPES_MAX, TEXT_BYTES_MAX};
use crate::event::{Action, Event, Outcome, Rejection, Text, time};

/// Text that borrows from the record wherever nothing had to be unescaped.
struct Str<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Str<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Str<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Str<'de>, E> {
                Ok(Str(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Str<'de>, E> {
                Ok(Str(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// A time as stated: text or a number; what it means is decided later, so that an odd expiry does not cost the record.
enum When<'a> {
    Text(Cow<'a, str>),
    Integer(i64),
    Number(f64),
}

impl<'de: 'a, 'a> Deserialize<'de> for When<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WhenVisitor;
        impl<'de> Visitor<'de> for WhenVisitor {
            type Value = When<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time: RFC 3339 text, or a number of seconds or milliseconds since 1970")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<When<'de>, E> {
                Ok(When::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<When<'de>, E> {
                Ok(When::Text(Cow::Owned(text.to_owned())))
            }
            fn visit_i64<E>(self, number: i64) -> Result<When<'de>, E> {
                Ok(When::Integer(number))
            }
            fn visit_u64<E>(self, number: u64) -> Result<When<'de>, E> {
                Ok(When::Integer(i64::try_from(number).unwrap_or(i64::MAX)))
            }
            fn visit_f64<E>(self, number: f64) -> Result<When<'de>, E> {
                Ok(When::Number(number))
            }
        }
        deserializer.deserialize_any(WhenVisitor)
    }
}

impl When<'_> {
    fn micros(&self) -> Option<i64> {
        match self {
            Self::Text(text) => time::parse(text.trim()),
            Self::Integer(number) => time::from_integer(*number),
            Self::Number(number) => time::from_number(*number),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Text(text) => format!("{:?}", text.chars().take(60).collect::<String>()),
            Self::Integer(number) => number.to_string(),
            Self::Number(number) => number.to_string(),
        }
    }
}

/// Scopes: a list, or one text with spaces between (RFC 6749 section 3.3).
struct Scopes<'a>(Vec<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for Scopes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScopesVisitor;
        impl<'de> Visitor<'de> for ScopesVisitor {
            type Value = Scopes<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of text, or text with spaces between")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Scopes<'de>, E> {
                Ok(Scopes(text.split_ascii_whitespace().map(Cow::Borrowed).collect()))
            }
            fn visit_str<E>(self, text: &str) -> Result<Scopes<'de>, E> {
                Ok(Scopes(text.split_ascii_whitespace().map(|s| Cow::Owned(s.to_owned())).collect()))
            }
            fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Scopes<'de>, S::Error> {
                let mut scopes = Vec::new();
                while let Some(Str(scope)) = list.next_element()? {
                    if scopes.len() == SCOPES_MAX {
                        return Err(de::Error::custom(format_args!("more than {SCOPES_MAX} scopes")));
                    }
                    scopes.push(scope);
                }
                Ok(Scopes(scopes))
            }
        }
        deserializer.deserialize_any(ScopesVisitor)
    }
}

macro_rules! object {
    ($name:ident { $($field:ident: $type:ty),+ $(,)? }) => {
        #[derive(Deserialize, Default)]
        #[serde(default, bound(deserialize = "'de: 'a"))]
        struct $name<'a> { $($field: Option<$type>),+ }
    };
}

object!(Record {
    event_id: Str<'a>, event_time: When<'a>, action: Str<'a>, outcome: Str<'a>, token: Token<'a>, subject: Subject<'a>,
    actor: Named<'a>, client: Client<'a>, session: Str<'a>, project: Str<'a>, device: Named<'a>, host: Host<'a>,
    network: Network<'a>, source: Str<'a>,
});
object!(Token {
    id: Str<'a>, family: Str<'a>, parent: Str<'a>, kind: Str<'a>, grant: Str<'a>, issued_at: When<'a>,
    expires_at: When<'a>, scopes: Scopes<'a>, storage: Str<'a>, binding: Str<'a>,
});
object!(Subject { id: Str<'a>, kind: Str<'a> });
object!(Named { id: Str<'a> });
object!(Client { id: Str<'a>, kind: Str<'a> });
object!(Host { id: Str<'a>, kind: Str<'a>, os_user: Str<'a> });
object!(Network { ip: Str<'a>, asn: i64, country: Str<'a>, user_agent: Str<'a> });

/// Decodes one record.
///
/// # Errors
/// A [`Rejection`] that names the field: not JSON, nested too deep, a known field of the wrong type or given twice,
/// text over [`TEXT_BYTES_MAX`], an unknown action or outcome, no event time or one outside 2000 to 2100.
pub fn decode(bytes: &[u8]) -> Result<Event<'_>, Rejection> {
    if memchr_openings(bytes) > DEPTH_MAX && depth(bytes) > DEPTH_MAX {
        return Err(Rejection(format!("not accepted: nested deeper than {DEPTH_MAX} levels")));
    }
    match sonic_rs::from_slice::<Record>(bytes) {
        Ok(record) => event(record),
        Err(_) => event(explain(bytes)?),
    }
}

/// Parses with the slower parser, for an error that names the field.
fn explain(bytes: &[u8]) -> Result<Record<'_>, Rejection> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(Rejection("not JSON: a byte order mark before the record".into()));
    }
    if let Err(error) = std::str::from_utf8(bytes) {
        return Err(Rejection(format!("not UTF-8: bad byte at {}", error.valid_up_to())));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let record = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let (path, inner) = (error.path().to_string(), error.into_inner());
        let what = if inner.is_data() { "wrong" } else { "not JSON" };
        let shown = inner.to_string();
        let shown = shown.split(" at line ").next().unwrap_or_default();
        let place = format!("at byte {}", inner.column().min(bytes.len()));
        match path.as_str() {
            "." => Rejection(format!("{what}: {shown} {place}")),
            field => Rejection(format!("{field}: {shown} {place}")),
        }
    })?;
    json.end().map_err(|error| Rejection(format!("not JSON: more text after the record at byte {}", error.column())))?;
    Ok(record)
}

fn event(record: Record<'_>) -> Result<Event<'_>, Rejection> {
    let mut notes = Notes::default();
    let event_time = record.event_time.ok_or_else(|| Rejection("event_time: missing".into()))?;
    let micros = event_time.micros().ok_or_else(|| {
        Rejection(format!("event_time: {} is no time: expected RFC 3339 with an offset, or an epoch", event_time.shown()))
    })?;
    if !time::PLAUSIBLE.contains(&micros) {
        return Err(Rejection(format!("event_time: {} is not between 2000 and 2100", event_time.shown())));
    }
    let action = one_of("action", record.action, Action::parse, Action::ALL)?
        .ok_or_else(|| Rejection("action: missing".into()))?;
    let mut event = Event::new(micros, action);
    event.outcome = one_of("outcome", record.outcome, Outcome::parse, Outcome::ALL)?.unwrap_or(Outcome::Success);
    event.event_id = text("event_id", record.event_id)?;
    event.session_id = text("session", record.session)?;
    event.project_id = text("project", record.project)?;
    event.source = Some(text("source", record.source)?.unwrap_or(Cow::Borrowed("native")));
    if let Some(token) = record.token {
        fill_token(&mut event, token, &mut notes)?;
    }
    let subject = record.subject.unwrap_or_default();
    event.subject_id = text("subject.id", subject.id)?;
    event.subject_kind = notes.known("subject.kind", text("subject.kind", subject.kind)?, SUBJECT_KINDS);
    event.actor_id = text("actor.id", record.actor.and_then(|a| a.id))?;
    let client = record.client.unwrap_or_default();
    event.client_id = text("client.id", client.id)?;
    event.client_kind = notes.known("client.kind", text("client.kind", client.kind)?, CLIENT_KINDS);
    event.device_id = text("device.id", record.device.and_then(|d| d.id))?;
    let host = record.host.unwrap_or_default();
    event.host_id = text("host.id", host.id)?;
    event.host_kind = notes.known("host.kind", text("host.kind", host.kind)?, HOST_KINDS);
    event.os_user = text("host.os_user", host.os_user)?;
    let network = record.network.unwrap_or_default();
    event.ip = text("network.ip", network.ip)?;
    event.asn = network.asn;
    event.country = text("network.country", network.country)?;
    event.user_agent = text("network.user_agent", network.user_agent)?;
    event.decode_notes = notes.finish();
    Ok(event)
}

fn fill_token<'a>(event: &mut Event<'a>, token: Token<'a>, notes: &mut Notes) -> Result<(), Rejection> {
    event.token_id = text("token.id", token.id)?;
    event.family_id = text("token.family", token.family)?;
    event.parent_id = text("token.parent", token.parent)?;
    event.token_kind = notes.known("token.kind", text("token.kind", token.kind)?, TOKEN_KINDS);
    event.grant_type = notes.known("token.grant", text("token.grant", token.grant)?, GRANT_TYPES);
    event.issued_at = notes.time("token.issued_at", token.issued_at);
    event.expires_at = notes.time("token.expires_at", token.expires_at);
    event.token_storage = notes.known("token.storage", text("token.storage", token.storage)?, STORAGES);
    event.token_binding = notes.known("token.binding", text("token.binding", token.binding)?, BINDINGS);
    for scope in token.scopes.map(|s| s.0).unwrap_or_default() {
        event.scopes.extend(text("token.scopes", Some(Str(scope)))?);
    }
    Ok(())
}

const TOKEN_KINDS: &[&str] = &["access", "refresh", "id", "session", "pat", "api_key", "other"];
const GRANT_TYPES: &[&str] = &[
    "authorization_code", "device_code", "refresh_token", "client_credentials", "token_exchange", "jwt_bearer", "password",
    "ciba", "other",
];
const STORAGES: &[&str] = &["keychain", "encrypted_file", "vault", "plaintext_file", "memory", "none", "unknown"];
const BINDINGS: &[&str] = &["none", "dpop", "mtls", "device", "unknown"];
const SUBJECT_KINDS: &[&str] = &["human", "service", "agent", "shared", "unknown"];
const CLIENT_KINDS: &[&str] = &["cli", "web", "mobile", "ci", "agent", "service", "unknown"];
const HOST_KINDS: &[&str] = &["workstation", "jump_host", "ci_runner", "server", "container", "unknown"];

/// Text within the limit; empty text is not stated.
fn text<'a>(field: &str, value: Option<Str<'a>>) -> Result<Text<'a>, Rejection> {
    match value {
        Some(Str(text)) if text.len() > TEXT_BYTES_MAX => {
            Err(Rejection(format!("{field}: {} bytes long; at most {TEXT_BYTES_MAX} are kept", text.len())))
        }
        Some(Str(text)) if !text.is_empty() => Ok(Some(text)),
        _ => Ok(None),
    }
}

/// A word that decides what the record means: an unknown one costs the record.
fn one_of<T>(field: &str, value: Option<Str<'_>>, parse: fn(&str) -> Option<T>, all: &[&str]) -> Result<Option<T>, Rejection> {
    let Some(word) = text(field, value)? else { return Ok(None) };
    let shown: String = word.chars().take(60).collect();
    parse(&word).map(Some).ok_or_else(|| Rejection(format!("{field}: unknown value {shown:?}; expected one of {}", all.join(", "))))
}

/// What was unusable but not needed: left null, and said so.
#[derive(Default)]
struct Notes(Vec<String>);

impl Notes {
    fn known<'a>(&mut self, field: &str, value: Text<'a>, all: &[&str]) -> Text<'a> {
        value.filter(|word| {
            let known = all.contains(&word.as_ref());
            if !known {
                self.0.push(format!("{field}: unknown value {:?}", word.chars().take(60).collect::<String>()));
            }
            known
        })
    }

    fn time(&mut self, field: &str, value: Option<When<'_>>) -> Option<i64> {
        let value = value?;
        let micros = value.micros();
        if micros.is_none() {
            self.0.push(format!("{field}: {} is no time", value.shown()));
        }
        micros
    }

    fn finish(self) -> Text<'static> {
        (!self.0.is_empty()).then(|| Cow::Owned(self.0.join("; ")))
    }
}

/// How many brackets open in the record, strings included: a cheap upper bound of its depth.
fn memchr_openings(bytes: &[u8]) -> usize {
    bytes.iter().filter(|b| matches!(b, b'{' | b'[')).count()
}

/// Deepest nesting, by brackets outside strings.
fn depth(bytes: &[u8]) -> usize {
    let (mut now, mut deepest, mut in_text, mut escaped) = (0usize, 0, false, false);
    for &byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                now += 1;
                deepest = deepest.max(now);
            }
            b'}' | b']' if !in_text => now = now.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(record: &[u8]) -> String {
        decode(record).map(|e| format!("accepted {e:?}")).unwrap_or_else(|r| r.0)
    }

    #[test]
    fn a_full_record_borrows_its_text() {
        let record = br#"{"event_id":"e1","event_time":"2026-11-01T12:00:00.123Z","action":"refresh","token":{"id":"t","family":"f",
            "scopes":"repo read:org","expires_at":1796083200},"subject":{"id":"Alice@Example.com"},"unknown":{"a":[1]}}"#;
        let mut event = decode(record).unwrap();
        event.complete(&[0; 32]);
        assert_eq!(event.event_time, 1_793_534_400_123_000);
        assert!(matches!(event.family_id, Some(Cow::Borrowed("f"))));
        assert_eq!(event.grant_id.as_deref(), Some("f"));
        assert_eq!(event.subject_id.as_deref(), Some("alice@example.com"));
        assert_eq!(event.scopes, ["repo", "read:org"]);
        assert_eq!(event.source.as_deref(), Some("native"));
    }

    #[test]
    fn every_rejection_names_the_field() {
        let time = r#""event_time":"2026-11-01T12:00:00Z""#;
        let deep = format!(r#"{{{time},"action":"use","x":{}1{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
        let long = format!(r#"{{{time},"action":"use","subject":{{"id":"{}"}}}}"#, "a".repeat(1 << 20));
        for (record, part) in [
            ("hello", "not JSON"),
            (r#"{"event_time":"2026-11-01T12:00:00Z","acti"#, "not JSON"),
            (r#"{"action":"use"}"#, "event_time: missing"),
            (&format!("{{{time}}}"), "action: missing"),
            (&format!(r#"{{{time},"action":"refrsh"}}"#), "action: unknown value \"refrsh\""),
            (&format!(r#"{{{time},"action":"use","action":"use"}}"#), "action"),
            (&format!(r#"{{{time},"action":"use","token":{{"id":5}}}}"#), "token.id: invalid type"),
            (&format!(r#"{{{time},"action":"use","token":"x"}}"#), "token: invalid type"),
            (&format!(r#"{{{time},"action":"use","outcome":"maybe"}}"#), "outcome: unknown"),
            (r#"{"event_time":"1970-01-01T00:00:00Z","action":"use"}"#, "event_time"),
            (r#"{"event_time":"yesterday","action":"use"}"#, "event_time"),
            (r#"{"event_time":true,"action":"use"}"#, "event_time"),
            (&format!("{{{time},\"action\":\"use\",\"subject\":{{\"id\":\"a\u{0}b\"}}}}"), "subject.id"),
            (&format!("\u{feff}{{{time},\"action\":\"use\"}}"), "byte order mark"),
            (&format!(r#"{{{time},"action":"use"}} x"#), "more text"),
            (&deep, "nested deeper"),
            (&long, "subject.id: 1048576 bytes long"),
        ] {
            let reason = reason(record.as_bytes());
            assert!(reason.contains(part) && !reason.starts_with("accepted"), "{} -> {reason}", &record[..record.len().min(90)]);
        }
        assert!(reason(b"{\"event_time\":\"2026-11-01T12:00:00Z\",\"action\":\"\xff\"}").contains("not UTF-8"));
    }

    #[test]
    fn what_is_not_needed_is_left_null_with_a_note() {
        let event = decode(br#"{"event_time":1793534400,"action":"issue","token":{"kind":"magic","expires_at":"never"}}"#).unwrap();
        assert_eq!((event.token_kind, event.expires_at), (None, None));
        assert_eq!(event.decode_notes.as_deref(), Some("token.kind: unknown value \"magic\"; token.expires_at: \"never\" is no time"));
    }
}
