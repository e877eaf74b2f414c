//! Frameworks are files: what its parts are, which detectors speak to them and why, what it is called otherwise.
//!
//! Identifiers are facts and stand in the file; official statements are not ours to keep and come from the catalogue that
//! the user gives. A user's file may extend a built-in one, and may say what concerns the user alone: populations of own
//! detectors, what is not applicable, how long remedies may take, which columns may leave.

pub mod check;
pub mod official;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::model::Relation;
use crate::event::hex;
use crate::policy::spelling::nearest;

/// Largest framework file, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Those compiled in, by id.
const BUILT_IN: [(&str, &str); 4] = [
    ("nist-csf-2.0", include_str!("../../queries/frameworks/nist-csf-2.0.toml")),
    ("nist-sp800-53-r5", include_str!("../../queries/frameworks/nist-sp800-53-r5.toml")),
    ("owasp-nhi-2025", include_str!("../../queries/frameworks/owasp-nhi-2025.toml")),
    ("nist-ai-rmf-1.0", include_str!("../../queries/frameworks/nist-ai-rmf-1.0.toml")),
];

/// A framework as its file says it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Framework {
    pub id: String,
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    pub version: String,
    /// What a part is called.
    #[serde(default)]
    pub part_name: String,
    /// Id of the built-in framework that this one adds to.
    #[serde(default)]
    pub extends: Option<String>,
    /// Key of `[controls]` in a detector's header that names parts of this framework.
    #[serde(default)]
    pub header: Option<String>,
    /// Everything there is in this version; empty: what `part` lists.
    #[serde(default)]
    pub identifiers: Vec<String>,
    #[serde(default)]
    pub alias: Vec<Alias>,
    #[serde(default)]
    pub part: Vec<Part>,
    #[serde(default)]
    pub not_applicable: Vec<NotApplicable>,
    /// Populations of the user's own detectors.
    #[serde(default)]
    pub population: BTreeMap<String, super::population::Declared>,
    /// Further columns that may leave, and how.
    #[serde(default)]
    pub columns: BTreeMap<String, super::privacy::How>,
    /// By severity: how long a remedy may take, as the policy spells durations.
    #[serde(default)]
    pub targets: BTreeMap<String, String>,
    /// The text of the file.
    #[serde(skip)]
    pub text: String,
}

/// Another way to write identifiers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alias {
    pub written: String,
    pub is: Vec<String>,
    pub note: String,
}

/// A part of a framework, and what speaks to it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    pub id: String,
    pub title: String,
    /// How much this data can say of it.
    pub reach: String,
    /// Whether it is in every pack, with whatever result.
    #[serde(default)]
    pub always: bool,
    /// Whether it is supported by the running of the tool, and not by results.
    #[serde(default)]
    pub supporting: bool,
    #[serde(default)]
    pub evidence: Vec<Evidence>,
}

/// That a detector speaks to a part.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    pub detector: String,
    pub relation: Relation,
    #[serde(default = "yes")]
    pub decides: bool,
    pub why: String,
}

/// The organisation's word that something does not concern it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotApplicable {
    /// Of a part or a detector; exactly one of the two.
    #[serde(default)]
    pub part: Option<String>,
    #[serde(default)]
    pub detector: Option<String>,
    pub reason: String,
    pub owner: String,
}

fn yes() -> bool {
    true
}

/// Why there is no framework.
#[derive(Debug, thiserror::Error)]
pub enum FrameworkError {
    #[error("there is no framework {name:?}{advice}; built in are {known}, any other is named by its file (FILE.toml)")]
    Unknown { name: String, advice: String, known: String },
    #[error("cannot read {path}: {cause}")]
    Unreadable { path: String, cause: std::io::Error },
    #[error("{path}: {message}")]
    Invalid { path: String, message: String },
    #[error("{}", .0.join("\n"))]
    Mistakes(Vec<String>),
}

impl Framework {
    /// The built-in framework of that id, or the one in that file.
    ///
    /// # Errors
    /// [`FrameworkError`] names the file and what is wrong in it.
    pub fn load(name: &str) -> Result<Self, FrameworkError> {
        if let Some(text) = built_in(name) {
            return Self::parse(name, text);
        }
        let path = Path::new(name);
        if !name.ends_with(".toml") && !path.exists() {
            let known: Vec<&str> = BUILT_IN.iter().map(|(id, _)| *id).collect();
            let advice = match nearest(name, known.iter().copied()) {
                Some((word, true)) => format!("; did you mean {word:?}?"),
                _ => String::new(),
            };
            return Err(FrameworkError::Unknown { name: name.to_owned(), advice, known: known.join(", ") });
        }
        let unreadable = |cause| FrameworkError::Unreadable { path: name.to_owned(), cause };
        let length = std::fs::metadata(path).map_err(unreadable)?.len();
        if length > FILE_BYTES_MAX {
            let cause = std::io::Error::other(format!("{length} bytes; at most {FILE_BYTES_MAX} are read"));
            return Err(unreadable(cause));
        }
        Self::parse(name, &std::fs::read_to_string(path).map_err(unreadable)?)
    }

    /// Reads a framework from the text of its file; `path` is for messages.
    pub fn parse(path: &str, text: &str) -> Result<Self, FrameworkError> {
        let invalid = |message: String| FrameworkError::Invalid { path: path.to_owned(), message };
        let mut own: Self = toml::from_str(text).map_err(|e| invalid(e.to_string()))?;
        own.text = text.to_owned();
        if let Some(base) = own.extends.clone() {
            let base_text = built_in(&base)
                .ok_or_else(|| invalid(format!("extends {base:?}, which is not built in; built in are {}", known())))?;
            own = Self::parse(&base, base_text)?.with(own);
        }
        if own.title.is_empty() || own.version.is_empty() {
            return Err(invalid("title and version are missing".to_owned()));
        }
        if own.part_name.is_empty() {
            own.part_name = "part".to_owned();
        }
        if own.identifiers.is_empty() {
            own.identifiers = own.part.iter().map(|part| part.id.clone()).collect();
        }
        if own.part.is_empty() {
            return Err(invalid("it has no [[part]]: nothing would be assessed".to_owned()));
        }
        Ok(own)
    }

    /// This one, and what another adds to it or says otherwise.
    fn with(mut self, other: Self) -> Self {
        for part in other.part {
            match self.part.iter_mut().find(|own| own.id == part.id) {
                Some(own) => *own = part,
                None => self.part.push(part),
            }
        }
        self.id = other.id;
        self.alias.extend(other.alias);
        self.identifiers.extend(other.identifiers);
        self.not_applicable.extend(other.not_applicable);
        self.population.extend(other.population);
        self.columns.extend(other.columns);
        self.targets.extend(other.targets);
        for (own, theirs) in [(&mut self.title, other.title), (&mut self.version, other.version)] {
            if !theirs.is_empty() {
                *own = theirs;
            }
        }
        self.extends = other.extends;
        self.text = other.text;
        self
    }

    /// SHA-256 of the file.
    pub fn sha256(&self) -> String {
        hex(&Sha256::digest(self.text.as_bytes()))
    }

    /// What an identifier stands for, with a note if it was written otherwise.
    ///
    /// # Errors
    /// A sentence with the nearest identifier, if there is no such one in this version.
    pub fn resolve(&self, written: &str) -> Result<(Vec<String>, Option<String>), String> {
        let what = format!("{} {}", self.title, self.version);
        resolve(&what, &self.identifiers, &self.alias, written)
    }
}

/// What an identifier stands for among those that `what` has.
pub(super) fn resolve(
    what: &str,
    identifiers: &[String],
    aliases: &[Alias],
    written: &str,
) -> Result<(Vec<String>, Option<String>), String> {
    if identifiers.iter().any(|id| id == written) {
        return Ok((vec![written.to_owned()], None));
    }
    if let Some(alias) = aliases.iter().find(|alias| alias.written.eq_ignore_ascii_case(written)) {
        let note = format!("{written} was read as {}: {}", alias.is.join(" and "), alias.note);
        return Ok((alias.is.clone(), Some(note)));
    }
    let nearest = match nearest(written, identifiers.iter().map(String::as_str)) {
        Some((word, _)) => format!("; the nearest is {word:?}"),
        None => String::new(),
    };
    Err(format!("{what} has no {written:?}{nearest}"))
}

fn built_in(id: &str) -> Option<&'static str> {
    BUILT_IN.iter().find(|(known, _)| *known == id).map(|(_, text)| *text)
}

fn known() -> String {
    BUILT_IN.map(|(id, _)| id).join(", ")
}

#[cfg(test)]
mod tests;
