//! What stands around records on their way here: pages of an interface, batches of a log stream, lines in one text.
//!
//! An envelope is opened only if something known is inside, so a foreign record that happens to have a field `data` stays
//! one record. Each record in a list is told apart by its own bytes: the same record in two batches is then a repeat. Its
//! bytes are also its evidence, so a batch of a thousand records is not kept a thousand times.

use std::ops::Range;

use super::Format;
use super::json::{Json, Member, Values};
use super::recognise::{Owner, presumed, recognise, unknown};
use crate::event::Rejection;

/// Most envelopes inside each other.
const ENVELOPES_MAX: usize = 8;
/// Most records taken out of one.
pub const RECORDS_MAX: usize = 65_536;

/// Keys that hold a list of records, in the order they are tried.
const LISTS: [&str; 10] = [
    "records",     // Azure Event Hubs and diagnostic settings; CloudTrail files, as Records
    "value",       // Microsoft Graph
    "items",       // Google Reports
    "data.events", // Okta event hooks
    "data",        // OpenAI, Anthropic, OneLogin pages
    "entries",     // Slack audit logs
    "events",
    "logEvents", // CloudWatch Logs subscriptions
    "results",
    "logs",
];
/// Keys that hold one record, or the text of one or several; rarely a list.
const SINGLES: [&str; 18] = [
    "detail",                  // Amazon EventBridge
    "event.original",          // Elastic, nested
    "message",                 // Beats, Logstash, Vector
    "data",                    // CloudEvents, Event Grid, Wazuh
    "payload",                 // Kafka Connect
    "event",                   // Splunk HTTP event collector, Keycloak plug-ins
    "adminEvent",              // Keycloak plug-ins
    "properties.RawEventData", // Microsoft Defender for Cloud Apps
    "RawEventData",
    "AuditData",   // Microsoft Purview's search of the unified audit log
    "_source",     // Elastic documents
    "json",        // Filebeat, where it decoded what it read
    "result._raw", // Splunk exports
    "log",         // container logs
    "record",
    "raw",
    "_raw",
    "body",
];

/// What was found in a record.
pub struct Leaf<'t> {
    pub content: Content<'t>,
    /// The bytes of the whole record that belong to this leaf, and to no other unless it stands in text with escapes.
    pub piece: Range<usize>,
}

pub enum Content<'t> {
    /// A record, and the text it was parsed from.
    Record { record: &'t Json<'t>, text: &'t str, owner: Owner },
    /// The whole record is neither JSON nor a line that is known.
    Unreadable(Rejection),
    /// Something that is no record that is known.
    Broken(Rejection),
    /// An envelope with nothing inside.
    Empty,
}

/// Opens everything around the records of one format (or of any), and shows what is inside.
pub struct Opener<'v> {
    format: Format,
    show: &'v mut dyn FnMut(Leaf<'_>),
    left: usize,
}

/// A tree, the text it was parsed from, and which bytes of the whole record it stands for.
#[derive(Clone)]
struct Place<'t> {
    text: &'t str,
    piece: Range<usize>,
    /// The text is the whole record as it came, so that spans are places in the record.
    is_whole: bool,
}

/// Shows every record in `bytes`.
pub fn open(bytes: &[u8], format: Format, show: &mut dyn FnMut(Leaf<'_>)) {
    let mut opener = Opener { format, show, left: RECORDS_MAX };
    let piece = 0..bytes.len();
    let broken = match Json::parse(bytes) {
        Ok(record) => {
            let text = std::str::from_utf8(bytes).unwrap_or_default();
            let place = Place { text, piece, is_whole: true };
            if let Some(owner) = recognise(&record, format) {
                opener.record(&record, &place, owner);
            } else if opener.holds(&record, 0) {
                opener.unwrap(&record, &place, 0);
            } else if is_empty(&record) {
                opener.tell(Content::Empty, place.piece);
            } else {
                opener.nobodys(&record, &place);
            }
            return;
        }
        Err(rejection) => rejection,
    };
    // No JSON: a log line of a provider that writes text, or several records in one text.
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            let record = Json::Text(text.into());
            let place = Place { text, piece: piece.clone(), is_whole: true };
            if opener.knows(&record, 0) {
                opener.peel(&record, &place, 0);
            } else {
                opener.tell(Content::Unreadable(broken), piece);
            }
        }
        Err(_) => opener.tell(Content::Unreadable(broken), piece),
    }
}

/// A page or batch that holds no record.
fn is_empty(record: &Json<'_>) -> bool {
    let is_empty_list = |list: &Json<'_>| matches!(list, Json::List(items, _) if items.is_empty());
    let is_empty_poll = record.get("sets").is_object() && tokens(record).is_empty();
    is_empty_poll || is_empty_list(record) || LISTS.iter().any(|path| is_empty_list(record.at(path)))
}

/// Security event tokens by their ids, as a receiver polls them (RFC 8936 section 2.2).
fn tokens<'t>(record: &'t Json<'t>) -> &'t [Member<'t>] {
    record.get("sets").members()
}

/// What of an object may hold records: the value of each key that envelopes use.
fn contents<'t>(record: &'t Json<'t>) -> impl Iterator<Item = &'t Json<'t>> {
    let lists = LISTS.iter().map(|path| record.at(path)).filter(|value| matches!(value, Json::List(..)));
    let dotted = record.get("event.original");
    let singles = SINGLES.iter().map(|path| record.at(path)).chain([dotted]);
    // Wazuh and others name the key that holds the record.
    let named = record.get("integration").text().map(|name| record.get(name));
    let singles = singles.chain(named);
    let singles = singles.filter(|value| matches!(value, Json::Object(..) | Json::Text(_) | Json::List(..)));
    lists.chain(singles)
}

impl Opener<'_> {
    fn tell(&mut self, content: Content<'_>, piece: Range<usize>) {
        (self.show)(Leaf { content, piece });
    }

    /// Whether this is a known record or holds one.
    fn knows(&self, node: &Json<'_>, depth: usize) -> bool {
        recognise(node, self.format).is_some() || self.holds(node, depth)
    }

    /// Whether a known record is in there.
    fn holds(&self, node: &Json<'_>, depth: usize) -> bool {
        if depth == ENVELOPES_MAX {
            return false;
        }
        match node {
            Json::List(items, _) => items.iter().any(|item| self.knows(item, depth + 1)),
            Json::Object(..) => {
                let tokens = tokens(node).iter().map(|(_, token)| token);
                contents(node).chain(tokens).any(|inner| self.knows(inner, depth + 1))
            }
            Json::Text(text) => lines(text).any(|line| match line {
                Line::Value(value, _) => self.knows(&value, depth + 1),
                Line::Other(line, _) => {
                    let record = || recognise(&Json::Text(line.into()), self.format);
                    let cell = || cell(line).is_some_and(|cell| self.knows(&Json::Text(cell.into()), depth + 1));
                    (line.len() < text.len() && record().is_some()) || cell()
                }
                Line::Broken(..) => false,
            }),
            _ => false,
        }
    }

    /// Shows a node that is, or holds, something known.
    fn peel(&mut self, node: &Json<'_>, place: &Place<'_>, depth: usize) {
        match recognise(node, self.format) {
            Some(owner) => self.record(node, place, owner),
            None => self.unwrap(node, place, depth),
        }
    }

    /// Shows what is in a node that is no record itself.
    fn unwrap(&mut self, node: &Json<'_>, place: &Place<'_>, depth: usize) {
        if depth == ENVELOPES_MAX {
            return self.nobodys(node, place);
        }
        match node {
            Json::List(items, span) => self.list(items, span.start as usize..span.end as usize, place, depth),
            Json::Object(..) => match contents(node).find(|inner| self.knows(inner, depth + 1)) {
                Some(inner) => self.peel(inner, place, depth + 1),
                None if self.holds(node, depth) => self.tokens(tokens(node), place, depth),
                None => self.nobodys(node, place),
            },
            Json::Text(text) if self.holds(node, depth) => self.text(text, place, depth),
            _ => self.nobodys(node, place),
        }
    }

    fn list(&mut self, items: &[Json<'_>], span: Range<usize>, place: &Place<'_>, depth: usize) {
        let spans = if place.is_whole { item_spans(items, place.text, &span) } else { Vec::new() };
        for (index, item) in items.iter().enumerate() {
            let piece = spans.get(index).unwrap_or(&place.piece).clone();
            if self.left == 0 {
                let rest = if place.is_whole { piece.start..span.end } else { piece };
                return self.too_many(rest);
            }
            self.peel(item, &Place { piece, ..place.clone() }, depth + 1);
        }
    }

    fn tokens(&mut self, tokens: &[Member<'_>], place: &Place<'_>, depth: usize) {
        for (_, token) in tokens {
            let text = token.verbatim().unwrap_or_default();
            let piece = if place.is_whole { range_in(text, place.text) } else { None };
            let piece = piece.unwrap_or_else(|| place.piece.clone());
            if self.left == 0 {
                return self.too_many(piece);
            }
            self.peel(token, &Place { piece, ..place.clone() }, depth + 1);
        }
    }

    fn text(&mut self, text: &str, place: &Place<'_>, depth: usize) {
        for line in lines(text) {
            let (start, end) = line.range();
            // The record as it came is text itself only if it is no JSON; in a value of JSON there may be escapes.
            let is_whole = place.is_whole && text.len() == place.text.len();
            let piece = if is_whole { start..end } else { place.piece.clone() };
            if self.left == 0 {
                let rest = if is_whole { start..text.len() } else { piece };
                return self.too_many(rest);
            }
            match line {
                Line::Value(value, _) => {
                    self.peel(&value, &Place { text, piece, is_whole }, depth + 1);
                }
                Line::Other(line, _) => {
                    let record = Json::Text(line.into());
                    match cell(line).map(|cell| Json::Text(cell.into())).filter(|cell| self.knows(cell, depth + 1)) {
                        Some(Json::Text(cell)) if recognise(&record, self.format).is_none() => {
                            self.text(&cell, &Place { text: &cell, piece, is_whole: false }, depth + 1);
                        }
                        _ => self.peel(&record, &Place { text: line, piece, is_whole: false }, ENVELOPES_MAX),
                    }
                }
                Line::Broken(rejection, _) => {
                    self.left = self.left.saturating_sub(1);
                    self.tell(Content::Broken(rejection), piece);
                }
            }
        }
    }

    /// A record in a list that is nobody's, or the whole of it.
    fn nobodys(&mut self, node: &Json<'_>, place: &Place<'_>) {
        match presumed(node, self.format) {
            Some(owner) => self.record(node, place, owner),
            None => {
                self.left = self.left.saturating_sub(1);
                self.tell(Content::Broken(unknown(node)), place.piece.clone());
            }
        }
    }

    fn record(&mut self, record: &Json<'_>, place: &Place<'_>, owner: Owner) {
        self.left = self.left.saturating_sub(1);
        let text = match record {
            Json::Text(text) => text,
            _ => record.span().and_then(|span| place.text.get(span)).unwrap_or(place.text),
        };
        self.tell(Content::Record { record, text, owner }, place.piece.clone());
    }

    fn too_many(&mut self, rest: Range<usize>) {
        let why = format!("more than {RECORDS_MAX} records in one; these are the rest");
        self.tell(Content::Broken(Rejection(why)), rest);
    }
}

/// The JSON object in a row of comma-separated values (RFC 4180), such as those that Microsoft Purview exports.
fn cell(row: &str) -> Option<String> {
    let (_, rest) = row.split_once("\"{\"\"")?;
    let (inner, _) = rest.rsplit_once("}\"")?;
    Some(format!("{{\"{}}}", inner.replace("\"\"", "\"")))
}

/// Where a text stands in another, if it was borrowed from there.
fn range_in(text: &str, whole: &str) -> Option<Range<usize>> {
    let start = (text.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    let range = start..start.checked_add(text.len())?;
    (whole.get(range.clone()) == Some(text)).then_some(range)
}

/// Where each item of a list stands. Text and numbers do not know their places, so lists with those are read once more.
fn item_spans(items: &[Json<'_>], text: &str, list: &Range<usize>) -> Vec<Range<usize>> {
    if let Some(spans) = items.iter().map(Json::span).collect() {
        return spans;
    }
    let mut values = Values::new(text);
    let mut spans = Vec::with_capacity(items.len());
    values.go_to(list.start + 1);
    while spans.len() < items.len() {
        let start = values.position();
        if !matches!(values.next(), Some(Ok(_))) {
            break; // cannot happen: it was parsed before
        }
        spans.push(start..values.end_of_last());
        let comma = values.position();
        values.go_to(comma + 1);
    }
    spans
}

/// One value or line of a text, and where it stands.
enum Line<'t> {
    Value(Json<'t>, (usize, usize)),
    /// Text that does not even begin like a record in JSON.
    Other(&'t str, (usize, usize)),
    Broken(Rejection, (usize, usize)),
}

impl Line<'_> {
    fn range(&self) -> (usize, usize) {
        match self {
            Line::Value(_, range) | Line::Other(_, range) | Line::Broken(_, range) => *range,
        }
    }
}

/// The records in a text, one after the other; what is broken ends with its line.
fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mut values = Values::new(text);
    std::iter::from_fn(move || {
        let start = values.position();
        let first = text.as_bytes().get(start)?;
        if matches!(first, b'{' | b'[') {
            return match values.next()? {
                Ok(value) => Some(Line::Value(value, (start, values.end_of_last()))),
                Err(rejection) => {
                    values.skip_line();
                    Some(Line::Broken(rejection, (start, values.end_of_last())))
                }
            };
        }
        values.skip_line();
        let end = values.end_of_last();
        Some(Line::Other(text.get(start..end).unwrap_or_default().trim_end(), (start, end)))
    })
}

#[cfg(test)]
mod tests;
