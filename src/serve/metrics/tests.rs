use std::collections::BTreeMap;

use super::*;
use crate::ingest::Summary;
use crate::source::SourceId;

/// The value of one line of a scrape.
fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().unwrap()
}

#[test]
fn commits_are_counted_by_what_came_of_them() {
    let metrics = Metrics::new();
    let summary = Summary {
        records: 10,
        events: 6,
        context: 1,
        rejected: 2,
        skipped: 1,
        committed_version: 7,
        seconds: 0.2,
        ..Summary::default()
    };
    let rejected = BTreeMap::from([(Reason::NotJson, 2)]);
    let oldest_received_at = Some(clock::now_micros() - 3_000_000);
    metrics.committed(&Committed { summary, rejected, oldest_received_at });
    metrics.version_seen(6);
    let text = metrics.text().unwrap();
    assert_eq!(value(&text, "tokentrail_ingest_records_total"), 10.0);
    assert_eq!(value(&text, "tokentrail_ingest_rows_total{outcome=\"event\"}"), 6.0);
    assert_eq!(value(&text, "tokentrail_ingest_rejected_total{reason=\"not_json\"}"), 2.0);
    assert_eq!(value(&text, "tokentrail_ingest_rejected_total{reason=\"time\"}"), 0.0);
    assert_eq!(value(&text, "tokentrail_commit_age_seconds_bucket{le=\"2.5\"}"), 0.0);
    assert_eq!(value(&text, "tokentrail_commit_age_seconds_bucket{le=\"10\"}"), 1.0);
    assert_eq!(value(&text, "tokentrail_commit_to_query_seconds_count"), 0.0, "version 7 was not seen");
    metrics.version_seen(8);
    let text = metrics.text().unwrap();
    assert_eq!(value(&text, "tokentrail_commit_to_query_seconds_count"), 1.0);
    assert_eq!(value(&text, "tokentrail_lake_version"), 8.0);
    assert!(value(&text, "tokentrail_memory_resident_bytes") > 1e6);
}

#[test]
fn lag_is_shown_for_the_partitions_that_are_ours_now() {
    let (metrics, lags) = (Metrics::new(), Arc::new(Lags::default()));
    let id = |partition| Arc::new(SourceId { kind: "kafka", topic: "tokens".into(), partition });
    metrics.follows(lags.clone());
    lags.set(BTreeMap::from([(id(0), 5), (id(1), 0)]));
    assert_eq!(value(&metrics.text().unwrap(), "tokentrail_ingest_lag_records{topic=\"tokens\",partition=\"0\"}"), 5.0);
    lags.set(BTreeMap::from([(id(1), 9)]));
    let text = metrics.text().unwrap();
    assert_eq!(value(&text, "tokentrail_ingest_lag_records{topic=\"tokens\",partition=\"1\"}"), 9.0);
    assert!(!text.contains("partition=\"0\""), "somebody else reads it: {text}");
}

#[test]
fn every_name_is_described_once_and_well() {
    let metrics = Metrics::new();
    let mut names: Vec<_> = metrics.described().iter().map(|d| d.name.as_str()).collect();
    for described in metrics.described() {
        let unit = described.kind != "histogram" || described.name.ends_with("_seconds");
        assert!(unit && !described.help.ends_with('.'), "{described:?}");
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn labels_do_not_grow_without_end() {
    let metrics = Metrics::new();
    for number in 0..6_000 {
        metrics.queue(&format!("queue {number}"), 1);
    }
    let text = metrics.text().unwrap();
    let series = text.lines().filter(|line| line.starts_with("tokentrail_queue_depth{")).count();
    assert!(series <= 5_001 && text.contains("queue=\"other\""), "{series}");
}
