//! Policy text into values, section by section. Reading goes on after a mistake, so that one run shows them all.
//!
//! [`read`] and [`Reader`] serve every file that people write in TOML: the mappings of sources are read by them too.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::duration::HOUR;
use super::keys::{self, KEYS};
use super::matching::Match;
use super::spelling::{clip, nearest};
use super::value::Value;
use super::{BreakGlass, Exception, Mistake, Rule};

/// A value with its place in the text.
pub(crate) type Node<'t> = toml::Spanned<DeValue<'t>>;

/// What a policy file says.
#[derive(Default)]
pub(super) struct Parts {
    pub defaults: BTreeMap<&'static str, Value>,
    pub rules: Vec<Rule>,
    pub exceptions: Vec<Exception>,
    pub break_glass: Option<BreakGlass>,
}

/// How many mistakes are told; of a file that is not a policy at all, the first hundred are enough.
const MISTAKES_MAX: usize = 100;

/// How many matches `[break_glass]` may list: each is one more OR in the plan.
const MATCHES_MAX: usize = 100;

/// Reads a policy; on mistakes gives all of them, by line.
pub(super) fn parse(file_name: &str, text: &str) -> Result<Parts, Vec<Mistake>> {
    read(file_name, text, |reader, root| reader.document(root))
}

/// Reads TOML by `document`; on mistakes gives all of them, by line.
pub(crate) fn read<T>(
    file_name: &str,
    text: &str,
    document: impl FnOnce(&mut Reader<'_>, &DeTable) -> T,
) -> Result<T, Vec<Mistake>> {
    let mut reader = Reader::new(file_name, text);
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        reader.mistake(error.span().unwrap_or(text.len()..text.len()), error.message().to_owned());
    }
    // What is recovered from broken text is a guess; judging it would report mistakes nobody made.
    let read = errors.is_empty().then(|| document(&mut reader, root.get_ref()));
    let mut mistakes = std::mem::take(&mut reader.mistakes);
    if let Some(read) = read
        && mistakes.is_empty()
    {
        return Ok(read);
    }
    mistakes.sort_by_key(|mistake| mistake.line);
    mistakes.dedup();
    if reader.untold > 0 {
        mistakes.push(Mistake { line: reader.line_starts.len(), message: format!("{} more mistakes", reader.untold) });
    }
    Err(mistakes)
}

/// Where lines start, and what was wrong so far.
pub(crate) struct Reader<'t> {
    file_name: &'t str,
    line_starts: Vec<usize>,
    mistakes: Vec<Mistake>,
    untold: usize,
}

impl<'t> Reader<'t> {
    fn new(file_name: &'t str, text: &str) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file_name, line_starts, mistakes: Vec::new(), untold: 0 }
    }

    /// The line, from 1, of a place in the text.
    pub(crate) fn line(&self, span: &Range<usize>) -> usize {
        self.line_starts.partition_point(|start| *start <= span.start)
    }

    pub(crate) fn mistake(&mut self, span: Range<usize>, message: String) {
        if self.mistakes.len() < MISTAKES_MAX {
            self.mistakes.push(Mistake { line: self.line(&span), message });
        } else {
            self.untold += 1;
        }
    }

    /// Says that `name` is not among the `known`, and which of them is nearest.
    pub(crate) fn unknown<'k>(
        &mut self,
        span: Range<usize>,
        what: &str,
        name: &str,
        place: &str,
        known: impl Iterator<Item = &'k str>,
    ) {
        if self.mistakes.len() >= MISTAKES_MAX {
            self.untold += 1;
            return;
        }
        let advice = match nearest(name, known) {
            Some((word, true)) => format!("; did you mean \"{word}\"?"),
            Some((word, false)) => format!("; the nearest is \"{word}\""),
            None => String::new(),
        };
        self.mistake(span, format!("unknown {what} \"{}\" in {place}{advice}", clip(name)));
    }

    fn document(&mut self, root: &DeTable) -> Parts {
        const SECTIONS: [&str; 4] = ["defaults", "rule", "exception", "break_glass"];
        let mut parts = Parts::default();
        for (name, node) in root {
            match name.get_ref().as_ref() {
                "defaults" => parts.defaults = self.defaults(node),
                "rule" => {
                    for (i, (table, span)) in self.tables("rule", node).into_iter().enumerate() {
                        parts.rules.extend(self.rule(i, table, span));
                    }
                }
                "exception" => {
                    for (table, span) in self.tables("exception", node) {
                        parts.exceptions.extend(self.exception(table, span));
                    }
                }
                "break_glass" => parts.break_glass = self.break_glass(node),
                // A key before the first section is most often a default that lost its header.
                other if keys::find(other).is_some() => {
                    self.mistake(name.span(), format!("\"{other}\" stands outside a section; put it under [defaults]"));
                }
                other => self.unknown(name.span(), "section", other, "the policy", SECTIONS.into_iter()),
            }
        }
        parts
    }

    /// The tables of `[[name]]`.
    pub(crate) fn tables<'n>(&mut self, name: &str, node: &'n Node) -> Vec<(&'n DeTable<'n>, Range<usize>)> {
        let DeValue::Array(items) = node.get_ref() else {
            self.mistake(node.span(), format!("\"{name}\" is a list of tables; write [[{name}]]"));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::Table(table) => tables.push((table, item.span())),
                _ => self.mistake(item.span(), format!("\"{name}\" is a list of tables; write [[{name}]]")),
            }
        }
        tables
    }

    fn defaults(&mut self, node: &Node) -> BTreeMap<&'static str, Value> {
        let mut values = BTreeMap::new();
        let DeValue::Table(table) = node.get_ref() else {
            self.mistake(node.span(), "\"defaults\" is a table; write [defaults]".to_owned());
            return values;
        };
        for (name, node) in table {
            match keys::find(name.get_ref()) {
                Some(key) => values.extend(self.value(key, node, "[defaults]").map(|value| (key.name, value))),
                None => {
                    self.unknown(name.span(), "key", name.get_ref(), "[defaults]", KEYS.iter().map(|key| key.name));
                }
            }
        }
        values
    }

    fn rule(&mut self, index: usize, table: &DeTable, span: Range<usize>) -> Option<Rule> {
        const PLACE: &str = "[[rule]]";
        let (mut name, mut matched, mut values) = (None, None, BTreeMap::new());
        for (key_name, node) in table {
            match key_name.get_ref().as_ref() {
                "name" => name = self.text("name", node, PLACE),
                "match" => matched = self.event_match(node, PLACE),
                other => match keys::find(other) {
                    Some(key) => values.extend(self.value(key, node, PLACE).map(|value| (key.name, value))),
                    None => {
                        let known = ["name", "match"].into_iter().chain(KEYS.iter().map(|key| key.name));
                        self.unknown(key_name.span(), "key", other, PLACE, known);
                    }
                },
            }
        }
        self.require(table, &["match"], &span, PLACE);
        if table.keys().all(|key| matches!(key.get_ref().as_ref(), "name" | "match")) {
            self.mistake(span.clone(), format!("{PLACE} sets no value"));
        }
        let file_name = self.file_name.rsplit(['/', '\\']).next().unwrap_or(self.file_name).to_owned();
        Some(Rule { number: index + 1, line: self.line(&span), file_name, name, matched: matched?, values })
    }

    fn exception(&mut self, table: &DeTable, span: Range<usize>) -> Option<Exception> {
        const PLACE: &str = "[[exception]]";
        const KNOWN: [&str; 5] = ["detector", "match", "reason", "owner", "until"];
        let (mut detector, mut reason, mut owner, mut matched, mut until) = (None, None, None, None, None);
        for (name, node) in table {
            match name.get_ref().as_ref() {
                "detector" => detector = self.text("detector", node, PLACE),
                "reason" => reason = self.text("reason", node, PLACE),
                "owner" => owner = self.text("owner", node, PLACE),
                "match" => matched = self.finding_match(node, PLACE),
                "until" => until = self.until(node, PLACE),
                other => self.unknown(name.span(), "key", other, PLACE, KNOWN.into_iter()),
            }
        }
        self.require(table, &["detector", "reason", "owner", "until", "match"], &span, PLACE);
        let (detector, reason, owner) = (detector?, reason?, owner?);
        Some(Exception { line: self.line(&span), detector, reason, owner, matched: matched?, until: until? })
    }

    fn break_glass(&mut self, node: &Node) -> Option<BreakGlass> {
        const PLACE: &str = "[break_glass]";
        let DeValue::Table(table) = node.get_ref() else {
            self.mistake(node.span(), "\"break_glass\" is a table; write [break_glass]".to_owned());
            return None;
        };
        let (mut matches, mut max_age): (Vec<Match>, i64) = (Vec::new(), HOUR);
        for (name, node) in table {
            match (name.get_ref().as_ref(), node.get_ref()) {
                ("match", DeValue::Array(items)) if items.len() > MATCHES_MAX => {
                    self.mistake(
                        node.span(),
                        format!("more than {MATCHES_MAX} matches in {PLACE}; use lists or globs"),
                    );
                }
                ("match", DeValue::Array(items)) => {
                    for item in items.iter() {
                        matches.extend(self.event_match(item, PLACE));
                    }
                }
                ("match", _) => matches.extend(self.event_match(node, PLACE)),
                ("max_age", _) => max_age = self.duration("max_age", node, PLACE).unwrap_or(HOUR),
                (other, _) => self.unknown(name.span(), "key", other, PLACE, ["match", "max_age"].into_iter()),
            }
        }
        Some(BreakGlass { line: self.line(&node.span()), matches, max_age })
    }

    /// Says which of the `required` keys a table lacks.
    pub(crate) fn require(&mut self, table: &DeTable, required: &[&str], span: &Range<usize>, place: &str) {
        let present: BTreeSet<&str> = table.keys().map(|key| key.get_ref().as_ref()).collect();
        for name in required.iter().filter(|name| !present.contains(*name)) {
            self.mistake(span.clone(), format!("{place} lacks \"{name}\""));
        }
    }
}
