//! Tokentrail's own record: one JSON object, of which `event_time` and `action` are required.
//!
//! Two readers, one meaning. [`plain`] reads the JSON that producers write nearly always, in one pass and without a
//! copy, and gives up on anything else; [`full`] then reads all of JSON, and names the field when it cannot.

mod full;
mod plain;

use std::borrow::Cow;

use super::{DEPTH_MAX, TEXT_BYTES_MAX};
use crate::event::{Action, Event, Outcome, Rejection, Text, time};

/// A time as stated: what it means is decided later, so that an odd expiry does not cost the record.
enum When<'a> {
    Text(Cow<'a, str>),
    Integer(i64),
    Number(f64),
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

/// What a record states, before it is judged.
#[derive(Default)]
struct Record<'a> {
    event_time: Option<When<'a>>,
    issued_at: Option<When<'a>>,
    expires_at: Option<When<'a>>,
    scopes: Vec<Cow<'a, str>>,
    asn: Option<i64>,
    texts: [Text<'a>; Field::COUNT],
}

macro_rules! fields {
    ($($field:ident = $path:literal),+ $(,)?) => {
        /// The text fields of a record.
        #[derive(Clone, Copy)]
        enum Field { $($field),+ }
        impl Field {
            const PATHS: &[&str] = &[$($path),+];
            const COUNT: usize = Self::PATHS.len();
            const fn path(self) -> &'static str {
                Self::PATHS[self as usize]
            }
        }
    };
}

fields! {
    EventId = "event_id", Action = "action", Outcome = "outcome", Session = "session", Project = "project", Source = "source",
    TokenId = "token.id", Family = "token.family", Parent = "token.parent", TokenKind = "token.kind", Grant = "token.grant",
    Storage = "token.storage", Binding = "token.binding", SubjectId = "subject.id", SubjectKind = "subject.kind",
    ActorId = "actor.id", ClientId = "client.id", ClientKind = "client.kind", DeviceId = "device.id", HostId = "host.id",
    HostKind = "host.kind", OsUser = "host.os_user", Ip = "network.ip", Country = "network.country",
    UserAgent = "network.user_agent",
}

/// Decodes one record into `event`, whose content before does not matter.
///
/// # Errors
/// A [`Rejection`] that names the field: not JSON, nested too deep, a known field of the wrong type or given twice,
/// text over [`TEXT_BYTES_MAX`], an unknown action or outcome, no event time or one outside 2000 to 2100.
pub fn decode<'a>(bytes: &'a [u8], event: &mut Event<'a>) -> Result<(), Rejection> {
    let mut record = Record::default();
    if plain::read(bytes, &mut record).is_none() {
        record = full::read(bytes)?;
    }
    record.event(event)
}

/// Decodes a record as producers write it nearly always; `None`: it is written otherwise, or not in this format.
pub fn decode_plain<'a>(bytes: &'a [u8], event: &mut Event<'a>) -> Option<Result<(), Rejection>> {
    memchr::memmem::find(bytes, b"\"event_time\"")?;
    let mut record = Record::default();
    plain::read(bytes, &mut record)?;
    let is_native = record.event_time.is_some() && record.texts[Field::Action as usize].is_some();
    is_native.then(|| record.event(event))
}

/// Whether a record that cannot be read was meant to be in this format.
pub fn is_meant(bytes: &[u8]) -> bool {
    let names = |key: &[u8]| memchr::memmem::find(bytes, key).is_some();
    names(b"\"event_time\"") && names(b"\"action\"")
}

impl<'a> Record<'a> {
    /// Text within the limit; empty text is not stated.
    fn text(&mut self, field: Field) -> Result<Text<'a>, Rejection> {
        let text = self.texts[field as usize].take();
        match &text {
            Some(text) if text.len() > TEXT_BYTES_MAX => Err(too_long(field.path(), text)),
            Some(text) if text.is_empty() => Ok(None),
            _ => Ok(text),
        }
    }

    /// Judges what is stated.
    fn event(&mut self, event: &mut Event<'a>) -> Result<(), Rejection> {
        let mut notes = Notes::default();
        let micros = event_time(self.event_time.as_ref())?;
        let action = one_of(Field::Action, self.text(Field::Action)?, Action::parse, Action::ALL)?;
        *event = Event::new(micros, action.ok_or_else(|| Rejection("action: missing".into()))?);
        let outcome = one_of(Field::Outcome, self.text(Field::Outcome)?, Outcome::parse, Outcome::ALL)?;
        event.outcome = outcome.unwrap_or(Outcome::Success);
        event.event_id = self.text(Field::EventId)?;
        event.session_id = self.text(Field::Session)?;
        event.project_id = self.text(Field::Project)?;
        event.source = Some(self.text(Field::Source)?.unwrap_or(Cow::Borrowed("native")));
        event.token_id = self.text(Field::TokenId)?;
        event.family_id = self.text(Field::Family)?;
        event.parent_id = self.text(Field::Parent)?;
        event.issued_at = notes.time("token.issued_at", self.issued_at.as_ref());
        event.expires_at = notes.time("token.expires_at", self.expires_at.as_ref());
        event.subject_id = self.text(Field::SubjectId)?;
        event.actor_id = self.text(Field::ActorId)?;
        event.client_id = self.text(Field::ClientId)?;
        event.device_id = self.text(Field::DeviceId)?;
        event.host_id = self.text(Field::HostId)?;
        event.os_user = self.text(Field::OsUser)?;
        event.ip = self.text(Field::Ip)?;
        event.asn = self.asn;
        event.country = self.text(Field::Country)?;
        event.user_agent = self.text(Field::UserAgent)?;
        if let Some(scope) = self.scopes.iter().find(|s| s.len() > TEXT_BYTES_MAX) {
            return Err(too_long("token.scopes", scope));
        }
        event.scopes = std::mem::take(&mut self.scopes);
        event.scopes.retain(|scope| !scope.is_empty());
        event.token_kind = notes.known(Field::TokenKind, self.text(Field::TokenKind)?, TOKEN_KINDS);
        event.grant_type = notes.known(Field::Grant, self.text(Field::Grant)?, GRANT_TYPES);
        event.token_storage = notes.known(Field::Storage, self.text(Field::Storage)?, STORAGES);
        event.token_binding = notes.known(Field::Binding, self.text(Field::Binding)?, BINDINGS);
        event.subject_kind = notes.known(Field::SubjectKind, self.text(Field::SubjectKind)?, SUBJECT_KINDS);
        event.client_kind = notes.known(Field::ClientKind, self.text(Field::ClientKind)?, CLIENT_KINDS);
        event.host_kind = notes.known(Field::HostKind, self.text(Field::HostKind)?, HOST_KINDS);
        event.decode_notes = notes.finish();
        Ok(())
    }
}

fn event_time(stated: Option<&When<'_>>) -> Result<i64, Rejection> {
    let stated = stated.ok_or_else(|| Rejection("event_time: missing".into()))?;
    let micros = stated.micros().ok_or_else(|| {
        Rejection(format!("event_time: {} is no time: expected RFC 3339 with an offset, or an epoch", stated.shown()))
    })?;
    if time::PLAUSIBLE.contains(&micros) {
        return Ok(micros);
    }
    Err(Rejection(format!("event_time: {} is not between 2000 and 2100", stated.shown())))
}

fn too_long(path: &str, text: &str) -> Rejection {
    Rejection(format!("{path}: {} bytes long; at most {TEXT_BYTES_MAX} are kept", text.len()))
}

/// Whether a word belongs to a field's vocabulary.
type Vocabulary = fn(&str) -> bool;

macro_rules! words {
    ($($name:ident: $($word:literal)|+;)+) => { $(const $name: Vocabulary = |word| matches!(word, $($word)|+);)+ };
}

words! {
    TOKEN_KINDS: "access" | "refresh" | "id" | "session" | "pat" | "api_key" | "other";
    GRANT_TYPES: "authorization_code" | "device_code" | "refresh_token" | "client_credentials" | "token_exchange"
        | "jwt_bearer" | "password" | "ciba" | "other";
    STORAGES: "keychain" | "encrypted_file" | "vault" | "plaintext_file" | "memory" | "none" | "unknown";
    BINDINGS: "none" | "dpop" | "mtls" | "device" | "unknown";
    SUBJECT_KINDS: "human" | "service" | "agent" | "shared" | "unknown";
    CLIENT_KINDS: "cli" | "web" | "mobile" | "ci" | "agent" | "service" | "unknown";
    HOST_KINDS: "workstation" | "jump_host" | "ci_runner" | "server" | "container" | "unknown";
}

/// A word that decides what the record means: an unknown one costs the record.
fn one_of<T>(field: Field, word: Text<'_>, parse: fn(&str) -> Option<T>, all: &[&str]) -> Result<Option<T>, Rejection> {
    let Some(word) = word else { return Ok(None) };
    let unknown = || {
        let shown: String = word.chars().take(60).collect();
        Rejection(format!("{}: unknown value {shown:?}; expected one of {}", field.path(), all.join(", ")))
    };
    parse(&word).map(Some).ok_or_else(unknown)
}

/// What was unusable but not needed: left null, and said so.
#[derive(Default)]
struct Notes(Vec<String>);

impl Notes {
    fn known<'a>(&mut self, field: Field, value: Text<'a>, vocabulary: Vocabulary) -> Text<'a> {
        value.filter(|word| {
            let known = vocabulary(word);
            if !known {
                self.0.push(format!("{}: unknown value {:?}", field.path(), word.chars().take(60).collect::<String>()));
            }
            known
        })
    }

    fn time(&mut self, field: &str, value: Option<&When<'_>>) -> Option<i64> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(record: &[u8]) -> Result<Event<'_>, Rejection> {
        let mut event = Event::new(0, Action::Other);
        super::decode(record, &mut event).map(|()| event)
    }

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
            assert!(
                reason.contains(part) && !reason.starts_with("accepted"),
                "{} -> {reason}",
                &record[..record.len().min(90)]
            );
        }
        assert!(reason(b"{\"event_time\":\"2026-11-01T12:00:00Z\",\"action\":\"\xff\"}").contains("not UTF-8"));
    }

    #[test]
    fn what_is_not_needed_is_left_null_with_a_note() {
        let event =
            decode(br#"{"event_time":1793534400,"action":"issue","token":{"kind":"magic","expires_at":"never"}}"#)
                .unwrap();
        assert_eq!((event.token_kind, event.expires_at), (None, None));
        assert_eq!(
            event.decode_notes.as_deref(),
            Some("token.expires_at: \"never\" is no time; token.kind: unknown value \"magic\"")
        );
    }
}
