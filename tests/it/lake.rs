//! The lake's promises: exactly once, against zombies, rivals and maintenance.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokentrail::ingest::Options;
use tokentrail::lake::{Advance, Appended, Lake, LakeError, Reached, maintenance};

use crate::harness::{TempLake, assert_tiled, ingest_memory, program, record, rows, tokentrail};

fn records(range: std::ops::Range<u64>) -> Vec<Option<Vec<u8>>> {
    range.map(|n| Some(record(n))).collect()
}

async fn fill(lake: &Lake, batches: u64, records_each: u64) {
    let options = Options { maintain_every: 0, ..Options::default() };
    for batch in 0..batches {
        let all = records(0..(batch + 1) * records_each);
        ingest_memory(lake, vec![all], &options, 1000).await;
    }
}

/// An append of nothing but a position: what a zombie would try.
async fn advance(lake: &Lake, from: i64, to: i64) -> Result<Appended, LakeError> {
    let advances = [Advance { app_id: "memory:records/0".into(), from, to, repeats: 0, skips: 0, missing: 0 }];
    lake.append(&[], &[], &Reached { advances: &advances, marks: &BTreeMap::new() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_is_refused_with_a_stale_state_and_after_reloading() {
    let temp = TempLake::new();
    let zombie = temp.open().await;
    assert!(matches!(advance(&zombie, 0, 100).await.unwrap(), Appended::Committed(_)));
    let owner = Lake::open(&temp.uri()).await.unwrap();
    assert!(matches!(advance(&owner, 100, 250).await.unwrap(), Appended::Committed(_)));
    let refused = Appended::Refused(vec!["memory:records/0".into()]);
    assert_eq!(advance(&zombie, 100, 200).await.unwrap(), refused, "stale: it has not seen the owner's commit");
    assert_eq!(zombie.events().refresh().await.unwrap().positions["memory:records/0"], 250);
    assert_eq!(advance(&zombie, 100, 200).await.unwrap(), refused, "reloaded: it has seen it");
    assert_eq!(
        advance(&zombie, 250, 200).await.unwrap(),
        Appended::Committed(3),
        "a batch on the lake's own position is no zombie's"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rivals_for_one_partition_never_both_commit() {
    let temp = TempLake::new();
    let lake = temp.open().await;
    for round in 0..20 {
        let rivals = (0..4).map(|_| {
            let uri = temp.uri();
            tokio::spawn(async move {
                advance(&Lake::open(&uri).await.unwrap(), round * 10, round * 10 + 10).await.unwrap()
            })
        });
        let outcomes = futures::future::join_all(rivals).await;
        let committed = outcomes.into_iter().filter(|o| matches!(o.as_ref().unwrap(), Appended::Committed(_))).count();
        assert_eq!(committed, 1, "round {round}");
    }
    assert_eq!(lake.events().refresh().await.unwrap().version, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn compactions_at_the_same_moment_and_beside_appends_double_and_lose_nothing() {
    let temp = TempLake::new();
    let lake = temp.open().await;
    fill(&lake, 12, 100).await;
    let before = rows(&lake).await;
    let compactions = (0..4).map(|_| {
        let uri = temp.uri();
        tokio::spawn(
            async move { maintenance::compact(Lake::open(&uri).await.unwrap().events(), Some(2)).await.unwrap() },
        )
    });
    let compactions: Vec<_> = compactions.collect();
    let appended = records(0..3000);
    let options = Options { rows_max: 100, maintain_every: 3, ..Options::default() };
    ingest_memory(&lake, vec![appended], &options, 50).await;
    let mut replaced = 0;
    for compaction in compactions {
        replaced += compaction.await.unwrap().files_before;
    }
    assert!(replaced > 0, "nothing was compacted");
    let ends = BTreeMap::from([("memory:records/0".to_owned(), 3000)]);
    let after = assert_tiled(&lake, &ends).await;
    assert_eq!(after.len(), 3000);
    assert_eq!(before.len(), 1200);
    let done = maintenance::compact(lake.events(), Some(2)).await.unwrap();
    assert!(done.files_after < done.files_before || done.files_before == 0);
    assert_eq!(rows(&lake).await, after);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_opens_to_the_same_state() {
    let temp = TempLake::new();
    let lake = temp.open().await;
    fill(&lake, 5, 40).await;
    maintenance::maintain(lake.events()).await.unwrap();
    fill(&lake, 7, 40).await;
    let known = lake.events().refresh().await.unwrap();
    // Without the commits before the checkpoint only the checkpoint can tell.
    let log = lake.events().url().to_file_path().unwrap().join("_delta_log");
    std::fs::remove_file(log.join(format!("{:020}.json", 0))).unwrap();
    let opened = Lake::open(&temp.uri()).await.unwrap().events().refresh().await.unwrap();
    assert_eq!(opened.positions, known.positions);
    assert_eq!(opened.version, known.version);
    assert_eq!(opened.configuration, known.configuration);
    let files = |state: &tokentrail::lake::table::State| {
        state
            .files
            .values()
            .map(|f| (f.path.clone(), f.rows, f.bytes, f.partition_values.clone()))
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(files(&opened), files(&known));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_log_does_not_slow_commits_down() {
    let temp = TempLake::new();
    let lake = temp.open().await;
    advance(&lake, 0, 1).await.unwrap();
    let log = lake.events().url().to_file_path().unwrap().join("_delta_log");
    let median = |mut times: Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    let commits = async |lake: &Lake, from: i64| {
        let mut times = Vec::new();
        for n in 0..40 {
            let started = Instant::now();
            assert!(matches!(advance(lake, from + n, from + n + 1).await.unwrap(), Appended::Committed(_)));
            times.push(started.elapsed());
        }
        median(times)
    };
    let fresh = commits(&lake, 1).await;
    for version in 42..40_042i64 {
        let info = r#"{"commitInfo":{"timestamp":1,"operation":"WRITE"}}"#;
        std::fs::write(log.join(format!("{version:020}.json")), info).unwrap();
    }
    lake.events().refresh().await.unwrap();
    let long = commits(&lake, 41).await;
    assert!(
        long < fresh * 3 + Duration::from_millis(5),
        "{long:?} a commit with 40,000 log entries, {fresh:?} with 40"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_of_a_newer_version_is_left_alone() {
    let temp = TempLake::new();
    let lake = temp.open().await;
    let first = lake.events().url().to_file_path().unwrap().join("_delta_log").join(format!("{:020}.json", 0));
    let text = std::fs::read_to_string(&first).unwrap();
    for (from, to) in [
        (r#""tokentrail.format":"1""#, r#""tokentrail.format":"2""#),
        (r#""minReaderVersion":1"#, r#""minReaderVersion":9"#),
    ] {
        assert!(text.contains(from));
        std::fs::write(&first, text.replace(from, to)).unwrap();
        let error = Lake::open_or_create(&temp.uri()).await.err().unwrap().to_string();
        assert!(error.contains("newer version") && error.contains("upgrade"), "{error}");
    }
}

/// Most memory that the program held for itself while it merged all files of a lake with so many records, MiB.
fn merged_within(records: u64) -> u64 {
    let temp = TempLake::new();
    let path = temp.path("events.ndjson");
    // All of one day, so that they come into one file.
    let line = |n: u64| String::from_utf8(record(n)).unwrap().replace(&format!("10-{:02}T", 1 + n % 28), "10-01T");
    std::fs::write(&path, (0..records).map(line).collect::<Vec<_>>().join("\n")).unwrap();
    let uri = temp.uri();
    let arguments = ["-q", "--lake", &uri, "ingest", "--commit-rows", "4000", "--from", path.to_str().unwrap()];
    assert!(tokentrail(&arguments).status.success());
    let mut merging = program();
    let merging = merging.args(["--lake", &uri, "maintain", "compact"]).stdout(std::process::Stdio::null());
    let mut merging = merging.spawn().unwrap();
    let (mut most, status) = (0, format!("/proc/{}/status", merging.id()));
    while merging.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let held =
            text.lines().find_map(|l| l.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        most = most.max(held.unwrap_or(0) >> 10);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(merging.wait().unwrap().success() && most > 0);
    most
}

#[test]
fn merging_takes_no_more_memory_when_there_are_more_rows() {
    let (few, many) = (merged_within(60_000), merged_within(240_000));
    assert!(many * 4 < few * 7, "{few} MiB for 60,000 rows, {many} MiB for 240,000");
}
