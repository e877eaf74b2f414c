//! Planning over many rounds, without a lake: every change leaves its row, and the changes of a finding stay in order.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::alert::config::{Format, SinkConfig};
use crate::finding::{Evidence, Finding, Severity, State, Verdict};

fn config(window_seconds: u32, storm: usize) -> Config {
    let sink: SinkConfig = serde_json::from_value(json!({ "type": "stdout" })).unwrap();
    assert_eq!(sink.format(), Format::Native);
    let sinks = BTreeMap::from([("a".to_owned(), sink.clone()), ("b".to_owned(), sink)]);
    Config { sinks, group_window_seconds: window_seconds, storm_findings: storm, ..Config::default() }
}

fn logged(finding: usize, subject: &str, change: &str, sequence: i64) -> Logged {
    let object = |value: Value| value.as_object().cloned().unwrap();
    let verdict = Verdict {
        detector: "d".into(),
        key: Arc::new(object(json!({ "grant_id": format!("g{finding}") }))),
        severity: Severity::High,
        violated_at: 0,
        resolved_at: None,
        evidence: Evidence::new(&object(json!({ "subject_id": subject })), &[]),
    };
    let id = verdict.id();
    let finding = Finding { id, verdict, state: State::Open, first_detected_at: 0, version: 1, until: None };
    Logged { change: change.to_owned(), sequence, at: 0, owner: None, reason: None, finding }
}

/// The outbox, as far as planning sees it.
#[derive(Default)]
struct World {
    standing: Standing,
    commits: i64,
    entries: Vec<Entry>,
}

impl World {
    fn round(&mut self, config: &Config, silences: &[Silence], news: &[Logged], now: i64) -> Vec<Entry> {
        let catalog = Catalog::default();
        let entries = plan(Terms { config, catalog: &catalog, silences, now }, news, &self.standing);
        self.commits += 1;
        for (place, entry) in entries.iter().enumerate() {
            self.standing.apply((self.commits, place as i64), entry);
        }
        self.entries.extend(entries.iter().cloned());
        entries
    }

    /// What was sent of each finding to a sink, in the order of the messages.
    fn order(&self, sink: &str) -> HashMap<String, Vec<i64>> {
        let mut order: HashMap<String, Vec<i64>> = HashMap::new();
        for entry in self.entries.iter().filter(|e| e.step == Step::Carried && e.sink == sink) {
            order.entry(entry.finding.clone()).or_default().push(entry.finding_sequence);
        }
        order
    }
}

#[test]
fn whatever_comes_when_each_change_goes_out_once_and_in_order() {
    let mut dice = fastrand::Rng::with_seed(5);
    for _ in 0..200 {
        let config = config(dice.u32(0..4), dice.usize(1..8));
        let (mut world, mut sequence, mut sent) = (World::default(), 0, 0);
        for round in 0..30 {
            let count = if round < 25 { dice.usize(0..6) } else { 0 };
            let news: Vec<Logged> = (0..count)
                .map(|_| {
                    sequence += 1;
                    let change = ["opened", "resolved", "reopened", "retracted"][dice.usize(0..4)];
                    // The subject of a finding may become known, or another, from one run to the next.
                    logged(dice.usize(0..5), ["x", "y"][dice.usize(0..2)], change, sequence)
                })
                .collect();
            sent += news.len();
            world.round(&config, &[], &news, i64::from(round) * 1_000_000);
        }
        assert!(world.standing.held.is_empty(), "something waits for ever");
        for sink in ["a", "b"] {
            let order = world.order(sink);
            assert_eq!(order.values().map(Vec::len).sum::<usize>(), sent);
            for sequences in order.values() {
                assert!(sequences.is_sorted_by(|a, b| a < b), "{sequences:?}");
            }
        }
        let mut keys: Vec<&str> = world.standing.pending.values().map(|m| m.key.as_str()).collect();
        keys.sort_unstable();
        assert!(keys.is_sorted_by(|a, b| a < b), "two messages share a key");
    }
}

#[test]
fn a_storm_is_counted_by_detector_and_takes_along_what_waits() {
    let (config, mut world) = (config(60, 3), World::default());
    world.round(&config, &[], &[logged(0, "x", "opened", 1)], 0);
    world.round(&config, &[], &[logged(0, "x", "resolved", 2)], 1_000_000);
    assert_eq!(world.standing.held.len(), 2, "one for each sink");
    let many: Vec<Logged> = (0..4).map(|n| logged(n, "x", "reopened", 3)).collect();
    let entries = world.round(&config, &[], &many, 2_000_000);
    assert_eq!(entries.iter().filter(|e| e.step == Step::Queued).count(), 2);
    assert_eq!(entries.iter().filter(|e| e.step == Step::Carried).count(), 10, "four, and the one that waited");
    assert!(world.standing.held.is_empty());
    let calm = world.round(&config, &[], &many[..3], 90_000_000);
    assert!(calm.iter().all(|e| !e.content.contains("\"storm\"")), "three are no storm");
}

#[test]
fn a_silence_holds_until_its_moment_for_what_it_matches() {
    let (config, mut world) = (config(0, 100), World::default());
    let matching = BTreeMap::from([("subject_id".to_owned(), "x*".to_owned())]);
    let silence = [Silence::new("ana", "known", "d", matching, 1000)];
    let steps = |entries: &[Entry]| entries.iter().map(|e| e.step).collect::<Vec<_>>();
    assert_eq!(steps(&world.round(&config, &silence, &[logged(0, "xy", "opened", 1)], 999)), [Step::Silenced]);
    assert_eq!(world.round(&config, &silence, &[logged(0, "xy", "resolved", 2)], 1000).len(), 4, "it is over");
    assert_eq!(world.round(&config, &silence, &[logged(1, "yx", "opened", 3)], 999).len(), 4, "it is about others");
    assert!(world.round(&config, &silence, &[logged(1, "yx", "noted", 4)], 999).is_empty(), "nobody asked for notes");
}

#[test]
fn taking_up_a_row_again_changes_nothing() {
    let (config, mut world) = (config(0, 100), World::default());
    world.round(&config, &[], &[logged(0, "x", "opened", 1)], 0);
    let message = world.standing.pending.values().next().unwrap().clone();
    let failed = Entry { step: Step::Failed, attempt: 1, next_at: Some(50), ..message.row(10) };
    let sent = Entry { step: Step::Sent, attempt: 2, ..message.row(60) };
    for entry in [&failed, &failed] {
        world.standing.apply((2, 0), entry);
        let message = world.standing.find(&message.key).unwrap().1;
        assert_eq!((message.attempt, message.due_at), (1, 50));
    }
    world.standing.apply((3, 0), &sent);
    // Another process, slower, gives up what was sent.
    for step in [Step::Sent, Step::Dead, Step::Failed, Step::Retried] {
        world.standing.apply((4, 0), &Entry { step, ..message.row(70) });
        assert!(world.standing.find(&message.key).is_none() && world.standing.dead.is_empty(), "{step:?}");
    }
}
