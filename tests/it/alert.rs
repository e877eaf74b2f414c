//! Alerts from findings in a lake to real servers on loopback: nothing lost, nothing under two keys, whatever fails.

mod bad_sinks;
mod findings;
mod mail;
mod receiver;
mod sinks;
mod tidying;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use findings::Case;
use receiver::{Answer, Receiver};

fn config(url: &str, more: &str) -> String {
    format!("[alert]\n{more}\n[alert.sinks.hook]\ntype = \"webhook\"\nurl = \"{url}\"\n")
}

fn text<'v>(value: &'v Value, path: &str) -> &'v str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("no {path} in {value}"))
}

#[test]
fn no_alert_is_lost_or_known_by_two_keys_while_the_sink_fails_and_the_sender_is_killed() {
    const KILLS: usize = 20;
    let mut dice = fastrand::Rng::with_seed(20_261_126);
    let mut coin = fastrand::Rng::with_seed(7);
    let receiver = Receiver::start(move |_, _| Answer::Status(if coin.bool() { 200 } else { 500 }));
    let patience = "group_window_seconds = 0\nstorm_findings = 10000\nbackoff_first_ms = 20\nbackoff_max_seconds = 1";
    let mut case = Case::new(&config(&receiver.url, patience));
    let subject = |n: usize| format!("u{}@example.com", n % 40);
    case.happens("issue", 0..100, subject);
    for kill in 0..KILLS {
        let mut sender = case.follow();
        match kill {
            4 => case.happens("issue", 100..200, subject),
            8 => case.happens("revoke", 0..60, subject),
            12 => case.happens("issue", 200..240, subject),
            _ => {}
        }
        // Killed while it sends, if there is something to send.
        let (before, born) = (receiver.count(), Instant::now());
        while receiver.count() == before && born.elapsed() < Duration::from_millis(1500) {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(dice.u64(0..80)));
        sender.kill().unwrap(); // SIGKILL
        sender.wait().unwrap();
    }
    let killed_at = receiver.count();
    let started = Instant::now();
    while case.alert() != json!({ "queued": 0, "sent": 0, "failed": 0, "dead": 0, "silenced": 0 })
        || !case.rows(&["alert", "list", "--state", "waiting"]).is_empty()
    {
        assert!(started.elapsed() < Duration::from_secs(60), "the outbox does not become empty");
        std::thread::sleep(Duration::from_millis(100));
    }
    let requests = receiver.requests();
    assert!(killed_at > 50, "only {killed_at} requests before the last kill: it was killed for nothing");
    let mut keys: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    let mut accepted: Vec<(String, String)> = Vec::new();
    for request in &requests {
        let message = request.json();
        assert_eq!(message["alerts"].as_array().map(Vec::len), Some(1));
        let alert = &message["alerts"][0];
        let what = (text(alert, "/finding/id").to_owned(), text(alert, "/change").to_owned());
        assert_eq!(request.headers["idempotency-key"], text(alert, "/key"), "one alert: the message has its key");
        keys.entry(what.clone()).or_default().insert(text(alert, "/key").to_owned());
        if request.accepted {
            accepted.push(what);
        }
    }
    let findings = case.rows(&["findings", "list", "--state", "all"]);
    assert_eq!(findings.len(), 240);
    let first = |what: &(String, String)| accepted.iter().position(|a| a == what);
    let mut resolved = 0;
    for finding in &findings {
        let id = text(finding, "/id").to_owned();
        let opened = first(&(id.clone(), "opened".into())).unwrap_or_else(|| panic!("{id} was never delivered"));
        if finding["state"] == "resolved" {
            let end = first(&(id.clone(), "resolved".into())).unwrap_or_else(|| panic!("the end of {id} is lost"));
            assert!(opened < end, "{id} ended before it began");
            resolved += 1;
        }
    }
    assert_eq!(resolved, 60);
    assert_eq!(keys.len(), 300, "240 begin and 60 end");
    assert!(keys.values().all(|keys| keys.len() == 1), "a change is known by two keys");
    assert_eq!(keys.values().flatten().collect::<BTreeSet<_>>().len(), 300, "two changes share a key");
    assert!(case.rows(&["alert", "list", "--state", "dead"]).is_empty());
}

#[test]
fn a_storm_is_one_message_that_says_where_to_look() {
    let receiver = Receiver::willing();
    let mut case = Case::new(&config(&receiver.url, ""));
    case.happens("issue", 0..3000, |n| if n < 1000 { "loud@example.com".into() } else { format!("u{n}@example.com") });
    assert_eq!(case.alert()["sent"], 1);
    let requests = receiver.requests();
    assert_eq!(requests.len(), 1);
    let message = requests[0].json();
    let storm = &message["storm"];
    assert_eq!((&storm["findings"], &storm["by_change"]), (&json!(3000), &json!({ "opened": 3000 })));
    assert_eq!(storm["top_subjects"][0], json!(["loud@example.com", 1000]));
    assert!(requests[0].body.len() < 5000, "{} bytes", requests[0].body.len());
    // Its commands do what they promise.
    let command = text(storm, "/look_further/0");
    let sql = command.strip_prefix("tokentrail query '").and_then(|c| c.strip_suffix('\'')).unwrap();
    let counted = case.rows(&["query", &sql.replace("'\\''", "'")]);
    assert_eq!((counted.len(), &counted[0]["findings"]), (1, &json!(3000)));
    // Each finding's way out is known, and what happens to one later is told by itself.
    let id = text(storm, "/examples/0").to_owned();
    assert_eq!(case.rows(&["alert", "list", "--finding", &id])[0]["key"], message["key"]);
    case.happens("revoke", 0..1, |_| "loud@example.com".into());
    assert_eq!(case.alert()["sent"], 1);
    assert_eq!(receiver.requests()[1].json()["alerts"][0]["change"], "resolved");
}

#[test]
fn what_follows_soon_about_the_same_subject_comes_as_one_digest() {
    let receiver = Receiver::willing();
    let mut case = Case::new(&config(&receiver.url, "group_window_seconds = 8"));
    let subject = |n: usize| if n < 10 { "ana@example.com".into() } else { "bo@example.com".to_owned() };
    case.happens("issue", 0..1, subject);
    assert_eq!(case.alert()["sent"], 1, "the first is not kept waiting");
    let first_sent = Instant::now();
    case.happens("issue", 1..3, subject);
    case.happens("revoke", 0..1, subject);
    case.happens("issue", 10..11, subject);
    let counts = case.alert();
    if first_sent.elapsed() < Duration::from_secs(7) {
        assert_eq!(counts["sent"], 1, "nobody waits for somebody else's window: {counts}");
        assert_eq!(case.rows(&["alert", "list", "--state", "held"]).len(), 3);
        assert_eq!(text(&receiver.requests()[1].json(), "/subject"), "bo@example.com");
    }
    std::thread::sleep(Duration::from_secs(8).saturating_sub(first_sent.elapsed()));
    case.alert();
    let requests = receiver.requests();
    let digest = requests.iter().map(|r| r.json()).find(|m| m["alerts"].as_array().unwrap().len() == 3).unwrap();
    assert_eq!(text(&digest, "/subject"), "ana@example.com");
    let mut changes: Vec<&str> = digest["alerts"].as_array().unwrap().iter().map(|a| text(a, "/change")).collect();
    changes.sort_unstable();
    assert_eq!(changes, ["opened", "opened", "resolved"]);
    assert_eq!(requests.len(), 3);
    assert!(case.rows(&["alert", "list", "--state", "held"]).is_empty());
}

#[test]
fn a_silence_is_recorded_ends_and_expires() {
    let receiver = Receiver::willing();
    let expired = "[[alert.silences]]\nowner = \"ana\"\nreason = \"migration\"\nuntil = \"2026-01-01T00:00:00Z\"\n\
                   match = { subject_id = \"bo@*\" }\n";
    let mut case = Case::new(&(config(&receiver.url, "group_window_seconds = 0") + expired));
    // A lake without events: silences are kept there.
    std::fs::write(case.path("none.ndjson"), "").unwrap();
    crate::harness::ingest_files(&case.lake, &[&case.path("none.ndjson")]);
    let words =
        ["alert", "silence", "add", "--match", "subject_id=ana@*", "--owner", "cy", "--reason", "known", "--until"];
    let over = case.run(&[&words[..], &["2026-01-01T00:00:00Z"]].concat());
    let said = String::from_utf8_lossy(&over.stderr);
    assert!(!over.status.success() && said.contains("is over already"), "{said}");
    assert!(case.run(&[&words[..], &["2126-01-01T00:00:00Z"]].concat()).status.success());
    case.happens("issue", 0..2, |n| if n == 0 { "ana@example.com".into() } else { "bo@example.com".to_owned() });
    assert_eq!(case.alert(), json!({ "queued": 1, "sent": 1, "failed": 0, "dead": 0, "silenced": 1 }));
    assert_eq!(
        text(&receiver.requests()[0].json(), "/subject"),
        "bo@example.com",
        "an expired silence silences nothing"
    );
    let kept = case.rows(&["alert", "list", "--state", "silenced"]);
    assert_eq!(kept.len(), 1);
    assert!(text(&kept[0], "/reason").contains("of cy: known"), "{kept:?}");
    let silences = case.rows(&["alert", "silence", "list"]);
    let states: Vec<&str> = silences.iter().map(|s| text(s, "/state")).collect();
    assert_eq!(states, ["expired", "holds"]);
    assert!(case.run(&["alert", "silence", "end", text(&silences[1], "/id")]).status.success());
    case.happens("revoke", 0..1, |_| "ana@example.com".into());
    assert_eq!(case.alert()["sent"], 1, "what was ended silences nothing");
    let again = case.run(&["alert", "silence", "end", text(&silences[1], "/id")]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("is over already"));
}

#[test]
fn the_first_route_that_matches_decides() {
    let (team, rest) = (Receiver::willing(), Receiver::willing());
    let sink = |name: &str, at: &Receiver| format!("[alert.sinks.{name}]\ntype = \"webhook\"\nurl = \"{}\"\n", at.url);
    let routes = "[[alert.routes]]\nprojects = [\"nowhere\"]\nsinks = [\"rest\"]\n\
                  [[alert.routes]]\nseverity = \"high\"\ndetectors = [\"every_*\"]\nprojects = [\"sh?p\"]\nchanges = [\"opened\"]\n\
                  sinks = [\"team\", \"rest\"]\n[[alert.routes]]\nseverity = \"critical\"\nsinks = [\"rest\"]\n";
    let mut case = Case::new(&(sink("team", &team) + &sink("rest", &rest) + routes));
    case.happens("issue", 0..1, |_| "ana@example.com".into());
    assert_eq!(case.alert()["sent"], 2);
    case.happens("revoke", 0..1, |_| "ana@example.com".into());
    assert_eq!(case.alert()["queued"], 0);
    assert_eq!((team.requests().len(), rest.requests().len()), (1, 1));
    let nowhere = case.rows(&["alert", "list", "--state", "unrouted"]);
    assert_eq!((nowhere.len(), text(&nowhere[0], "/reason")), (1, "no route matches it"));
    let (team, rest) = (team.requests()[0].json(), rest.requests()[0].json());
    assert_ne!(team["key"], rest["key"], "a key is of one sink");
}
