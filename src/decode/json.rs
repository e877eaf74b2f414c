//! A JSON record as a tree that borrows its text: what provider decoders read.
//!
//! Reading is total: whatever is asked of a value that is not there, or is of another kind, gives nothing. So a chain of
//! [`Json::get`] never fails, and a decoder asks for each field where providers have put it over the years.

mod parse;

use std::borrow::Cow;
use std::ops::Range;

pub use parse::Values;

use crate::event::{Rejection, Text};

/// Where a list or an object stands in the text it was parsed from, in bytes.
pub type Span = Range<u32>;

/// One value. Reference methods take `&'a Json<'a>`, so what they return borrows from the tree and is never copied.
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    Number(f64),
    Text(Cow<'a, str>),
    List(Box<[Json<'a>]>, Span),
    Object(Box<[Member<'a>]>, Span),
}

/// A key and its value.
pub type Member<'a> = (Cow<'a, str>, Json<'a>);

/// What stands where nothing stands.
static NOTHING: Json<'static> = Json::Null;

/// How providers and the tools between spell that there is no value.
const NO_VALUE: [&str; 10] =
    ["", "-", "null", "<null>", "unknown", "not available", "redacted", "n/a", "undefined", "(null)"];

impl<'a> Json<'a> {
    /// Parses a record that is one JSON value.
    ///
    /// # Errors
    /// Not UTF-8, not JSON, nested deeper than [`DEPTH_MAX`](super::DEPTH_MAX), or more text behind the value.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Rejection> {
        let text = parse::utf8(bytes)?;
        let mut values = Values::new(text);
        let value = values.next().unwrap_or_else(|| Err(Rejection("not JSON: the record is empty".into())))?;
        values.end()?;
        Ok(value)
    }

    /// The member named `key`: spelled so, else in any case; the last one if it is there twice. Nothing: null.
    pub fn get(&'a self, key: &str) -> &'a Json<'a> {
        self.member(key.as_bytes())
    }

    fn member(&'a self, key: &[u8]) -> &'a Json<'a> {
        let Json::Object(members, _) = self else { return &NOTHING };
        let mut other_case = &NOTHING;
        for (name, value) in members.iter().rev() {
            let name = name.as_bytes();
            if name.len() != key.len() {
                continue;
            }
            if name == key {
                return value;
            }
            if name.eq_ignore_ascii_case(key) {
                other_case = value;
            }
        }
        other_case
    }

    /// The value at a path of keys with dots between, such as `client.ipAddress`.
    pub fn at(&'a self, path: &str) -> &'a Json<'a> {
        // By bytes: in paths as short as these, a search for a character costs more than the look-up.
        path.as_bytes().split(|byte| *byte == b'.').fold(self, |value, key| value.member(key))
    }

    /// Whether an object has this key with a value other than null.
    pub fn has(&'a self, key: &str) -> bool {
        !self.get(key).is_null()
    }

    /// Text as it stands.
    pub fn verbatim(&'a self) -> Option<&'a str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Text without blanks around it; the spellings of "no value" are none.
    pub fn text(&'a self) -> Option<&'a str> {
        self.verbatim().map(str::trim).filter(|text| is_value(text))
    }

    /// [`Json::text`] as an event keeps it.
    pub fn cow(&'a self) -> Text<'a> {
        self.text().map(Cow::Borrowed)
    }

    /// An id: text, or a whole number other than 0 as text.
    pub fn id(&'a self) -> Text<'a> {
        match self {
            Json::Integer(0) => None,
            Json::Integer(number) => Some(Cow::Owned(number.to_string())),
            _ => self.cow(),
        }
    }

    /// A whole number, also where it is written as text.
    pub fn integer(&'a self) -> Option<i64> {
        match self {
            Json::Integer(number) => Some(*number),
            Json::Number(number) if number.fract() == 0.0 && number.abs() < 9.0e15 => Some(*number as i64),
            _ => self.text()?.parse().ok(),
        }
    }

    /// True or false, also where it is written as text.
    pub fn boolean(&'a self) -> Option<bool> {
        match self {
            Json::Bool(value) => Some(*value),
            _ => match self.text()? {
                text if text.eq_ignore_ascii_case("true") => Some(true),
                text if text.eq_ignore_ascii_case("false") => Some(false),
                _ => None,
            },
        }
    }

    /// The items of a list; a single value counts as a list of one, null as an empty one.
    pub fn items(&'a self) -> &'a [Json<'a>] {
        match self {
            Json::List(items, _) => items,
            Json::Null => &[],
            one => std::slice::from_ref(one),
        }
    }

    /// The first item whose `key` is the text `value`, in any case: how providers keep named things in lists.
    pub fn item_where(&'a self, key: &str, value: &str) -> &'a Json<'a> {
        let names = |item: &&Json<'a>| item.get(key).text().is_some_and(|text| text.eq_ignore_ascii_case(value));
        self.items().iter().find(names).unwrap_or(&NOTHING)
    }

    /// The members of an object, in their order.
    pub fn members(&'a self) -> &'a [Member<'a>] {
        match self {
            Json::Object(members, _) => members,
            _ => &[],
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Json::Null)
    }

    pub fn is_object(&self) -> bool {
        matches!(self, Json::Object(..))
    }

    /// Where a list or an object stands in the text it was parsed from.
    pub fn span(&self) -> Option<Range<usize>> {
        match self {
            Json::List(_, span) | Json::Object(_, span) => Some(span.start as usize..span.end as usize),
            _ => None,
        }
    }

    /// What kind of value it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "true or false",
            Json::Integer(_) | Json::Number(_) => "a number",
            Json::Text(_) => "text",
            Json::List(..) => "a list",
            Json::Object(..) => "an object",
        }
    }
}

/// Whether text states a value at all.
pub fn is_value(text: &str) -> bool {
    text.len() > 13 || !NO_VALUE.iter().any(|none| none.eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_any_case_and_the_right_case_first() {
        let record = Json::parse(br#"{"eventtype":"a","EventType":"b","client":{"IPADDRESS":"192.0.2.1"}}"#).unwrap();
        assert_eq!(record.get("EventType").text(), Some("b"));
        assert_eq!(record.get("eventType").text(), Some("a"), "the first in another case");
        assert_eq!(record.at("client.ipAddress").text(), Some("192.0.2.1"));
        assert!(record.at("client.no.such").is_null());
    }

    #[test]
    fn no_value_has_many_spellings() {
        for text in ["", " ", "null", "<null>", "-", "unknown", "Not Available", "REDACTED"] {
            assert_eq!(Json::Text(text.into()).text(), None, "{text:?}");
        }
        assert_eq!(Json::Text(" a ".into()).text(), Some("a"));
    }

    #[test]
    fn numbers_and_truth_are_read_from_text_too() {
        let record = Json::parse(br#"{"a":"17","b":17.0,"c":"False","d":17.5,"e":0}"#).unwrap();
        assert_eq!((record.get("a").integer(), record.get("b").integer()), (Some(17), Some(17)));
        assert_eq!((record.get("c").boolean(), record.get("d").integer()), (Some(false), None));
        assert_eq!((record.get("a").id().as_deref(), record.get("e").id()), (Some("17"), None));
    }

    #[test]
    fn one_value_counts_as_a_list_of_one() {
        let record = Json::parse(br#"{"a":{"type":"User"},"b":[{"type":"x"},{"type":"user"}],"c":null}"#).unwrap();
        assert_eq!(
            (record.get("a").items().len(), record.get("b").items().len(), record.get("c").items().len()),
            (1, 2, 0)
        );
        assert!(record.get("b").item_where("type", "User").is_object());
    }
}
