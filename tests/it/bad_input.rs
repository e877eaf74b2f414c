//! What bad input gets: a row that says why, or a message that says what to do; never a panic, never half a lake.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use crate::harness::{TempLake, ingest_files, rows, tokentrail};
use crate::kafka_broker::Broker;

const GOOD: &str = r#"{"event_time":"2026-10-01T08:00:00Z","action":"refresh","token":{"id":"t","family":"f"}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_broken_record_becomes_a_row_that_names_the_field() {
    let temp = TempLake::new();
    let time = r#""event_time":"2026-10-01T08:00:00Z""#;
    let broken: Vec<(Vec<u8>, &str)> = vec![
        (b"hello".to_vec(), "not JSON"),
        (GOOD.as_bytes()[..40].to_vec(), "not JSON"),
        (b"{\"event_time\":\"2026-10-01T08:00:00Z\",\"action\":\"us\xff\"}".to_vec(), "not UTF-8"),
        (format!("{{{time},\"action\":\"use\",\"session\":\"a\0b\"}}").into_bytes(), "session"),
        (format!("{{{time},\"action\":\"use\",\"pad\":\"{}\"}}", "x".repeat(50 << 20)).into_bytes(), "record of 52428"),
        (
            format!("{{{time},\"action\":\"use\",\"deep\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000))
                .into_bytes(),
            "deep: nested deeper",
        ),
        (format!("{{{time},\"action\":\"use\",\"action\":\"refresh\"}}").into_bytes(), "duplicate field `action`"),
        (format!("{{{time},\"action\":\"use\",\"token\":{{\"id\":[1]}}}}").into_bytes(), "token.id: invalid type"),
        (format!("{{{time},\"action\":\"teleport\"}}").into_bytes(), "action: unknown value \"teleport\""),
        (b"{\"action\":\"use\"}".to_vec(), "event_time: missing"),
        (b"{\"event_time\":\"1815-12-10T00:00:00Z\",\"action\":\"use\"}".to_vec(), "event_time"),
        (
            format!("{{{time},\"action\":\"use\",\"subject\":{{\"id\":\"{}\"}}}}", "a".repeat(1 << 20)).into_bytes(),
            "subject.id: 1048576 bytes",
        ),
        (format!("\u{feff}{GOOD}").into_bytes(), "byte order mark"),
    ];
    let mut file = b"\xef\xbb\xbf".to_vec(); // a mark before the first record belongs to the file
    file.extend(format!("{GOOD}\r\n\r\n\n").as_bytes());
    for (record, _) in &broken {
        file.extend(record);
        file.push(b'\n');
    }
    file.extend(GOOD.replace("refresh", "use").as_bytes());
    let path = temp.path("broken.ndjson");
    std::fs::write(&path, file).unwrap();
    let summary = ingest_files(&temp, &[&path]);
    assert_eq!(summary["records"], json!(broken.len() + 4));
    assert_eq!(summary["events"], json!(2));
    assert_eq!(summary["rejected"], json!(broken.len()));
    assert_eq!(summary["skipped"], json!(2));
    let rows = rows(&temp.open().await).await;
    let rejected: Vec<_> = rows.iter().filter(|r| r.class == "rejected").collect();
    assert_eq!(rejected.len(), broken.len());
    for (row, (_, part)) in rejected.iter().zip(&broken) {
        let reason = row.reject_reason.as_deref().unwrap();
        assert!(reason.contains(part), "{part:?} expected in {reason:?}");
    }
}

/// The command must fail without a panic, and say something to go on with.
fn fails(arguments: &[&str], parts: &[&str]) {
    let output = tokentrail(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{arguments:?} succeeded");
    assert!(!said.contains("panicked"), "{said}");
    for part in parts {
        assert!(said.contains(part), "{part:?} expected in {said:?} of {arguments:?}");
    }
}

#[test]
fn places_that_cannot_be_read_or_written() {
    let temp = TempLake::new();
    let lake = temp.uri();
    let file = temp.path("a.ndjson");
    std::fs::write(&file, GOOD).unwrap();
    let file = file.to_str().unwrap();
    let missing = temp.path("missing.ndjson");
    fails(&["--lake", &lake, "ingest", "--from", missing.to_str().unwrap()], &["missing.ndjson", "No such file"]);
    std::fs::create_dir(temp.path("empty")).unwrap();
    fails(&["--lake", &lake, "ingest", "--from", temp.path("empty").to_str().unwrap()], &["no .ndjson"]);
    fails(&["--lake", file, "ingest", "--from", file], &["it is a file"]);
    fails(&["--lake", temp.path("nowhere").to_str().unwrap(), "status"], &["no lake at", "tokentrail ingest"]);
    fails(&["--lake", "gopher://x/y", "status"], &["gopher"]);
    fails(&["--lake", "/proc/tokentrail", "ingest", "--from", file], &["/proc/tokentrail"]);
    fails(&["--lake", &lake, "ingest", "--from", "kafka"], &["--topic"]);
    fails(&["--lake", &lake, "ingest", "--from", "kafka", "--topic", "t"], &["--bootstrap"]);
    // Root may write anywhere, so the permission only tells for everybody else.
    let locked = temp.path("locked");
    std::fs::create_dir(&locked).unwrap();
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o500)).unwrap();
    if std::fs::write(locked.join("probe"), "").is_err() {
        fails(&["--lake", locked.join("lake").to_str().unwrap(), "ingest", "--from", file], &["Permission denied"]);
    }
}

#[test]
fn a_full_disk_stops_with_a_message_and_leaves_the_lake_as_it_was() {
    let temp = TempLake::new();
    let place = temp.path("small");
    std::fs::create_dir(&place).unwrap();
    let mounted =
        std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(&place).output();
    if !mounted.is_ok_and(|m| m.status.success()) {
        eprintln!("not tested: mounting a small file system is not allowed here");
        return;
    }
    let lake = place.join("lake").display().to_string();
    let file = temp.path("a.ndjson");
    std::fs::write(&file, GOOD).unwrap();
    let ingest = ["--lake", &lake, "-o", "json", "ingest", "--from"];
    let first = tokentrail(&[&ingest[..], &[file.to_str().unwrap()]].concat());
    let mut dice = fastrand::Rng::with_seed(1);
    let noise: Vec<String> =
        (0..20_000).map(|_| GOOD.replace("\"t\"", &format!("\"{:x}{:x}\"", dice.u64(..), dice.u64(..)))).collect();
    let big = temp.path("big.ndjson");
    std::fs::write(&big, noise.join("\n")).unwrap();
    let second = tokentrail(&[&ingest[..], &[big.to_str().unwrap()]].concat());
    let status = tokentrail(&["--lake", &lake, "status"]);
    std::process::Command::new("umount").arg(&place).status().unwrap();
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success() && said.contains("No space left") && !said.contains("panicked"), "{said}");
    assert!(
        String::from_utf8_lossy(&status.stdout).contains("1 row in"),
        "{}",
        String::from_utf8_lossy(&status.stdout)
    );
}

#[test]
fn kafka_that_is_not_there_or_refuses() {
    let temp = TempLake::new();
    let lake = temp.uri();
    let kafka = ["--lake", &lake, "ingest", "--from", "kafka", "--once", "--topic", "absent", "--bootstrap"];
    fails(&[&kafka[..], &["127.0.0.1:1"]].concat(), &["no answer from the broker", "bootstrap.servers"]);
    fails(&[&kafka[..], &["127.0.0.1:1", "-X", "no.such.property=1"]].concat(), &["no.such.property"]);
    let Some(broker) = Broker::shared() else { return };
    fails(&[&kafka[..], &[&broker.bootstrap]].concat(), &["\"absent\" does not exist"]);
    if let Some(sasl) = &broker.sasl_bootstrap {
        let wrong = [
            "-X",
            "security.protocol=SASL_PLAINTEXT",
            "-X",
            "sasl.mechanism=PLAIN",
            "-X",
            "sasl.username=tokentrail",
            "-X",
            "sasl.password=wrong",
        ];
        fails(&[&kafka[..], &[sasl], &wrong].concat(), &["uthentication"]);
    }
}
