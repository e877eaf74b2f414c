//! Each rule of style against lines that break it and lines that only look so.

use super::*;

const NOTHING: [usize; 0] = [];

/// The lines of an example that break a rule.
fn lines(rule: Rule, path: &str, text: &str) -> Vec<usize> {
    let file = File::new(path, text);
    let number = |breach: String| breach.split(':').nth(1).and_then(|line| line.parse().ok());
    let mut lines: Vec<_> = file.breaches(rule).into_iter().filter_map(number).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn comments_and_literals_are_blanked() {
    let text = "a /* b /* c */ d */ 'e' '\\'' 'é' b\"f\\\"\" r#\"g\"h\"# <'i> // j\nk";
    let words: Vec<_> = blanked(text).split_whitespace().map(str::to_owned).collect();
    assert_eq!(words, ["a", "b", "<'i>", "k"]);
    assert_eq!(blanked(text).len(), text.len());
    assert_eq!(blanked("for_r\"x\" \"unclosed").trim_end(), "for_r");
}

#[test]
fn an_import_upwards_is_found() {
    let text = "use crate::event;\nuse crate::{\n  clock, query::{self, alert},\n};\nfn f() { crate::serve::run() }\n// crate::cli";
    assert_eq!(lines(imports_go_down, "src/lake/delta.rs", text), [2, 5]);
    assert_eq!(lines(imports_go_down, "src/query.rs", text), [5]);
    assert_eq!(lines(imports_go_down, "src/detect.rs", "use crate::lake;\nuse crate::alert;"), [2]);
    assert_eq!(lines(imports_go_down, "src/event.rs", "use super::lake;"), [1]);
    assert_eq!(lines(imports_go_down, "src/event/arrow.rs", "use super::lake;\nuse super::super::lake;"), [2]);
    assert_eq!(lines(imports_go_down, "src/main.rs", "use tokentrail::{cli, stash};"), [1]);
    assert_eq!(lines(imports_go_down, "src/stash.rs", ""), [1]);
}

#[test]
fn a_vendor_crate_away_from_home_is_found() {
    let text =
        "use rdkafka::Message;\n#[cfg(test)]\nmod tests { use deltalake::open; }\n// datafusion\nstruct NoDatafusion;";
    assert_eq!(lines(vendor_crates_have_one_home, "src/source/file.rs", text), [1, 3]);
    assert_eq!(lines(vendor_crates_have_one_home, "src/source/kafka/group.rs", text), [3]);
    assert_eq!(lines(vendor_crates_have_one_home, "src/lake.rs", text), [1]);
    assert_eq!(lines(vendor_crates_have_one_home, "src/lakeside.rs", text), [1, 3]);
}

#[test]
fn bad_names_are_found() {
    assert_eq!(lines(no_mod_rs, "src/lake/mod.rs", ""), [1]);
    assert_eq!(lines(no_mod_rs, "src/lake.rs", ""), NOTHING);
    assert_eq!(lines(no_drawers, "src/lake/utils.rs", ""), [1]);
    assert_eq!(lines(no_drawers, "src/common/lake.rs", ""), [1]);
    assert_eq!(lines(no_drawers, "src/commons.rs", ""), NOTHING);
}

#[test]
fn long_files_and_functions_are_found() {
    let body = "    call([0; 2]);\n".repeat(FUNCTION_LINES_MAX - 2);
    let fits = format!("type F = fn(u8);\nfn fits() -> [u8; 2] {{\n{body}}}\n");
    assert_eq!(lines(functions_are_short, "src/lake.rs", &fits), NOTHING);
    assert_eq!(lines(functions_are_short, "src/lake.rs", &fits.replacen("    call", "{\n}\ncall", 1)), [2]);
    assert_eq!(lines(files_are_short, "src/lake.rs", &"\n".repeat(FILE_LINES_MAX)), NOTHING);
    assert_eq!(lines(files_are_short, "src/lake.rs", &"\n".repeat(FILE_LINES_MAX + 1)), [1]);
}

#[test]
fn a_panic_without_its_reason_is_found() {
    let text = "a.unwrap();\nb.expect(\"c\"); // cannot fail: d\ne.unwrap_or(f);\n\ng.expect(\"invariant\");\n\
                #[cfg(test)]\nmod tests {\n  h.unwrap();\n}\ni.unwrap();\n// Invariant: j\nk\n  .unwrap();\n";
    assert_eq!(lines(a_panic_has_its_reason, "src/lake.rs", text), [1, 5, 10]);
    assert_eq!(lines(a_panic_has_its_reason, "src/lake/tests.rs", text), NOTHING);
}

#[test]
fn work_left_open_is_found() {
    let text = format!("let todo = 1;\ntodo!();\nunimplemented!(\"x\");\n// {} later\n", LEFT_OPEN[0]);
    assert_eq!(lines(nothing_is_left_open, "src/lake.rs", &text), [2, 3, 4]);
    assert_eq!(lines(nothing_is_left_open, "queries/a.sql", &format!("-- {}", LEFT_OPEN[1])), [1]);
    assert_eq!(lines(no_test_is_ignored, "tests/it/a.rs", "#[test]\n#[ignore = \"slow\"]\nfn a() {}"), [2]);
}

#[test]
fn time_asked_elsewhere_is_found() {
    let text =
        "let a = Instant::now();\nlet b = SystemTime::now();\nlet c = jiff::Timestamp::now();\nclock::now_micros();";
    assert_eq!(lines(only_the_clock_tells_the_time, "src/ingest.rs", text), [2, 3]);
    assert_eq!(lines(only_the_clock_tells_the_time, "src/clock.rs", text), NOTHING);
}

#[test]
fn a_detector_without_header_is_found() {
    assert_eq!(lines(detectors_have_a_header, "queries/a.sql", "SELECT 1"), [1]);
    assert_eq!(lines(detectors_have_a_header, "queries/a.sql", "/*---\ntitle"), NOTHING);
    assert_eq!(lines(detectors_have_a_header, "queries/folds/a.sql", "SELECT 1"), NOTHING);
}

#[test]
fn whitespace_and_machine_paths_are_found() {
    assert_eq!(lines(no_trailing_whitespace, "README.md", "a \nb\n\tc\t\n"), [1, 3]);
    let text = "cd /home/ada/lake\nhttps://example.com/home/ada\nsee /etc/tokentrail and src/work/x";
    assert_eq!(lines(no_machine_paths, "docs/a.md", text), [1]);
    assert_eq!(lines(no_machine_paths, "src/lake.rs", text), NOTHING);
}
