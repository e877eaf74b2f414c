//! One key's value: typed, in range, or a mistake that says what it must be.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use toml::de::{DeArray, DeInteger, DeValue};

use super::duration::parse_duration;
use super::keys::{ASN_MAX, Key, Kind};
use super::parse::{Node, Reader};
use super::spelling::{clip, nearest};
use super::value::{Text, Value};

impl Reader<'_> {
    /// The value of a policy key.
    pub(super) fn value(&mut self, key: &Key, node: &Node, place: &str) -> Option<Value> {
        match (key.kind, node.get_ref()) {
            (Kind::Duration, _) => self.duration(key.name, node, place).map(Value::Duration),
            (Kind::Integer(min, max), DeValue::Integer(number)) => match integer(number) {
                Some(number) if (min..=max).contains(&number) => Some(Value::Integer(number)),
                _ => self.must_be(key.name, node, place, &key.kind.describe(), clip(number.as_str())),
            },
            (Kind::Number(min, max), DeValue::Integer(_) | DeValue::Float(_)) => match number(node.get_ref()) {
                Some(number) if (min..=max).contains(&number) => Some(Value::Number(number)),
                _ => self.must_be(key.name, node, place, &key.kind.describe(), "a number outside that"),
            },
            (Kind::Boolean, DeValue::Boolean(value)) => Some(Value::Boolean(*value)),
            (Kind::Choice(words), DeValue::String(text)) => self.word(key, words, text, node, place).map(Value::Text),
            (Kind::Texts, DeValue::Array(items)) => {
                self.texts(key, items, place).map(|texts| Value::Texts(texts.into()))
            }
            (Kind::Asns, DeValue::Array(items)) => {
                let numbers = items.iter().map(|item| self.whole(key.name, ASN_MAX, item, place)).collect::<Vec<_>>();
                numbers.into_iter().collect::<Option<_>>().map(Value::Integers)
            }
            (Kind::Groups, DeValue::Array(groups)) => {
                let groups = groups.iter().map(|group| match group.get_ref() {
                    DeValue::Array(items) => self.texts(key, items, place),
                    other => self.must_be(key.name, group, place, &key.kind.describe(), describe(other)),
                });
                groups.collect::<Vec<_>>().into_iter().collect::<Option<_>>().map(Value::Groups)
            }
            (kind, other) => self.must_be(key.name, node, place, &kind.describe(), describe(other)),
        }
    }

    fn texts(&mut self, key: &Key, items: &DeArray, place: &str) -> Option<Vec<Text>> {
        let texts = items.iter().map(|item| match item.get_ref() {
            DeValue::String(text) => Some(Cow::Owned(text.as_ref().to_owned())),
            other => self.must_be(key.name, item, place, &key.kind.describe(), describe(other)),
        });
        // All of them are read before one that is wrong ends it, here and below: every mistake is to be told.
        texts.collect::<Vec<_>>().into_iter().collect()
    }

    fn word(&mut self, key: &Key, words: &[&'static str], text: &str, node: &Node, place: &str) -> Option<Text> {
        if let Some(word) = words.iter().find(|word| **word == text) {
            return Some(Cow::Borrowed(word));
        }
        let advice = match nearest(text, words.iter().copied()) {
            Some((word, true)) => format!("; did you mean \"{word}\"?"),
            _ => String::new(),
        };
        self.must_be(key.name, node, place, &key.kind.describe(), &format!("\"{}\"{advice}", clip(text)))
    }

    /// Microseconds.
    pub(super) fn duration(&mut self, name: &str, node: &Node, place: &str) -> Option<i64> {
        match node.get_ref() {
            DeValue::String(text) => match parse_duration(text) {
                Ok(micros) => Some(micros),
                Err(why) => {
                    self.mistake(node.span(), format!("\"{name}\" in {place}: {why}"));
                    None
                }
            },
            other => self.must_be(name, node, place, &Kind::Duration.describe(), describe(other)),
        }
    }

    /// Text with something in it.
    pub(crate) fn text(&mut self, name: &str, node: &Node, place: &str) -> Option<String> {
        match node.get_ref() {
            DeValue::String(text) if !text.trim().is_empty() => Some(text.as_ref().to_owned()),
            DeValue::String(_) => self.must_be(name, node, place, "text", "empty"),
            other => self.must_be(name, node, place, "text", describe(other)),
        }
    }

    /// The instant an exception ends, in microseconds; a date is its first instant in UTC.
    pub(super) fn until(&mut self, node: &Node, place: &str) -> Option<i64> {
        let text = match node.get_ref() {
            DeValue::String(text) => text.as_ref().to_owned(),
            DeValue::Datetime(time) => time.to_string(),
            other => return self.must_be("until", node, place, UNTIL, describe(other)),
        };
        let date = || text.parse::<Date>().ok().filter(|_| text.len() == "2026-12-31".len());
        let midnight = || date().and_then(|date| date.to_zoned(TimeZone::UTC).ok()).map(|zoned| zoned.timestamp());
        match text.parse::<Timestamp>().ok().or_else(midnight) {
            Some(time) => Some(time.as_microsecond()),
            None => self.must_be("until", node, place, UNTIL, &format!("\"{}\"", clip(&text))),
        }
    }

    /// A whole number from 0 to `max`.
    pub(super) fn whole(&mut self, name: &str, max: i64, node: &Node, place: &str) -> Option<i64> {
        let wanted = format!("a whole number from 0 to {max}");
        match node.get_ref() {
            DeValue::Integer(number) => match integer(number) {
                Some(number) if (0..=max).contains(&number) => Some(number),
                _ => self.must_be(name, node, place, &wanted, clip(number.as_str())),
            },
            other => self.must_be(name, node, place, &wanted, describe(other)),
        }
    }

    /// Says what `name` must be, and what it is.
    pub(crate) fn must_be<T>(&mut self, name: &str, node: &Node, place: &str, wanted: &str, not: &str) -> Option<T> {
        self.mistake(node.span(), format!("\"{}\" in {place} must be {wanted}, not {not}", clip(name)));
        None
    }
}

const UNTIL: &str = "a date or an RFC 3339 time with offset, such as \"2026-12-31\" or \"2026-12-31T18:00:00Z\"";

pub(crate) fn integer(number: &DeInteger) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn number(value: &DeValue) -> Option<f64> {
    match value {
        DeValue::Integer(number) => integer(number).map(|number| number as f64),
        DeValue::Float(number) => number.as_str().parse().ok(),
        _ => None,
    }
}

/// What was written, in words.
pub(crate) fn describe(value: &DeValue) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
