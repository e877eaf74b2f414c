//! What operators run and read is held against the code: metrics, arguments and units that docs and deploy/ name.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use tokentrail::serve::metrics::Metrics;

use crate::harness::{TempLake, program, tokentrail};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names of our metrics that a text holds.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("tokentrail_"));
    let histograms: BTreeSet<String> =
        Metrics::new().described().iter().filter(|d| d.kind == "histogram").map(|d| d.name.clone()).collect();
    let plain = |word: &str| {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end));
        base.filter(|base| histograms.contains(*base)).unwrap_or(word).to_owned()
    };
    ours.map(plain).collect()
}

#[test]
fn dashboard_rules_and_docs_name_metrics_that_are_there() {
    let known: BTreeSet<String> = Metrics::new().described().iter().map(|d| d.name.clone()).collect();
    let (rules, dashboard) = (read("deploy/prometheus/tokentrail-alerts.yaml"), read("deploy/grafana/tokentrail.json"));
    let docs = read("docs/OPERATIONS.md");
    for (name, text) in [("alert rules", &rules), ("dashboard", &dashboard), ("docs", &docs)] {
        let strangers: Vec<_> = metrics_in(text).difference(&known).cloned().collect();
        assert!(strangers.is_empty(), "{name}: no such metrics: {strangers:?}");
    }
    let shown: BTreeSet<String> = metrics_in(&dashboard);
    assert_eq!(known.difference(&shown).collect::<Vec<_>>(), Vec::<&String>::new(), "not on the dashboard");
    assert_eq!(metrics_in(&docs), known);
}

#[test]
fn the_page_for_operators_is_what_the_code_says() {
    let made = tokentrail(&["reference", root().join("docs/OPERATIONS.md").to_str().unwrap()]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made = String::from_utf8(made.stdout).unwrap();
    assert!(made == read("docs/OPERATIONS.md"), "run: tokentrail reference --update docs/OPERATIONS.md");
}

/// The arguments behind the program's name in deployment files.
fn commands() -> Vec<(String, Vec<String>)> {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let listed = |text: &str| {
        let inside = text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).unwrap().0;
        inside.split(',').map(|word| word.trim().trim_matches('"').to_owned()).collect::<Vec<_>>()
    };
    let mut commands = Vec::new();
    for path in ["deploy/systemd/tokentrail.service", "deploy/systemd/tokentrail-detect.service"] {
        let text = read(path);
        let line = text.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/tokentrail ")).unwrap();
        commands.push((path.to_owned(), words(line)));
    }
    for path in ["deploy/kubernetes/tokentrail.yaml", "deploy/kubernetes/detect-cronjob.yaml"] {
        let text = read(path);
        commands.push((path.to_owned(), listed(text.lines().find(|line| line.contains("args: [")).unwrap())));
    }
    let dockerfile = read("deploy/Dockerfile");
    commands.push(("deploy/Dockerfile".into(), listed(dockerfile.lines().find(|l| l.starts_with("CMD")).unwrap())));
    commands
}

#[test]
fn the_configurations_of_deploy_and_of_the_docs_are_good() {
    for path in ["deploy/tokentrail.toml", "src/config/example.toml"] {
        if let Err(error) = tokentrail::config::Config::load(&root().join(path), &Default::default()) {
            panic!("{path}: {error}");
        }
    }
    tokentrail::policy::Policy::load(&root().join("deploy/policy.toml")).unwrap();
}

#[test]
fn what_is_deployed_starts_as_it_is_written() {
    for (path, arguments) in commands() {
        // --help of the very command: an argument that is not known is refused before it.
        let output = program().args(&arguments).arg("--help").output().unwrap();
        assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_release_archive_is_whole_and_the_same_each_time() {
    let temp = TempLake::new();
    let make = |name: &str| {
        let folder = temp.path(name);
        let mut command = Command::new(root().join("scripts/dist"));
        command
            .arg(&folder)
            .env("TOKENTRAIL_GZIP_LEVEL", "1")
            .env("TOKENTRAIL_BINARY", env!("CARGO_BIN_EXE_tokentrail"))
            .env("SOURCE_DATE_EPOCH", "1767225600");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let (first, second) = (make("a"), make("b"));
    assert!(std::fs::read(&first).unwrap() == std::fs::read(&second).unwrap(), "the same tree gave other bytes");
    let unpacked = temp.path("unpacked");
    std::fs::create_dir(&unpacked).unwrap();
    let run = |command: &mut Command| assert!(command.status().unwrap().success(), "{command:?}");
    run(Command::new("tar").args(["-xzf", &first, "--strip-components=1", "-C"]).arg(&unpacked));
    run(Command::new("sha256sum").args(["--quiet", "-c", "SHA256SUMS"]).current_dir(&unpacked));
    run(Command::new(unpacked.join("bin/tokentrail")).args(["detectors", "check"]).stdout(std::process::Stdio::null()));
    for path in
        ["LICENSE", "queries/shared_host_reuse.sql", "completions/tokentrail.zsh", "man/man1/tokentrail-detect.1"]
    {
        assert!(unpacked.join(path).is_file(), "{path} is missing");
    }
    let libraries = std::fs::read_to_string(unpacked.join("shared-libraries.txt")).unwrap();
    let docs = read("docs/OPERATIONS.md");
    for library in libraries.lines().filter_map(|line| line.split(".so").next()).filter(|l| l.starts_with("lib")) {
        assert!(docs.contains(library), "docs/OPERATIONS.md does not say that {library} is needed");
    }
}
