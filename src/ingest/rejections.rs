//! Why records are rejected, in a few words that never change: a reason in full quotes the record, and a metric must not.

/// A kind of reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    NotUtf8,
    NotJson,
    UnknownFormat,
    Missing,
    Time,
    TooLong,
    Value,
    Other,
}

impl Reason {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::NotUtf8,
        Self::NotJson,
        Self::UnknownFormat,
        Self::Missing,
        Self::Time,
        Self::TooLong,
        Self::Value,
        Self::Other,
    ];

    /// Its spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotUtf8 => "not_utf8",
            Self::NotJson => "not_json",
            Self::UnknownFormat => "unknown_format",
            Self::Missing => "missing",
            Self::Time => "time",
            Self::TooLong => "too_long",
            Self::Value => "value",
            Self::Other => "other",
        }
    }

    /// The kind of a reason as the decoders word it. The words of a record come last in it, so its beginning decides
    /// first.
    pub fn of(reason: &str) -> Self {
        let begins = |words: &[&str]| words.iter().any(|word| reason.starts_with(word));
        let holds = |words: &[&str]| words.iter().any(|word| reason.contains(word));
        if begins(&["not UTF-8"]) {
            Self::NotUtf8
        } else if begins(&["not JSON"]) {
            Self::NotJson
        } else if begins(&["not a known format"]) || reason.ends_with("no event in this record") {
            Self::UnknownFormat
        } else if begins(&["record of "]) || holds(&["bytes long; at most", "nested deeper than", "more than "]) {
            Self::TooLong
        } else if reason.ends_with(": missing") || holds(&[": no value at "]) {
            Self::Missing
        } else if holds(&[" is no time", "is not between 2000 and 2100"]) {
            Self::Time
        } else if reason.contains(": ") {
            Self::Value
        } else {
            Self::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_as_decoders_word_them_have_their_kind() {
        for (reason, kind) in [
            ("not UTF-8: bad byte at 7", Reason::NotUtf8),
            ("not JSON, in token: a value was expected at byte 0", Reason::NotJson),
            ("not a known format: text; looked for native, okta", Reason::UnknownFormat),
            ("ssf: no event in this record", Reason::UnknownFormat),
            ("time or timestamp: missing", Reason::Missing),
            ("event_time: \"tomorrow\" is no time: expected RFC 3339 with an offset, or an epoch", Reason::Time),
            ("event_time: 12 is not between 2000 and 2100", Reason::Time),
            ("subject.id: 70000 bytes long; at most 65536 are kept", Reason::TooLong),
            ("record of 17000000 bytes; at most 16777216 are decoded. Kept: its first 65536 bytes.", Reason::TooLong),
            ("action: unknown value \"renew\"; expected one of issue, refresh", Reason::Value),
            ("a list where an object was expected", Reason::Other),
        ] {
            assert_eq!(Reason::of(reason), kind, "{reason}");
        }
        let mut names: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Reason::ALL.len());
    }
}
