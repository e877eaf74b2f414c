use super::*;
use crate::lake::{Lake, maintenance};

/// A checkpoint of a lake with two files of one row each, as its writer left it.
async fn checkpoint(folder: &std::path::Path) -> (Bytes, std::sync::Arc<State>) {
    let lake = Lake::open_or_create(&folder.display().to_string()).await.unwrap();
    for (name, day, class, has_stats) in [("one", "2026-01-01", "a \"b\"", true), ("two", "2026-01-02", "", false)] {
        let values =
            BTreeMap::from([("class".to_owned(), Some(class.to_owned())), ("event_date".to_owned(), Some(day.into()))]);
        let add = log::Add {
            path: format!("{name}.parquet"),
            partition_values: values,
            size: 7,
            modification_time: 1_790_000_000_000,
            data_change: true,
            stats: has_stats.then(|| "{\"numRecords\":3,\"nullCount\":{\"numRecords\":9}}".to_owned()),
            deletion_vector: None,
        };
        let positions = BTreeMap::from([("file:x/0".to_owned(), 4)]);
        let commit =
            super::super::table::Commit { operation: "WRITE", adds: vec![add], positions, ..Default::default() };
        lake.events().commit(commit, |_, _| Ok::<(), ()>(())).await.unwrap().unwrap();
    }
    maintenance::checkpoint(lake.events()).await.unwrap();
    let state = lake.events().refresh().await.unwrap();
    let log = folder.join("events/_delta_log");
    let path = log.join(format!("{:020}.checkpoint.parquet", state.version));
    (std::fs::read(path).unwrap().into(), state)
}

#[tokio::test]
async fn a_checkpoint_says_what_the_commits_say_and_what_it_says_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let (bytes, by_commits) = checkpoint(folder.path()).await;
    let mut direct = State { version: by_commits.version, ..State::default() };
    take_up(&mut direct, bytes.clone(), "here").unwrap();
    let mut by_json = State { version: by_commits.version, ..State::default() };
    for batch in ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap() {
        let batch = batch.unwrap();
        assert!(files(&batch).is_some_and(|files| files.len() == 2), "the short way is not taken");
        apply(&mut by_json, &batch, "here").unwrap();
    }
    for state in [&direct, &by_json] {
        let sorted = |state: &State| {
            let mut files: Vec<_> = state.files.values().map(|file| format!("{file:?}")).collect();
            files.sort();
            files
        };
        assert_eq!(sorted(state), sorted(&by_commits));
        assert_eq!((&state.positions, &state.configuration), (&by_commits.positions, &by_commits.configuration));
        assert_eq!(state.rows(), 3);
    }
}
