//! A token value must never reach the disk. Whatever is one is replaced by a keyed fingerprint before anything else
//! looks at the record, so that columns, originals, notes and messages are clean alike.
//!
//! What counts as a secret:
//! - what has the syntax of one, wherever it stands: JWTs ([`jwt`]), the prefixes of issuers ([`prefixes`]), credentials in
//!   headers and addresses, private keys ([`anchors`]);
//! - what stands in a field named for one ([`names`], [`fields`]), unless it plainly is none: a word, a mask, a number;
//! - in bytes that nobody can read, every long run that looks random ([`runs`]): fail closed.
//!
//! Ids stay, however random they look: without them nothing could be followed. The same secret always gives the same
//! fingerprint under one key, in whatever field and at whatever depth of strings within strings it stands.
//!
//! Two looks at each byte decide whether a record holds anything that must be read closely; nearly none does, and those
//! are handed back as they came.

mod anchors;
mod escapes;
mod fields;
mod jwt;
pub mod key;
mod names;
mod prefixes;
pub mod pseudonyms;
mod quotes;
mod runs;
mod text;

use std::borrow::Cow;
use std::ops::Range;

use crate::event::hex;
use anchors::Anchors;
use key::Key;
use runs::Run;

/// Deepest base64 within base64 that is looked into. What is deeper is replaced unseen.
const WRAPS_MAX: u32 = 4;

/// Replaces secrets by fingerprints. Cheap to use from many threads; expensive to make.
pub struct Redactor {
    key: Key,
    anchors: Anchors,
}

/// How a secret is written, and so how to come to the same text for the same secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    /// In an address or a form: bytes may be percent-encoded.
    Percent,
    /// Lines of base64.
    Pem,
    /// A JSON number in a string of this depth: its fingerprint needs quotes.
    Number(u32),
}

/// A secret in a record.
#[derive(Clone, Debug)]
struct Found {
    range: Range<usize>,
    form: Form,
}

impl Redactor {
    /// One that makes its fingerprints with this key.
    pub fn new(key: Key) -> Self {
        Self { key, anchors: Anchors::new() }
    }

    /// The key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The record without secrets; borrowed if there were none. JSON stays JSON.
    pub fn redact<'a>(&self, record: &'a [u8]) -> Cow<'a, [u8]> {
        let plain = escapes::plain(record);
        match self.find(&plain, 0) {
            Some(found) if found.is_empty() => Cow::Borrowed(record),
            Some(found) => Cow::Owned(self.replace(&plain, found)),
            None => Cow::Owned(self.all_of(record)),
        }
    }

    /// What is kept of a record that could not be decoded. JSON is treated like any record. In anything else every long
    /// run that looks random is taken for a secret too, and what is compressed is replaced as a whole.
    pub fn redact_rejected<'a>(&self, record: &'a [u8]) -> Cow<'a, [u8]> {
        if is_json(record) {
            return self.redact(record);
        }
        if is_compressed(record) {
            return Cow::Owned(self.all_of(record));
        }
        // Text in UTF-16 has a zero beside each letter, which would hide every run.
        let dense = if record.contains(&0) {
            Cow::Owned(record.iter().copied().filter(|b| *b != 0).collect())
        } else {
            Cow::Borrowed(record)
        };
        let plain = escapes::plain(&dense);
        let Some(mut found) = self.find(&plain, 0) else { return Cow::Owned(self.all_of(record)) };
        runs::find_random(&plain, |range| found.push(Found { range, form: Form::Text }));
        if found.is_empty() { Cow::Borrowed(record) } else { Cow::Owned(self.replace(&plain, found)) }
    }

    /// A message that may quote a record: what is not JSON is redacted like what cannot be read.
    pub fn redact_message<'a>(&self, message: &'a str) -> Cow<'a, str> {
        match self.redact_rejected(message.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(message),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }

    /// What stands for a secret: `fp:`, the key's id, `:`, 32 hexadecimal digits.
    pub fn fingerprint(&self, secret: &[u8]) -> String {
        format!("fp:{}:{}", self.key.id(), hex(&self.key.hmac(b"secret", secret)))
    }

    /// The secrets of a record, in order and apart; nothing if they are too many layers deep to be found.
    fn find(&self, bytes: &[u8], wraps: u32) -> Option<Vec<Found>> {
        let mut found = Vec::new();
        let mut perhaps = Vec::new();
        runs::find(bytes, |run| match run {
            Run::Secret(range) => found.push(Found { range, form: Form::Text }),
            Run::PerhapsAws(range) => perhaps.push(range),
            Run::Wrapped(range, inside) => {
                let is_clean =
                    wraps < WRAPS_MAX && self.find(&escapes::plain(&inside), wraps + 1).is_some_and(|f| f.is_empty());
                if !is_clean {
                    found.push(Found { range, form: Form::Text });
                }
            }
        });
        if !perhaps.is_empty() && anchors::names_aws_key(bytes) {
            found.extend(perhaps.into_iter().map(|range| Found { range, form: Form::Text }));
        }
        self.anchors.find(bytes, &mut found)?;
        Some(found)
    }

    fn replace(&self, bytes: &[u8], mut found: Vec<Found>) -> Vec<u8> {
        found.sort_by_key(|f| (f.range.start, std::cmp::Reverse(f.range.end)));
        let mut out = Vec::with_capacity(bytes.len() + 32 * found.len());
        let mut done = 0;
        let mut rest = found.into_iter().peekable();
        while let Some(mut next) = rest.next() {
            // Found twice, or one within the other: the larger of them is the secret.
            while let Some(other) = rest.next_if(|other| other.range.start < next.range.end) {
                next.range.end = next.range.end.max(other.range.end);
            }
            out.extend_from_slice(bytes.get(done..next.range.start).unwrap_or_default());
            let secret = bytes.get(next.range.clone()).unwrap_or_default();
            let quote = match next.form {
                Form::Number(depth) => [vec![b'\\'; (1 << depth) - 1], b"\"".to_vec()].concat(),
                _ => Vec::new(),
            };
            out.extend_from_slice(&quote);
            out.extend_from_slice(self.fingerprint(&spelled_out(secret, next.form)).as_bytes());
            out.extend_from_slice(&quote);
            done = next.range.end;
        }
        out.extend_from_slice(bytes.get(done..).unwrap_or_default());
        out
    }

    /// One fingerprint for the whole of it, as a JSON string.
    fn all_of(&self, record: &[u8]) -> Vec<u8> {
        format!("\"{}\"", self.fingerprint(record)).into_bytes()
    }
}

/// The secret itself, however it was written: without escapes, blanks and the frame of a key file.
fn spelled_out(secret: &[u8], form: Form) -> Cow<'_, [u8]> {
    let secret = secret.trim_ascii();
    match form {
        Form::Pem => {
            let text: Vec<u8> = unescaped_lines(secret);
            let lines = text.split(|b| b.is_ascii_whitespace()).filter(|line| !line.is_empty());
            let framed = |line: &&[u8]| !line.contains(&b'-') && !line.eq_ignore_ascii_case(b"PRIVATE");
            Cow::Owned(lines.filter(framed).flatten().copied().collect())
        }
        Form::Percent if secret.contains(&b'%') => Cow::Owned(without_percent(&without_backslashes(secret))),
        _ => without_backslashes(secret),
    }
}

/// Escaped ends of lines as blanks.
fn unescaped_lines(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut escaped = false;
    for byte in text {
        match byte {
            b'\\' => escaped = true,
            b'n' | b'r' | b't' if escaped => {
                out.push(b' ');
                escaped = false;
            }
            other => {
                out.push(*other);
                escaped = false;
            }
        }
    }
    out
}

/// How many backslashes there are depends on the depth; what they stand before does not.
fn without_backslashes(text: &[u8]) -> Cow<'_, [u8]> {
    if text.contains(&b'\\') {
        Cow::Owned(text.iter().copied().filter(|b| *b != b'\\').collect())
    } else {
        Cow::Borrowed(text)
    }
}

fn without_percent(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(*byte);
                rest = after;
            }
        }
    }
    out
}

fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

/// Whether the bytes start like one of the usual ways to compress: gzip, zlib, zstd, bzip2, xz, LZ4, framed Snappy, zip.
fn is_compressed(bytes: &[u8]) -> bool {
    const STARTS: [&[u8]; 11] = [
        b"\x1f\x8b",
        b"\x78\x01",
        b"\x78\x5e",
        b"\x78\x9c",
        b"\x78\xda",
        b"\x28\xb5\x2f\xfd",
        b"BZh",
        b"\xfd7zXZ",
        b"\x04\x22\x4d\x18",
        b"\xff\x06\x00\x00sNaPpY",
        b"PK\x03\x04",
    ];
    STARTS.iter().any(|start| bytes.starts_with(start)) && std::str::from_utf8(bytes).is_err()
}

#[cfg(test)]
mod tests;
