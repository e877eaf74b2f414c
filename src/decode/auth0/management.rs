//! What administrators and directories do to users, sessions and tokens through Auth0's interfaces.

use super::*;

/// What a request did.
struct Deed<'a> {
    action: Action,
    subject: Text<'a>,
    session: Text<'a>,
    family: Text<'a>,
    token: Text<'a>,
    kind: Option<&'static str>,
}

impl<'a> Deed<'a> {
    const fn new(action: Action) -> Self {
        Self { action, subject: None, session: None, family: None, token: None, kind: None }
    }

    fn to(action: Action, subject: Text<'a>) -> Self {
        Self { subject, ..Self::new(action) }
    }
}

/// Reads the request of a record; what is not about a user's access stays `other`.
pub fn read<'a>(is_scim: bool, log: &'a Json<'a>, fields: &mut Fields<'a>, event: &mut Event<'a>) {
    if fields.integer("details.response.statusCode").is_some_and(|status| status >= 400) {
        event.outcome = Outcome::Failure;
    }
    let request = log.at("details.request");
    let Some(deed) = (if is_scim { provisioning(request) } else { operation(request) }) else { return };
    let caller = event.subject_id.take().or_else(|| fields.text("details.request.auth.user.user_id"));
    event.action = deed.action;
    event.actor_id = caller.or_else(|| event.client_id.clone()).filter(|actor| Some(actor) != deed.subject.as_ref());
    event.subject_id = deed.subject;
    event.session_id = deed.session;
    event.family_id = deed.family;
    event.token_id = deed.token;
    event.token_kind = deed.kind.map(Cow::Borrowed);
    if deed.action == Action::Revoke {
        event.client_id = None;
    }
}

/// A request to the Management API, such as `DELETE /api/v2/users/{id}/sessions`.
fn operation<'a>(request: &'a Json<'a>) -> Option<Deed<'a>> {
    let path = request.get("path").text()?;
    let path = path.split(['?', '#']).next().unwrap_or(path);
    let path = path.strip_prefix("/api").unwrap_or(path).strip_prefix("/v2/")?;
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let (collection, id, inner) = (parts.next()?, parts.next(), parts.next());
    if parts.next().is_some() {
        return None;
    }
    let body = request.get("body");
    let method = request.get("method").text()?.to_ascii_lowercase();
    let revoked = Deed::new(Action::Revoke);
    Some(match (method.as_str(), collection, id, inner) {
        ("patch", "users", Some(id), None) => {
            let is_blocked = body.get("blocked").boolean()?;
            Deed::to(if is_blocked { Action::Offboard } else { Action::Reinstate }, decoded(id))
        }
        ("delete", "users", Some(id), None) => Deed::to(Action::Offboard, decoded(id)),
        ("delete", "users", Some(id), Some("sessions")) => {
            Deed { subject: decoded(id), kind: Some("session"), ..revoked }
        }
        ("delete", "users", Some(id), Some("refresh-tokens")) => {
            Deed { subject: decoded(id), kind: Some("refresh"), ..revoked }
        }
        ("post", "users", Some(id), Some("revoke-access")) => {
            Deed { subject: decoded(id), session: body.get("session_id").cow(), ..revoked }
        }
        ("delete", "sessions", Some(id), None) | ("post", "sessions", Some(id), Some("revoke")) => {
            Deed { session: decoded(id), kind: Some("session"), ..revoked }
        }
        ("delete", "refresh-tokens" | "device-credentials", Some(id), None) => {
            Deed { token: decoded(id), kind: Some("refresh"), ..revoked }
        }
        ("delete", "grants", Some(id), None) => Deed { family: decoded(id), ..revoked },
        ("delete", "grants", None, None) => Deed { subject: request.at("query.user_id").cow(), ..revoked },
        _ => return None,
    })
}

/// A request of a directory (SCIM, RFC 7644): a user deleted, or its `active` set, in a whole user or in a patch.
fn provisioning<'a>(request: &'a Json<'a>) -> Option<Deed<'a>> {
    let path = request.get("path").text()?;
    let (_, user) = path.rsplit_once("/Users/")?;
    let user = decoded(user.split(['?', '/']).next().unwrap_or(user));
    let method = request.get("method").text()?.to_ascii_lowercase();
    if method == "delete" {
        return Some(Deed::to(Action::Offboard, user));
    }
    if !matches!(method.as_str(), "put" | "patch") {
        return None;
    }
    let body = request.get("body");
    let patched = body.get("Operations").items().iter().find_map(|operation| {
        let value = operation.get("value");
        let is_named = operation.get("path").text().is_some_and(|path| path.eq_ignore_ascii_case("active"));
        if is_named { value.boolean() } else { value.get("active").boolean() }
    });
    match body.get("active").boolean().or(patched)? {
        true => Some(Deed::to(Action::Reinstate, user)),
        false => Some(Deed::to(Action::Offboard, user)),
    }
}

/// A part of a path without its percent signs (RFC 3986): user ids have a bar in them.
pub(super) fn decoded(part: &str) -> Text<'_> {
    if !part.contains('%') {
        return (!part.is_empty()).then_some(Cow::Borrowed(part));
    }
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = (*first == b'%').then(|| after.get(..2)).flatten();
        let code = code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    Some(Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()))
}
