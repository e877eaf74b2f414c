//! Who is who: one person has an e-mail address at the HR system, a login at GitHub and a GUID at Entra.
//!
//! A reference (CSV or NDJSON) gives for each alias the subject id that counts. It is read once and whole, like a
//! policy: a name that leads to two people would close one's findings with the other's offboarding, so every mistake is
//! refused, with its line. What was stored stays as it came; the names are put together when it is judged, and a run
//! records [`Identities::hash`].

use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::csv::{Header, Layout, row_length};
use crate::event::{hex, lower_email};
use crate::policy::spelling::{clip, nearest};
use crate::policy::{Mistake, Mistakes};

/// Largest file, in bytes.
pub const IDENTITIES_BYTES_MAX: u64 = 64 << 20;
/// How many mistakes are told.
const MISTAKES_MAX: usize = 100;
/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 4096;
/// The columns, or keys, that are read. Others may stand beside them.
const ALIAS: &str = "alias";
const SUBJECT: &str = "subject_id";

/// The names of people, read and checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identities {
    text: String,
    /// Subject id of each alias; none is an alias itself.
    subjects: BTreeMap<String, String>,
}

/// Why there is no reference.
#[derive(Debug, thiserror::Error)]
pub enum IdentitiesError {
    /// The file cannot be read.
    #[error("cannot read the identities {}", path.display())]
    Unreadable {
        /// As it was given.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file can be read but is wrong.
    #[error(transparent)]
    Invalid(#[from] Mistakes),
}

impl Identities {
    /// Reads the reference in a file.
    ///
    /// # Errors
    /// [`IdentitiesError::Unreadable`], or [`IdentitiesError::Invalid`] with every mistake; not UTF-8 and larger than
    /// [`IDENTITIES_BYTES_MAX`] are mistakes too.
    pub fn load(path: &Path) -> Result<Self, IdentitiesError> {
        let mut bytes = Vec::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(IDENTITIES_BYTES_MAX + 1).read_to_end(&mut bytes))
            .map_err(|source| IdentitiesError::Unreadable { path: path.to_owned(), source })?;
        let file_name = path.display().to_string();
        let text = String::from_utf8(bytes).map_err(|error| {
            let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
            let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
            Mistakes { file_name: file_name.clone(), mistakes: vec![mistake(line, "not UTF-8")] }
        })?;
        Ok(Self::parse(&file_name, &text)?)
    }

    /// Reads a reference from text; `file_name` is for messages. What begins with `{` is NDJSON, all else CSV.
    ///
    /// # Errors
    /// Every mistake, by line.
    ///
    /// # Example
    ///
    /// ```
    /// # use tokentrail::identities::Identities;
    /// let identities = Identities::parse("who.csv", "alias,subject_id\nal-gh,alice@example.com\n").unwrap();
    /// assert_eq!(identities.subject_of("al-gh"), "alice@example.com");
    /// assert_eq!(identities.subject_of("bob@example.com"), "bob@example.com");
    /// ```
    pub fn parse(file_name: &str, text: &str) -> Result<Self, Mistakes> {
        let mut reader = Reader::default();
        let rows = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.len() as u64 > IDENTITIES_BYTES_MAX {
            reader.mistake(1, format!("larger than {IDENTITIES_BYTES_MAX} bytes, the largest accepted"));
        } else if rows.trim_start().starts_with('{') {
            reader.objects(rows);
        } else {
            reader.table(rows);
        }
        reader.follow();
        if reader.mistakes.is_empty() {
            let subjects = reader.names.into_iter().map(|(alias, (subject, _))| (alias, subject)).collect();
            return Ok(Self { text: text.to_owned(), subjects });
        }
        reader.mistakes.sort_by_key(|mistake| mistake.line);
        Err(Mistakes { file_name: file_name.to_owned(), mistakes: reader.mistakes })
    }

    /// The subject id that counts for a name: itself, if it is no alias.
    pub fn subject_of<'a>(&'a self, name: &'a str) -> &'a str {
        self.subjects.get(name).map_or(name, String::as_str)
    }

    /// Each alias and its subject id, in order of the aliases. A subject id is never an alias.
    pub fn aliases(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.subjects.iter().map(|(alias, subject)| (alias.as_str(), subject.as_str()))
    }

    /// Whether nobody has two names.
    pub fn is_empty(&self) -> bool {
        self.subjects.is_empty()
    }

    /// The text as read; empty if there is no reference.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// SHA-256 in hexadecimal of who is who. Neither the form of the file nor the order of its rows changes it.
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        for text in self.aliases().flat_map(|(alias, subject)| [alias, subject]) {
            // Length first, so that ("ab", "c") and ("a", "bc") differ.
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        hex(&hash.finalize())
    }
}

fn mistake(line: usize, message: impl Into<String>) -> Mistake {
    Mistake { line, message: message.into() }
}

/// What was read so far.
#[derive(Default)]
struct Reader {
    /// Subject id of each alias, and the line that says so.
    names: BTreeMap<String, (String, usize)>,
    mistakes: Vec<Mistake>,
}

impl Reader {
    fn mistake(&mut self, line: usize, message: String) {
        if self.mistakes.len() < MISTAKES_MAX {
            self.mistakes.push(Mistake { line, message });
        }
    }

    fn objects(&mut self, text: &str) {
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let number = number + 1;
            let object = match serde_json::from_str::<Value>(line) {
                Ok(Value::Object(object)) => object,
                Ok(_) => {
                    self.mistake(number, "not an object".to_owned());
                    continue;
                }
                Err(error) => {
                    self.mistake(number, format!("not JSON: {error}"));
                    continue;
                }
            };
            let mut name = |key: &str| match object.get(key) {
                Some(Value::String(text)) => Some(Cow::Owned(text.clone())),
                Some(Value::Number(id)) => Some(Cow::Owned(id.to_string())),
                Some(_) => {
                    self.mistake(number, format!("\"{key}\" must be text"));
                    None
                }
                None => {
                    self.lacks(number, "key", key, object.keys().map(String::as_str));
                    None
                }
            };
            if let (Some(alias), Some(subject)) = (name(ALIAS), name(SUBJECT)) {
                self.add(number, alias, subject);
            }
        }
    }

    fn table(&mut self, text: &str) {
        let layout = Layout::default();
        let first_line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let delimiter = layout.delimiter(first_line.as_bytes());
        let (mut rest, mut line, mut columns) = (text, 1, None);
        while let Some(length) = row_length(rest.as_bytes(), delimiter, true).filter(|length| *length > 0) {
            let (row, behind) = rest.split_at_checked(length).unwrap_or((rest, ""));
            let number = line;
            line += row.matches('\n').count();
            rest = behind;
            if row.trim().is_empty() {
                continue;
            }
            let Some((header, alias, subject)) = &columns else {
                match self.header(number, &layout, row) {
                    Some(found) => columns = Some(found),
                    None => return,
                }
                continue;
            };
            match header.row(row.as_bytes()) {
                Err(why) => self.mistake(number, why.0),
                Ok(mut cells) => {
                    let mut cell = |at: &usize| cells.get_mut(*at).map(std::mem::take).unwrap_or_default();
                    let (alias, subject) = (cell(alias), cell(subject));
                    self.add(number, alias, subject);
                }
            }
        }
        if columns.is_none() {
            self.mistake(1, format!("no header: the columns \"{ALIAS}\" and \"{SUBJECT}\" are needed"));
        }
    }

    /// The columns, and which of them are read.
    fn header(&mut self, line: usize, layout: &Layout, row: &str) -> Option<(Header, usize, usize)> {
        let header = match layout.header(row.as_bytes()) {
            Ok(header) => header,
            Err(why) => {
                self.mistake(line, why.0);
                return None;
            }
        };
        let mut place = |column: &str| {
            let place = header.names.iter().position(|name| name.eq_ignore_ascii_case(column));
            if place.is_none() {
                self.lacks(line, "column", column, header.names.iter().map(String::as_str));
            }
            place
        };
        let (alias, subject) = (place(ALIAS), place(SUBJECT));
        Some((header, alias?, subject?))
    }

    fn lacks<'n>(&mut self, line: usize, what: &str, name: &str, names: impl Iterator<Item = &'n str>) {
        let advice = match nearest(name, names) {
            Some((near, true)) => format!("; is \"{}\" meant?", clip(near)),
            _ => String::new(),
        };
        self.mistake(line, format!("the {what} \"{name}\" is missing{advice}"));
    }

    fn add(&mut self, line: usize, alias: Cow<'_, str>, subject: Cow<'_, str>) {
        let mut name = |what: &str, text: Cow<'_, str>| {
            let mut text = Some(Cow::Owned(text.trim().to_owned()));
            // As ids in events are.
            lower_email(&mut text);
            let text = text.map(Cow::into_owned).unwrap_or_default();
            if text.is_empty() || text.len() > NAME_BYTES_MAX {
                self.mistake(line, format!("\"{what}\" must be 1 to {NAME_BYTES_MAX} bytes long"));
                return None;
            }
            Some(text)
        };
        let (Some(alias), Some(subject)) = (name(ALIAS, alias), name(SUBJECT, subject)) else { return };
        if alias == subject {
            return;
        }
        match self.names.entry(alias) {
            Entry::Vacant(entry) => {
                entry.insert((subject, line));
            }
            Entry::Occupied(entry) if entry.get().0 == subject => {}
            Entry::Occupied(entry) => {
                let (alias, (before, first)) = (clip(entry.key()), entry.get());
                let message =
                    format!("\"{alias}\" is \"{}\" here and \"{}\" in line {first}", clip(&subject), clip(before));
                self.mistake(line, message);
            }
        }
    }

    /// Follows each alias to its end: the subject of one may be an alias too.
    fn follow(&mut self) {
        let aliases: Vec<String> = self.names.keys().cloned().collect();
        for alias in aliases {
            let (mut last, mut passed) = (alias, BTreeSet::new());
            let end = loop {
                let Some((subject, line)) = self.names.get(&last) else { break Some(last) };
                if !passed.insert(last.clone()) {
                    let (line, message) = (*line, format!("\"{}\" is an alias of itself, by others", clip(&last)));
                    self.mistake(line, message);
                    break None;
                }
                last = subject.clone();
            };
            // Whoever was passed has the same end, so nothing is walked twice.
            for name in &passed {
                match (&end, self.names.get_mut(name)) {
                    (Some(end), Some((subject, _))) => subject.clone_from(end),
                    _ => drop(self.names.remove(name)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
