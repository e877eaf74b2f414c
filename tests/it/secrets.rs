//! A secret never reaches the disk, a log or a message; and whose fingerprints stand in a lake.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Output, Stdio};

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use fastrand::Rng;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use crate::harness::{TempLake, program, tokentrail};

const ALNUM: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

fn alnum(dice: &mut Rng, length: usize) -> String {
    (0..length).map(|_| char::from(ALNUM[dice.usize(..ALNUM.len())])).collect()
}

fn hex(dice: &mut Rng, length: usize) -> String {
    (0..length).map(|_| char::from_digit(dice.u32(..16), 16).unwrap()).collect()
}

/// A secret of one of twenty-four kinds. The first twenty show what they are; the others are known by their field alone.
fn secret(dice: &mut Rng, kind: usize) -> String {
    match kind % KINDS {
        0 => format!("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ{}.{}", alnum(dice, 30), alnum(dice, 86)),
        1 => format!("ghp_{}", alnum(dice, 36)),
        2 => format!("ghs_{}", alnum(dice, 36)),
        3 => format!("github_pat_{}_{}", alnum(dice, 22), alnum(dice, 59)),
        4 => format!("xoxb-{}-{}", hex(dice, 12), alnum(dice, 24)),
        5 => format!("xoxp-{}-{}", hex(dice, 12), alnum(dice, 32)),
        6 => format!("sk-proj-{}", alnum(dice, 64)),
        7 => format!("sk-ant-api03-{}", alnum(dice, 93)),
        8 => format!("hvs.{}", alnum(dice, 90)),
        9 => format!("glpat-{}", alnum(dice, 20)),
        10 => format!("npm_{}", alnum(dice, 36)),
        11 => format!("pypi-AgEIcHlwaS5vcmc{}", alnum(dice, 80)),
        12 => format!("ya29.{}", alnum(dice, 100)),
        13 => format!("AIza{}", alnum(dice, 35)),
        14 => format!("GOCSPX-{}", alnum(dice, 28)),
        15 => format!("1//0{}", alnum(dice, 60)),
        16 => format!("0.A{}", alnum(dice, 300)),
        17 => format!("dapi{}", hex(dice, 32)),
        18 => format!("sk_live_{}", alnum(dice, 24)),
        19 => format!("IQoJb3JpZ2luX2Vj{}", alnum(dice, 200)),
        20 => alnum(dice, 43),
        21 => hex(dice, 40),
        22 => format!("00{}", alnum(dice, 40)),
        _ => format!("{}!{}", alnum(dice, 8), hex(dice, 6)),
    }
}

const KINDS: usize = 24;
const SHOWN: usize = 20;

/// A record with the secret in it. Some are accepted, some are rejected, some cannot be read at all.
fn record(dice: &mut Rng, number: usize, secret: &str) -> String {
    let native = format!(
        r#""event_id":"e{number}","event_time":"2026-10-01T08:00:00Z","action":"refresh","subject":{{"id":"alice@example.com"}}"#
    );
    let mut records = vec![
        format!(r#"{{{native},"access_token":"{secret}"}}"#),
        format!(r#"{{{native},"request":{{"headers":{{"Authorization":["Bearer {secret}"]}}}}}}"#),
        format!(r#"{{{native},"body":"{{\"refresh_token\":\"{secret}\",\"x\":1}}"}}"#),
        format!(r#"{{{native},"url":"https://example.com/cb?client_secret={secret}&x=1"}}"#),
        format!(r#"{{{native},"parameters":[{{"name":"id_token","value":"{secret}"}}]}}"#),
        format!(r#"{{"refresh_token":"{secret}","event_time":"never","action":"refresh"}}"#),
        format!(r#"{{{native},"password":"{secret}","action":"twice"}}"#),
        format!(r#"{{{native},"subject_token":"{secret}"#),
        format!("POST /token client_secret={secret} HTTP/1.1"),
    ];
    if number % KINDS < SHOWN {
        records.extend([
            format!(r#"{{{native},"token":{{"id":"{secret}","family":"{secret}"}}}}"#),
            format!(r#"{{{native},"session":"{secret}","host":{{"id":"{secret}"}}}}"#),
            format!(r#"{{{native},"network":{{"user_agent":"x/{secret}"}},"token":{{"scopes":["{secret}"]}}}}"#),
            format!(r#"{{{native},"{secret}":[1,{{"a":"seen {secret} here"}}]}}"#),
            format!(r#"{{"event_time":"{secret}","action":"refresh"}}"#),
            format!(r#"{{"event_time":"2026-10-01T08:00:00Z","action":"{secret}"}}"#),
            format!(r#"{{"eventType":"user.session.start","uuid":"{secret}","published":"{secret}"}}"#),
            format!("not JSON but {secret}"),
        ]);
    } else if secret.len() >= 20 {
        records.push(format!(r#"{{{native},"whatever":"{secret}"#));
    }
    records.swap_remove(dice.usize(..records.len()))
}

/// Every byte of every file of the lake.
fn files(folder: &Path, all: &mut Vec<Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, all);
        } else {
            all.push(path.display().to_string().into_bytes());
            all.push(std::fs::read(&path).unwrap());
            if path.extension().is_some_and(|extension| extension == "parquet") {
                all.push(unpacked(&path));
            }
        }
    }
}

/// All text and bytes of a data file, out of their compression.
fn unpacked(path: &Path) -> Vec<u8> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(path).unwrap()).unwrap();
    let mut all = Vec::new();
    for batch in reader.build().unwrap() {
        for column in batch.unwrap().columns() {
            let column = match column.data_type() {
                DataType::List(_) => column.as_list::<i32>().values().clone(),
                _ => column.clone(),
            };
            if let Ok(bytes) = arrow::compute::cast(&column, &DataType::Binary) {
                let bytes = bytes.as_binary::<i32>();
                bytes.iter().flatten().for_each(|bytes| all.extend_from_slice(bytes));
            }
        }
    }
    all
}

fn said(output: Output) -> Vec<Vec<u8>> {
    vec![output.stdout, output.stderr]
}

#[test]
fn a_thousand_planted_secrets_are_nowhere() {
    let temp = TempLake::new();
    let (uri, file) = (temp.uri(), temp.path("planted.ndjson"));
    let mut dice = Rng::with_seed(21);
    let mut secrets = Vec::new();
    let mut text = String::new();
    for number in 0..1000 {
        let secret = secret(&mut dice, number);
        text += &record(&mut dice, number, &secret);
        text.push('\n');
        secrets.push(secret);
    }
    std::fs::write(&file, &text).unwrap();
    let file = file.to_str().unwrap();
    let ingest = tokentrail(&["--lake", &uri, "-vv", "-o", "json", "ingest", "--from", file]);
    assert!(ingest.status.success(), "{}", String::from_utf8_lossy(&ingest.stderr));
    let summary: Value = serde_json::from_slice(&ingest.stdout).unwrap();
    assert_eq!(summary["records"], 1000);
    assert!(summary["rejected"].as_u64().unwrap() > 200 && summary["events"].as_u64().unwrap() > 200, "{summary}");
    let mut all = said(ingest);
    files(Path::new(&uri), &mut all);
    let queries = ["SELECT * FROM events", "SELECT reject_reason, raw FROM rejected", "SELECT * FROM token_events"];
    for query in queries {
        let output = tokentrail(&["--lake", &uri, "-o", "ndjson", "query", query]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        all.extend(said(output));
    }
    for how in ["ndjson", "table"] {
        all.extend(said(tokentrail(&["-o", how, "decode", file])));
    }
    let all = all.concat();
    assert!(memchr::memmem::find(&all, b"fp:").is_some());
    for secret in &secrets {
        // Not even a part of it.
        let part = &secret.as_bytes()[secret.len() - secret.len().min(14)..];
        let found = memchr::memmem::find(&all, part);
        let near = found.map(|at| String::from_utf8_lossy(&all[at.saturating_sub(200)..(at + 60).min(all.len())]));
        assert_eq!(near, None, "{secret}");
    }
}

/// Runs the program with these lines as its input.
fn fed(arguments: &[&str], lines: &str) -> Output {
    let mut child =
        program().args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn rows(lake: &str, query: &str) -> Vec<Value> {
    let output = tokentrail(&["--lake", lake, "-o", "ndjson", "query", query]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_token_is_followed_by_its_fingerprint() {
    let temp = TempLake::new();
    let token = format!("ghp_{}", alnum(&mut Rng::with_seed(22), 36));
    let time = r#""event_time":"2026-10-01T08:00:00Z","action":"use""#;
    let records = [
        format!(r#"{{{time},"token":{{"id":"{token}"}}}}"#),
        format!(r#"{{{time},"session":"Bearer {token}"}}"#),
        format!(r#"{{{time},"note":"{token}"}}"#),
    ];
    let ingest = fed(&["--lake", &temp.uri(), "ingest", "--from", "-"], &records.join("\n"));
    assert!(ingest.status.success(), "{}", String::from_utf8_lossy(&ingest.stderr));
    let fingerprint = String::from_utf8(fed(&["fingerprint"], &token).stdout).unwrap().trim().to_owned();
    assert!(fingerprint.starts_with("fp:"), "{fingerprint}");
    let found = rows(&temp.uri(), &format!("SELECT * FROM events WHERE raw LIKE '%{fingerprint}%'"));
    assert_eq!(found.len(), 3);
    let found = rows(&temp.uri(), &format!("SELECT token_id FROM events WHERE token_id = '{fingerprint}'"));
    assert_eq!(found.len(), 1);
}

#[test]
fn another_key_is_refused_until_it_takes_over() {
    let temp = TempLake::new();
    let file = temp.path("a.ndjson");
    std::fs::write(&file, crate::harness::record(1)).unwrap();
    let ingest = |key: &str, more: &[&str]| {
        let uri = temp.uri();
        let arguments = [&["--lake", &uri, "ingest", "--from", file.to_str().unwrap()][..], more].concat();
        let output = program().env("TOKENTRAIL_SECRET_KEY", key).args(arguments).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let (one, other) = ("01".repeat(31) + "00", "02".repeat(31) + "00");
    assert!(ingest(&one, &[]).0);
    let (done, said) = ingest(&other, &[]);
    assert!(!done && said.contains("--rotate-secret-key") && !said.contains(&other[..20]), "{said}");
    assert!(ingest(&other, &["--rotate-secret-key"]).0);
    assert!(!ingest(&one, &[]).0);
    assert!(ingest(&other, &[]).0);
    let (done, said) = ingest("hunter2", &[]);
    assert!(!done && said.contains("TOKENTRAIL_SECRET_KEY") && !said.contains("hunter2"), "{said}");
    // Who still has the old key can tell what stood for a token then.
    let both = format!("{other} {one}");
    let mut child = program()
        .env("TOKENTRAIL_SECRET_KEY", both)
        .arg("fingerprint")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"abc-123\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 2);
}

#[test]
fn the_first_use_makes_a_key_apart_from_the_lake() {
    let temp = TempLake::new();
    let file = temp.path("a.ndjson");
    std::fs::write(&file, crate::harness::record(1)).unwrap();
    let home = temp.path("home");
    std::fs::create_dir(&home).unwrap();
    let ingest = |more: &[&str]| {
        let uri = temp.uri();
        let arguments = [&["--lake", &uri, "ingest", "--from", file.to_str().unwrap()][..], more].concat();
        let mut program = program();
        program.env_remove("TOKENTRAIL_SECRET_KEY").env_remove("XDG_CONFIG_HOME").env("HOME", &home);
        program.args(arguments).output().unwrap()
    };
    let first = ingest(&[]);
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let key = home.join(".config/tokentrail/secret.key");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(ingest(&[]).status.success());
    let inside = temp.path("lake/secret.key");
    let refused = ingest(&["--secret-key-file", inside.to_str().unwrap()]);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("inside the lake"));
    assert!(!inside.exists());
}

#[test]
fn people_and_addresses_may_be_known_by_pseudonyms_alone() {
    let temp = TempLake::new();
    let uri = temp.uri();
    let time = r#""event_time":"2026-10-01T08:00:00Z""#;
    let records = [
        format!(
            r#"{{{time},"action":"refresh","subject":{{"id":"Alice@Example.com"}},"client":{{"id":"gh"}},"network":{{"ip":"203.0.113.7"}}}}"#
        ),
        format!(
            r#"{{{time},"action":"offboard","subject":{{"id":"alice@example.com"}},"actor":{{"id":"ALICE@example.com"}}}}"#
        ),
        format!(r#"{{{time},"action":"alice@example.com"}}"#),
        r#"{"subject":"alice@example.com from 203.0.113.7"#.to_owned(),
    ];
    let ingest = fed(&["--lake", &uri, "ingest", "--pseudonymise", "--from", "-"], &records.join("\n"));
    assert!(ingest.status.success(), "{}", String::from_utf8_lossy(&ingest.stderr));
    let mut all = said(ingest);
    files(Path::new(&uri), &mut all);
    let all = String::from_utf8_lossy(&all.concat()).to_lowercase();
    for name in ["alice", "203.0.113.7"] {
        assert!(!all.contains(name), "{name}");
    }
    let alice = fed(&["fingerprint", "--person"], "alice@example.com").stdout;
    let alice = String::from_utf8(alice).unwrap().trim().to_owned();
    assert!(alice.starts_with("pn:"), "{alice}");
    let found = rows(&uri, &format!("SELECT * FROM events WHERE subject_id = '{alice}'"));
    assert_eq!(found.len(), 2);
    assert_eq!(rows(&uri, &format!("SELECT * FROM events WHERE actor_id = '{alice}'")).len(), 1);
    assert_eq!(rows(&uri, "SELECT * FROM rejected").len(), 2);
}
