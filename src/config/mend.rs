//! Reading on after a mistake: what is wrong is blanked out of the text, and the rest is read again.
//!
//! serde stops at the first mistake. Each is told with its line, and the item it stands in is put out of the way, until
//! the text can be read or nothing can be put out of the way any more.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

use crate::policy::Mistake;
use crate::policy::spelling::{clip, nearest};

/// How many mistakes are told at most.
const MISTAKES_MAX: usize = 100;

/// The value in a text, if anything could be read, and everything wrong with the text.
pub fn read<T: DeserializeOwned>(text: &str) -> (Option<T>, Vec<Mistake>) {
    let (_, broken) = DeTable::parse_recoverable(text);
    if !broken.is_empty() {
        let told = broken.iter().take(MISTAKES_MAX).map(|error| Mistake {
            line: line(text, error.span().map_or(text.len(), |span| span.start)),
            message: error.message().to_owned(),
        });
        return (None, told.collect());
    }
    let mut mistakes = Vec::new();
    let mut text = text.to_owned();
    while mistakes.len() < MISTAKES_MAX {
        let error = match toml::from_str::<T>(&text) {
            Ok(value) => return (Some(value), mistakes),
            Err(error) => error,
        };
        let span = error.span().unwrap_or(0..0);
        mistakes.push(Mistake { line: line(&text, span.start), message: explained(error.message(), &text, &span) });
        let Some(item) = item(&text, &span).filter(|item| !item.is_empty()) else { break };
        blank(&mut text, &item);
    }
    (None, mistakes)
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

/// serde's words with what was probably meant.
fn explained(message: &str, text: &str, span: &Range<usize>) -> String {
    let Some(rest) = message.strip_prefix("unknown field ") else {
        let value = text.get(span.clone()).unwrap_or_default().lines().next().unwrap_or_default();
        return format!("{message} at {}", clip(value));
    };
    let words: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
    let Some((name, known)) = words.split_first() else { return message.to_owned() };
    let advice = match nearest(name, known.iter().copied()) {
        Some((word, true)) => format!("; did you mean \"{word}\"?"),
        _ => String::new(),
    };
    format!("unknown key \"{}\"{advice} (there are {})", clip(name), known.join(", "))
}

/// The smallest item, key and value together, that a place in the text belongs to.
fn item(text: &str, span: &Range<usize>) -> Option<Range<usize>> {
    let root = DeTable::parse(text).ok()?;
    let mut item = within(root.get_ref(), span)?;
    // A header goes with all that stands below it, which would else belong to the table before.
    let line_start = text[..item.start].rfind('\n').map_or(0, |at| at + 1);
    if text[line_start..].trim_start().starts_with('[') {
        item.start = line_start;
        item.end = text[item.end..].find("\n[").map_or(text.len(), |at| item.end + at);
    }
    Some(item)
}

fn within(table: &DeTable<'_>, span: &Range<usize>) -> Option<Range<usize>> {
    for (key, value) in table {
        let (name, held) = (key.span(), value.span());
        let inner = match value.get_ref() {
            DeValue::Table(table) => within(table, span),
            DeValue::Array(items) => items.iter().find_map(|item| match item.get_ref() {
                DeValue::Table(table) => within(table, span),
                _ => None,
            }),
            _ => None,
        };
        if inner.is_some() {
            return inner;
        }
        let is_here = |range: &Range<usize>| range.start <= span.start && span.end <= range.end;
        if is_here(&name) || is_here(&held) {
            return Some(name.start.min(held.start)..name.end.max(held.end));
        }
    }
    None
}

/// Puts blanks where an item stands; lines stay where they are.
fn blank(text: &mut String, item: &Range<usize>) {
    let blanked = |(at, letter): (usize, char)| match letter {
        '\n' => "\n".to_owned(),
        _ if item.contains(&at) => " ".repeat(letter.len_utf8()),
        other => other.to_string(),
    };
    *text = text.char_indices().map(blanked).collect();
}
