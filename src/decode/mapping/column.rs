//! One column of an `[[event]]`: where its value comes from, and how it is read from a record.

use std::borrow::Cow;

use super::super::fields::{self, Fields};
use super::super::json::Json;
use super::clock::Clock;
use super::keys::{Key, Kind};
use super::path::{Path, is_stated, shown, word};
use crate::event::{Rejection, Text};

/// Where a column's value comes from: the first path that states one, else the default.
#[derive(Clone, Debug)]
pub struct Column {
    pub key: &'static Key,
    /// None: the default is a constant.
    pub paths: Vec<Path>,
    pub words: Option<Words>,
    pub default: Option<Constant>,
    /// How times are written, in columns that hold one.
    pub clock: Clock,
}

/// A value of the mapping itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Constant {
    Text(String),
    Texts(Vec<String>),
    Number(i64),
}

/// The source's words, and ours for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// Theirs, ours. Case does not matter in theirs.
    pub map: Vec<(String, String)>,
    pub otherwise: Otherwise,
}

/// What becomes of a word that is not in the map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// The column stays empty, with a note.
    Null,
    /// It costs the record.
    Reject,
    /// It is kept as it stands.
    Keep,
    /// It counts as this one of ours.
    Word(String),
}

impl PartialEq for Column {
    fn eq(&self, other: &Self) -> bool {
        (self.key.name, &self.paths, &self.words, &self.default, &self.clock)
            == (other.key.name, &other.paths, &other.words, &other.default, &other.clock)
    }
}

impl Words {
    fn ours(&self, theirs: &str) -> Option<&str> {
        self.map.iter().find(|(word, _)| word.eq_ignore_ascii_case(theirs)).map(|(_, ours)| ours.as_str())
    }
}

/// What was found for a column.
enum Value<'a> {
    /// Something in the record,
    Stated(&'a Path, &'a Json<'a>),
    /// or a word of the mapping for it, or its default.
    Ours(&'a str),
    None,
}

impl Column {
    /// The value in a record that counts.
    fn value<'a>(&'a self, record: &'a Json<'a>, fields: &mut Fields<'a>) -> Result<Value<'a>, Rejection> {
        for path in &self.paths {
            let value = path.of(record);
            let Some(words) = &self.words else {
                if is_stated(value) {
                    return Ok(Value::Stated(path, value));
                }
                continue;
            };
            // The map may have a word even for what is commonly no value, such as "-".
            if let Some(ours) = word(value).and_then(|word| words.ours(&word)) {
                return Ok(Value::Ours(ours));
            }
            if !is_stated(value) {
                continue;
            }
            let unmapped =
                || format!("{}: the map has no word for {} at \"{}\"", self.key.name, quoted(value), path.text);
            match &words.otherwise {
                Otherwise::Keep => return Ok(Value::Stated(path, value)),
                Otherwise::Word(ours) => return Ok(Value::Ours(ours)),
                Otherwise::Reject => return Err(Rejection(unmapped())),
                Otherwise::Null => {
                    fields.note(unmapped());
                    return Ok(Value::None);
                }
            }
        }
        match &self.default {
            Some(Constant::Text(text)) => Ok(Value::Ours(text)),
            _ => Ok(Value::None),
        }
    }

    /// A word that decides what the record means: an unknown one costs the record.
    pub fn decisive<'a, T>(
        &'a self,
        parse: fn(&str) -> Option<T>,
        record: &'a Json<'a>,
        fields: &mut Fields<'a>,
    ) -> Result<Option<T>, Rejection> {
        let (path, value) = match self.value(record, fields)? {
            Value::None => return Ok(None),
            Value::Ours(ours) => return Ok(parse(ours)),
            Value::Stated(path, value) => (path, value),
        };
        let known = word(value).and_then(|word| parse(&word).or_else(|| parse(&word.to_ascii_lowercase())));
        let (name, stated) = (self.key.name, quoted(value));
        let all = self.key.kind.words().unwrap_or_default().join(", ");
        let unknown =
            format!("{name}: {stated} at \"{}\" is none of {all}; a map in the mapping translates it", path.text);
        known.map(Some).ok_or(Rejection(unknown))
    }

    /// The text of a column.
    pub fn text<'a>(&'a self, record: &'a Json<'a>, fields: &mut Fields<'a>) -> Result<Text<'a>, Rejection> {
        let (path, value) = match self.value(record, fields)? {
            Value::None => return Ok(None),
            Value::Ours(ours) => return Ok(Some(Cow::Borrowed(ours))),
            Value::Stated(path, value) => (path, value),
        };
        Ok(match self.key.kind {
            Kind::Ip => {
                let ip = fields.ip_of(&path.text, value);
                if ip.is_none() && value.text().is_some() {
                    fields.note(format!("ip: {} at \"{}\" is no address", quoted(value), path.text));
                }
                ip
            }
            Kind::Word(words) => self.known(words, path, value, fields).map(Cow::Borrowed),
            Kind::Grant => {
                let stated = fields.text_of(&path.text, value);
                stated.map(|stated| Cow::Borrowed(grant(&stated, self.key.kind)))
            }
            _ => fields.id_of(&path.text, value),
        })
    }

    fn known<'a>(
        &self,
        words: &'static [&'static str],
        path: &Path,
        value: &Json<'a>,
        fields: &mut Fields<'a>,
    ) -> Option<&'static str> {
        let stated = word(value);
        let known = words.iter().find(|known| stated.as_ref().is_some_and(|word| known.eq_ignore_ascii_case(word)));
        if known.is_none() {
            fields.note(format!("{}: unknown value {} at \"{}\"", self.key.name, quoted(value), path.text));
        }
        known.copied()
    }

    /// The time of a column, in microseconds; where there is one that cannot be used, why.
    pub fn time(&self, record: &Json<'_>) -> Result<Option<i64>, String> {
        let stated = self.paths.iter().map(|path| (path, path.of(record))).find(|(_, value)| is_stated(value));
        let Some((path, value)) = stated else { return Ok(None) };
        let wrong = || {
            let as_stated =
                if self.clock == Clock::Any { "that is known" } else { "as the mapping says they are written" };
            format!("{}: {} at \"{}\" is no time {as_stated}", self.key.name, quoted(value), path.text)
        };
        self.clock.micros(value).map(Some).ok_or_else(wrong)
    }

    /// The list of a column.
    pub fn texts<'a>(&'a self, record: &'a Json<'a>, fields: &mut Fields<'a>) -> Vec<Cow<'a, str>> {
        match self.paths.iter().map(|path| (path, path.of(record))).find(|(_, value)| is_stated(value)) {
            Some((path, value)) => fields.scopes_of(&path.text, value),
            None => match &self.default {
                Some(Constant::Texts(texts)) => texts.iter().map(|text| Cow::Borrowed(text.as_str())).collect(),
                _ => Vec::new(),
            },
        }
    }

    /// The number of a column: `64500` or `AS64500`.
    pub fn number<'a>(&self, record: &'a Json<'a>, fields: &mut Fields<'a>) -> Option<i64> {
        let stated = self.paths.iter().map(|path| (path, path.of(record))).find(|(_, value)| is_stated(value));
        let Some((path, value)) = stated else {
            return match &self.default {
                Some(Constant::Number(number)) => Some(*number),
                _ => None,
            };
        };
        let digits = value.text().and_then(|text| text.strip_prefix("AS").or_else(|| text.strip_prefix("as")));
        let number = value.integer().or_else(|| digits?.parse().ok()).filter(|number| (0..=ASN_MAX).contains(number));
        if number.is_none() {
            fields.note(format!("{}: {} at \"{}\" is no such number", self.key.name, quoted(value), path.text));
        }
        number
    }
}

/// The largest autonomous system number (RFC 6793: 32 bits).
pub const ASN_MAX: i64 = u32::MAX as i64;

/// A grant type as it is stored.
fn grant(stated: &str, kind: Kind) -> &'static str {
    let known = kind.words().unwrap_or_default().iter().find(|word| word.eq_ignore_ascii_case(stated));
    known.copied().unwrap_or_else(|| fields::grant_type(stated))
}

/// The beginning of a value, for messages.
fn quoted(value: &Json<'_>) -> String {
    word(value).map_or_else(|| value.kind().to_owned(), |word| format!("{:?}", shown(&word)))
}
