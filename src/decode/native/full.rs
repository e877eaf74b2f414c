//! All of JSON, slowly: for records the plain reader gives up on, and for errors that name the field.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use super::{DEPTH_MAX, Field, Record, When};
use crate::decode::SCOPES_MAX;
use crate::event::Rejection;

/// Reads one record.
pub fn read(bytes: &[u8]) -> Result<Record<'_>, Rejection> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(Rejection("not JSON: a byte order mark before the record".into()));
    }
    let text =
        std::str::from_utf8(bytes).map_err(|e| Rejection(format!("not UTF-8: bad byte at {}", e.valid_up_to())))?;
    if let Some(field) = too_deep(text) {
        let field: String = field.chars().take(60).collect();
        return Err(Rejection(format!("{field}: nested deeper than {DEPTH_MAX} levels")));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let stated: Stated<'_> = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let (path, inner) = (error.path().to_string(), error.into_inner());
        let shown = inner.to_string();
        let shown = shown.split(" at line ").next().unwrap_or_default();
        let place = format!("at byte {}", inner.column().min(bytes.len()));
        match (path.as_str(), inner.is_data()) {
            (".", true) => Rejection(format!("{shown} {place}")),
            (".", false) => Rejection(format!("not JSON: {shown} {place}")),
            (field, true) => Rejection(format!("{field}: {shown} {place}")),
            (field, false) => Rejection(format!("not JSON, in {field}: {shown} {place}")),
        }
    })?;
    json.end()
        .map_err(|error| Rejection(format!("not JSON: more text after the record at byte {}", error.column())))?;
    Ok(stated.record())
}

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
        #[serde(default, expecting = "an object", bound(deserialize = "'de: 'a"))]
        struct $name<'a> { $($field: Option<$type>),+ }
    };
}

object!(Stated {
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

impl<'a> Stated<'a> {
    fn record(self) -> Record<'a> {
        let (token, subject, client) =
            (self.token.unwrap_or_default(), self.subject.unwrap_or_default(), self.client.unwrap_or_default());
        let (host, network) = (self.host.unwrap_or_default(), self.network.unwrap_or_default());
        let mut record = Record {
            event_time: self.event_time,
            issued_at: token.issued_at,
            expires_at: token.expires_at,
            scopes: token.scopes.map(|s| s.0).unwrap_or_default(),
            asn: network.asn,
            ..Record::default()
        };
        for (field, text) in [
            (Field::EventId, self.event_id),
            (Field::Action, self.action),
            (Field::Outcome, self.outcome),
            (Field::Session, self.session),
            (Field::Project, self.project),
            (Field::Source, self.source),
            (Field::TokenId, token.id),
            (Field::Family, token.family),
            (Field::Parent, token.parent),
            (Field::TokenKind, token.kind),
            (Field::Grant, token.grant),
            (Field::Storage, token.storage),
            (Field::Binding, token.binding),
            (Field::SubjectId, subject.id),
            (Field::SubjectKind, subject.kind),
            (Field::ActorId, self.actor.and_then(|a| a.id)),
            (Field::ClientId, client.id),
            (Field::ClientKind, client.kind),
            (Field::DeviceId, self.device.and_then(|d| d.id)),
            (Field::HostId, host.id),
            (Field::HostKind, host.kind),
            (Field::OsUser, host.os_user),
            (Field::Ip, network.ip),
            (Field::Country, network.country),
            (Field::UserAgent, network.user_agent),
        ] {
            record.texts[field as usize] = text.map(|t| t.0);
        }
        record
    }
}

/// The field, if any, whose value nests deeper than [`DEPTH_MAX`], by brackets outside text.
fn too_deep(text: &str) -> Option<&str> {
    let (mut depth, mut field, mut quoted_from, mut escaped) = (0usize, "the record", None, false);
    for (at, byte) in text.bytes().enumerate() {
        match (byte, quoted_from) {
            _ if escaped => escaped = false,
            (b'\\', Some(_)) => escaped = true,
            (b'"', None) => quoted_from = Some(at + 1),
            (b'"', Some(from)) => {
                // At the first level the last text before a value that nests is its key.
                field = if depth == 1 { text.get(from..at).unwrap_or(field) } else { field };
                quoted_from = None;
            }
            (b'{' | b'[', None) => depth += 1,
            (b'}' | b']', None) => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return Some(field);
        }
    }
    None
}
