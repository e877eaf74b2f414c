use std::collections::BTreeMap;

use super::*;
use crate::export::model::{Feed, Population, Relation, Table};

fn detector(kind: &str, events: u64, counts: Counts) -> Detector {
    Detector {
        id: "d".into(),
        title: String::new(),
        summary: String::new(),
        rationale: String::new(),
        kind: kind.into(),
        severity: "high".into(),
        references: BTreeMap::new(),
        verdict: Verdict { result: Outcome::Error, reason: String::new() },
        population: Population { what: "refreshes".into(), definition: "TRUE".into(), events, totals: Vec::new() },
        counts,
        feeds: vec!["offboard".into()],
        sql: String::new(),
        sql_sha256: String::new(),
        parameters: BTreeMap::new(),
        withheld: Vec::new(),
        rows_sha256: String::new(),
        rows: Table::default(),
    }
}

fn counts(found: u64, uncertain: u64, excepted: u64) -> Counts {
    Counts { rows: found + excepted, found, excepted, open_at_end: found, uncertain }
}

#[test]
fn a_pass_needs_events_coverage_and_feeds() {
    let whole = Coverage::default();
    let result = |detector: &Detector, coverage: &Coverage| of_detector(detector, coverage);
    let quiet = detector("violation", 7, counts(0, 0, 0));
    let pass = result(&quiet, &whole);
    assert_eq!((pass.result, pass.reason.as_str()), (Outcome::Pass, "no exceptions found by this test in 7 events"));
    assert_eq!(result(&detector("violation", 0, counts(0, 0, 0)), &whole).result, Outcome::NotTested);
    let gap = Coverage { problems: vec!["okta was silent".into()], ..Coverage::default() };
    assert_eq!(result(&quiet, &gap).result, Outcome::Inconclusive);
    assert_eq!(result(&detector("violation", 0, counts(0, 0, 0)), &gap).result, Outcome::NotTested);
    let feed = |name: &str| Feed { feed: name.into(), problem: Some("no feed".into()), ..Feed::default() };
    let missing = Coverage { feeds: vec![feed("offboard")], ..Coverage::default() };
    assert_eq!(result(&quiet, &missing).result, Outcome::Inconclusive);
    let other = Coverage { feeds: vec![feed("device_lost")], ..Coverage::default() };
    assert_eq!(result(&quiet, &other).result, Outcome::Pass);
    let mut undeclared = quiet.clone();
    undeclared.population = Population::default();
    assert_eq!(result(&undeclared, &whole).result, Outcome::NotTested);
}

#[test]
fn what_was_found_fails_whatever_is_missing_and_leads_never_decide() {
    let gap = Coverage { problems: vec!["okta was silent".into()], ..Coverage::default() };
    assert_eq!(of_detector(&detector("violation", 7, counts(2, 1, 0)), &gap).result, Outcome::Fail);
    assert_eq!(of_detector(&detector("violation", 0, counts(1, 0, 0)), &gap).result, Outcome::Fail);
    assert_eq!(
        of_detector(&detector("violation", 7, counts(2, 2, 0)), &Coverage::default()).result,
        Outcome::Inconclusive
    );
    let excepted = of_detector(&detector("violation", 7, counts(0, 0, 3)), &Coverage::default());
    assert_eq!(excepted.result, Outcome::Pass);
    assert!(excepted.reason.contains("3 rows covered by exceptions"), "{}", excepted.reason);
    let lead = of_detector(&detector("lead", 7, counts(9, 0, 0)), &Coverage::default());
    assert_eq!(lead.result, Outcome::NotTested);
    assert!(lead.reason.contains("never decide"));
}

#[test]
fn a_part_is_as_its_worst_test_and_never_more_than_its_tests() {
    let link = |detector: &str, decides: bool| Link {
        detector: detector.into(),
        relation: Relation::DetectsViolationOf,
        decides,
        why: String::new(),
        folder: String::new(),
    };
    let of = |results: &[(&str, bool, Outcome)]| {
        let links: Vec<Link> = results.iter().map(|(id, decides, _)| link(id, *decides)).collect();
        let find = |id: &str| results.iter().find(|(it, _, _)| *it == id).map(|(_, _, result)| (*result, 5));
        of_links("nothing speaks to it", &links, &find)
    };
    use Outcome::{Error, Fail, Inconclusive, NotApplicable, NotTested, Pass};
    assert_eq!(of(&[("a", true, Pass), ("b", true, Fail), ("c", true, Error)]).result, Fail);
    assert_eq!(of(&[("a", true, Pass), ("b", true, Inconclusive), ("c", true, Error)]).result, Error);
    assert_eq!(of(&[("a", true, Pass), ("b", true, Inconclusive)]).result, Inconclusive);
    let pass = of(&[("a", true, Pass), ("b", true, NotTested), ("c", false, Fail)]);
    assert_eq!(
        (pass.result, pass.reason.as_str()),
        (Pass, "no exceptions found by this test in 5 events; not-tested: b")
    );
    assert_eq!(of(&[("a", true, NotTested), ("b", true, NotApplicable)]).result, NotTested);
    assert_eq!(of(&[("a", true, NotApplicable)]).result, NotApplicable);
    assert_eq!(of(&[("a", false, Fail)]).result, NotTested);
    assert_eq!(of(&[]).reason, "nothing speaks to it");
}
