//! The program as its users meet it: files that are read again, that grow, that come by standard input.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::harness::{TempLake, ingest_files, record, rows, tokentrail};

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
    let mut child = Command::new(env!("CARGO_BIN_EXE_tokentrail"))
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
    let mut child = Command::new(env!("CARGO_BIN_EXE_tokentrail"))
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
