//! `tokentrail status`: how far each source was read, and what the lake holds.

use std::collections::BTreeMap;
use std::process::ExitCode;

use comfy_table::{Table, presets};
use serde::Serialize;

use super::{Global, Output};
use crate::lake::Lake;

/// Arguments of `status`.
#[derive(clap::Args, Debug)]
pub struct Args {}

/// How far one source partition was read: `next - first` offsets are its records, repeats, skips and missing offsets.
#[derive(Debug, Default, Serialize)]
struct Position {
    source: String,
    first: i64,
    next: i64,
    repeats: i64,
    skips: i64,
    missing: i64,
}

/// Runs the command.
pub async fn run(_args: Args, global: &Global) -> anyhow::Result<ExitCode> {
    let lake = Lake::open(&global.lake).await?;
    let state = lake.events().refresh().await?;
    let positions = positions(&state.positions);
    if global.output != Output::Table {
        for position in &positions {
            println!("{}", serde_json::to_string(position)?);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new();
    table
        .load_preset(presets::UTF8_HORIZONTAL_ONLY)
        .set_header(["source", "first", "next", "repeats", "skipped", "missing"]);
    for p in &positions {
        table.add_row([
            p.source.clone(),
            p.first.to_string(),
            p.next.to_string(),
            p.repeats.to_string(),
            p.skips.to_string(),
            p.missing.to_string(),
        ]);
    }
    println!("{table}");
    let rows = state.rows();
    let bytes: u64 = state.files.values().map(|f| f.bytes).sum();
    println!("{rows} rows in {} files, {:.1} MB, at version {}.", state.files.len(), bytes as f64 / 1e6, state.version);
    Ok(ExitCode::SUCCESS)
}

/// The positions kept in the lake, the counts beside them put together.
fn positions(kept: &BTreeMap<String, i64>) -> Vec<Position> {
    const BESIDE: [&str; 5] = ["#first", "#repeats", "#skips", "#missing", "#prefix"];
    let names = kept.keys().filter(|name| !BESIDE.iter().any(|suffix| name.ends_with(suffix)));
    let count = |name: &str, what: &str| kept.get(&format!("{name}#{what}")).copied().unwrap_or(0);
    let position = |name: &String| Position {
        source: name.clone(),
        first: count(name, "first"),
        next: kept[name],
        repeats: count(name, "repeats"),
        skips: count(name, "skips"),
        missing: count(name, "missing"),
    };
    names.map(position).collect()
}
