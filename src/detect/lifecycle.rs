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
    /// Somebody looks after it.
    Acked,
    /// Somebody wrote something down.
    Noted,
    /// Somebody does not want to hear of it for some time.
    Suppressed,
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
            Self::Acked => "acked",
            Self::Noted => "noted",
            Self::Suppressed => "suppressed",
        }
    }
}

/// A change, and the finding after it.
#[derive(Clone, Debug)]
pub struct Transition {
    pub change: Change,
    pub finding: Finding,
    /// Who decided it, and why; `None` where a run found it out.
    pub decision: Option<Decision>,
}

/// What a person says about a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub owner: String,
    pub reason: String,
}

impl Transition {
    fn found(change: Change, finding: Finding) -> Self {
        Self { change, finding, decision: None }
    }

    /// What becomes of a finding when a person acks it, notes something or suppresses it until a moment.
    ///
    /// # Errors
    /// A sentence, where the finding's condition does not hold any more: then there is nothing to decide.
    pub fn decided(change: Change, finding: &Finding, until: Option<i64>, decision: Decision) -> Result<Self, String> {
        let state = match change {
            Change::Acked => State::Acked,
            Change::Suppressed => State::Suppressed,
            _ => finding.state,
        };
        if state != finding.state && !finding.is_open() {
            return Err(format!(
                "finding {} is {}: only open ones can be {}",
                finding.id,
                finding.state,
                change.as_str()
            ));
        }
        let until = if change == Change::Noted { finding.until } else { until };
        Ok(Self { change, finding: Finding { state, until, ..finding.clone() }, decision: Some(decision) })
    }
}

/// What a detector says about its own findings over time.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'t> {
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

/// What a run makes of one detector's findings.
#[derive(Debug, Default)]
pub struct Compared {
    /// In the order of the verdicts; those that are gone last, by id.
    pub transitions: Vec<Transition>,
    /// What the verdicts leave open, acked and suppressed ones included, in their order.
    pub open: Vec<Finding>,
}

/// Compares what `verdicts` say with `present`: all findings of one detector, by id.
pub fn compare(
    present: &HashMap<String, Finding>,
    verdicts: &[Verdict],
    exceptions: &[Exception],
    terms: Terms<'_>,
    moment: Moment,
) -> Compared {
    let mut compared = Compared::default();
    let mut seen = std::collections::HashSet::with_capacity(verdicts.len());
    for verdict in verdicts {
        let id = verdict.id();
        let before = present.get(&id);
        let state = state(verdict, before, exceptions, moment.as_of);
        let change = change(before, state, verdict);
        let first_detected_at = before.map_or(moment.at, |f| f.first_detected_at);
        let version = before.filter(|_| change.is_none()).map_or(moment.version, |f| f.version);
        seen.insert(id.clone());
        let until = before.and_then(|f| f.until).filter(|_| state == State::Suppressed);
        let finding = Finding { id, verdict: verdict.clone(), state, first_detected_at, version, until };
        if let Some(change) = change {
            compared.transitions.push(Transition::found(change, finding.clone()));
        }
        if finding.is_open() {
            compared.open.push(finding);
        }
    }
    let mut gone: Vec<&Finding> = present.values().filter(|f| !seen.contains(&f.id)).collect();
    gone.sort_by(|a, b| a.id.cmp(&b.id));
    compared.transitions.extend(gone.into_iter().filter_map(|finding| disappeared(finding, terms, moment)));
    compared
}

fn state(verdict: &Verdict, before: Option<&Finding>, exceptions: &[Exception], as_of: i64) -> State {
    if verdict.resolved_at.is_some() {
        return State::Resolved;
    }
    let mut holding = exceptions.iter().filter(|e| e.detector == *verdict.detector && e.holds_at(as_of)).peekable();
    // Evidence is only read where somebody asks for it.
    let row = holding.peek().map(|_| verdict.row()).unwrap_or_default();
    if holding.any(|e| e.matches(&verdict.detector, &row)) {
        return State::Excepted;
    }
    match before {
        // What a person decided stands as long as the condition does, and no longer than was said.
        Some(before) if before.state == State::Acked => State::Acked,
        Some(before) if before.state == State::Suppressed && before.until.is_none_or(|until| as_of < until) => {
            State::Suppressed
        }
        _ => State::Open,
    }
}

fn change(before: Option<&Finding>, after: State, verdict: &Verdict) -> Option<Change> {
    match (before, after) {
        (Some(before), after) if before.state == after => {
            (!before.verdict.says_the_same(verdict)).then_some(Change::Updated)
        }
        (_, State::Resolved) => Some(Change::Resolved),
        (_, State::Excepted) => Some(Change::Excepted),
        (None, _) => Some(Change::Opened),
        (Some(_), _) => Some(Change::Reopened),
    }
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
            Some(Transition::found(Change::Resolved, finding))
        }
        (_, false) => {
            finding.state = State::Retracted;
            Some(Transition::found(Change::Retracted, finding))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::finding::{Evidence, Severity};
    use crate::policy::Policy;

    fn verdict(grant: &str, resolved_at: Option<i64>, age: &str) -> Verdict {
        let object = |value: Value| value.as_object().cloned().unwrap();
        Verdict {
            detector: "d".into(),
            key: Arc::new(object(json!({ "grant_id": grant, "reason": "age" }))),
            severity: Severity::Medium,
            violated_at: 10,
            resolved_at,
            evidence: Evidence::new(&object(json!({ "age": age, "rule": "default" })), &["age".to_owned()]),
        }
    }

    struct Log {
        present: HashMap<String, Finding>,
        resolved_when_gone: Map<String, Value>,
        policy: Policy,
    }

    impl Log {
        fn run(&mut self, verdicts: &[Verdict], as_of: i64) -> Vec<&'static str> {
            let terms = Terms { resolved_when_gone: &self.resolved_when_gone };
            let moment = Moment { as_of, at: as_of, version: 1 };
            let changes = compare(&self.present, verdicts, self.policy.exceptions(), terms, moment).transitions;
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
    fn what_a_person_decides_stands_while_the_condition_does_and_as_long_as_was_said() {
        let mut log = Log { present: HashMap::new(), resolved_when_gone: Map::new(), policy: Policy::default() };
        log.run(&[verdict("g", None, "1d")], 100);
        let decide = |log: &mut Log, change, until| {
            let decision = Decision { owner: "ana".into(), reason: "known".into() };
            let finding = log.present.values().next().unwrap().clone();
            let decided = Transition::decided(change, &finding, until, decision)?;
            log.present.insert(finding.id, decided.finding);
            Ok::<_, String>(())
        };
        decide(&mut log, Change::Suppressed, Some(300)).unwrap();
        decide(&mut log, Change::Noted, None).unwrap();
        assert!(log.run(&[verdict("g", None, "1d")], 299).is_empty());
        assert_eq!(log.run(&[verdict("g", None, "1d")], 300), ["reopened"]);
        decide(&mut log, Change::Acked, None).unwrap();
        assert!(log.run(&[verdict("g", None, "1d")], 400).is_empty());
        assert_eq!(log.run(&[verdict("g", Some(450), "1d")], 500), ["resolved"]);
        assert!(decide(&mut log, Change::Acked, None).unwrap_err().contains("only open ones"));
        assert_eq!(log.run(&[verdict("g", None, "1d")], 600), ["reopened"], "the ack was for what is over");
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
