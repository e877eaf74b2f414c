//! Records with positions: where they come from, in which order, and from where to read on.
//!
//! A source does not remember how far it was read; the lake does. It is told where each partition starts, and from then
//! on gives its records in order. Every source runs the same conformance suite (tests/it/source.rs).

pub mod file;
pub mod kafka;
pub mod memory;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use thiserror::Error;

use crate::csv::Header;

/// Longest record that is decoded, in bytes; a longer one is rejected with its head, hash and length.
pub const RECORD_BYTES_MAX: usize = 16 << 20;
/// How much of a too long record is kept.
pub const HEAD_BYTES: usize = 64 << 10;
/// Text in one chunk, after which it is handed on.
pub const CHUNK_BYTES: usize = 1 << 20;

/// One ordered stream of records: a Kafka partition, or one generation of a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId {
    /// `kafka`, `file`, `stdin` or `memory`.
    pub kind: &'static str,
    /// Kafka topic, or canonical path of the file.
    pub topic: Arc<str>,
    /// Kafka partition, or generation of the file.
    pub partition: i32,
}

impl SourceId {
    /// The name under which the lake keeps this stream's position; `None` where positions mean nothing (standard input).
    pub fn app_id(&self) -> Option<String> {
        (self.kind != "stdin").then(|| format!("{}:{}/{}", self.kind, self.topic, self.partition))
    }
}

/// What stands at one position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A record: these bytes of the chunk.
    Bytes(std::ops::Range<usize>),
    /// A record too long to be decoded: its head in the chunk, the SHA-256 and length of all of it.
    Oversized { head: std::ops::Range<usize>, hash: Box<[u8; 32]>, length: u64 },
    /// Nothing to store: an empty line, or a tombstone.
    Skip,
}

/// Why a record that is too long is not decoded, and what of it is kept.
pub fn oversized(head: usize, hash: &[u8; 32], length: u64) -> String {
    format!(
        "record of {length} bytes; at most {RECORD_BYTES_MAX} are decoded. Kept: its first {head} bytes. SHA-256 of all of it: {}",
        crate::event::hex(hash)
    )
}

/// One position of a stream.
#[derive(Clone, Debug)]
pub struct Record {
    /// Index into [`Chunk::sources`].
    pub source: usize,
    pub offset: i64,
    /// Microseconds since 1970 UTC.
    pub received_at: i64,
    pub body: Body,
}

/// Records that were read together, each stream's in order.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    pub data: Vec<u8>,
    pub records: Vec<Record>,
    pub sources: Vec<Arc<SourceId>>,
    /// More to commit with the positions, such as the hash of a file's prefix.
    pub marks: BTreeMap<String, i64>,
    /// The columns, if the records are rows of a table.
    pub header: Option<Arc<Header>>,
}

impl Chunk {
    /// Index of a source, added if it is new to this chunk.
    pub fn source(&mut self, id: &Arc<SourceId>) -> usize {
        match self.sources.iter().rposition(|s| Arc::ptr_eq(s, id) || s == id) {
            Some(index) => index,
            None => {
                self.sources.push(id.clone());
                self.sources.len() - 1
            }
        }
    }

    /// Adds a record that was read whole, cutting it to its head if it is too long.
    pub fn push(&mut self, source: usize, offset: i64, received_at: i64, bytes: Option<&[u8]>) {
        let start = self.data.len();
        let body = match bytes {
            None => Body::Skip,
            Some(bytes) if bytes.len() > RECORD_BYTES_MAX => {
                self.data.extend_from_slice(&bytes[..HEAD_BYTES]);
                let hash = Box::new(crate::decode::hash(bytes));
                Body::Oversized { head: start..start + HEAD_BYTES, hash, length: bytes.len() as u64 }
            }
            Some(bytes) => {
                self.data.extend_from_slice(bytes);
                Body::Bytes(start..self.data.len())
            }
        };
        self.records.push(Record { source, offset, received_at, body });
    }
}

/// Streams and where to read on in each (`None`: wherever the first record is).
pub type Starts = Vec<(Arc<SourceId>, Option<i64>)>;

/// What a source has to say next.
#[derive(Debug)]
pub enum Polled {
    /// This process now reads these streams, from these positions.
    Assigned(Starts),
    /// Others read these streams from now on.
    Revoked(Vec<Arc<SourceId>>),
    /// Records.
    Chunk(Chunk),
    /// All that was asked for has been read.
    End,
}

/// What can go wrong at the edge, in words that say what to do next.
#[derive(Debug, Error)]
pub enum SourceError {
    #[error("{path}: {error}")]
    File { path: String, error: std::io::Error },
    #[error("{0}")]
    Unusable(String),
    #[error("Kafka: {0}")]
    Kafka(String),
}

/// How many records wait in each stream, as a source last saw it; shared with whoever shows it.
#[derive(Debug, Default)]
pub struct Lags(Mutex<BTreeMap<Arc<SourceId>, u64>>);

impl Lags {
    /// Takes the place of what was known: streams that are others' now are no longer there.
    pub fn set(&self, lags: BTreeMap<Arc<SourceId>, u64>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = lags;
    }

    /// What is known.
    pub fn get(&self) -> BTreeMap<Arc<SourceId>, u64> {
        // A lock whose holder panicked still guards plain values.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A place records come from.
#[async_trait]
pub trait Source: Send {
    /// The next thing; waits for it.
    async fn next(&mut self) -> Result<Polled, SourceError>;

    /// Reads a stream again from `position`: an `Assigned` for it follows, and then its records from there.
    async fn restart(&mut self, id: &Arc<SourceId>, position: i64) -> Result<(), SourceError>;

    /// Everything before these positions is stored for good.
    fn committed(&mut self, _positions: &[(Arc<SourceId>, i64)]) {}

    /// How many records are known to wait, if the source can tell.
    fn lag(&self) -> Option<u64> {
        None
    }

    /// The same stream by stream, kept up to date while it reads.
    fn lags(&self) -> Option<Arc<Lags>> {
        None
    }
}
