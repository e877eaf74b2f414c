//! Globs: `*` is any text, the empty one too; `?` is one character; everything else, backslashes too, is itself.
//!
//! One pattern, three readers: LIKE for columns (prefixes prune files), regular expressions for lists, and plain Rust
//! for findings. They must agree, so they stand together.

/// The glob as a LIKE pattern with `\` as escape, the only one DataFusion runs.
pub fn like(glob: &str) -> String {
    let mut pattern = String::with_capacity(glob.len() + 8);
    let mut previous = ' ';
    for character in glob.chars() {
        let repeated = std::mem::replace(&mut previous, character) == character;
        match character {
            '*' if repeated => {}
            '*' => pattern.push('%'),
            '?' => pattern.push('_'),
            '%' | '_' | '\\' => pattern.extend(['\\', character]),
            _ => pattern.push(character),
        }
    }
    pattern
}

/// The glob, or plain text, as a regular expression without anchors; `any` stands for one character of a `*` or `?`.
pub fn regex(glob: &str, any: &str) -> String {
    let mut pattern = String::with_capacity(glob.len() + 8);
    for character in glob.chars() {
        match character {
            '*' => pattern.extend([any, "*"]),
            '?' => pattern.push_str(any),
            // Only these: before others, such as `<`, the backslash is what gives a meaning.
            '\\' | '.' | '+' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$' | '#' | '&' | '-' | '~' => {
                pattern.extend(['\\', character]);
            }
            _ => pattern.push(character),
        }
    }
    pattern
}

/// Whether `text` matches: greedy with one step back, so the worst case is the product of the lengths, not a power.
pub fn matches(glob: &str, text: &str) -> bool {
    let (glob, text): (Vec<char>, Vec<char>) = (glob.chars().collect(), text.chars().collect());
    let (mut g, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match glob.get(g) {
            Some('*') => {
                star = Some((g, t));
                g += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => (g, t) = (g + 1, t + 1),
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                (g, t) = (at + 1, from + 1);
            }
        }
    }
    glob[g..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_escapes_what_like_would_read() {
        assert_eq!(like("svc-*"), "svc-%");
        assert_eq!(like("100%_*?"), r"100\%\_%_");
        assert_eq!(like(r"CORP\*"), r"CORP\\%");
        assert_eq!(like("a***b"), "a%b");
        assert_eq!(like("%*"), r"\%%");
        assert_eq!(like(r"\**"), r"\\%");
    }

    #[test]
    fn regex_escapes_what_has_a_meaning_and_nothing_else() {
        assert_eq!(regex(r"a.b+c[\x]*<?>", "."), r"a\.b\+c\[\\x\].*<.>");
    }

    #[test]
    fn globs_in_rust() {
        for (glob, text) in
            [("*", ""), ("a*", "a"), ("*a?c*", "xxabcyy"), ("a*b*c", "a-b-b-c"), ("?", "é"), ("%_", "%_")]
        {
            assert!(matches(glob, text), "{glob} {text}");
        }
        for (glob, text) in [("?", ""), ("a*", "ba"), ("a*b", "abc"), ("%", "x"), ("a_", "ab"), ("A*", "a")] {
            assert!(!matches(glob, text), "{glob} {text}");
        }
        let (glob, text) = ("*a".repeat(200) + "b", "a".repeat(20_000));
        assert!(!matches(&glob, &text));
    }
}
