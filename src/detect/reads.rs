//! Which rows of the lake a detector looks at, told from what its header says it reads.

use std::collections::BTreeSet;

use super::catalog::Detector;
use super::folds;
use crate::query::views;

/// Classes of rows, as the lake is partitioned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Token,
    Context,
    Other,
    Rejected,
}

impl Class {
    pub const ALL: [Self; 4] = [Self::Token, Self::Context, Self::Other, Self::Rejected];

    /// Its spelling in the lake.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Context => "context",
            Self::Other => "other",
            Self::Rejected => "rejected",
        }
    }

    /// The class spelt so.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == text)
    }
}

/// Classes of the rows that may change what a detector finds. What cannot be told is taken for all.
pub fn classes(detector: &Detector) -> BTreeSet<Class> {
    let mut found = BTreeSet::new();
    let (mut waiting, mut seen) = (detector.header.reads.clone(), BTreeSet::new());
    while let Some(name) = waiting.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let texts: Vec<&str> = views::find(&name)
            .map(|view| view.sql)
            .into_iter()
            .chain(folds::declared().filter(|(fold, _)| *fold == name).map(|(_, sql)| sql))
            .collect();
        if texts.is_empty() {
            // A view made of policy and folds: all of these stand on tokens and what happened around them.
            found.extend([Class::Token, Class::Context]);
        }
        for sql in texts {
            found.extend(of_events(sql));
            waiting.extend(sources(sql));
        }
    }
    found
}

/// What stands behind FROM and JOIN.
fn sources(sql: &str) -> Vec<String> {
    let words: Vec<&str> = sql.split_whitespace().collect();
    let behind = words.windows(2).filter(|pair| pair[0] == "FROM" || pair[0] == "JOIN");
    let name = |word: &str| word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '_').to_owned();
    // Names that a query gives to its own parts are no tables of ours.
    let is_known = |name: &String| views::find(name).is_some() || folds::declared().any(|(fold, _)| fold == name);
    behind.map(|pair| name(pair[1])).filter(is_known).collect()
}

/// The classes that a query over `events` names; all, if it names none.
fn of_events(sql: &str) -> BTreeSet<Class> {
    if !sql.split_whitespace().collect::<Vec<_>>().windows(2).any(|pair| pair[0] == "FROM" && pair[1] == "events") {
        return BTreeSet::new();
    }
    let lines = sql.lines().filter(|line| line.contains("class"));
    let named: BTreeSet<Class> = lines.flat_map(|line| line.split('\'').filter_map(Class::parse)).collect();
    if named.is_empty() { Class::ALL.into() } else { named }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::catalog::Catalog;

    #[test]
    fn every_detector_reads_tokens_and_few_read_what_was_rejected() {
        let catalog = Catalog::load(None).unwrap();
        let of = |id: &str| classes(catalog.find(id).unwrap());
        for detector in catalog.all() {
            assert!(classes(detector).contains(&Class::Token), "{}", detector.id);
        }
        assert!(of("audit_gap").contains(&Class::Rejected));
        assert!(of("refresh_after_offboarding").contains(&Class::Context));
        assert!(!of("refresh_after_offboarding").contains(&Class::Rejected));
    }

    #[test]
    fn a_query_names_its_classes_or_reads_all() {
        let of = |sql| of_events(sql).into_iter().map(Class::as_str).collect::<Vec<_>>();
        assert_eq!(of("SELECT 1\nFROM events\nWHERE class IN ('token', 'context')"), ["token", "context"]);
        assert_eq!(of("SELECT 1 FROM events").len(), 4);
        assert!(of("SELECT 1 FROM grants WHERE class = 'token'").is_empty());
    }
}
