//! A security event token as it is delivered: three parts in base64url with points between (RFC 7515 section 7.1).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::has_claims;
use crate::decode::json::Json;
use crate::event::Event;

/// Whether text is a JWT that says it is a security event token (RFC 8417 section 2.3), or holds the claims of one.
pub fn is_one(text: &str) -> bool {
    // A JSON object begins so in base64; most text is told apart by that.
    if !text.trim_start().starts_with('e') {
        return false;
    }
    let is_declared =
        || parts(text).and_then(|[header, ..]| decoded(header)).is_some_and(|it| it.contains("secevent+jwt"));
    let has_claims =
        || payload(text).is_some_and(|it| Json::parse(it.as_bytes()).is_ok_and(|claims| has_claims(&claims)));
    parts(text).is_some() && (is_declared() || has_claims())
}

/// The claims, as JSON. What proves them is not looked at.
pub fn payload(text: &str) -> Option<String> {
    parts(text).and_then(|[_, payload, _]| decoded(payload))
}

/// An event that borrows nothing.
pub fn owned<'a>(mut event: Event<'_>) -> Event<'a> {
    let mut copy = Event::new(event.event_time, event.action);
    copy.outcome = event.outcome;
    copy.issued_at = event.issued_at;
    copy.expires_at = event.expires_at;
    copy.asn = event.asn;
    copy.grant_basis = event.grant_basis;
    copy.scopes = event.scopes.drain(..).map(|scope| Cow::Owned(scope.into_owned())).collect();
    for ((_, to), (_, from)) in copy.stated_texts_mut().into_iter().zip(event.stated_texts_mut()) {
        *to = from.take().map(|text| Cow::Owned(text.into_owned()));
    }
    copy
}

fn parts(text: &str) -> Option<[&str; 3]> {
    let mut parts = text.trim().split('.');
    let found = [parts.next()?, parts.next()?, parts.next()?];
    parts.next().is_none().then_some(found)
}

/// Base64url without padding (RFC 4648 section 5), as text.
fn decoded(part: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}
