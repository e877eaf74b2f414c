//! The filters of many files side by side in one file, so that a question opens this one and not each of those.
//!
//! Opening a file costs more than reading 32 bytes of it, and a lake of years has thousands. The filters' blocks are
//! copied behind each other, each with a check of its bits, of whose they are and of where they stand: what was cut off,
//! overwritten or belongs to another file is so no answer, and the data file is asked itself. What left the table is
//! blotted out: the bits of a filter tell whether an id was in it.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::hash::xxh64;
use super::list::{Entry, Known, Place, read_at};

/// A block and its check.
const BLOCK_BYTES: u64 = 32 + CHECK_BYTES as u64;
const CHECK_BYTES: usize = 4;
/// Fewer files than this, or than an eighth of all, are asked one by one: copies are made of many at once.
const FILES_MIN: usize = 128;

/// Where the filters of one file begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Which file of copies.
    pub book: u64,
    pub offset: u64,
}

/// The files of copies that a list names.
#[derive(Default)]
pub struct Books(HashMap<u64, File>);

fn path_of(folder: &Path, book: u64) -> PathBuf {
    folder.join(format!("copies-{book:016x}"))
}

fn check(bits: &[u8; 32], whose: u64, offset: u64) -> [u8; CHECK_BYTES] {
    let mut text = [0; 48];
    text[..32].copy_from_slice(bits);
    text[32..40].copy_from_slice(&whose.to_le_bytes());
    text[40..].copy_from_slice(&offset.to_le_bytes());
    (xxh64(&text) as u32).to_le_bytes()
}

fn places(entry: &Entry) -> impl Iterator<Item = &Place> {
    entry.groups.iter().flatten().flatten()
}

fn length(entry: &Entry) -> u64 {
    places(entry).map(|place| u64::from(place.blocks)).sum::<u64>() * BLOCK_BYTES
}

impl Books {
    /// Opens what is there; one that is missing makes the answer slower.
    pub fn open(folder: &Path, known: &Known) -> Self {
        let named: BTreeSet<u64> = known.values().filter_map(|entry| entry.copy).map(|copy| copy.book).collect();
        Self(named.into_iter().filter_map(|book| Some((book, File::open(path_of(folder, book)).ok()?))).collect())
    }

    /// One block of a file's filter, which begins so many blocks behind the first of its filters; none if it is not here.
    pub fn block(&self, path: &str, copy: Option<Copied>, before: u64) -> Option<[u8; 32]> {
        let copy = copy?;
        let offset = copy.offset.checked_add(before.checked_mul(BLOCK_BYTES)?)?;
        let mut read = [0; BLOCK_BYTES as usize];
        read_at(self.0.get(&copy.book)?, &mut read, offset).ok()?;
        let (bits, found) = read.split_first_chunk::<32>()?;
        (found == check(bits, xxh64(path.as_bytes()), offset)).then_some(*bits)
    }
}

/// Brings the copies up to the list: makes those that are worth it, and blots out those of files that are not `alive`.
///
/// # Errors
/// What cannot be read or written; the list then says what it said, or that there is no copy.
pub fn bring_up_to_date(folder: &Path, root: &Path, known: &mut Known, alive: impl Fn(&str) -> bool) -> io::Result<()> {
    let books = Books::open(folder, known);
    for (_, entry) in known.iter().filter(|(path, _)| !alive(path)) {
        if let Some(copy) = entry.copy.filter(|copy| books.0.contains_key(&copy.book)) {
            blot(&path_of(folder, copy.book), copy.offset, length(entry))?;
        }
    }
    for entry in known.values_mut() {
        entry.copy = entry.copy.filter(|copy| books.0.contains_key(&copy.book));
    }
    let missing: Vec<String> = known
        .iter()
        .filter(|(path, entry)| entry.copy.is_none() && alive(path))
        .map(|(path, _)| path.clone())
        .collect();
    if missing.len() < FILES_MIN || missing.len() * 8 < known.len() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    let book = uuid::Uuid::new_v4().as_u64_pair().0;
    let mut out = BufWriter::new(File::create_new(path_of(folder, book))?);
    let mut offset = 0;
    let mut copied = Vec::with_capacity(missing.len());
    for path in missing {
        let begun = offset;
        if let Some(entry) = known.get(&path) {
            offset = copy(&root.join(&path), &path, entry, offset, &mut out)?;
            copied.push((path, Copied { book, offset: begun }));
        }
    }
    out.flush()?;
    for (path, copy) in copied {
        known.entry(path).and_modify(|entry| entry.copy = Some(copy));
    }
    Ok(())
}

/// Copies the filters of one file; gives where the next one's begin.
fn copy(file: &Path, path: &str, entry: &Entry, mut offset: u64, out: &mut impl io::Write) -> io::Result<u64> {
    let (file, whose) = (File::open(file)?, xxh64(path.as_bytes()));
    for place in places(entry) {
        let mut bits = vec![0; place.blocks as usize * 32];
        read_at(&file, &mut bits, place.offset)?;
        for block in bits.as_chunks::<32>().0 {
            out.write_all(block)?;
            out.write_all(&check(block, whose, offset))?;
            offset += BLOCK_BYTES;
        }
    }
    Ok(offset)
}

/// Nobody who reads meanwhile is misled: zeros have another check.
fn blot(path: &Path, offset: u64, length: u64) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    io::copy(&mut io::Read::take(io::repeat(0), length), &mut file).map(|_| ())
}

/// Takes away the files of copies that a list no longer names. Somebody else's new one may be among them: it is made again.
pub fn tidy(folder: &Path, known: &Known) {
    let named: BTreeSet<PathBuf> =
        known.values().filter_map(|entry| entry.copy).map(|copy| path_of(folder, copy.book)).collect();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_copies = entry.file_name().to_string_lossy().starts_with("copies-");
        if is_copies && !named.contains(&entry.path()) {
            let _ = fs::remove_file(entry.path()); // it costs space and nothing else
        }
    }
}
