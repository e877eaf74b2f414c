//! OCSF 1.8.0 Compliance Findings (class 2003): what each test says of each part, an object a line.
//!
//! OCSF knows pass, warning and fail. A test that had nothing to test, or rests on what was missing, is a warning there; what
//! does not concern the organisation, and a test that broke, is *other* under its own name. Leads decide nothing and are none.

use serde_json::{Map, Value, json};

use super::stable_id::Ids;
use crate::export::model::{Assessment, Detector, Link, Moment, Outcome, Subcategory};

/// The version of the schema.
pub const VERSION: &str = "1.8.0";
/// The version of ATT&CK that the headers of detectors name.
const ATTACK_VERSION: &str = "19.2";
/// Compliance Finding, created.
const CLASS: u32 = 2003;
const CREATED: u32 = 1;

/// A line for each test of each part.
pub fn ndjson(it: &Assessment) -> Vec<u8> {
    let mut out = String::new();
    for finding in findings(it) {
        out.push_str(&finding.to_string());
        out.push('\n');
    }
    out.into_bytes()
}

/// The objects, in the order of the framework.
pub fn findings(it: &Assessment) -> Vec<Value> {
    let ids = Ids { of: &it.evidence_sha256 };
    let mut findings = Vec::new();
    for part in &it.subcategories {
        for link in &part.links {
            if let Some(detector) = it.detector(&link.detector).filter(|d| d.kind != "lead") {
                findings.push(finding(it, ids, part, link, detector));
            }
        }
    }
    findings
}

fn finding(it: &Assessment, ids: Ids<'_>, part: &Subcategory, link: &Link, detector: &Detector) -> Value {
    let is_fail = detector.verdict.result == Outcome::Fail;
    let severity = if is_fail { severity_id(&detector.severity) } else { 1 };
    let at = millis(it.period.as_of);
    let uid = ids.id("ocsf", &format!("{} {}", part.id, detector.id));
    json!({
        "activity_id": CREATED,
        "category_uid": CLASS / 1000,
        "class_uid": CLASS,
        "type_uid": CLASS * 100 + CREATED,
        "severity_id": severity,
        "status_id": if is_fail { 1 } else { 4 },
        "time": at,
        "start_time": millis(it.period.from),
        "end_time": at,
        "message": format!("{} {}: {}: {}", part.id, detector.id, detector.verdict.result, detector.verdict.reason),
        "metadata": {
            "version": VERSION,
            "product": { "name": it.tool.name, "vendor_name": it.tool.name, "version": it.tool.version },
            "uid": uid,
        },
        "finding_info": finding_info(it, detector, &uid, at),
        "compliance": compliance(it, part, detector),
        "unmapped": {
            "result": detector.verdict.result,
            "relation": link.relation,
            "why": link.why,
            "decides": link.decides,
            "population": detector.population.events,
            "found": detector.counts.found,
            "open_at_end": detector.counts.open_at_end,
            "excepted": detector.counts.excepted,
            "folder": link.folder,
            "sql_sha256": detector.sql_sha256,
            "rows_sha256": detector.rows_sha256,
            "evidence_sha256": it.evidence_sha256,
        },
    })
}

fn finding_info(it: &Assessment, detector: &Detector, uid: &str, at: i64) -> Value {
    let mut info = Map::new();
    info.insert("uid".into(), json!(uid));
    info.insert("title".into(), json!(detector.title));
    info.insert("desc".into(), json!(detector.summary));
    info.insert("types".into(), json!(["Token lifecycle"]));
    info.insert("created_time".into(), json!(at));
    let analytic = json!({ "type_id": 1, "uid": detector.id, "name": detector.title, "version": it.tool.version });
    info.insert("analytic".into(), analytic);
    let attacks: Vec<Value> = detector.references.get("attack").into_iter().flatten().map(|id| attack(id)).collect();
    if !attacks.is_empty() {
        info.insert("attacks".into(), json!(attacks));
    }
    if !it.scope.sources.is_empty() {
        info.insert("data_sources".into(), json!(it.scope.sources));
    }
    Value::Object(info)
}

/// What the techniques that detectors name are called. The name may be left out; readers that want one get the identifier.
const TECHNIQUES: [(&str, &str); 10] = [
    ("T1078", "Valid Accounts"),
    ("T1078.004", "Cloud Accounts"),
    ("T1098", "Account Manipulation"),
    ("T1098.003", "Additional Cloud Roles"),
    ("T1528", "Steal Application Access Token"),
    ("T1550", "Use Alternate Authentication Material"),
    ("T1550.001", "Application Access Token"),
    ("T1552", "Unsecured Credentials"),
    ("T1552.001", "Credentials In Files"),
    ("T1606", "Forge Web Credentials"),
];

fn attack(id: &str) -> Value {
    let named = |uid: &str| {
        let name = TECHNIQUES.iter().find(|(own, _)| *own == uid).map_or(uid, |(_, name)| name);
        json!({ "uid": uid, "name": name })
    };
    match id.split_once('.') {
        Some((technique, _)) => {
            json!({ "version": ATTACK_VERSION, "technique": named(technique), "sub_technique": named(id) })
        }
        None => json!({ "version": ATTACK_VERSION, "technique": named(id) }),
    }
}

fn compliance(it: &Assessment, part: &Subcategory, detector: &Detector) -> Value {
    let (status_id, status) = status(detector.verdict.result);
    let standard = format!("{} {}", it.framework.title, it.framework.version);
    let others = detector.references.iter().filter(|(header, _)| *header != "csf" && *header != "attack");
    let others = others.flat_map(|(header, ids)| ids.iter().map(move |id| format!("{header} {id}")));
    let requirements: Vec<String> = [part.id.clone()].into_iter().chain(others).collect();
    let parameters = detector.parameters.iter().map(|(name, value)| json!({ "name": name, "value": value }));
    json!({
        "status_id": status_id,
        "status": status,
        "status_details": [detector.verdict.reason],
        "control": part.id,
        "standards": [standard],
        "requirements": requirements,
        "checks": [{
            "uid": detector.id,
            "name": detector.title,
            "version": it.tool.version,
            "status_id": status_id,
            "status": status,
            "severity_id": severity_id(&detector.severity),
            "standards": [standard],
        }],
        "control_parameters": parameters.collect::<Vec<_>>(),
    })
}

/// As the enumeration of `compliance.status_id` has it.
fn status(result: Outcome) -> (u32, &'static str) {
    match result {
        Outcome::Pass => (1, "Pass"),
        Outcome::Fail => (3, "Fail"),
        Outcome::NotTested | Outcome::Inconclusive => (2, "Warning"),
        Outcome::NotApplicable | Outcome::Error => (99, result.as_str()),
    }
}

fn severity_id(severity: &str) -> u32 {
    match severity {
        "low" => 2,
        "medium" => 3,
        "high" => 4,
        "critical" => 5,
        _ => 1,
    }
}

fn millis(at: Moment) -> i64 {
    at.0.div_euclid(1000)
}
