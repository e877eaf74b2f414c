//! Formats of an assessment that is as unkind as data gets: names are markup and formulas, results are of every kind.

use std::collections::BTreeSet;
use std::io::{Cursor, Read as _};

use serde_json::{Value, json};

use super::*;
use crate::export::model::{Column, Outcome, Table, Treatment};

const HOSTILE: &str = "</td><script>alert(1)</script>\"'&\u{202e}";
const FORMULA: &str = "=HYPERLINK(\"https://example.com\",\"x\")";
const DAY: i64 = 86_400_000_000;
const BEGIN: i64 = 1_790_812_800_000_000;

fn at(day: i64) -> Value {
    json!(crate::export::model::Moment(BEGIN + day * DAY))
}

fn detector(id: &str, kind: &str, result: &str, rows: u64) -> Value {
    json!({
        "id": id, "title": format!("{id} {HOSTILE}"), "summary": HOSTILE, "rationale": "Why.\nOn two lines.", "kind": kind,
        "severity": "high", "references": { "attack": ["T1550.001", "T1528"], "csf": ["PR.AA-01"], "nhi": ["NHI1:2025"] },
        "result": result, "reason": format!("of {id}"),
        "population": { "what": "refreshes", "definition": "action = 'refresh'", "events": 223,
            "totals": [{ "source": "okta", "day": "2026-10-01", "action": "refresh", "events": 223 }] },
        "counts": { "rows": rows, "found": rows, "excepted": 0, "open_at_end": rows, "uncertain": 0 },
        "feeds": [], "sql": format!("SELECT '{HOSTILE}'"), "sql_sha256": "aa", "parameters": { "as_of": "2026-10-31", "empty": "" },
        "withheld": ["raw"], "rows_sha256": "bb",
    })
}

fn part(id: &str, supporting: bool, result: &str, detectors: &[&str]) -> Value {
    let links: Vec<Value> = detectors
        .iter()
        .map(|name| {
            json!({ "detector": name, "relation": "detects-violation-of", "decides": !supporting, "why": "Because.",
                "folder": format!("controls/{id}/{name}") })
        })
        .collect();
    json!({ "id": id, "title": "Short", "reach": "Strong", "is_supporting": supporting, "result": result,
        "reason": format!("rows found by {}", detectors.join(", ")), "links": links })
}

/// An assessment with a detector of every outcome.
fn assessment() -> Assessment {
    let results: Vec<&str> = Outcome::ALL.iter().map(|(name, _)| *name).collect();
    let mut detectors: Vec<Value> =
        results.iter().map(|name| detector(name, "violation", name, u64::from(*name == "fail"))).collect();
    detectors.push(detector("a_lead", "lead", "not-tested", 0));
    let counts: serde_json::Map<String, Value> = results.iter().map(|name| ((*name).to_owned(), json!(1))).collect();
    let mut it: Assessment = serde_json::from_value(json!({
        "tool": { "name": "tokentrail", "version": "0.0.0" },
        "framework": { "id": "nist-csf-2.0", "title": "Framework", "version": "2.0", "part": "subcategory", "sha256": "cc",
            "notes": [HOSTILE] },
        "scope": { "sources": ["okta"], "identified": false, "pseudonym_key": "k", "statements": [HOSTILE] },
        "period": { "from": at(0), "to": at(31), "as_of": json!(crate::export::model::Moment(BEGIN + 31 * DAY - 1)) },
        "summary": { "events": 1_234_567, "subcategories": counts, "detectors": counts, "found": 1, "open_at_end": 1,
            "excepted": 0 },
        "subcategories": [
            part("PR.AA-01", false, "fail", &results),
            part("PR.AA-05", false, "not-tested", &["a_lead", "fail"]),
            part("PR.AA-06", false, "not-tested", &[]),
            part("DE.CM-09", true, "not-tested", &["fail"]),
        ],
        "detectors": detectors,
        "coverage": {
            "sources": [{ "source": "okta", "events": 223, "repeats": 0, "first_event_at": at(0), "last_event_at": at(30),
                "known_since": at(0), "days": 1, "days_expected": 31, "late": 0, "lag_max_seconds": 5, "lag_mean_seconds": 1,
                "skewed": 0, "skew_max_seconds": 0, "problems": [HOSTILE] }],
            "feeds": [{ "feed": "offboard", "what": "reports", "events": 0, "last_event_at": null, "fresh_seconds": 60,
                "problem": HOSTILE }],
            "gaps": [{ "source": "okta", "from": at(3), "to": at(5) }, { "source": "okta", "from": at(9), "to": null }],
            "totals": [{ "source": "okta", "day": "2026-10-01", "action": "refresh", "events": 223 }],
            "rejected": 2, "problems": [HOSTILE] },
        "exceptions": [{ "detector": "fail", "reason": FORMULA, "owner": HOSTILE, "until": at(90), "is_expired": false,
            "rows": ["f1"] }],
        "remediation": [{ "detector": "fail", "finding": FORMULA, "severity": "high", "violated_at": at(2), "resolved_at": null,
            "open_seconds": 2_505_600, "target_seconds": 60, "state": "overdue" }],
        "history": [{ "finding": FORMULA, "at": at(3), "change": "acked", "owner": HOSTILE, "reason": HOSTILE, "until": null }],
        "targets": { "high": 60 },
        "trend": [{ "from": at(0), "to": at(31), "events": 223, "opened": 1, "resolved": 0, "open_at_end": 1,
            "opened_by_severity": { "high": 1 } }],
        "limits": [HOSTILE],
        "provenance": { "lake": HOSTILE, "version": 3, "committed_at": at(32), "positions": {}, "rows": 1, "files": 1,
            "policy_sha256": "dd", "queries_sha256": "ee", "made_with": "ff" },
        "evidence_sha256": "0123",
    }))
    .unwrap();
    let column = |name: &str| Column { name: name.to_owned(), treatment: Treatment::Show };
    let names = ["finding", "severity", "violated_at", "resolved_at", "exception", "uncertain", "client"];
    let mut rows = Table::new(names.map(column).to_vec());
    rows.push([FORMULA, "high", "2026-10-03T00:00:00Z", "", "", "", HOSTILE]);
    it.detectors.iter_mut().filter(|d| d.id == "fail").for_each(|d| d.rows = rows.clone());
    it
}

fn empty() -> Assessment {
    let mut it = assessment();
    (it.subcategories, it.detectors, it.trend) = (Vec::new(), Vec::new(), Vec::new());
    (it.coverage, it.exceptions, it.remediation) = Default::default();
    it
}

fn document(it: &Assessment) -> Value {
    serde_json::from_slice(&oscal::json(it)).unwrap()
}

#[test]
fn the_same_assessment_gives_the_same_bytes() {
    for it in [assessment(), empty()] {
        let made = files(&it).unwrap();
        assert!(made.len() == 6 && made == files(&it).unwrap());
        assert_eq!(wrong(&it), Vec::<String>::new());
    }
}

#[test]
fn only_objectives_of_tests_that_came_out_are_judged() {
    let it = assessment();
    let document = document(&it);
    let result = &document["assessment-results"]["results"][0];
    let findings = result["findings"].as_array().unwrap();
    let told: Vec<(&str, &str)> = findings
        .iter()
        .map(|f| (f["target"]["target-id"].as_str().unwrap(), f["target"]["status"]["state"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [("PR.AA-01_obj.pass", "satisfied"), ("PR.AA-01_obj.fail", "not-satisfied")]);
    assert_eq!(result["observations"].as_array().unwrap().len(), it.detectors.len());
    assert_eq!(result["risks"].as_array().unwrap().len(), 1);
    let told = result["reviewed-controls"]["description"].as_str().unwrap();
    assert!(told.contains("PR.AA-06 not-tested"), "{told}");
    assert!(!document.to_string().contains("[]"), "a list of OSCAL is empty");
}

#[test]
fn a_dangling_reference_and_an_unknown_control_are_found() {
    let it = assessment();
    let known = oscal::control_ids(&it);
    let plants = [
        ("/assessment-results/results/0/findings/0/related-observations/0/observation-uuid", "refers to"),
        ("/assessment-results/local-definitions/objectives-and-methods/0/control-id", "names the control"),
        ("/assessment-results/results/0/observations/0/relevant-evidence/0/href", "refers to"),
    ];
    for (place, says) in plants {
        let mut document = document(&it);
        *document.pointer_mut(place).unwrap() = json!("#nothing");
        let problems = oscal::check::problems(&document, &known);
        assert!(problems.len() == 1 && problems[0].contains(says), "{place}: {problems:?}");
    }
}

#[test]
fn ocsf_has_a_status_for_every_outcome_and_no_leads() {
    let it = assessment();
    let text = String::from_utf8(ocsf::ndjson(&it)).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<(&str, u64)> = lines
        .iter()
        .filter(|f| f["compliance"]["control"] == "PR.AA-01")
        .map(|f| (f["unmapped"]["result"].as_str().unwrap(), f["compliance"]["status_id"].as_u64().unwrap()))
        .collect();
    let wanted =
        [("pass", 1), ("fail", 3), ("not-applicable", 99), ("not-tested", 2), ("inconclusive", 2), ("error", 99)];
    assert_eq!(told, wanted);
    let uids: BTreeSet<&str> = lines.iter().map(|f| f["finding_info"]["uid"].as_str().unwrap()).collect();
    assert_eq!((uids.len(), lines.len()), (8, 8));
}

#[test]
fn nothing_in_the_report_is_markup_but_what_is_ours() {
    for it in [assessment(), empty()] {
        let page = report::page(&it);
        assert!(!page.contains("<script") && !page.contains('\u{202e}') && page.ends_with("</html>\n"));
        assert_eq!(page.matches("http").count() - page.matches("https://example.com").count(), 1, "only http-equiv");
        let values = |mark: &str| -> Vec<String> {
            page.match_indices(mark)
                .map(|(at, _)| page[at + mark.len()..].split('"').next().unwrap().to_owned())
                .collect()
        };
        let ids = values(" id=\"");
        let unique: BTreeSet<&String> = ids.iter().collect();
        assert_eq!(ids.len(), unique.len(), "an id stands there twice");
        let nowhere: Vec<String> = values("href=\"#").into_iter().filter(|id| !unique.contains(id)).collect();
        assert!(nowhere.is_empty(), "{nowhere:?}");
        for tag in ["section", "details", "table", "article", "svg", "div", "ul", "dl", "p"] {
            let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
        }
    }
    let page = report::page(&assessment());
    let place = |text: &str| page.find(text).unwrap();
    assert!(place("Coverage is not complete") < place("class=\"headline\""), "coverage comes before results");
    assert!(place("id=\"coverage\"") < place("id=\"results\""));
}

#[test]
fn the_workbook_has_no_formula() {
    let bytes = workbook::xlsx(&assessment()).unwrap();
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut read = |name: &str| {
        let mut text = String::new();
        archive.by_name(name).unwrap().read_to_string(&mut text).unwrap();
        text
    };
    let names = read("xl/workbook.xml");
    for (number, name) in
        (1..).zip(["Summary", "Population", "Coverage", "Findings", "Exceptions", "Remediation", "About"])
    {
        assert!(names.contains(&format!("name=\"{name}\"")), "{name} is missing");
        let sheet = read(&format!("xl/worksheets/sheet{number}.xml"));
        assert!(!sheet.contains("<f>") && !sheet.contains("<hyperlink"), "{name} has a formula");
        assert!(sheet.contains("state=\"frozen\""), "the header of {name} is not frozen");
    }
    assert!(read("xl/sharedStrings.xml").contains("=HYPERLINK("), "the text is there, as text");
}

#[test]
fn the_table_has_a_row_for_each_test_and_each_part() {
    let table = summary::table(&assessment());
    assert_eq!(table.len(), 6 + 2 + 1 + 1);
    let row = (0..table.len()).find(|row| table.named(*row, "part") == "PR.AA-06").unwrap();
    assert_eq!((table.named(row, "part_result"), table.named(row, "detector")), ("not-tested", ""));
}
