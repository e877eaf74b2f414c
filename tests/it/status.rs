//! `tokentrail status` on real lakes: empty, never judged, judged, and with something to look after.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{TempLake, ingest_files, program, tokentrail};

const DAY: i64 = 86_400_000_000;
/// 2026-10-01T12:00:00Z
const NOON: i64 = 1_790_856_000_000_000;

fn at(days: i64) -> String {
    tokentrail::event::time::format(NOON + days * DAY)
}

fn status(lake: &TempLake, arguments: &[&str]) -> String {
    let mut command = program();
    command.env("TZ", "America/New_York").args(["--lake", &lake.uri(), "status"]);
    let output = command.args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn report(lake: &TempLake, arguments: &[&str]) -> Value {
    serde_json::from_str(&status(lake, &[&["-o", "json"], arguments].concat())).unwrap()
}

fn hands(report: &Value) -> Vec<String> {
    report["needs_a_hand"].as_array().unwrap().iter().map(|h| h["what"].as_str().unwrap().to_owned()).collect()
}

/// A lake with a daily offboarding feed for ten days, a grant of somebody who left, and a line that is no record.
fn lake() -> TempLake {
    let lake = TempLake::new();
    let mut lines: Vec<String> = (0..10)
        .map(|day| {
            json!({ "event_id": format!("off-{day}"), "event_time": at(day), "action": "offboard", "source": "hr",
                    "subject": { "id": format!("leaver-{day}@example.com") } })
            .to_string()
        })
        .collect();
    let grant = json!({ "id": "tk-1", "family": "fm-1", "kind": "refresh" });
    for (name, day, action) in [("a", -1, "issue"), ("b", 2, "refresh")] {
        let event = json!({ "event_id": name, "event_time": at(day), "action": action, "token": grant,
            "subject": { "id": "leaver-0@example.com", "kind": "human" }, "client": { "id": "gh" } });
        lines.push(event.to_string());
    }
    lines.push("this is no record".to_owned());
    let file = lake.path("feed.ndjson");
    fs::write(&file, lines.join("\n") + "\n").unwrap();
    ingest_files(&lake, &[&file]);
    lake
}

#[tokio::test]
async fn an_empty_lake_and_one_that_was_never_judged() {
    let empty = TempLake::new();
    empty.open().await;
    let screen = status(&empty, &[]);
    assert!(screen.contains("tokentrail ingest") && screen.contains("nothing needs a hand"), "{screen}");
    assert_eq!(report(&empty, &[])["sources"], json!([]));

    let lake = lake();
    let report = report(&lake, &["--as-of", &at(10)]);
    assert_eq!((&report["runs"], &report["open"]["high"]["older"]), (&json!([]), &json!(0)));
    assert!(hands(&report).contains(&"no detector has ever run over this lake".to_owned()), "{report:#}");
}

#[test]
fn the_screen_of_a_lake_that_was_judged() {
    let lake = lake();
    let as_of = at(10);
    let run = tokentrail(&["--lake", &lake.uri(), "-q", "detect", "--as-of", &as_of]);
    assert_eq!(run.status.code(), Some(1), "{}", String::from_utf8_lossy(&run.stderr));
    let quiet = report(&lake, &["--as-of", &as_of, "--local"]);
    let source = &quiet["sources"][0];
    assert_eq!(
        (&source["events"], &source["rejected"], &source["read"]),
        (&json!(12), &json!(1), &json!(13)),
        "{source:#}"
    );
    assert_eq!(source["last_event_at"], "2026-10-10T08:00:00-04:00");
    assert_eq!(source["lag_seconds"], 86_400);
    assert_eq!(quiet["feeds"][0]["is_stale"], false);
    assert_eq!(quiet["feeds"][0]["usual_seconds"], 129_600);
    assert!(
        quiet["open"]["high"]["30 days"].as_u64().unwrap() + quiet["open"]["critical"]["30 days"].as_u64().unwrap() > 0,
        "{quiet:#}"
    );
    assert_eq!(quiet["runs"][0]["failed"], json!([]));
    assert!(hands(&quiet).iter().any(|hand| hand.contains("no logout event was ever read")), "{quiet:#}");

    // Later the feed is silent for longer than it ever was, and the exception is about to end.
    let policy = lake.path("policy.toml");
    let text = "[[exception]]\ndetector = \"shared_host_reuse\"\nmatch = { host_id = \"h\" }\nreason = \"lab\"\n\
                owner = \"kim\"\nuntil = \"2026-10-20\"\n";
    fs::write(&policy, text).unwrap();
    let policy = ["--policy", policy.to_str().unwrap(), "--as-of", &at(12)];
    let later = hands(&report(&lake, &policy));
    assert!(later.iter().any(|hand| hand.starts_with("no offboarding feed from hr for 3 days")), "{later:?}");
    assert!(
        later.iter().any(|hand| hand.contains("exception for shared_host_reuse (kim) ends in 6 days")),
        "{later:?}"
    );

    let screen = status(&lake, &policy);
    assert!(screen.lines().count() <= 40 && screen.lines().all(|line| line.chars().count() <= 100), "{screen}");
    assert!(screen.contains("STALE") && screen.contains("+00:00") && !screen.contains('\u{1b}'), "{screen}");
}

#[test]
fn a_detector_that_failed_needs_a_hand() {
    let lake = lake();
    let queries = lake.path("queries");
    fs::create_dir(&queries).unwrap();
    let slow = include_str!("../../src/cli/scaffold/detector.sql")
        .replace("every    =", "timeout  = \"1ms\"\nevery    =")
        .replace("nominate =", "# nominate =");
    fs::write(queries.join("slow.sql"), slow).unwrap();
    let uri = lake.uri();
    let run = tokentrail(&["--lake", &uri, "-q", "--queries", queries.to_str().unwrap(), "detect", "--as-of", &at(10)]);
    assert_eq!(run.status.code(), Some(2), "{}", String::from_utf8_lossy(&run.stderr));
    let report = report(&lake, &["--as-of", &at(10), "--queries", queries.to_str().unwrap()]);
    assert!(hands(&report).iter().any(|hand| hand.starts_with("detector slow failed")), "{report:#}");
    assert_eq!(report["needs_a_hand"][0]["look"], "tokentrail detect slow");
}
