//! The detectors' cases, and the page about them: tests/detectors and docs/DETECTORS.md.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tokentrail::detect::catalog::Catalog;

use crate::harness::tokentrail;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_detector_has_cases_on_both_sides() {
    let catalog = Catalog::load(None).unwrap();
    let cases = root().join("tests/detectors");
    let counts: BTreeMap<&str, [usize; 2]> = catalog
        .all()
        .iter()
        .map(|detector| {
            let names = names(&cases.join(&detector.id));
            let count = |prefix: &str| names.iter().filter(|name| name.starts_with(prefix)).count();
            (detector.id.as_str(), [count("fires_"), count("quiet_")])
        })
        .collect();
    let few: Vec<_> = counts.iter().filter(|(_, counts)| counts.iter().any(|count| *count < 2)).collect();
    assert!(few.is_empty(), "at least two cases that fire and two that are quiet: {few:?}");
    let mut files: Vec<String> =
        names(&root().join("queries")).iter().filter_map(|n| n.strip_suffix(".sql").map(str::to_owned)).collect();
    files.sort();
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), files, "a file in queries/ that is not compiled in");
}

#[test]
fn every_case_comes_out_as_expected() {
    let cases = root().join("tests/detectors");
    let output = tokentrail(&["detectors", "test", "--cases", cases.to_str().unwrap()]);
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn a_case_that_comes_out_otherwise_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let from = root().join("tests/detectors/refresh_after_offboarding/fires_after_the_grace");
    let case = folder.path().join("refresh_after_offboarding/fires");
    std::fs::create_dir_all(&case).unwrap();
    for name in names(&from) {
        std::fs::copy(from.join(&name), case.join(&name)).unwrap();
    }
    let expected = std::fs::read_to_string(case.join("expected.ndjson")).unwrap();
    std::fs::write(case.join("expected.ndjson"), expected.replace("11T08:00:00Z", "11T08:00:01Z")).unwrap();
    let output = tokentrail(&["detectors", "test", "--cases", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("  - {") && said.contains("  + {") && said.contains("1 not"), "{said}");
}

#[test]
fn the_page_of_detectors_is_up_to_date() {
    let page = String::from_utf8(tokentrail(&["detectors", "docs"]).stdout).unwrap();
    let kept = std::fs::read_to_string(root().join("docs/DETECTORS.md")).unwrap_or_default();
    assert!(page == kept, "docs/DETECTORS.md is out of date; make it anew with `tokentrail detectors docs`");
}
