//! The second look at every byte: words that announce a secret. What stands around each is then read closely.

use std::ops::Range;

use aho_corasick::packed::{Config, Searcher};
use aho_corasick::{AhoCorasick, Span};

use super::fields::Fields;
use super::key::base64;
use super::text;
use super::{Form, Found, escapes};

/// What a word announces.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Anchor {
    /// It is part of a name that may be that of a secret.
    Name,
    /// A scheme and a credential, as in headers.
    Bearer,
    Basic,
    Okta,
    /// The first line of a key in PEM.
    Pem,
    /// An address that may hold a password.
    Url,
}

/// The words. Names of secrets are found by a part that they share, in small letters and in capitals; the first letter is
/// left out where it may be either. Not more than 64, and none shorter than three bytes: then the search stays fast.
///
/// Their order decides which of them are looked for together, and so how often the search stops for nothing: between two
/// orders there is a factor of three. This one was the fastest of many thousands on records of all providers.
const WORDS: [(&str, Anchor); 35] = [
    ("jwt\"", Anchor::Name),
    ("ookie", Anchor::Name),
    ("SSERTION", Anchor::Name),
    ("UTHORI", Anchor::Name),
    ("Pwd", Anchor::Name),
    ("PWD", Anchor::Name),
    ("MLResponse", Anchor::Name),
    ("ignature", Anchor::Name),
    ("OOKIE", Anchor::Name),
    ("ECRET", Anchor::Name),
    ("ssertion", Anchor::Name),
    ("oken", Anchor::Name),
    ("Key", Anchor::Name),
    ("pass", Anchor::Name),
    ("_key", Anchor::Name),
    ("://", Anchor::Url),
    ("pwd", Anchor::Name),
    ("CODE", Anchor::Name),
    ("OKEN", Anchor::Name),
    ("uthori", Anchor::Name),
    ("asic", Anchor::Basic),
    ("sig=", Anchor::Name),
    ("BEGIN", Anchor::Pem),
    ("PASS", Anchor::Name),
    ("Pass", Anchor::Name),
    ("earer", Anchor::Bearer),
    ("-key", Anchor::Name),
    ("IKEY", Anchor::Name),
    ("Code", Anchor::Name),
    ("ikey", Anchor::Name),
    ("ecret", Anchor::Name),
    ("SSWS", Anchor::Okta),
    ("code", Anchor::Name),
    ("_KEY", Anchor::Name),
    ("-KEY", Anchor::Name),
];

/// Finds the words, many bytes at a time where the processor can.
pub struct Anchors {
    packed: Option<Searcher>,
    plain: AhoCorasick,
}

impl Anchors {
    pub fn new() -> Self {
        let words = || WORDS.iter().map(|(word, _)| word);
        // Cannot fail: a few dozen short words are far from any limit of the automaton.
        let plain = AhoCorasick::new(words()).expect("an automaton of a few short words");
        // Twice as many buckets make fewer false alarms, which is what costs here.
        let wide = Config::new().only_teddy_fat(Some(true)).builder().extend(words()).build();
        Self { packed: wide.or_else(|| Config::new().builder().extend(words()).build()), plain }
    }

    fn next(&self, bytes: &[u8], from: usize) -> Option<(Anchor, Range<usize>)> {
        let span = Span { start: from, end: bytes.len() };
        let found = match &self.packed {
            Some(packed) => packed.find_in(bytes, span),
            None => self.plain.find(aho_corasick::Input::new(bytes).span(span)),
        }?;
        Some((WORDS.get(found.pattern().as_usize())?.1, found.range()))
    }

    /// Everything that is announced by one of the words; nothing if there was too much to walk through.
    pub fn find(&self, bytes: &[u8], found: &mut Vec<Found>) -> Option<()> {
        let mut fields = Fields::new(bytes);
        let mut from = 0;
        while let Some((anchor, word)) = self.next(bytes, from) {
            from = word.end;
            let announced = match anchor {
                Anchor::Name => None,
                Anchor::Bearer => {
                    credential(bytes, word.end, 8).filter(|range| text::is_no_prose(&bytes[range.clone()]))
                }
                Anchor::Basic => credential(bytes, word.end, 6).filter(|range| is_basic(&bytes[range.clone()])),
                Anchor::Okta => credential(bytes, word.end, 20),
                Anchor::Pem => match private_key(bytes, word.start) {
                    Some(range) => {
                        from = range.end;
                        found.push(Found { range, form: Form::Pem });
                        continue;
                    }
                    None => continue,
                },
                Anchor::Url => password(bytes, word.end),
            };
            match announced {
                Some(range) => {
                    // The name of a user may hold the name of a field.
                    from = if anchor == Anchor::Url { from } else { range.end.max(from) };
                    found.push(Found { range, form: Form::Percent });
                }
                None if matches!(anchor, Anchor::Name | Anchor::Bearer) => from = fields.read(word).max(from),
                None => {}
            }
        }
        let is_exhausted = fields.is_exhausted();
        found.append(&mut fields.found);
        (!is_exhausted).then_some(())
    }
}

/// The credential behind a scheme that ends at `at`, if it is at least so long.
fn credential(bytes: &[u8], at: usize, least: usize) -> Option<Range<usize>> {
    let rest = bytes.get(at..)?;
    let mut start = 0;
    loop {
        match rest.get(start..)? {
            [b' ' | b'+' | b':', ..] => start += 1,
            [b'%', b'2', b'0', ..] => start += 3,
            _ => break,
        }
    }
    let is_letter = |b: &&u8| b.is_ascii_alphanumeric() || b"_-.~+/=%".contains(b);
    let length = rest[start..].iter().take_while(is_letter).count();
    // The first letters of a fingerprint are none of what stands before it.
    let is_fingerprint = length >= 2 && text::starts_with_fingerprint(&rest[start + length - 2..]);
    let length = if is_fingerprint { length - 2 } else { length };
    let text = &rest[start..start + length];
    let tail = text.iter().rev().take_while(|b| b".-".contains(b)).count();
    let is_one = start > 0 && length - tail >= least && !text::starts_with_fingerprint(&rest[start..]);
    is_one.then_some(at + start..at + start + length - tail)
}

/// Whether this is the credential of the scheme Basic (RFC 7617): a name and a password with a colon between them.
fn is_basic(text: &[u8]) -> bool {
    base64(text).is_some_and(|pair| pair.contains(&b':') && !pair.iter().any(u8::is_ascii_control))
}

/// A private key in PEM (RFC 7468), of whose first line `BEGIN` stands at `at`: to its last line, or as far as it goes.
fn private_key(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    const DASHES: &[u8] = b"-----";
    const LABEL_MAX: usize = 64;
    let start = at.checked_sub(DASHES.len())?;
    bytes.get(start..at)?.eq(DASHES).then_some(())?;
    let rest = bytes.get(at..)?;
    let label = memchr::memmem::find(&rest[..rest.len().min(LABEL_MAX)], DASHES)?;
    memchr::memmem::find(&rest[..label], b"PRIVATE KEY")?;
    let body = &rest[label..];
    // Inside JSON the text ends with its string, wherever the last line is.
    let body = &body[..memchr::memchr(b'"', body).unwrap_or(body.len())];
    let body_end = at + label + body.len();
    let backslashes = body.iter().rev().take_while(|b| **b == b'\\').count();
    let Some(last) = memchr::memmem::find(body, b"-----END") else { return Some(start..body_end - backslashes) };
    let after = &body[last + DASHES.len()..];
    let closed = memchr::memmem::find(&after[..after.len().min(LABEL_MAX)], DASHES)
        .filter(|length| memchr::memmem::find(&after[..*length], b"PRIVATE KEY").is_some())
        .map(|length| last + length + 2 * DASHES.len());
    let end = closed.unwrap_or(body.len() - backslashes);
    Some(start..at + label + end)
}

/// The password in an address (RFC 3986, section 3.2.1), whose authority starts at `at`; or a long name that stands
/// there without a password, which is then a token.
fn password(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    const NAME_LEAST: usize = 20;
    let rest = bytes.get(at..)?;
    let ends = |b: &u8| b.is_ascii_whitespace() || b.is_ascii_control() || b"/?#\"'<>\\,".contains(b);
    let authority = &rest[..rest.iter().position(ends).unwrap_or(rest.len())];
    let host = memchr::memrchr(b'@', authority)?;
    let user = &authority[..host];
    let start = match memchr::memchr(b':', user) {
        Some(colon) => colon + 1,
        None if user.len() >= NAME_LEAST && text::looks_random(user) => 0,
        None => return None,
    };
    let password = user.get(start..)?;
    let is_done = text::has_fingerprint(user) || text::is_blank_or_mask(password);
    let is_one = !password.is_empty() && !is_done;
    is_one.then_some(at + start..at + host)
}

/// Whether an access key of AWS stands in the record: what looks like a secret key then is one.
pub fn names_aws_key(bytes: &[u8]) -> bool {
    [b"AKIA".as_slice(), b"ASIA"].iter().any(|start| {
        memchr::memmem::find_iter(bytes, start).any(|at| {
            let key = &bytes[at + escapes::tail(bytes, at)..];
            key.iter().take(20).filter(|b| b.is_ascii_uppercase() || b.is_ascii_digit()).count() == 20
        })
    })
}
