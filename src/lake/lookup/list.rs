//! The list of places as a file: read whole, written whole, put in place at once.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use super::copies::Copied;

/// A bloom filter's bits in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub offset: u64,
    /// Of 32 bytes each.
    pub blocks: u32,
}

/// What is known of files, by path.
pub type Known = HashMap<String, Entry>;

/// The filters of one file: by row group, then by id column in the order of the columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub groups: Vec<Vec<Option<Place>>>,
    /// Whether some row has no grant.
    pub has_grantless: bool,
    /// Whether some row has a token and no family.
    pub has_lone_tokens: bool,
    /// Where its filters stand beside those of other files.
    pub copy: Option<Copied>,
}

/// What the file begins with. Another order of columns, or another layout, has another beginning.
fn head() -> Vec<u8> {
    let columns: Vec<&str> = crate::event::columns::ids().collect();
    format!("filters 3 {}\n", columns.join(",")).into_bytes()
}

/// What is written down; nothing if it cannot be read, for it can be made again.
pub fn read(path: &Path) -> Known {
    let bytes = std::fs::read(path).unwrap_or_default();
    bytes.strip_prefix(head().as_slice()).and_then(entries).unwrap_or_default()
}

fn entries(mut bytes: &[u8]) -> Option<Known> {
    let columns = crate::event::columns::ids().count();
    let (total, rest) = bytes.split_first_chunk::<4>()?;
    bytes = rest;
    let total = u32::from_le_bytes(*total) as usize;
    // No entry is shorter than this, so a broken number asks for no more than there is.
    let mut known = HashMap::with_capacity(total.min(bytes.len() / 8));
    for _ in 0..total {
        let (lengths, rest) = bytes.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_le_bytes([lengths[0], lengths[1]]));
        let groups = usize::from(u16::from_le_bytes([lengths[2], lengths[3]]));
        let (name, mut rest) = rest.split_at_checked(length)?;
        let (flags, after) = rest.split_first_chunk::<1>()?;
        let (book, after) = after.split_first_chunk::<8>()?;
        let (offset, after) = after.split_first_chunk::<8>()?;
        rest = after;
        let copy = Copied { book: u64::from_le_bytes(*book), offset: u64::from_le_bytes(*offset) };
        let groups_room = Vec::with_capacity(groups.min(rest.len()));
        let mut entry = Entry {
            groups: groups_room,
            has_grantless: flags[0] & 1 != 0,
            has_lone_tokens: flags[0] & 2 != 0,
            copy: (copy.book > 0).then_some(copy),
        };
        for _ in 0..groups {
            let mut places = Vec::with_capacity(columns);
            for _ in 0..columns {
                let (offset, after) = rest.split_first_chunk::<8>()?;
                let (blocks, after) = after.split_first_chunk::<4>()?;
                let place = Place { offset: u64::from_le_bytes(*offset), blocks: u32::from_le_bytes(*blocks) };
                places.push((place.blocks > 0).then_some(place));
                rest = after;
            }
            entry.groups.push(places);
        }
        known.insert(String::from_utf8(name.to_vec()).ok()?, entry);
        bytes = rest;
    }
    bytes.is_empty().then_some(known)
}

/// Writes the list beside its place and moves it there: whoever reads sees the old one or the new one.
pub fn write(path: &Path, known: &Known) -> std::io::Result<()> {
    let mut bytes = head();
    let entries = known
        .iter()
        .filter(|(name, entry)| u16::try_from(name.len()).is_ok() && u16::try_from(entry.groups.len()).is_ok());
    let entries: Vec<_> = entries.collect();
    bytes.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    for (name, entry) in entries {
        bytes.extend_from_slice(&(name.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&(entry.groups.len() as u16).to_le_bytes());
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(u8::from(entry.has_grantless) | u8::from(entry.has_lone_tokens) << 1);
        let copy = entry.copy.unwrap_or(Copied { book: 0, offset: 0 });
        bytes.extend_from_slice(&copy.book.to_le_bytes());
        bytes.extend_from_slice(&copy.offset.to_le_bytes());
        for place in entry.groups.iter().flatten() {
            let place = place.unwrap_or(Place { offset: 0, blocks: 0 });
            bytes.extend_from_slice(&place.offset.to_le_bytes());
            bytes.extend_from_slice(&place.blocks.to_le_bytes());
        }
    }
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(&bytes)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Reads exactly these bytes, wherever others read.
#[cfg(unix)]
pub fn read_at(file: &File, into: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, into, offset)
}

/// The same where a file has one place at a time.
#[cfg(not(unix))]
pub fn read_at(mut file: &File, into: &mut [u8], offset: u64) -> std::io::Result<()> {
    use std::io::{Read as _, Seek as _};
    file.seek(std::io::SeekFrom::Start(offset))?;
    file.read_exact(into)
}
