//! Reading a `match`: which columns, and what each may be.

use std::borrow::Cow;

use toml::de::{DeTable, DeValue};

use super::fields::{describe, integer};
use super::keys::ASN_MAX;
use super::matching::{Condition, Match, Pattern, Shape};
use super::parse::{Node, Reader};
use crate::event::columns::{self, Kind as ColumnKind};

impl Reader<'_> {
    /// A match on columns of events.
    pub(super) fn event_match(&mut self, node: &Node, place: &str) -> Option<Match> {
        self.conditions(node, place, |reader, name| {
            let Some(column) = columns::ALL.iter().find(|column| column.name == name.get_ref()) else {
                let known = columns::ALL.iter().filter(|column| shape(column.kind).is_some()).map(|column| column.name);
                reader.unknown(name.span(), "column", name.get_ref(), &format!("the match of {place}"), known);
                return None;
            };
            let shape = shape(column.kind);
            if shape.is_none() {
                let problem =
                    format!("column \"{}\" in the match of {place} holds neither text nor a number", column.name);
                reader.mistake(name.span(), problem);
            }
            shape
        })
    }

    /// A match on key and evidence columns of findings. Each detector has its own, so any name will do here.
    pub(super) fn finding_match(&mut self, node: &Node, place: &str) -> Option<Match> {
        self.conditions(node, place, |_, _| Some(Shape::Any))
    }

    fn conditions(
        &mut self,
        node: &Node,
        place: &str,
        shape_of: impl Fn(&mut Self, &toml::Spanned<Cow<'_, str>>) -> Option<Shape>,
    ) -> Option<Match> {
        let table: &DeTable = match node.get_ref() {
            DeValue::Table(table) => table,
            other => {
                return self.must_be("match", node, place, "a table such as { client_id = \"ci-*\" }", describe(other));
            }
        };
        if table.is_empty() {
            self.mistake(node.span(), format!("the match of {place} names no column, so it would match everything"));
        }
        let mut conditions = Vec::new();
        for (name, node) in table {
            if let Some(shape) = shape_of(self, name)
                && let Some(patterns) = self.patterns(name.get_ref(), shape, node, place)
            {
                conditions.push(Condition { column: name.get_ref().as_ref().to_owned(), shape, patterns });
            }
        }
        (!table.is_empty() && conditions.len() == table.len()).then_some(Match(conditions))
    }

    fn patterns(&mut self, column: &str, shape: Shape, node: &Node, place: &str) -> Option<Vec<Pattern>> {
        let place = format!("the match of {place}");
        match node.get_ref() {
            DeValue::Array(items) if items.is_empty() => {
                self.must_be(column, node, &place, "a list with something in it", "empty")
            }
            DeValue::Array(items) => {
                let patterns = items.iter().map(|item| self.pattern(column, shape, item, &place)).collect::<Vec<_>>();
                patterns.into_iter().collect()
            }
            _ => self.pattern(column, shape, node, &place).map(|pattern| vec![pattern]),
        }
    }

    fn pattern(&mut self, column: &str, shape: Shape, node: &Node, place: &str) -> Option<Pattern> {
        match (shape, node.get_ref()) {
            (Shape::Text | Shape::Texts | Shape::Any, DeValue::String(text)) => {
                Some(Pattern::text(&as_stored(column, text)))
            }
            (Shape::Integer, _) => {
                let max = if column == "asn" { ASN_MAX } else { i64::MAX };
                self.whole(column, max, node, place).map(Pattern::Integer)
            }
            (Shape::Any, DeValue::Integer(number)) if integer(number).is_some() => {
                integer(number).map(Pattern::Integer)
            }
            (Shape::Any, other) => self.must_be(column, node, place, "text or a whole number", describe(other)),
            (_, other) => self.must_be(column, node, place, "text", describe(other)),
        }
    }
}

/// How a column is matched; None: not at all. Times and bytes have no text anyone would write a pattern for.
fn shape(kind: ColumnKind) -> Option<Shape> {
    match kind {
        ColumnKind::Text | ColumnKind::Id => Some(Shape::Text),
        ColumnKind::Texts => Some(Shape::Texts),
        ColumnKind::Int | ColumnKind::Long => Some(Shape::Integer),
        ColumnKind::Time | ColumnKind::Binary | ColumnKind::Date => None,
    }
}

/// E-mail-like subjects are stored in lower case, so a pattern with capitals would silently never match.
fn as_stored<'p>(column: &str, pattern: &'p str) -> Cow<'p, str> {
    let email =
        pattern.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'));
    if email && matches!(column, "subject_id" | "subjects") { pattern.to_lowercase().into() } else { pattern.into() }
}
