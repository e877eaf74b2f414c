//! What a piece of text looks like: a word that people write, a mask, a fingerprint, or something random.

/// How long a fingerprint is: `fp:`, the id of the key, `:`, 32 hexadecimal digits.
pub const FINGERPRINT_LENGTH: usize = 3 + 8 + 1 + 32;
/// Longest text that can be a plain word in a field named for a token.
const WORD_MAX: usize = 16;

/// Whether the text starts with a fingerprint.
pub fn starts_with_fingerprint(text: &[u8]) -> bool {
    let is_hex = |part: Option<&[u8]>| {
        part.is_some_and(|part| part.iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b)))
    };
    (text.starts_with(b"fp:") || text.starts_with(b"pn:"))
        && text.get(11) == Some(&b':')
        && is_hex(text.get(3..11))
        && is_hex(text.get(12..FINGERPRINT_LENGTH))
}

/// Whether a fingerprint stands anywhere in the text.
pub fn has_fingerprint(text: &[u8]) -> bool {
    memchr::memchr_iter(b':', text).any(|at| at.checked_sub(2).is_some_and(|at| starts_with_fingerprint(&text[at..])))
}

/// Whether the text only says that there is no value, or hides it already.
pub fn is_blank_or_mask(text: &[u8]) -> bool {
    const WORDS: [&str; 20] = [
        "null",
        "none",
        "nil",
        "undefined",
        "true",
        "false",
        "n/a",
        "na",
        "unknown",
        "empty",
        "redacted",
        "hidden",
        "masked",
        "removed",
        "filtered",
        "protected",
        "scrubbed",
        "not available",
        "unavailable",
        "hidden_due_to_security_reasons",
    ];
    let text = text.trim_ascii();
    let inner = text.strip_prefix(b"[").or(text.strip_prefix(b"<")).or(text.strip_prefix(b"(")).unwrap_or(text);
    let inner = inner.strip_suffix(b"]").or(inner.strip_suffix(b">")).or(inner.strip_suffix(b")")).unwrap_or(inner);
    text.iter().all(|b| b"*.-_#?[]<>(){} ".contains(b))
        || WORDS.iter().any(|word| inner.eq_ignore_ascii_case(word.as_bytes()))
        || (text.iter().all(|b| b"*xX.-_".contains(b)))
        || is_shown_in_part(text)
        // Done before: what is left around a fingerprint was judged then.
        || has_fingerprint(text)
        // Hashed by the one who wrote it, like the audit device of Vault does.
        || text.starts_with(b"hmac-sha256:")
        // A place to put the value, in a template.
        || (text.starts_with(b"${") && text.ends_with(b"}"))
        || (text.starts_with(b"{{") && text.ends_with(b"}}"))
}

/// Hidden but for a few letters that tell one from another, like `******VM-`: the rest is not there to be found.
fn is_shown_in_part(text: &[u8]) -> bool {
    const SHOWN_MAX: usize = 12;
    let shown = text.iter().filter(|b| **b != b'*').count();
    shown <= SHOWN_MAX && memchr::memmem::find(text, b"***").is_some()
}

/// Whether the text is a short word or name of things, like `refresh`, `refresh_token` or `Not set`.
pub fn is_short_word(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    if text.len() <= 3 {
        return true;
    }
    let is_letter = |b: &u8| b.is_ascii_alphabetic() || b"_- ".contains(b);
    text.len() <= WORD_MAX
        && text.iter().all(is_letter)
        && text.split(|b| b"_- ".contains(b)).all(|part| part.len() < 3 || part.iter().any(is_vowel))
        && !looks_random(text)
}

/// Whether the text looks made by dice rather than by people: digits among letters, capitals in the middle of words,
/// no vowel for a long time. Errs towards random.
pub fn looks_random(text: &[u8]) -> bool {
    let mut mixed = 0;
    for part in text.split(|b| !b.is_ascii_alphanumeric()) {
        let digits = part.iter().filter(|b| b.is_ascii_digit()).count();
        let random = if digits == part.len() {
            digits >= 20
        } else if digits == 0 {
            has_random_letters(part)
        } else if is_numbered_word(part) {
            false
        } else {
            mixed += part.len();
            mixed >= 8
        };
        if random {
            return true;
        }
    }
    false
}

/// Whether the text is more than words, numbers and marks: something with digits in it, or that looks random.
pub fn is_no_prose(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_digit) || looks_random(text)
}

/// How long the scheme before a credential is, blanks included: `Bearer `, `Basic `. Zero if there is none.
pub fn scheme(text: &[u8]) -> usize {
    const SCHEMES: [&str; 18] = [
        "bearer",
        "basic",
        "dpop",
        "token",
        "ssws",
        "negotiate",
        "ntlm",
        "digest",
        "apikey",
        "api-key",
        "key",
        "oauth",
        "hawk",
        "mac",
        "aws4-hmac-sha256",
        "googlelogin",
        "splunk",
        "pat",
    ];
    let length = text.iter().take(20).take_while(|b| b.is_ascii_alphanumeric() || **b == b'-').count();
    let (word, rest) = text.split_at(length);
    if !SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme.as_bytes())) {
        return 0;
    }
    let mut blanks = 0;
    while let Some([blank, more @ ..]) = rest.get(blanks..) {
        blanks += match blank {
            b' ' | b'+' | b'\t' => 1,
            b'%' if more.starts_with(b"20") => 3,
            _ => break,
        };
    }
    if blanks == 0 { 0 } else { length + blanks }
}

/// A word and a number behind it, like `sha256` or `AADSTS50173`.
fn is_numbered_word(part: &[u8]) -> bool {
    let letters = part.iter().take_while(|b| b.is_ascii_alphabetic()).count();
    let (word, number) = part.split_at(letters);
    (1..=6).contains(&number.len())
        && number.iter().all(u8::is_ascii_digit)
        && (word.len() <= 4 || !has_random_letters(word))
}

fn has_random_letters(letters: &[u8]) -> bool {
    if letters.len() < 8 {
        return false;
    }
    let is_hump = |two: &[u8]| two[0].is_ascii_lowercase() && two[1].is_ascii_uppercase();
    let humps = letters.windows(2).filter(|two| is_hump(two)).count();
    let changes = letters.windows(2).filter(|two| two[0].is_ascii_lowercase() != two[1].is_ascii_lowercase()).count();
    // Words in one are longer than four letters on average; dice change the case at every other letter.
    let choppy = (letters.len() >= 16 && (humps + 1) * 4 > letters.len())
        || (letters.len() >= 20 && changes * 3 > letters.len());
    let long = humps == 0 && letters.len() > 24;
    let words = letters.chunk_by(|one, next| !is_hump(&[*one, *next]));
    let unspeakable = words.filter(|word| word.len() > 1 && !word.iter().any(is_vowel)).count();
    long || choppy || unspeakable >= 2 || letters.split(is_vowel).any(|consonants| consonants.len() >= 6)
}

fn is_vowel(letter: &u8) -> bool {
    b"aeiouyAEIOUY".contains(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_not_random() {
        for text in [
            "refresh_token",
            "com.example.application.Service",
            "/usr/lib/python3.11/site-packages",
            "AADSTS50173",
            "ip-10-0-12-34.eu-west-1.compute.internal",
            "AuthorizationRequestDenied",
            "invalid_grant",
            "sha256",
            "urn:ietf:params:oauth:grant-type:device_code",
            "Mozilla/5.0",
            "WorkstationOfAlice",
            "2026-11-01",
            "NotSignedIn",
            "UserNotFound",
        ] {
            assert!(!looks_random(text.as_bytes()), "{text}");
        }
        for text in
            ["hunter2hunter2x", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "XkQzWvRtYpLm", "aGVsbG8gd29ybGQ", "bcdfghjk"]
        {
            assert!(looks_random(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn random_text_nearly_always_looks_random() {
        let mut dice = fastrand::Rng::with_seed(5);
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let missed = (0..20_000).filter(|_| {
            let text: Vec<u8> = (0..24).map(|_| letters[dice.usize(..62)]).collect();
            !looks_random(&text)
        });
        let missed = missed.count();
        assert!(missed < 10, "{missed}");
    }

    #[test]
    fn masks_and_words_are_no_values() {
        let fingerprint = format!("fp:0123abcd:{}", "0".repeat(32));
        for text in [
            "",
            "null",
            "***",
            "******VM-",
            "[REDACTED]",
            "<hidden>",
            "xxxx",
            "hmac-sha256:ab",
            "${TOKEN}",
            &fingerprint,
        ] {
            assert!(is_blank_or_mask(text.as_bytes()), "{text}");
        }
        assert!(!is_blank_or_mask(b"hunter2"));
        assert!(
            !is_blank_or_mask(&fingerprint.as_bytes()[..40]) && has_fingerprint(format!("x{fingerprint}!").as_bytes())
        );
        for text in ["refresh", "refresh_token", "access token", "id"] {
            assert!(is_short_word(text.as_bytes()), "{text}");
        }
        for text in ["WDJB-MJHT", "tk-9f", "correct-horse-battery", "12345678"] {
            assert!(!is_short_word(text.as_bytes()), "{text}");
        }
    }
}
