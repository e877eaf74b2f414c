//! `detect --explain DETECTOR KEY`: why a detector fires for a key, or why it does not.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::{bail, ensure};
use serde_json::{Map, Value, json};

use super::query::printable;
use super::{Global, Output};
use crate::clock;
use crate::detect::Span;
use crate::detect::catalog::{Catalog, Detector};
use crate::detect::explain::{self, Explained, Step};
use crate::detect::frame::{Frame, Reach};
use crate::detect::policy_views::Asked;
use crate::event::time;
use crate::lake::Lake;
use crate::query::output;

/// Explains what a detector makes of a key; `wanted` is the detector's id, then the key.
pub async fn run(wanted: &[String], as_of: Option<i64>, global: &Global) -> anyhow::Result<ExitCode> {
    let [id, words @ ..] = wanted else { bail!("--explain takes a detector and a key") };
    let catalog = Catalog::load(global.queries.as_deref())?;
    let detector = catalog.find(id)?;
    let key = key(detector, words)?;
    let as_of = as_of.unwrap_or_else(clock::now_micros);
    let (lake, policy) = (Lake::open(&global.lake).await?, global.load_policy()?);
    let state = lake.events().refresh().await?;
    let frame = Frame::open(&lake, &state, Asked::anything(&policy), Span::until(as_of), Reach::Kept).await?;
    let explained = explain::explain(&frame, detector, &key, as_of).await?;
    match global.output {
        Output::Table | Output::Csv => print!("{}", text(&explained, detector, &key, as_of)),
        Output::Json => println!("{}", serde_json::to_string_pretty(&json(&explained, detector, &key, as_of))?),
        Output::Ndjson => println!("{}", json(&explained, detector, &key, as_of)),
    }
    Ok(ExitCode::SUCCESS)
}

/// `COLUMN=VALUE` words, or one value: the grant's if the detector's key has one, else that of its first column.
fn key(detector: &Detector, words: &[String]) -> anyhow::Result<Map<String, Value>> {
    let columns = &detector.header.key;
    let mut key = Map::new();
    for word in words {
        let named = word.split_once('=').filter(|(name, _)| columns.iter().any(|column| column == name));
        let first = columns.iter().find(|column| *column == "grant_id").or(columns.first());
        let (name, value) = match (named, first) {
            (Some((name, value)), _) => (name, value),
            (None, Some(first)) if words.len() == 1 => (first.as_str(), word.as_str()),
            _ => bail!("{word:?} is no COLUMN=VALUE of {}'s key: {}", detector.id, columns.join(", ")),
        };
        key.insert(name.to_owned(), json!(value));
    }
    ensure!(!key.is_empty(), "which key? {} has one finding per {}", detector.id, columns.join(", "));
    Ok(key)
}

fn said(row: &Map<String, Value>) -> String {
    let known = row.iter().filter(|(_, value)| !value.is_null());
    printable(&known.map(|(name, value)| format!("{name}={}", output::text(value))).collect::<Vec<_>>().join("  "))
}

fn text(explained: &Explained, detector: &Detector, key: &Map<String, Value>, as_of: i64) -> String {
    let mut text = String::new();
    let verdict = if explained.fires() { "fires" } else { "does not fire" };
    // A String takes all that is written to it.
    let _ = writeln!(text, "{} {verdict} for {} as of {}.", detector.id, said(key), time::format(as_of));
    let _ = writeln!(text, "{}\n", detector.header.summary);
    match explained.is_nominated {
        Some(true) => text.push_str("Its first question over folds names this key, so its rows are looked at.\n\n"),
        Some(false) => text.push_str("Its first question over folds does not name this key; its rows say:\n\n"),
        None => {}
    }
    for step in &explained.steps {
        self::step(&mut text, step);
    }
    let _ = writeln!(text, "The query: {} (tokentrail detectors show {})", detector.file, detector.id);
    text
}

fn step(text: &mut String, step: &Step) {
    let rows = match step.count {
        0 => "no row".to_owned(),
        1 => "1 row".to_owned(),
        many => format!("{many} rows"),
    };
    let _ = writeln!(text, "{:<20} {rows}", step.name);
    for row in &step.rows {
        let _ = writeln!(text, "    {}", said(row));
    }
    if !step.from.is_empty() {
        let from: Vec<String> = step.from.iter().map(|(name, count)| format!("{name} ({count})")).collect();
        let _ = writeln!(text, "    made from, with rows of this key: {}", from.join(", "));
    }
    for (number, judged) in step.judged.iter().enumerate() {
        if step.judged.len() > 1 {
            let _ = writeln!(text, "    candidate {}", number + 1);
        }
        for condition in &judged.conditions {
            let holds = condition.holds.map_or("unknown", |holds| if holds { "yes" } else { "no" });
            let _ = writeln!(text, "    {holds:<8} {}   ({})", condition.text, said(&condition.values));
        }
    }
}

fn json(explained: &Explained, detector: &Detector, key: &Map<String, Value>, as_of: i64) -> Value {
    let steps = explained.steps.iter().map(|step| {
        let judged = step.judged.iter().map(|judged| {
            let conditions = judged.conditions.iter();
            conditions.map(|c| json!({ "condition": c.text, "holds": c.holds, "values": c.values })).collect::<Value>()
        });
        let judged: Vec<Value> = judged.collect();
        let from: Map<String, Value> = step.from.iter().map(|(name, count)| (name.clone(), json!(count))).collect();
        json!({ "step": step.name, "count": step.count, "rows": step.rows, "judged": judged, "from": from })
    });
    json!({
        "detector": detector.id,
        "key": key,
        "as_of": time::format(as_of),
        "fires": explained.fires(),
        "is_nominated": explained.is_nominated,
        "steps": steps.collect::<Vec<_>>(),
    })
}
