//! The identity of a policy: a hash of what it means.

use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use super::Policy;
use super::value::{Value, sorted};

impl Policy {
    /// SHA-256 in hexadecimal of what the policy means.
    ///
    /// Comments, the order of keys in a table and of alternatives in a list, the spelling of durations and times, and
    /// defaults written out do not change it. The order of rules does, and so do their names, which evidence shows, and who
    /// is who by the identities that stand beside it.
    pub fn hash(&self) -> String {
        let defaults: Vec<Json> = Self::KEYS.iter().map(|key| pair(key.name, self.default_value(key))).collect();
        let rules = self.rules.iter().map(|rule| {
            let values: Json = rule.values.iter().map(|(name, value)| pair(name, value)).collect();
            Json::from(vec![Json::from(rule.name.as_deref()), rule.matched.canonical(), values])
        });
        let exceptions = self.exceptions.iter().map(|e| {
            let texts = [&e.detector, &e.reason, &e.owner].map(|text| Json::from(text.as_str()));
            Json::from(vec![Json::from(texts.to_vec()), e.until.into(), e.matched.canonical()])
        });
        let break_glass = self.break_glass.iter().map(|section| {
            let matches = sorted(section.matches.iter().map(|matched| matched.canonical().to_string()));
            Json::from(vec![Json::from(section.max_age), matches.into()])
        });
        // Arrays only: the text of a JSON object would depend on how its keys happen to be kept.
        let mut parts = vec![Json::from(defaults), rules.collect(), exceptions.collect(), break_glass.collect()];
        if !self.identities.is_empty() {
            parts.push(self.identities.hash().into());
        }
        format!("{:x}", Sha256::digest(Json::from(parts).to_string()))
    }
}

fn pair(name: &str, value: &Value) -> Json {
    vec![Json::from(name), value.canonical()].into()
}
