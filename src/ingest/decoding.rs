//! One chunk of records to rows, on whatever thread is free.

use std::ops::Range;
use std::sync::Arc;

use arrow::buffer::Buffer;
use arrow::error::ArrowError;

use crate::decode::{self, Format, Verdict};
use crate::event::encoder::{Encoder, Origin, Original, Rows};
use crate::event::{Action, Event};
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

/// Decodes every record; what cannot be decoded becomes a rejected row.
pub fn decode(chunk: Chunk, format: Format, keep_raw: bool) -> Result<Decoded, ArrowError> {
    let Chunk { data, records, sources, marks } = chunk;
    let bytes = data.len();
    let data = Buffer::from_vec(data);
    let mut encoder = Encoder::new(data.clone(), records.len(), keep_raw);
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
        let before = encoder.len();
        match &record.body {
            Body::Skip => {}
            Body::Bytes(range) => {
                let range = trimmed(&data, range.clone());
                let record = &data[range.clone()];
                let hash = decode::hash(record);
                let original = Original { range: range.clone(), hash: &hash, index: 0 };
                match decode::decode_native(format, record, &hash, &mut event) {
                    Some(Ok(())) => encoder.event(&event, original, origin, 0),
                    Some(Err(rejection)) => encoder.rejected(&rejection.0, original, origin, 0),
                    None => explode(format, record, original, origin, &mut encoder, keep_raw),
                }
            }
            Body::Oversized { head, hash, length } => {
                let reason = source::oversized(head.len(), hash, *length);
                encoder.rejected(&reason, Original { range: head.clone(), hash, index: 0 }, origin, 0);
            }
        }
        let rows = before as u32..encoder.len() as u32;
        positions.push(Position { source: record.source, offset: record.offset, rows });
    }
    Ok(Decoded { rows: encoder.finish()?, sources, positions, marks, bytes })
}

/// Adds a row for everything that is in a record. Bytes that several rows were decoded from stand with the first that keeps
/// them: a page of a thousand records in one text is not kept a thousand times.
fn explode(
    format: Format,
    record: &[u8],
    whole: Original<'_>,
    origin: Origin<'_>,
    encoder: &mut Encoder,
    keep_raw: bool,
) {
    let (mut index, mut kept) = (0, None);
    decode::each(format, record, whole.hash, &mut |found| {
        let mut range = whole.range.start + found.piece.start..whole.range.start + found.piece.end;
        if kept.as_ref() == Some(&range) {
            range.end = range.start;
        } else if keep_raw || matches!(found.verdict, Verdict::Rejected(..)) {
            kept = Some(range.clone());
        }
        let original = Original { range, hash: found.hash, index: found.index };
        match found.verdict {
            Verdict::Event(event) => encoder.event(event, original, origin, index),
            Verdict::Rejected(rejection, _) => encoder.rejected(&rejection.0, original, origin, index),
            Verdict::Skipped(_) => return,
        }
        index += 1;
    });
}

/// A record without the blanks around it, so that its hash does not depend on line endings.
fn trimmed(data: &[u8], record: Range<usize>) -> Range<usize> {
    let bytes = &data[record.clone()];
    let end = record.start + bytes.trim_ascii_end().len();
    let start = record.end - bytes.trim_ascii_start().len();
    start.min(end)..end
}
