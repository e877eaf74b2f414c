//! Observations, risks and findings of the tests, and the files of the pack that they point to.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::{Test, prop, put};
use crate::event::hex;
use crate::export::formats::stable_id::Ids;
use crate::export::model::{Assessment, Outcome};
use crate::export::pack::{FRAMEWORK, tables};

/// What a test saw: of how many events it spoke, and what came out.
pub fn observation(it: &Assessment, ids: Ids<'_>, test: &Test<'_>) -> Value {
    let detector = test.detector;
    let counts = &detector.counts;
    let tool = ids.id("component", "tool");
    let mut props = vec![
        prop("outcome", detector.verdict.result),
        prop("population", detector.population.events),
        prop("rows", counts.rows),
        prop("found", counts.found),
        prop("open-at-end", counts.open_at_end),
        prop("excepted", counts.excepted),
        prop("uncertain", counts.uncertain),
        prop("rows-sha256", &detector.rows_sha256),
    ];
    props.extend(test.parts.iter().map(|(part, link)| {
        let mut relation = prop("relation", link.relation.as_str());
        relation["class"] = json!(super::control_id(&it.framework.id, &part.id));
        relation["remarks"] = json!(link.why);
        relation
    }));
    let evidence = |what: &str, description: &str| json!({ "href": format!("#{}", ids.id(what, &detector.id)), "description": description });
    json!({
        "uuid": ids.id("observation", &detector.id),
        "title": format!("{}: {}", detector.id, detector.verdict.result),
        "description": detector.verdict.reason,
        "props": props,
        "methods": ["TEST"],
        "types": [if test.decides() { "control-objective" } else { "discovery" }],
        "origins": [{ "actors": [{ "type": "tool", "actor-uuid": tool }] }],
        "subjects": [{ "subject-uuid": tool, "type": "component" }],
        "relevant-evidence": [
            evidence("rows", "The rows that the test gave."),
            evidence("sql", "The SQL that was run."),
        ],
        "collected": it.provenance.committed_at,
    })
}

/// What a test that failed means.
pub fn risk(ids: Ids<'_>, test: &Test<'_>) -> Value {
    let detector = test.detector;
    let is_open = detector.counts.open_at_end > 0;
    json!({
        "uuid": ids.id("risk", &detector.id),
        "title": detector.title,
        "description": detector.summary,
        "statement": detector.rationale,
        "status": if is_open { "open" } else { "closed" },
        "characterizations": [{
            "origin": { "actors": [{ "type": "tool", "actor-uuid": ids.id("component", "tool") }] },
            "facets": [{ "name": "severity", "system": super::NAMESPACE, "value": detector.severity }],
        }],
        "related-observations": [{ "observation-uuid": ids.id("observation", &detector.id) }],
    })
}

/// Whether the objective of a test is met. Only tests that decide and came out one way or the other have one.
pub fn finding(it: &Assessment, ids: Ids<'_>, test: &Test<'_>) -> Option<Value> {
    let detector = test.detector;
    let (state, reason) = match detector.verdict.result {
        Outcome::Pass if test.decides() => ("satisfied", "pass"),
        Outcome::Fail if test.decides() => ("not-satisfied", "fail"),
        _ => return None,
    };
    let mut finding = Map::new();
    finding.insert("uuid".into(), json!(ids.id("finding", &detector.id)));
    finding.insert("title".into(), json!(format!("{}: {}", detector.title, detector.verdict.result)));
    finding.insert("description".into(), json!(detector.verdict.reason));
    finding.insert(
        "target".into(),
        json!({
            "type": "objective-id",
            "target-id": test.objective(it),
            "title": "The objective of this test, not the subcategory that it speaks to.",
            "status": { "state": state, "reason": reason },
        }),
    );
    put(&mut finding, "related-observations", vec![json!({ "observation-uuid": ids.id("observation", &detector.id) })]);
    if reason == "fail" {
        put(&mut finding, "related-risks", vec![json!({ "risk-uuid": ids.id("risk", &detector.id) })]);
    }
    Some(Value::Object(finding))
}

/// The files of the pack that are pointed to, with their hashes.
pub fn resources(it: &Assessment, ids: Ids<'_>, tests: &[Test<'_>]) -> Vec<Value> {
    let resource = |uuid: String, title: &str, href: &str, media: &str, sha256: &str| {
        let hashes = json!([{ "algorithm": "SHA-256", "value": sha256 }]);
        json!({ "uuid": uuid, "title": title, "rlinks": [{ "href": href, "media-type": media, "hashes": hashes }] })
    };
    let plan = ids.id("resource", "framework");
    let title = "Plan: the framework file, with the parts and what tests have to do with them";
    let mut resources = vec![resource(plan, title, FRAMEWORK, "application/toml", &it.framework.sha256)];
    if let Some(catalog) = &it.framework.catalog {
        resources.push(json!({
            "uuid": ids.id("resource", "catalog"),
            "title": format!("{} {}", catalog.title, catalog.version),
            "description": "The official catalogue that statements were printed from. It is not in the pack.",
            "props": [prop("catalog-sha256", &catalog.sha256)],
        }));
    }
    for test in tests {
        let (detector, folder) = (test.detector, test.folder());
        let rows = hex(&Sha256::digest(tables::csv(&detector.rows)));
        let (sql, result) = (format!("{folder}/query.sql"), format!("{folder}/result.csv"));
        let id = |what: &str| ids.id(what, &detector.id);
        resources.push(resource(id("rows"), &format!("Rows of {}", detector.id), &result, "text/csv", &rows));
        let title = format!("SQL of {}", detector.id);
        resources.push(resource(id("sql"), &title, &sql, "application/sql", &detector.sql_sha256));
    }
    resources
}
