//! Fifty ways to change a pack, as a folder and as a zip: each has to be seen.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};
use tokentrail::export::verify;

use super::{Case, files};

const RESULT: &str = "controls/PR.AA-01/refresh_after_offboarding/result.csv";

fn problems(pack: &Path) -> Vec<String> {
    match verify::check(pack, None) {
        Ok(report) => report.problems,
        Err(error) => vec![error.to_string()],
    }
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    for (name, bytes) in files(from) {
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// Changes a file's text, and the manifest with it: as who knows how a pack is made would.
fn cover_up(pack: &Path, name: &str, text: &str) {
    fs::write(pack.join(name), text).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(pack.join("manifest.json")).unwrap()).unwrap();
    let mut manifest: tokentrail::export::pack::manifest::Manifest = serde_json::from_value(manifest).unwrap();
    let rows = name.ends_with(".csv").then(|| text.lines().count() as u64 - 1);
    for entry in manifest.files.iter_mut().filter(|entry| entry.name == name) {
        entry.sha256 = format!("{:x}", Sha256::digest(text));
        entry.bytes = text.len() as u64;
        entry.rows = rows.filter(|_| entry.rows.is_some());
    }
    manifest.root_sha256 = manifest.root();
    fs::write(pack.join("manifest.json"), manifest.bytes()).unwrap();
    let _ = fs::remove_file(pack.join("run.json"));
    let block =
        tokentrail::export::pack::manifest::RunBlock { root_sha256: manifest.root_sha256, ..Default::default() };
    fs::write(pack.join("run.json"), block.sealed().bytes()).unwrap();
}

type Change = Box<dyn Fn(&Path)>;

fn edit(name: &'static str, change: impl Fn(String) -> String + 'static) -> Change {
    Box::new(move |pack| {
        let text = fs::read_to_string(pack.join(name)).unwrap();
        let changed = change(text.clone());
        assert_ne!(text, changed, "{name} was not changed");
        fs::write(pack.join(name), changed).unwrap();
    })
}

fn covered(name: &'static str, change: impl Fn(String) -> String + 'static) -> Change {
    Box::new(move |pack| {
        let text = fs::read_to_string(pack.join(name)).unwrap();
        let changed = change(text.clone());
        assert_ne!(text, changed, "{name} was not changed");
        cover_up(pack, name, &changed);
    })
}

fn lines(text: &str, change: impl Fn(&mut Vec<&str>)) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    change(&mut lines);
    lines.join("\n") + "\n"
}

/// Plain changes of a folder: what hashes see.
fn plain() -> Vec<(&'static str, Change)> {
    let byte = |name: &'static str| -> Change {
        Box::new(move |pack| {
            let mut bytes = fs::read(pack.join(name)).unwrap();
            let at = bytes.len() / 2;
            bytes[at] ^= 1;
            fs::write(pack.join(name), bytes).unwrap();
        })
    };
    let gone = |name: &'static str| -> Change { Box::new(move |pack| fs::remove_file(pack.join(name)).unwrap()) };
    let extra = |name: &'static str| -> Change {
        Box::new(move |pack| {
            fs::create_dir_all(pack.join(name).parent().unwrap()).unwrap();
            fs::write(pack.join(name), "x").unwrap();
        })
    };
    let mut all: Vec<(&'static str, Change)> = Vec::new();
    for name in [
        RESULT,
        "controls/PR.AA-01/refresh_after_offboarding/result.parquet",
        "controls/PR.AA-01/refresh_after_offboarding/query.sql",
        "controls/PR.AA-01/refresh_after_offboarding/population.csv",
        "controls/PR.AA-06/summary.json",
        "README.txt",
        "coverage/totals.csv",
        "framework.toml",
        "provenance.json",
        "sample/timelines.parquet",
        "run.json",
        "manifest.json",
        "assessment.json",
        "sign-off.txt",
    ] {
        all.push((name, byte(name)));
    }
    for name in [RESULT, "limits.txt", "manifest.json", "run.json", "assessment.json", "sample/sample.json"] {
        all.push((name, gone(name)));
    }
    for name in ["extra.txt", "controls/PR.AA-01/extra/result.csv", ".hidden"] {
        all.push((name, extra(name)));
    }
    all
}

/// Other plain changes.
fn odd() -> Vec<(&'static str, Change)> {
    let mut all: Vec<(&'static str, Change)> = Vec::new();
    all.push(("an empty folder", Box::new(|pack| fs::create_dir(pack.join("empty")).unwrap())));
    all.push((
        "a link",
        Box::new(|pack| {
            fs::rename(pack.join("limits.txt"), pack.with_extension("limits")).unwrap();
            std::os::unix::fs::symlink(pack.with_extension("limits"), pack.join("limits.txt")).unwrap();
        }),
    ));
    all.push((
        "two files change places",
        Box::new(|pack| {
            let (a, b) = (pack.join("exceptions.csv"), pack.join("trend.csv"));
            let (x, y) = (fs::read(&a).unwrap(), fs::read(&b).unwrap());
            fs::write(a, y).unwrap();
            fs::write(b, x).unwrap();
        }),
    ));
    all.push((
        "a file is renamed",
        Box::new(|pack| fs::rename(pack.join("trend.csv"), pack.join("trends.csv")).unwrap()),
    ));
    all.push(("a file is cut", edit("coverage/sources.csv", |text| text[..text.len() - 3].to_owned())));
    all.push(("line ends", edit("trend.csv", |text| text.replace('\n', "\r\n"))));
    all.push((
        "an entry of the manifest",
        edit("manifest.json", |text| text.replacen("\"bytes\": 1", "\"bytes\": 2", 1)),
    ));
    all.push((
        "the order of the manifest",
        edit("manifest.json", |text| {
            let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
            value["files"].as_array_mut().unwrap().swap(0, 1);
            serde_json::to_string_pretty(&value).unwrap() + "\n"
        }),
    ));
    all.push(("white space in the manifest", edit("manifest.json", |text| text + " ")));
    all.push(("a key of the manifest", edit("manifest.json", |text| text.replacen('{', "{\"note\": 1,", 1))));
    all
}

/// Changes by somebody who mends the hashes: what figures see.
fn knowing() -> Vec<(&'static str, Change)> {
    vec![
        (
            "a row gone",
            covered(RESULT, |text| {
                lines(&text, |all| {
                    all.remove(1);
                })
            }),
        ),
        ("a row twice", covered(RESULT, |text| lines(&text, |all| all.insert(1, all[1])))),
        (
            "a row fixed",
            covered(RESULT, |text| {
                lines(&text, |all| all.truncate(all.len() - 1)) + "pn:00,low,2026-10-01T00:00:00Z,,,\n"
            }),
        ),
        ("the order of rows", covered(RESULT, |text| lines(&text, |all| all[1..].reverse()))),
        ("a cell", covered(RESULT, |text| text.replacen("high", "low", 1))),
        (
            "a result",
            covered("assessment.json", |text| text.replacen("\"result\": \"fail\"", "\"result\": \"pass\"", 1)),
        ),
        (
            "every result",
            covered("assessment.json", |text| text.replace("\"result\": \"fail\"", "\"result\": \"pass\"")),
        ),
        ("a reason", covered("assessment.json", |text| text.replacen(" in the period", " anywhere", 1))),
        ("a count", covered("assessment.json", |text| text.replacen("\"found\": ", "\"found\": 1", 1))),
        ("a population", covered("assessment.json", |text| text.replacen("\"events\": ", "\"events\": 1", 3))),
        (
            "a problem of coverage",
            covered("assessment.json", |text| text.replacen("\"rejected\": ", "\"rejected\": 9", 1)),
        ),
        (
            "the period",
            covered("assessment.json", |text| text.replacen("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", 1)),
        ),
        (
            "the lake",
            covered("assessment.json", |text| text.replacen("\"lake\": \"file://", "\"lake\": \"file:///x", 1)),
        ),
        ("the SQL", covered("assessment.json", |text| text.replacen("WHERE", "WHERE FALSE AND", 1))),
        ("an exception's owner", covered("assessment.json", |text| text.replacen("infrastructure@", "nobody@", 1))),
        ("the list of limits", covered("limits.txt", |text| lines(&text, |all| all.truncate(all.len() - 1)))),
        ("the totals", covered("coverage/totals.csv", |text| lines(&text, |all| all.truncate(all.len() - 1)))),
        ("the framework", covered("framework.toml", |text| text + "# and more\n")),
        ("the sample", covered("sample/timelines.csv", |text| lines(&text, |all| all.truncate(all.len() - 1)))),
        ("the remediation", covered("remediation.csv", |text| lines(&text, |all| all.truncate(all.len() - 1)))),
        ("a summary", covered("controls/PR.AA-01/summary.json", |text| text.replacen("fail", "pass", 1))),
    ]
}

#[test]
fn fifty_changes_are_each_seen() {
    let case = Case::quickstart();
    case.export("pack", &["--zip", "--sample", "3", "--seed", "s"]);
    let (pack, changed) = (case.out("pack"), case.out("changed"));
    assert_eq!(problems(&pack), [""; 0]);
    let mut count = 0;
    let mut unseen = Vec::new();
    for (what, change) in plain().into_iter().chain(odd()).chain(knowing()) {
        copy(&pack, &changed);
        assert!(problems(&changed).is_empty() || count > 0);
        change(&changed);
        count += 1;
        if problems(&changed).is_empty() {
            unseen.push(what);
        }
    }
    for (what, change) in zips() {
        let zip = case.out("changed.zip");
        change(&case.out("pack.zip"), &zip);
        count += 1;
        if problems(&zip).is_empty() {
            unseen.push(what);
        }
    }
    assert!(unseen.is_empty(), "not seen: {unseen:?}");
    assert!(count >= 50, "{count}");
    // The first file that does not hold is named.
    copy(&pack, &changed);
    fs::write(changed.join(RESULT), "x").unwrap();
    assert!(problems(&changed)[0].starts_with(RESULT), "{:?}", problems(&changed));
}

type ZipChange = fn(&Path, &Path);

fn zips() -> Vec<(&'static str, ZipChange)> {
    fn again(from: &Path, to: &Path, stored: bool, keep: impl Fn(usize) -> bool) {
        let mut archive = zip::ZipArchive::new(fs::File::open(from).unwrap()).unwrap();
        let mut out = zip::ZipWriter::new(fs::File::create(to).unwrap());
        let method = if stored { zip::CompressionMethod::Stored } else { zip::CompressionMethod::Deflated };
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(method)
            .last_modified_time(zip::DateTime::default());
        for at in (0..archive.len()).filter(|at| keep(*at)) {
            let mut file = archive.by_index(at).unwrap();
            let name = file.name().unwrap().into_owned();
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            out.start_file(name, options).unwrap();
            out.write_all(&bytes).unwrap();
        }
        out.finish().unwrap();
    }
    vec![
        ("zipped anew", |from, to| again(from, to, true, |_| true)),
        ("an entry gone", |from, to| again(from, to, false, |at| at != 7)),
        ("a byte of the zip", |from, to| {
            let mut bytes = fs::read(from).unwrap();
            let at = bytes.len() / 3;
            bytes[at] ^= 0x10;
            fs::write(to, bytes).unwrap();
        }),
        ("bytes behind the zip", |from, to| {
            let mut bytes = fs::read(from).unwrap();
            bytes.extend(b"more");
            fs::write(to, bytes).unwrap();
        }),
        ("bytes before the zip", |from, to| {
            let mut bytes = b"more".to_vec();
            bytes.extend(fs::read(from).unwrap());
            fs::write(to, bytes).unwrap();
        }),
    ]
}
