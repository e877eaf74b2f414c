//! The first of the two looks at every byte: where a long run of token letters stands, and whether it is a secret by
//! its own syntax.
//!
//! Every such secret is at least [`RUN_LEAST`] letters long, and so covers two whole blocks of eight bytes in a row.
//! That is seen in a few instructions a block; the runs that are left are few, and looked at closely.

use std::ops::Range;

use super::escapes;
use super::jwt::{self, Encoded};
use super::prefixes;
use super::text::{self, looks_random};

/// The shortest run that is looked at: 23 letters cover two blocks of 8 wherever they start.
const RUN_LEAST: usize = 23;
const BLOCK: usize = 8;

/// One byte eight times.
const fn eight(byte: u8) -> u64 {
    u64::from_le_bytes([byte; BLOCK])
}

/// The bytes of eight that are no letters of [`is_letter`], or that are `+`, which few runs need: zero if there is none.
fn others(block: &[u8; BLOCK]) -> u64 {
    const HIGH: u64 = eight(0x80);
    let word = u64::from_le_bytes(*block);
    let low = word & !HIGH;
    // The high bit of each byte of the result: whether its lower seven bits lie between first and last.
    let between = |low: u64, first: u8, last: u8| (low + eight(0x80 - first)) & !(low + eight(0x7f - last));
    let letters = between(low | eight(0x20), b'a', b'z') | between(low, b'-', b'9') | between(low, b'_', b'_');
    !(letters & !word) & HIGH
}

/// What a run is made of.
fn is_letter(byte: u8) -> bool {
    LETTERS[usize::from(byte)]
}

static LETTERS: [bool; 256] = {
    let mut letters = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let letter = byte as u8;
        letters[byte] = letter.is_ascii_alphanumeric() || matches!(letter, b'_' | b'-' | b'.' | b'/' | b'+');
        byte += 1;
    }
    letters
};

/// What was found, and what has to be looked into by whoever can.
pub enum Run {
    Secret(Range<usize>),
    /// Text in base64: a secret if there is one inside.
    Wrapped(Range<usize>, Vec<u8>),
    /// It may be the secret key of an AWS access key, if one of those is near.
    PerhapsAws(Range<usize>),
}

/// Calls `found` for everything that has the syntax of a secret, in order.
pub fn find(bytes: &[u8], mut found: impl FnMut(Run)) {
    let mut from = 0;
    while let Some(at) = two_blocks(bytes, from) {
        from = look(bytes, at, &mut found);
    }
}

/// Where the second of two blocks of letters starts, from the block on that `from` lies in.
///
/// Not inlined: the few numbers that the loop needs must stay in registers.
#[inline(never)]
fn two_blocks(bytes: &[u8], from: usize) -> Option<usize> {
    let first = from / BLOCK;
    let blocks = bytes.as_chunks::<BLOCK>().0.get(first..)?;
    let (fours, rest) = blocks.as_chunks::<4>();
    let mut before = u64::MAX;
    for (index, four) in fours.iter().enumerate() {
        let [a, b, c, d] = four.each_ref().map(others);
        let pairs = [before | a, a | b, b | c, c | d];
        // Four at a time: a branch for each costs more than what it decides.
        if pairs.contains(&0) {
            let place = pairs.iter().take_while(|pair| **pair != 0).count();
            return Some((first + index * 4 + place) * BLOCK);
        }
        before = d;
    }
    for (index, block) in rest.iter().enumerate() {
        let now = others(block);
        if before | now == 0 {
            return Some((first + fours.len() * 4 + index) * BLOCK);
        }
        before = now;
    }
    None
}

/// Looks at the run of letters around two blocks, of which the second starts at `at`, and gives its end.
fn look(bytes: &[u8], at: usize, found: &mut impl FnMut(Run)) -> usize {
    let (start, end) = (at.saturating_sub(BLOCK), at + BLOCK);
    let left = bytes.get(..start).unwrap_or_default();
    let right = bytes.get(end..).unwrap_or_default();
    let start = start - left.iter().rev().take_while(|b| is_letter(**b)).count();
    let end = end + right.iter().take_while(|b| is_letter(**b)).count();
    if end - start >= RUN_LEAST {
        examine(bytes, start, end, found);
    }
    end
}

/// Looks for secrets at every place in a run where one may start.
fn examine(bytes: &[u8], start: usize, end: usize, found: &mut impl FnMut(Run)) {
    let first = start + escapes::tail(bytes, start);
    let mut at = first;
    let mut nothing = true;
    while at < end {
        let starts_here = at == first || !bytes[at - 1].is_ascii_alphanumeric();
        let secret = if starts_here { prefixes::find(bytes, first, at) } else { None };
        // JSON in base64 is known anywhere: what stands before it may be anything.
        let encoded = if secret.is_none() { jwt::find(bytes, at) } else { None };
        let (range, run) = match (secret, encoded) {
            (Some(range), _) | (None, Some(Encoded::Token(range))) => (range.clone(), Run::Secret(range)),
            (None, Some(Encoded::SecurityEvent(range, inside) | Encoded::Json(range, inside))) => {
                (range.clone(), Run::Wrapped(range, inside))
            }
            (None, None) => {
                at = next_start(bytes, at, end);
                continue;
            }
        };
        nothing = false;
        at = range.end.max(at + 1);
        found(run);
    }
    if nothing {
        odd(bytes, first, end, found);
    }
}

/// The next place behind `at` where a secret may start: behind a mark, or where JSON in base64 may.
fn next_start(bytes: &[u8], at: usize, end: usize) -> usize {
    let starts = |two: &[u8]| match two {
        [before, _] if !before.is_ascii_alphanumeric() => true,
        [_, letter] => matches!(letter, b'e' | b'W'),
        _ => false,
    };
    let rest = bytes.get(at..end).unwrap_or_default();
    rest.windows(2).position(starts).map_or(end, |place| at + place + 1)
}

/// Secrets without a prefix that are known by their shape.
fn odd(bytes: &[u8], start: usize, end: usize, found: &mut impl FnMut(Run)) {
    const AWS_SECRET: usize = 40;
    let run = &bytes[start.min(end)..end];
    // Client secrets of Entra: three letters, `8Q~` or `7Q~`, and the rest.
    let before = start.checked_sub(6).and_then(|before| bytes.get(before..start));
    if let Some([a, b, c, b'7' | b'8', b'Q', b'~']) = before
        && [a, b, c].iter().all(|byte| is_letter(**byte))
        && run.len() >= 28
    {
        found(Run::Secret(start - 6..end));
    } else if run.len() == AWS_SECRET
        && !run.iter().any(|b| b"_-.".contains(b))
        && run.iter().any(u8::is_ascii_digit)
        && run.iter().any(u8::is_ascii_uppercase)
        && run.iter().any(u8::is_ascii_lowercase)
        && bytes.get(end) != Some(&b'=')
    {
        found(Run::PerhapsAws(start..end));
    }
}

/// Calls `found` for every run of 20 letters or more that looks random: for bytes of which nothing else is known.
pub fn find_random(bytes: &[u8], mut found: impl FnMut(Range<usize>)) {
    const RANDOM_LEAST: usize = 20;
    let is_letter = |byte: u8| is_letter(byte) || b"=~".contains(&byte);
    let mut at = 0;
    while at < bytes.len() {
        if text::starts_with_fingerprint(&bytes[at..]) {
            at += text::FINGERPRINT_LENGTH;
            continue;
        }
        let start = at;
        let length = bytes[at..].iter().take_while(|b| is_letter(**b)).count();
        at = start + length.max(1);
        // The first letters of a fingerprint are none of the run before it.
        if at >= start + 2 && bytes.get(at) == Some(&b':') && text::starts_with_fingerprint(&bytes[at - 2..]) {
            at -= 2;
        }
        let start = start + escapes::tail(bytes, start).min(at - start);
        // The blanks of base64 and the marks of a sentence are not part of it.
        let end = at - bytes[start..at].iter().rev().take_while(|b| b"=.-".contains(b)).count();
        if end - start >= RANDOM_LEAST && looks_random(&bytes[start..end]) {
            found(start..at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_for_a_secret_or_a_person_is_passed_over() {
        for stands in ["fp:530efdd1:700118219a716cb87130f2a9005b91c0", "pn:530efdd1:700118219a716cb87130f2a9005b91c0"] {
            for text in [stands.to_owned(), format!("id = '{stands}'"), format!("a{stands}{stands} b")] {
                find_random(text.as_bytes(), |range| panic!("{:?} of {text}", &text[range]));
            }
        }
    }

    #[test]
    fn blocks_are_told_apart_byte_by_byte() {
        for byte in 0..=u8::MAX {
            let expected = is_letter(byte) && byte != b'+';
            for place in 0..BLOCK {
                let mut block = *b"aZ09_-./";
                block[place] = byte;
                assert_eq!(others(&block) == 0, expected, "{byte:#x} at {place}");
            }
        }
    }

    #[test]
    fn a_secret_is_found_wherever_it_starts() {
        let secret = "hvs.AbCdEfGhIjKlMnOpQrS1";
        for before in 0..40 {
            let text = format!("{} {secret}\"{}", "x".repeat(before), "y".repeat(before % 11));
            let mut ranges = Vec::new();
            find(text.as_bytes(), |run| {
                if let Run::Secret(range) = run {
                    ranges.push(range);
                }
            });
            let ranges: Vec<_> = ranges.into_iter().map(|r| &text[r]).collect();
            assert_eq!(ranges, [secret], "{text}");
        }
    }

    fn random(text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        find_random(text.as_bytes(), |range| found.push(&text[range]));
        found
    }

    #[test]
    fn random_runs() {
        assert_eq!(random("x f81d4fae-7dec-11d0-a765-00a0c91e6bf6, y"), ["f81d4fae-7dec-11d0-a765-00a0c91e6bf6"]);
        assert_eq!(random("k=Zm9vYmFyYmF6cXV4MTIzNDU2Nzg=;"), ["k=Zm9vYmFyYmF6cXV4MTIzNDU2Nzg="]);
        assert_eq!(random("/usr/lib/python3.11/site-packages com.example.application.Main"), [""; 0]);
        let fingerprint = format!("fp:0123abcd:{}", "a1b2c3d4".repeat(4));
        assert_eq!(random(&format!("a {fingerprint} b")), [""; 0]);
        assert_eq!(random(&fingerprint), [""; 0]);
    }
}
