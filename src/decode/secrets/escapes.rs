//! Escapes that spell letters: `\u0065yJ` is `eyJ`, `\/` is `/`, and inside a string within a string the backslashes double.
//!
//! A search for secrets must see the letters. So they are put in place of such escapes before it looks; where it then
//! finds nothing, the record stays as it came. In JSON the result means the same, at whatever depth the escape stood.

use std::borrow::Cow;

/// More backslashes in a row than six strings within each other need are left alone: they double at each depth.
const BACKSLASHES_MAX: usize = 32;

/// How often escapes are looked for that others left behind, which happens in damaged text only.
const PASSES_MAX: usize = 8;

/// The bytes with every escaped printable letter in its plain spelling; borrowed if there is none.
pub fn plain(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut plain = once(bytes);
    for _ in 1..PASSES_MAX {
        let Cow::Owned(before) = &plain else { break };
        let Cow::Owned(after) = once(before) else { break };
        plain = Cow::Owned(after);
    }
    plain
}

fn once(bytes: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr_iter(b'\\', bytes).find(|at| spelled(&bytes[at + 1..]).is_some()) else {
        return Cow::Borrowed(bytes);
    };
    let mut out = Vec::with_capacity(bytes.len());
    let mut backslashes = bytes[..first].iter().rev().take_while(|b| **b == b'\\').count();
    out.extend_from_slice(&bytes[..first]);
    let mut rest = &bytes[first..];
    while let Some((byte, after)) = rest.split_first() {
        let escape = if (1..=BACKSLASHES_MAX).contains(&backslashes) { spelled(rest) } else { None };
        match escape {
            Some((letter, length)) => {
                // How deep it stands: each string within a string doubles the backslashes before it.
                let step = 1 << backslashes.trailing_zeros();
                let wanted = match letter {
                    b'"' => backslashes + step - 1,
                    b'\\' => backslashes + step,
                    _ => backslashes - step,
                };
                out.truncate(out.len() - backslashes);
                out.resize(out.len() + wanted, b'\\');
                if letter == b'\\' {
                    backslashes = wanted;
                } else {
                    out.push(letter);
                    backslashes = 0;
                }
                rest = rest.get(length..).unwrap_or_default();
            }
            None => {
                out.push(*byte);
                backslashes = if *byte == b'\\' { backslashes + 1 } else { 0 };
                rest = after;
            }
        }
    }
    Cow::Owned(out)
}

/// The printable letter that the text behind a backslash stands for, and how long that text is.
fn spelled(rest: &[u8]) -> Option<(u8, usize)> {
    match rest {
        [b'/', ..] => Some((b'/', 1)),
        [b'u', b'0', b'0', high, low, ..] => {
            let digit = |b: &u8| char::from(*b).to_digit(16);
            let letter = u8::try_from(digit(high)? * 16 + digit(low)?).ok()?;
            (b' '..=b'~').contains(&letter).then_some((letter, 5))
        }
        _ => None,
    }
}

/// How many bytes at the start of a run of letters belong to an escape before it: `\nghp_` starts with `ghp_`, and so
/// does `%20ghp_`.
pub fn tail(bytes: &[u8], start: usize) -> usize {
    let before = bytes.get(..start).unwrap_or_default();
    let rest = bytes.get(start..).unwrap_or_default();
    match before.last() {
        Some(b'\\') => match rest {
            [b'u', digits @ ..] if digits.iter().take(4).filter(|b| b.is_ascii_hexdigit()).count() == 4 => 5,
            [b'b' | b'f' | b'n' | b'r' | b't', ..] => 1,
            _ => 0,
        },
        Some(b'%') if rest.iter().take(2).filter(|b| b.is_ascii_hexdigit()).count() == 2 => 2,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plainly(text: &str) -> String {
        String::from_utf8(plain(text.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn escaped_letters_become_letters() {
        for (text, expected) in [
            (r#"{"a":"\u0065yJ\/x"}"#, r#"{"a":"eyJ/x"}"#),
            (r#"{"a":"{\"b\":\"\\u0065yJ\\/x\"}"}"#, r#"{"a":"{\"b\":\"eyJ/x\"}"}"#),
            (r#"{"a":"{\u0022b\u0022:1}"}"#, r#"{"a":"{\"b\":1}"}"#),
            (r#"{"a":"x\u005cu0065"}"#, r#"{"a":"xe"}"#),
            (r#"{"a":"\\\u0065"}"#, r#"{"a":"\\e"}"#),
            (r#"["\\u0022"]"#, r#"["\\\""]"#),
            (r#"["\\u005c"]"#, r#"["\\\\"]"#),
            (r#"["\u006\u0065"]"#, r#"["n"]"#),
        ] {
            assert_eq!(plainly(text), expected);
            assert!(serde_json::from_str::<serde_json::Value>(expected).is_ok(), "{expected}");
            assert_eq!(plainly(expected), expected);
        }
        for text in [r#"{"a":"\n\u00e9\u0000\ud83d\ude00 \"x\" \\"}"#, "", "\\", "\\u00", "\\u00g1", "plain"] {
            assert!(matches!(plain(text.as_bytes()), Cow::Borrowed(_)), "{text}");
        }
    }

    #[test]
    fn rows_of_backslashes_do_not_grow_without_end() {
        let many = format!("{}{}", "\\".repeat(16), "u005c".repeat(10_000));
        assert!(plainly(&many).len() < 2 * many.len());
        let once = plainly(&many);
        assert_eq!(plainly(&once), once);
    }

    #[test]
    fn an_escape_before_a_word_is_not_part_of_it() {
        for (text, length) in [("\\nabc", 1), ("\\u00e9abc", 5), ("%20abc", 2), ("%zzabc", 0), ("xabc", 0)] {
            assert_eq!(tail(text.as_bytes(), 1), length, "{text}");
        }
    }
}
