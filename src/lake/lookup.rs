//! Which data files can hold one id, without opening each for its footer.
//!
//! Every id column of every file has a bloom filter, and asking it takes 32 bytes of the file; finding them takes the
//! footer, which is a thousand times as long. Data files never change, so where each filter lies is written down once,
//! beside the tables, and brought up to date by whoever looks something up; the filters themselves are copied beside
//! each other ([`copies`]). The list holds places, never ids: what is erased from the data is not kept here. All of it
//! can always be made again.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{Array as _, RecordBatch};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};

use super::log::DataFile;
use super::{Lake, LakeError};
use crate::event::columns;

mod bytes;
mod copies;
mod hash;
mod list;
mod rows;

pub use rows::Wanted;

use copies::Books;
use list::{Entry, Known, Place};

/// Files whose footers are read by one task.
const FILES_A_TASK: usize = 64;

/// Classes of events that have ids to look up.
const CLASSES: [&str; 2] = ["token", "context"];

/// Which files come into question beside their filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Among {
    All,
    /// With some row that has no grant.
    Grantless,
    /// With some row that has a token and no family.
    LoneTokens,
}

/// Where the filters of a lake's files lie.
pub struct Lookup {
    /// The folder of `events`; none where the lake is not on this machine's file system.
    root: Option<PathBuf>,
    known: Known,
    books: Books,
}

impl Lookup {
    /// The filters of these files; what is not yet known of them is read from their footers and written down.
    ///
    /// # Errors
    /// If a data file cannot be read. A list of places that cannot be read or written only costs time.
    pub async fn open(lake: &Lake, files: &HashMap<String, DataFile>) -> Result<Self, LakeError> {
        let Some(root) = folder(lake) else {
            return Ok(Self { root: None, known: Known::new(), books: Books::default() });
        };
        let known = bring_up_to_date(lake, &root, files).await?;
        let path = path(lake, &root);
        let books = Books::open(path.parent().unwrap_or(&root), &known);
        Ok(Self { root: Some(root), known, books })
    }

    /// Of the files, those that may hold one of the values in the column beside it: the union over all columns.
    ///
    /// Of a lake elsewhere these are all: reading their filters is left to the scan.
    pub fn files_with(&self, files: &[&DataFile], wanted: &[(&str, &[String])], among: Among) -> Vec<DataFile> {
        let Some(root) = &self.root else { return files.iter().copied().cloned().collect() };
        let asked: Vec<(usize, Vec<u64>)> = wanted
            .iter()
            .filter_map(|(column, texts)| {
                let index = columns::ids().position(|id| id == *column)?;
                Some((index, texts.iter().map(|text| hash::xxh64(text.as_bytes())).collect()))
            })
            .collect();
        let fits = |entry: &Entry| match among {
            Among::All => true,
            Among::Grantless => entry.has_grantless,
            Among::LoneTokens => entry.has_lone_tokens,
        };
        let may = |file: &&DataFile| {
            self.known.get(&file.path).is_none_or(|entry| fits(entry) && self.may_hold(root, file, entry, &asked))
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let share = files.len().div_ceil(cores).max(FILES_A_TASK);
        let (may, mut found) = (&may, Vec::new());
        std::thread::scope(|scope| {
            let part = |part: &[&DataFile]| part.iter().copied().filter(may).cloned().collect::<Vec<_>>();
            let parts: Vec<_> = files.chunks(share).map(|files| scope.spawn(move || part(files))).collect();
            for part in parts {
                // A thread that panicked tells nothing: what it was asked may all hold the value.
                found.push(part.join().ok());
            }
        });
        let parts = files.chunks(share).zip(found);
        parts.flat_map(|(all, found)| found.unwrap_or_else(|| all.iter().copied().cloned().collect())).collect()
    }
}

impl Lookup {
    /// What `each` makes of the rows that are asked for, out of these files; none if the lake is not on this machine.
    ///
    /// # Errors
    /// A data file that cannot be read.
    pub fn rows<T: Send>(
        &self,
        files: &[DataFile],
        wanted: &Wanted<'_>,
        each: impl Fn(&RecordBatch) -> Vec<T> + Sync,
    ) -> Option<Result<Vec<T>, LakeError>> {
        self.root.as_ref().map(|root| rows::read(root, files, wanted, each))
    }
}

fn folder(lake: &Lake) -> Option<PathBuf> {
    let url = lake.events().url();
    if url.scheme() == "file" { url.to_file_path().ok() } else { None }
}

/// Beside the folds, which can be made again too.
fn path(lake: &Lake, root: &Path) -> PathBuf {
    let lake = lake.uri().to_file_path().unwrap_or_else(|()| root.to_owned());
    lake.join("folds").join("lookup").join("filters")
}

async fn bring_up_to_date(lake: &Lake, root: &Path, files: &HashMap<String, DataFile>) -> Result<Known, LakeError> {
    let path = path(lake, root);
    let mut known = list::read(&path);
    let is_asked = |file: &&DataFile| {
        let class = file.partition(columns::CLASS);
        class.is_some_and(|class| CLASSES.contains(&class)) && !known.contains_key(&file.path)
    };
    let new: Vec<String> = files.values().filter(is_asked).map(|file| file.path.clone()).collect();
    let state = lake.events().state().await;
    if new.is_empty() && known.keys().all(|path| state.files.contains_key(path) || files.contains_key(path)) {
        return Ok(known);
    }
    let mut tasks = Vec::new();
    for part in new.chunks(FILES_A_TASK).map(<[String]>::to_vec) {
        let root = root.to_owned();
        tasks.push(tokio::task::spawn_blocking(move || {
            let entry = |path: String| places(&root.join(&path)).map(|entry| (path, entry));
            part.into_iter().map(entry).collect::<Result<Vec<_>, LakeError>>()
        }));
    }
    for task in tasks {
        let read = task.await.map_err(|e| LakeError::Log(lake.events().url().to_string(), e.to_string()))?;
        known.extend(read?);
    }
    let folder = path.parent().unwrap_or(root);
    if let Err(error) = copies::bring_up_to_date(folder, root, &mut known, |path| state.files.contains_key(path)) {
        tracing::debug!(%error, "filters are not copied: look-ups open more files");
    }
    // Files that compaction replaced are forgotten; those of an older version that is looked at are found again.
    known.retain(|path, _| state.files.contains_key(path) || files.contains_key(path));
    match list::write(&path, &known) {
        Ok(()) => copies::tidy(folder, &known),
        Err(error) => {
            tracing::debug!(%error, "where the filters lie is not kept: the next look-up reads all footers again");
        }
    }
    Ok(known)
}

/// Where the filters of a file lie, by its footer.
fn places(path: &Path) -> Result<Entry, LakeError> {
    let doing = || format!("reading {}", path.display());
    let file = File::open(path).map_err(|cause| LakeError::Io { doing: doing(), cause })?;
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Skip);
    let footer = reader.parse_and_finish(&file)?;
    let names: Vec<&str> = columns::ids().collect();
    let (has_grantless, has_lone_tokens) = flags(&file)?;
    let mut entry = Entry { groups: Vec::new(), has_grantless, has_lone_tokens, copy: None };
    for group in footer.row_groups() {
        let mut places = vec![None; names.len()];
        for column in group.columns() {
            let Some(index) = names.iter().position(|name| column.column_path().string() == *name) else { continue };
            let (Some(offset), Some(length)) = (column.bloom_filter_offset(), column.bloom_filter_length()) else {
                continue;
            };
            places[index] = place(&file, offset, length).map_err(|cause| LakeError::Io { doing: doing(), cause })?;
        }
        entry.groups.push(places);
    }
    Ok(entry)
}

/// Whether the file has rows without a grant, and rows with a token and no family: what the filters cannot say.
fn flags(file: &File) -> parquet::errors::Result<(bool, bool)> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file.try_clone()?)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["token_id", "family_id", "grant_id"]);
    let (mut has_grantless, mut has_lone_tokens) = (false, false);
    for batch in builder.with_projection(mask).with_batch_size(8_192).build()? {
        let batch = batch?;
        let column = |name: &str| batch.column_by_name(name);
        has_grantless |= column("grant_id").is_none_or(|grants| grants.null_count() > 0);
        has_lone_tokens |= match (column("token_id"), column("family_id")) {
            (Some(tokens), Some(families)) => {
                (0..batch.num_rows()).any(|row| tokens.is_valid(row) && families.is_null(row))
            }
            _ => true,
        };
        if has_grantless && has_lone_tokens {
            break;
        }
    }
    Ok((has_grantless, has_lone_tokens))
}

/// The filter's bits: what is left of its length behind the header, which begins with their number.
fn place(file: &File, offset: i64, length: i32) -> std::io::Result<Option<Place>> {
    let mut head = [0; 6];
    let offset = u64::try_from(offset).unwrap_or(0);
    list::read_at(file, &mut head, offset)?;
    // Thrift's compact protocol: field 1 of type i32, then the number as a zigzag varint.
    if head[0] != 0x15 {
        return Ok(None);
    }
    let (mut number, mut shift) = (0_u64, 0);
    for byte in &head[1..] {
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let bytes = number >> 1;
    let length = u64::try_from(length).unwrap_or(0);
    let fits = bytes >= 32 && bytes.is_multiple_of(32) && bytes < length;
    Ok(fits.then(|| Place { offset: offset + length - bytes, blocks: (bytes / 32) as u32 }))
}

impl Lookup {
    /// Whether one of the values may stand in the file; a file that cannot be asked may hold everything.
    fn may_hold(&self, root: &Path, file: &DataFile, entry: &Entry, asked: &[(usize, Vec<u64>)]) -> bool {
        let opened = OnceCell::new();
        let open = || opened.get_or_init(|| File::open(root.join(&file.path)).ok()).as_ref();
        let is_in = |place: &Place, before: u64, hash: u64| {
            let block = hash::block(hash, place.blocks);
            if let Some(bits) = self.books.block(&file.path, entry.copy, before + block) {
                return hash::is_in(hash, &bits);
            }
            let mut bits = [0; 32];
            let read = open().and_then(|opened| list::read_at(opened, &mut bits, place.offset + 32 * block).ok());
            read.is_none() || hash::is_in(hash, &bits)
        };
        let mut before = 0;
        for places in &entry.groups {
            for (column, place) in places.iter().enumerate() {
                let hashes = asked.iter().filter(|(asked, _)| *asked == column).flat_map(|(_, hashes)| hashes);
                let may = match place {
                    None => asked.iter().any(|(asked, _)| *asked == column),
                    Some(place) => hashes.into_iter().any(|hash| is_in(place, before, *hash)),
                };
                if may {
                    return true;
                }
                before += place.map_or(0, |place| u64::from(place.blocks));
            }
        }
        false
    }
}

#[cfg(test)]
mod tests;
