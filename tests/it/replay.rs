//! Rejected records become events once a mapping can read them: each once, and nothing that was judged before changes.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::harness::{TempLake, ingest_files, program, tokentrail};

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-data/mappings").join(name)
}

fn run(lake: &TempLake, arguments: &[&str]) -> Output {
    let output = tokentrail(&[&["--lake", &lake.uri(), "-o", "ndjson"], arguments].concat());
    assert!(output.status.code().is_some_and(|code| code < 2), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn count(lake: &TempLake, table: &str) -> u64 {
    let output = run(lake, &["query", &format!("SELECT COUNT(*) AS n FROM {table}")]);
    serde_json::from_slice::<Value>(&output.stdout).unwrap()["n"].as_u64().unwrap()
}

/// A lake of records that nobody could read, two of them in broken JSON, and how many there are.
fn unread() -> (TempLake, u64) {
    let lake = TempLake::new();
    let file = lake.path("api.ndjson");
    let lines = std::fs::read_to_string(sample("custom-api.ndjson")).unwrap();
    let good: Vec<&str> =
        lines.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok_and(|v| v.is_object())).collect();
    std::fs::write(&file, format!("{}\n{{\"cut\":\n{{\"off\n", good.join("\n"))).unwrap();
    let done = ingest_files(&lake, &[&file]);
    assert_eq!(done["events"], 0, "{done}");
    (lake, good.len() as u64 + 2)
}

const REPLAY: [&str; 3] = ["maintain", "replay-rejected", "--mapping"];

#[test]
fn a_mapping_reads_what_was_rejected_once() {
    let (lake, all) = unread();
    assert_eq!(count(&lake, "rejected"), all);
    let mapping = sample("custom-api.toml");
    let replay = [&REPLAY[..], &[mapping.to_str().unwrap()]].concat();
    let none = run(&lake, &[&replay[..], &["--reason", "no such reason"]].concat());
    assert_eq!(serde_json::from_slice::<Value>(&none.stdout).unwrap()["decoded"], 0);
    let first: Value = serde_json::from_slice(&run(&lake, &replay).stdout).unwrap();
    let decoded = first["decoded"].as_u64().unwrap();
    assert!(decoded >= 8 && first["rejected"] == all, "{first}");
    assert_eq!(count(&lake, "rejected"), all - decoded);
    assert_eq!(count(&lake, "events"), all - decoded + first["events"].as_u64().unwrap());
    let fresh = TempLake::new();
    let ingest = ["ingest", "--mapping", mapping.to_str().unwrap(), "--from"];
    run(&fresh, &[&ingest[..], &[lake.path("api.ndjson").to_str().unwrap()]].concat());
    let what = "SELECT * EXCLUDE (topic, \"partition\", \"offset\", received_at) FROM events WHERE class <> 'rejected' ORDER BY event_id, action";
    assert_eq!(run(&lake, &["query", what]).stdout, run(&fresh, &["query", what]).stdout);
    let again: Value = serde_json::from_slice(&run(&lake, &replay).stdout).unwrap();
    assert_eq!((&again["decoded"], &again["events"]), (&0.into(), &0.into()));
}

#[test]
fn replays_at_once_and_compaction_beside_them_make_each_event_once() {
    let (lake, all) = unread();
    let (uri, mapping) = (lake.uri(), sample("custom-api.toml"));
    let started = |arguments: &[&str]| {
        let mut program = program();
        program.args([&["--lake", &uri, "-q"], arguments].concat()).stdout(std::process::Stdio::null()).spawn().unwrap()
    };
    let replay = [&REPLAY[..], &[mapping.to_str().unwrap()]].concat();
    let mut running: Vec<_> = (0..3).map(|_| started(&replay)).collect();
    running.push(started(&["maintain", "compact"]));
    for child in &mut running {
        assert!(child.wait().unwrap().success());
    }
    let rejected = count(&lake, "rejected");
    assert!(rejected < all);
    let twice = "(SELECT record_hash FROM events GROUP BY record_hash, record_index, action HAVING COUNT(*) > 1)";
    assert_eq!(count(&lake, twice), 0);
}

#[test]
fn a_run_of_before_is_repeated_without_what_was_replayed() {
    let (lake, _) = unread();
    run(&lake, &["detect", "--as-of", "2026-11-20T00:00:00Z"]);
    let id = run(&lake, &["query", "SELECT run_id FROM detector_runs"]).stdout;
    let id = serde_json::from_slice::<Value>(&id).unwrap()["run_id"].as_str().unwrap().to_owned();
    let mapping = sample("custom-api.toml");
    run(&lake, &[&REPLAY[..], &[mapping.to_str().unwrap()]].concat());
    assert!(count(&lake, "token_events") > 0);
    let repeated = tokentrail(&["--lake", &lake.uri(), "detect", "--run", &id]);
    assert!(repeated.status.success(), "{}", String::from_utf8_lossy(&repeated.stderr));
}
