//! Formats of packs that the program made, read by those who know nothing of us: compliance-trestle and the official schema,
//! a model of OCSF, and Chromium with axe-core.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::harness::{TempLake, ingest_files, program};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A pack of the sample events, with names that are markup and formulas, shown as they are.
fn pack(lake: &TempLake, framework: &str) -> PathBuf {
    let strange = lake.path("strange.ndjson");
    let name = r#"=cmd|'/c calc'!A1<script>alert(1)</script>"#;
    let line = |id: &str, action: &str, time: &str| {
        format!(
            r#"{{"event_id":"{id}","event_time":"{time}","action":"{action}","outcome":"success","token":{{"id":"t{id}","family":"strange"}},"subject":{{"id":"{name}"}}}}"#
        )
    };
    let lines = [
        line("s1", "issue", "2026-09-01T08:00:00Z"),
        line("s2", "offboard", "2026-09-02T08:00:00Z"),
        line("s3", "refresh", "2026-09-03T08:00:00Z"),
    ];
    fs::write(&strange, lines.join("\n")).unwrap();
    ingest_files(lake, &[&root().join("sample-data/quickstart.ndjson"), &strange]);
    export(lake, framework)
}

fn export(lake: &TempLake, framework: &str) -> PathBuf {
    let out = lake.path(framework);
    let mut command = program();
    command.env("TOKENTRAIL_PSEUDONYM_KEY_FILE", lake.path("pseudonym.key"));
    command.args([
        "--policy",
        root().join("sample-data/policy.toml").to_str().unwrap(),
        "--lake",
        &lake.uri(),
        "export",
    ]);
    command.args(["--framework", framework, "--from", "2026-08-01", "--to", "2026-11-01", "--identify", "--out"]);
    let output = command.arg(&out).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    out
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn python(script: &str, file: &Path) -> Option<Output> {
    let Ok(python) = std::env::var("TOKENTRAIL_PYTHON") else {
        eprintln!("not tested: TOKENTRAIL_PYTHON names no Python with the validators; `make test` sets it");
        return None;
    };
    Some(Command::new(python).arg(root().join("tests/python").join(script)).arg(file).output().unwrap())
}

#[test]
fn every_format_is_in_the_pack_and_verified() {
    let lake = TempLake::new();
    let out = pack(&lake, "nist-csf-2.0");
    let formats = [
        "report.html",
        "summary.csv",
        "evidence.xlsx",
        "oscal-assessment-results.json",
        "ocsf-compliance-findings.ndjson",
    ];
    for name in formats {
        let bytes = fs::read(out.join(name)).unwrap();
        assert!(!bytes.is_empty());
        let verify = || program().arg("verify").arg(&out).output().unwrap();
        fs::write(out.join(name), [bytes.as_slice(), b" "].concat()).unwrap();
        let output = verify();
        assert!(output.status.code() == Some(1) && told(&output).contains(name), "{}", told(&output));
        fs::write(out.join(name), bytes).unwrap();
    }
    let output = program().arg("verify").arg(&out).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"), "the strange name is there, as text");
}

#[test]
fn oscal_is_valid_by_trestle_and_schema_for_every_framework() {
    let lake = TempLake::new();
    let mut packs = vec![pack(&lake, "nist-csf-2.0")];
    packs.extend(["nist-sp800-53-r5", "owasp-nhi-2025", "nist-ai-rmf-1.0"].map(|framework| export(&lake, framework)));
    for out in packs {
        let file = out.join("oscal-assessment-results.json");
        let document: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let result = &document["assessment-results"]["results"][0];
        for finding in result["findings"].as_array().into_iter().flatten() {
            let target = &finding["target"];
            assert!(
                target["type"] == "objective-id" && target["target-id"].as_str().unwrap().contains("_obj."),
                "{target}"
            );
        }
        let Some(output) = python("check_oscal.py", &file) else { return };
        assert!(output.status.success(), "{}: {}", out.display(), told(&output));
    }
    // The judge sees what is wrong.
    let broken = lake.path("broken.json");
    let text = fs::read_to_string(lake.path("nist-csf-2.0").join("oscal-assessment-results.json")).unwrap();
    fs::write(&broken, text.replacen("\"TEST\"", "\"\"", 9).replace("\"uuid\": \"", "\"uuid\": \"x")).unwrap();
    assert_eq!(python("check_oscal.py", &broken).unwrap().status.code(), Some(1));
}

#[test]
fn ocsf_is_valid_by_a_model_and_a_schema_of_others() {
    let lake = TempLake::new();
    let file = pack(&lake, "nist-csf-2.0").join("ocsf-compliance-findings.ndjson");
    let text = fs::read_to_string(&file).unwrap();
    let lines = text.lines().count();
    assert!(lines > 20 && text.lines().all(|line| line.contains("\"class_uid\":2003")));
    let Some(output) = python("check_ocsf.py", &file) else { return };
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(told(&output).lines().next(), Some(lines.to_string().as_str()));
    for (right, wrong) in [("\"severity_id\":", "\"severity\":"), ("\"class_uid\":2003", "\"class_uid\":\"2003\"")] {
        let broken = lake.path("broken.ndjson");
        fs::write(&broken, text.replacen(right, wrong, 1)).unwrap();
        assert_eq!(python("check_ocsf.py", &broken).unwrap().status.code(), Some(1), "{wrong}");
    }
}

#[test]
fn the_report_reads_in_chromium_by_the_rules_of_axe() {
    let lake = TempLake::new();
    let page = pack(&lake, "nist-csf-2.0").join("report.html");
    if std::env::var_os("TOKENTRAIL_REPORT_TOOLS").is_none() {
        eprintln!("not tested: TOKENTRAIL_REPORT_TOOLS names no axe-core; `make test` sets it");
        return;
    }
    let check = |page: &Path, more: &[&Path]| {
        let mut command = Command::new(root().join("scripts/check-report"));
        command.arg(page);
        for (option, file) in ["--png", "--pdf"].iter().zip(more) {
            command.arg(option).arg(file);
        }
        command.output().unwrap()
    };
    let (png, pdf) = (lake.path("report.png"), lake.path("report.pdf"));
    let output = check(&page, &[&png, &pdf]);
    assert!(output.status.success(), "{}", told(&output));
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(seen["pdf_pages"].as_u64().unwrap() > 3 && seen["charts"] == 3, "{seen}");
    assert!(fs::read(&png).unwrap().starts_with(b"\x89PNG") && fs::read(&pdf).unwrap().starts_with(b"%PDF"));

    // The judge sees what is wrong: a chart without a name, and text that nearly has the colour of its paper.
    let broken = lake.path("broken.html");
    let text = fs::read_to_string(&page).unwrap().replace("role=\"img\" aria-labelledby=", "role=\"img\" data-x=");
    fs::write(&broken, text.replacen("--quiet: #4c5a68", "--quiet: #e0e4e8", 1).replace("<title id=", "<desc id="))
        .unwrap();
    let output = check(&broken, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rules: Vec<&str> = seen["violations"].as_array().unwrap().iter().filter_map(|v| v["rule"].as_str()).collect();
    assert!(rules.contains(&"svg-img-alt") && rules.contains(&"color-contrast"), "{rules:?}");
}
