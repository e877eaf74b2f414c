//! A source of one's own: a file in TOML says where the columns of an event stand in its records.
//!
//! ```toml
//! source = "hr"
//! [csv]                                  # the records are rows; without it they are JSON
//! [[event]]                              # one for each kind of event
//! when         = { status = "left" }
//! event_time   = { path = "last_day", format = "%d.%m.%Y", zone = "Europe/Berlin", end_of_day = true }
//! action       = { value = "offboard" }
//! subject_id   = "mail"
//! ```
//!
//! Each `[[event]]` whose `when` holds gives one event. A mapping is read once and whole: a misspelt key would silently
//! leave a column empty, so every mistake is refused, with its line and the nearest key. What it makes of a record is
//! as total as the decoders of providers: events, or a rejection that names the column and the path. docs/MAPPINGS.md
//! has all of it.

mod clock;
mod column;
mod condition;
mod event;
mod keys;
mod path;
mod read;
#[cfg(test)]
mod tests;

use std::io::Read as _;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::envelope::RECORDS_MAX;
use super::json::Json;
use super::{Decoding, Found, Verdict, finish};
use crate::csv::{Header, Layout};
use crate::event::Rejection;
use crate::policy::spelling::nearest;
use crate::policy::{Mistake, Mistakes, parse};
use event::EventMapping;
use path::Path;

/// Largest mapping file, in bytes.
pub const MAPPING_BYTES_MAX: usize = 1 << 20;
/// Most `[[event]]`s of a mapping.
pub const EVENTS_MAX: usize = 100;

/// How the records of one source are read.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapping {
    source: String,
    /// The list of records inside each record that comes, if they come in pages.
    records: Option<Path>,
    csv: Option<Layout>,
    events: Vec<EventMapping>,
    unmatched: Unmatched,
}

/// What becomes of a record that no `[[event]]` is about.
#[derive(Clone, Debug, PartialEq)]
enum Unmatched {
    Reject,
    Skip,
    /// It is kept as `other`.
    Other(Box<EventMapping>),
}

/// Why there is no mapping.
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    #[error("cannot read the mapping {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Invalid(#[from] Mistakes),
}

impl Mapping {
    /// Reads the mapping in a file.
    ///
    /// # Errors
    /// The file cannot be read, or every mistake in it, by line.
    pub fn load(path: &std::path::Path) -> Result<Self, MappingError> {
        let unreadable = |source| MappingError::Unreadable { path: path.to_owned(), source };
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(unreadable)?;
        // One more than is accepted, so that what is larger is seen to be.
        file.take(MAPPING_BYTES_MAX as u64 + 1).read_to_string(&mut text).map_err(unreadable)?;
        Ok(Self::parse(&path.display().to_string(), &text)?)
    }

    /// Reads a mapping from text; `file_name` is for messages.
    ///
    /// # Errors
    /// Every mistake, by line.
    ///
    /// # Example
    ///
    /// ```
    /// # use tokentrail::decode::mapping::Mapping;
    /// let text = "source = \"hr\"\n[[event]]\naction = { value = \"offbord\" }\nevent_time = \"at\"";
    /// let expected = "hr.toml:3: \"value\" in \"action\" of [[event]] must be a word of its vocabulary, \
    ///                 not \"offbord\"; did you mean \"offboard\"?";
    /// assert_eq!(Mapping::parse("hr.toml", text).unwrap_err().to_string(), expected);
    /// ```
    pub fn parse(file_name: &str, text: &str) -> Result<Self, Mistakes> {
        let invalid = |mistakes| Mistakes { file_name: file_name.to_owned(), mistakes };
        if text.len() > MAPPING_BYTES_MAX {
            let message = format!("larger than {MAPPING_BYTES_MAX} bytes, the largest accepted");
            return Err(invalid(vec![Mistake { line: 1, message }]));
        }
        let read = parse::read(file_name, text, |reader, root| reader.mapping(root)).map_err(invalid)?;
        // Cannot be: without a mapping there is a mistake.
        read.ok_or_else(|| invalid(vec![Mistake { line: 1, message: "not a mapping".to_owned() }]))
    }

    /// As in the `source` column.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// How the table is laid out, if the records are rows.
    pub fn csv(&self) -> Option<&Layout> {
        self.csv.as_ref()
    }

    /// The columns of rows that came with this header or none; `None` if the records are no rows.
    ///
    /// # Errors
    /// There is no header, or it lacks what [`Mapping::check`] asks for.
    pub fn header(&self, of_rows: Option<Arc<Header>>) -> Result<Option<Arc<Header>>, Rejection> {
        let Some(layout) = &self.csv else { return Ok(None) };
        let header = match of_rows {
            Some(header) => header,
            None if layout.has_header_row() => {
                let why = "rows that come one by one have no header: name their columns in [csv] of the mapping";
                return Err(Rejection(why.to_owned()));
            }
            None => Arc::new(layout.header(b"")?),
        };
        self.check(&header)?;
        Ok(Some(header))
    }

    /// Whether a table has the columns that this reads: asked once for each table, so that a misspelt name does not
    /// leave a column empty in every row.
    ///
    /// # Errors
    /// Which is missing, or there twice, and where the mapping names it.
    pub fn check(&self, header: &Header) -> Result<(), Rejection> {
        let named = |path: &Path| header.names.iter().filter(|name| name.eq_ignore_ascii_case(&path.text)).count();
        for alternatives in self.events.iter().chain(self.unmatched.event()).flat_map(EventMapping::alternatives) {
            if let Some(path) = alternatives.iter().find(|path| named(path) > 1) {
                let exact = header.names.iter().filter(|name| **name == path.text).count();
                if exact != 1 {
                    return Err(Rejection(format!("the header: two columns are named \"{}\"", path.text)));
                }
            }
            if let Some(first) = alternatives.first().filter(|_| alternatives.iter().all(|path| named(path) == 0)) {
                let advice = match nearest(&first.text, header.names.iter().map(String::as_str)) {
                    Some((name, true)) => format!("; did you mean \"{name}\"?"),
                    _ => format!("; it has {}", shown(&header.names)),
                };
                let (name, line) = (&first.text, first.line);
                let why = format!("the header: no column \"{name}\", which line {line} of the mapping reads{advice}");
                return Err(Rejection(why));
            }
        }
        Ok(())
    }

    /// Decodes one record, a row under its header or JSON, and shows everything that is in it, in order. `record_hash`
    /// is its [`hash`](super::hash).
    pub fn each(
        &self,
        header: Option<&Header>,
        record: &[u8],
        record_hash: &[u8; 32],
        show: &mut dyn FnMut(Found<'_>),
    ) {
        let whole = 0..record.len();
        let mut decoding = Decoding::new(record, record_hash, show);
        let result = match header {
            Some(header) => header.row(record).map(|cells| {
                let members = header.names.iter().zip(cells).map(|(name, cell)| (name.into(), Json::Text(cell)));
                let row = Json::Object(members.collect(), 0..0);
                self.record(&row, whole.clone(), &mut decoding);
            }),
            None => Json::parse(record).map(|json| self.json(&json, whole.clone(), &mut decoding)),
        };
        if let Err(rejection) = result {
            decoding.tell(Verdict::Rejected(&rejection, None), whole);
        }
    }

    /// Shows what is in one record, in a list of them, or in pages.
    fn json(&self, json: &Json<'_>, whole: Range<usize>, decoding: &mut Decoding<'_, '_>) {
        let mut left = RECORDS_MAX;
        let mut is_empty = true;
        for page in json.items() {
            let items = match &self.records {
                Some(path) => path.of(page),
                None => page,
            };
            if let (Some(path), Json::Null) = (&self.records, items) {
                let rejection = Rejection(format!("records: nothing at \"{}\"", path.text));
                decoding.tell(Verdict::Rejected(&rejection, None), page.span().unwrap_or_else(|| whole.clone()));
                is_empty = false;
                continue;
            }
            for item in items.items() {
                is_empty = false;
                let piece = item.span().filter(|_| !std::ptr::eq(item, json)).unwrap_or_else(|| whole.clone());
                if left == 0 {
                    let rejection = Rejection(format!("more than {RECORDS_MAX} records in one; these are the rest"));
                    return decoding.tell(Verdict::Rejected(&rejection, None), piece.start..whole.end);
                }
                left -= 1;
                self.record(item, piece, decoding);
            }
        }
        if is_empty {
            decoding.tell(Verdict::Skipped("a list with nothing inside"), whole);
        }
    }

    /// Shows the events of one record.
    fn record(&self, record: &Json<'_>, piece: Range<usize>, decoding: &mut Decoding<'_, '_>) {
        if !record.is_object() {
            let rejection = Rejection(format!("{} where an object was expected", record.kind()));
            return decoding.tell(Verdict::Rejected(&rejection, None), piece);
        }
        let mut about = self.events.iter().filter(|event| event.is_about(record)).peekable();
        let mut events = Vec::new();
        let mut result = Ok(());
        if about.peek().is_none() {
            match &self.unmatched {
                Unmatched::Skip => return decoding.tell(Verdict::Skipped("no [[event]] is about it"), piece),
                Unmatched::Reject => result = Err(self.nobodys(record)),
                Unmatched::Other(event) => result = event.decode(record, &mut events),
            }
        }
        for event in about {
            result = result.and(event.decode(record, &mut events));
        }
        let own_hash = decoding.hash_of(decoding.record.get(piece.clone()).unwrap_or_default());
        finish(&mut events, &self.source, &own_hash);
        match result {
            Err(rejection) => decoding.tell(Verdict::Rejected(&rejection, events.first()), piece),
            Ok(()) => events.iter().for_each(|event| decoding.tell(Verdict::Event(event), piece.clone())),
        }
    }

    /// Why a record is about nothing: what stands where the conditions look.
    fn nobodys(&self, record: &Json<'_>) -> Rejection {
        let mut seen: Vec<String> = Vec::new();
        for path in self.events.iter().flat_map(EventMapping::condition_paths) {
            let value = path::word(path.of(record));
            let value = value.map_or("nothing".to_owned(), |word| format!("{:?}", path::shown(&word)));
            let text = format!("{} = {value}", path.text);
            if !seen.contains(&text) {
                seen.push(text);
            }
        }
        Rejection(format!("no [[event]] of the mapping is about it: {}", seen.join(", ")))
    }
}

impl Unmatched {
    fn event(&self) -> Option<&EventMapping> {
        match self {
            Self::Other(event) => Some(event),
            Self::Reject | Self::Skip => None,
        }
    }
}

/// The first names of a table, for messages.
fn shown(names: &[String]) -> String {
    const NAMES_MAX: usize = 20;
    let mut list: Vec<String> = names.iter().take(NAMES_MAX).map(|name| format!("\"{}\"", path::shown(name))).collect();
    if names.len() > NAMES_MAX {
        list.push("...".to_owned());
    }
    list.join(", ")
}
