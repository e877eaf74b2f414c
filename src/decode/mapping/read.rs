//! A mapping's text into what it says, section by section. Reading goes on after a mistake, so that one run shows them
//! all.

mod times;
mod value;

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::column::Column;
use super::condition::{Condition, Wanted};
use super::event::EventMapping;
use super::keys::{self, KEYS};
use super::{EVENTS_MAX, Mapping, Unmatched};
use crate::csv::{COLUMNS_MAX, DELIMITERS, Layout};
use crate::event::Action;
use crate::policy::fields::{describe, integer};
use crate::policy::parse::{Node, Reader};
use crate::policy::spelling::{clip, nearest};
use times::Times;

/// Most alternatives of a path or a condition, and most words of a map.
const ALTERNATIVES_MAX: usize = 1000;
/// Longest name of a source.
const SOURCE_BYTES_MAX: usize = 64;

/// What holds for every column of a mapping.
#[derive(Default)]
struct Context {
    /// Paths are names of columns.
    is_table: bool,
    times: Times,
}

/// The columns of `[defaults]` or of one `[[event]]`.
type Columns = BTreeMap<&'static str, Column>;

impl Reader<'_> {
    /// A whole mapping; nothing after a mistake.
    pub(super) fn mapping(&mut self, root: &DeTable) -> Option<Mapping> {
        const SECTIONS: [&str; 7] = ["source", "records", "csv", "time", "unmatched", "defaults", "event"];
        let node = |name: &str| root.get(name);
        for (name, node) in root {
            match name.get_ref().as_ref() {
                known if SECTIONS.contains(&known) => {}
                other if keys::find(other).is_some() => {
                    let advice = "put it under [[event]], or under [defaults] if it is the same for all of them";
                    self.mistake(name.span(), format!("\"{other}\" stands outside a section; {advice}"));
                }
                other => self.unknown(name.span(), "key", other, "the mapping", SECTIONS.into_iter()),
            }
            if matches!(node.get_ref(), DeValue::Array(items) if items.is_empty()) && name.get_ref() == "event" {
                self.mistake(node.span(), "the mapping has no [[event]]".to_owned());
            }
        }
        self.require(root, &["source", "event"], &(0..0), "the mapping");
        let source = node("source").and_then(|node| self.source(node));
        let csv = node("csv").and_then(|node| self.layout(node));
        let mut context = Context { is_table: node("csv").is_some(), times: Times::default() };
        if let Some(node) = node("time") {
            context.times = self.time_section(node);
        }
        let records = node("records").and_then(|node| {
            if context.is_table {
                self.mistake(node.span(), "\"records\" is for JSON; each row of a table is one record".to_owned());
            }
            self.path("records", node, "the mapping", &Context::default())
        });
        let defaults = node("defaults").map(|node| self.defaults_of_events(node, &context)).unwrap_or_default();
        let events = node("event").map(|node| self.events(node, &defaults, &context)).unwrap_or_default();
        let unmatched = self.unmatched(node("unmatched"), &defaults);
        Some(Mapping { source: source?, records, csv, events, unmatched: unmatched? })
    }

    /// The name of the source.
    fn source(&mut self, node: &Node) -> Option<String> {
        let source = self.text("source", node, "the mapping")?;
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.".contains(&byte);
        if source.len() > SOURCE_BYTES_MAX || !source.bytes().all(is_plain) {
            let wanted = format!("up to {SOURCE_BYTES_MAX} of a-z, 0-9, \"_\", \"-\" and \".\"");
            return self.must_be("source", node, "the mapping", &wanted, &quoted(&source));
        }
        Some(source)
    }

    /// `[csv]`.
    fn layout(&mut self, node: &Node) -> Option<Layout> {
        const PLACE: &str = "[csv]";
        let DeValue::Table(table) = node.get_ref() else {
            return self.must_be("csv", node, "the mapping", "a table; write [csv]", describe(node.get_ref()));
        };
        let mut layout = Layout::default();
        for (name, node) in table {
            match (name.get_ref().as_ref(), node.get_ref()) {
                ("delimiter", DeValue::String(text)) => match text.as_bytes() {
                    [byte] if DELIMITERS.contains(byte) => layout.delimiter = Some(*byte),
                    _ => return self.must_be("delimiter", node, PLACE, DELIMITER, &quoted(text)),
                },
                ("delimiter", other) => return self.must_be("delimiter", node, PLACE, DELIMITER, describe(other)),
                ("columns", _) => layout.columns = self.list("columns", COLUMNS_MAX, node, PLACE).unwrap_or_default(),
                (other, _) => self.unknown(name.span(), "key", other, PLACE, ["delimiter", "columns"].into_iter()),
            }
        }
        Some(layout)
    }

    /// `unmatched`.
    fn unmatched(&mut self, node: Option<&Node>, defaults: &Columns) -> Option<Unmatched> {
        const WORDS: [&str; 3] = ["reject", "skip", "other"];
        let Some(node) = node else { return Some(Unmatched::Reject) };
        let word = self.text("unmatched", node, "the mapping")?;
        match word.as_str() {
            "reject" => Some(Unmatched::Reject),
            "skip" => Some(Unmatched::Skip),
            "other" => {
                if !defaults.contains_key("event_time") {
                    let problem = "\"unmatched\" is \"other\", so [defaults] must say where \"event_time\" stands";
                    self.mistake(node.span(), problem.to_owned());
                }
                let mut columns = defaults.clone();
                let action = keys::find("action")?;
                columns.insert("action", Column::constant(action, Action::Other.as_str()));
                Some(Unmatched::Other(Box::new(EventMapping { when: Vec::new(), columns: in_order(columns) })))
            }
            _ => self.must_be("unmatched", node, "the mapping", &one_of(&WORDS), &advised(&word, &WORDS)),
        }
    }

    fn defaults_of_events(&mut self, node: &Node, context: &Context) -> Columns {
        match node.get_ref() {
            DeValue::Table(table) => self.columns(table, "[defaults]", &[], context),
            other => {
                self.must_be::<()>("defaults", node, "the mapping", "a table; write [defaults]", describe(other));
                Columns::new()
            }
        }
    }

    fn events(&mut self, node: &Node, defaults: &Columns, context: &Context) -> Vec<EventMapping> {
        const PLACE: &str = "[[event]]";
        let mut events = Vec::new();
        for (table, span) in self.tables("event", node) {
            if events.len() == EVENTS_MAX {
                self.mistake(span, format!("more than {EVENTS_MAX} [[event]]s"));
                break;
            }
            let when = table.get("when").map(|node| self.when(node, context)).unwrap_or_default();
            let mut columns = defaults.clone();
            columns.extend(self.columns(table, PLACE, &["when"], context));
            let stated = |name: &str| table.contains_key(name) || defaults.contains_key(name);
            for name in ["event_time", "action"].into_iter().filter(|name| !stated(name)) {
                self.mistake(span.clone(), format!("{PLACE} lacks \"{name}\", and so does [defaults]"));
            }
            events.push(EventMapping { when, columns: in_order(columns) });
        }
        events
    }

    /// `when`: paths, and what may stand there.
    fn when(&mut self, node: &Node, context: &Context) -> Vec<Condition> {
        const PLACE: &str = "\"when\" of [[event]]";
        let DeValue::Table(table) = node.get_ref() else {
            let wanted = "a table such as { type = \"login\" }";
            self.must_be::<()>("when", node, "[[event]]", wanted, describe(node.get_ref()));
            return Vec::new();
        };
        let mut conditions = Vec::new();
        for (name, node) in table {
            let path = self.path_of(name.get_ref(), name.span(), PLACE, context);
            let wanted = match node.get_ref() {
                DeValue::Array(items) if items.is_empty() || items.len() > ALTERNATIVES_MAX => {
                    let wanted = format!("one value or up to {ALTERNATIVES_MAX}");
                    self.must_be::<()>(name.get_ref(), node, PLACE, &wanted, "as many");
                    Vec::new()
                }
                DeValue::Array(items) => {
                    items.iter().filter_map(|item| self.wanted(name.get_ref(), item, PLACE)).collect()
                }
                _ => self.wanted(name.get_ref(), node, PLACE).into_iter().collect(),
            };
            conditions.extend(path.map(|path| Condition { path, wanted }));
        }
        conditions
    }

    fn wanted(&mut self, name: &str, node: &Node, place: &str) -> Option<Wanted> {
        match node.get_ref() {
            DeValue::String(text) => Some(Wanted::new(text)),
            DeValue::Boolean(value) => Some(Wanted::Exact(value.to_string())),
            DeValue::Integer(number) if integer(number).is_some() => {
                integer(number).map(|number| Wanted::Exact(number.to_string()))
            }
            other => self.must_be(name, node, place, "text, a whole number, true or false", describe(other)),
        }
    }

    /// The columns that a table says something about, beside `others`.
    fn columns(&mut self, table: &DeTable, place: &str, others: &[&'static str], context: &Context) -> Columns {
        let mut columns = Columns::new();
        for (name, node) in table {
            let stated = name.get_ref().as_ref();
            if others.contains(&stated) {
                continue;
            }
            match keys::find(stated) {
                Some(key) => columns.extend(self.column(key, node, place, context).map(|column| (key.name, column))),
                None => match keys::OTHERS.iter().find(|(other, _)| *other == stated) {
                    Some((other, why)) => self.mistake(name.span(), format!("\"{other}\" is not mapped: {why}")),
                    None => {
                        let known = others.iter().copied().chain(KEYS.iter().map(|key| key.name));
                        self.unknown(name.span(), "column", stated, place, known);
                    }
                },
            }
        }
        columns
    }
}

const DELIMITER: &str = "\",\", \";\", \"|\" or a tab, \"\\t\"";

/// The columns in the order of [`KEYS`].
fn in_order(mut columns: Columns) -> Vec<Column> {
    KEYS.iter().filter_map(|key| columns.remove(key.name)).collect()
}

/// Text as messages quote it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", clip(text))
}

/// Alternatives as messages list them.
fn one_of(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ")
}

/// A word that does not exist, and the one that may have been meant.
fn advised(word: &str, words: &[&str]) -> String {
    match nearest(word, words.iter().copied()) {
        Some((near, true)) => format!("{}; did you mean \"{near}\"?", quoted(word)),
        _ => quoted(word),
    }
}
