//! The value of a policy key, as SQL, as TOML for people, and in canonical form for the hash.

use std::borrow::Cow;
use std::fmt;

use super::duration::format_duration;
use super::keys::Kind;

/// Text of a policy: from the file, or built in.
pub type Text = Cow<'static, str>;

/// What a key holds. Its [`Kind`] says which variant a key may have; `Unset` is the absence of a limit.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No limit, or no value: NULL in SQL.
    Unset,
    /// Microseconds, never negative.
    Duration(i64),
    /// A whole number inside its key's range.
    Integer(i64),
    /// A finite number inside its key's range.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// One of its key's choices.
    Text(Text),
    /// A list of text; empty is a list too, and not the same as unset.
    Texts(Cow<'static, [Text]>),
    /// A list of whole numbers.
    Integers(Vec<i64>),
    /// Groups of names that count as one.
    Groups(Vec<Vec<Text>>),
}

/// `text` as an SQL literal. DataFusion takes backslashes as they are; only the quote needs doubling.
pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// `name` as an SQL identifier that keeps its case and is never a keyword (`offset`, `partition`).
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Value {
    /// The value as a typed SQL expression. `kind` types what has no type of its own: NULL and the empty list.
    pub fn sql(&self, kind: Kind) -> String {
        match self {
            Self::Unset => format!("CAST(NULL AS {})", kind.sql_type()),
            Self::Duration(micros) => format!("INTERVAL '{micros} microseconds'"),
            Self::Integer(number) => number.to_string(),
            Self::Number(number) => format!("CAST({number} AS DOUBLE)"),
            Self::Boolean(value) => if *value { "TRUE" } else { "FALSE" }.to_owned(),
            Self::Text(text) => quote(text),
            Self::Texts(texts) => list(texts.iter().map(|text| quote(text)), kind),
            Self::Integers(numbers) => list(numbers.iter().map(i64::to_string), kind),
            Self::Groups(groups) => {
                let inner = groups.iter().map(|group| list(group.iter().map(|text| quote(text)), Kind::Texts));
                list(inner, kind)
            }
        }
    }

    /// The value for the hash: what means the same is the same, so lists are sets.
    pub fn canonical(&self) -> serde_json::Value {
        match self {
            Self::Unset => serde_json::Value::Null,
            Self::Duration(number) | Self::Integer(number) => (*number).into(),
            Self::Number(number) => (*number).into(),
            Self::Boolean(value) => (*value).into(),
            Self::Text(text) => text.as_ref().into(),
            Self::Texts(texts) => sorted(texts.iter().map(Cow::as_ref)).into(),
            Self::Integers(numbers) => sorted(numbers.iter().copied()).into(),
            Self::Groups(groups) => sorted(groups.iter().map(|group| sorted(group.iter().map(Cow::as_ref)))).into(),
        }
    }
}

/// The elements in order, each once.
pub fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    items.collect::<std::collections::BTreeSet<T>>().into_iter().collect()
}

fn list(items: impl Iterator<Item = String>, kind: Kind) -> String {
    let items: Vec<String> = items.collect();
    if items.is_empty() {
        return format!("CAST(make_array() AS {})", kind.sql_type());
    }
    format!("make_array({})", items.join(", "))
}

/// As it is written in TOML, in the one spelling documentation uses.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset => f.write_str("unset"),
            Self::Duration(micros) => write!(f, "\"{}\"", format_duration(*micros)),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Texts(texts) => write!(f, "{texts:?}"),
            Self::Integers(numbers) => write!(f, "{numbers:?}"),
            Self::Groups(groups) => write!(f, "{groups:?}"),
        }
    }
}
