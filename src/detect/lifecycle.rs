//! What a run changes: its verdicts beside the findings there were. Pure: the caller stores and prints the answer.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::finding::{Finding, State, Verdict};
use crate::policy::Exception;

/// What happened to a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    Opened,
    Reopened,
    Updated,
    Resolved,
    Excepted,
    Retracted,
}

impl Change {
    /// Its spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Reopened => "reopened",
            Self::Updated => "updated",
            Self::Resolved => "resolved",
            Self::Excepted => "excepted",
            Self::Retracted => "retracted",
        }
    }
}

/// A change, and the finding after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    pub change: Change,
    pub finding: Finding,
}

/// What a detector says about its own findings over time.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'t> {
    /// Evidence that changes with time alone: no reason to record anything.
    pub ticking: &'t [String],
    /// A finding with these key values is resolved, not retracted, when its row is gone.
    pub resolved_when_gone: &'t Map<String, Value>,
}

/// When a run looked, and from which version of the lake.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// What the run takes for now, microseconds UTC.
    pub as_of: i64,
    /// When the run took place.
    pub at: i64,
    pub version: i64,
}

/// The transitions from `present` (all findings of one detector, by id) to what `verdicts` say, in the order of the
/// verdicts; those that are gone last, by id.
pub fn transitions(
    present: &HashMap<String, Finding>,
    verdicts: &[Verdict],
    exceptions: &[Exception],
    terms: Terms<'_>,
    moment: Moment,
) -> Vec<Transition> {
    let mut changes = Vec::new();
    let mut seen = std::collections::HashSet::with_capacity(verdicts.len());
    for verdict in verdicts {
        let id = verdict.id();
        let before = present.get(&id);
        seen.insert(id.clone());
        let state = state(verdict, before.map(|f| f.state), exceptions, moment.as_of);
        let first_detected_at = before.map_or(moment.at, |f| f.first_detected_at);
        let finding = Finding { id, verdict: verdict.clone(), state, first_detected_at, version: moment.version };
        if let Some(change) = change(before, &finding, terms) {
            changes.push(Transition { change, finding });
        }
    }
    let mut gone: Vec<&Finding> = present.values().filter(|f| !seen.contains(&f.id)).collect();
    gone.sort_by(|a, b| a.id.cmp(&b.id));
    changes.extend(gone.into_iter().filter_map(|finding| disappeared(finding, terms, moment)));
    changes
}

fn state(verdict: &Verdict, before: Option<State>, exceptions: &[Exception], as_of: i64) -> State {
    if verdict.resolved_at.is_some() {
        return State::Resolved;
    }
    let row = verdict.row();
    if exceptions.iter().any(|e| e.holds_at(as_of) && e.matches(&verdict.detector, &row)) {
        return State::Excepted;
    }
    match before {
        // What a person decided stands as long as the condition does.
        Some(state @ (State::Acked | State::Suppressed)) => state,
        _ => State::Open,
    }
}

fn change(before: Option<&Finding>, after: &Finding, terms: Terms<'_>) -> Option<Change> {
    let Some(before) = before else {
        return Some(match after.state {
            State::Resolved => Change::Resolved,
            State::Excepted => Change::Excepted,
            _ => Change::Opened,
        });
    };
    if before.state == after.state {
        return (!same(&before.verdict, &after.verdict, terms.ticking)).then_some(Change::Updated);
    }
    Some(match after.state {
        State::Resolved => Change::Resolved,
        State::Excepted => Change::Excepted,
        _ => Change::Reopened,
    })
}

fn same(a: &Verdict, b: &Verdict, ticking: &[String]) -> bool {
    let lasting = |v: &Verdict| -> Vec<(String, Value)> {
        v.evidence.iter().filter(|(name, _)| !ticking.contains(name)).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    (a.severity, a.violated_at, a.resolved_at) == (b.severity, b.violated_at, b.resolved_at) && lasting(a) == lasting(b)
}

fn disappeared(finding: &Finding, terms: Terms<'_>, moment: Moment) -> Option<Transition> {
    let of_the_present = !terms.resolved_when_gone.is_empty()
        && terms.resolved_when_gone.iter().all(|(column, value)| finding.verdict.key.get(column) == Some(value));
    let mut finding = Finding { version: moment.version, ..finding.clone() };
    match (finding.state, of_the_present) {
        (State::Retracted, _) | (State::Resolved, true) => None,
        (_, true) => {
            finding.state = State::Resolved;
            finding.verdict.resolved_at = Some(moment.as_of);
            Some(Transition { change: Change::Resolved, finding })
        }
        (_, false) => {
            finding.state = State::Retracted;
            Some(Transition { change: Change::Retracted, finding })
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::finding::Severity;
    use crate::policy::Policy;

    fn verdict(grant: &str, resolved_at: Option<i64>, age: &str) -> Verdict {
        let object = |value: Value| value.as_object().cloned().unwrap();
        Verdict {
            detector: "d".into(),
            key: object(json!({ "grant_id": grant, "reason": "age" })),
            severity: Severity::Medium,
            violated_at: 10,
            resolved_at,
            evidence: object(json!({ "age": age, "rule": "default" })),
        }
    }

    struct Log {
        present: HashMap<String, Finding>,
        resolved_when_gone: Map<String, Value>,
        policy: Policy,
    }

    impl Log {
        fn run(&mut self, verdicts: &[Verdict], as_of: i64) -> Vec<&'static str> {
            let ticking = ["age".to_owned()];
            let terms = Terms { ticking: &ticking, resolved_when_gone: &self.resolved_when_gone };
            let moment = Moment { as_of, at: as_of, version: 1 };
            let changes = transitions(&self.present, verdicts, self.policy.exceptions(), terms, moment);
            for change in &changes {
                self.present.insert(change.finding.id.clone(), change.finding.clone());
            }
            changes.iter().map(|c| c.change.as_str()).collect()
        }
    }

    #[test]
    fn a_finding_opens_changes_resolves_reopens_and_is_retracted() {
        let mut log = Log { present: HashMap::new(), resolved_when_gone: Map::new(), policy: Policy::default() };
        assert_eq!(log.run(&[verdict("g", None, "1d")], 100), ["opened"]);
        assert!(log.run(&[verdict("g", None, "2d")], 200).is_empty(), "age alone is no news");
        let severe = Verdict { severity: Severity::High, ..verdict("g", None, "3d") };
        assert_eq!(log.run(&[severe], 300), ["updated"]);
        assert_eq!(log.run(&[verdict("g", Some(350), "3d")], 400), ["resolved"]);
        assert_eq!(log.run(&[verdict("g", None, "4d"), verdict("h", Some(20), "1d")], 500), ["reopened", "resolved"]);
        assert_eq!(log.run(&[], 600), ["retracted", "retracted"]);
        assert!(log.run(&[], 700).is_empty());
        assert_eq!(log.run(&[verdict("g", None, "4d")], 800), ["reopened"]);
        assert!(log.present.values().all(|f| f.first_detected_at == 100 || f.first_detected_at == 500));
    }

    #[test]
    fn what_is_about_the_present_resolves_when_it_is_gone() {
        let resolved_when_gone = json!({ "reason": "age" }).as_object().cloned().unwrap();
        let mut log = Log { present: HashMap::new(), resolved_when_gone, policy: Policy::default() };
        log.run(&[verdict("g", None, "1d")], 100);
        assert_eq!(log.run(&[], 200), ["resolved"]);
        assert!(log.run(&[], 300).is_empty());
        assert_eq!(log.run(&[verdict("g", None, "1d")], 400), ["reopened"]);
    }

    #[test]
    fn an_exception_holds_until_its_end() {
        let text = "[[exception]]\ndetector = \"d\"\nmatch = { grant_id = \"g\" }\nreason = \"r\"\nowner = \"o\"\nuntil = 2026-01-01";
        let policy = Policy::parse("p.toml", text).unwrap();
        let until = policy.exceptions()[0].until;
        let mut log = Log { present: HashMap::new(), resolved_when_gone: Map::new(), policy };
        assert_eq!(log.run(&[verdict("g", None, "1d"), verdict("h", None, "1d")], until - 1), ["excepted", "opened"]);
        assert_eq!(log.run(&[verdict("g", None, "1d"), verdict("h", None, "1d")], until), ["reopened"]);
    }

    #[test]
    fn what_a_person_decided_stands() {
        let mut log = Log { present: HashMap::new(), resolved_when_gone: Map::new(), policy: Policy::default() };
        log.run(&[verdict("g", None, "1d")], 100);
        log.present.values_mut().for_each(|f| f.state = State::Acked);
        assert!(log.run(&[verdict("g", None, "2d")], 200).is_empty());
        assert_eq!(log.run(&[verdict("g", Some(250), "2d")], 300), ["resolved"]);
        assert_eq!(log.run(&[verdict("g", None, "2d")], 400), ["reopened"]);
    }
}
