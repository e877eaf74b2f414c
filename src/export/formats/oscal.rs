//! OSCAL 1.2.1 assessment results, the form in which tools of governance pass on what was assessed.
//!
//! OSCAL knows *satisfied* and *not-satisfied* and nothing between, and satisfied means completely. So no subcategory is ever
//! said to be satisfied: each detector has an objective of its own, and findings speak of that. What was not tested, does not
//! apply, or is inconclusive has no finding; its observation says so in the property `outcome`.
//!
//! Times come from the lake and identifiers from the content, so the same assessment gives the same document.

pub mod check;
mod evidence;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::stable_id::Ids;
use crate::export::model::{Assessment, Detector, Link, Outcome, Subcategory};
use evidence::{finding, observation, resources, risk};

/// The version of the schema.
pub const VERSION: &str = "1.2.1";
/// Whose names the properties are.
pub const NAMESPACE: &str = "https://tokentrail.example/ns/oscal";

/// The document as text.
pub fn json(it: &Assessment) -> Vec<u8> {
    let mut text = format!("{:#}", document(it)).into_bytes();
    text.push(b'\n');
    text
}

/// A detector, and the parts that it speaks to; the objective stands under the first.
pub struct Test<'a> {
    pub detector: &'a Detector,
    pub parts: Vec<(&'a Subcategory, &'a Link)>,
}

impl Test<'_> {
    /// The identifier of its objective.
    pub fn objective(&self, it: &Assessment) -> String {
        format!("{}_obj.{}", self.control(it), token(&self.detector.id))
    }

    fn control(&self, it: &Assessment) -> String {
        self.parts.first().map_or_else(String::new, |(part, _)| control_id(&it.framework.id, &part.id))
    }

    /// The folder that holds its evidence.
    pub fn folder(&self) -> &str {
        self.parts.first().map_or("", |(_, link)| &link.folder)
    }

    /// Whether it may be right or wrong: leads are neither.
    pub fn decides(&self) -> bool {
        self.detector.kind != "lead"
    }
}

/// Detectors that speak to any part, each once.
pub fn tests(it: &Assessment) -> Vec<Test<'_>> {
    let mut parts: BTreeMap<&str, Vec<(&Subcategory, &Link)>> = BTreeMap::new();
    for part in &it.subcategories {
        for link in &part.links {
            parts.entry(&link.detector).or_default().push((part, link));
        }
    }
    let test = |detector| Some(Test { detector, parts: parts.remove(detector.id.as_str())? });
    it.detectors.iter().filter_map(test).collect()
}

/// The identifiers of the parts, as the catalogue of the framework spells them in OSCAL.
pub fn control_ids(it: &Assessment) -> BTreeSet<String> {
    it.subcategories.iter().map(|part| control_id(&it.framework.id, &part.id)).collect()
}

/// NIST spells AC-2(3) `ac-2.3` in the catalogue of SP 800-53, and PR.AA-01 as it is in that of the CSF.
fn control_id(framework: &str, id: &str) -> String {
    if framework.starts_with("nist-sp800-53") {
        return token(&id.to_lowercase().replace('(', ".").replace(')', ""));
    }
    token(id)
}

/// What OSCAL takes for an identifier: a letter or `_`, then letters, digits, `.`, `-` and `_`.
fn token(text: &str) -> String {
    let mut token: String =
        text.chars().map(|c| if c.is_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect();
    if !token.starts_with(|c: char| c.is_alphabetic() || c == '_') {
        token.insert(0, '_');
    }
    token
}

/// A property of ours.
pub fn prop(name: &str, value: impl ToString) -> Value {
    // An empty value is against the schema, and so are breaks and blanks at the ends.
    let value = value.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    let value = if value.is_empty() { "none".to_owned() } else { value };
    json!({ "name": name, "ns": NAMESPACE, "value": value })
}

/// The whole document.
pub fn document(it: &Assessment) -> Value {
    let ids = Ids { of: &it.evidence_sha256 };
    let tests = tests(it);
    json!({ "assessment-results": {
        "uuid": ids.id("document", &it.provenance.lake),
        "metadata": {
            "title": format!("Evidence on the life of tokens: {} {}", it.framework.title, it.framework.version),
            "last-modified": it.provenance.committed_at,
            "version": it.evidence_sha256,
            "oscal-version": VERSION,
            "remarks": "last-modified is when the version of the lake that was assessed was written, not when the command ran.",
        },
        "import-ap": { "href": format!("#{}", ids.id("resource", "framework")) },
        "local-definitions": local_definitions(it, ids, &tests),
        "results": [result(it, ids, &tests)],
        "back-matter": { "resources": resources(it, ids, &tests) },
    } })
}

fn local_definitions(it: &Assessment, ids: Ids<'_>, tests: &[Test<'_>]) -> Value {
    let mut objectives: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for test in tests {
        let detector = test.detector;
        let part = json!({
            "id": test.objective(it),
            "name": "assessment-objective",
            "title": detector.title,
            "prose": format!("Nothing is found by the test {} in {}. {}", detector.id, detector.population.what, detector.summary),
        });
        objectives.entry(test.control(it)).or_default().push(part);
    }
    let objectives = objectives.into_iter().map(|(control, parts)| json!({ "control-id": control, "parts": parts }));
    let activities = tests.iter().map(|test| {
        let controls =
            test.parts.iter().map(|(part, _)| json!({ "control-id": control_id(&it.framework.id, &part.id) }));
        let mut props = vec![json!({ "name": "method", "value": "TEST" })];
        props.push(prop("detector", &test.detector.id));
        props.push(prop("kind", &test.detector.kind));
        props.push(prop("sql-sha256", &test.detector.sql_sha256));
        props.push(prop("population", &test.detector.population.definition));
        json!({
            "uuid": ids.id("activity", &test.detector.id),
            "title": test.detector.title,
            "description": test.detector.rationale,
            "props": props,
            "related-controls": { "control-selections": [{ "include-controls": controls.collect::<Vec<_>>() }] },
        })
    });
    let mut definitions = Map::new();
    put(&mut definitions, "objectives-and-methods", objectives.collect());
    put(&mut definitions, "activities", activities.collect());
    Value::Object(definitions)
}

/// Lists in OSCAL are not empty: one that would be is left out.
fn put(object: &mut Map<String, Value>, name: &str, list: Vec<Value>) {
    if !list.is_empty() {
        object.insert(name.to_owned(), Value::Array(list));
    }
}

fn result(it: &Assessment, ids: Ids<'_>, tests: &[Test<'_>]) -> Value {
    let tool = ids.id("component", "tool");
    let failed = || tests.iter().filter(|test| test.decides() && test.detector.verdict.result == Outcome::Fail);
    let mut result = Map::new();
    result.insert("uuid".into(), json!(ids.id("result", "period")));
    result.insert("title".into(), json!(format!("From {} until just before {}", it.period.from, it.period.to)));
    result.insert("description".into(), json!(it.scope.statements.join(" ")));
    result.insert("start".into(), json!(it.period.from));
    result.insert("end".into(), json!(it.period.as_of));
    result.insert("props".into(), Value::Array(result_props(it)));
    result.insert(
        "local-definitions".into(),
        json!({ "assessment-assets": {
        "components": [{
            "uuid": tool,
            "type": "software",
            "title": format!("{} {}", it.tool.name, it.tool.version),
            "description": "The program that ran the tests.",
            "status": { "state": "operational" },
        }],
        "assessment-platforms": [{
            "uuid": ids.id("platform", "tool"),
            "title": it.tool.name,
            "uses-components": [{ "component-uuid": tool }],
        }],
    } }),
    );
    result.insert("reviewed-controls".into(), reviewed(it));
    result.insert(
        "attestations".into(),
        json!([{ "parts": [{
        "name": "authorization-statement",
        "title": "Sign-off",
        "prose": "Blank: a program signs nothing. People sign on a copy of sign-off.txt.",
    }] }]),
    );
    put(&mut result, "observations", tests.iter().map(|test| observation(it, ids, test)).collect());
    put(&mut result, "risks", failed().map(|test| risk(ids, test)).collect());
    put(&mut result, "findings", tests.iter().filter_map(|test| finding(it, ids, test)).collect());
    Value::Object(result)
}

fn result_props(it: &Assessment) -> Vec<Value> {
    let mut props = vec![
        prop("events", it.summary.events),
        prop("evidence-sha256", &it.evidence_sha256),
        prop("lake", &it.provenance.lake),
        prop("lake-version", it.provenance.version),
        prop("policy-sha256", &it.provenance.policy_sha256),
        prop("queries-sha256", &it.provenance.queries_sha256),
        prop("coverage", if it.coverage.problems.is_empty() { "complete" } else { "not-complete" }),
    ];
    props.extend(it.coverage.problems.iter().map(|problem| prop("coverage-problem", problem)));
    props.extend(it.limits.iter().map(|limit| prop("limit", limit)));
    for part in &it.subcategories {
        let mut result = prop("result", part.verdict.result);
        result["class"] = json!(control_id(&it.framework.id, &part.id));
        result["remarks"] = json!(part.verdict.reason);
        props.push(result);
    }
    props
}

/// What tests spoke to; the rest is named in words, for OSCAL has no state for it.
fn reviewed(it: &Assessment) -> Value {
    let is_tested = |part: &&Subcategory| !matches!(part.verdict.result, Outcome::NotTested | Outcome::NotApplicable);
    let (tested, others): (Vec<&Subcategory>, Vec<_>) = it.subcategories.iter().partition(is_tested);
    let told = others.iter().map(|part| format!("{} {}: {}", part.id, part.verdict.result, part.verdict.reason));
    let told = told.collect::<Vec<_>>().join(". ");
    let told = if told.is_empty() { "Everything in scope was tested.".to_owned() } else { told };
    // OSCAL wants controls here in any case; where none was tested, those in scope, and the words say that none was.
    let (what, named) = if tested.is_empty() {
        ("No part was tested; these are in scope.", &others)
    } else {
        ("Parts of the framework that tests of this period spoke to.", &tested)
    };
    let controls = named.iter().map(|part| json!({ "control-id": control_id(&it.framework.id, &part.id) }));
    let controls: Vec<Value> = controls.collect();
    let mut selection = Map::new();
    selection.insert("description".into(), json!(what));
    if controls.is_empty() {
        selection.insert("include-all".into(), json!({}));
    }
    put(&mut selection, "include-controls", controls);
    json!({ "description": told, "control-selections": [selection] })
}
