//! What happened to which token: one event, as every decoder produces it and every layer above reads it.
//!
//! An [`Event`] borrows its text from the record it was decoded from, so decoding copies nothing; [`columns`] names
//! the lake's columns and [`encoder`] turns events into Arrow. Nothing here does I/O.

pub mod columns;
pub mod encoder;
pub mod time;

use std::borrow::Cow;

use sha2::{Digest, Sha256};

/// Text of an event: absent, borrowed from the record, or owned where it had to be unescaped or made.
pub type Text<'a> = Option<Cow<'a, str>>;

macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($variant),+ }
        impl $name {
            /// Every value, as it is spelled in records and in the lake.
            pub const ALL: &[&str] = &[$($text),+];
            /// The value spelled `text`, if there is one.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
            /// The spelling used in records and in the lake.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

vocabulary! {
    /// What was done. The words are those of RFC 6749 (issue, refresh), RFC 7009 (revoke) and of the life around them.
    Action {
        Issue = "issue", Refresh = "refresh", Use = "use", Revoke = "revoke", Logout = "logout",
        Expire = "expire", ReuseDetected = "reuse_detected", Offboard = "offboard", Reinstate = "reinstate",
        DeviceLost = "device_lost", DeviceRecovered = "device_recovered", Compromise = "compromise", Other = "other",
    }
}

vocabulary! {
    /// Whether the server did what was asked.
    Outcome { Success = "success", Failure = "failure" }
}

vocabulary! {
    /// The lake's first partition column.
    Class { Token = "token", Context = "context", Other = "other", Rejected = "rejected" }
}

vocabulary! {
    /// How sure the grant id is, from a stated family down to a hash of who, what and where.
    GrantBasis { Family = "family", Session = "session", Token = "token", Derived = "derived" }
}

impl Action {
    /// Which partition an action belongs to.
    pub const fn class(self) -> Class {
        match self {
            Self::Issue
            | Self::Refresh
            | Self::Use
            | Self::Revoke
            | Self::Logout
            | Self::Expire
            | Self::ReuseDetected => Class::Token,
            Self::Offboard | Self::Reinstate | Self::DeviceLost | Self::DeviceRecovered | Self::Compromise => {
                Class::Context
            }
            Self::Other => Class::Other,
        }
    }

    /// Whether a grant may be derived from subject, client and device where no id is stated.
    const fn may_derive_grant(self) -> bool {
        matches!(self, Self::Issue | Self::Refresh | Self::Use | Self::Expire | Self::ReuseDetected)
    }
}

macro_rules! event {
    ($($text:ident),+ $(,)?) => {
        /// One event. Times are microseconds since 1970-01-01 UTC. Fields are the columns of the lake
        /// (see [`columns::ALL`] for their meaning).
        #[derive(Clone, Debug)]
        pub struct Event<'a> {
            pub event_time: i64,
            pub action: Action,
            pub outcome: Outcome,
            pub issued_at: Option<i64>,
            pub expires_at: Option<i64>,
            pub scopes: Vec<Cow<'a, str>>,
            pub asn: Option<i64>,
            pub grant_basis: Option<GrantBasis>,
            $(pub $text: Text<'a>),+
        }

        /// The text columns an event fills, in the order of [`Event::texts`].
        pub const TEXTS: [&str; 3 + [$(stringify!($text)),+].len()] =
            ["action", "outcome", "grant_basis", $(stringify!($text)),+];

        impl<'a> Event<'a> {
            /// An event of which only the required fields are known.
            pub fn new(event_time: i64, action: Action) -> Self {
                Self {
                    event_time, action, outcome: Outcome::Success, issued_at: None, expires_at: None,
                    scopes: Vec::new(), asn: None, grant_basis: None, $($text: None),+
                }
            }

            /// The text fields that a record fills, by name, to be changed.
            pub fn stated_texts_mut(&mut self) -> [(&'static str, &mut Text<'a>); TEXTS.len() - 3] {
                [$((stringify!($text), &mut self.$text)),+]
            }

            /// The values of [`TEXTS`].
            pub fn texts(&self) -> [Option<&str>; TEXTS.len()] {
                [
                    Some(self.action.as_str()), Some(self.outcome.as_str()), self.grant_basis.map(GrantBasis::as_str),
                    $(self.$text.as_deref()),+
                ]
            }
        }
    };
}

event!(
    event_id,
    token_id,
    family_id,
    parent_id,
    grant_id,
    token_kind,
    grant_type,
    token_storage,
    token_binding,
    subject_id,
    subject_kind,
    actor_id,
    client_id,
    client_kind,
    session_id,
    project_id,
    device_id,
    host_id,
    host_kind,
    os_user,
    ip,
    country,
    user_agent,
    source,
    source_event,
    decode_notes,
);

/// A record that gives no event: why, in words that name the field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection(pub String);

impl<'a> Event<'a> {
    /// Fills what follows from the stated fields: the event id, the subject's case, the grant and how sure it is.
    ///
    /// `record_hash` is the SHA-256 of the record; a record without an id of its own is known by it.
    pub fn complete(&mut self, record_hash: &[u8; 32]) {
        if self.event_id.is_none() {
            self.event_id = Some(Cow::Owned(hex(&record_hash[..16])));
        }
        lower_email(&mut self.subject_id);
        let (grant, basis) = if let Some(family) = &self.family_id {
            (Some(family.clone()), Some(GrantBasis::Family))
        } else if let Some(session) = &self.session_id {
            (Some(session.clone()), Some(GrantBasis::Session))
        } else if let Some(token) = &self.token_id {
            (Some(token.clone()), Some(GrantBasis::Token))
        } else if self.action.may_derive_grant()
            && (self.subject_id.is_some() || self.client_id.is_some() || self.device_id.is_some())
        {
            (Some(Cow::Owned(self.derived_grant())), Some(GrantBasis::Derived))
        } else {
            (None, None)
        };
        self.grant_id = grant;
        self.grant_basis = basis;
    }

    /// The grant of events that state no id: the same source, subject, client and device.
    fn derived_grant(&self) -> String {
        let mut hash = Sha256::new();
        for part in [&self.source, &self.subject_id, &self.client_id, &self.device_id] {
            // Length first, so that ("ab", "c") and ("a", "bc") differ; absent differs from empty.
            let text = part.as_deref();
            hash.update(text.map_or(u64::MAX, |t| t.len() as u64).to_le_bytes());
            hash.update(text.unwrap_or_default());
        }
        format!("derived-{}", hex(&hash.finalize()[..16]))
    }
}

/// E-mail-like ids are compared without case: providers disagree about it for one and the same person.
pub fn lower_email(id: &mut Text<'_>) {
    let is_email = |t: &str| {
        t.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'))
    };
    if let Some(text) = id
        && text.bytes().any(|b| b.is_ascii_uppercase() || b >= 0x80)
        && is_email(text)
    {
        *id = Some(Cow::Owned(text.to_lowercase()));
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [DIGITS[(b >> 4) as usize] as char, DIGITS[(b & 15) as usize] as char]).collect()
}
