//! One grant as its holder sees it: who, where, with what, and the token at hand. It turns happenings into records.

use super::cast::{Client, Host, Name, Subject};
use super::record::{HOUR, Record, Token};

/// Which ids the records of a grant state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Token and family.
    Family,
    /// Token, family and session.
    FamilyInSession,
    /// Session alone.
    Session,
    /// Token alone, always the same: a personal access token or an API key.
    Token,
    /// None: known by subject, client and device.
    Derived,
}

/// A grant at one moment of its life.
#[derive(Clone, Copy, Debug)]
pub struct Grant {
    pub name: Name,
    pub basis: Basis,
    /// Kind of its long-lived tokens.
    pub kind: &'static str,
    pub subject: Subject,
    pub client: &'static Client,
    pub session: Name,
    pub device: Option<Name>,
    pub host: Option<Host>,
    pub project: Option<&'static str>,
    /// Which of its tokens is at hand, from 0.
    pub turn: u16,
    /// When that token was made, where the issuer states it.
    pub minted_at: Option<i64>,
    pub expires_at: Option<i64>,
    /// Where set, each token states this long after `minted_at` as its expiry.
    pub sliding: Option<i64>,
}

impl Grant {
    /// A successful `issue`, `refresh` or `use` of the token at hand.
    pub fn exercise(&self, action: &'static str, at: i64) -> Record {
        let issue = action == "issue";
        Record {
            token: Token {
                grant: if issue { Some(self.client.grant) } else { None },
                issued_at: self.minted_at,
                expires_at: self.states_expiry(),
                scopes: if self.basis == Basis::Derived { &[] } else { self.client.scopes },
                storage: Some(self.client.storage),
                ..self.ids()
            },
            client: Some(self.client),
            project: self.project,
            device: self.device,
            host: self.host,
            placed: true,
            ..self.named(action, at)
        }
    }

    /// A use of an access token made from the grant: its own id, an hour to live.
    pub fn access(&self, at: i64, minted_at: i64, turn: u16) -> Record {
        let mut record = self.exercise("use", at);
        record.token.id = Some((self.name, turn));
        record.token.kind = Some("access");
        record.token.issued_at = Some(minted_at);
        record.token.expires_at = Some(minted_at + HOUR);
        record.token.storage = Some("memory");
        record
    }

    /// A record about the grant that is not made by its client: `revoke`, `expire`, `logout`.
    pub fn named(&self, action: &'static str, at: i64) -> Record {
        let mut record = Record::new(action, at);
        record.token = self.ids();
        record.subject = Some(self.subject);
        if matches!(self.basis, Basis::Session | Basis::FamilyInSession) {
            record.session = Some(self.session);
        }
        if self.basis == Basis::Derived {
            record.client = Some(self.client);
            record.device = self.device;
        }
        record
    }

    /// The expiry stated for the token at hand.
    pub fn states_expiry(&self) -> Option<i64> {
        match (self.sliding, self.minted_at) {
            (Some(sliding), Some(minted_at)) => Some(minted_at + sliding),
            _ => self.expires_at,
        }
    }

    /// Whether a refresh gives a new refresh token.
    pub fn rotates(&self) -> bool {
        matches!(self.basis, Basis::Family | Basis::FamilyInSession)
    }

    fn ids(&self) -> Token {
        let with_id = !matches!(self.basis, Basis::Session | Basis::Derived);
        Token {
            id: with_id.then_some((self.name, self.turn)),
            family: self.rotates().then_some(self.name),
            kind: (self.basis != Basis::Derived).then_some(self.kind),
            ..Token::default()
        }
    }
}
