//! What makes the program pleasant in a shell: pipes that end quietly, completions, the manual, help, colours, the log.

use std::process::{Command, Stdio};

use crate::harness::{TempLake, ingest_files, program, tokentrail};

fn judged() -> TempLake {
    let temp = TempLake::new();
    let sample = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-data/quickstart.ndjson");
    ingest_files(&temp, &[&sample]);
    let output = tokentrail(&["--lake", &temp.uri(), "-q", "detect", "--as-of", "2026-11-01T00:00:00Z"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    temp
}

#[test]
fn a_reader_that_has_seen_enough_ends_no_command_in_noise() {
    let temp = judged();
    let uri = temp.uri();
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/sample-data/quickstart.ndjson");
    let policy = concat!(env!("CARGO_MANIFEST_DIR"), "/sample-data/policy.toml");
    let of_lake: [&[&str]; 20] = [
        &["query", "SELECT * FROM events"],
        &["findings", "list", "--state", "all"],
        &["findings", "show", "b9b9d43a"],
        &["detect", "--as-of", "2026-11-01T00:00:00Z"],
        &[
            "detect",
            "--explain",
            "refresh_after_offboarding",
            "subject_id=mallory@example.com",
            "grant_id=fm-mallory-gh",
        ],
        &["detectors", "list"],
        &["detectors", "show", "shared_host_reuse"],
        &["detectors", "docs"],
        &["detectors", "check"],
        &["policy", "check", policy],
        &["policy", "explain", "--grant", "fm-mallory-gh"],
        &["status"],
        &["timeline", "--grant", "fm-mallory-gh"],
        &["hunt", "list"],
        &["hunt", "show", "who_uses_host"],
        &["hunt", "run", "live_grants_by_age"],
        &["maintain", "compact"],
        &["decode", sample],
        &["ingest", "--from", sample],
        &["generate", "--events", "20000", "--out", "-"],
    ];
    let plain: [&[&str]; 5] = [&["completions", "bash"], &["--help"], &["detect", "--help"], &["--version"], &["help"]];
    for arguments in of_lake.iter().chain(&plain) {
        for output in ["table", "ndjson"] {
            let run = |stdout: Stdio| {
                let mut command = program();
                command.args(["--lake", &uri, "-o", output]).args(*arguments);
                command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).output().unwrap()
            };
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let ended = run(writer.into());
            let said = String::from_utf8_lossy(&ended.stderr).to_lowercase();
            let code = ended.status.code();
            let noise = ["panicked", "broken pipe", "error:"].iter().any(|word| said.contains(word));
            // `detect` says by its code that something is open.
            let expected = if arguments == &["detect", "--as-of", "2026-11-01T00:00:00Z"] { 1 } else { 0 };
            assert!(!noise && code == Some(expected), "{arguments:?} -o {output}: {code:?} {said}");
            if plain.contains(arguments) {
                break;
            }
        }
    }
}

#[test]
fn nobody_to_read_messages_either_is_no_panic() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let gone = ["--lake", "/no/such/place", "-v", "status"];
    let status = program().args(gone).stderr(writer).status().unwrap();
    assert_eq!(status.code(), Some(2), "a panic has code 101, a signal none");
}

#[test]
fn a_full_disk_is_an_error() {
    let Ok(full) = std::fs::File::options().write(true).open("/dev/full") else { return };
    let output = program().args(["detectors", "docs"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("standard output"));
}

#[test]
fn bash_completes_commands_and_options() {
    let temp = TempLake::new();
    let script = temp.path("tokentrail.bash");
    std::fs::write(&script, tokentrail(&["completions", "bash"]).stdout).unwrap();
    let completed = |words: &str| {
        let words = format!("COMP_WORDS=(tokentrail {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))");
        let line = format!("source {}\n{words}\n", script.display());
        let call = "_tokentrail tokentrail \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD-1]}\"; echo \"${COMPREPLY[@]}\"";
        let output = Command::new("bash").args(["--norc", "-c", &(line + call)]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(completed("det").split_whitespace().collect::<Vec<_>>(), ["detect", "detectors"]);
    assert!(completed("detect --fail").contains("--fail-on"));
    assert!(completed("--log-format ''").contains("json"));
    for (shell, mark) in [("zsh", "#compdef tokentrail"), ("fish", "complete -c tokentrail")] {
        assert!(String::from_utf8_lossy(&tokentrail(&["completions", shell]).stdout).contains(mark), "{shell}");
    }
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let temp = TempLake::new();
    let folder = temp.path("man");
    assert!(tokentrail(&["man", folder.to_str().unwrap()]).status.success());
    let page = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let detect = page("tokentrail-detect.1");
    assert!(detect.contains(".TH tokentrail-detect 1") && detect.contains("\\-\\-fail\\-on"), "{detect}");
    assert!(detect.contains("Examples:") && page("tokentrail.1").contains("tokentrail\\-findings"));
    page("tokentrail-findings-suppress.1");
}

#[test]
fn colours_are_for_terminals_and_hints_for_people() {
    let mut gone = program();
    gone.args(["--lake", "/no/such/place", "status"]).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1");
    let said = gone.output().unwrap().stderr;
    assert!(!said.contains(&0x1b), "{}", String::from_utf8_lossy(&said));
    let help = tokentrail(&["detect", "--help"]).stdout;
    assert!(!help.contains(&0x1b) && String::from_utf8_lossy(&help).contains("Examples:"));
    let unknown = String::from_utf8(tokentrail(&["detct"]).stderr).unwrap();
    assert!(unknown.contains("'detect'"), "{unknown}");
    let missing = tokentrail(&["--policy", "/no/such/policy.toml", "policy", "check"]);
    let said = String::from_utf8(missing.stderr).unwrap();
    assert!(said.starts_with("error: ") && said.contains("/no/such/policy.toml"), "{said}");
    let levels = tokentrail(&["--log", "tokentrail=loud", "detectors", "list"]);
    let said = String::from_utf8(levels.stderr).unwrap();
    assert!(levels.status.code() == Some(2) && said.contains("loud") && said.contains("expected such as"), "{said}");
}

#[test]
fn the_log_can_be_json_and_names_nobody() {
    let temp = TempLake::new();
    let sample = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-data/quickstart.ndjson");
    let named = temp.path("named.ndjson");
    let text = std::fs::read_to_string(sample).unwrap()
        + "{\"event_time\":\"tomorrow\",\"action\":\"mallory\"}\nmallory@example.com\n";
    std::fs::write(&named, &text).unwrap();
    let uri = temp.uri();
    let key = temp.path("secret.key");
    let run = |arguments: &[&str]| {
        let mut command = program();
        command.env_remove("TOKENTRAIL_SECRET_KEY").env("TOKENTRAIL_SECRET_KEY_FILE", &key);
        let output = command.args(["--lake", &uri, "--log-format", "json"]).args(arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let lines: Vec<serde_json::Value> = said.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        assert!(!said.contains("mallory") && !said.contains("example.com"), "{said}");
        for line in &lines {
            let known = ["at", "level", "module", "message"].iter().all(|name| line[*name].is_string());
            assert!(known && line["at"].as_str().unwrap().ends_with('Z'), "{line}");
        }
        lines
    };
    let made = run(&["ingest", "--from", named.to_str().unwrap()]);
    assert!(made.iter().any(|l| l["module"] == "tokentrail::ingest::key" && l["level"] == "info"), "{made:?}");
    run(&["detect", "--as-of", "2026-11-01T00:00:00Z"]);
    let debug = run(&["--log", "off,tokentrail::detect=debug", "detect", "--as-of", "2026-11-01T00:00:00Z"]);
    assert!(debug.iter().any(|line| line["milliseconds"].is_number()), "{debug:?}");
    let failed = run(&["query", "SELECT nothing FROM nowhere"]);
    assert!(failed.iter().any(|line| line["level"] == "error"), "{failed:?}");
}
