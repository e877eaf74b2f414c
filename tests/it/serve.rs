//! The service as operators run it: the program itself, real files and a real Kafka, signals and kills.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{TempLake, assert_tiled, program, record};
use crate::kafka_broker::Broker;

/// A running service; its log is kept beside the lake.
struct Service {
    child: Child,
    log: PathBuf,
}

impl Service {
    fn start(temp: &TempLake, config: &str, name: &str, more: &[&str]) -> Self {
        let file = temp.path("tokentrail.toml");
        fs::write(&file, config).unwrap();
        let log = temp.path(name);
        let mut command = program();
        command.args(["serve", "--config", file.to_str().unwrap()]).args(more);
        let child = command.stdout(Stdio::null()).stderr(File::create(&log).unwrap()).spawn().unwrap();
        Self { child, log }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    fn wait_for(&self, words: &str) {
        until(&format!("{words:?} in the log"), || self.log().contains(words));
    }

    /// Ends it with SIGTERM, which it obeys in time and well.
    fn stop(mut self) -> String {
        let began = Instant::now();
        self.signal("-TERM");
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{}", self.log());
        assert!(began.elapsed() < Duration::from_secs(20), "{:?} to stop", began.elapsed());
        assert!(self.log().contains("stopped"), "{}", self.log());
        self.log()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(40), "never came: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Somebody leaves, and their token is refreshed afterwards: a finding at whatever time it is judged.
fn leaver(name: &str) -> String {
    let subject = format!(r#""subject":{{"id":"{name}@example.com","kind":"human"}}"#);
    let token = format!(r#""token":{{"id":"t-{name}","family":"f-{name}","kind":"refresh"}}"#);
    let event = |id: &str, day: u32, action: &str, more: &str| {
        format!(
            r#"{{"event_id":"{name}-{id}","event_time":"2021-03-{day:02}T08:00:00Z","action":"{action}","outcome":"success",{subject}{more}}}"#
        )
    };
    let token = format!(",{token}");
    [event("1", 1, "issue", &token), event("2", 2, "offboard", ""), event("3", 3, "refresh", &token)].join("\n") + "\n"
}

fn query(temp: &TempLake, sql: &str) -> Vec<Value> {
    let output = program().args(["--lake", &temp.uri(), "-o", "json", "query", sql]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Whether the finding about this person was opened, and how often.
fn opened(temp: &TempLake, name: &str) -> usize {
    if !temp.path("lake/findings/_delta_log").exists() {
        return 0;
    }
    let sql = "SELECT key FROM finding_changes WHERE detector = 'refresh_after_offboarding' AND change = 'opened'";
    let about = format!("{name}@example.com");
    query(temp, sql).iter().filter(|row| row["key"].to_string().contains(&about)).count()
}

fn config(source: &str, more: &str) -> String {
    format!(
        "[lake]\nuri = \"lake\"\n[telemetry]\nlisten = \"127.0.0.1:0\"\n[ingest]\ncommit_ms = 200\n\
         [[ingest.source]]\nname = \"one\"\n{source}\n{more}"
    )
}

const FILES: &str = "files = [\"in\"]\nevery_seconds = 1";

#[test]
fn files_are_read_judged_and_told_and_sigterm_ends_it_well() {
    let temp = TempLake::new();
    fs::create_dir(temp.path("in")).unwrap();
    fs::write(temp.path("in/a.ndjson"), leaver("ada")).unwrap();
    let alerts = "[alert.sinks.told]\ntype = \"file\"\npath = \"alerts.ndjson\"";
    let told = || {
        let text = fs::read_to_string(temp.path("alerts.ndjson")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap().to_string()).collect::<Vec<_>>()
    };
    // Detectors of another `every` may tell of the same person sooner, or later.
    let about = |name: &str| {
        let names = |line: &&String| {
            line.contains("refresh_after_offboarding") && line.contains(&format!("{name}@example.com"))
        };
        told().iter().filter(names).count()
    };
    let service = Service::start(&temp, &config(FILES, alerts), "first.log", &[]);
    until("an alert about ada", || about("ada") > 0);
    // What is appended is read on; a second run opens nothing twice.
    let mut file = File::options().append(true).open(temp.path("in/a.ndjson")).unwrap();
    file.write_all(leaver("bob").as_bytes()).unwrap();
    until("an alert about bob", || about("bob") > 0);
    service.stop();
    let service = Service::start(&temp, &config(FILES, alerts), "second.log", &[]);
    fs::write(temp.path("in/b.ndjson"), leaver("cyd")).unwrap();
    until("an alert about cyd", || about("cyd") > 0);
    service.stop();
    let unique: std::collections::BTreeSet<String> = told().into_iter().collect();
    assert_eq!(unique.len(), told().len(), "an alert was sent twice");
    for name in ["ada", "bob", "cyd"] {
        assert_eq!(opened(&temp, name), 1, "{name}");
    }
    assert_eq!(query(&temp, "SELECT COUNT(*) AS n FROM events")[0]["n"], 9);
    let runs = query(&temp, "SELECT detector, started_at, duration_ms, rows, result FROM detector_history");
    assert!(runs.iter().all(|run| run["result"] == "ok") && runs.len() > 30, "{runs:?}");
}

#[test]
fn a_bad_file_leaves_the_old_one_in_force_and_a_good_one_takes_its_place() {
    let temp = TempLake::new();
    fs::create_dir(temp.path("in")).unwrap();
    fs::write(temp.path("in/a.ndjson"), leaver("ada")).unwrap();
    fs::write(temp.path("policy.toml"), "[defaults]\nmax_age = \"30d\"\n").unwrap();
    let service = Service::start(&temp, &config(FILES, "[detect]\npolicy = \"policy.toml\""), "log", &[]);
    until("ada is found", || opened(&temp, "ada") == 1);
    fs::write(temp.path("policy.toml"), "[defaults]\nmax_agee = \"30d\"\n").unwrap();
    service.wait_for("the old one stays in force");
    assert!(service.log().contains("policy.toml:2: unknown key"), "{}", service.log());
    fs::write(temp.path("in/b.ndjson"), leaver("bob")).unwrap();
    until("bob is found by the old policy", || opened(&temp, "bob") == 1);
    // An exception by a good file: it is in force without a restart.
    let exception = "[[exception]]\ndetector = \"refresh_after_offboarding\"\nreason = \"r\"\nowner = \"o\"\n\
                     until = 2999-01-01T00:00:00Z\nmatch = { subject_id = \"ada@example.com\" }\n";
    fs::write(temp.path("policy.toml"), exception).unwrap();
    service.signal("-HUP");
    service.wait_for("and is in force");
    let excepted = "SELECT state FROM findings WHERE state = 'excepted'";
    until("ada is excepted", || query(&temp, excepted).len() == 1);
    service.stop();
}

#[test]
fn of_two_services_one_runs_the_detectors_and_the_other_takes_over_when_it_is_killed() {
    let temp = TempLake::new();
    fs::create_dir(temp.path("in")).unwrap();
    fs::write(temp.path("in/a.ndjson"), leaver("ada")).unwrap();
    let both = config(FILES, "[detect]\nlease_seconds = 5");
    let mut first = Service::start(&temp, &both, "first.log", &[]);
    until("ada is found", || opened(&temp, "ada") == 1);
    let second = Service::start(&temp, &both, "second.log", &["--only", "ingest,detect"]);
    second.wait_for("serving");
    fs::write(temp.path("in/b.ndjson"), leaver("bob")).unwrap();
    until("bob is found", || opened(&temp, "bob") == 1);
    let words = "this process runs the detectors";
    assert!(first.log().contains(words) && !second.log().contains(words), "one at a time");
    first.child.kill().unwrap(); // SIGKILL
    first.child.wait().unwrap();
    let killed = Instant::now();
    fs::write(temp.path("in/c.ndjson"), leaver("cyd")).unwrap();
    second.wait_for(words);
    assert!(killed.elapsed() < Duration::from_secs(30), "{:?}", killed.elapsed());
    until("cyd is found", || opened(&temp, "cyd") == 1);
    second.stop();
    for name in ["ada", "bob", "cyd"] {
        assert_eq!(opened(&temp, name), 1, "{name} was found more than once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_is_read_exactly_once_over_restarts() {
    let Some(broker) = Broker::shared() else { return };
    let topic = "serve-restarts";
    broker.create_topic(topic, 2);
    let temp = TempLake::new();
    let source =
        format!("kafka = {{ bootstrap = [\"{}\"], topics = [\"{topic}\"], group = \"{topic}\" }}", broker.bootstrap);
    for (round, partition) in [(0, 0), (1, 1), (2, 0)] {
        let records = (round * 2_000..(round + 1) * 2_000).map(|number| Some(record(number)));
        broker.produce(topic, partition, records);
        let service = Service::start(&temp, &config(&source, ""), &format!("log-{round}"), &[]);
        service.wait_for("serving");
        // Stopped in the midst of it: what is held is committed.
        std::thread::sleep(Duration::from_millis(if round == 2 { 0 } else { 1_500 }));
        service.stop();
    }
    let service = Service::start(&temp, &config(&source, ""), "last.log", &["--only", "ingest"]);
    let lake = temp.open().await;
    let ends = BTreeMap::from([(format!("kafka:{topic}/0"), 4_000), (format!("kafka:{topic}/1"), 2_000)]);
    let began = Instant::now();
    loop {
        let state = lake.events().refresh().await.unwrap();
        if ends.iter().all(|(id, end)| state.positions.get(id) == Some(end)) {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(40), "{}", service.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let log = service.stop();
    assert!(!log.contains("ERROR"), "{log}");
    assert_tiled(&lake, &ends).await;
}

#[test]
fn twelve_mistakes_are_told_at_once_with_file_line_and_key() {
    let temp = TempLake::new();
    let file = temp.path("tokentrail.toml");
    let text = "[lake]\nurl = \"x\"\nkeep_raw = 3\n[ingest]\ncommit_rows = 0\ncommit_mss = 5\n[[ingest.source]]\nname = \"a\"\n\
                every_secnds = 5\nformat = \"okto\"\nfiles = [\"in\"]\n[detect]\npolcy = \"p.toml\"\napart_seconds = 1\n\
                [maintain]\nevery_seconds = \"often\"\n[telemetry]\nlisen = \"x\"\n[serv]\ndrain_seconds = 1\n[alert]\nattempts_max = 0\n";
    fs::write(&file, text).unwrap();
    let check =
        || program().args(["config", "check", "--offline", "--config", file.to_str().unwrap()]).output().unwrap();
    let output = check();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{told}");
    for place in [
        "tokentrail.toml:2: unknown key \"url\"; did you mean \"uri\"?",
        "tokentrail.toml:3: ",
        "tokentrail.toml:5: commit_rows",
        "tokentrail.toml:6: unknown key \"commit_mss\"; did you mean \"commit_ms\"?",
        "tokentrail.toml:9: unknown key \"every_secnds\"; did you mean \"every_seconds\"?",
        "unknown format \"okto\"; did you mean \"okta\"?",
        "tokentrail.toml:13: unknown key \"polcy\"; did you mean \"policy\"?",
        "tokentrail.toml:14: apart_seconds",
        "tokentrail.toml:16: ",
        "tokentrail.toml:18: unknown key \"lisen\"; did you mean \"listen\"?",
        "tokentrail.toml:19: unknown key \"serv\"; did you mean \"serve\"?",
        "tokentrail.toml:22: alert.attempts_max is 0",
    ] {
        assert!(told.contains(place), "{place} is not in\n{told}");
    }
    assert_eq!(told.lines().filter(|line| line.contains("tokentrail.toml:")).count(), 12, "{told}");
    let example = program().args(["config", "example"]).output().unwrap();
    fs::write(&file, example.stdout).unwrap();
    assert!(check().status.success(), "{}", String::from_utf8_lossy(&check().stderr));
}

#[test]
fn a_check_tries_each_connection_and_tells_all_that_fail() {
    let temp = TempLake::new();
    fs::write(temp.path("file"), "").unwrap();
    // A port that was free a moment ago: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = format!(
        "[lake]\nuri = \"file/lake\"\n[[ingest.source]]\nname = \"broker\"\nkafka = {{ bootstrap = [\"127.0.0.1:{port}\"], \
         topics = [\"t\"] }}\n[[ingest.source]]\nname = \"gone\"\nfiles = [\"nowhere\"]\n[alert.sinks.hook]\n\
         type = \"webhook\"\nurl = \"http://127.0.0.1:{port}/secret-path\"\n"
    );
    let file = temp.path("tokentrail.toml");
    fs::write(&file, text).unwrap();
    let run = |what: &str| program().args(["config", what, "--config", file.to_str().unwrap()]).output().unwrap();
    let output = run("check");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{told}");
    for place in ["[lake]: ", "source broker: ", "source gone: ", "alert.sinks.hook: 127.0.0.1"] {
        assert!(told.contains(place), "{place} is not in\n{told}");
    }
    let shown = String::from_utf8_lossy(&run("show").stdout).into_owned();
    assert!(shown.contains("(left out)") && !shown.contains("secret-path"), "{shown}");
}
