//! The policy as views: `grants` and `hosts` have one column per policy key, and one that names the rule which decided it.

use std::collections::BTreeSet;

use super::folds;
use crate::policy::{Policy, Rule};
use crate::query::views;

/// A policy, and what is asked for of it and of the events. Every column is carried through every plan, so those that
/// nobody names are left out.
#[derive(Clone, Debug)]
pub struct Asked<'p> {
    /// Whose values.
    pub policy: &'p Policy,
    /// Where names are looked for; empty: everything is asked for.
    texts: Vec<&'p str>,
    /// Folds that these texts read, by themselves and through views.
    folds: BTreeSet<&'static str>,
}

/// What the views of grants, and what happened to their owners and devices, are made of.
const ALWAYS: [&str; 6] = ["grants", "contexts", "context_rows", "broad_revokes", "derived_ends", "rule_matches"];

impl<'p> Asked<'p> {
    /// What these texts name.
    pub fn by(policy: &'p Policy, texts: Vec<&'p str>) -> Self {
        let folds = folds_in(&texts);
        Self { policy, texts, folds }
    }

    /// Everything.
    pub fn anything(policy: &'p Policy) -> Self {
        Self { policy, texts: Vec::new(), folds: BTreeSet::new() }
    }

    /// Whether nobody says what is asked for.
    pub fn for_anything(&self) -> bool {
        self.texts.is_empty()
    }

    /// Whether a column is asked for.
    pub fn for_column(&self, name: &str) -> bool {
        self.texts.is_empty() || self.texts.iter().any(|text| text.contains(name))
    }

    /// Whether some text names this view. Where everything is asked for, nobody does: it is left to be worked out if it is read.
    pub fn names(&self, view: &str) -> bool {
        self.texts.iter().any(|text| text.contains(view))
    }

    /// Whether a fold is asked for, by name or through a view.
    pub fn for_fold(&self, name: &str) -> bool {
        self.texts.is_empty() || self.folds.contains(name)
    }

    /// `lifetimes` with the values for each grant. A rule matches a grant if one exercise up to `$as_of` matched.
    pub fn grants(&self) -> String {
        let (is_break_glass, max_age) = match self.policy.break_glass() {
            Some(it) => ("coalesce(r.break_glass_at <= $as_of, FALSE)", it.max_age_sql()),
            None => ("FALSE", "CAST(NULL AS INTERVAL)".to_owned()),
        };
        let break_glass = format!(", {is_break_glass} AS is_break_glass, {max_age} AS break_glass_max_age");
        if self.policy.rules().is_empty() && self.policy.break_glass().is_none() {
            return format!("SELECT l.*{}{break_glass} FROM lifetimes AS l", self.columns(&|_| None));
        }
        let columns = self.columns(&|i| Some(format!("coalesce(r.rule_{i}_at <= $as_of, FALSE)")));
        format!(
            "SELECT l.*{columns}{break_glass} FROM lifetimes AS l \
             LEFT JOIN rule_matches_fold AS r ON r.grant_id = l.grant_id"
        )
    }

    /// Hosts with the values for each, by rules that name only the host's own columns.
    pub fn hosts(&self) -> String {
        let conditions: Vec<Option<String>> = self.policy.rules().iter().map(Rule::host_sql).collect();
        let matched = |i: usize| conditions[i].as_ref().map(|_| format!("h.rule_{i}"));
        let columns: Vec<String> = conditions
            .iter()
            .enumerate()
            .filter_map(|(i, sql)| Some(format!(", BOOL_OR({}) AS rule_{i}", sql.as_ref()?)))
            .collect();
        format!(
            "SELECT h.host_id{} FROM (SELECT host_id{} FROM contexts WHERE host_id IS NOT NULL GROUP BY host_id) AS h",
            self.columns(&matched),
            columns.concat()
        )
    }

    fn columns(&self, matched: &dyn Fn(usize) -> Option<String>) -> String {
        let asked = Policy::KEYS.iter().map(|key| key.name).filter(|name| self.for_column(name));
        let columns = asked.map(|key| {
            let (value, rule) = (self.policy.value_sql(key, matched), self.policy.rule_sql(key, matched));
            format!(", {value} AS {key}, {rule} AS {key}_rule")
        });
        columns.collect()
    }
}

/// Names of folds in some texts, and in the views that these name. A name within another counts: it may be too many.
fn folds_in(texts: &[&str]) -> BTreeSet<&'static str> {
    let mut waiting: Vec<&str> = texts.to_vec();
    let (mut views_seen, mut found) = (BTreeSet::new(), BTreeSet::from(ALWAYS));
    while let Some(text) = waiting.pop() {
        found.extend(folds::declared().map(|(name, _)| name).filter(|name| text.contains(name)));
        waiting.extend(
            views::ALL.iter().filter(|v| text.contains(v.name) && views_seen.insert(v.name)).map(|view| view.sql),
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_that_is_dear_is_worked_out_for_who_names_it() {
        let policy = Policy::default();
        let of = |text| Asked::by(&policy, vec![text]).names("lively_days");
        assert!(of("SELECT 1 FROM lively_days") && !of("SELECT 1 FROM grants"));
        let anything = Asked::anything(&policy);
        assert!(anything.for_fold("refresh_days") && !anything.names("lively_days"), "every question would pay for it");
    }
}
