//! Reading on after a mistake: what is wrong is blanked out of the text, and the rest is read again.
//!
//! serde stops at the first mistake. Each is told with its line. Where it is clear what was meant, the text is read on as
//! if that stood there; else the item is put out of the way, until the text can be read or nothing can be put out of the
//! way any more. What is then missing in its table is no mistake of its own.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

use crate::policy::Mistake;
use crate::policy::spelling::{clip, nearest};

/// How many mistakes are told at most.
const MISTAKES_MAX: usize = 100;

/// What a text says, and everything wrong with it.
pub struct Mended<T> {
    /// `None`: nothing could be read.
    pub value: Option<T>,
    pub mistakes: Vec<Mistake>,
    pub gone: Gone,
}

/// Places, like `alert.sinks.oncall.type` or `ingest.source.0.files`, of what was put out of the way.
#[derive(Default)]
pub struct Gone(BTreeSet<String>);

impl Gone {
    /// Whether the table at this place is not as it was written.
    pub fn touches(&self, table: &str) -> bool {
        self.0
            .iter()
            .any(|place| place.strip_prefix(table).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
    }

    /// Whether a table itself is gone, of those that stand right below a place.
    pub fn has_entry_of(&self, table: &str) -> bool {
        self.0.iter().any(|place| {
            place.strip_prefix(table).is_some_and(|rest| rest.starts_with('.') && rest.matches('.').count() == 1)
        })
    }
}

/// Reads a text beyond its first mistake.
pub fn read<T: DeserializeOwned>(text: &str) -> Mended<T> {
    let (_, broken) = DeTable::parse_recoverable(text);
    if !broken.is_empty() {
        let told = broken.iter().take(MISTAKES_MAX).map(|error| Mistake {
            line: line(text, error.span().map_or(text.len(), |span| span.start)),
            message: error.message().to_owned(),
        });
        return Mended { value: None, mistakes: told.collect(), gone: Gone::default() };
    }
    let (mut mistakes, mut gone) = (Vec::new(), Gone::default());
    let mut text = text.to_owned();
    while mistakes.len() < MISTAKES_MAX {
        let error = match toml::from_str::<T>(&text) {
            Ok(value) => return Mended { value: Some(value), mistakes, gone },
            Err(error) => error,
        };
        let span = error.span().unwrap_or(0..0);
        let found = item(&text, &span).filter(|(item, _)| !item.is_empty());
        let place = found.as_ref().map_or("", |(_, place)| place);
        if !(error.message().starts_with("missing field") && gone.touches(place)) {
            mistakes.push(Mistake { line: line(&text, span.start), message: explained(error.message(), &text, &span) });
        }
        if let Some(meant) = meant(error.message(), &text, &span) {
            text = meant;
            continue;
        }
        let Some((item, place)) = found else { break };
        text = blanked(&text, &item);
        // A table that is spread over several dotted keys has no place of its own: the rest is told another time.
        if DeTable::parse(&text).is_err() {
            break;
        }
        gone.0.insert(place);
    }
    Mended { value: None, mistakes, gone }
}

/// The line, from 1, of a place in a text.
fn line(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// The line on which a header stands for the `number`th time, counted from 0; the first line if it is not there.
pub fn line_of_nth(text: &str, header: &str, number: usize) -> usize {
    let compact = |line: &str| line.chars().filter(|letter| !letter.is_whitespace()).collect::<String>();
    let mut lines = text.lines().enumerate().filter(|(_, line)| compact(line).starts_with(header));
    lines.nth(number).map_or(1, |(index, _)| index + 1)
}

/// The line on which a key of a section stands; that of the section, or the first, if it is not there.
pub fn line_of_key(text: &str, section: &str, key: &str) -> usize {
    let header = line_of_nth(text, &format!("[{section}]"), 0);
    let below = text.lines().enumerate().skip(header).take_while(|(_, line)| !line.trim_start().starts_with('['));
    let mut keys = below.filter(|(_, line)| line.split('=').next().is_some_and(|name| name.trim() == key));
    keys.next().map_or(header, |(index, _)| index + 1)
}

/// What serde calls a name that it does not know: a key or a value, and the names that it knows.
fn unknown(message: &str) -> Option<(&'static str, &str, Vec<&str>)> {
    let kinds = [("unknown field ", "key"), ("unknown variant ", "value")];
    let (rest, what) = kinds.into_iter().find_map(|(words, what)| Some((message.strip_prefix(words)?, what)))?;
    let mut words = rest.split('`').skip(1).step_by(2);
    Some((what, words.next()?, words.collect()))
}

/// serde's words with what was probably meant.
fn explained(message: &str, text: &str, span: &Range<usize>) -> String {
    let Some((what, name, known)) = unknown(message) else {
        let value = text.get(span.clone()).unwrap_or_default().lines().next().unwrap_or_default();
        return format!("{message} at {}", clip(value));
    };
    let advice = match nearest(name, known.iter().copied()) {
        Some((word, true)) => format!("; did you mean \"{word}\"?"),
        _ => String::new(),
    };
    format!("unknown {what} \"{}\"{advice} (there are {})", clip(name), known.join(", "))
}

/// The text with what was probably meant in place of a name that is not known.
fn meant(message: &str, text: &str, span: &Range<usize>) -> Option<String> {
    let (what, name, known) = unknown(message)?;
    let (word, true) = nearest(name, known.into_iter())? else { return None };
    let word = if what == "key" { word.to_owned() } else { format!("\"{word}\"") };
    let stands = text.get(span.clone())?;
    let at = stands.find(name)?;
    let mut place = span.start + at..span.start + at + name.len();
    if what == "value" || stands.len() == name.len() + 2 {
        place = span.clone();
    }
    let mended = format!("{}{word}{}", text.get(..place.start)?, text.get(place.end..)?);
    // The right key may stand there too.
    DeTable::parse(&mended).is_ok().then_some(mended)
}

/// The smallest item, key and value together, that a place in the text belongs to; and what the place is called.
fn item(text: &str, span: &Range<usize>) -> Option<(Range<usize>, String)> {
    let root = DeTable::parse(text).ok()?;
    let (mut item, path) = within(root.get_ref(), span)?;
    // A dotted key goes with its first parts.
    if text[..item.start].trim_end().ends_with('.') {
        item.start = text[..item.start].rfind(['\n', '{', ',']).map_or(0, |at| at + 1);
    }
    // A header goes with all that stands below it, which would else belong to the table before.
    let line_start = text[..item.start].rfind('\n').map_or(0, |at| at + 1);
    if text[line_start..].trim_start().starts_with('[') {
        item.start = line_start;
        item.end = text[item.end..].find("\n[").map_or(text.len(), |at| item.end + at);
    }
    Some((item, path))
}

fn within(table: &DeTable<'_>, span: &Range<usize>) -> Option<(Range<usize>, String)> {
    for (key, value) in table {
        let (name, held) = (key.span(), value.span());
        let inner = match value.get_ref() {
            DeValue::Table(table) => within(table, span),
            DeValue::Array(items) => items.iter().enumerate().find_map(|(number, item)| match item.get_ref() {
                DeValue::Table(table) => within(table, span).map(|(item, path)| (item, format!("{number}.{path}"))),
                _ => None,
            }),
            _ => None,
        };
        if let Some((item, path)) = inner {
            return Some((item, format!("{}.{path}", key.get_ref())));
        }
        let is_here = |range: &Range<usize>| range.start <= span.start && span.end <= range.end;
        if is_here(&name) || is_here(&held) {
            return Some((name.start.min(held.start)..name.end.max(held.end), key.get_ref().to_string()));
        }
    }
    None
}

/// Puts blanks where an item stands, and the comma behind it if it stands within braces; lines stay where they are.
fn blanked(text: &str, item: &Range<usize>) -> String {
    let rest = text.get(item.end..).unwrap_or_default();
    let spaces = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    let comma = usize::from(rest[spaces..].starts_with(','));
    let item = item.start..item.end + if comma > 0 { spaces + comma } else { 0 };
    let blanked = |(at, letter): (usize, char)| match letter {
        '\n' => "\n".to_owned(),
        _ if item.contains(&at) => " ".repeat(letter.len_utf8()),
        other => other.to_string(),
    };
    text.char_indices().map(blanked).collect()
}
