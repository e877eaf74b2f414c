//! Conditions on columns: as SQL over event rows, and as a test of one finding's row.

use serde_json::{Map, Value as Json};

use super::glob;
use super::value::{identifier, quote, sorted};

/// Columns that describe the host itself, so that a rule on them alone can decide a host's own values.
const HOST_COLUMNS: [&str; 2] = ["host_id", "host_kind"];

/// Joins the elements of a list for a glob. A scope never holds it (RFC 6749 section 3.3: %x21, %x23-5B, %x5D-7E).
const SEPARATOR: &str = r"\x1f";

/// How many globs of one condition are LIKEs.
const LIKES_MAX: usize = 16;

/// What a column of `match` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One text.
    Text,
    /// A list of text: one element that matches is enough.
    Texts,
    /// A whole number.
    Integer,
    /// A column of a finding: whatever its row holds.
    Any,
}

/// One alternative of a condition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pattern {
    /// This text, case and all.
    Exact(String),
    /// `*` is any text, the empty one too; `?` is one character; everything else, backslashes too, is itself.
    Glob(String),
    /// This number.
    Integer(i64),
}

/// One column and the patterns of which one must match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The column's name.
    pub column: String,
    /// What it holds.
    pub shape: Shape,
    /// At least one.
    pub patterns: Vec<Pattern>,
}

/// The conditions of one `match` table, all of which must hold; never empty, so that nothing matches by oversight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match(pub(super) Vec<Condition>);

impl Pattern {
    /// Text with `*` or `?` is a glob, any other is exact.
    pub fn text(text: &str) -> Self {
        if text.contains(['*', '?']) { Self::Glob(text.to_owned()) } else { Self::Exact(text.to_owned()) }
    }

    fn matches_text(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == text,
            Self::Glob(glob) => glob::matches(glob, text),
            Self::Integer(_) => false,
        }
    }

    fn matches(&self, value: &Json) -> bool {
        match value {
            Json::String(text) => self.matches_text(text),
            Json::Number(number) => matches!(self, Self::Integer(wanted) if number.as_i64() == Some(*wanted)),
            Json::Array(items) => items.iter().any(|item| !item.is_array() && self.matches(item)),
            _ => false,
        }
    }
}

impl Condition {
    fn matches(&self, row: &Map<String, Json>) -> bool {
        row.get(&self.column).is_some_and(|value| self.patterns.iter().any(|pattern| pattern.matches(value)))
    }

    /// True, false or NULL for an event row.
    fn sql(&self) -> String {
        let column = identifier(&self.column);
        let (mut exact, mut globs) = (Vec::new(), Vec::new());
        for pattern in sorted(self.patterns.iter()) {
            match pattern {
                Pattern::Exact(text) => exact.push(quote(text)),
                Pattern::Integer(number) => exact.push(number.to_string()),
                Pattern::Glob(glob) => globs.push(glob.as_str()),
            }
        }
        let exact = match (exact.as_slice(), self.shape) {
            ([], _) => None,
            ([one], Shape::Texts) => Some(format!("array_has({column}, {one})")),
            (many, Shape::Texts) => Some(format!("array_has_any({column}, make_array({}))", many.join(", "))),
            ([one], _) => Some(format!("{column} = {one}")),
            (many, _) => Some(format!("{column} IN ({})", many.join(", "))),
        };
        let any: Vec<String> = exact.into_iter().chain(globs_sql(&column, self.shape, &globs)).collect();
        format!("({})", any.join(" OR "))
    }
}

/// Conditions of which one must hold. LIKE prunes files, but each is one more OR, and a plan a few thousand deep
/// overflows the stack: more than a few are one regular expression.
fn globs_sql(column: &str, shape: Shape, globs: &[&str]) -> Vec<String> {
    if globs.is_empty() {
        return Vec::new();
    }
    let regex = |any: &str| globs.iter().map(|glob| glob::regex(glob, any)).collect::<Vec<_>>().join("|");
    if shape == Shape::Texts {
        let regex = quote(&format!("(^|{SEPARATOR})({})({SEPARATOR}|$)", regex(&format!("[^{SEPARATOR}]"))));
        // Without the length a `*` would match the list without elements.
        let text = format!("array_to_string({column}, chr(31))");
        return vec![format!("(array_length({column}) > 0 AND regexp_like({text}, {regex}))")];
    }
    if globs.len() > LIKES_MAX {
        return vec![format!("regexp_like({column}, {})", quote(&format!("^({})$", regex(r"[\s\S]"))))];
    }
    globs.iter().map(|glob| format!("{column} LIKE {} ESCAPE '\\'", quote(&glob::like(glob)))).collect()
}

impl Match {
    /// A boolean SQL expression over event columns, never NULL: a condition on a column that is null does not hold.
    pub fn event_sql(&self) -> String {
        let all: Vec<String> = self.0.iter().map(Condition::sql).collect();
        format!("coalesce({}, false)", all.join(" AND "))
    }

    /// [`Match::event_sql`] if only the host's own columns are named.
    pub fn host_sql(&self) -> Option<String> {
        self.0.iter().all(|c| HOST_COLUMNS.contains(&c.column.as_str())).then(|| self.event_sql())
    }

    /// Whether a finding's key and evidence satisfy every condition. An absent or null column satisfies none; of a
    /// list one element is enough.
    pub fn matches(&self, row: &Map<String, Json>) -> bool {
        self.0.iter().all(|condition| condition.matches(row))
    }

    /// The columns named.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|condition| condition.column.as_str())
    }

    /// The match for the hash: neither the order of columns nor that of alternatives means anything.
    pub(super) fn canonical(&self) -> Json {
        let conditions = self.0.iter().map(|condition| {
            let patterns = sorted(condition.patterns.iter()).into_iter().map(|pattern| match pattern {
                Pattern::Exact(text) | Pattern::Glob(text) => Json::from(text.as_str()),
                Pattern::Integer(number) => Json::from(*number),
            });
            (condition.column.as_str(), patterns.collect::<Json>())
        });
        let mut conditions: Vec<(&str, Json)> = conditions.collect();
        conditions.sort_by_key(|(column, _)| *column);
        conditions.into_iter().map(|(column, patterns)| Json::from(vec![column.into(), patterns])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(column: &str, shape: Shape, patterns: &[&str]) -> Condition {
        let patterns = patterns.iter().map(|text| Pattern::text(text)).collect();
        Condition { column: column.to_owned(), shape, patterns }
    }

    #[test]
    fn hostile_text_stays_text() {
        let sql = condition("subject_id", Shape::Text, &["' OR 1=1 --"]).sql();
        assert_eq!(sql, r#"("subject_id" = ''' OR 1=1 --')"#);
        let sql = condition("subject_id", Shape::Text, &["*' OR 1=1 --"]).sql();
        assert_eq!(sql, r#"("subject_id" LIKE '%'' OR 1=1 --' ESCAPE '\')"#);
        let sql = condition("scopes", Shape::Texts, &["*') OR (1=1"]).sql();
        assert!(sql.contains(r"[^\x1f]*''\) OR \(1=1)(") && sql.matches('\'').count().is_multiple_of(2), "{sql}");
        let sql = condition("a\" OR \"b", Shape::Text, &["x"]).sql();
        assert_eq!(sql, r#"("a"" OR ""b" = 'x')"#);
    }

    #[test]
    fn a_match_is_all_of_its_conditions_and_never_null() {
        let matched = Match(vec![
            condition("host_id", Shape::Text, &["ci-*", "b", "a"]),
            condition("host_kind", Shape::Text, &["server"]),
        ]);
        let host = r#"("host_id" IN ('a', 'b') OR "host_id" LIKE 'ci-%' ESCAPE '\')"#;
        let sql = format!(r#"coalesce({host} AND ("host_kind" = 'server'), false)"#);
        assert_eq!(matched.event_sql(), sql);
        assert_eq!(matched.host_sql().as_deref(), Some(sql.as_str()));
        let other = Match(vec![condition("host_id", Shape::Text, &["a"]), condition("os_user", Shape::Text, &["b"])]);
        assert_eq!(other.host_sql(), None);
    }

    #[test]
    fn long_lists_stay_flat() {
        let texts: Vec<String> = (0..3_000).flat_map(|i| [format!("g{i}-*"), format!("x{i}")]).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        for shape in [Shape::Text, Shape::Texts] {
            let sql = condition("host_id", shape, &texts).sql();
            assert_eq!((sql.matches(" OR ").count(), sql.matches("regexp_like").count()), (1, 1));
        }
    }

    #[test]
    fn numbers_compare_as_numbers() {
        let patterns = vec![Pattern::Integer(64501), Pattern::Integer(64500)];
        let asn = Condition { column: "asn".to_owned(), shape: Shape::Integer, patterns };
        assert_eq!(asn.sql(), r#"("asn" IN (64500, 64501))"#);
    }

    #[test]
    fn findings_match_by_their_row() {
        let row =
            serde_json::json!({ "grant_id": "fm-1", "asn": 64500, "ips": ["203.0.113.7", null], "host_id": null });
        let row = row.as_object().unwrap();
        let one = |column: &str, pattern: Pattern| {
            Match(vec![Condition { column: column.to_owned(), shape: Shape::Any, patterns: vec![pattern] }])
                .matches(row)
        };
        assert!(one("grant_id", Pattern::text("fm-*")));
        assert!(!one("grant_id", Pattern::text("fm-")));
        assert!(one("asn", Pattern::Integer(64500)));
        assert!(!one("asn", Pattern::text("64500")));
        assert!(one("ips", Pattern::text("203.0.113.*")));
        assert!(!one("host_id", Pattern::text("*")));
        assert!(!one("absent", Pattern::text("*")));
    }
}
