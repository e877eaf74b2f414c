//! The policy as views: `grants` and `hosts` have one column per policy key, and one that names the rule which decided it.

use crate::policy::Policy;

/// `lifetimes` with the policy's values for each grant. A rule matches a grant if one exercise up to `$as_of` matched.
pub fn grants(policy: &Policy) -> String {
    if policy.rules().is_empty() {
        return format!("SELECT l.*{} FROM lifetimes AS l", values(policy, &|_| None));
    }
    let values = values(policy, &|i| Some(format!("coalesce(r.rule_{i}_at <= $as_of, FALSE)")));
    format!("SELECT l.*{values} FROM lifetimes AS l LEFT JOIN rule_matches_fold AS r ON r.grant_id = l.grant_id")
}

/// Hosts with the policy's values for each, by rules that name only the host's own columns.
pub fn hosts(policy: &Policy) -> String {
    let conditions: Vec<Option<String>> = policy.rules().iter().map(crate::policy::Rule::host_sql).collect();
    let matched = |i: usize| conditions[i].as_ref().map(|_| format!("h.rule_{i}"));
    let columns: Vec<String> = conditions
        .iter()
        .enumerate()
        .filter_map(|(i, sql)| Some(format!(", BOOL_OR({}) AS rule_{i}", sql.as_ref()?)))
        .collect();
    format!(
        "SELECT h.host_id{} FROM (SELECT host_id{} FROM contexts WHERE host_id IS NOT NULL GROUP BY host_id) AS h",
        values(policy, &matched),
        columns.concat()
    )
}

fn values(policy: &Policy, matched: &dyn Fn(usize) -> Option<String>) -> String {
    let columns = Policy::KEYS.iter().map(|key| {
        let (value, rule) = (policy.value_sql(key.name, matched), policy.rule_sql(key.name, matched));
        format!(", {value} AS {0}, {rule} AS {0}_rule", key.name)
    });
    columns.collect()
}
