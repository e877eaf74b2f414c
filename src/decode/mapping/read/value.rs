//! What a mapping says of one column: a path, several of them, or a table with a constant, a map of words, a format.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::super::clock::Clock;
use super::super::column::{ASN_MAX, Column, Constant, Otherwise, Words};
use super::super::keys::{Key, Kind};
use super::super::path::Path;
use super::times::{TIME_KEYS, Times};
use super::{ALTERNATIVES_MAX, Context, advised, quoted};
use crate::policy::fields::{describe, integer};
use crate::policy::parse::{Node, Reader};

/// Keys of a column's table.
const KEYS_OF_COLUMN: [&str; 8] = ["path", "value", "default", "map", "otherwise", "format", "zone", "end_of_day"];

impl Column {
    /// A column that is the same for all records.
    pub(super) fn constant(key: &'static Key, text: &str) -> Self {
        let default = Some(Constant::Text(text.to_owned()));
        Self { key, paths: Vec::new(), words: None, default, clock: Clock::Any }
    }
}

impl Reader<'_> {
    /// One column.
    pub(super) fn column(&mut self, key: &'static Key, node: &Node, place: &str, context: &Context) -> Option<Column> {
        let mut column = Column { key, paths: Vec::new(), words: None, default: None, clock: Clock::Any };
        match node.get_ref() {
            DeValue::Table(table) => return self.column_table(column, table, node, place, context),
            DeValue::String(text) if key.kind.words().is_some_and(|words| words.contains(&text.as_ref())) => {
                let advice = format!("for the word write {{ value = \"{text}\" }}, for a path {{ path = \"{text}\" }}");
                self.mistake(node.span(), format!("\"{}\" in {place} may be a word or a path; {advice}", key.name));
            }
            _ => column.paths = self.paths(key.name, node, place, context)?,
        }
        if key.kind == Kind::Time {
            column.clock = self.clock(&Times::default(), &context.times, node.span(), place);
        }
        Some(column)
    }

    fn column_table(
        &mut self,
        mut column: Column,
        table: &DeTable,
        node: &Node,
        place: &str,
        context: &Context,
    ) -> Option<Column> {
        let (key, place) = (column.key, format!("\"{}\" of {place}", column.key.name));
        let place = place.as_str();
        let (mut times, mut map, mut otherwise) = (Times::default(), None, None);
        for (name, node) in table {
            let fits = match name.get_ref().as_ref() {
                "path" => {
                    column.paths = self.paths("path", node, place, context).unwrap_or_default();
                    true
                }
                stated @ ("value" | "default") => {
                    column.default = self.constant(stated, key, node, place);
                    key.kind != Kind::Time
                }
                "map" => {
                    map = self.map(key, node, place);
                    key.kind.is_text()
                }
                "otherwise" => {
                    otherwise = self.otherwise(key, node, place);
                    key.kind.is_text()
                }
                stated if TIME_KEYS.contains(&stated) => {
                    self.times(&mut times, stated, node, place);
                    key.kind == Kind::Time
                }
                other => {
                    self.unknown(name.span(), "key", other, place, KEYS_OF_COLUMN.into_iter());
                    true
                }
            };
            if !fits {
                let holds = if key.kind == Kind::Time { "a time" } else { "no time and no single text" };
                self.mistake(
                    name.span(),
                    format!("{} has no meaning in {place}, which holds {holds}", quoted(name.get_ref())),
                );
            }
        }
        self.combinations(table, node.span(), place);
        if key.kind == Kind::Time {
            column.clock = self.clock(&times, &context.times, node.span(), place);
        }
        // These two decide what a record means: rather none than a wrong one.
        let is_decisive = matches!(key.kind, Kind::Action | Kind::Outcome);
        let unmapped = if is_decisive { Otherwise::Reject } else { Otherwise::Null };
        column.words = map.map(|map| Words { map, otherwise: otherwise.unwrap_or(unmapped) });
        Some(column)
    }

    /// Keys that need others or exclude them.
    fn combinations(&mut self, table: &DeTable, span: Range<usize>, place: &str) {
        let has = |name: &str| table.contains_key(name);
        if has("value") && table.len() > 1 {
            self.mistake(
                span,
                format!("\"value\" stands alone, and {place} says more; beside a path it is \"default\""),
            );
        } else if !has("value") && !has("path") {
            self.mistake(span, format!("{place} needs \"path\" or \"value\""));
        } else if has("otherwise") && !has("map") {
            self.mistake(
                span,
                format!("\"otherwise\" in {place} needs \"map\"; for what is missing write \"default\""),
            );
        }
    }

    /// A constant that fits the column.
    fn constant(&mut self, name: &str, key: &Key, node: &Node, place: &str) -> Option<Constant> {
        match (key.kind, node.get_ref()) {
            (Kind::Time, _) => None,
            (Kind::Scopes, DeValue::Array(_)) => {
                self.list(name, crate::decode::SCOPES_MAX, node, place).map(Constant::Texts)
            }
            (Kind::Scopes, other) => self.must_be(name, node, place, "a list of text", describe(other)),
            (Kind::Asn, DeValue::Integer(number)) => match integer(number).filter(|n| (0..=ASN_MAX).contains(n)) {
                Some(number) => Some(Constant::Number(number)),
                None => self.must_be(name, node, place, &format!("a whole number from 0 to {ASN_MAX}"), "another"),
            },
            (Kind::Asn, other) => self.must_be(name, node, place, "a whole number", describe(other)),
            _ => self.ours(name, key, node, place).map(Constant::Text),
        }
    }

    /// A text that the column may hold.
    fn ours(&mut self, name: &str, key: &Key, node: &Node, place: &str) -> Option<String> {
        let text = self.text(name, node, place)?;
        let words = key.kind.words().unwrap_or(&[]);
        let is_ip = || crate::decode::fields::ip(&text) == Some(text.as_str());
        match key.kind {
            Kind::Ip if !is_ip() => self.must_be(name, node, place, "an address", &quoted(&text)),
            _ if words.is_empty() || words.contains(&text.as_str()) => Some(text),
            _ => self.must_be(name, node, place, "a word of its vocabulary", &advised(&text, words)),
        }
    }

    /// Their words and ours.
    fn map(&mut self, key: &Key, node: &Node, place: &str) -> Option<Vec<(String, String)>> {
        let DeValue::Table(table) = node.get_ref() else {
            return self.must_be("map", node, place, "a table such as { LOGIN = \"issue\" }", describe(node.get_ref()));
        };
        if table.len() > ALTERNATIVES_MAX {
            self.mistake(node.span(), format!("more than {ALTERNATIVES_MAX} words in the map of {place}"));
            return None;
        }
        let inner = format!("the map of {place}");
        let mut map: Vec<(String, String)> = Vec::new();
        for (theirs, node) in table {
            let name = theirs.get_ref().trim();
            if map.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
                self.mistake(
                    theirs.span(),
                    format!("{} is twice in {inner}, where case does not matter", quoted(name)),
                );
            }
            let ours = self.ours(name, key, node, &inner);
            map.extend(ours.map(|ours| (name.to_owned(), ours)));
        }
        Some(map)
    }

    fn otherwise(&mut self, key: &Key, node: &Node, place: &str) -> Option<Otherwise> {
        let text = self.text("otherwise", node, place)?;
        match (text.as_str(), key.kind) {
            ("reject", _) => Some(Otherwise::Reject),
            ("keep", Kind::Text | Kind::Ip) => Some(Otherwise::Keep),
            _ => self.ours("otherwise", key, node, place).map(Otherwise::Word),
        }
    }

    /// A path, or several of which the first that states a value counts.
    fn paths(&mut self, name: &str, node: &Node, place: &str, context: &Context) -> Option<Vec<Path>> {
        match node.get_ref() {
            DeValue::Array(items) if (1..=ALTERNATIVES_MAX).contains(&items.len()) => {
                let paths: Vec<_> = items.iter().map(|item| self.path(name, item, place, context)).collect();
                paths.into_iter().collect()
            }
            DeValue::String(_) => self.path(name, node, place, context).map(|path| vec![path]),
            other => self.must_be(name, node, place, "a path, a list of paths or a table", describe(other)),
        }
    }

    pub(super) fn path(&mut self, name: &str, node: &Node, place: &str, context: &Context) -> Option<Path> {
        let text = self.text(name, node, place)?;
        self.path_of(&text, node.span(), place, context)
    }

    pub(super) fn path_of(&mut self, text: &str, span: Range<usize>, place: &str, context: &Context) -> Option<Path> {
        let line = self.line(&span);
        if context.is_table {
            return Some(Path::column(text.trim(), line));
        }
        match Path::parse(text, line) {
            Ok(path) => Some(path),
            Err(why) => {
                self.mistake(span, format!("{} in {place} is no path: {why}", quoted(text)));
                None
            }
        }
    }

    /// A list of text with something in it.
    pub(super) fn list(&mut self, name: &str, items_max: usize, node: &Node, place: &str) -> Option<Vec<String>> {
        match node.get_ref() {
            DeValue::Array(items) if (1..=items_max).contains(&items.len()) => {
                let texts: Vec<_> = items.iter().map(|item| self.text(name, item, place)).collect();
                texts.into_iter().collect()
            }
            DeValue::Array(_) => self.must_be(name, node, place, &format!("a list of 1 to {items_max}"), "as long"),
            other => self.must_be(name, node, place, "a list of text", describe(other)),
        }
    }
}
