//! Maintenance under alerts that are on their way: merging, deleting and forgetting lose none and repeat none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use tokentrail::alert::silence::{Silence, Silences};
use tokentrail::alert::{Alerts, Config, retention};
use tokentrail::clock::now_micros;
use tokentrail::config::Maintain;
use tokentrail::detect::catalog::Catalog;
use tokentrail::detect::retention as runs;
use tokentrail::lake::table::Table;
use tokentrail::lake::{Lake, plain};
use tokentrail::serve::tidying;

use super::findings::{AS_OF, Case};
use super::receiver::{Answer, Receiver};
use super::{config, text};

fn subject(n: usize) -> String {
    format!("u{n}@example.com")
}

async fn lake(case: &Case) -> Lake {
    Lake::open(&case.lake.uri()).await.unwrap()
}

/// Alerts of this process, as a service has them.
async fn open(case: &Case, lake: &Lake) -> Alerts {
    #[derive(serde::Deserialize)]
    struct File {
        alert: Config,
    }
    let file: File = toml::from_str(&std::fs::read_to_string(case.path("tokentrail.toml")).unwrap()).unwrap();
    Alerts::open(lake, Catalog::load(Some(&case.path("queries"))).unwrap(), file.alert).await.unwrap()
}

fn data_files(folder: &Path) -> Vec<PathBuf> {
    let all = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| path.extension().is_some_and(|e| e == "parquet")).collect()
}

/// Deletes what the newest version does not name, at once: the worst that a week's sweeping can do to a reader.
async fn delete_replaced(lake: &Lake, case: &Case, name: &str) -> usize {
    let state = Table::open(lake.uri(), name).await.unwrap().unwrap().refresh().await.unwrap();
    let mut deleted = 0;
    for path in data_files(&case.path("lake").join(name)) {
        if !state.files.contains_key(path.file_name().unwrap().to_str().unwrap()) {
            std::fs::remove_file(path).unwrap();
            deleted += 1;
        }
    }
    deleted
}

fn age(path: &Path, days: u64) {
    let then = SystemTime::now() - Duration::from_secs(days * 86_400);
    std::fs::File::options().append(true).open(path).unwrap().set_modified(then).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn merging_between_rounds_and_while_a_sink_fails_loses_no_alert_and_repeats_none() {
    let mut coin = fastrand::Rng::with_seed(5);
    let receiver = Receiver::start(move |_, _| Answer::Status(if coin.u8(0..3) == 0 { 200 } else { 500 }));
    let patience = "group_window_seconds = 0\nbackoff_first_ms = 1\nbackoff_max_seconds = 1";
    let mut case = Case::new(&config(&receiver.url, patience));
    case.happens("issue", 0..1, subject);
    // Each with a view of its own, as two processes have them.
    let (ours, theirs) = (lake(&case).await, lake(&case).await);
    let mut alerts = open(&case, &ours).await;
    let (mut merged, mut deleted) = (0, 0);
    for round in 1..8 {
        case.happens("issue", round * 3..round * 3 + 3, subject);
        alerts.round(now_micros()).await.unwrap();
        merged += tidying::tables(&theirs, 2, false).await.unwrap().files_before;
        for name in ["alerts", "findings", "detector_runs"] {
            deleted += delete_replaced(&theirs, &case, name).await;
        }
    }
    assert!(merged > 20 && deleted > 20, "{merged} files merged, {deleted} deleted");
    receiver.change(|_, _| Answer::Status(200));
    for _ in 0..200 {
        let round = alerts.round(now_micros()).await.unwrap();
        tidying::tables(&theirs, 2, false).await.unwrap();
        delete_replaced(&theirs, &case, "alerts").await;
        if round.next_due_at.is_none() && alerts.standing().pending.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    for request in receiver.requests().iter().filter(|request| request.accepted) {
        let message = request.json();
        *taken.entry(text(&message, "/alerts/0/finding/id").to_owned()).or_default() += 1;
    }
    assert_eq!(taken.len(), 22, "every finding once");
    assert!(taken.values().all(|times| *times == 1), "taken twice: {taken:?}");
    assert!(data_files(&case.path("lake").join("alerts")).len() < 4);
    // Who reads everything anew comes to the same.
    assert_eq!(case.alert(), json!({ "queued": 0, "sent": 0, "failed": 0, "dead": 0, "silenced": 0 }));
    assert_eq!(case.rows(&["alert", "list", "--state", "sent"]).len(), 22);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_alerts_at_their_end_are_forgotten() {
    let (good, bad) = (Receiver::willing(), Receiver::start(|_, _| Answer::Status(500)));
    let sink = |name: &str, at: &Receiver| format!("[alert.sinks.{name}]\ntype = \"webhook\"\nurl = \"{}\"\n", at.url);
    let settings = |more: &str| {
        let patience = "[alert]\ngroup_window_seconds = 4\nbackoff_first_ms = 1\nbackoff_max_seconds = 1\n";
        format!("{patience}{more}{}{}", sink("good", &good), sink("bad", &bad))
    };
    let mut case = Case::new(&settings("attempts_max = 1\n"));
    let silence = ["alert", "silence", "add", "--owner", "cy", "--reason", "known", "--until", "2126-01-01T00:00:00Z"];
    std::fs::write(case.path("none.ndjson"), "").unwrap();
    crate::harness::ingest_files(&case.lake, &[&case.path("none.ndjson")]);
    assert!(case.run(&[&silence[..], &["--match", "subject_id=u2@*"]].concat()).status.success());
    case.happens("issue", 0..3, subject);
    case.run(&["alert", "run"]); // u0, u1: taken by the good one, dead at the bad one; u2: silenced
    let dead = case.rows(&["alert", "dead", "list"]);
    assert_eq!(dead.len(), 2);
    // One of the dead is to be tried again, and further news wait for a digest.
    case.configure(&settings("attempts_max = 1000\n"));
    assert!(case.run(&["alert", "dead", "retry", text(&dead[0], "/key")]).status.success());
    case.happens("revoke", 0..2, subject);
    let lake = lake(&case).await;
    let mut alerts = open(&case, &lake).await;
    alerts.round(now_micros()).await.unwrap();
    assert_eq!((alerts.standing().dead.len(), alerts.standing().pending.len()), (1, 1));
    assert_eq!(retention::forget(&lake, now_micros() - 3_600_000_000).await.unwrap(), 0, "nothing is so old");
    let forgotten = retention::forget(&lake, now_micros() + 1_000_000).await.unwrap();
    // Twice queued, carried and sent; queued, carried and dead; one silenced.
    assert_eq!(forgotten, 10);
    let left = case.rows(&["query", "SELECT DISTINCT step FROM alert_steps ORDER BY step"]);
    let left: Vec<&str> = left.iter().map(|row| text(row, "/step")).collect();
    assert!(!left.contains(&"sent") && !left.contains(&"silenced") && left.contains(&"held"), "{left:?}");
    let asked = good.count();
    alerts.round(now_micros()).await.unwrap();
    assert_eq!(alerts.standing().dead.len(), 0, "who reads on knows it");
    assert!(alerts.standing().pending.values().any(|m| m.key == text(&dead[0], "/key")), "it waits still");
    bad.change(|_, _| Answer::Status(200));
    let began = Instant::now();
    while !alerts.standing().pending.is_empty() || !alerts.standing().held.is_empty() {
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", alerts.standing());
        alerts.round(now_micros()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let resolved = |at: &Receiver, from: usize| {
        let requests = at.requests().split_off(from);
        let all: Vec<_> = requests.iter().filter(|r| r.accepted).map(|r| r.json()["alerts"][0].clone()).collect();
        let ends = all.iter().filter(|alert| alert["change"] == "resolved").count();
        (all.len(), ends)
    };
    assert_eq!(resolved(&good, asked), (2, 2), "the ends, and nothing again that was taken");
    assert_eq!(resolved(&bad, 0), (3, 2), "the one that was tried again, and the ends");
    // Held alerts that were carried go with their message, and do not wait again.
    assert!(retention::forget(&lake, now_micros() + 1_000_000).await.unwrap() > 0);
    assert_eq!(case.rows(&["query", "SELECT COUNT(*) AS n FROM alert_steps"])[0]["n"], 0);
    assert_eq!(case.alert()["sent"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_forgotten_but_for_the_newest_and_those_open_findings_name() {
    let mut case = Case::new("");
    case.happens("issue", 0..1, subject); // stays open
    case.happens("issue", 1..2, subject);
    case.happens("revoke", 1..2, subject);
    let detect = ["-q", "detect", "every_token", "--as-of", AS_OF];
    assert!(case.run(&detect).status.code().is_some_and(|code| code < 2));
    let names = |case: &Case| -> Vec<String> {
        let rows = case.rows(&["query", "SELECT run_id FROM detector_runs ORDER BY at"]);
        rows.iter().map(|row| text(row, "/run_id").to_owned()).collect()
    };
    let all = names(&case);
    assert_eq!(all.len(), 4);
    let lake = lake(&case).await;
    assert_eq!(runs::forget(&lake, now_micros() - 3_600_000_000).await.unwrap(), 0);
    assert_eq!(runs::forget(&lake, now_micros()).await.unwrap(), 2);
    assert_eq!(names(&case), [all[0].clone(), all[3].clone()]);
    assert_eq!(runs::forget(&lake, now_micros()).await.unwrap(), 0);
    assert!(case.run(&detect).status.code().is_some_and(|code| code < 2), "runs go on");
}

#[tokio::test(flavor = "multi_thread")]
async fn sweeping_takes_only_what_no_reader_can_need() {
    let receiver = Receiver::willing();
    let mut case = Case::new(&config(&receiver.url, "group_window_seconds = 0"));
    for n in 0..3 {
        case.happens("issue", n..n + 1, subject);
        assert_eq!(case.alert()["sent"], 1);
    }
    let lake = lake(&case).await;
    let folder = case.path("lake").join("alerts");
    let before = data_files(&folder);
    assert_eq!(tidying::tables(&lake, 2, false).await.unwrap().files_after, 3, "alerts, findings and runs");
    let (young, old) = (folder.join("part-young.parquet"), folder.join("part-old.parquet"));
    for path in [&young, &old] {
        std::fs::write(path, "cut off").unwrap();
    }
    let table = Table::open(lake.uri(), "alerts").await.unwrap().unwrap();
    let now = table.refresh().await.unwrap();
    // Replaced just now, though written long ago: somebody may be reading them.
    data_files(&folder).iter().filter(|path| **path != young).for_each(|path| age(path, 40));
    assert_eq!(plain::sweep(&table).await.unwrap(), 1);
    assert!(!old.exists() && young.exists() && before.iter().all(|path| path.exists()));
    // Entries of the log that a checkpoint stands for.
    let log = folder.join("_delta_log");
    for entry in std::fs::read_dir(&log).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "json") || path.to_string_lossy().ends_with(".checkpoint.parquet") {
            age(&path, 31);
        }
    }
    assert!(plain::sweep(&table).await.unwrap() > 3);
    assert!(!log.join(format!("{:020}.json", 0)).exists(), "the first entry is gone");
    let reopened = Table::open(lake.uri(), "alerts").await.unwrap().unwrap().refresh().await.unwrap();
    assert_eq!((reopened.files.len(), &reopened.positions), (now.files.len(), &now.positions));
    case.happens("revoke", 0..1, subject);
    assert_eq!(case.alert()["sent"], 1, "and it goes on from where it was");
}

#[test]
fn the_commands_tidy_every_table_and_refuse_to_forget_too_early() {
    let receiver = Receiver::willing();
    let mut case = Case::new(&config(&receiver.url, "group_window_seconds = 0"));
    for n in 0..3 {
        case.happens("issue", n..n + 1, subject);
        case.alert();
        case.rows(&["query", "SELECT 1 AS one"]);
    }
    assert!(case.run(&["maintain", "compact"]).status.success());
    for name in ["alerts", "findings", "detector_runs", "query_log"] {
        let checkpoint = case.path("lake").join(name).join("_delta_log/_last_checkpoint");
        assert!(checkpoint.exists(), "{name} was not tidied");
    }
    assert_eq!(case.rows(&["alert", "list", "--state", "sent"]).len(), 3);
    for (option, least) in [("--alerts-days", "at least 5"), ("--runs-days", "at least 59")] {
        let refused = case.run(&["maintain", "forget", option, "2"]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(least), "{said}");
    }
    assert_eq!(case.rows(&["maintain", "forget"]), [json!({ "alerts": 0, "runs": 0 })]);
    assert_eq!(Maintain::default().keep_alerts_days, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_tidies_what_alerts_leave_behind() {
    let case = Case::new(
        "[lake]\nuri = \"lake\"\n[maintain]\nevery_seconds = 1\n[telemetry]\non = false\n[detect]\non = false\n[ingest]\non = false\n",
    );
    let lake = case.lake.open().await;
    let silences = Silences::new(&lake, &Config::default());
    let until = now_micros() + 3_600_000_000;
    for n in 0..plain::FILES_MIN {
        let silence = Silence::new("cy", &format!("reason {n}"), "*", BTreeMap::new(), until);
        silences.add(&silence, now_micros()).await.unwrap();
    }
    let table = Table::open(lake.uri(), "alert_silences").await.unwrap().unwrap();
    assert_eq!(table.refresh().await.unwrap().files.len(), plain::FILES_MIN);
    let file = case.path("tokentrail.toml");
    let mut service = crate::harness::program();
    service.args(["serve", "--config", file.to_str().unwrap()]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut service = service.spawn().unwrap();
    let began = Instant::now();
    while table.refresh().await.unwrap().files.len() > 1 {
        assert!(
            began.elapsed() < Duration::from_secs(20) && service.try_wait().unwrap().is_none(),
            "nothing is merged"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    service.kill().unwrap();
    service.wait().unwrap();
    assert_eq!(case.rows(&["alert", "silence", "list"]).len(), plain::FILES_MIN, "and none is lost");
}
