//! Each kind of sink against something real: HTTP, a mail server, Kafka, files; and what an alert says there.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers as _, Message as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokentrail::clock::now_micros;
use tokentrail::event::time;

use super::findings::{AS_OF, Case};
use super::receiver::Receiver;
use super::{config, text};
use crate::kafka_broker::Broker;

fn ana(_: usize) -> String {
    "ana@example.com".to_owned()
}

/// HMAC-SHA256 as RFC 2104 writes it down, for a key that is not longer than a block.
fn hmac(key: &[u8], message: &[u8]) -> String {
    let mut block = [0u8; 64];
    block[..key.len()].copy_from_slice(key);
    let inner = Sha256::digest([&block.map(|b| b ^ 0x36)[..], message].concat());
    let outer = Sha256::digest([&block.map(|b| b ^ 0x5c)[..], &inner[..]].concat());
    outer.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn a_webhook_is_signed_and_an_alert_says_what_an_analyst_needs() {
    let receiver = Receiver::willing();
    let signed = config(&receiver.url, "") + "secret_env = \"HOOK_SECRET\"\nheaders = { X-Team = \"blue\" }\n";
    let mut case = Case::new(&signed);
    case.happens("issue", 0..1, ana);
    let sent = case.command(&["alert", "run"]).env("HOOK_SECRET", "s3cret of the hook").output().unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let request = &receiver.requests()[0];
    let stamp = &request.headers["x-tokentrail-timestamp"];
    let expected = hmac(b"s3cret of the hook", format!("{stamp}.{}", request.body).as_bytes());
    assert_eq!(request.headers["x-tokentrail-signature"], format!("v1={expected}"));
    assert_eq!(request.headers["x-team"], "blue");
    let message = request.json();
    let alert = &message["alerts"][0];
    for (path, wanted) in [
        ("/title", "Token of the test"),
        ("/severity", "high"),
        ("/change", "opened"),
        ("/who/subject_id", "ana@example.com"),
        ("/who/device_id", "laptop-0"),
        ("/who/client_id", "cli"),
        ("/who/project_id", "shop"),
        ("/since", "2026-10-01T08:10:00Z"),
        ("/finding/evidence/event_ids/0", "issue0"),
        ("/response/0", "Revoke it."),
        ("/look_further/1", "tokentrail timeline --grant g0"),
    ] {
        assert_eq!(text(alert, path), wanted, "{path}");
    }
    // The command leads to the finding.
    let command = text(alert, "/look_further/0").strip_prefix("tokentrail ").unwrap().to_owned();
    assert_eq!(case.rows(&command.split(' ').collect::<Vec<_>>())[0]["id"], alert["finding"]["id"]);
}

#[test]
fn slack_alertmanager_and_files_take_it_in_their_shapes() {
    let (slack, manager) = (Receiver::willing(), Receiver::willing());
    let lake_file = "ALERTS";
    let mut case = Case::new("");
    let file = case.path(lake_file);
    case.configure(&format!(
        "[alert.sinks.slack]\ntype = \"slack\"\nurl = \"{}\"\n[alert.sinks.manager]\ntype = \"alertmanager\"\nurl = \"{}\"\n\
         [alert.sinks.file]\ntype = \"file\"\npath = {}\n[alert.sinks.screen]\ntype = \"stdout\"\nformat = \"text\"\n",
        slack.url,
        manager.url,
        json!(file)
    ));
    case.happens("issue", 0..1, |_| "<ana>&co".to_owned());
    let output = case.run(&["alert", "run"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let screen = String::from_utf8(output.stdout).unwrap();
    assert!(screen.starts_with("[HIGH] Token of the test - <ana>&co\n"), "{screen}");
    assert!(screen.contains("1. Revoke it.\n"), "{screen}");
    let said = slack.requests()[0].json();
    assert!(text(&said, "/text").starts_with("*[HIGH] Token of the test - &lt;ana&gt;&amp;co*\n"), "{said}");
    let firing = manager.requests()[0].json();
    assert_eq!(manager.requests()[0].path, "/hook/api/v2/alerts");
    assert_eq!((text(&firing, "/0/labels/alertname"), text(&firing, "/0/labels/grant_id")), ("every_token", "g0"));
    let lasts = |alerts: &Value| {
        let moment = |path| time::parse(text(alerts, path)).unwrap();
        (moment("/0/endsAt") - now_micros()) / time::DAY
    };
    assert!(lasts(&firing) > 300, "an open alert lasts");
    case.happens("revoke", 0..1, |_| "<ana>&co".to_owned());
    case.configure(&format!("[alert]\ngroup_window_seconds = 0\n[alert.sinks.manager]\ntype = \"alertmanager\"\nurl = \"{}\"\n[alert.sinks.file]\ntype = \"file\"\npath = {}\n", manager.url, json!(file)));
    case.alert();
    let over = manager.requests()[1].json();
    assert_eq!(over[0]["labels"], firing[0]["labels"], "Alertmanager knows an alert by its labels");
    assert!(lasts(&over) <= 0, "it is over");
    let lines: Vec<Value> =
        std::fs::read_to_string(file).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!((lines.len(), text(&lines[1], "/alerts/0/change")), (2, "resolved"));
    let sample = case.run(&["alert", "test", "manager"]);
    assert!(sample.status.success());
    assert_eq!(text(&manager.requests()[2].json(), "/0/labels/test"), "true");
    assert!(case.rows(&["alert", "list"]).iter().all(|row| row["subject"] != "sample@example.com"), "past the outbox");
}

/// A mail server that takes one mail a connection, and sends the envelope and the mail.
fn mail_server() -> (u16, mpsc::Receiver<(Vec<String>, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (mails, inbox) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut out = stream.try_clone().unwrap();
            let mut lines = BufReader::new(stream).lines();
            let (mut envelope, mut mail) = (Vec::new(), String::new());
            let mut say = |text: &str| drop(out.write_all(format!("{text}\r\n").as_bytes()));
            say("220 mail.example.com ready");
            while let Some(Ok(line)) = lines.next() {
                match line.split(' ').next().unwrap_or_default().to_uppercase().as_str() {
                    "EHLO" => say("250 mail.example.com"),
                    "MAIL" | "RCPT" => {
                        envelope.push(line);
                        say("250 fine");
                    }
                    "DATA" => {
                        say("354 go on");
                        while let Some(Ok(line)) = lines.next().filter(|l| !matches!(l, Ok(l) if l == ".")) {
                            mail.push_str(line.strip_prefix('.').unwrap_or(&line));
                            mail.push('\n');
                        }
                        say("250 taken");
                        drop(mails.send((std::mem::take(&mut envelope), std::mem::take(&mut mail))));
                    }
                    "QUIT" => {
                        say("221 bye");
                        break;
                    }
                    _ => say("250 fine"),
                }
            }
        }
    });
    (port, inbox)
}

#[test]
fn mail_arrives_with_the_key_as_its_id() {
    let (port, inbox) = mail_server();
    let mut case = Case::new(&format!(
        "[alert.sinks.mail]\ntype = \"smtp\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\nfrom = \"Tokentrail <alerts@example.com>\"\nto = [\"soc@example.com\", \"ana@example.com\"]\n"
    ));
    case.happens("issue", 0..1, ana);
    assert_eq!(case.alert()["sent"], 1);
    let (envelope, mail) = inbox.recv_timeout(Duration::from_secs(5)).unwrap();
    assert_eq!(envelope.len(), 3, "{envelope:?}");
    assert!(envelope[1].contains("<soc@example.com>") && envelope[2].contains("<ana@example.com>"), "{envelope:?}");
    let key = text(&case.rows(&["alert", "list"])[0], "/key").to_owned();
    for part in [
        format!("Message-ID: <{key}@example.com>"),
        format!("X-Tokentrail-Key: {key}"),
        "[HIGH] Token of the test".into(),
    ] {
        assert!(mail.contains(&part), "{part} is not in {mail}");
    }
}

#[test]
fn kafka_gets_it_with_key_and_header() {
    let Some(broker) = Broker::shared() else { return };
    let topic = format!("alerts-{}", std::process::id());
    broker.create_topic(&topic, 2);
    let mut case = Case::new(&format!(
        "[alert.sinks.bus]\ntype = \"kafka\"\ntopic = \"{topic}\"\nproperties = {{ \"bootstrap.servers\" = \"{}\" }}\n",
        broker.bootstrap
    ));
    case.happens("issue", 0..3, ana);
    assert_eq!(case.alert()["sent"], 1);
    case.happens("revoke", 0..1, ana);
    case.configure(
        &std::fs::read_to_string(case.path("tokentrail.toml"))
            .unwrap()
            .replace("[alert.sinks", "[alert]\ngroup_window_seconds = 0\n[alert.sinks"),
    );
    assert_eq!(case.alert()["sent"], 1);
    let mut client = rdkafka::ClientConfig::new();
    client.set("bootstrap.servers", &broker.bootstrap).set("group.id", &topic).set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = client.create().unwrap();
    let mut partitions = rdkafka::TopicPartitionList::new();
    for partition in 0..2 {
        partitions.add_partition_offset(&topic, partition, rdkafka::Offset::Beginning).unwrap();
    }
    consumer.assign(&partitions).unwrap();
    let read = |_| {
        let record = consumer.poll(Duration::from_secs(60)).expect("a record in time").expect("a record");
        let message: Value = serde_json::from_slice(record.payload().unwrap()).unwrap();
        let header = record.headers().unwrap().get(0);
        assert_eq!((header.key, header.value), ("idempotency-key", Some(text(&message, "/key").as_bytes())));
        assert_eq!(record.key(), Some(&b"every_token/ana@example.com"[..]));
        (record.partition(), message["alerts"].as_array().unwrap().len())
    };
    let read: Vec<_> = (0..2).map(read).collect();
    assert_eq!((read[0].1, read[1].1), (3, 1));
    assert_eq!(read[0].0, read[1].0, "one subject, one partition");
}

#[test]
fn ocsf_is_what_an_independent_validator_takes_for_it() {
    let Ok(python) = std::env::var("TOKENTRAIL_PYTHON") else {
        eprintln!("not tested: TOKENTRAIL_PYTHON names no Python with ocsf-json-schema; `make test` sets it");
        return;
    };
    let mut case = Case::new("");
    let (file, hook) = (case.path("ocsf.ndjson"), Receiver::willing());
    case.configure(&format!(
        "[alert]\nstorm_findings = 50\n[alert.sinks.file]\ntype = \"file\"\nformat = \"ocsf\"\npath = {}\n{}format = \"ocsf\"\n",
        json!(file),
        config(&hook.url, "").replace("[alert]\n", "")
    ));
    // The sample data opens, resolves and leaves open findings of most detectors; the test's own detector makes a storm.
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/sample-data/quickstart.ndjson");
    crate::harness::ingest_files(&case.lake, &[sample.as_ref()]);
    case.run(&["-q", "detect", "--as-of", AS_OF]);
    case.happens("issue", 0..60, ana);
    let counts = case.alert();
    assert_eq!((counts["failed"].as_u64(), counts["dead"].as_u64()), (Some(0), Some(0)), "{counts}");
    assert!(case.run(&["alert", "test", "file"]).status.success());
    let mut lines = std::fs::read_to_string(file).unwrap();
    for request in hook.requests() {
        let body = request.json();
        let events = body.as_array().cloned().unwrap_or_else(|| vec![body]);
        lines.extend(events.iter().map(|event| event.to_string() + "\n"));
    }
    let count = lines.lines().count();
    assert!(count > 20 && lines.contains("findings at once"), "{count}");
    assert!(lines.contains("\"activity_id\":3"), "one that is over");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/validate_ocsf.py");
    let mut validator = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    validator.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = validator.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), count.to_string());
}
