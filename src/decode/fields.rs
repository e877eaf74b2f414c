//! Reads the fields of one provider record, and remembers which of them were unusable.
//!
//! What is needed for a verdict (the time) costs the record when it is missing; everything else is left null, and a field
//! of another kind than expected is named in the event's notes. So a decoder says only where things stand.

use std::borrow::Cow;
use std::net::IpAddr;

use super::json::Json;
use super::{EVENTS_MAX, SCOPES_MAX, times};
use crate::event::{Action, Event, Outcome, Rejection, Text, time};

/// Most notes kept of one record.
const NOTES_MAX: usize = 16;

/// Reads one record. Paths are keys with dots between; the same path names the field in notes.
pub struct Fields<'a> {
    record: &'a Json<'a>,
    notes: Vec<String>,
    flaw: Option<Rejection>,
}

impl<'a> Fields<'a> {
    pub fn new(record: &'a Json<'a>) -> Self {
        Self { record, notes: Vec::new(), flaw: None }
    }

    /// The record that is read.
    pub fn record(&self) -> &'a Json<'a> {
        self.record
    }

    /// An event at the time that stands at the first of these paths that states one. If there is no usable time the
    /// record will be rejected, by [`Fields::done`]; until then decoding goes on, to show what else is known.
    pub fn event(&mut self, time_paths: &[&str], action: Action) -> Event<'a> {
        let stated = time_paths.iter().map(|path| (*path, self.record.at(path))).find(|(_, value)| is_stated(value));
        match stated {
            Some((path, value)) => self.event_at(path, value, action),
            None => {
                self.flaw.get_or_insert_with(|| Rejection(format!("{}: missing", time_paths.join(" or "))));
                Event::new(NO_TIME, action)
            }
        }
    }

    /// The same for a time that was found in another way.
    pub fn event_at(&mut self, name: &str, value: &Json<'_>, action: Action) -> Event<'a> {
        let micros = times::micros(value).unwrap_or(NO_TIME);
        if !time::PLAUSIBLE.contains(&micros) {
            let wrong = if micros == NO_TIME { "is no time that is known" } else { "is not between 2000 and 2100" };
            self.flaw.get_or_insert_with(|| Rejection(format!("{name}: {} {wrong}", shown(value))));
        }
        Event::new(micros, action)
    }

    /// Text.
    pub fn text(&mut self, path: &str) -> Text<'a> {
        let value = self.record.at(path);
        self.text_of(path, value)
    }

    /// Text that was found in another way.
    pub fn text_of(&mut self, name: &str, value: &'a Json<'a>) -> Text<'a> {
        self.note_unless(name, value, "text", matches!(value, Json::Text(_)));
        value.cow()
    }

    /// An id: text or a whole number.
    pub fn id(&mut self, path: &str) -> Text<'a> {
        let value = self.record.at(path);
        self.id_of(path, value)
    }

    /// An id that was found in another way.
    pub fn id_of(&mut self, name: &str, value: &'a Json<'a>) -> Text<'a> {
        self.note_unless(name, value, "text or a whole number", matches!(value, Json::Text(_) | Json::Integer(_)));
        value.id()
    }

    /// A whole number.
    pub fn integer(&mut self, path: &str) -> Option<i64> {
        let value = self.record.at(path);
        self.integer_of(path, value)
    }

    /// A whole number that was found in another way.
    pub fn integer_of(&mut self, name: &str, value: &'a Json<'a>) -> Option<i64> {
        let number = value.integer();
        self.note_unless(name, value, "a whole number", number.is_some());
        number
    }

    /// True or false.
    pub fn boolean(&mut self, path: &str) -> Option<bool> {
        let value = self.record.at(path);
        self.boolean_of(path, value)
    }

    /// True or false that was found in another way.
    pub fn boolean_of(&mut self, name: &str, value: &'a Json<'a>) -> Option<bool> {
        let truth = value.boolean();
        self.note_unless(name, value, "true or false", truth.is_some());
        truth
    }

    /// A time that is not needed, such as an expiry.
    pub fn time(&mut self, path: &str) -> Option<i64> {
        let value = self.record.at(path);
        self.time_of(path, value)
    }

    /// A time that was found in another way.
    pub fn time_of(&mut self, name: &str, value: &Json<'_>) -> Option<i64> {
        let micros = times::micros(value);
        if micros.is_none() && is_stated(value) {
            self.note(format!("{name}: {} is no time that is known", shown(value)));
        }
        micros
    }

    /// An address; what stands there instead of one (a host name, a service, a placeholder) is none.
    pub fn ip(&mut self, path: &str) -> Text<'a> {
        let value = self.record.at(path);
        self.ip_of(path, value)
    }

    /// An address that was found in another way.
    pub fn ip_of(&mut self, name: &str, value: &'a Json<'a>) -> Text<'a> {
        self.note_unless(name, value, "text", matches!(value, Json::Text(_)));
        value.text().and_then(ip).map(Cow::Borrowed)
    }

    /// Scopes: a list of text, or one text with blanks or commas between.
    pub fn scopes(&mut self, path: &str) -> Vec<Cow<'a, str>> {
        let value = self.record.at(path);
        self.scopes_of(path, value)
    }

    /// Scopes that were found in another way.
    pub fn scopes_of(&mut self, name: &str, value: &'a Json<'a>) -> Vec<Cow<'a, str>> {
        self.note_unless(name, value, "text or a list of it", matches!(value, Json::Text(_) | Json::List(..)));
        let texts: Vec<&'a str> = value.items().iter().filter_map(Json::text).collect();
        let words =
            texts.into_iter().flat_map(|text| text.split(|letter: char| letter == ',' || letter.is_whitespace()));
        let mut scopes: Vec<_> =
            words.filter(|word| !word.is_empty()).take(SCOPES_MAX + 1).map(Cow::Borrowed).collect();
        if scopes.len() > SCOPES_MAX {
            scopes.truncate(SCOPES_MAX);
            self.note(format!("{name}: more than {SCOPES_MAX} scopes"));
        }
        scopes
    }

    /// Remembers that a field was unusable.
    pub fn note(&mut self, note: String) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push(note);
        }
    }

    /// Says of a revocation that one token ended. A record that does not tell which gets a name of its own for it: with a
    /// subject alone it would end all that the subject has.
    pub fn is_of_one_token(&mut self, event: &mut Event<'a>) {
        let names = [&event.token_id, &event.family_id, &event.session_id, &event.client_id];
        if event.action != Action::Revoke || names.into_iter().any(Option::is_some) {
            return;
        }
        self.note("token: not said which one ended".to_owned());
        let record = event.event_id.clone().unwrap_or_else(|| time::format(event.event_time).into());
        event.token_id = Some(format!("not named/{record}").into());
    }

    fn note_unless(&mut self, name: &str, value: &Json<'_>, expected: &str, is_as_expected: bool) {
        if !is_as_expected && is_stated(value) {
            self.note(format!("{name}: {} where {expected} was expected", value.kind()));
        }
    }

    /// Gives an event, with the notes so far; at most [`EVENTS_MAX`] for one record.
    pub fn push(&mut self, mut event: Event<'a>, out: &mut Vec<Event<'a>>) {
        if out.len() == EVENTS_MAX {
            self.flaw.get_or_insert_with(|| Rejection(format!("more than {EVENTS_MAX} events in one record")));
            return;
        }
        event.decode_notes = (!self.notes.is_empty()).then(|| Cow::Owned(self.notes.join("; ")));
        out.push(event);
    }

    /// Whether the record stands.
    ///
    /// # Errors
    /// It has no usable time, or too many events.
    pub fn done(self) -> Result<(), Rejection> {
        self.flaw.map_or(Ok(()), Err)
    }

    /// [`Fields::push`] and [`Fields::done`], for records of one event.
    ///
    /// # Errors
    /// The record has no usable time.
    pub fn finish(mut self, event: Event<'a>, out: &mut Vec<Event<'a>>) -> Result<(), Rejection> {
        self.push(event, out);
        self.done()
    }
}

/// The time of an event whose record has none: outside of all that is plausible.
const NO_TIME: i64 = i64::MIN;

/// Whether something stands there, be it right or wrong.
fn is_stated(value: &Json<'_>) -> bool {
    match value {
        Json::Null => false,
        Json::Text(_) => value.text().is_some(),
        _ => true,
    }
}

/// The beginning of a value, for messages.
fn shown(value: &Json<'_>) -> String {
    match value {
        Json::Text(text) => format!("{:?}", text.chars().take(60).collect::<String>()),
        Json::Integer(number) => number.to_string(),
        Json::Number(number) => number.to_string(),
        other => other.kind().to_owned(),
    }
}

/// The address in a text: alone, with a port, in brackets, or an IPv4 one written as IPv6 (RFC 4291 section 2.5.5.2).
pub fn ip(text: &str) -> Option<&str> {
    let text = text.trim();
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(address, _)| address);
    let with_port = || text.split_once(':').map(|(address, _)| address).filter(|address| address.contains('.'));
    let candidates = [Some(text), bracketed, with_port()];
    let address = candidates.into_iter().flatten().find(|text| text.parse::<IpAddr>().is_ok())?;
    let mapped = address.get(..7).filter(|start| start.eq_ignore_ascii_case("::ffff:")).and(address.get(7..));
    Some(mapped.filter(|rest| rest.parse::<std::net::Ipv4Addr>().is_ok()).unwrap_or(address))
}

/// Success or failure, from whether it succeeded.
pub const fn outcome(succeeded: bool) -> Outcome {
    if succeeded { Outcome::Success } else { Outcome::Failure }
}

/// An OAuth 2.0 grant type as the `grant_type` column spells it, from its registered name or URN (RFC 6749, 7523, 8628,
/// 8693, OpenID CIBA) or from how providers shorten it.
pub fn grant_type(stated: &str) -> &'static str {
    let name = stated.rsplit([':', '/']).next().unwrap_or(stated);
    let same = |word: &str| letters(name).eq(letters(word));
    const NAMES: [(&str, &str); 17] = [
        ("authorization_code", "authorization_code"),
        ("code", "authorization_code"),
        ("refresh_token", "refresh_token"),
        ("device_code", "device_code"),
        ("device", "device_code"),
        ("device_authorization", "device_code"),
        ("device_code_flow", "device_code"),
        ("client_credentials", "client_credentials"),
        ("client_credential", "client_credentials"),
        ("token_exchange", "token_exchange"),
        ("jwt_bearer", "jwt_bearer"),
        ("password", "password"),
        ("resource_owner", "password"),
        ("ropc", "password"),
        ("password_realm", "password"),
        ("ciba", "ciba"),
        ("bc_authorize", "ciba"),
    ];
    NAMES.iter().find(|(word, _)| same(word)).map_or("other", |(_, spelling)| spelling)
}

/// The letters and digits of a name, in lower case.
fn letters(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_what_is_none() {
        for (text, expected) in [
            ("192.0.2.1", Some("192.0.2.1")),
            (" 192.0.2.1:443", Some("192.0.2.1")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("cloudformation.example.com", None),
            ("AWS Internal", None),
            ("b1c34143-e405-4058-8e29-84596ad737b8", None),
            ("192.0.2", None),
            ("ééééééé", None),
            ("", None),
        ] {
            assert_eq!(ip(text), expected, "{text}");
        }
    }

    #[test]
    fn grants_in_every_spelling() {
        for (stated, expected) in [
            ("urn:ietf:params:oauth:grant-type:device_code", "device_code"),
            ("urn:ietf:params:oauth:grant-type:token-exchange", "token_exchange"),
            ("urn:openid:params:grant-type:ciba", "ciba"),
            ("deviceCode", "device_code"),
            ("http://auth0.com/oauth/grant-type/password-realm", "password"),
            ("magic", "other"),
        ] {
            assert_eq!(grant_type(stated), expected, "{stated}");
        }
    }

    #[test]
    fn a_wrong_kind_is_noted_and_a_missing_time_told_at_the_end() {
        let record = Json::parse(br#"{"name":5,"ip":"-","at":"never","scopes":["a b","c,d"]}"#).unwrap();
        let mut fields = Fields::new(&record);
        let mut event = fields.event(&["published", "created"], Action::Issue);
        assert_eq!(fields.text("name"), None);
        assert_eq!(fields.ip("ip"), None);
        assert_eq!(fields.time("at"), None);
        event.scopes = fields.scopes("scopes");
        assert_eq!(event.scopes, ["a", "b", "c", "d"]);
        let mut out = Vec::new();
        let rejection = fields.finish(event, &mut out).unwrap_err();
        assert_eq!(rejection.0, "published or created: missing");
        assert_eq!(
            out[0].decode_notes.as_deref(),
            Some("name: a number where text was expected; at: \"never\" is no time that is known")
        );
    }
}
