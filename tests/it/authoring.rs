//! Writing a detector: begin one, check it, test it, look at what it would have found, and see why it does or does not fire.

use std::process::Output;

use crate::harness::{TempLake, ingest_files, tokentrail};

const AS_OF: &str = "2026-11-20T00:00:00Z";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn run(lake: &TempLake, arguments: &[&str]) -> Output {
    let (uri, queries) = (lake.uri(), lake.path("queries").display().to_string());
    std::fs::create_dir_all(&queries).unwrap();
    tokentrail(&[&["--lake", &uri, "--queries", &queries], arguments].concat())
}

fn quickstart(lake: &TempLake) {
    ingest_files(lake, &[concat!(env!("CARGO_MANIFEST_DIR"), "/sample-data/quickstart.ndjson").as_ref()]);
}

#[test]
fn a_new_detector_is_good_and_its_cases_pass() {
    let lake = TempLake::new();
    let cases = lake.path("cases").display().to_string();
    let made = run(&lake, &["detectors", "new", "old_client", "--cases", &cases]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let file = lake.path("queries/old_client.sql");
    let check = run(&lake, &["detectors", "check", file.to_str().unwrap()]);
    assert!(check.status.success(), "{}", text(&check.stderr));
    let test = run(&lake, &["detectors", "test", "old_client", "--cases", &cases]);
    assert!(text(&test.stdout).contains("2 cases as expected, 0 not"), "{}", text(&test.stdout));
    let expected = std::fs::read_to_string(lake.path("cases/old_client/fires_at_a_refresh/expected.ndjson")).unwrap();
    assert!(expected.contains("\"resolved_at\":\"2026-11-03T08:00:00Z\""), "{expected}");
    assert!(
        run(&lake, &["detectors", "new", "old_client", "--cases", &cases]).status.code() != Some(0),
        "no overwriting"
    );
    let bad = run(&lake, &["detectors", "new", "Bad-Name", "--cases", &cases]);
    assert!(text(&bad.stderr).contains("is no id"), "{}", text(&bad.stderr));
}

#[test]
fn a_backtest_tells_new_from_current() {
    let lake = TempLake::new();
    quickstart(&lake);
    let same = lake.path("unrevoked_lost_device.sql");
    let unchanged = include_str!("../../queries/unrevoked_lost_device.sql");
    std::fs::write(&same, unchanged).unwrap();
    let told = run(&lake, &["detectors", "backtest", same.to_str().unwrap(), "--to", AS_OF]);
    assert!(told.status.success(), "{}", text(&told.stderr));
    assert!(text(&told.stdout).contains("found by both."), "{}", text(&told.stdout));
    std::fs::write(
        &same,
        unchanged.replace("violated_at <= $as_of\n", "violated_at <= $as_of AND grant_id = 'fm-victor-claude'\n"),
    )
    .unwrap();
    let told = run(&lake, &["detectors", "backtest", same.to_str().unwrap(), "--to", AS_OF]);
    let said = text(&told.stdout);
    assert!(said.contains("1 found by both") && said.contains("found by current only"), "{said}");
    let none =
        run(&lake, &["detectors", "backtest", same.to_str().unwrap(), "--from", "2026-11-01T00:00:00Z", "--to", AS_OF]);
    assert!(text(&none.stdout).contains("Neither finds anything."), "{}", text(&none.stdout));
}

#[test]
fn why_and_why_not_condition_by_condition() {
    let lake = TempLake::new();
    quickstart(&lake);
    let explain = |grant: &str, device: &str| {
        let key = [format!("grant_id={grant}"), format!("device_id={device}")];
        let words = ["detect", "--as-of", AS_OF, "--explain", "unrevoked_lost_device", &key[0], &key[1]];
        let output = run(&lake, &words);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let fires = explain("fm-victor-claude", "dev-victor");
    assert!(fires.contains("unrevoked_lost_device fires for"), "{fires}");
    let quiet = explain("fm-alice-claude", "dev-alice");
    assert!(quiet.contains("does not fire for"), "{quiet}");
    assert!(quiet.contains("does not name this key"), "{quiet}");
    let wrong = run(&lake, &["detect", "--explain", "unrevoked_lost_device", "colour=red", "x"]);
    assert!(text(&wrong.stderr).contains("is no COLUMN=VALUE"), "{}", text(&wrong.stderr));
}

#[test]
fn what_makes_a_detector_no_detector_is_named_with_its_line() {
    let lake = TempLake::new();
    let good = include_str!("../../src/cli/scaffold/detector.sql").replace("DETECTOR", "mine");
    for (from, to, line, part) in [
        ("array_agg(r.event_id ORDER BY r.event_time, r.source, r.event_id)", "array_agg(r.event_id)", 38, "ORDER BY"),
        ("MAX(r.event_time) AS last", "now() AS last", 37, "use $as_of"),
        ("INNER JOIN grants AS g", "INNER JOIN grantz AS g", 40, "grantz"),
        ("{refresh_count}", "{refreshcount}", 10, "refreshcount"),
        ("[\"grants\", \"token_events\"]", "[\"grants\"]", 14, "reads token_events too"),
        ("WITH refreshes AS (", "WITH refreshes AZ (", 25, "AZ"),
    ] {
        assert!(good.contains(from), "{from}");
        let file = lake.path("mine.sql");
        std::fs::write(&file, good.replace(from, to)).unwrap();
        let said = text(&run(&lake, &["detectors", "check", file.to_str().unwrap()]).stderr);
        assert!(said.contains(part), "{to}: {said}");
        let place = said.lines().find(|l| l.contains(part)).and_then(|l| l.split(':').nth(1)?.parse::<i32>().ok());
        assert!(place.is_some_and(|found| (found - line).abs() <= 2), "{to} is near line {line}: {said}");
    }
}

#[test]
fn one_that_takes_too_long_fails_alone() {
    let lake = TempLake::new();
    quickstart(&lake);
    let slow = include_str!("../../src/cli/scaffold/detector.sql")
        .replace("every    =", "timeout  = \"1ms\"\nevery    =")
        .replace("nominate =", "# nominate =");
    std::fs::create_dir_all(lake.path("queries")).unwrap();
    std::fs::write(lake.path("queries/slow.sql"), slow).unwrap();
    let output = run(&lake, &["detect", "--as-of", AS_OF, "-o", "ndjson"]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.contains("detector slow failed") && said.contains("longer than 1ms"), "{said}");
    assert_eq!(said.matches("failed").count(), 1, "{said}");
    assert!(text(&output.stdout).contains("unrevoked_lost_device"), "the others ran");
}
