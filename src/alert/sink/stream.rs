//! Standard output, and a file to which lines are added and synced.

use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::{Failure, Sink};
use crate::alert::config::{Format, SinkConfig};
use crate::alert::format;
use crate::alert::notice::Message;

/// Standard output.
pub struct Stdout {
    format: Format,
}

impl Stdout {
    pub fn new(config: &SinkConfig) -> Self {
        Self { format: config.format() }
    }
}

#[async_trait]
impl Sink for Stdout {
    async fn send(&self, message: &Message) -> Result<(), Failure> {
        let text = format::lines(message, self.format);
        let written = tokio::task::spawn_blocking(move || {
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes()).and_then(|()| out.flush())
        });
        flatten(written.await).map_err(|e| Failure::new(format!("standard output: {e}")))
    }
}

/// A file. What is written is on the disk before the yes.
pub struct File {
    path: PathBuf,
    format: Format,
    /// One at a time: lines must not run into each other.
    turn: Arc<Mutex<()>>,
}

impl File {
    pub fn new(config: &SinkConfig) -> Result<Self, String> {
        let path = config.path.clone().ok_or("it needs `path`")?;
        if path.is_dir() {
            return Err(format!("{} is a folder: name a file in it", path.display()));
        }
        Ok(Self { path, format: config.format(), turn: Arc::default() })
    }
}

#[async_trait]
impl Sink for File {
    async fn send(&self, message: &Message) -> Result<(), Failure> {
        let (path, turn) = (self.path.clone(), self.turn.clone());
        let text = format::lines(message, self.format);
        let written = tokio::task::spawn_blocking(move || {
            // What a panic would leave half done is mended by the next writer.
            let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
            append(&path, &text)
        });
        flatten(written.await).map_err(|e| Failure::new(format!("{}: {e}", self.path.display())))
    }
}

/// Adds lines. If a crash left half a line, it is ended first, so that it spoils no other.
fn append(path: &Path, text: &str) -> io::Result<()> {
    let is_new = !path.exists();
    let mut file = std::fs::OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let mut whole = String::with_capacity(text.len() + 1);
    if file.metadata()?.is_file() && file.metadata()?.len() > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            whole.push('\n');
        }
    }
    whole.push_str(text);
    file.write_all(whole.as_bytes())?;
    file.sync_all()?;
    if is_new && let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn flatten(outcome: Result<io::Result<()>, tokio::task::JoinError>) -> io::Result<()> {
    outcome.unwrap_or_else(|e| Err(io::Error::other(e.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_spoils_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.ndjson");
        append(&path, "{\"a\":1}\n").unwrap();
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"b\"").unwrap();
        append(&path, "{\"c\":3}\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"a\":1}\n{\"b\"\n{\"c\":3}\n");
    }
}
