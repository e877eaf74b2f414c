//! Whom an event is about: subject identifiers (RFC 9493, and those that Shared Signals adds), alone or in a complex
//! subject that names a user, a device, a session and more at once.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::Role;
use crate::decode::fields::Fields;
use crate::decode::json::Json;
use crate::event::{Text, hex};

/// Who and what a subject names.
#[derive(Default)]
pub struct Principals<'a> {
    pub user: Text<'a>,
    pub device: Text<'a>,
    pub session: Text<'a>,
    pub application: Text<'a>,
    pub token: Text<'a>,
    /// As in `token_kind`.
    pub token_kind: Option<&'static str>,
    /// Something is named that could not be read, so that the rest says less than was meant.
    pub is_partial: bool,
}

/// What one subject identifier says.
enum Identifier<'a> {
    /// An id that does not say of what.
    Opaque(Cow<'a, str>),
    User(Cow<'a, str>),
    Application(Cow<'a, str>),
    Token(Cow<'a, str>, Option<&'static str>),
}

/// The members of a complex subject that are read.
const MEMBERS: [&str; 4] = ["user", "device", "session", "application"];

/// Reads a subject, `role` being what a simple one identifies.
pub fn read<'a>(fields: &mut Fields<'a>, subject: &'a Json<'a>, role: Role) -> Principals<'a> {
    let mut principals = Principals::default();
    if !subject.is_object() {
        if !subject.is_null() {
            fields.note(format!("subject: {} where an object was expected", subject.kind()));
        }
        return principals;
    }
    let is_complex = format(subject) == Some("complex") || MEMBERS.iter().any(|name| subject.get(name).is_object());
    if !is_complex {
        match (identifier(subject), role) {
            (Some(Identifier::Opaque(id)), Role::Session) => principals.session = Some(id),
            (Some(Identifier::Opaque(id) | Identifier::User(id)), Role::Device) => principals.device = Some(id),
            (None, _) => {
                fields.note("subject: in a format that is not known, or without an id".into());
                principals.is_partial = true;
            }
            (found, _) => principals.add(found),
        }
        return principals;
    }
    for name in MEMBERS {
        let member = subject.get(name);
        if !member.is_null() && identifier(member).is_none() {
            fields.note(format!("subject.{name}: in a format that is not known, or without an id"));
            principals.is_partial = true;
        }
    }
    principals.add(identifier(subject.get("user")));
    principals.device = identifier(subject.get("device")).and_then(Identifier::id);
    principals.session = identifier(subject.get("session")).and_then(Identifier::id);
    principals.application = identifier(subject.get("application")).and_then(Identifier::id);
    principals
}

impl<'a> Principals<'a> {
    fn add(&mut self, found: Option<Identifier<'a>>) {
        match found {
            Some(Identifier::Opaque(id) | Identifier::User(id)) => self.user = Some(id),
            Some(Identifier::Application(id)) => self.application = Some(id),
            Some(Identifier::Token(id, kind)) => (self.token, self.token_kind) = (Some(id), kind),
            None => {}
        }
    }
}

impl<'a> Identifier<'a> {
    fn id(self) -> Text<'a> {
        match self {
            Self::Opaque(id) | Self::User(id) | Self::Application(id) | Self::Token(id, _) => Some(id),
        }
    }
}

/// The format of an identifier; Google and early drafts say `subject_type`.
fn format<'a>(subject: &'a Json<'a>) -> Option<&'a str> {
    subject.get("format").text().or_else(|| subject.get("subject_type").text())
}

fn identifier<'a>(subject: &'a Json<'a>) -> Option<Identifier<'a>> {
    let member = |name: &str| subject.get(name).id();
    match format(subject).unwrap_or_default() {
        "opaque" => member("id").map(Identifier::Opaque),
        "email" => member("email").map(Identifier::User),
        "phone_number" | "phone-number" | "phone" => {
            member("phone_number").or_else(|| member("phone")).map(Identifier::User)
        }
        "iss_sub" | "iss-sub" => member("sub").map(Identifier::User),
        // Of an ID token's claims, the address is what other sources know.
        "id_token_claims" | "id-token-claims" => member("email").or_else(|| member("sub")).map(Identifier::User),
        "account" => {
            let uri = subject.get("uri").text()?;
            let account = uri.strip_prefix("acct:").unwrap_or(uri);
            (!account.is_empty()).then_some(Identifier::User(account.into()))
        }
        "did" => member("url").map(Identifier::User),
        "uri" => member("uri").map(Identifier::User),
        "jwt_id" | "jwt-id" => member("jti").map(|id| Identifier::Token(id, None)),
        "saml_assertion_id" | "saml-assertion-id" => {
            member("assertion_id").map(|id| Identifier::Token(id, Some("other")))
        }
        "oauth_token" => oauth_token(subject),
        "oauth_client" => member("client_id").map(Identifier::Application),
        "aliases" => alias(subject),
        _ => ["email", "sub", "id", "phone_number", "uri"].into_iter().find_map(member).map(Identifier::User),
    }
}

/// One principal under several names: the address if there is one, else the first that can be read.
fn alias<'a>(subject: &'a Json<'a>) -> Option<Identifier<'a>> {
    let simple = || subject.get("identifiers").items().iter().filter(|item| format(item) != Some("aliases"));
    let address = simple().find(|item| format(item) == Some("email"));
    address.and_then(identifier).or_else(|| simple().find_map(identifier))
}

/// A token, by a hash or the beginning of it. One that stands there itself is kept as a hash only.
fn oauth_token<'a>(subject: &'a Json<'a>) -> Option<Identifier<'a>> {
    let token = subject.get("token").cow()?;
    let kind = match subject.get("token_type").text() {
        Some("refresh_token") => Some("refresh"),
        Some("access_token") => Some("access"),
        _ => None,
    };
    let is_name =
        subject.get("token_identifier_alg").text().is_some_and(|how| how == "prefix" || how.starts_with("hash"));
    let id = if is_name { token } else { hex(&Sha256::digest(token.as_bytes())[..16]).into() };
    Some(Identifier::Token(id, kind))
}
