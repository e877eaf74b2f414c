//! Runs of the past: repeated to the row after everything about the lake has changed, or refused in words.

use std::path::Path;
use std::process::Output;

use crate::harness::{TempLake, ingest_files, tokentrail};

const AS_OF: &str = "2026-11-20T00:00:00Z";

fn story(name: &str, day: u32, folder: &TempLake) -> std::path::PathBuf {
    let line = |number: u32, action: &str, hour: u32| {
        format!(
            "{{\"event_id\":\"{name}{number}\",\"event_time\":\"2026-10-{day:02}T{hour:02}:00:00Z\",\"action\":\"{action}\",\
             \"token\":{{\"family\":\"fm-{name}\",\"kind\":\"refresh\"}},\"subject\":{{\"id\":\"{name}@example.com\"}}}}\n"
        )
    };
    let offboard = format!(
        "{{\"event_id\":\"{name}o\",\"event_time\":\"2026-10-{day:02}T09:30:00Z\",\"action\":\"offboard\",\
         \"subject\":{{\"id\":\"{name}@example.com\"}}}}\n"
    );
    let path = folder.path(&format!("{name}.ndjson"));
    std::fs::write(&path, line(1, "issue", 8) + &line(2, "refresh", 9) + &offboard + &line(3, "refresh", 10)).unwrap();
    path
}

fn run(lake: &TempLake, arguments: &[&str]) -> Output {
    let uri = lake.uri();
    tokentrail(&[&["--lake", &uri, "-o", "ndjson"], arguments].concat())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn first_run(lake: &TempLake) -> String {
    let output = run(lake, &["query", "SELECT run_id FROM detector_runs ORDER BY at LIMIT 1"]);
    let row: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    row["run_id"].as_str().unwrap().to_owned()
}

#[test]
fn a_run_is_repeated_to_the_row_after_late_data_compaction_and_lost_folds() {
    let lake = TempLake::new();
    let policy = lake.path("policy.toml");
    std::fs::write(&policy, "[[rule]]\nmatch = { subject_id = \"ana*\" }\noffboarding_grace = \"1s\"\n").unwrap();
    let policy = policy.to_str().unwrap();
    ingest_files(&lake, &[&story("ana", 10, &lake)]);
    let before = run(&lake, &["--policy", policy, "detect", "--as-of", AS_OF]);
    assert!(text(&before.stdout).contains("rule 1 (policy.toml:1)"), "{}", text(&before.stdout));
    let id = first_run(&lake);
    // Late events, another policy, other files, no folds, and no policy file any more.
    ingest_files(&lake, &[&story("bob", 5, &lake)]);
    run(&lake, &["detect", "--as-of", AS_OF]);
    run(&lake, &["maintain", "compact"]);
    std::fs::remove_dir_all(lake.path("lake/folds")).unwrap();
    std::fs::remove_file(policy).unwrap();
    let again = run(&lake, &["detect", "--run", &id[..8]]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
    assert!(text(&again.stderr).contains("The same to the row"), "{}", text(&again.stderr));
    let rows = |output: &Output| -> Vec<serde_json::Value> {
        let rows = text(&output.stdout);
        let mut rows: Vec<serde_json::Value> = rows.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        rows.iter_mut().for_each(|row| drop(row.as_object_mut().unwrap().remove("first_detected_at")));
        rows.sort_by_key(|row| row["id"].as_str().unwrap().to_owned());
        rows
    };
    assert_eq!(rows(&before), rows(&again));
    let at = run(&lake, &["detect", "--at", "1", "--as-of", AS_OF, "refresh_after_offboarding"]);
    assert_eq!(rows(&at).len(), 1, "only ana's: {}", text(&at.stdout));
    // The findings log was left alone.
    let runs = run(&lake, &["query", "SELECT COUNT(*) AS n FROM detector_runs"]);
    assert_eq!(text(&runs.stdout).trim(), "{\"n\":2}");
}

#[test]
fn a_past_that_cannot_be_had_is_an_error() {
    let lake = TempLake::new();
    ingest_files(&lake, &[&story("ana", 10, &lake)]);
    run(&lake, &["detect", "--as-of", AS_OF]);
    let refused = |arguments: &[&str], part: &str| {
        let output = run(&lake, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(text(&output.stderr).contains(part), "{arguments:?}: {}", text(&output.stderr));
    };
    refused(&["detect", "--run", "nosuchrun"], "there is no run");
    refused(&["detect", "--at", "99", "--as-of", AS_OF], "no version 99");
    let id = first_run(&lake);
    let kept = std::fs::read_dir(lake.path("lake/runs")).unwrap().next().unwrap().unwrap().path();
    let document = std::fs::read_to_string(&kept).unwrap();
    std::fs::write(&kept, document.replace("offboarded_at", "offboarded_on")).unwrap();
    refused(&["detect", "--run", &id], "was changed");
    std::fs::remove_file(&kept).unwrap();
    refused(&["detect", "--run", &id], "not in the lake any more");
}

#[test]
fn folds_come_out_of_a_rebuild_as_they_were() {
    let lake = TempLake::new();
    ingest_files(&lake, &[Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/sample-data/quickstart.ndjson"))]);
    ingest_files(&lake, &[&story("ana", 10, &lake)]);
    run(&lake, &["detect", "--as-of", AS_OF]);
    let rebuilt = run(&lake, &["maintain", "rebuild"]);
    assert_eq!(rebuilt.status.code(), Some(0), "{}", text(&rebuilt.stdout));
    let said = text(&rebuilt.stdout);
    assert!(said.lines().filter(|line| line.ends_with("as it was")).count() >= 10, "{said}");
    // A fold that was tampered with is noticed and replaced.
    let folds = lake.path("lake/folds");
    let folder = |name: &str| {
        let entries = std::fs::read_dir(&folds).unwrap().map(|e| e.unwrap().path());
        entries.into_iter().find(|p| p.file_name().unwrap().to_str().unwrap().starts_with(name)).unwrap()
    };
    let part = |folder: &Path| std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let grants = part(&folder("grants-"));
    let versions = grants.file_name().unwrap().to_str().unwrap().to_owned();
    let lake_with_one = TempLake::new();
    ingest_files(&lake_with_one, &[&story("ana", 10, &lake)]);
    run(&lake_with_one, &["detect", "--as-of", AS_OF]);
    let other = std::fs::read_dir(lake_with_one.path("lake/folds")).unwrap().map(|e| e.unwrap().path());
    let other = other.into_iter().find(|p| p.file_name().unwrap().to_str().unwrap().starts_with("grants-")).unwrap();
    std::fs::copy(part(&other), folder("grants-").join(versions)).unwrap();
    let rebuilt = run(&lake, &["maintain", "rebuild"]);
    assert_eq!(rebuilt.status.code(), Some(1), "{}", text(&rebuilt.stdout));
    assert!(text(&rebuilt.stdout).contains("NOT as it was"));
    assert_eq!(run(&lake, &["maintain", "rebuild"]).status.code(), Some(0));
}

#[test]
fn a_rebuild_forgets_what_was_kept_and_no_fold_whatever_the_lake_is_called() {
    let at = TempLake::new();
    let lake = at.path("base-1/kept_rows-2");
    let run = |arguments: &[&str]| tokentrail(&[&["-q", "--lake", lake.to_str().unwrap()], arguments].concat());
    run(&["ingest", "--from", story("ana", 10, &at).to_str().unwrap()]);
    run(&["detect", "--as-of", AS_OF]);
    let folders = || {
        let listed = std::fs::read_dir(lake.join("folds")).unwrap().map(|e| e.unwrap().path());
        let filled = listed.filter(|folder| std::fs::read_dir(folder).unwrap().next().is_some());
        let mut names: Vec<_> = filled.map(|it| it.file_name().unwrap().to_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    let (kept, folds): (Vec<_>, Vec<_>) =
        folders().into_iter().partition(|name| name.starts_with("base-") || name.starts_with("kept_rows-"));
    assert!(!kept.is_empty() && folds.iter().any(|name| name.starts_with("grants-")), "{kept:?} {folds:?}");
    assert_eq!(run(&["maintain", "rebuild"]).status.code(), Some(0));
    let left = folders();
    assert!(folds.iter().all(|fold| left.contains(fold)) && kept.iter().all(|it| !left.contains(it)), "{left:?}");
}
