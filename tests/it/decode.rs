//! Records of providers: what becomes of each sample, and that nothing becomes of a broken one but a reason.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tokentrail::decode::envelope::{self, Content};
use tokentrail::decode::recognise::Owner;
use tokentrail::decode::{self, Format, PROVIDERS, SCOPES_MAX, TEXT_BYTES_MAX, Verdict};
use tokentrail::event::{Event, time};

use crate::harness::tokentrail;

/// Mutants that are tried if nothing else is asked for.
const MUTANTS: u64 = 20_000;
/// Longest reason or note, in bytes.
const MESSAGE_BYTES_MAX: usize = 16_384;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Each file of samples and the format it is named after.
fn samples() -> Vec<(Format, PathBuf)> {
    let files = fs::read_dir(root().join("sample-data/providers")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "ndjson")).collect();
    files.sort();
    let format =
        |path: &Path| Format::parse(path.file_stem().unwrap().to_str().unwrap()).expect("named after a format");
    files.into_iter().map(|path| (format(&path), path)).collect()
}

fn lines(path: &Path) -> Vec<Vec<u8>> {
    let text = fs::read(path).unwrap();
    text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|l| !l.is_empty()).map(<[u8]>::to_vec).collect()
}

/// What becomes of each record, as objects without their nulls.
fn decoded(path: &Path) -> String {
    let mut rows = String::new();
    for (number, line) in lines(path).iter().enumerate() {
        let mut index = 0;
        decode::each(Format::Auto, line, &decode::hash(line), &mut |found| {
            let mut row = found.verdict.row(number as u64 + 1, index);
            row.retain(|_, value| !value.is_null());
            rows += &format!("{}\n", Value::Object(row));
            index += 1;
        });
    }
    rows
}

/// With UPDATE_SNAPSHOTS=1 in the environment the snapshots are written anew, to be reviewed as a diff; with the name of a
/// format only that one's.
#[test]
fn samples_give_what_their_snapshots_say() {
    let update = std::env::var("UPDATE_SNAPSHOTS").unwrap_or_default();
    for (format, path) in samples() {
        let now = decoded(&path);
        let snapshot = root().join(format!("tests/snapshots/decode/{}.ndjson", format.as_str()));
        if update == "1" || update == format.as_str() {
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

#[test]
fn the_command_prints_what_becomes_of_each_record() {
    let file = root().join("sample-data/providers/okta.ndjson");
    let command = |how: &str| tokentrail(&["decode", file.to_str().unwrap(), "-o", how]);
    let output = command("ndjson");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let without_nulls = |row: &Value| {
        let mut row = row.as_object().unwrap().clone();
        row.retain(|_, value| !value.is_null());
        Value::Object(row).to_string() + "\n"
    };
    let rows: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(rows.iter().map(without_nulls).collect::<String>(), decoded(&file));
    assert!(rows.iter().all(|row| row.as_object().unwrap().contains_key("client_id")), "every column is named");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("okta: ") && said.contains("rejected"), "{said}");
    let array: Vec<Value> = serde_json::from_slice(&command("json").stdout).unwrap();
    assert_eq!(array, rows);
    assert_eq!(
        String::from_utf8(command("csv").stdout).unwrap().lines().next().unwrap().split(',').next(),
        Some("record")
    );
    assert!(String::from_utf8(command("table").stdout).unwrap().contains("reuse_detected"));
}

#[test]
fn a_record_is_of_one_provider_only() {
    for (format, path) in samples() {
        for line in lines(&path) {
            envelope::open(&line, Format::Auto, &mut |leaf| {
                let Content::Record { record, owner: Owner::Provider(owner), .. } = leaf.content else { return };
                let claims =
                    PROVIDERS.iter().filter(|provider| (provider.is_mine)(record)).map(|provider| provider.name);
                let shown = String::from_utf8_lossy(&line);
                assert_eq!(claims.collect::<Vec<_>>(), [format.as_str()], "{shown}");
                assert_eq!(owner.name, format.as_str(), "{shown}");
            });
        }
    }
}

/// What holds for whatever is read: it ends, says something, and stays within its limits.
fn check(format: Format, record: &[u8]) {
    let mut rows = 0;
    decode::each(format, record, &decode::hash(record), &mut |found| {
        rows += 1;
        assert!(record.get(found.piece.clone()).is_some(), "the evidence lies in the record");
        match found.verdict {
            Verdict::Event(event) => {
                assert!(time::PLAUSIBLE.contains(&event.event_time));
                within_limits(event);
            }
            Verdict::Rejected(rejection, event) => {
                assert!((1..=MESSAGE_BYTES_MAX).contains(&rejection.0.len()), "{}", rejection.0.len());
                event.into_iter().for_each(within_limits);
            }
            Verdict::Skipped(_) => {}
        }
    });
    assert!(rows > 0, "nothing is dropped");
    assert!(rows <= record.len(), "more rows than bytes");
}

fn within_limits(event: &Event<'_>) {
    let notes = event.decode_notes.as_deref().unwrap_or_default();
    assert!(notes.len() <= MESSAGE_BYTES_MAX, "{notes}");
    let texts = event.texts().into_iter().flatten().filter(|text| *text != notes);
    for text in texts.chain(event.scopes.iter().map(|scope| scope.as_ref())) {
        assert!(!text.is_empty() && text.len() <= TEXT_BYTES_MAX + 8, "{} bytes", text.len());
    }
    assert!(event.scopes.len() <= SCOPES_MAX);
    assert!(event.event_id.is_some() && event.source.is_some());
}

/// Every sample record, changed in every way that producers, tools between and attackers change records.
#[test]
fn mutants_give_events_or_reasons() {
    let asked =
        std::env::var("TOKENTRAIL_MUTANTS").ok().map(|count| count.parse().expect("TOKENTRAIL_MUTANTS: a number"));
    let count = asked.unwrap_or(MUTANTS);
    let records: Vec<(Format, Vec<u8>)> = samples()
        .into_iter()
        .flat_map(|(format, path)| lines(&path).into_iter().map(move |line| (format, line)))
        .collect();
    let workers = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    std::thread::scope(|scope| {
        for worker in 0..workers {
            let records = &records;
            scope.spawn(move || {
                for seed in (worker..count).step_by(workers as usize) {
                    let mut dice = fastrand::Rng::with_seed(seed);
                    let (format, record) = dice.choice(records).unwrap();
                    let mutant = mutant(record, &mut dice);
                    let _told = Told { seed, mutant: &mutant };
                    check(Format::Auto, &mutant);
                    check(*format, &mutant);
                }
            });
        }
    });
}

/// Names the mutant that a check failed on.
struct Told<'a> {
    seed: u64,
    mutant: &'a [u8],
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let shown: String = String::from_utf8_lossy(self.mutant).chars().take(2000).collect();
            eprintln!("mutant {}: {shown}", self.seed);
        }
    }
}

fn mutant(record: &[u8], dice: &mut fastrand::Rng) -> Vec<u8> {
    let Ok(mut value) = serde_json::from_slice::<Value>(record) else { return bytes_changed(record, dice) };
    if dice.u8(..8) == 0 {
        return bytes_changed(record, dice);
    }
    for _ in 0..dice.usize(1..4) {
        change(&mut value, dice);
    }
    value.to_string().into_bytes()
}

fn bytes_changed(record: &[u8], dice: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = record.to_vec();
    match dice.u8(..4) {
        0 => bytes.truncate(dice.usize(..=bytes.len())),
        1 => bytes.iter_mut().for_each(|byte| *byte = if dice.u8(..50) == 0 { dice.u8(..) } else { *byte }),
        2 => {
            let at = dice.usize(..=bytes.len());
            bytes.splice(at..at, std::iter::repeat_with(|| dice.u8(..)).take(9));
        }
        _ => (0..dice.usize(1..200)).for_each(|_| bytes.push(dice.u8(..))),
    }
    if bytes.trim_ascii().is_empty() { b"x".to_vec() } else { bytes }
}

/// Changes one value somewhere inside.
fn change(value: &mut Value, dice: &mut fastrand::Rng) {
    let goes_deeper = dice.u8(..4) > 0;
    match value {
        Value::Object(members) if !members.is_empty() && goes_deeper => {
            let key = members.keys().nth(dice.usize(..members.len())).cloned().unwrap();
            if dice.u8(..6) == 0 {
                let dropped = members.remove(&key).unwrap();
                match dice.u8(..3) {
                    0 => drop(members.insert(key.to_lowercase(), dropped)),
                    1 => drop(members.insert(key.to_uppercase(), dropped)),
                    _ => {}
                }
            } else {
                change(&mut members[&key], dice);
            }
        }
        Value::Array(items) if !items.is_empty() && goes_deeper => {
            let at = dice.usize(..items.len());
            change(&mut items[at], dice);
        }
        // Records inside text are records too.
        Value::String(text) if goes_deeper && text.starts_with(['{', '[']) => {
            if let Ok(mut inner) = serde_json::from_str(text) {
                change(&mut inner, dice);
                *text = inner.to_string();
            }
        }
        other => *other = replaced(other.take(), dice),
    }
}

fn replaced(value: Value, dice: &mut fastrand::Rng) -> Value {
    const WORDS: [&str; 12] =
        ["", "-", "null", "unknown", "\0", "é", "😀", "2026-13-45T99:99:99Z", "::", "[", "a:b:c", "1e400"];
    match dice.u8(..14) {
        0 => Value::Null,
        1 => dice.bool().into(),
        2 => dice.i64(..).into(),
        3 => (dice.f64() * 1e18).into(),
        4 => WORDS[dice.usize(..WORDS.len())].into(),
        5 => "x".repeat(dice.usize(..20_000)).into(),
        6 => value.to_string().into(),
        7 => Value::Array(vec![value]),
        8 => Value::Array(vec![value; dice.usize(..50)]),
        9 => serde_json::json!({ "value": value }),
        10 => (0..dice.usize(..200)).fold(value, |inner, _| Value::Array(vec![inner])),
        11 => Value::Object(Map::new()),
        12 => Value::Array(Vec::new()),
        _ => match value {
            Value::String(text) => text.chars().take(dice.usize(..=text.chars().count())).collect::<String>().into(),
            other => other.to_string().chars().rev().collect::<String>().into(),
        },
    }
}

#[test]
fn counting_on_every_core_says_what_reading_one_by_one_says() {
    let folder = root().join("sample-data/providers");
    let folder = folder.to_str().unwrap();
    let one_by_one = tokentrail(&["decode", folder, "-o", "ndjson"]);
    let counted = tokentrail(&["decode", folder, "--summary"]);
    assert!(one_by_one.status.success() && counted.status.success());
    let said = String::from_utf8(counted.stdout).unwrap();
    assert!(said.lines().count() > 20, "{said}");
    assert_eq!(said, String::from_utf8(one_by_one.stderr).unwrap());
}
