//! Rules as SQL: per key one CASE, the last matching rule first.

use super::glob;
use super::keys::{self, Key};
use super::value::{Value, quote};
use super::{Policy, Rule};

/// The SQL condition "rule `i` matches" for the row at hand, `i` counted from 0; None: it cannot match there.
pub type Matched<'a> = &'a dyn Fn(usize) -> Option<String>;

impl Policy {
    /// The value of `key` as an SQL expression: what the last matching rule that sets it says, else the default.
    ///
    /// Durations are INTERVALs that can be added to timestamps, lists are arrays, an unset value is a typed NULL. A key
    /// that does not exist gives a reference to a column named after the mistake, so that planning fails and says so.
    pub fn value_sql(&self, key: &str, matched: Matched) -> String {
        self.compile(key, matched, |key, value| value.sql(key.kind))
    }

    /// A key that lists globs, as one regular expression in text that matches what any of them matches: for
    /// `allowed_scopes`, `NOT regexp_like(scope, …)` finds what is not allowed. NULL if unset; an empty list matches
    /// nothing.
    pub fn pattern_sql(&self, key: &str, matched: Matched) -> String {
        self.compile(key, matched, |_, value| match value {
            Value::Texts(texts) if texts.is_empty() => quote(r"[^\s\S]"),
            Value::Texts(texts) => {
                let any: Vec<String> = texts.iter().map(|text| glob::regex(text, r"[\s\S]")).collect();
                quote(&format!("^({})$", any.join("|")))
            }
            _ => "CAST(NULL AS VARCHAR)".to_owned(),
        })
    }

    /// Which rule decided `key`, as SQL text for evidence: see [`Rule::label`]; `'default'` if none did.
    pub fn rule_sql(&self, key: &str, matched: Matched) -> String {
        self.case(key, matched, |rule| quote(&rule.label()), quote("default"))
    }

    fn compile(&self, key: &str, matched: Matched, sql: impl Fn(&Key, &Value) -> String) -> String {
        let Some(declared) = keys::find(key) else {
            return super::value::identifier(&format!("no policy key {key}"));
        };
        let otherwise = sql(declared, self.default_value(declared));
        self.case(
            key,
            matched,
            |rule| rule.value(key).map_or_else(|| otherwise.clone(), |value| sql(declared, value)),
            otherwise.clone(),
        )
    }

    fn case(&self, key: &str, matched: Matched, then: impl Fn(&Rule) -> String, otherwise: String) -> String {
        let mut arms = String::new();
        for (i, rule) in self.rules().iter().enumerate().rev().filter(|(_, rule)| rule.value(key).is_some()) {
            if let Some(condition) = matched(i) {
                arms.push_str(&format!(" WHEN {condition} THEN {}", then(rule)));
            }
        }
        if arms.is_empty() { otherwise } else { format!("CASE{arms} ELSE {otherwise} END") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
[defaults]
max_age = "60d"
[[rule]]
match = { client_id = "ci-*" }
max_age = "1h30m"
allowed_scopes = ["repo:*", "a.b"]
[[rule]]
name = "the boss's"
match = { subject_id = "x" }
max_age = "1d"
allowed_scopes = []
storage = ["vault"]
"#;

    fn policy() -> Policy {
        Policy::parse("etc/policy.toml", TEXT).unwrap()
    }

    fn all(i: usize) -> Option<String> {
        Some(format!("m{i}"))
    }

    #[test]
    fn the_last_matching_rule_comes_first() {
        let want = "CASE WHEN m1 THEN INTERVAL '86400000000 microseconds' \
                    WHEN m0 THEN INTERVAL '5400000000 microseconds' \
                    ELSE INTERVAL '5184000000000 microseconds' END";
        assert_eq!(policy().value_sql("max_age", &all), want);
        let want =
            "CASE WHEN m1 THEN 'rule 2 \"the boss''s\"' WHEN m0 THEN 'rule 1 (policy.toml:4)' ELSE 'default' END";
        assert_eq!(policy().rule_sql("max_age", &all), want);
    }

    #[test]
    fn rules_that_do_not_set_the_key_or_cannot_match_are_left_out() {
        let policy = policy();
        assert_eq!(
            policy.value_sql("storage", &|_| None),
            "make_array('keychain', 'encrypted_file', 'vault', 'memory')"
        );
        assert_eq!(policy.value_sql("max_hosts", &all), "1");
        assert_eq!(policy.rule_sql("max_hosts", &all), "'default'");
        assert!(policy.value_sql("storage", &all).starts_with("CASE WHEN m1 THEN make_array('vault') ELSE"));
    }

    #[test]
    fn every_kind_has_sql() {
        let policy = Policy::default();
        let sql = |key: &str| policy.value_sql(key, &all);
        assert_eq!(sql("offboarding_grace"), "INTERVAL '0 microseconds'");
        assert_eq!(sql("shared_host"), "'deny'");
        assert_eq!(sql("rotation"), "FALSE");
        assert_eq!(sql("max_scopes"), "CAST(NULL AS BIGINT)");
        assert_eq!(sql("allowed_scopes"), "CAST(NULL AS VARCHAR[])");
        assert_eq!(sql("max_silence"), "CAST(NULL AS INTERVAL)");
        assert_eq!(sql("rate_factor"), "CAST(2 AS DOUBLE)");
        assert_eq!(sql("egress_asns"), "CAST(make_array() AS BIGINT[])");
        assert_eq!(sql("max_agee"), "\"no policy key max_agee\"");
    }

    #[test]
    fn globs_become_one_regular_expression() {
        let policy = policy();
        let want = r"CASE WHEN m1 THEN '[^\s\S]' WHEN m0 THEN '^(repo:[\s\S]*|a\.b)$' ELSE CAST(NULL AS VARCHAR) END";
        assert_eq!(policy.pattern_sql("allowed_scopes", &all), want);
    }
}
