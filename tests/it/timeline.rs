//! `tokentrail timeline` on real lakes: what it says of a grant with an offboarding, a loss and findings, that it finds
//! the same rows as a query however files lie, and what it says of ids that are not there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::harness::{TempLake, ingest_files, program, tokentrail};

/// A record about Mallory's laptop: minutes after 2026-09-01T08:00:00Z, and what differs.
fn record(minutes: i64, action: &str, more: &Value) -> String {
    let at = tokentrail::event::time::format(1_788_249_600_000_000 + minutes * 60_000_000);
    let mut record = json!({ "event_id": format!("e{minutes}-{action}"), "event_time": at, "action": action });
    if ["issue", "refresh", "use", "revoke"].contains(&action) {
        let token = json!({ "id": format!("tk-{minutes}"), "family": "fm-mallory", "kind": "refresh" });
        let rest = json!({ "token": token, "subject": { "id": "mallory@example.com", "kind": "human" },
            "client": { "id": "gh", "kind": "cli" }, "device": { "id": "lap-7" }, "host": { "id": "lap-7", "os_user": "mal" },
            "network": { "ip": "192.0.2.7", "country": "DE" } });
        record.as_object_mut().unwrap().extend(rest.as_object().cloned().unwrap());
    }
    record.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    record.to_string()
}

const DAY: i64 = 24 * 60;

/// A grant that is refreshed hourly, outlives its owner's employment and its device, and is then revoked.
fn story() -> Vec<String> {
    let mut records = vec![record(0, "issue", &json!({}))];
    records.extend((1..=40).map(|hour| record(hour * 60, "refresh", &json!({}))));
    records.push(record(3 * DAY, "offboard", &json!({ "subject": { "id": "mallory@example.com" } })));
    records.push(record(3 * DAY + 30, "device_lost", &json!({ "device": { "id": "lap-7" } })));
    let abroad = json!({ "network": { "ip": "198.51.100.9", "country": "BR" } });
    records.push(record(5 * DAY, "refresh", &abroad));
    records.push(record(5 * DAY + 1, "use", &json!({ "network": { "ip": "198.51.100.9" }, "outcome": "failure" })));
    records.push(record(22 * DAY, "refresh", &abroad));
    records.push(record(22 * DAY + 60, "revoke", &json!({})));
    // Somebody else's, and a token that is met without its family.
    records.push(record(
        DAY,
        "use",
        &json!({ "event_id": "other", "token": { "id": "tk-x", "family": "fm-x", "kind": "pat" },
        "subject": { "id": "eve@example.com" }, "device": { "id": "lap-8" }, "host": { "id": "lap-8" } }),
    ));
    records.push(record(61, "use", &json!({ "event_id": "lone", "token": { "id": "tk-60", "kind": "refresh" } })));
    records
}

fn lake(records: &[String]) -> TempLake {
    let lake = TempLake::new();
    ingest(&lake, "a.ndjson", records);
    lake
}

fn ingest(lake: &TempLake, name: &str, records: &[String]) {
    let file = lake.path(name);
    fs::write(&file, records.join("\n") + "\n").unwrap();
    ingest_files(lake, &[&file]);
}

fn timeline(lake: &TempLake, zone: &str, arguments: &[&str]) -> Output {
    let mut command = program();
    command.env("TZ", zone).args(["--lake", &lake.uri()]);
    command.args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// With UPDATE_SNAPSHOTS=1 in the environment the snapshot is written anew, to be reviewed as a diff.
fn assert_snapshot(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots/timeline").join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, found).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{} differs; found:\n{found}", path.display());
}

#[test]
fn a_grant_with_an_offboarding_a_loss_and_findings() {
    let lake = lake(&story());
    let uri = lake.uri();
    let as_of = "2026-10-01T00:00:00Z";
    let detect = tokentrail(&["--lake", &uri, "-q", "detect", "--as-of", as_of]);
    assert!(matches!(detect.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&detect.stderr));
    let of = ["timeline", "--grant", "fm-mallory", "--as-of", as_of];
    let text = said(&timeline(&lake, "Europe/Berlin", &[&of[..], &["--local", "--width", "110"]].concat()));
    assert_snapshot("grant.txt", &text);
    assert!(!text.contains('\u{1b}'), "colours where nobody sees them");
    let subject = ["timeline", "--subject", "mallory@example.com", "--as-of", as_of, "--width", "110"];
    assert_snapshot("subject.txt", &said(&timeline(&lake, "Europe/Berlin", &subject)));
    let device = ["timeline", "--device", "lap-7", "--as-of", as_of, "--from", "2026-09-03T00:00:00Z", "--width", "90"];
    assert_snapshot("device.txt", &said(&timeline(&lake, "UTC", &device)));

    // JSON holds what the lines fold, and every time in it has the offset that was asked for.
    let whole = said(&timeline(&lake, "Asia/Kolkata", &[&["-o", "json"], &of[..], &["--local"]].concat()));
    let whole: Value = serde_json::from_str(&whole).unwrap();
    let entries = whole["entries"].as_array().unwrap();
    assert!(entries.iter().all(|entry| entry["at"].as_str().unwrap().ends_with("+05:30")));
    let kinds = |kind: &str| entries.iter().filter(|entry| entry["kind"] == kind).count();
    assert_eq!((kinds("event"), kinds("context")), (46, 2));
    let detectors: BTreeSet<_> = entries.iter().filter_map(|entry| entry["details"]["detector"].as_str()).collect();
    assert!(
        detectors.contains("refresh_after_offboarding") && detectors.contains("unrevoked_lost_device"),
        "{detectors:?}"
    );
    assert_eq!(whole["grants"][0]["ended_by"], "revoked");
    // A line each, the same ones.
    let lines = said(&timeline(&lake, "Asia/Kolkata", &[&["-o", "ndjson"], &of[..], &["--local"]].concat()));
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(&lines, entries);
}

/// Ids of the events that a timeline shows.
fn ids(lake: &TempLake, arguments: &[&str]) -> BTreeSet<String> {
    let lines = said(&timeline(lake, "UTC", &[&["-o", "ndjson", "timeline"], arguments].concat()));
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .filter(|entry| entry["kind"] == "event")
        .map(|e| e["details"]["event_id"].as_str().unwrap().to_owned())
        .collect()
}

/// The same by SQL.
fn by_query(lake: &TempLake, condition: &str) -> BTreeSet<String> {
    let sql = format!("SELECT event_id FROM token_events WHERE {condition}");
    let lines = said(&timeline(lake, "UTC", &["-o", "ndjson", "query", &sql]));
    lines.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["event_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn it_finds_what_a_query_finds_before_and_after_compaction() {
    let records = story();
    let lake = lake(&records[..20]);
    let check = |when: &str| {
        for (flag, id, condition) in [
            ("--grant", "fm-mallory", "grant_id = 'fm-mallory'"),
            ("--subject", "mallory@example.com", "subject_id = 'mallory@example.com'"),
            ("--device", "lap-7", "device_id = 'lap-7'"),
            ("--host", "lap-7", "host_id = 'lap-7'"),
            ("--token", "tk-60", "token_id = 'tk-60'"),
        ] {
            let expected = by_query(&lake, condition);
            assert!(!expected.is_empty());
            assert_eq!(ids(&lake, &[flag, id]), expected, "{when}: {flag}");
        }
    };
    check("one file");
    for (number, part) in records[20..].chunks(7).enumerate() {
        ingest(&lake, &format!("{number}.ndjson"), part);
    }
    check("many files");
    let compacted = tokentrail(&["--lake", &lake.uri(), "maintain", "compact"]);
    assert!(compacted.status.success());
    check("compacted");
    // The list of places may be lost or broken: it is made again.
    let list = Path::new(&lake.uri()).join("folds/lookup/filters");
    assert!(list.is_file());
    fs::write(&list, "filters of another kind").unwrap();
    check("a broken list");
    fs::remove_file(&list).unwrap();
    check("no list");
    assert_eq!(ids(&lake, &["--grant", "fm-mallory", "--at", "1"]).len(), 20);
    let days = ["--subject", "mallory@example.com", "--from", "2026-09-01T10:00:00Z", "--to", "2026-09-01T12:00:00Z"];
    assert_eq!(ids(&lake, &days), ["e120-refresh", "e180-refresh"].map(str::to_owned).into());
}

#[test]
fn copies_of_filters_that_are_broken_or_of_another_lake_change_no_answer() {
    let of = |day: i64| json!({ "token": { "id": format!("tk-{day}"), "family": format!("fm-{}", day % 7), "kind": "pat" } });
    let lake = lake(&(0..150).map(|day| record(-day * DAY, "use", &of(day))).collect::<Vec<_>>());
    let expected: BTreeSet<String> = (0..150).filter(|d| d % 7 == 3).map(|d| format!("e{}-use", -d * DAY)).collect();
    let folder = Path::new(&lake.uri()).join("folds/lookup");
    let check = |when: &str| {
        assert_eq!(ids(&lake, &["--grant", "fm-3"]), expected, "{when}");
        assert_eq!(ids(&lake, &["--token", "tk-140"]).len(), 1, "{when}");
        let books = books(&folder);
        assert_eq!(books.len(), 1, "{books:?}");
        books[0].clone()
    };
    let book = check("fresh");
    let whole = fs::read(&book).unwrap();
    let mut turned = whole.clone();
    turned.reverse();
    // Each filter is good, but where another file's should be.
    let mut moved = whole.clone();
    moved.rotate_left(whole.len() / 3 / 36 * 36);
    for (when, bytes) in
        [("cut", &whole[..whole.len() / 2]), ("turned", &turned[..]), ("moved", &moved[..]), ("empty", &[])]
    {
        fs::write(&book, bytes).unwrap();
        check(when);
    }
    fs::remove_file(&book).unwrap();
    assert_eq!(ids(&lake, &["--grant", "fm-3"]), expected, "away");
    // Whoever brings the list up to date makes them again.
    ingest(&lake, "more.ndjson", &[record(9, "use", &of(3))]);
    assert_eq!(ids(&lake, &["--grant", "fm-3"]).len(), expected.len() + 1);
    let again = books(&folder);
    assert!(again.len() == 1 && again[0] != book, "{again:?}");
}

/// The files of copies.
fn books(folder: &Path) -> Vec<std::path::PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.to_string_lossy().contains("copies-")).collect()
}

#[test]
fn ids_that_are_not_there_lead_further() {
    let lake = lake(&story());
    let fails = |arguments: &[&str], expected: &[&str]| {
        let output = timeline(&lake, "UTC", &[&["timeline"], arguments].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(output.stdout.is_empty());
        expected.iter().for_each(|part| assert!(error.contains(part), "{error}"));
    };
    fails(&["--grant", "nobody's"], &["no event has grant_id \"nobody's\"", "token, grant, subject, device and host"]);
    fails(&["--grant", "mallory@example.com"], &["otherwise", "timeline --subject mallory@example.com"]);
    fails(&["--subject", "lap-7"], &["timeline --device lap-7", "timeline --host lap-7"]);
    fails(&["--host", "lap-7", "--from", "2027-01-01T00:00:00Z"], &["has events, but none within --from and --to"]);
    fails(&["--host", "lap-7", "--from", "2026-01-02T00:00:00Z", "--to", "2026-01-01T00:00:00Z"], &["not before --to"]);
    fails(&["--host", "lap-7", "--at", "99"], &["no version 99"]);
    fails(&[], &["--grant"]);
    fails(&["--grant", "a", "--host", "b"], &["cannot be used with"]);
    fails(&["--grant", "a", "--utc", "--local"], &["cannot be used with"]);
    fails(&["--grant", "a", "--from", "yesterday"], &["RFC 3339"]);
}

#[test]
fn people_are_followed_under_all_their_names() {
    let also = json!({ "event_id": "alias", "subject": { "id": "mal" }, "token": { "id": "tk-y", "family": "fm-y" } });
    let lake = lake(&[record(0, "issue", &json!({})), record(1, "use", &also)]);
    let people = lake.path("people.csv");
    fs::write(&people, "alias,subject_id\nmal,mallory@example.com\n").unwrap();
    for name in ["mal", "mallory@example.com"] {
        let found = ids(&lake, &["--subject", name, "--identities", people.to_str().unwrap()]);
        assert_eq!(found, ["alias", "e0-issue"].map(str::to_owned).into(), "{name}");
    }
}
