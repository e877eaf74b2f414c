//! Name, separator, value: the one grammar of JSON, JSON within strings, query strings, forms, headers, connection
//! strings and log lines. Where the name is that of a secret, the value is one.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::escapes;
use super::names::{self, Kind};
use super::quotes::{self, Quote};
use super::text;
use super::{Form, Found};

/// Longest name that is read backwards from where a word of it was found.
const NAME_MAX: usize = 100;
/// Deepest nesting of a value that is walked through.
const DEPTH_MAX: u32 = 128;

/// Parts of the names that [`names::is_value`] knows.
static VALUES: LazyLock<[Finder<'static>; 2]> = LazyLock::new(|| [Finder::new("alue"), Finder::new("ALUE")]);

/// How a value is written: what may be a word of a sentence is judged more mildly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Quoted,
    Assigned,
    Prose,
}

/// What is known of a value from its name.
#[derive(Clone, Copy)]
struct Named {
    kind: Kind,
    /// The depth of the name's quotes, if name and separator are those of JSON.
    json: Option<u32>,
    separator: u8,
    /// Whether the name is written in capitals, as its neighbours then are.
    capital: bool,
    /// Whether every member of an object so named is a secret, like cookies by their own names.
    all: bool,
    depth: u32,
}

/// Reads fields around the places where a word of their name was found.
pub struct Fields<'a> {
    bytes: &'a [u8],
    /// Bytes that may still be walked through: nested values would be walked again and again.
    budget: usize,
    /// Whether anything is called a value, in small letters or in capitals, once that was asked.
    has_values: [Option<bool>; 2],
    /// Whether all of it is JSON, once that was asked.
    is_json: Option<bool>,
    pub found: Vec<Found>,
}

impl<'a> Fields<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            budget: bytes.len().saturating_mul(16).saturating_add(4096),
            has_values: [None; 2],
            is_json: None,
            found: Vec::new(),
        }
    }

    fn has_values(&mut self, capital: bool) -> bool {
        let bytes = self.bytes;
        let word = &VALUES[usize::from(capital)];
        *self.has_values[usize::from(capital)].get_or_insert_with(|| word.find(bytes).is_some())
    }

    /// Whether there was more to walk through than is allowed; then what was found is not all.
    pub fn is_exhausted(&self) -> bool {
        self.budget == 0
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    /// Reads the field in whose name `word` stands, and gives the end of the name.
    pub fn read(&mut self, word: Range<usize>) -> usize {
        let is_name = |b: &&u8| b.is_ascii_alphanumeric() || b"_-.$".contains(b);
        let (left, right) = (&self.bytes[..word.start], &self.bytes[word.end..]);
        let start = word.start - left.iter().rev().take(NAME_MAX).take_while(is_name).count();
        let start = (start + escapes::tail(self.bytes, start)).min(word.start);
        let end = word.end + right.iter().take_while(is_name).count();
        let (quote, next) = quotes::at(self.bytes, end).map_or((None, end), |(quote, next)| (Some(quote), next));
        let at = quotes::blanks(self.bytes, next);
        let name = start..end;
        match (quotes::separator(self.bytes, at), self.byte(at), quote) {
            (Some((separator, at)), ..) => self.field(name, quote, separator, at),
            (None, Some(b'>'), None) => self.element(name, at + 1),
            (None, Some(b',' | b'}' | b']'), Some(Quote::Double(depth))) => {
                self.named_by_value(name, depth, at);
            }
            _ => {}
        }
        end
    }

    /// `name: value`, `"name": value`, `name=value`.
    fn field(&mut self, name: Range<usize>, quote: Option<Quote>, separator: u8, at: usize) {
        let start = quotes::blanks(self.bytes, at);
        let capital = self.byte(name.end - 1).is_some_and(|last| last.is_ascii_uppercase());
        let is_object = self.byte(start) == Some(b'{');
        // Nearly every object named like a token has ids only, and any closer look would cost more than all the rest.
        if is_object && !self.has_values(capital) && !names::may_be_cookie(&self.bytes[name.clone()]) {
            return;
        }
        let Some(kind) = names::kind(&self.bytes[name.clone()]) else { return };
        let json = match quote {
            Some(Quote::Double(depth)) if separator == b':' => Some(depth),
            _ => None,
        };
        // In `urn:a:token:b` and `arn:aws:service:secret:b` the name is a part of another.
        let is_part = |before: usize| self.byte(before) == Some(b':') && separator == b':' && start == at;
        if quote.is_none() && name.start.checked_sub(1).is_some_and(is_part) {
            return;
        }
        if let Some((Quote::Double(depth), text)) = quotes::at(self.bytes, start)
            && self.ends_text(quote, depth, text)
        {
            return;
        }
        if !is_object && self.is_stated_hash(&name) {
            return;
        }
        let all = kind == Kind::Cookie;
        self.value(start, Named { kind, json, separator, capital, all, depth: 0 });
    }

    /// Whether the members beside this one say that it is a hash of a token (OAuth Event Types 1.0, section 2: the subject of
    /// a revoked token).
    fn is_stated_hash(&self, name: &Range<usize>) -> bool {
        const NEAR: usize = 512;
        if !self.bytes[name.clone()].eq_ignore_ascii_case(b"token") {
            return false;
        }
        let from = name.start.saturating_sub(NEAR);
        let to = self.bytes.len().min(name.end + NEAR);
        let start = memchr::memrchr(b'{', &self.bytes[from..name.start]).map_or(from, |at| from + at);
        let end = memchr::memchr(b'}', &self.bytes[name.end..to]).map_or(to, |at| name.end + at);
        let object = &self.bytes[start..end];
        let stated = b"token_identifier_alg";
        let value = memchr::memmem::find(object, stated).map(|at| &object[at + stated.len()..]);
        value.is_some_and(|value| memchr::memmem::find(&value[..value.len().min(16)], b"hash_").is_some())
    }

    /// Whether a quote behind name and separator ends the text they stand in, as in `"enter password:"`.
    fn ends_text(&mut self, name: Option<Quote>, depth: u32, text: usize) -> bool {
        match name {
            Some(Quote::Double(own)) => depth < own,
            // Inside a string of JSON a plain quote cannot begin anything. In other text it may.
            _ if depth == 0 => *self.is_json.get_or_insert_with(|| super::is_json(self.bytes)),
            _ => self.byte(quotes::blanks(self.bytes, text)).is_none_or(|next| b",:]}".contains(&next)),
        }
    }

    /// `<name>value</name>`, as in XML.
    fn element(&mut self, name: Range<usize>, at: usize) {
        let before = name.start.checked_sub(1).and_then(|before| self.byte(before));
        if let (Some(b'<' | b':'), Some(kind)) = (before, names::kind(&self.bytes[name])) {
            let length = memchr::memchr2(b'<', b'"', &self.bytes[at..]).unwrap_or(self.bytes.len() - at);
            self.judge(at..at + length, kind, Manner::Quoted, Form::Text);
        }
    }

    /// Reads the value at `at` and gives its end; nothing if it cannot be walked through.
    fn value(&mut self, at: usize, named: Named) -> Option<usize> {
        if let Some((quote, start)) = quotes::at(self.bytes, at) {
            let (range, next) = quotes::text(self.bytes, start, quote);
            self.spend(next - at)?;
            self.quoted(range, named);
            return Some(next);
        }
        match (self.byte(at)?, named.json) {
            (b'[', Some(_)) => self.list(at, named),
            (b'{', Some(_)) => self.object(at, named),
            (b't' | b'f' | b'n', Some(_)) => {
                const WORDS: [&[u8]; 3] = [b"true", b"false", b"null"];
                WORDS.iter().find(|word| self.bytes[at..].starts_with(word)).map(|word| at + word.len())
            }
            (b'-' | b'0'..=b'9', Some(depth)) => {
                let end = self.skip(at, named.depth)?;
                // A password of digits is one; a number of tokens is none.
                if named.kind == Kind::Password {
                    self.found.push(Found { range: at..end, form: Form::Number(depth) });
                }
                Some(end)
            }
            // Where a list or an object is broken, it ends.
            _ if named.depth > 0 => None,
            _ => {
                self.unquoted(at, named);
                None
            }
        }
    }

    fn quoted(&mut self, range: Range<usize>, named: Named) {
        let blank = self.bytes[range.clone()].iter().take_while(|b| b.is_ascii_whitespace()).count();
        let start = range.start + blank;
        let is_json = match self.bytes.get(start..range.end) {
            Some([b'{' | b'[', inner, ..]) => b"\"\\{[]} 0123456789".contains(inner),
            _ => false,
        };
        // JSON in a string holds fields of its own. They are read by themselves, but for those that only say `value`.
        if is_json && named.kind != Kind::Password {
            self.value(start, Named { json: Some(0), ..named });
        } else {
            self.judge(range, named.kind, Manner::Quoted, Form::Text);
        }
    }

    fn unquoted(&mut self, at: usize, named: Named) {
        let manner = if named.separator == b'=' { Manner::Assigned } else { Manner::Prose };
        let rest = self.bytes.get(at..).unwrap_or_default();
        let line = || rest.iter().position(|b| b"\r\n\"\\".contains(b)).unwrap_or(rest.len());
        if named.kind == Kind::Cookie && manner == Manner::Prose {
            self.judge(at..at + line(), named.kind, manner, Form::Text);
            return;
        }
        let end = at + word(rest);
        let scheme = text::scheme(rest);
        if scheme > 0 && named.kind != Kind::Password {
            let after = &rest[scheme..];
            // These carry lists of parameters rather than one word.
            let is_list = [b"digest".as_slice(), b"aws4", b"hawk", b"oauth", b"mac"]
                .iter()
                .any(|name| rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)));
            let end = if is_list { at + line().max(scheme) } else { at + scheme + word(after) };
            self.judge(at + scheme..end, named.kind, Manner::Assigned, Form::Percent);
        } else {
            self.judge(at..end, named.kind, manner, Form::Percent);
        }
    }

    /// Takes a value for a secret, unless it plainly is none.
    fn judge(&mut self, range: Range<usize>, kind: Kind, manner: Manner, form: Form) {
        let Some(value) = self.bytes.get(range.clone()) else { return };
        let front = value.iter().take_while(|b| b.is_ascii_whitespace()).count();
        let value = value.trim_ascii();
        let scheme = if kind == Kind::Password { 0 } else { text::scheme(value) };
        let value = &value[scheme..];
        let is_secret = !text::is_blank_or_mask(value)
            && match (kind, manner) {
                (Kind::Password, Manner::Quoted | Manner::Assigned) => true,
                (Kind::Code, _) => is_code(value),
                (_, Manner::Quoted | Manner::Assigned) => !text::is_short_word(value),
                (_, Manner::Prose) => value.len() >= 6 && text::is_no_prose(value),
            };
        if is_secret {
            let start = range.start + front + scheme;
            self.found.push(Found { range: start..start + value.len(), form });
        }
    }

    fn list(&mut self, at: usize, named: Named) -> Option<usize> {
        let named = deeper(named)?;
        let mut at = at + 1;
        loop {
            let next = quotes::blanks(self.bytes, at);
            self.spend(next + 1 - at)?;
            at = match self.byte(next)? {
                b']' => return Some(next + 1),
                b',' => next + 1,
                b'-' | b'0'..=b'9' => self.skip(next, named.depth)?,
                _ => self.value(next, named)?,
            };
        }
    }

    fn object(&mut self, at: usize, named: Named) -> Option<usize> {
        if !named.all && !self.has_values(named.capital) {
            return None;
        }
        self.members(at + 1, deeper(named)?)
    }

    /// Reads the values among the members of an object, from `at` to its end.
    fn members(&mut self, mut at: usize, named: Named) -> Option<usize> {
        loop {
            let next = quotes::blanks(self.bytes, at);
            self.spend(next + 1 - at)?;
            match self.byte(next)? {
                b'}' => return Some(next + 1),
                b',' => at = next + 1,
                _ => {
                    let (quote @ Quote::Double(depth), start) = quotes::at(self.bytes, next)? else { return None };
                    let (key, after) = quotes::text(self.bytes, start, quote);
                    self.spend(after - next)?;
                    let after = quotes::blanks(self.bytes, after);
                    let (b':', after) = quotes::separator(self.bytes, after)? else { return None };
                    let after = quotes::blanks(self.bytes, after);
                    let is_value = named.all || names::is_value(&self.bytes[key]);
                    let named = Named { json: Some(depth), ..named };
                    at = if is_value { self.value(after, named)? } else { self.skip(after, named.depth)? };
                }
            }
        }
    }

    /// A name that is itself a value: `{"name": "token", "value": …}`, either way around, and `["token", …]`.
    fn named_by_value(&mut self, name: Range<usize>, depth: u32, at: usize) -> Option<()> {
        let quote = 1_usize << depth;
        let open = name.start.checked_sub(quote)?;
        (quotes::at(self.bytes, open)? == (Quote::Double(depth), name.start)).then_some(())?;
        let before = quotes::blanks_before(self.bytes, open).checked_sub(1)?;
        match self.byte(before)? {
            b'[' => self.pair(name, at),
            b':' => {
                let key_end = quotes::blanks_before(self.bytes, before).checked_sub(quote)?;
                let is_name = |b: &&u8| b.is_ascii_alphanumeric() || b"_-.$".contains(b);
                let length = self.bytes[..key_end].iter().rev().take(NAME_MAX).take_while(is_name).count();
                let key = key_end - length..key_end;
                names::names_another(&self.bytes[key.clone()]).then_some(())?;
                let kind = names::kind(&self.bytes[name])?;
                let named = Named { kind, json: Some(depth), separator: b':', capital: false, all: false, depth: 0 };
                if self.byte(at) == Some(b',') {
                    self.members(at, named);
                }
                self.member_before(key.start.checked_sub(quote)?, depth, named)
            }
            _ => None,
        }
    }

    /// A list of two: a header and what it holds.
    fn pair(&mut self, name: Range<usize>, at: usize) -> Option<()> {
        let kind = names::kind(&self.bytes[name])?;
        (self.byte(at)? == b',').then_some(())?;
        let (quote, start) = quotes::at(self.bytes, quotes::blanks(self.bytes, at + 1))?;
        let (range, next) = quotes::text(self.bytes, start, quote);
        self.spend(next - start)?;
        let is_all = self.byte(quotes::blanks(self.bytes, next))? == b']';
        let is_prose = !text::is_no_prose(&self.bytes[range.clone()]);
        if is_all && !is_prose {
            self.judge(range, kind, Manner::Quoted, Form::Text);
        }
        Some(())
    }

    /// The member whose end stands before `at`, if it is called a value.
    fn member_before(&mut self, at: usize, depth: u32, named: Named) -> Option<()> {
        let quote = 1_usize << depth;
        let comma = quotes::blanks_before(self.bytes, at).checked_sub(1)?;
        (self.byte(comma)? == b',').then_some(())?;
        let end = quotes::blanks_before(self.bytes, comma).checked_sub(quote)?;
        let (Quote::Double(found), _) = quotes::at(self.bytes, end)? else { return None };
        (found == depth).then_some(())?;
        let (value, open) = quotes::text_before(self.bytes, end, depth)?;
        self.spend(end - open)?;
        let colon = quotes::blanks_before(self.bytes, open).checked_sub(1)?;
        (self.byte(colon)? == b':').then_some(())?;
        let key_end = quotes::blanks_before(self.bytes, colon).checked_sub(quote)?;
        let letters = self.bytes[..key_end].iter().rev().take(NAME_MAX);
        let length = letters.take_while(|b| b.is_ascii_alphanumeric() || b"_-.".contains(b)).count();
        if names::is_value(&self.bytes[key_end - length..key_end]) {
            self.quoted(value, named);
        }
        Some(())
    }

    /// Passes over a JSON value.
    fn skip(&mut self, at: usize, depth: u32) -> Option<usize> {
        let (mut next, mut open) = (at, 0);
        loop {
            if let Some((quote, start)) = quotes::at(self.bytes, next) {
                let (_, after) = quotes::text(self.bytes, start, quote);
                self.spend(after - next)?;
                next = after;
            } else {
                self.spend(1)?;
                match self.byte(next)? {
                    b'{' | b'[' => {
                        open += 1;
                        (depth + open <= DEPTH_MAX).then_some(())?;
                        next += 1;
                    }
                    b'}' | b']' if open == 0 => return Some(next),
                    b'}' | b']' => {
                        open -= 1;
                        next += 1;
                    }
                    b',' if open == 0 => return Some(next),
                    // Numbers, true, false, null and what stands between; anything else is no JSON.
                    byte if b"0123456789+-.eEtrufalsn:\\ \t\r\n".contains(&byte) => {
                        next += 1;
                        continue;
                    }
                    _ => return None,
                }
            }
            if open == 0 {
                return Some(next);
            }
        }
    }

    fn spend(&mut self, bytes: usize) -> Option<()> {
        self.budget = self.budget.saturating_sub(bytes);
        (self.budget > 0).then_some(())
    }
}

fn deeper(named: Named) -> Option<Named> {
    (named.depth < DEPTH_MAX).then_some(Named { depth: named.depth + 1, ..named })
}

/// Whether this is an authorization code and not the number of an error or of a kind of event.
fn is_code(value: &[u8]) -> bool {
    let is_long = value.len() >= 16 || (value.len() >= 10 && value.iter().any(u8::is_ascii_lowercase));
    is_long && text::looks_random(value)
}

/// How long an unquoted value is.
fn word(rest: &[u8]) -> usize {
    const ESCAPED_ENDS: [&[u8]; 7] = [b"%26", b"%20", b"%22", b"%0A", b"%0a", b"%3B", b"%27"];
    let ends = |at: usize, byte: u8| match byte {
        b'%' => rest.get(at..at + 3).is_some_and(|code| ESCAPED_ENDS.contains(&code)),
        0..=b' ' | 0x7f => true,
        _ => b"\"'\\&;,<>()[]{}|`".contains(&byte),
    };
    rest.iter().enumerate().find(|(at, byte)| ends(*at, **byte)).map_or(rest.len(), |(at, _)| at)
}
