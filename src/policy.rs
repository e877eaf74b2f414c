//! What is allowed: limits, who has other limits, and what is excepted until when.
//!
//! A policy is a TOML file an auditor can read: `[defaults]`, then `[[rule]]`s of which for each value the last that
//! matches wins, `[[exception]]`s with an owner and an end, and what counts as `[break_glass]`. It is read once and
//! whole: a misspelt key would silently switch a control off, so every mistake is refused, with its line and the
//! nearest key.
//!
//! Detectors are SQL, so a policy does not judge events itself. It compiles: a rule's match becomes a condition over
//! event rows ([`Rule::event_sql`]), a key becomes one CASE over "rule i matches" ([`Policy::value_sql`]); what makes
//! rule i match a grant or a host is for the detectors to say.
//!
//! A run records [`Policy::hash`]. It covers what the policy means and not how it is written, so a comment does not
//! make last year's findings look as if they had been judged by other rules.

mod compile;
mod conditions;
mod duration;
mod error;
pub(crate) mod fields;
pub(crate) mod glob;
mod hash;
mod keys;
mod matching;
pub(crate) mod parse;
pub mod spelling;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

pub use compile::Matched;
pub use duration::{DURATION_MAX, format_duration, parse_duration};
pub use error::{Mistake, Mistakes, PolicyError};
pub use keys::{Key, Kind};
pub use matching::Match;
pub use value::{Text, Value};

use crate::identities::Identities;

/// Largest policy file, in bytes.
pub const POLICY_BYTES_MAX: u64 = 1 << 20;

/// A policy, read and checked.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    file_name: String,
    text: String,
    defaults: BTreeMap<&'static str, Value>,
    rules: Vec<Rule>,
    exceptions: Vec<Exception>,
    break_glass: Option<BreakGlass>,
    identities: Arc<Identities>,
}

/// One `[[rule]]`: whom it is for, and the values it sets.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its place among the rules, from 1.
    pub number: usize,
    /// The line its header stands on, from 1.
    pub line: usize,
    /// Its name, if it has one.
    pub name: Option<String>,
    file_name: String,
    matched: Match,
    values: BTreeMap<&'static str, Value>,
}

/// One `[[exception]]`: findings that are kept and shown, but not alerted, because someone answers for them.
#[derive(Clone, Debug)]
pub struct Exception {
    /// The line its header stands on, from 1.
    pub line: usize,
    /// Id of the detector whose findings it excepts.
    pub detector: String,
    /// Why.
    pub reason: String,
    /// Who answers for it.
    pub owner: String,
    /// When it ends, in microseconds UTC: it holds while as_of < until.
    pub until: i64,
    matched: Match,
}

/// `[break_glass]`: credentials for emergencies, which must be revoked after use.
#[derive(Clone, Debug)]
pub struct BreakGlass {
    /// The line its header stands on, from 1.
    pub line: usize,
    /// How long one may live unrevoked, in microseconds.
    pub max_age: i64,
    matches: Vec<Match>,
}

impl Policy {
    /// Every key of `[defaults]` and `[[rule]]`: name, kind, default and help.
    pub const KEYS: &'static [Key] = keys::KEYS;

    /// Reads the policy in a file.
    ///
    /// # Errors
    ///
    /// [`PolicyError::Unreadable`], or [`PolicyError::Invalid`] with every mistake; not UTF-8 and larger than
    /// [`POLICY_BYTES_MAX`] are mistakes too.
    pub fn load(path: &Path) -> Result<Self, PolicyError> {
        let file_name = path.display().to_string();
        let mut bytes = Vec::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(POLICY_BYTES_MAX + 1).read_to_end(&mut bytes))
            .map_err(|source| PolicyError::Unreadable { path: path.to_owned(), source })?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
            PolicyError::Invalid {
                file_name: file_name.clone(),
                mistakes: vec![Mistake { line, message: "not UTF-8".to_owned() }],
            }
        })?;
        Self::parse(&file_name, &text)
    }

    /// Reads a policy from text; `file_name` is for messages, and its last part for [`Rule::label`].
    ///
    /// # Errors
    ///
    /// [`PolicyError::Invalid`] with every mistake, by line.
    ///
    /// # Example
    ///
    /// ```
    /// # use tokentrail::policy::Policy;
    /// let error = Policy::parse("policy.toml", "[defaults]\nmax_agee = \"30d\"").unwrap_err();
    /// let text = r#"policy.toml:2: unknown key "max_agee" in [defaults]; did you mean "max_age"?"#;
    /// assert_eq!(error.to_string(), text);
    /// ```
    pub fn parse(file_name: &str, text: &str) -> Result<Self, PolicyError> {
        let parsed = if text.len() as u64 > POLICY_BYTES_MAX {
            Err(vec![Mistake {
                line: 1,
                message: format!("larger than {POLICY_BYTES_MAX} bytes, the largest accepted"),
            }])
        } else {
            parse::parse(file_name, text)
        };
        let parts = parsed.map_err(|mistakes| PolicyError::Invalid { file_name: file_name.to_owned(), mistakes })?;
        let parse::Parts { defaults, rules, exceptions, break_glass } = parts;
        let file_name = Path::new(file_name).file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self {
            file_name,
            text: text.to_owned(),
            defaults,
            rules,
            exceptions,
            break_glass,
            identities: Arc::default(),
        })
    }

    /// The last part of the file's name, by which [`Rule::label`] names rules; empty for the built-in policy.
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// The same policy over people who have several names.
    pub fn with_identities(self, identities: Identities) -> Self {
        Self { identities: Arc::new(identities), ..self }
    }

    /// Who is who, where its rules and detectors speak of subjects.
    pub fn identities(&self) -> &Arc<Identities> {
        &self.identities
    }

    /// The text as read; empty for the built-in policy.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The longest of all durations that it sets, or that hold where it sets none; in microseconds.
    pub fn longest(&self) -> i64 {
        let of_keys = Self::KEYS
            .iter()
            .flat_map(|key| self.rules.iter().filter_map(|rule| rule.value(key.name)).chain([self.default_value(key)]));
        let durations = of_keys.filter_map(|value| match value {
            Value::Duration(micros) => Some(*micros),
            _ => None,
        });
        durations.chain(self.break_glass.as_ref().map(|it| it.max_age)).max().unwrap_or(0)
    }

    /// Whether `[defaults]` or a rule sets a key.
    pub fn sets(&self, key: &str) -> bool {
        self.defaults.contains_key(key) || self.rules.iter().any(|rule| rule.value(key).is_some())
    }

    /// The rules in order. Positions in it are what [`Policy::value_sql`] calls `i`.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The exceptions in order.
    pub fn exceptions(&self) -> &[Exception] {
        &self.exceptions
    }

    /// What counts as break-glass; None: nothing.
    pub fn break_glass(&self) -> Option<&BreakGlass> {
        self.break_glass.as_ref()
    }

    /// What `key` is where no rule says otherwise: from `[defaults]`, else built in.
    pub fn default_value<'a>(&'a self, key: &'a Key) -> &'a Value {
        self.defaults.get(key.name).unwrap_or(&key.default)
    }
}

impl Rule {
    /// A boolean SQL expression over event columns: whether an event satisfies every condition. Never NULL.
    pub fn event_sql(&self) -> String {
        self.matched.event_sql()
    }

    /// [`Rule::event_sql`] if the match names only host_id and host_kind. None: it cannot decide a host's own values.
    pub fn host_sql(&self) -> Option<String> {
        self.matched.host_sql()
    }

    /// The columns of events that its match names.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.matched.columns()
    }

    /// [`Rule::event_sql`] of one event at hand, by its columns.
    pub fn matches(&self, row: &Map<String, Json>) -> bool {
        self.matched.matches(row)
    }

    /// The value it sets for a key, if it does.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// How evidence names it: `rule 2 "service accounts"`, or by place if it has no name: `rule 2 (policy.toml:14)`.
    /// A place moves when a comment is added above it, which the hash does not see; a name stays.
    pub fn label(&self) -> String {
        match &self.name {
            Some(name) => format!("rule {} \"{name}\"", self.number),
            None => format!("rule {} ({}:{})", self.number, self.file_name, self.line),
        }
    }
}

impl Exception {
    /// Whether it is about this finding: its detector, and its key and evidence columns in `row`. Asks nothing of time.
    pub fn matches(&self, detector: &str, row: &Map<String, Json>) -> bool {
        self.detector == detector && self.matched.matches(row)
    }

    /// Whether it still holds at `as_of`, in microseconds UTC.
    pub fn holds_at(&self, as_of: i64) -> bool {
        as_of < self.until
    }

    /// The columns its match names, for whoever knows the detector's columns to check.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.matched.columns()
    }
}

impl BreakGlass {
    /// A boolean SQL expression over event columns: whether an event satisfies one of the matches. Never NULL.
    pub fn event_sql(&self) -> String {
        let any: Vec<String> = self.matches.iter().map(Match::event_sql).collect();
        if any.is_empty() { "FALSE".to_owned() } else { format!("({})", any.join(" OR ")) }
    }

    /// [`BreakGlass::max_age`] as SQL.
    pub fn max_age_sql(&self) -> String {
        Value::Duration(self.max_age).sql(Kind::Duration)
    }
}
