//! Packs of evidence, with the program itself: what they say, that they are the same, and that no change goes unseen.

mod quiet;
mod tampering;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use sha2::Digest as _;

use crate::harness::{TempLake, ingest_files, program};

const PERIOD: [&str; 4] = ["--from", "2026-08-01", "--to", "2026-11-01"];

/// A lake with a place for packs and a key of pseudonyms.
struct Case {
    lake: TempLake,
}

impl Case {
    fn of(files: &[&Path]) -> Self {
        let lake = TempLake::new();
        ingest_files(&lake, files);
        Self { lake }
    }

    fn quickstart() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-data");
        Self::of(&[&root.join("quickstart.ndjson"), &root.join("broken.ndjson")])
    }

    /// A lake of records that `write` makes.
    fn written(text: &str) -> Self {
        let lake = TempLake::new();
        let file = lake.path("events.ndjson");
        fs::write(&file, text).unwrap();
        ingest_files(&lake, &[&file]);
        Self { lake }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-data/policy.toml");
        let mut command = program();
        command.env("TOKENTRAIL_PSEUDONYM_KEY_FILE", self.lake.path("pseudonym.key"));
        command.args(["-o", "json", "--policy", policy.to_str().unwrap()]);
        command.args(arguments).output().unwrap()
    }

    fn out(&self, name: &str) -> PathBuf {
        self.lake.path(name)
    }

    /// Exports, and gives what the program said of it.
    fn export(&self, name: &str, more: &[&str]) -> Value {
        let output = self.try_export(name, more);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn try_export(&self, name: &str, more: &[&str]) -> Output {
        let (uri, out) = (self.lake.uri(), self.out(name));
        let mut arguments = vec!["--lake", &uri, "export", "--out", out.to_str().unwrap()];
        if !more.contains(&"--from") {
            arguments.extend(PERIOD);
        }
        arguments.extend(more);
        self.run(&arguments)
    }

    fn refused(&self, name: &str, more: &[&str]) -> String {
        let output = self.try_export(name, more);
        assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stdout));
        assert!(!self.out(name).exists() || fs::read_dir(self.out(name)).is_ok());
        String::from_utf8(output.stderr).unwrap()
    }

    fn verify(&self, name: &str, more: &[&str]) -> (Option<i32>, String) {
        let out = self.out(name);
        let mut arguments = vec!["verify", out.to_str().unwrap()];
        arguments.extend(more);
        let output = self.run(&arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text)
    }
}

/// Every file of a folder, by name.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                found.insert(path.strip_prefix(root).unwrap().display().to_string(), fs::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, folder, &mut found);
    found
}

fn result<'v>(said: &'v Value, id: &str) -> (&'v str, &'v str) {
    let part = said["results"].as_array().unwrap().iter().find(|part| part["id"] == id).unwrap();
    (part["result"].as_str().unwrap(), part["reason"].as_str().unwrap())
}

fn detector(folder: &Path, id: &str) -> Value {
    let text = fs::read(folder.join("assessment.json")).unwrap();
    let all: Value = serde_json::from_slice(&text).unwrap();
    all["detectors"].as_array().unwrap().iter().find(|d| d["id"] == id).unwrap().clone()
}

#[test]
fn the_same_command_gives_the_same_bytes_and_another_order_the_same_evidence() {
    let case = Case::quickstart();
    let first = case.export("one", &["--zip", "--sample", "3", "--seed", "s"]);
    let second = case.export("two", &["--zip", "--sample", "3", "--seed", "s"]);
    assert_eq!(first["root_sha256"], second["root_sha256"]);
    let (mut one, mut two) = (files(&case.out("one")), files(&case.out("two")));
    assert!(one.len() > 100 && one.remove("run.json").is_some() && two.remove("run.json").is_some());
    for (name, bytes) in &one {
        assert!(two.get(name) == Some(bytes), "{name} differs");
    }
    assert_eq!(one.len(), two.len());
    assert!(fs::read(case.out("one.zip")).unwrap() == fs::read(case.out("two.zip")).unwrap());
    for pack in ["one", "one.zip"] {
        let (code, text) = case.verify(pack, &["--root", first["root_sha256"].as_str().unwrap()]);
        assert_eq!(code, Some(0), "{text}");
    }
    assert_eq!(case.verify("one", &["--root", "00"]).0, Some(1));

    // The same events in another order, in two files, with the same key.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-data");
    let text = fs::read_to_string(root.join("quickstart.ndjson")).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_by_key(|line| line.bytes().rev().map(u64::from).fold(7_u64, |a, b| a.wrapping_mul(31) ^ b));
    let other = TempLake::new();
    let (half, rest) = lines.split_at(lines.len() / 2);
    let (a, b) = (other.path("a.ndjson"), other.path("b.ndjson"));
    fs::write(&a, half.join("\n")).unwrap();
    fs::write(&b, rest.join("\n")).unwrap();
    ingest_files(&other, &[&a]);
    ingest_files(&other, &[&b, &root.join("broken.ndjson")]);
    fs::copy(case.out("pseudonym.key"), other.path("pseudonym.key")).unwrap();
    let other = Case { lake: other };
    let third = other.export("three", &["--sample", "3", "--seed", "s"]);
    assert_eq!(first["evidence_sha256"], third["evidence_sha256"]);
    assert_ne!(first["root_sha256"], third["root_sha256"], "provenance differs");
    let differing: Vec<String> = files(&other.out("three"))
        .into_iter()
        .filter(|(name, bytes)| one.get(name) != Some(bytes))
        .map(|(name, _)| name)
        .collect();
    // Where the rows came from is told in these; the formats for people and tools repeat it.
    let of_provenance = [
        "README.txt",
        "assessment.json",
        "coverage/sources.csv",
        "evidence.xlsx",
        "manifest.json",
        "oscal-assessment-results.json",
        "provenance.json",
        "report.html",
        "run.json",
    ];
    assert!(differing.iter().all(|name| of_provenance.contains(&name.as_str())), "{differing:?}");
}

#[test]
fn every_part_is_there_with_its_reason_and_no_promise() {
    let case = Case::quickstart();
    let said = case.export("pack", &[]);
    for number in 1..=6 {
        result(&said, &format!("PR.AA-0{number}"));
    }
    assert_eq!(result(&said, "PR.AA-06").0, "not-tested");
    assert!(result(&said, "PR.AA-06").1.starts_with("not assessed: physical access"));
    let (found, why) = result(&said, "PR.AA-01");
    assert_eq!(found, "fail", "{why}");
    assert!(why.contains("refresh_after_offboarding"), "{why}");
    assert_eq!(detector(&case.out("pack"), "impossible_travel")["result"], "not-tested", "leads never decide");
    let all = files(&case.out("pack"));
    for name in ["query.sql", "parameters.json", "result.csv", "result.parquet", "summary.json", "population.csv"] {
        assert!(all.contains_key(&format!("controls/PR.AA-01/refresh_after_offboarding/{name}")), "{name}");
    }
    for name in ["sign-off.txt", "limits.txt", "exceptions.csv", "remediation.csv", "coverage/totals.csv", "trend.csv"]
    {
        assert!(all.contains_key(name), "{name}");
    }
    let exceptions = String::from_utf8(all["exceptions.csv"].clone()).unwrap();
    assert!(exceptions.contains("OPS-1184") && exceptions.contains("infrastructure@example.com"), "{exceptions}");
    for (name, bytes) in &all {
        let text = String::from_utf8_lossy(bytes).to_lowercase();
        assert!(!text.contains(" compliant"), "{name} says more than it can");
    }
    let population: Value = detector(&case.out("pack"), "refresh_after_offboarding");
    let sum: u64 =
        population["population"]["totals"].as_array().unwrap().iter().map(|t| t["events"].as_u64().unwrap()).sum();
    assert_eq!(population["population"]["events"].as_u64(), Some(sum));
    let counted =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-data/quickstart.ndjson")).unwrap();
    let refreshes = counted.lines().filter(|line| {
        let event: Value = serde_json::from_str(line).unwrap();
        event["action"] == "refresh"
            && event["outcome"].as_str().unwrap_or("success") == "success"
            && event["subject"]["id"].is_string()
            && ("2026-08-01".."2026-11-01").contains(&event["event_time"].as_str().unwrap())
    });
    let ids: std::collections::BTreeSet<String> =
        refreshes.map(|line| serde_json::from_str::<Value>(line).unwrap()["event_id"].to_string()).collect();
    assert_eq!(sum, ids.len() as u64, "counted by hand");
}

#[test]
fn what_people_decided_is_told() {
    let case = Case::quickstart();
    let framework = case.out("small.toml");
    fs::write(&framework, SMALL).unwrap();
    let more = ["--framework", framework.to_str().unwrap()];
    case.export("before", &more);
    assert_eq!(fs::read_to_string(case.out("before").join("history.csv")).unwrap().lines().count(), 1);
    let uri = case.lake.uri();
    let output = case.run(&["--lake", &uri, "detect", "refresh_after_offboarding", "--as-of", "2026-11-01T00:00:00Z"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let id = found[0]["id"].as_str().unwrap();
    let acked = ["--owner", "sec@example.com", "--reason", "OPS-7: looked at"];
    let output = case.run(&[&["--lake", &uri, "findings", "ack", id][..], &acked].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    case.export("after", &more);
    let history = fs::read_to_string(case.out("after").join("history.csv")).unwrap();
    assert!(history.contains(",opened,") && history.contains(",acked,sec@example.com,OPS-7: looked at,"), "{history}");
    assert!(!history.contains(id), "ids of findings are under pseudonyms");
    let rows = case.out("after").join("controls/S-1/refresh_after_offboarding/result.csv");
    let name = history.lines().nth(1).unwrap().split(',').next().unwrap().to_owned();
    assert!(fs::read_to_string(rows).unwrap().contains(&name));
    assert_eq!(case.verify("after", &[]).0, Some(0));
}

#[test]
fn names_stay_here_unless_somebody_may_show_them() {
    let case = Case::quickstart();
    case.export("pack", &["--sample", "500", "--seed", "1"]);
    case.export("open", &["--identify", "--sample", "500", "--seed", "1"]);
    let mode = fs::metadata(case.out("pseudonym.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-data/quickstart.ndjson")).unwrap();
    let mut names = std::collections::BTreeSet::new();
    for line in text.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        for pointer in
            ["/subject/id", "/actor/id", "/token/id", "/token/family", "/device/id", "/host/id", "/network/ip"]
        {
            names.extend(event.pointer(pointer).and_then(Value::as_str).filter(|n| n.len() > 5).map(str::to_owned));
        }
    }
    assert!(names.len() > 50);
    let all = files(&case.out("pack"));
    let texts = || all.iter().filter(|(name, _)| !name.ends_with(".parquet") && *name != "run.json");
    for (name, bytes) in texts() {
        let text = String::from_utf8_lossy(bytes);
        // Queries and policy rules are not about anybody in the lake.
        let found = names.iter().find(|it| text.contains(it.as_str()));
        assert!(found.is_none() || name.ends_with("parameters.json") || name == "assessment.json", "{name}: {found:?}");
    }
    let open = files(&case.out("open"));
    let csv = String::from_utf8_lossy(&open["sample/timelines.csv"]).into_owned();
    assert!(names.iter().filter(|name| csv.contains(name.as_str())).count() > 50);
    assert_eq!(case.verify("open", &[]).0, Some(0));
}

#[test]
fn a_column_that_nobody_decided_about_is_kept_back() {
    let case = Case::quickstart();
    let queries = case.out("queries");
    fs::create_dir(&queries).unwrap();
    let head = include_str!("../../queries/user_token_in_ci.sql").split("[controls]").next().unwrap();
    let head = head.replace("reads    = [\"contexts\", \"ends\", \"token_events\"]", "reads    = [\"grants\"]");
    let head: String = head.split("nominate = \"\"\"").next().unwrap().replace("scope    = \"grant\"\n", "");
    let head = head.lines().filter(|line| !line.starts_with("because")).collect::<Vec<_>>().join("\n");
    let own = format!(
        "{head}\n[controls]\ncsf = [\"PR.AA-5\"]\n---*/\nSELECT grant_id, grant_id AS brand_new, started_at AS violated_at,\n\
         CAST(NULL AS TIMESTAMP) AS resolved_at FROM grants"
    );
    fs::write(queries.join("ours.sql"), own).unwrap();
    let framework = case.out("ours.toml");
    let base = "id = \"ours\"\nextends = \"nist-csf-2.0\"\n[population]\nours = { what = \"events\", where = \"TRUE\" }\n[targets]\nhigh = \"1h\"\n";
    fs::write(&framework, base).unwrap();
    let more = ["--queries", queries.to_str().unwrap(), "--framework", framework.to_str().unwrap()];
    case.export("pack", &more);
    let ours = detector(&case.out("pack"), "ours");
    assert_eq!(ours["withheld"], serde_json::json!(["brand_new"]), "{ours}");
    assert!(ours["counts"]["rows"].as_u64().unwrap() > 0);
    let csv = fs::read_to_string(case.out("pack").join("controls/PR.AA-05/ours/result.csv")).unwrap();
    assert!(!csv.contains("brand_new"));
    let assessment: Value =
        serde_json::from_slice(&fs::read(case.out("pack").join("assessment.json")).unwrap()).unwrap();
    let notes = assessment["framework"]["notes"].to_string();
    assert!(notes.contains("PR.AA-5 was read as PR.AA-05"), "{notes}");
    let late = assessment["remediation"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|r| r["state"] == "overdue" || r["state"] == "fixed-late");
    assert!(late.count() > 0);
    fs::write(&framework, format!("{base}[columns]\nbrand_new = \"id\"\n")).unwrap();
    case.export("shown", &more);
    let csv = fs::read_to_string(case.out("shown").join("controls/PR.AA-05/ours/result.csv")).unwrap();
    assert!(csv.contains("brand_new") && csv.contains("pn:"));
    assert_eq!(case.verify("shown", &[]).0, Some(0));
    // A detector that breaks is a result, and not a pack without it.
    let broken = fs::read_to_string(queries.join("ours.sql"))
        .unwrap()
        .replace("grant_id AS brand_new", "1 / (length(grant_id) * 0) AS brand_new");
    fs::write(queries.join("ours.sql"), broken).unwrap();
    let said = case.export("broken", &more);
    assert_eq!(detector(&case.out("broken"), "ours")["result"], "error");
    assert!(result(&said, "PR.AA-05").1.contains("error: ours"), "{said}");
}

#[test]
fn what_cannot_be_exported_is_refused_with_advice() {
    let case = Case::quickstart();
    let says = |more: &[&str], parts: &[&str]| {
        let error = case.refused("no", more);
        assert!(parts.iter().all(|part| error.contains(part)), "{more:?}: {error}");
    };
    says(&["--from", "2026-11-01", "--to", "2026-08-01"], &["--from has to be before --to"]);
    says(&["--from", "2026-08-01", "--to", "2026-08-01"], &["--from has to be before --to"]);
    says(&["--from", "2026-08-01", "--to", "2099-01-01"], &["in the future", "--to up to"]);
    says(&["--from", "2020-01-01", "--to", "2020-04-01"], &["older than what is kept"]);
    says(&["--from", "then", "--to", "2020-04-01"], &["2026-07-01"]);
    says(&["--framework", "nist-csf-2"], &["did you mean \"nist-csf-2.0\"?"]);
    says(&["--at", "4000"], &["no version 4000"]);
    says(&["--sample", "0", "--seed", "x"], &["0 is not in 1..=10000"]);
    let catalog = case.out("catalog.xml");
    fs::write(&catalog, "<catalog/>").unwrap();
    says(&["--catalog", catalog.to_str().unwrap()], &["it is XML", "JSON"]);
    let framework = case.out("f.toml");
    fs::write(&framework, "id=\"f\"\nextends=\"nist-csf-2.0\"\n[[part]]\nid=\"PR.AC-9\"\ntitle=\"\"\nreach=\"\"\n")
        .unwrap();
    says(&["--framework", framework.to_str().unwrap()], &["2.0 has no \"PR.AC-9\"", "nearest"]);
    assert!(!case.out("no").exists());
    fs::create_dir(case.out("full")).unwrap();
    fs::write(case.out("full").join("x"), "").unwrap();
    assert!(case.refused("full", &[]).contains("is not empty"));
    fs::create_dir(case.out("empty")).unwrap();
    case.export("empty", &[]);
    let (code, text) = case.verify("f.toml", &[]);
    assert!(code == Some(2) && text.contains("neither a folder nor a zip"), "{text}");
}

#[test]
fn a_full_disk_leaves_nothing() {
    let case = Case::quickstart();
    case.export("first", &[]);
    let before: Vec<_> = fs::read_dir(case.out("")).unwrap().map(|e| e.unwrap().file_name()).collect();
    // Files may have so many kilobytes as all but the assessment have. Without the signal, writing fails as on a full disk.
    let sizes = files(&case.out("first")).into_iter().map(|(name, bytes)| (bytes.len(), name));
    let (largest, name) = sizes.max().unwrap();
    assert_eq!(name, "assessment.json");
    let script = format!(
        "trap '' XFSZ; ulimit -f {}; exec \"$0\" --lake {} export --out {} {}",
        largest / 1024 - 1,
        case.lake.uri(),
        case.out("second").display(),
        PERIOD.join(" ")
    );
    let output = std::process::Command::new("bash")
        .args(["-c", &script, env!("CARGO_BIN_EXE_tokentrail")])
        .env("TOKENTRAIL_PSEUDONYM_KEY_FILE", case.out("pseudonym.key"))
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("cannot be written, and nothing was left behind"), "{error}");
    let after: Vec<_> = fs::read_dir(case.out("")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(before.len(), after.len(), "{after:?}");
}

#[test]
fn the_lake_gives_the_same_rows_though_it_went_on() {
    let case = Case::quickstart();
    case.export("pack", &["--sample", "5", "--seed", "x"]);
    let uri = case.lake.uri();
    let more = case.out("more.ndjson");
    let late: String = (0..50).fold(String::new(), |mut text, n| {
        let _ = writeln!(
            text,
            r#"{{"event_id":"late-{n}","event_time":"2026-10-{:02}T12:00:00Z","action":"refresh","token":{{"id":"t{n}","family":"fm-late-{n}"}},"subject":{{"id":"late{n}@example.com"}},"source":"native"}}"#,
            1 + n % 28
        );
        text
    });
    fs::write(&more, late).unwrap();
    ingest_files(&case.lake, &[&more]);
    let (code, text) = case.verify("pack", &["--lake", &uri]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("\"recomputed\":true"), "{text}");
    // Another lake has other rows, and another key gives no comparison.
    let (code, text) = case.verify("pack", &["--lake", &uri, "--pseudonym-key-file", "/dev/null"]);
    assert!(code == Some(2), "{text}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-data");
    let text = fs::read_to_string(root.join("quickstart.ndjson")).unwrap();
    let other = Case::written(&text.lines().take(200).fold(String::new(), |all, line| all + line + "\n"));
    other.export("theirs", &[]);
    let (code, text) = other.verify("theirs", &["--lake", &uri]);
    assert!(code == Some(1) && text.contains("and not the"), "{text}");
}

/// Two tests, so that a run is quick.
const SMALL: &str = r#"
id = "small"
title = "Small"
version = "1"
[[part]]
id = "S-1"
title = "Leaving"
reach = "all of it"
evidence = [{ detector = "refresh_after_offboarding", relation = "supports", why = "it looks" }]
[[part]]
id = "S-2"
title = "Logs"
reach = "all of it"
evidence = [{ detector = "audit_gap", relation = "supports", why = "it looks" }]
"#;

#[test]
fn official_statements_come_from_the_catalogue_alone() {
    let case = Case::quickstart();
    let parts = case.export("bare", &[])["results"].as_array().unwrap().clone();
    let controls: Vec<Value> = parts
        .iter()
        .map(|part| {
            serde_json::json!({"id": part["id"], "parts": [{"name": "statement",
            "prose": format!("Official words of {}", part["id"].as_str().unwrap())}]})
        })
        .collect();
    let catalog = |controls: &[Value]| {
        serde_json::json!({"catalog": {"metadata": {"title": "CSF", "version": "2.0", "oscal-version": "1.2.1"},
            "groups": [{"controls": controls}]}})
    };
    let file = case.out("catalog.json");
    fs::write(&file, catalog(&controls).to_string()).unwrap();
    case.export("pack", &["--catalog", file.to_str().unwrap()]);
    let text = fs::read_to_string(case.out("pack").join("controls/PR.AA-03/summary.json")).unwrap();
    assert!(text.contains("Official words of PR.AA-03"));
    let assessment = fs::read_to_string(case.out("pack").join("assessment.json")).unwrap();
    let hash = format!("{:x}", sha2::Sha256::digest(fs::read(&file).unwrap()));
    assert!(assessment.contains(&hash));
    assert!(assessment.contains("\"oscal_version\": \"1.2.1\""));
    assert_eq!(case.verify("pack", &[]).0, Some(0));
    fs::write(&file, catalog(&controls[1..]).to_string()).unwrap();
    assert!(case.refused("no", &["--catalog", file.to_str().unwrap()]).contains("has no PR.AA-01"));
}
