//! The program as its users meet it: files that are read again, that grow, that come by standard input.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::harness::{TempLake, ingest_files, program, record, rows, tokentrail};

fn lines(range: std::ops::Range<u64>) -> Vec<u8> {
    range.flat_map(|n| [record(n), b"\n".to_vec()].concat()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_read_once_and_its_new_lines_when_it_grows() {
    let temp = TempLake::new();
    let path = temp.path("log.ndjson");
    let mut text = lines(0..100);
    text.pop(); // the last line is not ended yet
    std::fs::write(&path, &text).unwrap();
    assert_eq!(ingest_files(&temp, &[&path])["events"], json!(100));
    assert_eq!(ingest_files(&temp, &[&path])["records"], json!(0));
    std::fs::write(&path, lines(0..150)).unwrap();
    assert_eq!(ingest_files(&temp, &[&path])["events"], json!(50));
    // A rotated log: another file under the same name, whose repeats are told by their ids only in the views.
    std::fs::write(&path, lines(200..210)).unwrap();
    assert_eq!(ingest_files(&temp, &[&path])["events"], json!(10));
    let rows = rows(&temp.open().await).await;
    assert_eq!(rows.len(), 160);
    assert_eq!(rows.iter().map(|r| r.partition).max(), Some(1), "the rotated log is a generation of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_input_folders_and_repeats() {
    let temp = TempLake::new();
    let folder = temp.path("logs");
    std::fs::create_dir_all(folder.join("deep")).unwrap();
    std::fs::write(folder.join("a.ndjson"), lines(0..10)).unwrap();
    std::fs::write(folder.join("deep/b.jsonl"), [lines(5..20), lines(5..20)].concat()).unwrap();
    std::fs::write(folder.join("notes.txt"), "not a log").unwrap();
    let summary = ingest_files(&temp, &[&folder]);
    assert_eq!((&summary["records"], &summary["events"], &summary["duplicates"]), (&json!(40), &json!(20), &json!(20)));
    let mut child = program()
        .args(["--lake", &temp.uri(), "-o", "json", "ingest", "--from", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&lines(20..30)).unwrap();
    let output = child.wait_with_output().unwrap();
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["events"], json!(10));
    assert_eq!(rows(&temp.open().await).await.len(), 30);
}

#[test]
fn a_signal_commits_what_is_held() {
    let temp = TempLake::new();
    let uri = temp.uri();
    let mut child = program()
        .args(["--lake", &uri, "-o", "json", "ingest", "--commit-ms", "600000", "--from", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&lines(0..25)).unwrap();
    input.flush().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    drop(input);
    assert_eq!(output.status.code(), Some(0));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["events"], json!(25));
}

#[test]
fn other_readers_count_the_same_rows() {
    let Ok(python) = std::env::var("TOKENTRAIL_PYTHON") else {
        eprintln!("not tested: TOKENTRAIL_PYTHON names no Python with deltalake and duckdb; `make test` sets it");
        return;
    };
    let temp = TempLake::new();
    let path = temp.path("log.ndjson");
    std::fs::write(&path, [lines(0..5000), b"broken\n".to_vec()].concat()).unwrap();
    ingest_files(&temp, &[&path]);
    std::fs::write(&path, [lines(0..5000), b"broken\n".to_vec(), lines(5000..9000)].concat()).unwrap();
    ingest_files(&temp, &[&path]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/count_rows.py");
    for compacted in [false, true] {
        if compacted {
            let output = tokentrail(&["--lake", &temp.uri(), "maintain", "compact"]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        let output = Command::new(&python).arg(script).arg(format!("{}/events", temp.uri())).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let counts: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&counts["deltalake"], &counts["duckdb"]), (&json!(9001), &json!(9001)), "compacted: {compacted}");
        assert_eq!(counts["by_class"]["rejected"], json!(1));
    }
}

/// A lake with the sample data in it, judged once.
fn judged(temp: &TempLake) -> String {
    let sample = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-data/quickstart.ndjson");
    ingest_files(temp, &[&sample]);
    let uri = temp.uri();
    let output = tokentrail(&["--lake", &uri, "-q", "detect", "--as-of", "2026-11-01T00:00:00Z"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    uri
}

fn said(output: std::process::Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[test]
fn what_people_decide_about_findings_is_kept_and_shown() {
    let temp = TempLake::new();
    let uri = judged(&temp);
    let lake = ["--lake", uri.as_str()];
    let run = |arguments: &[&str]| said(tokentrail(&[&lake, arguments].concat()));
    let by = ["--owner", "sam", "--reason", "with the helpdesk"];
    assert_eq!(run(&[&["findings", "ack", "b9b9d43a"], &by[..]].concat()).0, Some(0));
    let far = ["findings", "suppress", "69ee32b1", "--until", "2099-01-01T00:00:00Z"];
    assert_eq!(run(&[&far, &by[..]].concat()).0, Some(0));
    assert_eq!(run(&[&["findings", "note", "2674f1fd"], &by[..]].concat()).0, Some(0));
    // Another run leaves what was decided as it is.
    run(&["-q", "detect", "--as-of", "2026-11-02T00:00:00Z"]);
    let (_, shown) = run(&["findings", "show", "b9b9d43a"]);
    assert!(shown.contains("with the helpdesk") && shown.contains("acked"), "{shown}");
    assert!(
        run(&["-o", "ndjson", "findings", "list", "--state", "suppressed"]).1.contains("refresh_after_offboarding")
    );
    assert!(run(&["-o", "ndjson", "findings", "list", "--state", "open"]).1.contains("2674f1fd"));
    let over = ["findings", "suppress", "2674f1fd", "--until", "2020-01-01T00:00:00Z"];
    assert!(run(&[&over, &by[..]].concat()).1.contains("is over already"));
    assert!(run(&[&["findings", "ack", "ea95e68a"], &by[..]].concat()).1.contains("only open ones"));
    assert!(run(&["findings", "note", "2674f1fd", "--owner", "", "--reason", "x"]).1.contains("must say something"));
}

#[test]
fn policies_are_checked_explained_and_compared_before_they_bite() {
    let temp = TempLake::new();
    let uri = judged(&temp);
    let run = |arguments: &[&str]| said(tokentrail(&[&["--lake", uri.as_str()], arguments].concat()));
    let new = temp.path("new.toml");
    std::fs::write(&new, "[[rule]]\nmatch = { client_id = \"gh\" }\noffboarding_grace = \"60d\"\n").unwrap();
    let new = new.to_str().unwrap();
    let (code, checked) = run(&["policy", "check", new]);
    assert_eq!(code, Some(0), "{checked}");
    let explain = ["--policy", new, "-o", "ndjson", "policy", "explain", "--grant", "fm-mallory-gh"];
    let (_, explained) = run(&[&explain[..], &["--as-of", "2026-11-01T00:00:00Z"]].concat());
    let grace = explained.lines().find(|line| line.contains("offboarding_grace")).unwrap();
    assert!(grace.contains("60d") && !grace.contains("\"default\""), "{grace}");
    let (_, compared) = run(&["-o", "ndjson", "policy", "diff", new, "--as-of", "2026-11-01T00:00:00Z"]);
    let closes = compared.lines().filter(|line| line.contains("\"closes\"")).collect::<Vec<_>>();
    assert_eq!(closes.len(), compared.lines().count(), "{compared}");
    assert!(
        closes.iter().any(|l| l.contains("refresh_after_offboarding") && l.contains("fm-mallory-gh")),
        "{compared}"
    );
    let (code, all) = run(&["-o", "ndjson", "findings", "list", "--state", "all"]);
    assert!(code == Some(0) && all.contains("69ee32b1"), "a comparison records nothing");
    std::fs::write(new, "[defaults]\nmax_agee = \"3d\"\n").unwrap();
    assert!(run(&["policy", "check", new]).1.contains("max_age"));
}
