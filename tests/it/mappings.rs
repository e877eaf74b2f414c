//! Sources of one's own: what the mappings of sample-data make of their records, and that tables go into the lake row
//! by row.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use tokentrail::decode::mapping::Mapping;
use tokentrail::decode::{self, Verdict};
use tokentrail::event::time;

use crate::harness::{TempLake, rows, tokentrail};

/// Mutants that are tried if nothing else is asked for.
const MUTANTS: u64 = 20_000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-data/mappings")
}

/// Each mapping and its records.
fn samples() -> Vec<(PathBuf, PathBuf)> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut mappings: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    mappings.sort();
    let records = |path: &Path| {
        let mut both = ["csv", "ndjson"].map(|end| path.with_extension(end)).into_iter();
        both.find(|path| path.exists()).expect("records beside the mapping")
    };
    mappings.into_iter().map(|path| (path.clone(), records(&path))).collect()
}

#[track_caller]
fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// With UPDATE_SNAPSHOTS=1 in the environment the snapshots are written anew, to be reviewed as a diff.
#[test]
fn samples_give_what_their_snapshots_say() {
    let update = std::env::var("UPDATE_SNAPSHOTS").is_ok_and(|update| update == "1" || update == "mappings");
    for (mapping, records) in samples() {
        let arguments = ["decode", "--mapping", mapping.to_str().unwrap(), records.to_str().unwrap(), "-o", "ndjson"];
        let now: String = text(&tokentrail(&arguments))
            .lines()
            .map(|line| {
                let mut row: Value = serde_json::from_str(line).unwrap();
                row.as_object_mut().unwrap().retain(|_, value| !value.is_null());
                format!("{row}\n")
            })
            .collect();
        let name = mapping.file_stem().unwrap().to_str().unwrap();
        let snapshot = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/snapshots/mappings/{name}.ndjson"));
        if update {
            fs::create_dir_all(snapshot.parent().unwrap()).unwrap();
            fs::write(&snapshot, &now).unwrap();
        }
        let kept = fs::read_to_string(&snapshot).unwrap_or_default();
        for (number, (kept, now)) in kept.lines().zip(now.lines()).enumerate() {
            assert_eq!(kept, now, "line {} of {}", number + 1, snapshot.display());
        }
        assert_eq!(kept.lines().count(), now.lines().count(), "{}", snapshot.display());
    }
}

fn ingest(lake: &TempLake, file: &Path) -> Output {
    let mapping = folder().join("hr-leavers.toml");
    let (uri, mapping, file) = (lake.uri(), mapping.to_str().unwrap(), file.to_str().unwrap());
    tokentrail(&["--lake", &uri, "-o", "json", "ingest", "--mapping", mapping, "--from", file])
}

fn summary(output: &Output) -> Value {
    serde_json::from_str(&text(output)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_is_stored_once_at_its_first_line_as_it_came() {
    let lake = TempLake::new();
    let file = lake.path("leavers.csv");
    let table = fs::read(folder().join("hr-leavers.csv")).unwrap();
    // Half of it first, in the middle of nothing: the file grows.
    let cut = table.windows(5).position(|part| part == b"1004;").unwrap();
    fs::write(&file, &table[..cut]).unwrap();
    let first = summary(&ingest(&lake, &file));
    // The header and the second line of the first row.
    assert_eq!((&first["records"], &first["context"], &first["skipped"]), (&5.into(), &4.into(), &2.into()));
    fs::write(&file, &table).unwrap();
    let second = summary(&ingest(&lake, &file));
    assert_eq!((&second["context"], &second["rejected"], &second["skipped"]), (&3.into(), &2.into(), &1.into()));
    assert_eq!(summary(&ingest(&lake, &file))["records"], 0, "nothing is read twice");
    let stored = rows(&lake.open().await).await;
    let places: Vec<_> = stored.iter().map(|row| (row.offset, row.record_index, row.class.as_str())).collect();
    let context = |line, index| (line, index, "context");
    let rejected = |line| (line, 0, "rejected");
    let expected =
        [context(1, 0), context(3, 0), context(4, 0), context(4, 1), context(5, 0), context(7, 0), context(8, 0)];
    assert_eq!(places, [&expected[..], &[rejected(9), rejected(10)]].concat());
    let uri = lake.uri();
    let raw = "SELECT raw FROM events WHERE \"offset\" = 1";
    let output = text(&tokentrail(&["--lake", &uri, "-o", "ndjson", "query", raw]));
    let row: Value = serde_json::from_str(output.trim()).unwrap();
    let table = String::from_utf8(table).unwrap();
    let start = table.find("1001;").unwrap();
    assert_eq!(row["raw"], table[start..table.find("1002;").unwrap()].trim_end());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_with_other_columns_is_refused_whole() {
    let lake = TempLake::new();
    let file = lake.path("leavers.csv");
    let table = fs::read_to_string(folder().join("hr-leavers.csv")).unwrap();
    fs::write(&file, table.replacen("Last day", "Last_day", 1)).unwrap();
    let output = ingest(&lake, &file);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("leavers.csv: the header: no column \"Last day\""), "{said}");
    assert!(said.contains("did you mean \"Last_day\"?"), "{said}");
    assert!(rows(&lake.open().await).await.is_empty());
    fs::write(&file, &table).unwrap();
    assert_eq!(summary(&ingest(&lake, &file))["context"], 7);
}

#[test]
fn mistakes_are_told_before_anything_is_read() {
    let lake = TempLake::new();
    let mapping = lake.path("m.toml");
    fs::write(&mapping, "source = \"x\"\n[[event]]\nevent_time = \"at\"\nactoin = \"what\"\n").unwrap();
    let arguments = ["decode", "--mapping", mapping.to_str().unwrap(), "no-such-file"];
    let output = tokentrail(&arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("m.toml:4: unknown column \"actoin\" in [[event]]; did you mean \"action\"?"), "{said}");
    assert!(said.contains("m.toml:2: [[event]] lacks \"action\""), "{said}");
    assert!(!output.status.success());
}

#[test]
fn mutants_of_records_give_events_or_reasons() {
    let asked = std::env::var("TOKENTRAIL_MUTANTS").ok().map(|count| count.parse().expect("a number"));
    let sources: Vec<_> = samples()
        .into_iter()
        .map(|(mapping, records)| {
            let mapping = Mapping::parse("m.toml", &fs::read_to_string(mapping).unwrap()).unwrap();
            (mapping, fs::read(records).unwrap())
        })
        .collect();
    let mut dice = fastrand::Rng::with_seed(11);
    for seed in 0..asked.unwrap_or(MUTANTS) {
        let (mapping, records) = dice.choice(&sources).unwrap();
        let header = mapping.csv().map(|layout| layout.header(records.split(|b| *b == b'\n').next().unwrap()).unwrap());
        let lines: Vec<&[u8]> = records.split(|byte| *byte == b'\n').skip(usize::from(header.is_some())).collect();
        let mut record = dice.choice(&lines).unwrap().to_vec();
        for _ in 0..dice.usize(1..5) {
            let at = dice.usize(..=record.len());
            let end = (at + dice.usize(..8)).min(record.len());
            match dice.u8(..4) {
                0 => drop(record.drain(at..end)),
                1 => record.insert(at, *dice.choice(b"\";,{}[]:\\0-\n\xff".as_slice()).unwrap()),
                2 => record.splice(at..end, [dice.u8(..)]).for_each(drop),
                _ => {
                    let copied = record[at..end].to_vec();
                    record.splice(at..at, copied).for_each(drop);
                }
            }
        }
        let mut found = 0;
        mapping.each(header.as_ref(), &record, &decode::hash(&record), &mut |one| {
            found += 1;
            assert!(record.get(one.piece.clone()).is_some(), "the evidence lies in the record");
            match one.verdict {
                Verdict::Event(event) => assert!(time::PLAUSIBLE.contains(&event.event_time)),
                Verdict::Rejected(rejection, _) => assert!((1..5_000).contains(&rejection.0.len())),
                Verdict::Skipped(_) => {}
            }
        });
        assert!(found > 0, "mutant {seed}: {}", String::from_utf8_lossy(&record));
    }
}
