//! `detectors docs`: what every detector means, as one page of Markdown made from the files' headers.

use std::fmt::Write as _;

use crate::detect::catalog::{Catalog, Detector};
use crate::detect::header::Kind;
use crate::policy::Policy;

const INTRODUCTION: &str = "\
# Detectors

Made by `tokentrail detectors docs` from the headers of the files in `queries/`. Each detector is one SQL file; its cases,
small stories that say at which moment it fires and at which it does not yet, are in `tests/detectors/`.

| detector | severity | kind | what it finds |
|---|---|---|---|
";

/// The page.
pub fn page(catalog: &Catalog) -> String {
    let mut page = INTRODUCTION.to_owned();
    for d in catalog.all() {
        let row = (&d.id, d.header.severity, kind(d), one_line(&d.header.summary));
        let _ = writeln!(page, "| [{0}](#{0}) | {1} | {2} | {3} |", row.0, row.1, row.2, row.3); // a String takes all
    }
    for detector in catalog.all() {
        section(&mut page, detector);
    }
    page
}

fn section(page: &mut String, detector: &Detector) {
    let header = &detector.header;
    let mut line = |text: &str| {
        page.push_str(text);
        page.push('\n');
    };
    line(&format!("\n## {}\n\n**{}.** {}\n", detector.id, header.title, one_line(&header.summary)));
    line(&one_line(&header.rationale));
    line(&format!(
        "\nOne finding per {}. Severity {}, runs every {}.",
        header.key.join(", "),
        header.severity,
        header.every
    ));
    let keys: Vec<String> = Policy::KEYS
        .iter()
        .filter(|key| key.detectors.contains(&detector.id.as_str()))
        .map(|key| format!("- `{}` ({}): {}", key.name, key.default, key.help))
        .collect();
    for (title, items) in [
        ("Policy", keys),
        ("When it is wrong", items(&header.false_positives)),
        ("What to do", items(&header.response)),
    ] {
        if !items.is_empty() {
            line(&format!("\n{title}:\n\n{}", items.join("\n")));
        }
    }
    let controls = &header.controls;
    let named = [
        ("NIST CSF 2.0", &controls.csf),
        ("OWASP NHI", &controls.nhi),
        ("ATT&CK", &controls.attack),
        ("NIST SP 800-53", &controls.nist_800_53),
    ];
    let named = named.iter().filter(|(_, ids)| !ids.is_empty()).map(|(name, ids)| format!("{name} {}", ids.join(", ")));
    line(&format!("\nControls: {}.", named.collect::<Vec<_>>().join("; ")));
}

fn kind(detector: &Detector) -> &'static str {
    match detector.header.kind {
        Kind::Violation => "violation",
        Kind::Lead => "lead",
    }
}

fn items(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| format!("- {}", one_line(text))).collect()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
