//! What a mapping may fill: the columns of an event, and what each may hold.

use crate::event::{Action, Outcome, TEXTS};

/// What a column may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A moment.
    Time,
    /// What was done; the record stands or falls with it.
    Action,
    /// Success or failure; so does it with this.
    Outcome,
    /// A word of a vocabulary.
    Word(&'static [&'static str]),
    /// An OAuth 2.0 grant type, in any spelling.
    Grant,
    /// Text, or a whole number.
    Text,
    /// An address.
    Ip,
    /// A list of text.
    Scopes,
    /// The number of an autonomous system.
    Asn,
}

/// One column.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
}

const fn key(name: &'static str, kind: Kind) -> Key {
    Key { name, kind }
}

/// The columns, those first that a mapping needs most.
pub static KEYS: &[Key] = &[
    key("event_time", Kind::Time),
    key("action", Kind::Action),
    key("outcome", Kind::Outcome),
    key("subject_id", Kind::Text),
    key("subject_kind", Kind::Word(&["human", "service", "agent", "shared", "unknown"])),
    key("actor_id", Kind::Text),
    key("client_id", Kind::Text),
    key("client_kind", Kind::Word(&["cli", "web", "mobile", "ci", "agent", "service", "unknown"])),
    key("token_id", Kind::Text),
    key("family_id", Kind::Text),
    key("parent_id", Kind::Text),
    key("token_kind", Kind::Word(&["access", "refresh", "id", "session", "pat", "api_key", "other"])),
    key("grant_type", Kind::Grant),
    key("issued_at", Kind::Time),
    key("expires_at", Kind::Time),
    key("scopes", Kind::Scopes),
    key(
        "token_storage",
        Kind::Word(&["keychain", "encrypted_file", "vault", "plaintext_file", "memory", "none", "unknown"]),
    ),
    key("token_binding", Kind::Word(&["none", "dpop", "mtls", "device", "unknown"])),
    key("session_id", Kind::Text),
    key("project_id", Kind::Text),
    key("device_id", Kind::Text),
    key("host_id", Kind::Text),
    key("host_kind", Kind::Word(&["workstation", "jump_host", "ci_runner", "server", "container", "unknown"])),
    key("os_user", Kind::Text),
    key("ip", Kind::Ip),
    key("asn", Kind::Asn),
    key("country", Kind::Text),
    key("user_agent", Kind::Text),
    key("event_id", Kind::Text),
    key("source_event", Kind::Text),
];

/// Columns of an event that no mapping fills, and why.
pub const OTHERS: [(&str, &str); 4] = [
    ("grant_id", "it follows from family_id, session_id or token_id; map those"),
    ("grant_basis", "it follows from family_id, session_id or token_id; map those"),
    ("source", "it is the same for all records; put it at the top of the file"),
    ("decode_notes", "it says what was unusable"),
];

/// The grant types, as they are stored.
const GRANTS: [&str; 9] = [
    "authorization_code",
    "device_code",
    "refresh_token",
    "client_credentials",
    "token_exchange",
    "jwt_bearer",
    "password",
    "ciba",
    "other",
];

/// The key spelled `name`.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

impl Key {
    /// Its place in `Event::stated_texts_mut`, if it is text.
    pub fn slot(&self) -> Option<usize> {
        let texts = TEXTS.get(TEXTS_COMPUTED..).unwrap_or_default();
        texts.iter().position(|name| *name == self.name)
    }
}

/// How many of [`TEXTS`] come first that are no stated text.
const TEXTS_COMPUTED: usize = 3;

impl Kind {
    /// The words it may hold, if it is one of them that it holds.
    pub const fn words(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Action => Some(Action::ALL),
            Self::Outcome => Some(Outcome::ALL),
            Self::Word(words) => Some(words),
            Self::Grant => Some(&GRANTS),
            Self::Time | Self::Text | Self::Ip | Self::Scopes | Self::Asn => None,
        }
    }

    /// Whether the source's words may be translated.
    pub const fn is_text(self) -> bool {
        !matches!(self, Self::Time | Self::Scopes | Self::Asn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, columns};

    #[test]
    fn every_column_of_an_event_is_filled_or_has_its_reason() {
        let mut event = Event::new(0, Action::Other);
        let stated = event.stated_texts_mut();
        for (name, _) in &stated {
            assert!(find(name).is_some() != OTHERS.iter().any(|(other, _)| other == name), "{name}");
        }
        for key in KEYS {
            assert!(columns::ALL.iter().any(|column| column.name == key.name), "{}", key.name);
            let slot = key.slot().map(|slot| stated[slot].0);
            let is_text = key.kind.is_text() && !matches!(key.kind, Kind::Action | Kind::Outcome);
            assert_eq!(slot, is_text.then_some(key.name));
        }
    }

    #[test]
    fn words_are_those_of_the_native_format() {
        for (key, path) in [
            ("subject_kind", "subject.kind"),
            ("client_kind", "client.kind"),
            ("token_kind", "token.kind"),
            ("grant_type", "token.grant"),
            ("token_storage", "token.storage"),
            ("token_binding", "token.binding"),
            ("host_kind", "host.kind"),
        ] {
            let slot = find(key).unwrap().slot().unwrap();
            let (object, member) = path.split_once('.').unwrap();
            for word in find(key).unwrap().kind.words().unwrap() {
                let record = format!(
                    r#"{{"event_time":1793534400,"action":"use","{object}":{{"{member}":"{word}"}},"token.kind":"x"}}"#
                );
                let mut event = crate::decode::decode(record.as_bytes(), &[0; 32]).unwrap();
                assert_eq!(event.stated_texts_mut()[slot].1.as_deref(), Some(*word), "{key}");
            }
        }
    }
}
