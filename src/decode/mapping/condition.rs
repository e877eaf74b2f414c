//! `when`: which records an `[[event]]` is about.

use super::super::json::Json;
use super::path::{Path, is_stated, word};
use crate::policy::glob;

/// A place in the record, and what may stand there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub path: Path,
    /// At least one.
    pub wanted: Vec<Wanted>,
}

/// One alternative. Case does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// No value.
    Nothing,
    /// This text, or a number or truth value that is written so.
    Exact(String),
    /// In lower case: `*` is any text, `?` one character. `*` alone: any value.
    Glob(String),
}

impl Wanted {
    /// Text with `*` or `?` is a glob, empty text no value, any other exact.
    pub fn new(text: &str) -> Self {
        match text.trim() {
            "" => Self::Nothing,
            text if text.contains(['*', '?']) => Self::Glob(text.to_lowercase()),
            text => Self::Exact(text.to_owned()),
        }
    }

    fn holds(&self, value: &Json<'_>) -> bool {
        match self {
            Self::Nothing => !is_stated(value),
            Self::Glob(any) if any == "*" => is_stated(value),
            Self::Exact(text) => value.items().iter().filter_map(word).any(|word| word.eq_ignore_ascii_case(text)),
            Self::Glob(glob) => {
                let stated = value.items().iter().filter(|item| is_stated(item)).filter_map(word);
                stated.into_iter().any(|word| glob::matches(glob, &word.to_lowercase()))
            }
        }
    }
}

impl Condition {
    /// Whether one of the alternatives stands there; of a list, one item is enough.
    pub fn holds(&self, record: &Json<'_>) -> bool {
        let value = self.path.of(record);
        self.wanted.iter().any(|wanted| wanted.holds(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternatives() {
        let text = br#"{"event":"Token.Created","active":false,"n":5,"none":"-","roles":["a","B"],"empty":[]}"#;
        let record = Json::parse(text).unwrap();
        let holds = |path: &str, wanted: &[&str]| {
            let path = Path::parse(path, 1).unwrap();
            Condition { path, wanted: wanted.iter().map(|text| Wanted::new(text)).collect() }.holds(&record)
        };
        for (path, wanted) in [
            ("event", &["token.created"][..]),
            ("event", &["x", "TOKEN.*"]),
            ("event", &["*"]),
            ("active", &["false"]),
            ("n", &["5"]),
            ("none", &[""]),
            ("none", &["-"]),
            ("missing", &[""]),
            ("empty", &[""]),
            ("roles", &["b"]),
            ("roles", &["?"]),
        ] {
            assert!(holds(path, wanted), "{path} {wanted:?}");
        }
        for (path, wanted) in [
            ("event", &["token"][..]),
            ("event", &[""]),
            ("active", &["true", "0"]),
            ("none", &["*"]),
            ("none", &["?"]),
            ("missing", &["*", "x"]),
            ("roles", &["c"]),
        ] {
            assert!(!holds(path, wanted), "{path} {wanted:?}");
        }
    }
}
