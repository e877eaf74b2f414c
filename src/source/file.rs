//! NDJSON files and tables, folders of them, and standard input; plain, gzip or zstd.
//!
//! A file is known by its canonical path and a hash of the lines already committed: if they still stand there, reading
//! goes on behind them; if not, it is another file under the same name (a rotated log), and gets a new generation.

mod lines;

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{Chunk, Polled, Source, SourceError, SourceId};
use crate::csv::Layout;
use lines::Lines;

/// The position of the hash of a file's committed lines, beside the position itself.
const PREFIX: &str = "#prefix";

/// Reads files one after another on a thread of its own.
pub struct FileSource {
    polled: mpsc::Receiver<Result<Polled, SourceError>>,
}

impl FileSource {
    /// Reads `paths` (`-` is standard input; a folder means the files in it, in order of name).
    ///
    /// `positions` are those of the lake.
    ///
    /// # Errors
    /// A path that is not there, or a folder without any readable file, before anything is read.
    pub fn open(paths: &[PathBuf], positions: BTreeMap<String, i64>) -> Result<Self, SourceError> {
        Self::open_as(paths, positions, None)
    }

    /// [`FileSource::open`], for tables if they have a layout: then a record is a row, and stands at its first line.
    ///
    /// # Errors
    /// As there.
    pub fn open_as(
        paths: &[PathBuf],
        positions: BTreeMap<String, i64>,
        layout: Option<Layout>,
    ) -> Result<Self, SourceError> {
        let files = expand(paths, layout.is_some())?;
        let (sender, polled) = mpsc::channel(4);
        std::thread::spawn(move || {
            for file in files {
                if let Err(error) = read(&file, &positions, layout.as_ref(), &sender) {
                    let _ = sender.blocking_send(Err(error)); // nobody listens: reading was given up
                    return;
                }
            }
            let _ = sender.blocking_send(Ok(Polled::End));
        });
        Ok(Self { polled })
    }
}

#[async_trait]
impl Source for FileSource {
    async fn next(&mut self) -> Result<Polled, SourceError> {
        match self.polled.recv().await {
            Some(polled) => polled,
            None => Ok(Polled::End),
        }
    }

    async fn restart(&mut self, id: &Arc<SourceId>, _position: i64) -> Result<(), SourceError> {
        Err(SourceError::Unusable(format!(
            "{}: another process is ingesting this file; run the command again when it is done",
            id.topic
        )))
    }
}

/// Every file the paths stand for, each once.
fn expand(paths: &[PathBuf], is_table: bool) -> Result<VecDeque<PathBuf>, SourceError> {
    let endings: &[&str] = if is_table { &TABLES } else { &LOGS };
    let mut files: VecDeque<PathBuf> = VecDeque::new();
    for path in paths {
        if path.as_os_str() == "-" {
            files.push_back(path.clone());
            continue;
        }
        let failed = |error| SourceError::File { path: path.display().to_string(), error };
        let canonical = path.canonicalize().map_err(failed)?;
        if canonical.is_dir() {
            let mut found = Vec::new();
            walk(&canonical, endings, &mut found).map_err(failed)?;
            if found.is_empty() {
                return Err(SourceError::Unusable(format!(
                    "{}: no {} file (or one of them with .gz or .zst) in this folder",
                    path.display(),
                    endings.join(" or ")
                )));
            }
            found.sort();
            files.extend(found);
        } else {
            File::open(&canonical).map_err(failed)?; // fails now, not after an hour of other files
            files.push_back(canonical);
        }
    }
    let mut seen = std::collections::HashSet::new();
    files.retain(|f| seen.insert(f.clone()));
    Ok(files)
}

/// Names of files that are read where a folder is named.
const LOGS: [&str; 4] = [".ndjson", ".jsonl", ".json", ".log"];
const TABLES: [&str; 3] = [".csv", ".tsv", ".txt"];

fn walk(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let plain = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
        if path.is_dir() {
            walk(&path, endings, found)?;
        } else if endings.iter().any(|e| plain.ends_with(e)) {
            found.push(path);
        }
    }
    Ok(())
}

/// The bytes of a file, unpacked; a packed file may hold several members.
fn open(path: &Path) -> std::io::Result<Box<dyn Read + Send>> {
    if path.as_os_str() == "-" {
        return unpacked(Box::new(std::io::stdin()));
    }
    unpacked(Box::new(File::open(path)?))
}

/// Tells packed from plain by the first bytes, so that names and pipes do not matter.
fn unpacked(mut input: Box<dyn Read + Send>) -> std::io::Result<Box<dyn Read + Send>> {
    let mut head = Vec::new();
    input.by_ref().take(4).read_to_end(&mut head)?;
    let whole = std::io::Cursor::new(head.clone()).chain(input);
    Ok(match head.as_slice() {
        [0x1f, 0x8b, ..] => {
            Box::new(flate2::read::MultiGzDecoder::new(std::io::BufReader::with_capacity(1 << 18, whole)))
        }
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::stream::read::Decoder::new(whole)?),
        _ => Box::new(whole),
    })
}

/// Reads one file from where the lake stands.
fn read(
    path: &Path,
    positions: &BTreeMap<String, i64>,
    layout: Option<&Layout>,
    sender: &mpsc::Sender<Result<Polled, SourceError>>,
) -> Result<(), SourceError> {
    let failed = |error| SourceError::File { path: path.display().to_string(), error };
    let from_stdin = path.as_os_str() == "-";
    let topic: Arc<str> = path.to_string_lossy().into();
    let kind = if from_stdin { "stdin" } else { "file" };
    let mut id = SourceId { kind, topic, partition: 0 };
    let mut lines = Lines::new(open(path).map_err(failed)?, from_stdin, layout);
    if !from_stdin {
        let generations = generations(&id, positions);
        id.partition = generations.iter().map(|g| g.0 + 1).max().unwrap_or(0);
        if let Some((generation, known)) = resume(path, layout, &generations).map_err(failed)? {
            id.partition = generation;
            lines = known;
        }
    }
    let id = Arc::new(id);
    let prefix = id.app_id().map(|app| app + PREFIX);
    if sender.blocking_send(Ok(Polled::Assigned(vec![(id.clone(), Some(lines.number()))]))).is_err() {
        return Ok(());
    }
    loop {
        let mut chunk = Chunk::default();
        let source = chunk.source(&id);
        if !lines.fill(&mut chunk, source).map_err(failed)? {
            return Ok(());
        }
        if let Some(name) = &prefix {
            chunk.marks.insert(name.clone(), lines.prefix());
        }
        if sender.blocking_send(Ok(Polled::Chunk(chunk))).is_err() {
            return Ok(());
        }
    }
}

/// Generations of a file that the lake knows: number, lines committed, hash of those lines; newest first.
fn generations(id: &SourceId, positions: &BTreeMap<String, i64>) -> Vec<(i32, i64, i64)> {
    let of = |partition| SourceId { partition, ..id.clone() }.app_id();
    let known = (0..).map_while(|partition| {
        let app = of(partition)?;
        Some((partition, *positions.get(&app)?, *positions.get(&(app + PREFIX))?))
    });
    let mut known: Vec<_> = known.collect();
    known.reverse();
    known
}

/// The reader behind the committed lines of the generation that the file still begins with.
fn resume(
    path: &Path,
    layout: Option<&Layout>,
    generations: &[(i32, i64, i64)],
) -> std::io::Result<Option<(i32, Lines)>> {
    for &(generation, count, hash) in generations {
        let mut lines = Lines::new(open(path)?, false, layout);
        if lines.skip(count)? && lines.prefix() == hash {
            return Ok(Some((generation, lines)));
        }
    }
    Ok(None)
}
