//! JSON text to a tree: one pass, no copy of text without escapes, a limit on depth.

use std::borrow::Cow;

use super::{Json, Member};
use crate::decode::DEPTH_MAX;
use crate::event::Rejection;

/// Text of bytes.
pub fn utf8(bytes: &[u8]) -> Result<&str, Rejection> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(Rejection("not JSON: a byte order mark before the record".into()));
    }
    std::str::from_utf8(bytes).map_err(|e| Rejection(format!("not UTF-8: bad byte at {}", e.valid_up_to())))
}

/// The JSON values that stand one after the other in a text.
pub struct Values<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    /// Members and items of all values that are open, innermost last.
    members: Vec<Member<'a>>,
    items: Vec<Json<'a>>,
}

/// What is wrong, here.
struct Fault(&'static str);

type Parsed<T> = Result<T, Fault>;

impl<'a> Iterator for Values<'a> {
    type Item = Result<Json<'a>, Rejection>;

    /// The next value; `None` at the end of the text. After an error nothing is said about what follows: see
    /// [`Values::skip_line`].
    fn next(&mut self) -> Option<Self::Item> {
        self.blanks()?;
        self.depth = 0;
        self.members.clear();
        self.items.clear();
        Some(self.value().map_err(|fault| self.rejection(&fault)))
    }
}

impl<'a> Values<'a> {
    pub fn new(text: &'a str) -> Self {
        // Spans are 32 bits wide; records are far shorter, and what is longer is cut off and so no JSON.
        let text = if u32::try_from(text.len()).is_ok() { text } else { "" };
        Self { text, bytes: text.as_bytes(), at: 0, depth: 0, members: Vec::new(), items: Vec::new() }
    }

    /// Where the next value would begin, in bytes.
    pub fn position(&mut self) -> usize {
        self.blanks();
        self.at
    }

    /// Where the last value ended, in bytes.
    pub fn end_of_last(&self) -> usize {
        self.at
    }

    /// Goes on at a place of the text.
    pub fn go_to(&mut self, at: usize) {
        self.at = at;
    }

    /// Goes on behind the end of the line.
    pub fn skip_line(&mut self) {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at = memchr::memchr(b'\n', rest).map_or(self.bytes.len(), |line| self.at + line + 1);
    }

    /// Nothing but blanks may follow.
    pub fn end(&mut self) -> Result<(), Rejection> {
        match self.blanks() {
            None => Ok(()),
            Some(_) => Err(Rejection(format!("not JSON: more text after the record at byte {}", self.at))),
        }
    }

    fn rejection(&self, fault: &Fault) -> Rejection {
        if self.depth > DEPTH_MAX {
            return Rejection(format!("the record: nested deeper than {DEPTH_MAX} levels"));
        }
        Rejection(format!("not JSON: {} at byte {}", fault.0, self.at))
    }

    /// The next byte that is not blank, without passing it.
    fn blanks(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at)? {
                b' ' | b'\n' | b'\t' | b'\r' => self.at += 1,
                byte => return Some(*byte),
            }
        }
    }

    fn value(&mut self) -> Parsed<Json<'a>> {
        match self.blanks().ok_or(Fault("the text ends before its value"))? {
            b'"' => Ok(Json::Text(self.string()?)),
            b'{' => self.nested(Self::object),
            b'[' => self.nested(Self::list),
            b't' => self.word("true", Json::Bool(true)),
            b'f' => self.word("false", Json::Bool(false)),
            b'n' => self.word("null", Json::Null),
            b'-' | b'0'..=b'9' => self.number(),
            _ => Err(Fault("a value was expected")),
        }
    }

    fn word(&mut self, word: &str, value: Json<'a>) -> Parsed<Json<'a>> {
        let stands = self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes()));
        if !stands {
            return Err(Fault("a value was expected"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn nested(&mut self, read: fn(&mut Self) -> Parsed<Json<'a>>) -> Parsed<Json<'a>> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Fault("nested too deep"));
        }
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn object(&mut self) -> Parsed<Json<'a>> {
        let (start, first) = (self.at as u32, self.members.len());
        self.at += 1;
        if self.blanks() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(Box::default(), start..self.at as u32));
        }
        loop {
            if self.blanks() != Some(b'"') {
                return Err(Fault("a key was expected"));
            }
            let key = self.string()?;
            if self.blanks() != Some(b':') {
                return Err(Fault("a colon was expected"));
            }
            self.at += 1;
            let value = self.value()?;
            self.members.push((key, value));
            match self.blanks() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(Fault("a comma or a closing brace was expected")),
            }
        }
        self.at += 1;
        Ok(Json::Object(self.members.split_off(first).into_boxed_slice(), start..self.at as u32))
    }

    fn list(&mut self) -> Parsed<Json<'a>> {
        let (start, first) = (self.at as u32, self.items.len());
        self.at += 1;
        if self.blanks() == Some(b']') {
            self.at += 1;
            return Ok(Json::List(Box::default(), start..self.at as u32));
        }
        loop {
            let value = self.value()?;
            self.items.push(value);
            match self.blanks() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(Fault("a comma or a closing bracket was expected")),
            }
        }
        self.at += 1;
        Ok(Json::List(self.items.split_off(first).into_boxed_slice(), start..self.at as u32))
    }

    fn number(&mut self) -> Parsed<Json<'a>> {
        let start = self.at;
        self.at += usize::from(self.bytes.get(self.at) == Some(&b'-'));
        let leads_with_zero = self.bytes.get(self.at) == Some(&b'0');
        let whole = self.digits()?;
        if leads_with_zero && whole > 1 {
            return Err(Fault("a number with a zero before it"));
        }
        let mut is_whole = true;
        if self.bytes.get(self.at) == Some(&b'.') {
            (is_whole, self.at) = (false, self.at + 1);
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            (is_whole, self.at) = (false, self.at + 1);
            self.at += usize::from(matches!(self.bytes.get(self.at), Some(b'+' | b'-')));
            self.digits()?;
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        if is_whole && let Ok(number) = text.parse() {
            return Ok(Json::Integer(number));
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Json::Number(number)),
            _ => Err(Fault("a number out of range")),
        }
    }

    fn digits(&mut self) -> Parsed<usize> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        if digits == 0 { Err(Fault("a digit was expected")) } else { Ok(digits) }
    }

    /// Text behind its opening quote, with the closing one passed.
    #[inline]
    fn string(&mut self) -> Parsed<Cow<'a, str>> {
        self.at += 1;
        let start = self.at;
        self.at = self.stop(start)?;
        if self.bytes.get(self.at) != Some(&b'"') {
            return self.escaped(start);
        }
        let plain = self.text.get(start..self.at).unwrap_or_default();
        self.at += 1;
        Ok(Cow::Borrowed(plain))
    }

    /// Text that is not all as it stands, from its start; the place reached is the first character that is not.
    fn escaped(&mut self, start: usize) -> Parsed<Cow<'a, str>> {
        let mut unescaped = String::new();
        let mut from = start;
        loop {
            let stop = self.at;
            unescaped.push_str(self.text.get(from..stop).unwrap_or_default());
            match self.bytes.get(stop) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(unescaped));
                }
                Some(b'\\') => unescaped.push(self.escape()?),
                _ => return Err(Fault("a control character in text")),
            }
            from = self.at;
            self.at = self.stop(from)?;
        }
    }

    /// Where text that goes on here ends or has an escape.
    fn stop(&self, from: usize) -> Parsed<usize> {
        let rest = self.bytes.get(from..).unwrap_or_default();
        Ok(from + special(rest).ok_or(Fault("text without an end"))?)
    }

    /// One character written with a backslash.
    fn escape(&mut self) -> Parsed<char> {
        let letter = self.bytes.get(self.at + 1).copied().ok_or(Fault("text without an end"))?;
        let character = match letter {
            b'"' | b'\\' | b'/' => letter as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => return Err(Fault("an unknown escape")),
        };
        self.at += 2;
        Ok(character)
    }

    /// `\uXXXX`, or two of them for a character beyond the first plane. Half a pair, as tools leave it that cut text at
    /// a length, becomes the replacement character.
    fn unicode(&mut self) -> Parsed<char> {
        let high = self.hex(self.at).ok_or(Fault("four hexadecimal digits were expected"))?;
        self.at += 6;
        if (0xd800..0xdc00).contains(&high)
            && let Some(low @ 0xdc00..0xe000) = self.hex(self.at)
        {
            self.at += 6;
            let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        Ok(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex(&self, at: usize) -> Option<u32> {
        let digits = self.bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |code, digit| Some(code << 4 | (*digit as char).to_digit(16)?))
    }
}

/// Where the next quote, backslash or control character is, eight bytes at a time.
fn special(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = ONES << 7;
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let equals = |byte: u8| {
            let differs = word ^ (ONES * u64::from(byte));
            differs.wrapping_sub(ONES) & !differs
        };
        // In each mask the lowest set bit is true; bits above it may not be.
        let below = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (equals(b'"') | equals(b'\\') | below) & HIGH;
        if found != 0 {
            return Some(index * 8 + (found.trailing_zeros() / 8) as usize);
        }
    }
    let place = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
    Some(words.len() * 8 + place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_serde(value: &Json<'_>) -> serde_json::Value {
        match value {
            Json::Null => serde_json::Value::Null,
            Json::Bool(value) => (*value).into(),
            Json::Integer(number) => (*number).into(),
            Json::Number(number) => (*number).into(),
            Json::Text(text) => text.as_ref().into(),
            Json::List(items, _) => items.iter().map(as_serde).collect(),
            Json::Object(members, _) => serde_json::Value::Object(
                members.iter().map(|(key, value)| (key.to_string(), as_serde(value))).collect(),
            ),
        }
    }

    #[test]
    fn says_what_another_reader_says() {
        let text = r#" {"a":[1,-2.5e3,"x\n\u00e9\ud83d\ude00 é","",{},[]],"b":{"c":null,"d":true},"a\"b":false,"n":9223372036854775807} "#;
        for end in 0..=text.len() {
            let Some(part) = text.get(..end) else { continue };
            let theirs: Result<serde_json::Value, _> = serde_json::from_str(part);
            let ours = Json::parse(part.as_bytes());
            assert_eq!(ours.as_ref().ok().map(as_serde), theirs.ok(), "{part}");
        }
        for text in ["01", "1.", "-", "1e", "[1,]", "{\"a\":1,}", "{,}", "nul", "\"\u{1}\"", "\"\\x\"", "1 2", "1e999"]
        {
            assert!(Json::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn half_a_pair_is_replaced() {
        let value = Json::parse(br#""a\ud83dz\udc00""#).unwrap();
        assert_eq!(value.verbatim(), Some("a\u{fffd}z\u{fffd}"));
    }

    #[test]
    fn spans_are_the_text_of_the_value() {
        let text = r#"{"a": [ {"b":1}, [2] ] }"#;
        let value = Json::parse(text.as_bytes()).unwrap();
        let inner = |value: &Json<'_>| text.get(value.span().unwrap()).unwrap().to_owned();
        assert_eq!(inner(&value), text);
        assert_eq!(inner(&value.get("a").items()[0]), r#"{"b":1}"#);
        assert_eq!(inner(&value.get("a").items()[1]), "[2]");
    }

    #[test]
    fn values_follow_each_other_and_a_broken_line_is_skipped() {
        let mut values = Values::new("{\"a\":1}\n{\"b\n{\"c\":3} 4");
        assert!(values.next().unwrap().is_ok());
        assert!(values.next().unwrap().is_err());
        values.skip_line();
        assert!(values.next().unwrap().unwrap().has("c"));
        assert_eq!(values.next().unwrap().unwrap(), Json::Integer(4));
        assert!(values.next().is_none());
    }

    #[test]
    fn depth_has_a_limit() {
        let deep = "[".repeat(100_000);
        assert!(Json::parse(deep.as_bytes()).unwrap_err().0.contains("nested deeper"));
        let fits = format!("{}{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX));
        assert!(Json::parse(fits.as_bytes()).is_ok());
    }
}
