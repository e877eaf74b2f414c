//! What is asked and what is set from the command line: formats for other programs, names there are, what counts more.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use crate::harness::{TempLake, program, record, tokentrail};
use crate::hunts::DEMO;

fn ask(arguments: &[&str]) -> (Option<i32>, Vec<u8>, String) {
    let asked = tokentrail(&[&["--lake", &DEMO.uri()], arguments].concat());
    (asked.status.code(), asked.stdout, String::from_utf8(asked.stderr).unwrap())
}

fn rows(bytes: &[u8]) -> (Vec<String>, i64) {
    let file = DEMO.path("written.parquet");
    fs::write(&file, bytes).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(&file).unwrap()).unwrap();
    let names = reader.schema().fields().iter().map(|field| format!("{} {}", field.name(), field.data_type()));
    let (names, count) = (names.collect(), reader.metadata().file_metadata().num_rows());
    let read: usize = reader.build().unwrap().map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(read as i64, count);
    (names, count)
}

#[test]
fn queries_and_hunts_write_parquet_to_standard_output_and_nothing_else_does() {
    // More rows than a table shows.
    let sql = "SELECT a.event_time, a.action, 7 AS n FROM events a, (SELECT 1 FROM events LIMIT 7) b";
    let (code, bytes, errors) = ask(&["query", "-o", "parquet", sql]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    let (names, count) = rows(&bytes);
    assert!(count > 1_000, "{count}");
    assert_eq!(names[1..], ["action Utf8View", "n Int64"]);
    assert!(names[0].starts_with("event_time Timestamp"), "{names:?}");
    // An answer without rows is a file with columns.
    let (_, bytes, _) = ask(&["query", "-o", "parquet", "SELECT action FROM events WHERE FALSE"]);
    assert_eq!(rows(&bytes).1, 0);
    let (code, bytes, errors) = ask(&["hunt", "run", "live_grants_by_age", "-o", "parquet"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert!(rows(&bytes).1 > 0);
    for other in [&["hunt", "list"][..], &["status"], &["findings", "list"], &["detect"]] {
        let (code, bytes, errors) = ask(&[other, &["-o", "parquet"]].concat());
        assert_eq!((code, bytes.len()), (Some(2), 0), "{errors}");
        assert!(errors.contains("only `query` and `hunt run` write Parquet"), "{errors}");
    }
}

#[test]
fn a_reader_that_leaves_ends_parquet_quietly() {
    let sql = "SELECT a.raw, b.record_hash FROM events a, events b";
    let mut child = program()
        .args(["--lake", &DEMO.uri(), "query", "-o", "parquet", sql])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert!(child.wait().unwrap().success() && errors.is_empty(), "{errors}");
}

#[test]
fn what_is_listed_is_what_can_be_asked() {
    let (_, bytes, errors) = ask(&["query", "-o", "json", "SHOW TABLES"]);
    assert_eq!(errors, "");
    let listed: Vec<Value> = serde_json::from_slice(&bytes).unwrap();
    let listed = listed.iter().filter(|row| row["table_schema"] == "public");
    let listed: BTreeSet<String> = listed.map(|row| row["table_name"].as_str().unwrap().to_owned()).collect();
    for name in ["grants", "contexts", "hosts", "compromised", "ends", "token_events", "findings", "query_log"] {
        assert!(listed.contains(name), "{name} is not in {listed:?}");
    }
    // Each on its own, whatever else a query names.
    for name in &listed {
        let (code, _, errors) = ask(&["query", "-o", "json", &format!("DESCRIBE {name}")]);
        assert_eq!((code, errors.as_str()), (Some(0), ""), "{name}");
    }
    let (code, _, errors) = ask(&["query", "SELECT 1 FROM grants, grants_parts"]);
    assert!(code == Some(2) && errors.contains("grants_parts"), "what is not listed was there: {errors}");
}

/// A configuration that names another lake and policy than the command line does.
fn config(temp: &TempLake) -> String {
    fs::write(temp.path("strict.toml"), "[defaults]\nmax_age = \"3d\"\n").unwrap();
    let file = temp.path("tokentrail.toml");
    fs::write(&file, "[lake]\nuri = \"of-file\"\n[detect]\npolicy = \"of-file.toml\"\n[telemetry]\non = false\n")
        .unwrap();
    file.display().to_string()
}

#[test]
fn what_is_said_counts_more_than_what_is_set_and_that_more_than_the_file() {
    let temp = TempLake::new();
    let file = config(&temp);
    let shown = |arguments: &[&str], lake: Option<&str>| {
        let mut command = program();
        command.env_remove("TOKENTRAIL_LAKE").args(["config", "show", "-o", "json", "--config", &file]).args(arguments);
        command.envs(lake.map(|lake| ("TOKENTRAIL_LAKE", lake)));
        let output = command.output().unwrap();
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
        (shown["lake"]["uri"].as_str().unwrap().to_owned(), shown["detect"]["policy"].as_str().unwrap().to_owned())
    };
    let of_file = |name: &str| temp.path(name).display().to_string();
    assert_eq!(shown(&[], None), (of_file("of-file"), of_file("of-file.toml")));
    assert_eq!(shown(&[], Some("s3://set")).0, "s3://set");
    let said = shown(&["--lake", "s3://said", "--policy", "said.toml"], Some("s3://set"));
    assert_eq!(said, ("s3://said".to_owned(), "said.toml".to_owned()));
    // The policy of the file is not there; the one that is said instead is read.
    let check = |policy: &[&str]| {
        let asked = [&["config", "check", "--offline", "--config", &file], policy].concat();
        tokentrail(&asked).status.code()
    };
    assert_eq!(check(&[]), Some(2));
    assert_eq!(check(&["--policy", &of_file("strict.toml")]), Some(0));
}

/// A service that is ended with the test.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended
        let _ = self.0.wait();
    }
}

fn serve(temp: &TempLake, arguments: &[&str]) -> Service {
    let log = fs::File::create(temp.path("log")).unwrap();
    Service(program().arg("serve").args(arguments).stderr(log).spawn().unwrap())
}

fn log_with(temp: &TempLake, words: &str) -> String {
    let began = Instant::now();
    loop {
        let log = fs::read_to_string(temp.path("log")).unwrap();
        if log.contains(words) {
            return log;
        }
        assert!(began.elapsed() < Duration::from_secs(40), "{words:?} never came in\n{log}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn health_pages_say_what_failed_and_nothing_of_what_an_error_quotes() {
    let temp = TempLake::new();
    let file = temp.path("tokentrail.toml");
    let text = "[telemetry]\nlisten = \"127.0.0.1:0\"\n[[ingest.source]]\nname = \"hr\"\nfiles = [\"of-mallory\"]\n";
    fs::write(&file, text).unwrap();
    let _service = serve(&temp, &["--config", file.to_str().unwrap()]);
    let log = log_with(&temp, "it is tried again");
    assert!(log.contains("of-mallory"), "{log}");
    let address = log.split("127.0.0.1:").nth(1).unwrap().split(|c: char| !c.is_ascii_digit()).next().unwrap();
    let mut page = TcpStream::connect(format!("127.0.0.1:{address}")).unwrap();
    page.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").unwrap();
    let mut shown = String::new();
    page.read_to_string(&mut shown).unwrap();
    assert!(shown.starts_with("HTTP/1.0 503"), "{shown}");
    assert!(shown.contains("ingest: failing: source hr: ") && shown.contains("the log of this process"), "{shown}");
    assert!(!shown.contains("mallory"), "{shown}");
}

#[test]
fn a_service_uses_the_lake_and_policy_that_are_said() {
    let temp = TempLake::new();
    let file = config(&temp);
    let (lake, policy) = (temp.uri(), temp.path("strict.toml").display().to_string());
    fs::write(temp.path("one.ndjson"), record(1)).unwrap();
    let read = tokentrail(&["--lake", &lake, "ingest", "--from", &temp.path("one.ndjson").display().to_string()]);
    assert!(read.status.success());
    let _service = serve(&temp, &["--config", &file, "--lake", &lake, "--policy", &policy, "--only", "detect"]);
    log_with(&temp, "findings changed");
    assert!(!temp.path("of-file").exists(), "the lake of the file was made");
}

#[test]
fn what_people_read_is_aligned_counted_and_says_what_was_meant() {
    let (_, table, _) = ask(&["query", "SELECT * FROM (VALUES (1, 'a'), (1000, 'b')) AS t (n, s)"]);
    let table = String::from_utf8(table).unwrap();
    assert!(table.contains("    1   a") && table.contains(" 1000   b"), "digits of one weight:\n{table}");
    for (arguments, words) in [
        (&["query", "SELECT * FROM token_event"][..], "no table or view token_event: did you mean token_events?"),
        (&["query", "SELECT * FROM grant_s"], "no table or view grant_s: did you mean grants?"),
        (&["query", "SELECT * FROM nothing_like_it"], "SHOW TABLES lists"),
        (&["query", "SELECT action FROM events", "--max-rows", "1"], "This is the first row;"),
        (&["config", "check", "--config", "no-such-file.toml"], "hint: --config FILE names another"),
    ] {
        let (_, _, errors) = ask(arguments);
        assert!(errors.contains(words), "{arguments:?}: {errors}");
    }
    let (_, _, errors) = ask(&["query", "SELECT grnat_id FROM token_events"]);
    assert!(errors.contains("Did you mean 'token_events.grant_id'?") && !errors.contains("Valid fields"), "{errors}");
}
