//! The saved questions find what was planted.

use std::sync::LazyLock;

use crate::harness::{TempLake, tokentrail};

/// The lake of the demo: events with one leaver, two lost devices, two shared hosts.
pub static DEMO: LazyLock<TempLake> = LazyLock::new(|| {
    let lake = TempLake::new();
    let made = tokentrail(&["--lake", &lake.uri(), "demo"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    lake
});

const AS_OF: &str = "as_of=2026-11-01T00:00:00Z";

/// What each hunt is told, and a text that its answer must hold; an empty one: it has no row here.
const EXPECTED: [(&str, &[&str], &str); 21] = [
    ("activity_by_day", &[], "2026-"),
    ("address_neighbours", &["ip=203.0.113.211"], "mallory@example.com"),
    ("alive_after_compromise", &[], ""),
    ("blast_radius", &["grant=fm-mallory-gh"], "read:org repo workflow"),
    ("broad_scopes", &["scope=repo"], "fm-mallory-gh"),
    ("delegated_grants", &[], ""),
    ("dormant_grants", &[], "tk-grace-pat-0"),
    ("first_seen_addresses", &["subject=mallory@example.com", "within=3650d"], "203.0.113.211"),
    ("grants_of_device", &["device=dev-victor"], "fm-victor-claude"),
    ("leavers_with_live_grants", &[], "fm-mallory-gh"),
    ("live_grants_by_age", &[], "kubectl"),
    ("out_of_hours", &["within=3650d"], "ivan@example.com"),
    ("plaintext_storage", &[], ""),
    ("refused_refreshes", &["within=3650d"], "judy@example.com"),
    ("rejected_by_reason", &[], "teleport"),
    ("revocation_latency_by_project", &[], "atlas"),
    ("service_grants", &[], "svc-backup"),
    ("sources_last_heard", &[], "native"),
    ("subject_around_offboarding", &["subject=mallory@example.com"], "fm-mallory-gh"),
    ("token_where_is_it", &["token=tk-nobody-has"], ""),
    ("who_uses_host", &["host=jump-berlin-1"], "peggy@example.com"),
];

#[test]
fn every_hunt_runs_and_finds_what_is_there() {
    let listed = tokentrail(&["hunt", "list", "-o", "ndjson"]);
    let names: Vec<String> = String::from_utf8(listed.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["hunt"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, EXPECTED.map(|(name, ..)| name), "a hunt without an expectation, or the other way round");
    let uri = DEMO.uri();
    for (name, given, text) in EXPECTED {
        let mut arguments = vec!["--lake", &uri, "-o", "ndjson", "hunt", "run", name];
        given.iter().for_each(|pair| arguments.extend(["-p", pair]));
        let asked = tokentrail(&arguments);
        let (out, errors) = (String::from_utf8_lossy(&asked.stdout), String::from_utf8_lossy(&asked.stderr));
        assert!(asked.status.success(), "{name}: {errors}");
        assert!(if text.is_empty() { out.is_empty() } else { out.contains(text) }, "{name}: {text:?} is not in\n{out}");
    }
}

/// With UPDATE_SNAPSHOTS=1 in the environment the table is written anew, to be reviewed as a diff.
#[test]
fn the_page_about_queries_has_the_hunts_that_there_are() {
    const MARKS: [&str; 2] = ["<!-- hunts: begin -->\n", "<!-- hunts: end -->\n"];
    let listed = tokentrail(&["hunt", "list", "-o", "ndjson"]);
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let mut table = "| hunt | question | parameters |\n|---|---|---|\n".to_owned();
    for line in String::from_utf8(listed.stdout).unwrap().lines() {
        let hunt: serde_json::Value = serde_json::from_str(line).unwrap();
        let word = |key: &str| hunt[key].as_str().unwrap().to_owned();
        let params: Vec<String> = word("parameters").split_whitespace().map(|pair| format!("`{pair}`")).collect();
        table += &format!("| `{}` | {} | {} |\n", word("hunt"), word("question"), params.join(" "));
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/QUERYING.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once(MARKS[0]).unwrap();
    let (kept, after) = rest.split_once(MARKS[1]).unwrap();
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(path, [before, MARKS[0], &table, MARKS[1], after].concat()).unwrap();
        return;
    }
    assert!(kept == table, "docs/QUERYING.md is out of date; make it anew with UPDATE_SNAPSHOTS=1:\n{table}");
}

#[test]
fn what_a_hunt_is_told_is_checked() {
    let uri = DEMO.uri();
    let errors = |arguments: &[&str]| {
        let asked = tokentrail(&[&["--lake", &uri, "hunt"], arguments].concat());
        assert!(!asked.status.success(), "{arguments:?}");
        String::from_utf8(asked.stderr).unwrap()
    };
    assert!(errors(&["run", "blast_radius"]).contains("give it with -p grant=VALUE"));
    assert!(errors(&["run", "blast_radius", "-p", "grnt=x"]).contains("did you mean $grant?"));
    assert!(errors(&["run", "blast_radios"]).contains("did you mean \"blast_radius\"?"));
    let wrong = errors(&["run", "dormant_grants", "-p", "within=soon"]);
    assert!(wrong.contains("\"soon\" is not a duration"), "{wrong}");
}

#[test]
fn parameters_limits_and_formats_of_a_query() {
    let uri = DEMO.uri();
    let ask = |arguments: &[&str]| tokentrail(&[&["--lake", &uri, "query"], arguments].concat());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let sql = "SELECT COUNT(*) AS n FROM token_events WHERE subject_id = $who AND event_time < $before";
    let asked = ask(&[sql, "-p", "who=mallory@example.com", "-p", "before=2026-10-24T00:00:00Z", "-o", "csv"]);
    assert_eq!(text(&asked.stdout), "n\n17\n", "{}", text(&asked.stderr));
    for (arguments, words) in [
        (vec![sql, "-p", "who=a"], "the query asks for $before"),
        (vec![sql, "-p", "who=a", "-p", "before=noon"], "\"noon\" is not a time"),
        (vec![sql, "-p", "hwo=a", "-p", AS_OF], "no parameter $"),
        (vec!["SELECT 1/0"], "ivide by zero"),
        (vec!["SELECT * FROM token_evnts"], "token_evnts"),
        (
            vec!["SELECT COUNT(*) FROM events a, events b, events c, events d, events e", "--timeout", "1"],
            "stopped after 1 s",
        ),
    ] {
        let asked = ask(&arguments);
        assert!(
            !asked.status.success() && text(&asked.stderr).contains(words),
            "{arguments:?}: {}",
            text(&asked.stderr)
        );
    }
    let cut = ask(&["SELECT event_id FROM token_events", "--max-rows", "7", "-o", "ndjson"]);
    assert_eq!(text(&cut.stdout).lines().count(), 7);
    assert!(text(&cut.stderr).contains("first 7 rows"), "{}", text(&cut.stderr));
    let file = DEMO.path("rows.parquet");
    let written = ask(&["SELECT event_time, action FROM token_events", "--parquet", file.to_str().unwrap()]);
    assert!(written.status.success(), "{}", text(&written.stderr));
    let opened = std::fs::File::open(file).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(opened).unwrap();
    assert_eq!(reader.metadata().file_metadata().num_rows(), 260);
}

#[test]
fn every_query_is_recorded_without_its_secrets() {
    let lake = TempLake::new();
    let made = tokentrail(&["--lake", &lake.uri(), "ingest", "--from", "sample-data/quickstart.ndjson"]);
    assert!(made.status.success());
    let uri = lake.uri();
    let secret = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
    let sql = format!("SELECT token_id FROM token_events WHERE token_id = '{secret}'");
    assert!(tokentrail(&["--lake", &uri, "query", &sql]).status.success());
    assert!(!tokentrail(&["--lake", &uri, "query", "SELECT nothing FROM nowhere"]).status.success());
    let log = tokentrail(&[
        "--lake",
        &uri,
        "-o",
        "ndjson",
        "query",
        "SELECT text, rows, bytes_read, result, version FROM query_log ORDER BY at",
    ]);
    let log = String::from_utf8(log.stdout).unwrap();
    let entries: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(entries.len(), 2, "{log}");
    assert!(!log.contains(secret) && entries[0]["text"].as_str().unwrap().contains("'fp:"), "{log}");
    assert_eq!((entries[0]["result"].as_str(), entries[0]["rows"].as_i64()), (Some("ok"), Some(0)));
    assert!(entries[1]["result"].as_str().unwrap().contains("nowhere"), "{log}");
}
