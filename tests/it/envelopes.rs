//! Records that hold several: each is a row of its own, told apart by its own bytes, and every record read is accounted for.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokentrail::ingest::Options;

use crate::harness::{TempLake, assert_tiled, ingest_files, ingest_memory, rows, tokentrail};

/// A record of Okta's.
fn one(number: u32) -> Value {
    json!({"uuid": format!("u-{number}"), "published": "2026-11-01T08:00:00.000Z", "eventType": "user.lifecycle.deactivate",
        "actor": {"type": "User", "alternateId": "admin@example.com"}, "outcome": {"result": "SUCCESS"},
        "target": [{"type": "User", "alternateId": format!("user{number}@example.com")}]})
}

fn page(numbers: std::ops::Range<u32>) -> Option<Vec<u8>> {
    let events: Vec<Value> = numbers.map(one).collect();
    Some(json!({"data": {"events": events}}).to_string().into_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_with_several_events_is_accounted_for_once() {
    let temp = TempLake::new();
    let lake = temp.open().await;
    let broken = json!({"data": {"events": [one(20), {"eventType": "user.session.end", "displayMessage": "x"}, 5]}});
    let records = vec![
        page(0..3),
        page(0..3),                            // the same again: a repeat
        page(2..6),                            // one of four is known
        page(0..0),                            // nothing inside
        Some(one(4).to_string().into_bytes()), // known from a page
        Some(broken.to_string().into_bytes()), // one of three stands
        None,
    ];
    let summary = ingest_memory(&lake, vec![records], &Options::default(), 2).await;
    assert_eq!((summary.records, summary.context, summary.events), (7, 7, 0));
    assert_eq!((summary.duplicates, summary.rejected, summary.skipped), (5, 2, 2));
    let rows = assert_tiled(&lake, &BTreeMap::from([("memory:records/0".to_owned(), 7)])).await;
    let at =
        |offset: i64| rows.iter().filter(|row| row.offset == offset).map(|row| row.record_index).collect::<Vec<_>>();
    assert_eq!((at(0), at(1), at(2), at(4)), (vec![0, 1, 2], vec![], vec![1, 2, 3], vec![]));
    let positions = &lake.events().state().await.positions;
    assert_eq!((positions["memory:records/0#repeats"], positions["memory:records/0#skips"]), (2, 2));
    let reasons: Vec<_> = rows.iter().filter(|row| row.offset == 5).map(|row| row.reject_reason.as_deref()).collect();
    assert!(reasons.iter().any(|reason| reason.is_some_and(|text| text == "published: missing")), "{reasons:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_keeps_its_own_bytes_and_shared_ones_stand_once() {
    let temp = TempLake::new();
    let lines = format!("{}\n{}", one(7), one(8));
    let escaped = json!({"message": format!("{lines}\n{{\"eventType\"")}).to_string();
    let file = temp.path("pages.ndjson");
    std::fs::write(&file, format!("{}\n{escaped}\n", String::from_utf8(page(0..2).unwrap()).unwrap())).unwrap();
    let summary = ingest_files(&temp, &[&file]);
    assert_eq!((&summary["records"], &summary["context"], &summary["rejected"]), (&json!(2), &json!(4), &json!(1)));
    let sql = "SELECT \"offset\", record_index, raw, encode(record_hash, 'hex') AS hash FROM events ORDER BY 1, 2";
    let uri = temp.uri();
    let output = tokentrail(&["--lake", &uri, "-o", "json", "query", sql]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let raw: Vec<_> = found.iter().map(|row| row["raw"].as_str()).collect();
    let (first, second) = (one(0).to_string(), one(1).to_string());
    assert_eq!(raw, [Some(&*first), Some(&*second), Some(&*escaped), None, None]);
    let hash = |text: &str| tokentrail::event::hex(&tokentrail::decode::hash(text.as_bytes())[..16]);
    assert_eq!(found[1]["hash"], json!(hash(&second)));
    assert_eq!(rows(&temp.open().await).await.len(), 5);
}
