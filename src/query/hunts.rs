//! Saved questions: queries/hunts, and those of a user's folder. One file is one question.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use datafusion::common::ScalarValue;
use serde::Deserialize;

use super::{QueryError, parameters};
use crate::policy::spelling::nearest;
use crate::policy::{Mistake, Mistakes};

/// A saved question.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// The file's name without its ending.
    pub name: String,
    pub title: String,
    /// What it answers, as an analyst would ask.
    pub question: String,
    pub params: BTreeMap<String, Param>,
    pub sql: String,
}

/// A value that whoever asks may or must give.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Param {
    #[serde(rename = "type")]
    pub kind: ParamKind,
    /// Without one it must be given.
    #[serde(default)]
    pub default: Option<toml::Value>,
    pub help: String,
}

/// What a parameter holds.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ParamKind {
    Text,
    Integer,
    Number,
    Boolean,
    /// RFC 3339.
    Time,
    /// As in a policy: 30d, 12h.
    Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    title: String,
    question: String,
    #[serde(default)]
    params: BTreeMap<String, Param>,
}

/// Why there are no hunts, or not this one.
#[derive(Debug, thiserror::Error)]
pub enum HuntError {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Invalid(#[from] Mistakes),
    #[error("there is no hunt {name:?}{advice}")]
    Unknown { name: String, advice: String },
}

macro_rules! built_in {
    ($($name:literal),+ $(,)?) => {
        /// The hunts compiled in: name and text.
        const BUILT_IN: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../queries/hunts/", $name, ".sql")))),+];
    };
}

built_in!(
    "activity_by_day",
    "address_neighbours",
    "alive_after_compromise",
    "blast_radius",
    "broad_scopes",
    "delegated_grants",
    "dormant_grants",
    "first_seen_addresses",
    "grants_of_device",
    "leavers_with_live_grants",
    "live_grants_by_age",
    "out_of_hours",
    "plaintext_storage",
    "refused_refreshes",
    "rejected_by_reason",
    "revocation_latency_by_project",
    "service_grants",
    "sources_last_heard",
    "subject_around_offboarding",
    "token_where_is_it",
    "who_uses_host",
);

/// All hunts, by name.
#[derive(Clone, Debug, Default)]
pub struct Hunts(BTreeMap<String, Hunt>);

impl Hunts {
    /// Those compiled in, and those in `hunts` of a folder, of which one replaces another of its name.
    ///
    /// # Errors
    /// A file that cannot be read, or is none.
    pub fn load(folder: Option<&Path>) -> Result<Self, HuntError> {
        let mut hunts = BTreeMap::new();
        for (name, text) in BUILT_IN {
            hunts.insert((*name).to_owned(), Hunt::parse(name, &format!("queries/hunts/{name}.sql"), text)?);
        }
        for path in files(folder)? {
            let text = std::fs::read_to_string(&path)
                .map_err(|source| HuntError::Unreadable { path: path.clone(), source })?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let hunt = Hunt::parse(&name, &path.display().to_string(), &text)?;
            hunts.insert(name, hunt);
        }
        Ok(Self(hunts))
    }

    /// All, by name.
    pub fn all(&self) -> impl Iterator<Item = &Hunt> {
        self.0.values()
    }

    /// The hunt of this name.
    ///
    /// # Errors
    /// [`HuntError::Unknown`] names the nearest.
    pub fn find(&self, name: &str) -> Result<&Hunt, HuntError> {
        self.0.get(name).ok_or_else(|| {
            let advice = match nearest(name, self.0.keys().map(String::as_str)) {
                Some((word, true)) => format!("; did you mean {word:?}?"),
                _ => ": `tokentrail hunt list` names them".to_owned(),
            };
            HuntError::Unknown { name: name.to_owned(), advice }
        })
    }
}

/// The files of a folder's `hunts`, if it has any.
fn files(folder: Option<&Path>) -> Result<Vec<PathBuf>, HuntError> {
    let Some(folder) = folder.map(|folder| folder.join("hunts")).filter(|folder| folder.is_dir()) else {
        return Ok(Vec::new());
    };
    let unreadable = |source| HuntError::Unreadable { path: folder.clone(), source };
    let entries: Result<Vec<_>, _> = std::fs::read_dir(&folder).map_err(unreadable)?.collect();
    let mut files: Vec<PathBuf> = entries.map_err(unreadable)?.into_iter().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "sql"));
    files.sort();
    Ok(files)
}

impl Hunt {
    /// Reads a hunt from the text of its file.
    ///
    /// # Errors
    /// There is no head, or it is wrong; with the line.
    pub fn parse(name: &str, file_name: &str, text: &str) -> Result<Self, Mistakes> {
        let wrong = |line: usize, message: String| Mistakes {
            file_name: file_name.to_owned(),
            mistakes: vec![Mistake { line, message }],
        };
        let parts = text.strip_prefix("/*---").and_then(|rest| rest.split_once("---*/"));
        let Some((head, sql)) = parts else {
            let message = "a hunt begins with /*---, a head in TOML (title, question) and ---*/";
            return Err(wrong(1, message.to_owned()));
        };
        let Head { title, question, params } = toml::from_str(head).map_err(|error| {
            let before = error.span().and_then(|span| head.get(..span.start)).unwrap_or_default();
            wrong(1 + before.matches('\n').count(), error.message().to_owned())
        })?;
        let hunt = Self { name: name.to_owned(), title, question, params, sql: sql.trim().to_owned() };
        hunt.values(&BTreeMap::new(), true).map_err(|error| wrong(1, error.to_string()))?;
        Ok(hunt)
    }

    /// Values of all parameters, of those not given the default.
    ///
    /// # Errors
    /// One is missing, unknown, or not of its type.
    pub fn bound(&self, given: &BTreeMap<String, String>) -> Result<Vec<(String, ScalarValue)>, QueryError> {
        self.values(given, false)
    }

    fn values(
        &self,
        given: &BTreeMap<String, String>,
        may_lack: bool,
    ) -> Result<Vec<(String, ScalarValue)>, QueryError> {
        if let Some(name) = given.keys().find(|name| !self.params.contains_key(*name)) {
            let advice = match nearest(name, self.params.keys().map(String::as_str)) {
                Some((word, true)) => format!("; did you mean ${word}?"),
                _ if self.params.is_empty() => "; it has none".to_owned(),
                _ => format!("; it has ${}", self.params.keys().cloned().collect::<Vec<_>>().join(", $")),
            };
            return Err(QueryError::UnknownParameter { name: name.clone(), advice });
        }
        let mut values = Vec::new();
        for (name, param) in &self.params {
            let default =
                param.default.as_ref().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            match given.get(name).cloned().or(default) {
                Some(text) => values.push((name.clone(), param.kind.value(name, &text)?)),
                None if may_lack => {}
                None => return Err(QueryError::NoParameter(name.clone())),
            }
        }
        Ok(values)
    }
}

impl ParamKind {
    /// As it is spelled in a head.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Time => "time",
            Self::Duration => "duration",
        }
    }

    fn value(self, name: &str, text: &str) -> Result<ScalarValue, QueryError> {
        use datafusion::arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
        let kind = match self {
            Self::Text => DataType::Utf8,
            Self::Integer => DataType::Int64,
            Self::Number => DataType::Float64,
            Self::Boolean => DataType::Boolean,
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Duration => DataType::Interval(IntervalUnit::MonthDayNano),
        };
        parameters::value(name, text, Some(&kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hunts_compiled_in_are_those_of_the_folder() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries/hunts");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        files.sort();
        let hunts = Hunts::load(None).unwrap();
        assert_eq!(hunts.all().map(|hunt| hunt.name.clone()).collect::<Vec<_>>(), files);
        assert!(files.len() >= 15);
    }

    #[test]
    fn parameters_are_checked_by_type_and_name() {
        let text = "/*---\ntitle = \"t\"\nquestion = \"q\"\n[params.n]\ntype = \"integer\"\ndefault = 3\nhelp = \"h\"\n\
                    [params.who]\ntype = \"text\"\nhelp = \"h\"\n---*/\nSELECT $n, $who";
        let hunt = Hunt::parse("t", "t.sql", text).unwrap();
        let given = |pairs: &[(&str, &str)]| {
            let map = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            hunt.bound(&map).map_err(|error| error.to_string())
        };
        let bound = given(&[("who", "a")]).unwrap();
        assert_eq!(bound[0], ("n".to_owned(), ScalarValue::Int64(Some(3))));
        assert_eq!(given(&[]).unwrap_err(), "the query asks for $who: give it with -p who=VALUE");
        assert_eq!(given(&[("who", "a"), ("n", "x")]).unwrap_err(), "-p n: \"x\" is not a value of type Int64");
        assert_eq!(given(&[("whoo", "a")]).unwrap_err(), "the query has no parameter $whoo; did you mean $who?");
        let broken = text.replace("\"integer\"", "\"integr\"");
        assert!(Hunt::parse("t", "t.sql", &broken).unwrap_err().to_string().starts_with("t.sql:5: "));
    }
}
