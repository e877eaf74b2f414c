//! The text that the `jboss-logging` listener writes: `type="LOGIN", realmId="...", clientId="..."`.
//!
//! Since version 22 values stand in quotes, which can be configured; before, only those with a blank inside. Nothing is
//! escaped in a way that could be relied on, so a value ends where the next name begins. Before the names stands what
//! the server's log format puts there, mostly a time without a zone, and before that what a container runtime adds.

use crate::decode::times;

/// Most names in a line.
const PAIRS_MAX: usize = 256;

pub struct Line<'a> {
    /// The time it was logged, if the line has one with a date.
    pub time: Option<&'a str>,
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> Line<'a> {
    /// The value of a name. The first one counts: what follows the listener's own names is from outside.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }
}

/// Whether a text is an event: it names its type and its realm.
pub fn is_event(text: &str) -> bool {
    start(text).is_some_and(|at| text.get(at..).unwrap_or_default().contains(", realmId="))
}

/// Where the names begin.
fn start(text: &str) -> Option<usize> {
    let begins_word =
        |at: &usize| text.get(..*at).is_some_and(|before| before.is_empty() || before.ends_with([' ', '\t']));
    let first = |name: &str| text.match_indices(name).map(|(at, _)| at).find(begins_word);
    [first("type="), first("operationType=")].into_iter().flatten().min()
}

/// Takes a text apart.
pub fn parse(text: &str) -> Line<'_> {
    let (before, mut rest) = text.split_at_checked(start(text).unwrap_or(0)).unwrap_or(("", text));
    let mut pairs = Vec::new();
    while pairs.len() < PAIRS_MAX
        && let Some((name, value)) = rest.split_once('=')
    {
        let (value, after) = end_of_value(value.trim_end());
        pairs.extend(value.map(|value| (name, value)));
        rest = after;
    }
    Line { time: time(before), pairs }
}

/// A value, and what begins with the next name. A quote that is not closed was cut off, and its value with it.
fn end_of_value(text: &str) -> (Option<&str>, &str) {
    let quote = text.chars().next().filter(|first| matches!(first, '"' | '\''));
    let body = quote.map_or(text, |_| text.get(1..).unwrap_or_default());
    let bare = |value: &'_ str| quote.map_or(Some(value.len()), |quote| value.strip_suffix(quote).map(str::len));
    let mut from = 0;
    while let Some(comma) = body.get(from..).and_then(|rest| rest.find(", ")).map(|at| from + at) {
        let (value, after) = (body.get(..comma).unwrap_or_default(), body.get(comma + 2..).unwrap_or_default());
        if let Some(length) = bare(value)
            && begins_with_name(after)
        {
            return (value.get(..length), after);
        }
        from = comma + 2;
    }
    (bare(body).and_then(|length| body.get(..length)), "")
}

fn begins_with_name(text: &str) -> bool {
    let name =
        text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')).count();
    name > 0 && text.as_bytes().get(name) == Some(&b'=')
}

/// The last time with a date that stands before the names: a container runtime writes its own before the server's.
pub fn time(before: &str) -> Option<&str> {
    const WORDS_MAX: usize = 32;
    let mut found = None;
    let mut words = before.split_ascii_whitespace().take(WORDS_MAX).peekable();
    while let Some(word) = words.next() {
        if !word.starts_with(|first: char| first.is_ascii_digit()) || !word.contains('-') {
            continue;
        }
        let with_clock = words.peek().and_then(|clock| between(before, word, clock));
        found = [with_clock, Some(word)].into_iter().flatten().find(|text| times::parse(text).is_some()).or(found);
    }
    found
}

/// From the beginning of one word to the end of another one behind it, both being parts of a text.
fn between<'a>(text: &'a str, first: &str, last: &str) -> Option<&'a str> {
    let start = (first.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    let end = (last.as_ptr() as usize).checked_sub(text.as_ptr() as usize)? + last.len();
    text.get(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_with_and_without_quotes() {
        let quoted =
            parse(r#"type="LOGIN", realmId="shop", scope="openid email", reason="said "no", twice", userId="null""#);
        assert_eq!(quoted.get("scope"), Some("openid email"));
        assert_eq!(quoted.get("reason"), Some(r#"said "no", twice"#));
        assert_eq!(quoted.get("userId"), Some("null"));
        let bare =
            parse("type=LOGIN, realmId=shop, scope='openid email', redirect_uri=https://example.com/?a=b, code_id=c");
        assert_eq!(bare.get("scope"), Some("openid email"));
        assert_eq!(bare.get("redirect_uri"), Some("https://example.com/?a=b"));
        assert_eq!(bare.get("code_id"), Some("c"));
    }

    #[test]
    fn json_inside_a_value_is_part_of_it() {
        let line =
            parse(r#"operationType="UPDATE", realmId="r", representation="{"enabled": false, "id": "1"}", error="e""#);
        assert_eq!(line.get("representation"), Some(r#"{"enabled": false, "id": "1"}"#));
        assert_eq!(line.get("error"), Some("e"));
    }

    #[test]
    fn a_name_that_comes_again_changes_nothing() {
        assert_eq!(parse("type=LOGIN, realmId=r, userId=u-1, username=x, userId=u-2").get("userId"), Some("u-1"));
    }

    #[test]
    fn the_last_time_before_the_names_counts() {
        for (before, expected) in [
            (
                "2026-03-01 10:00:00,123 WARN  [org.keycloak.events] (executor-thread-1) ",
                Some("2026-03-01 10:00:00,123"),
            ),
            ("2026-03-01 11:00:00 keycloak-1  | 2026-03-01 10:00:00,123 WARN  [x] ", Some("2026-03-01 10:00:00,123")),
            ("2026-03-01T10:00:00.123456Z stderr F ", Some("2026-03-01T10:00:00.123456Z")),
            ("10:00:00,123 WARN [x] (default task-1) ", None),
            ("", None),
        ] {
            let text = format!("{before}type=LOGIN, realmId=r");
            assert!(is_event(&text), "{text}");
            assert_eq!(parse(&text).time, expected, "{before}");
        }
    }

    #[test]
    fn a_value_that_was_cut_off_is_none() {
        let line = parse(r#"type="LOGIN", realmId="r", clientId="exam"#);
        assert_eq!((line.get("realmId"), line.get("clientId")), (Some("r"), None));
    }

    #[test]
    fn broken_lines_end_somewhere() {
        for text in
            ["type=", "type=\"", "type='é, realmId=", "type=\"a\"b, x=\"", ", , =, type=a=b=c", "type=x, realmId=\"é"]
        {
            parse(text);
        }
    }
}
