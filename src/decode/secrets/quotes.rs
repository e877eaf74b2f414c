//! Quotes, blanks and separators, as they look at any depth of text within text.
//!
//! A quote of a JSON string within a JSON string is `\"`, one deeper `\\\"`: 2^depth - 1 backslashes. With more before it,
//! the rest belongs to the text. So a quote with n backslashes is one of the depth of n's trailing one bits, and ends
//! every string of that depth or deeper. In an address quotes are `%22`, in a page `&quot;`.

use std::ops::Range;

/// How a piece of text is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quote {
    /// As in JSON, at this depth.
    Double(u32),
    Single,
    Percent,
    Entity,
}

/// The quote that starts at `at`, backslashes included, and where the text behind it begins.
pub fn at(bytes: &[u8], at: usize) -> Option<(Quote, usize)> {
    let rest = bytes.get(at..)?;
    let backslashes = rest.iter().take(64).take_while(|b| **b == b'\\').count();
    match rest.get(backslashes..)? {
        [b'"', ..] if (backslashes + 1).is_power_of_two() => {
            Some((Quote::Double(backslashes.trailing_ones()), at + backslashes + 1))
        }
        [b'\'', ..] => Some((Quote::Single, at + backslashes + 1)),
        [b'%', b'2', b'2', ..] if backslashes == 0 => Some((Quote::Percent, at + 3)),
        [b'&', b'q', b'u', b'o', b't', b';', ..] if backslashes == 0 => Some((Quote::Entity, at + 6)),
        _ => None,
    }
}

/// The text that begins at `start`, up to the quote that ends it, and where to go on behind that. Text that is never
/// ended is cut off: it goes on to the end.
pub fn text(bytes: &[u8], start: usize, quote: Quote) -> (Range<usize>, usize) {
    let rest = bytes.get(start..).unwrap_or_default();
    let ended = match quote {
        Quote::Double(depth) => return double(bytes, start, depth),
        Quote::Single => memchr::memchr3(b'\'', b'"', b'\n', rest).map(|at| (at, 1)),
        Quote::Percent => ended(rest, b"%22"),
        Quote::Entity => ended(rest, b"&quot;"),
    };
    let (length, quote) = ended.unwrap_or((rest.len(), 0));
    // A backslash before the quote belongs to the quote.
    let tail = if quote == 0 { 0 } else { rest[..length].iter().rev().take_while(|b| **b == b'\\').count() };
    (start..start + length - tail, start + length + quote)
}

fn double(bytes: &[u8], start: usize, depth: u32) -> (Range<usize>, usize) {
    let rest = bytes.get(start..).unwrap_or_default();
    for at in memchr::memchr_iter(b'"', rest) {
        let backslashes = rest[..at].iter().rev().take_while(|b| **b == b'\\').count();
        let found = backslashes.trailing_ones();
        if found <= depth {
            let own = (1_usize << found) - 1;
            return (start..start + at - own, start + at + 1);
        }
    }
    (start..bytes.len(), bytes.len())
}

/// Where `mark` or a plain quote stands, and how long that is.
fn ended(rest: &[u8], mark: &[u8]) -> Option<(usize, usize)> {
    let quote = memchr::memchr(b'"', rest);
    let within = &rest[..quote.unwrap_or(rest.len())];
    memchr::memmem::find(within, mark).map(|at| (at, mark.len())).or(quote.map(|at| (at, 1)))
}

/// The text that ends before the quote at `end`, going backwards, and where its own quote begins.
pub fn text_before(bytes: &[u8], end: usize, depth: u32) -> Option<(Range<usize>, usize)> {
    let rest = bytes.get(..end)?;
    for at in memchr::memrchr_iter(b'"', rest) {
        let backslashes = rest[..at].iter().rev().take_while(|b| **b == b'\\').count();
        if backslashes.trailing_ones() <= depth {
            return Some((at + 1..end, at.checked_sub((1_usize << depth) - 1)?));
        }
    }
    None
}

/// Passes over blanks, plain and escaped.
pub fn blanks(bytes: &[u8], mut at: usize) -> usize {
    while let Some(rest) = bytes.get(at..) {
        let backslashes = rest.iter().take(16).take_while(|b| **b == b'\\').count();
        at += match rest.get(backslashes..) {
            Some([b' ' | b'\t' | b'\n' | b'\r', ..]) if backslashes == 0 => 1,
            Some([b'n' | b'r' | b't', ..]) if backslashes > 0 => backslashes + 1,
            Some([b'%', b'2', b'0', ..]) if backslashes == 0 => 3,
            _ => return at,
        };
    }
    at
}

/// Where blanks before `at` begin.
pub fn blanks_before(bytes: &[u8], at: usize) -> usize {
    let before = bytes.get(..at).unwrap_or_default();
    at - before.iter().rev().take_while(|b| b.is_ascii_whitespace()).count()
}

/// A separator of name and value at `at`: `:` or `=`, and where it ends.
pub fn separator(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    match bytes.get(at..)? {
        [b'=', b'>', ..] => Some((b':', at + 2)),
        [b':', b'=', ..] => Some((b'=', at + 2)),
        [sign @ (b':' | b'='), ..] => Some((*sign, at + 1)),
        [b'%', rest @ ..] => {
            // In an address within an address the sign of percent is escaped too.
            let (rest, length) = rest.strip_prefix(b"25").map_or((rest, 3), |rest| (rest, 5));
            match rest {
                [b'3', b'A' | b'a', ..] => Some((b':', at + length)),
                [b'3', b'D' | b'd', ..] => Some((b'=', at + length)),
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_end_at_their_own_quote() {
        for (text_, depth, expected) in [
            (r#"ab" x"#, 0, "ab"),
            (r#"a\"b" x"#, 0, r#"a\"b"#),
            (r#"a\\" x"#, 0, r"a\\"),
            (r#"ab\" x"#, 1, "ab"),
            (r#"a\\\"b\" x"#, 1, r#"a\\\"b"#),
            (r#"a\\\\\" x"#, 1, r"a\\\\"),
            (r#"ab" x"#, 1, "ab"),
            (r#"ab\\\" x"#, 2, "ab"),
            ("cut", 0, "cut"),
        ] {
            let (range, next) = text(text_.as_bytes(), 0, Quote::Double(depth));
            assert_eq!(&text_[range], expected, "{text_}");
            assert!(text_[next..].starts_with(" x") || next == text_.len(), "{text_}");
        }
        assert_eq!(text(b"ab%22 x", 0, Quote::Percent), (0..2, 5));
        assert_eq!(text(b"ab\" x%22", 0, Quote::Percent), (0..2, 3));
        assert_eq!(text(b"ab&quot; x", 0, Quote::Entity), (0..2, 8));
        assert_eq!(text(b"ab\\' x", 0, Quote::Single), (0..2, 4));
    }

    #[test]
    fn quotes_know_their_depth() {
        for (text, expected) in [
            (r#"""#, Some((Quote::Double(0), 1))),
            (r#"\""#, Some((Quote::Double(1), 2))),
            (r#"\\""#, None),
            (r#"\\\""#, Some((Quote::Double(2), 4))),
            ("'", Some((Quote::Single, 1))),
            ("%22", Some((Quote::Percent, 3))),
            ("x", None),
        ] {
            assert_eq!(at(text.as_bytes(), 0), expected, "{text}");
        }
        let text = r#"{"a":"b\"c"}"#;
        assert_eq!(text_before(text.as_bytes(), text.len() - 2, 0).map(|(r, at)| (&text[r], at)), Some((r#"b\"c"#, 5)));
    }

    #[test]
    fn blanks_and_separators() {
        assert_eq!(blanks(b" \t\\n\\\\r%20x", 0), 10);
        for (text, expected) in [
            (":", Some((b':', 1))),
            ("=>", Some((b':', 2))),
            ("%3D", Some((b'=', 3))),
            ("%253d", Some((b'=', 5))),
            (",", None),
        ] {
            assert_eq!(separator(text.as_bytes(), 0), expected, "{text}");
        }
    }
}
