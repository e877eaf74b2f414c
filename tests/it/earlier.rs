//! Lakes that earlier releases wrote: this one must read them, judge them alike, and write on.

use std::process::Command;

use crate::harness::{TempLake, ingest_files, record, tokentrail};

const ARCHIVES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lakes");

/// The lake of a release, unpacked into a folder that goes away.
fn lake_of(release: &str) -> TempLake {
    let temp = TempLake::new();
    let archive = format!("{ARCHIVES}/{release}.tar.gz");
    let root = temp.path("").display().to_string();
    let unpacked = Command::new("tar").args(["-xzf", &archive, "-C", &root]).status().unwrap();
    assert!(unpacked.success(), "{archive} cannot be unpacked");
    temp
}

fn lines(output: std::process::Output, code: i32) -> Vec<serde_json::Value> {
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_lake_of_0_1_is_read_judged_and_written_on() {
    let temp = lake_of("v0.1");
    let uri = temp.uri();
    let run = |arguments: &[&str]| tokentrail(&[&["--lake", &uri, "-o", "ndjson"], arguments].concat());
    let count = "SELECT class, count(*) AS n FROM events GROUP BY 1 ORDER BY 1";
    let counted = |output| -> Vec<(String, i64)> {
        let of = |row: &serde_json::Value| (row["class"].as_str().unwrap().to_owned(), row["n"].as_i64().unwrap());
        lines(output, 0).iter().map(of).collect()
    };
    let stored = |token| [("context".to_owned(), 2), ("rejected".to_owned(), 1), ("token".to_owned(), token)];
    assert_eq!(counted(run(&["query", count])), stored(32));
    // An earlier version of the lake, from before the compaction.
    assert_eq!(counted(run(&["query", "--at", "2", count])), stored(32));

    let listed = || lines(run(&["findings", "list", "--state", "all"]), 0);
    let before = listed();
    assert_eq!(before.len(), 5);
    // Judged again, and from nothing: all of it is known already.
    for extra in [&[][..], &["--full"]] {
        let judged = run(&[&["-q", "detect", "--as-of", "2026-11-01T00:00:00Z"], extra].concat());
        assert_eq!(lines(judged, 1).len(), 5);
        assert_eq!(listed(), before, "{extra:?}");
    }

    // It goes on: new records, repeats of old ones known as such, and a key that fits.
    let more = temp.path("more.ndjson");
    std::fs::write(&more, [record(1), b"\n".to_vec(), record(2), b"\n".to_vec()].concat()).unwrap();
    assert_eq!(ingest_files(&temp, &[&more])["events"], serde_json::json!(2));
    assert_eq!(counted(run(&["query", count])), stored(34));
    assert!(run(&["maintain", "compact"]).status.success());
    assert_eq!(counted(run(&["query", count])), stored(34));
    let status = lines(run(&["status"]), 0).remove(0);
    assert_eq!(status["positions"]["file:/srv/tokentrail/audit.ndjson/0"], 18, "{status}");
}
