//! A pack as it lies there: a folder or a zip, and what is odd about it before any file is read.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Read as _};
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use super::VerifyError;
use crate::export::pack::write;

/// Largest file of a pack that is read, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 30;
/// Most files and folders of a pack.
const FILES_MAX: usize = 100_000;

/// A pack that can be read by name.
pub struct Opened {
    path: PathBuf,
    /// By name in the pack: where it lies in the folder, or its number in the zip.
    entries: BTreeMap<String, Place>,
    archive: Option<ZipArchive<fs::File>>,
    pub is_zip: bool,
    pub problems: Vec<String>,
}

enum Place {
    File(PathBuf),
    Entry(usize),
}

impl Opened {
    /// Opens what lies there.
    pub fn open(path: &Path) -> Result<Self, VerifyError> {
        let unreadable = |why: String| VerifyError::Unreadable { path: path.display().to_string(), why };
        let found = fs::metadata(path).map_err(|e| unreadable(e.to_string()))?;
        let mut opened = Self {
            path: path.to_owned(),
            entries: BTreeMap::new(),
            archive: None,
            is_zip: !found.is_dir(),
            problems: Vec::new(),
        };
        if found.is_dir() {
            opened.walk(path, "").map_err(|e| unreadable(e.to_string()))?;
            return Ok(opened);
        }
        let file = fs::File::open(path).map_err(|e| unreadable(e.to_string()))?;
        let archive =
            ZipArchive::new(file).map_err(|e| unreadable(format!("it is neither a folder nor a zip ({e})")))?;
        for (at, name) in archive.file_names().enumerate() {
            let name = name.map_err(|e| unreadable(e.to_string()))?.into_owned();
            if at >= FILES_MAX {
                return Err(unreadable(format!("more than {FILES_MAX} files")));
            }
            if opened.entries.insert(name.clone(), Place::Entry(at)).is_some() {
                opened.problems.push(format!("{name}: it is in the zip twice"));
            }
        }
        opened.archive = Some(archive);
        Ok(opened)
    }

    fn walk(&mut self, folder: &Path, below: &str) -> std::io::Result<()> {
        let mut is_empty = true;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            is_empty = false;
            let name = format!("{below}{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type()?;
            if self.entries.len() >= FILES_MAX {
                return Err(std::io::Error::other(format!("more than {FILES_MAX} files")));
            }
            if kind.is_dir() {
                self.walk(&entry.path(), &format!("{name}/"))?;
            } else if kind.is_file() {
                self.entries.insert(name, Place::File(entry.path()));
            } else {
                self.problems.push(format!("{name}: it is a link, and no file"));
            }
        }
        if is_empty && !below.is_empty() {
            self.problems.push(format!("{below}: an empty folder is no part of a pack"));
        }
        Ok(())
    }

    /// Names of all files.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The bytes of a file.
    pub fn read(&mut self, name: &str) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let read = match self.entries.get(name) {
            None => return Err("it is missing".to_owned()),
            Some(Place::File(path)) => {
                fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
            }
            Some(Place::Entry(at)) => match self.archive.as_mut().map(|archive| archive.by_index(*at)) {
                Some(Ok(file)) => file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes),
                Some(Err(error)) => return Err(error.to_string()),
                None => return Err("there is no zip".to_owned()),
            },
        };
        match read {
            Ok(_) if bytes.len() as u64 > FILE_BYTES_MAX => Err(format!("it has more than {FILE_BYTES_MAX} bytes")),
            Ok(_) => Ok(bytes),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Whether the zip is as the program makes it of these files; if not, a sentence. Its files have been checked.
    pub fn as_made(&mut self, names: &[String]) -> Option<String> {
        let order: Vec<String> = self
            .archive
            .iter()
            .flat_map(|archive| archive.file_names().flatten())
            .map(|name| name.into_owned())
            .collect();
        if order != names {
            return Some("the zip: its files do not stand in the order in which they were written".to_owned());
        }
        let made = write::zipped(names, |name| self.read(name).map_err(std::io::Error::other), Cursor::new(Vec::new()));
        let same = made.and_then(|made| Ok(fs::read(&self.path)? == made.into_inner()));
        match same {
            Ok(true) => None,
            Ok(false) => Some("the zip: it was packed anew, for its bytes are not those that were written".to_owned()),
            Err(error) => Some(format!("the zip: {error}")),
        }
    }
}
