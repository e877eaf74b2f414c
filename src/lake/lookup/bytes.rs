//! A data file as Parquet's reader asks for it: each range by one system call, its end only once.
//!
//! The reader that the `parquet` crate has for files duplicates the handle for each page. A look-up reads one or two
//! pages of some thirty columns of each file, so that is most of what it would do.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::Result;
use parquet::file::reader::{ChunkReader, Length};

use super::list::read_at;

/// How much of the end is read at once: the footer and the page index of a file of some thousand rows.
const TAIL_BYTES: u64 = 48 << 10;

/// A file that is only read.
pub struct Source {
    file: Arc<File>,
    length: u64,
    tail: Bytes,
}

impl Source {
    /// Opens a file and reads its end.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut tail = vec![0; length.min(TAIL_BYTES) as usize];
        let from = length - tail.len() as u64;
        read_at(&file, &mut tail, from)?;
        Ok(Self { file: Arc::new(file), length, tail: tail.into() })
    }

    fn tail_from(&self) -> u64 {
        self.length - self.tail.len() as u64
    }
}

impl Length for Source {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Source {
    type T = BufReader<From>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(BufReader::new(From { file: self.file.clone(), length: self.length, at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        if let Some(at) = start.checked_sub(self.tail_from()).and_then(|at| usize::try_from(at).ok())
            && at.checked_add(length).is_some_and(|end| end <= self.tail.len())
        {
            return Ok(self.tail.slice(at..at + length));
        }
        // A broken footer must not ask for more memory than there is file.
        if start.checked_add(length as u64).is_none_or(|end| end > self.length) {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let mut bytes = vec![0; length];
        read_at(&self.file, &mut bytes, start)?;
        Ok(bytes.into())
    }
}

/// A file from some place on.
pub struct From {
    file: Arc<File>,
    length: u64,
    at: u64,
}

impl Read for From {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = self.length.saturating_sub(self.at).min(into.len() as u64) as usize;
        read_at(&self.file, &mut into[..most], self.at)?;
        self.at += most as u64;
        Ok(most)
    }
}
