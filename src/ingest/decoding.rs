//! One chunk of records to rows, on whatever thread is free.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use arrow::buffer::Buffer;
use arrow::error::ArrowError;

use super::protection::Protection;
use crate::decode::mapping::Mapping;
use crate::decode::{self, Format, Found, Verdict};
use crate::event::encoder::{Encoder, Kept, Origin, Original, Rows};
use crate::event::{Action, Event, Rejection};
use crate::source::{self, Body, Chunk, SourceId};

/// A decoded chunk.
pub struct Decoded {
    pub rows: Rows,
    pub sources: Vec<Arc<SourceId>>,
    /// Every position of the chunk, skipped ones too, in the order they were read.
    pub positions: Vec<Position>,
    pub marks: std::collections::BTreeMap<String, i64>,
    /// Size of the chunk's text.
    pub bytes: usize,
}

/// One position and the rows it gave.
pub struct Position {
    /// Index into [`Decoded::sources`].
    pub source: usize,
    pub offset: i64,
    pub rows: Range<u32>,
}

/// How to make rows of records.
#[derive(Clone, Debug)]
pub struct Decoding {
    pub format: Format,
    /// How records of a source of one's own are read; then the format says nothing.
    pub mapping: Option<Arc<Mapping>>,
    pub keep_raw: bool,
    pub protection: Arc<Protection>,
}

/// Why a chunk cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error(transparent)]
    Encode(#[from] ArrowError),
    /// A table without the columns that the mapping reads: better nothing of it is stored than all of it wrong.
    #[error("{topic}: {reason}")]
    Table { topic: Arc<str>, reason: String },
}

/// Decodes every record; what cannot be decoded becomes a rejected row. Secrets are taken out before anything is read.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode(mut chunk: Chunk, how: &Decoding) -> Result<Decoded, DecodeError> {
    if let Some(mapping) = &how.mapping {
        add_header(&mut chunk, mapping)?;
    }
    how.protection.clean(&mut chunk);
    let Chunk { data, records, sources, marks, header } = chunk;
    let read = |record: &[u8], hash: &[u8; 32], show: &mut dyn FnMut(Found<'_>)| match &how.mapping {
        Some(mapping) => mapping.each(header.as_deref(), record, hash, show),
        None => decode::each(how.format, record, hash, show),
    };
    let bytes = data.len();
    let data = Buffer::from_vec(data);
    // Under pseudonyms no original is kept.
    let keep_raw = how.keep_raw && how.protection.pseudonyms().is_none();
    let encoder = Encoder::new(data.clone(), records.len(), keep_raw);
    let mut rows = RowsOf { encoder, data: &data, keep_raw, protection: &how.protection };
    let mut positions = Vec::with_capacity(records.len());
    let mut event = Event::new(0, Action::Other);
    for record in &records {
        let id = &sources[record.source];
        let origin = Origin {
            topic: &id.topic,
            partition: id.partition,
            offset: record.offset,
            received_at: record.received_at,
        };
        let before = rows.encoder.len();
        match &record.body {
            Body::Skip => {}
            Body::Bytes(range) => {
                // At the ends of a row a tab may stand for an empty cell.
                let range = if header.is_some() { range.clone() } else { trimmed(&data, range.clone()) };
                let record = &data[range.clone()];
                let hash = decode::hash(record);
                let original = Original { range: range.clone(), hash: &hash, index: 0 };
                let native = match how.mapping {
                    Some(_) => None,
                    None => decode::decode_native(how.format, record, &hash, &mut event),
                };
                match native {
                    Some(Ok(())) => rows.event(&mut event, original, origin, 0),
                    Some(Err(rejection)) => rows.rejected(&rejection.0, original, origin, 0),
                    None => rows.explode(|show| read(record, &hash, show), original, origin),
                }
            }
            Body::Oversized { head, hash, length } => {
                let reason = source::oversized(head.len(), hash, *length);
                let kept = if rows.protection.pseudonyms().is_some() { Kept::Nothing } else { Kept::Itself };
                let original = Original { range: head.clone(), hash, index: 0 };
                rows.encoder.rejected(&reason, original, kept, origin, 0);
            }
        }
        let rows = before as u32..rows.encoder.len() as u32;
        positions.push(Position { source: record.source, offset: record.offset, rows });
    }
    Ok(Decoded { rows: rows.encoder.finish()?, sources, positions, marks, bytes })
}

/// Gives rows their columns.
fn add_header(chunk: &mut Chunk, mapping: &Mapping) -> Result<(), DecodeError> {
    let Some(first) = chunk.records.iter().find(|record| matches!(record.body, Body::Bytes(_))) else { return Ok(()) };
    let topic = || chunk.sources.get(first.source).map_or_else(|| "".into(), |id| id.topic.clone());
    let header = mapping.header(chunk.header.take());
    chunk.header = header.map_err(|Rejection(reason)| DecodeError::Table { topic: topic(), reason })?;
    Ok(())
}

/// The rows of a chunk under construction.
struct RowsOf<'a> {
    encoder: Encoder,
    data: &'a [u8],
    keep_raw: bool,
    protection: &'a Protection,
}

impl RowsOf<'_> {
    fn event(&mut self, event: &mut Event<'_>, original: Original<'_>, origin: Origin<'_>, index: i32) {
        match self.protection.pseudonyms() {
            None => self.encoder.event(event, original, origin, index),
            Some(pseudonyms) => {
                let hash = pseudonyms.of_hash(original.hash);
                pseudonyms.apply(event, &hash);
                self.encoder.event(event, Original { hash: &hash, ..original }, origin, index);
            }
        }
    }

    fn rejected(&mut self, reason: &str, original: Original<'_>, origin: Origin<'_>, index: i32) {
        let piece = &self.data[original.range.clone()];
        let found = self.protection.rejected(piece, reason);
        let kept = match &found.record {
            Cow::Borrowed(record) if record.len() == piece.len() => Kept::Itself,
            record => Kept::Instead(record),
        };
        match self.protection.pseudonyms() {
            None => self.encoder.rejected(&found.reason, original, kept, origin, index),
            Some(pseudonyms) => {
                let hash = pseudonyms.of_hash(original.hash);
                self.encoder.rejected(&found.reason, Original { hash: &hash, ..original }, kept, origin, index);
            }
        }
    }

    /// Adds a row for everything that is in a record. Bytes that several rows were decoded from stand with the first
    /// that keeps them: a page of a thousand records in one text is not kept a thousand times.
    fn explode(&mut self, each: impl FnOnce(&mut dyn FnMut(Found<'_>)), whole: Original<'_>, origin: Origin<'_>) {
        let (mut index, mut kept) = (0, None);
        each(&mut |found| {
            let mut range = whole.range.start + found.piece.start..whole.range.start + found.piece.end;
            if kept.as_ref() == Some(&range) {
                range.end = range.start;
            } else if self.keep_raw || matches!(found.verdict, Verdict::Rejected(..)) {
                kept = Some(range.clone());
            }
            let original = Original { range, hash: found.hash, index: found.index };
            match found.verdict {
                // Only names are changed, and only if that is wanted.
                Verdict::Event(event) if self.protection.pseudonyms().is_some() => {
                    self.event(&mut event.clone(), original, origin, index);
                }
                Verdict::Event(event) => self.encoder.event(event, original, origin, index),
                Verdict::Rejected(rejection, _) => self.rejected(&rejection.0, original, origin, index),
                Verdict::Skipped(_) => return,
            }
            index += 1;
        });
    }
}

/// A record without the blanks around it, so that its hash does not depend on line endings.
fn trimmed(data: &[u8], record: Range<usize>) -> Range<usize> {
    let bytes = &data[record.clone()];
    let end = record.start + bytes.trim_ascii_end().len();
    let start = record.end - bytes.trim_ascii_start().len();
    start.min(end)..end
}
