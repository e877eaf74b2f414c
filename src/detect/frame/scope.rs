//! What a pass looks at, by name: verdicts of everything else are carried over from the findings there are.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::finding::{Finding, State, Verdict};
use crate::query::output;

/// The grants of which every row is in a frame, and whom and what they were exercised by and on.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    pub grants: HashSet<String>,
    pub hosts: HashSet<String>,
    pub subjects: HashSet<String>,
    /// The first UTC day that is judged, as text.
    pub first_day: String,
}

impl Scope {
    /// Whether all that decides the verdict with this key is in the frame.
    pub fn has(&self, key: &Map<String, Value>) -> bool {
        let names = |set: &HashSet<String>, value: &Value| set.contains(output::text(value).as_str());
        if let Some(day) = key.get("day") {
            return output::text(day) >= self.first_day;
        }
        let of = [("grant_id", &self.grants), ("host_id", &self.hosts), ("subject_id", &self.subjects)];
        let named = of.iter().find_map(|(column, set)| Some(names(set, key.get(*column)?)));
        // A key of none of these is of something that is always looked at whole.
        named.unwrap_or(true)
    }

    /// What a detector says: `judged` of what is in the frame, and of all else what it said before. `gone`: findings that
    /// were resolved because their row was gone.
    pub fn complete<'f>(
        &self,
        judged: &mut Vec<Verdict>,
        present: impl Iterator<Item = &'f Finding>,
        gone: &HashSet<String>,
    ) {
        judged.retain(|verdict| self.has(&verdict.key));
        let settled = present.filter(|finding| {
            finding.state != State::Retracted && !self.has(&finding.verdict.key) && !gone.contains(&finding.id)
        });
        judged.extend(settled.map(|finding| finding.verdict.clone()));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scope() -> Scope {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let (grants, hosts, subjects) = (names(&["g1"]), names(&["h1"]), names(&["ana"]));
        Scope { grants, hosts, subjects, first_day: "2026-03-05".to_owned() }
    }

    #[test]
    fn a_key_is_in_the_frame_by_the_narrowest_thing_it_names() {
        let has = |key: Value| scope().has(key.as_object().unwrap());
        assert!(has(json!({"subject_id": "gone", "grant_id": "g1"})));
        assert!(!has(json!({"subject_id": "ana", "grant_id": "g2"})));
        assert!(has(json!({"host_id": "h1"})));
        assert!(!has(json!({"host_id": "h2"})));
        assert!(!has(json!({"subject_id": "gone", "country": "DE"})));
        // A day is judged for everybody, or for nobody.
        assert!(has(json!({"subject_id": "gone", "client_id": "c", "day": "2026-03-05"})));
        assert!(!has(json!({"subject_id": "ana", "client_id": "c", "day": "2026-03-04"})));
        assert!(has(json!({"source": "okta", "from": "2020-01-01T00:00:00Z"})), "sources are always looked at whole");
    }
}
