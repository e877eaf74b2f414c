//! Writing a pack: into a folder beside, which takes its name only when everything is there; so a full disk leaves nothing.

use std::fs;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::manifest::{Entry, Manifest, RunBlock};
use super::{File, MANIFEST, RUN, each};
use crate::export::ExportError;
use crate::export::model::Assessment;

/// Where a pack goes, and in which shape.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The folder; it must not be there, or be empty.
    pub folder: PathBuf,
    /// Whether `FOLDER.zip` is made as well.
    pub zip: bool,
}

impl Destination {
    /// The file that the zip goes to.
    pub fn archive(&self) -> PathBuf {
        let mut name = self.folder.clone().into_os_string();
        name.push(".zip");
        PathBuf::from(name)
    }

    /// Whether a pack may go there. Asked before the work, and again by whoever writes.
    ///
    /// # Errors
    /// [`ExportError::Taken`] if something is there already.
    pub fn check(&self) -> Result<(), ExportError> {
        let taken = |path: &Path, what| Err(ExportError::Taken { path: path.display().to_string(), what });
        match fs::read_dir(&self.folder).map(|mut entries| entries.next().is_some()) {
            Ok(true) => return taken(&self.folder, "is not empty"),
            Ok(false) => {}
            Err(_) if self.folder.symlink_metadata().is_ok() => return taken(&self.folder, "is no folder"),
            Err(_) => {}
        }
        if self.folder.file_name().is_none() {
            return taken(&self.folder, "is no name for a new folder");
        }
        if self.zip && self.archive().symlink_metadata().is_ok() {
            return taken(&self.archive(), "is there already");
        }
        Ok(())
    }
}

/// A file or folder that goes away unless it is kept.
struct Draft(Option<PathBuf>);

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Whatever cannot be removed is named as a draft, and nobody takes it for a pack.
            let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
    }
}

/// Writes the pack, and says what is in it. `run` is asked for the run block once the root hash is known.
///
/// # Errors
/// [`ExportError::Write`] names the file; nothing is left then.
pub fn write(
    it: &Assessment,
    framework: &str,
    command: String,
    to: &Destination,
    run: impl FnOnce(&str) -> RunBlock,
) -> Result<Manifest, ExportError> {
    to.check()?;
    let draft = beside(&to.folder, "partial");
    let mut guard = Draft(Some(draft.clone()));
    let mut entries = Vec::new();
    each(it, framework, &mut |file| {
        entries.push(Entry::of(&file));
        put(&draft, &file)
    })?;
    let manifest = Manifest::new(it, command, entries);
    put(&draft, &File { name: MANIFEST.to_owned(), bytes: manifest.bytes(), rows: None })?;
    let archive = if to.zip { Some(archived(&draft, &manifest, &to.archive())?) } else { None };
    put(&draft, &File { name: RUN.to_owned(), bytes: run(&manifest.root_sha256).sealed().bytes(), rows: None })?;
    if to.folder.is_dir() {
        // Empty, as was asked above.
        fs::remove_dir(&to.folder).map_err(|cause| failed(&to.folder, cause))?;
    }
    fs::rename(&draft, &to.folder).map_err(|cause| failed(&to.folder, cause))?;
    guard.0 = None;
    if let Some((mut guard, path)) = archive {
        fs::rename(&path, to.archive()).map_err(|cause| failed(&to.archive(), cause))?;
        guard.0 = None;
    }
    Ok(manifest)
}

fn beside(path: &Path, what: &str) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!(".{name}.{what}-{}", std::process::id()))
}

fn failed(path: &Path, cause: std::io::Error) -> ExportError {
    ExportError::Write { path: path.display().to_string(), cause }
}

fn put(folder: &Path, file: &File) -> Result<(), ExportError> {
    let path = folder.join(&file.name);
    let parent = path.parent().unwrap_or(folder);
    fs::create_dir_all(parent).map_err(|cause| failed(parent, cause))?;
    let written = fs::File::create_new(&path).and_then(|mut out| {
        out.write_all(&file.bytes)?;
        // A disk that is full may say so only now.
        out.sync_all()
    });
    written.map_err(|cause| failed(&path, cause))
}

/// The zip of a pack's folder, as a draft: everything that does not change from run to run.
fn archived(folder: &Path, manifest: &Manifest, to: &Path) -> Result<(Draft, PathBuf), ExportError> {
    let path = beside(to, "partial");
    let guard = Draft(Some(path.clone()));
    let names = names(manifest);
    let out = fs::File::create_new(&path).map_err(|cause| failed(&path, cause))?;
    let read = |name: &str| fs::read(folder.join(name));
    let out = zipped(&names, read, out).map_err(|cause| failed(&path, cause))?;
    out.sync_all().map_err(|cause| failed(&path, cause))?;
    Ok((guard, path))
}

/// The names of a zip's entries, in their order.
pub fn names(manifest: &Manifest) -> Vec<String> {
    let mut names: Vec<String> = manifest.files.iter().map(|entry| entry.name.clone()).collect();
    names.push(MANIFEST.to_owned());
    names.sort();
    names
}

/// Files as a zip: in this order, at one time, with one mode, so that equal files give equal bytes.
pub fn zipped<W: Write + Seek>(
    names: &[String],
    mut read: impl FnMut(&str) -> std::io::Result<Vec<u8>>,
    out: W,
) -> std::io::Result<W> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    let mut zip = ZipWriter::new(out);
    for name in names {
        let bytes = read(name)?;
        let options = options.large_file(bytes.len() as u64 >= u64::from(u32::MAX));
        zip.start_file(name.as_str(), options)?;
        zip.write_all(&bytes)?;
    }
    Ok(zip.finish()?)
}
