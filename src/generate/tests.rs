//! The proof: what the generator says must be found is what a plain reading of what each detector means finds.

mod reference;

use std::collections::{BTreeMap, BTreeSet};

use super::*;

fn lines(options: &Options) -> Vec<u8> {
    let mut out = Vec::new();
    Generator::new(options).write_to(&mut out).unwrap();
    out
}

fn count(lines: &[u8]) -> usize {
    lines.iter().filter(|byte| **byte == b'\n').count()
}

fn assert_true(options: &Options) {
    let truth = Generator::new(options).truth().to_vec();
    let found = reference::findings(&lines(options), options.end);
    let (expected, actual): (BTreeSet<_>, BTreeSet<_>) = (truth.iter().collect(), found.iter().collect());
    let show = |missing: Vec<&&Truth>| missing.iter().map(|t| format!("\n  {t}")).collect::<String>();
    let missed = show(expected.difference(&actual).take(8).collect());
    let unplanned = show(actual.difference(&expected).take(8).collect());
    assert_eq!(truth, found, "{options:?}\nnot found:{missed}\nnot planned:{unplanned}");
}

#[test]
fn the_truth_is_what_a_plain_reading_finds() {
    for seed in 0..40 {
        assert_true(&Options { events: 6000, seed, ..Options::default() });
    }
    assert_true(&Options { events: 30_000, seed: 99, ..Options::default() });
}

#[test]
fn small_companies_too() {
    for events in [0, 1, 2, 3, 7, 50, 99, 250, 801] {
        let options = Options { events, seed: events, ..Options::default() };
        assert_eq!(count(&lines(&options)) as u64, events);
        assert_true(&options);
    }
}

#[test]
fn another_end_shuffled_and_with_broken_lines() {
    let end = 1_700_000_000_123_000;
    let options = Options { events: 4000, seed: 5, end, shuffle: true, broken: 9, ..Options::default() };
    assert_eq!(count(&lines(&options)), 4009);
    assert_true(&options);
    let in_order = Options { shuffle: false, ..options.clone() };
    let set = |lines: &[u8]| lines.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<BTreeSet<_>>();
    assert_ne!(lines(&options), lines(&in_order));
    assert_eq!(set(&lines(&options)), set(&lines(&in_order)));
}

#[test]
fn every_story_is_told_and_every_detector_fires() {
    let generator = Generator::new(&Options { events: 6000, ..Options::default() });
    let mut findings: BTreeMap<_, usize> = BTreeMap::new();
    for truth in generator.truth() {
        *findings.entry(truth.detector).or_default() += 1;
    }
    assert_eq!(findings.len(), 4, "{findings:?}");
    assert!(findings.values().all(|n| *n >= 7), "{findings:?}");
    let reasons: BTreeSet<&str> = generator.truth().iter().flat_map(|t| &t.key).map(|(_, v)| v.as_str()).collect();
    assert!(reasons.contains("age") && reasons.contains("idle"));
}

#[test]
fn the_same_options_give_the_same_bytes() {
    let options = Options { events: 3000, seed: 11, ..Options::default() };
    assert_eq!(lines(&options), lines(&options));
    assert_ne!(lines(&options), lines(&Options { seed: 12, ..options.clone() }));
    let hash = lines(&options).iter().fold(0, |hash, byte| dice::mix(hash ^ u64::from(*byte)));
    assert_eq!(hash, STABLE, "the stream of a version is a contract: note a change in the change log");
}

/// Changes only when the company does.
const STABLE: u64 = 14_996_751_040_391_587_333;

#[test]
fn ids_are_one_event_each() {
    let mut seen: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for line in lines(&Options { events: 20_000, seed: 3, ..Options::default() }).split(|b| *b == b'\n') {
        let Ok(json) = serde_json::from_slice::<serde_json::Value>(line) else { continue };
        if let Some(id) = json["event_id"].as_str() {
            let first = seen.entry(id.to_owned()).or_insert_with(|| line.to_vec());
            assert_eq!(first, line, "one id, two events");
        }
    }
    assert!(seen.len() > 19_000 && seen.len() < 20_000, "some records repeat: {}", seen.len());
}

#[test]
fn the_workload_is_as_large_and_as_mixed_as_it_should_be() {
    let shape = Shape::Workload { context: true };
    let lines = lines(&Options { events: 50_000, shape, ..Options::default() });
    let (mut actions, mut last) = (BTreeMap::new(), String::new());
    for line in lines.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let json: serde_json::Value = serde_json::from_slice(line).unwrap();
        *actions.entry(json["action"].as_str().unwrap().to_owned()).or_insert(0) += 1;
        let at = json["event_time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().to_string();
        assert!(at[..19] >= last[..last.len().min(19)], "out of order");
        last = at;
    }
    assert_eq!((actions["offboard"], actions["device_lost"]), (500, 500));
    let share = |action: &str| f64::from(actions[action]) / 500.0;
    assert!((share("issue") - 4.0).abs() < 0.5 && (share("refresh") - 94.0).abs() < 0.5, "{actions:?}");
    let bytes = lines.len() / 51_000;
    assert!((560..640).contains(&bytes), "{bytes} bytes a record");
}

#[test]
fn the_quickstart_is_the_file_beside_it_and_its_truth_holds() {
    let options = Options { shape: Shape::Quickstart, ..Options::default() };
    assert_true(&options);
    let generator = Generator::new(&options);
    let told: BTreeSet<(&str, &str)> =
        generator.truth().iter().map(|t| (t.detector, t.key.last().map_or("", |(_, value)| value))).collect();
    for detector in ["refresh_after_offboarding", "shared_host_reuse", "unrevoked_lost_device"] {
        assert!(told.iter().filter(|(d, _)| *d == detector).count() >= 2, "{detector}");
    }
    let reasons = |reason| generator.truth().iter().flat_map(|t| &t.key).filter(|(_, v)| v == reason).count();
    assert!(reasons("age") >= 2 && reasons("idle") >= 2);
    assert!(lines(&options) == include_bytes!("../../sample-data/quickstart.ndjson"), "make it again: see its README");
    let mut truth = Vec::new();
    generator.write_truth_to(&mut truth).unwrap();
    assert!(truth == include_bytes!("../../sample-data/quickstart.truth.ndjson"), "make it again: see its README");
}
