//! Pseudonyms: people and addresses known by keyed fingerprints, for a lake whose readers are not to know who is who.
//!
//! One person has one pseudonym, whichever column names them and however an e-mail address is capitalised, so events can
//! still be joined and detectors work as before. Who holds the key can tell the pseudonym of a name; nobody can tell the
//! name of a pseudonym.
//!
//! The original record is not kept then, neither of events nor of rejected records. Names of people stand anywhere in a
//! provider's record, in titles, paths and free text; one that redaction missed would undo all the others. The price is that
//! rejected records cannot be decoded again. Of messages and notes the quoted parts are left out for the same reason. The
//! hash by which repeats are known is keyed too: who knew all of a record but the name could else try names until it fits.

use std::borrow::Cow;
use std::net::IpAddr;

use super::key::Key;
use crate::event::{Event, hex};

/// Replaces names and addresses by pseudonyms.
#[derive(Clone, Debug)]
pub struct Pseudonyms {
    key: Key,
}

impl Pseudonyms {
    /// Those of this key.
    pub fn new(key: Key) -> Self {
        Self { key }
    }

    /// What stands for a person: `pn:`, the key's id, `:`, 32 hexadecimal digits. E-mail addresses are compared without case.
    pub fn of_person(&self, name: &str) -> String {
        let name = name.trim();
        if is_pseudonym(name) {
            return name.to_owned();
        }
        let lower = if name.contains('@') { Cow::Owned(name.to_lowercase()) } else { Cow::Borrowed(name) };
        self.pseudonym(b"person", lower.as_bytes())
    }

    /// What stands for an address of the network, however it is spelled.
    pub fn of_ip(&self, ip: &str) -> String {
        let ip = ip.trim();
        if is_pseudonym(ip) {
            return ip.to_owned();
        }
        // The same host may be seen over IPv4 and as an IPv4-mapped IPv6 address (RFC 4291, section 2.5.5.2).
        let canonical = ip.parse::<IpAddr>().map_or_else(|_| ip.to_lowercase(), |ip| ip.to_canonical().to_string());
        self.pseudonym(b"ip", canonical.as_bytes())
    }

    /// What stands for an id that may lead to a person: of a grant, a device, a host.
    pub fn of_id(&self, id: &str) -> String {
        if is_pseudonym(id) { id.to_owned() } else { self.pseudonym(b"id", id.as_bytes()) }
    }

    /// What stands for the id of an event: a pseudonym if it is the hash of its record, for who knew all of a record but the
    /// name could else try names until it fits; otherwise the id, by which its source knows it.
    pub fn of_event_id(&self, id: &str) -> String {
        self.of_event(id).unwrap_or_else(|| id.to_owned())
    }

    /// The hash by which a record is known, so that nobody without the key can check a guess against it.
    pub fn of_hash(&self, record_hash: &[u8; 32]) -> [u8; 32] {
        let half = |purpose: &[u8]| self.key.hmac(purpose, record_hash);
        let (first, second) = (half(b"record 1"), half(b"record 2"));
        std::array::from_fn(|at| if at < first.len() { first[at] } else { second[at - first.len()] })
    }

    /// A complete event under pseudonyms, with the grant that follows from them. `record_hash` is that of [`Self::of_hash`].
    pub fn apply(&self, event: &mut Event<'_>, record_hash: &[u8; 32]) {
        for (name, text) in event.stated_texts_mut() {
            let Some(value) = text.as_deref().filter(|value| !value.is_empty()) else { continue };
            let changed = match name {
                "subject_id" | "actor_id" | "os_user" => Some(self.of_person(value)),
                "ip" => Some(self.of_ip(value)),
                "event_id" => self.of_event(value),
                "decode_notes" => Some(self.in_message(value)),
                _ => self.in_text(value),
            };
            if let Some(changed) = changed {
                *text = Some(Cow::Owned(changed));
            }
        }
        for scope in &mut event.scopes {
            if let Some(changed) = self.in_text(scope) {
                *scope = Cow::Owned(changed);
            }
        }
        event.complete(record_hash);
    }

    /// A message that may quote a record: what it quotes is left out, and whoever it names has their pseudonym.
    pub fn in_message(&self, message: &str) -> String {
        let mut out = String::with_capacity(message.len());
        let (mut quoted, mut escaped) = (false, false);
        for letter in message.chars() {
            let is_quote = letter == '"' && !escaped;
            escaped = quoted && letter == '\\' && !escaped;
            if is_quote {
                out.push_str(if quoted { "\u{2026}\"" } else { "\"" });
                quoted = !quoted;
            } else if !quoted {
                out.push(letter);
            }
        }
        self.in_text(&out).unwrap_or(out)
    }

    /// An id that is the hash of its record, as records without an id of their own have.
    fn of_event(&self, id: &str) -> Option<String> {
        const HASH: usize = 32;
        let hash = id.get(..HASH)?;
        let is_hash = hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let rest = id.get(HASH..)?;
        (is_hash && !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
            .then(|| format!("{}{rest}", hex(&self.key.hmac(b"event", hash.as_bytes()))))
    }

    /// The text with pseudonyms for e-mail addresses in it, or for all of it if it is an address of the network.
    fn in_text(&self, text: &str) -> Option<String> {
        if text.parse::<IpAddr>().is_ok() {
            return Some(self.of_ip(text));
        }
        let mut out = String::new();
        let mut done = 0;
        for (at, _) in text.match_indices('@') {
            let is_name = |c: char| c.is_alphanumeric() || "._%+'-".contains(c);
            let is_host = |c: char| c.is_alphanumeric() || ".-".contains(c);
            let left = text.get(done..at)?;
            let start = at - (left.len() - left.trim_end_matches(is_name).len());
            let right = text.get(at + 1..)?;
            let end = at + 1 + (right.len() - right.trim_start_matches(is_host).len());
            if start < at && end > at + 1 {
                out.push_str(text.get(done..start)?);
                out.push_str(&self.of_person(text.get(start..end)?));
                done = end;
            }
        }
        if done == 0 {
            return None;
        }
        out.push_str(text.get(done..)?);
        Some(out)
    }

    fn pseudonym(&self, purpose: &[u8], text: &[u8]) -> String {
        format!("pn:{}:{}", self.key.id(), hex(&self.key.hmac(purpose, text)))
    }
}

fn is_pseudonym(text: &str) -> bool {
    text.starts_with("pn:") && super::text::starts_with_fingerprint(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Action, GrantBasis};

    fn pseudonyms() -> Pseudonyms {
        Pseudonyms::new(Key::new(std::array::from_fn(|i| i as u8)))
    }

    #[test]
    fn one_person_has_one_pseudonym_in_every_column() {
        let pseudonyms = pseudonyms();
        let mut event = Event::new(0, Action::Refresh);
        event.subject_id = Some("alice@example.com".into());
        event.actor_id = Some("Alice@Example.com".into());
        event.os_user = Some("alice".into());
        event.client_id = Some("app of ALICE@example.com!".into());
        event.ip = Some("::ffff:203.0.113.7".into());
        event.host_id = Some("203.0.113.7".into());
        event.user_agent = Some("Chrome/126.0.0.0".into());
        event.decode_notes = Some("token.kind: unknown value \"alice\\\"s\"; ip: \"203.0.113.7\" is none".into());
        event.complete(&[7; 32]);
        let (clear_id, clear_grant) = (event.event_id.clone(), event.grant_id.clone());
        pseudonyms.apply(&mut event, &pseudonyms.of_hash(&[7; 32]));
        let alice = pseudonyms.of_person("alice@example.com");
        assert_eq!(event.subject_id.as_deref(), Some(&*alice));
        assert_eq!(event.actor_id.as_deref(), Some(&*alice));
        assert_eq!(event.client_id.as_deref(), Some(&*format!("app of {alice}!")));
        assert_eq!(event.os_user.as_deref(), Some(&*pseudonyms.of_person("alice")));
        assert_eq!(event.ip, event.host_id);
        assert_eq!(event.user_agent.as_deref(), Some("Chrome/126.0.0.0"));
        assert_eq!(event.decode_notes.as_deref(), Some("token.kind: unknown value \"…\"; ip: \"…\" is none"));
        assert_eq!(event.grant_basis, Some(GrantBasis::Derived));
        assert!(event.grant_id != clear_grant && event.event_id != clear_id && event.event_id.is_some());
        let once = format!("{event:?}");
        assert!(!once.to_lowercase().contains("alice") && !once.contains("203.0.113.7"), "{once}");
    }

    #[test]
    fn pseudonyms_depend_on_the_key_alone() {
        let pseudonyms = pseudonyms();
        let alice = pseudonyms.of_person("alice@example.com");
        assert_eq!(pseudonyms.of_person(&alice), alice);
        assert_ne!(Pseudonyms::new(Key::new([3; 32])).of_person("alice@example.com"), alice);
        assert_ne!(pseudonyms.of_person("203.0.113.7"), pseudonyms.of_ip("203.0.113.7"));
        assert_eq!(pseudonyms.of_ip("2001:db8::1"), pseudonyms.of_ip("2001:0DB8:0::1"));
        assert_eq!(pseudonyms.of_event("ev-1"), None);
        assert_ne!(pseudonyms.of_hash(&[1; 32]), pseudonyms.of_hash(&[2; 32]));
    }
}
