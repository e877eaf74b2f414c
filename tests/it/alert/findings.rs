//! A lake with as many findings as a test wants, made by the program itself from records and a detector of the test's own.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::harness::{TempLake, ingest_files, program};

/// Every grant is a finding, until it is revoked.
const DETECTOR: &str = r#"/*---
title = "Token of the test"
severity = "high"
status = "stable"
kind = "violation"
summary = "A token exists."
rationale = "It is a test."
response = ["Revoke it.", "Ask its owner."]
key = ["grant_id"]
reads = ["token_events"]
every = "1m"
[controls]
attack = ["T1528"]
---*/
SELECT
    grant_id,
    MIN(subject_id) AS subject_id,
    MIN(device_id) AS device_id,
    MIN(client_id) AS client_id,
    MIN(project_id) AS project_id,
    array_agg(event_id ORDER BY event_id) AS event_ids,
    MIN(event_time) AS violated_at,
    MIN(CASE WHEN action = 'revoke' THEN event_time END) AS resolved_at
FROM token_events
WHERE event_time <= $as_of AND grant_id IS NOT NULL
GROUP BY grant_id
"#;

/// What every run takes for now.
pub const AS_OF: &str = "2026-11-20T00:00:00Z";

/// A lake, the detector `every_token`, and a configuration.
pub struct Case {
    pub lake: TempLake,
    files: usize,
}

impl Case {
    pub fn new(config: &str) -> Self {
        let lake = TempLake::new();
        std::fs::create_dir_all(lake.path("queries")).unwrap();
        std::fs::write(lake.path("queries/every_token.sql"), DETECTOR).unwrap();
        let case = Self { lake, files: 0 };
        case.configure(config);
        case
    }

    pub fn configure(&self, config: &str) {
        std::fs::write(self.lake.path("tokentrail.toml"), config).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.lake.path(name)
    }

    /// Something happens to grants with these numbers; each belongs to the subject that `subject` names. Then a run.
    pub fn happens(&mut self, action: &str, grants: std::ops::Range<usize>, subject: impl Fn(usize) -> String) {
        let minute = if action == "issue" { 10 } else { 20 };
        let line = |n: usize| {
            format!(
                r#"{{"event_id":"{action}{n}","event_time":"2026-10-01T08:{minute}:00Z","action":"{action}","project":"shop","token":{{"id":"t{n}","family":"g{n}"}},"subject":{{"id":"{}"}},"device":{{"id":"laptop-{n}"}},"client":{{"id":"cli"}}}}"#,
                subject(n)
            )
        };
        self.files += 1;
        let path = self.lake.path(&format!("events{}.ndjson", self.files));
        std::fs::write(&path, grants.map(line).collect::<Vec<_>>().join("\n") + "\n").unwrap();
        ingest_files(&self.lake, &[&path]);
        let run = self.run(&["-q", "detect", "every_token", "--as-of", AS_OF]);
        assert!(run.status.code().is_some_and(|c| c < 2), "{}", String::from_utf8_lossy(&run.stderr));
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command.args(["--lake", &self.lake.uri(), "--queries"]).arg(self.lake.path("queries")).args(arguments);
        command.env("TOKENTRAIL_CONFIG", self.lake.path("tokentrail.toml")).env("USER", "tester");
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs the program, which must say yes, and reads what it prints as a line of JSON each.
    pub fn rows(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.run(&[&["-o", "ndjson"], arguments].concat());
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// `alert run`, and the counts it ends with.
    pub fn alert(&self) -> Value {
        let output = self.run(&["-o", "json", "alert", "run"]);
        let text = String::from_utf8(output.stderr).unwrap();
        let last = text.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|_| panic!("{:?}: {text}", output.status))
    }

    /// `alert run --follow`, under way.
    pub fn follow(&self) -> Child {
        let mut command = self.command(&["-q", "alert", "run", "--follow", "--poll-ms", "50"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }
}
