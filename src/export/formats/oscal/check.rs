//! What the schema of OSCAL does not see: a reference to nothing, a control that the framework does not have, and a
//! subcategory that is said to be satisfied.

use std::collections::BTreeSet;

use serde_json::Value;

/// What is wrong with a document, a sentence each; `controls` are the identifiers that the framework has.
pub fn problems(document: &Value, controls: &BTreeSet<String>) -> Vec<String> {
    let mut found = Found::default();
    walk(document, "", &mut found);
    let mut problems = Vec::new();
    for (at, uuid) in &found.references {
        if !found.defined.contains(uuid) {
            problems.push(format!("{at} refers to {uuid}, and nothing has that identifier"));
        }
    }
    for (at, control) in &found.controls {
        if !controls.contains(control) {
            problems.push(format!("{at} names the control {control}, and the framework has none"));
        }
    }
    for (at, objective) in &found.targets {
        if !found.objectives.contains(objective) {
            problems.push(format!("{at} is about the objective {objective}, and no such objective is defined"));
        }
    }
    problems.extend(found.twice.iter().map(|uuid| format!("the identifier {uuid} is defined twice")));
    problems.extend(found.statements);
    problems
}

#[derive(Default)]
struct Found {
    defined: BTreeSet<String>,
    twice: BTreeSet<String>,
    objectives: BTreeSet<String>,
    references: Vec<(String, String)>,
    controls: Vec<(String, String)>,
    targets: Vec<(String, String)>,
    statements: Vec<String>,
}

fn walk(value: &Value, at: &str, found: &mut Found) {
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(number, item)| walk(item, &format!("{at}/{number}"), found));
        }
        Value::Object(members) => {
            if let Some(target) = members.get("target") {
                judge(target, at, found);
            }
            if members.get("name").and_then(Value::as_str) == Some("assessment-objective") {
                found.objectives.extend(members.get("id").and_then(Value::as_str).map(str::to_owned));
            }
            for (name, member) in members {
                let here = format!("{at}/{name}");
                member.as_str().into_iter().for_each(|text| note(name, text, &here, found));
                walk(member, &here, found);
            }
        }
        _ => {}
    }
}

fn note(name: &str, text: &str, here: &str, found: &mut Found) {
    let entry = || (here.to_owned(), text.to_owned());
    if name == "uuid" {
        if !found.defined.insert(text.to_owned()) {
            found.twice.insert(text.to_owned());
        }
    } else if name.ends_with("-uuid") {
        found.references.push(entry());
    } else if name == "control-id" {
        found.controls.push(entry());
    } else if name == "href" {
        found.references.extend(text.strip_prefix('#').map(|uuid| (here.to_owned(), uuid.to_owned())));
    }
}

/// A finding may only speak of an objective of ours.
fn judge(target: &Value, at: &str, found: &mut Found) {
    let text = |name: &str| target.get(name).and_then(Value::as_str).unwrap_or_default();
    if text("type") == "objective-id" {
        found.targets.push((format!("{at}/target"), text("target-id").to_owned()));
    } else {
        found.statements.push(format!("{at} judges {}, which is no objective of a test", text("target-id")));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        json!({
            "import-ap": { "href": "#r" },
            "objectives": [{ "control-id": "PR.AA-01", "parts": [{ "id": "o", "name": "assessment-objective" }] }],
            "observations": [{ "uuid": "a", "relevant-evidence": [{ "href": "#r" }] }],
            "findings": [{ "uuid": "f", "target": { "type": "objective-id", "target-id": "o" },
                "related-observations": [{ "observation-uuid": "a" }] }],
            "resources": [{ "uuid": "r", "rlinks": [{ "href": "a/b.csv" }] }],
        })
    }

    #[test]
    fn what_is_planted_is_caught() {
        let known = BTreeSet::from(["PR.AA-01".to_owned()]);
        assert_eq!(problems(&document(), &known), Vec::<String>::new());
        let plants = [
            ("/findings/0/related-observations/0/observation-uuid", "b", "nothing has that identifier"),
            ("/observations/0/relevant-evidence/0/href", "#q", "nothing has that identifier"),
            ("/objectives/0/control-id", "PR.AA-5", "the framework has none"),
            ("/findings/0/target/target-id", "p", "no such objective"),
            ("/findings/0/target/type", "statement-id", "no objective of a test"),
            ("/findings/0/uuid", "a", "defined twice"),
        ];
        for (place, planted, says) in plants {
            let mut document = document();
            *document.pointer_mut(place).unwrap() = json!(planted);
            let found = problems(&document, &known);
            assert!(found.iter().any(|problem| problem.contains(says)), "{place}: {found:?}");
        }
    }
}
