//! Events to Arrow, one chunk of records at a time.
//!
//! Each text column has its own bytes; only original records are views into the chunk they came in. Every view is taken
//! from a `&str`, so the arrays hold valid UTF-8 by construction.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, GenericByteViewArray, Int32Array, Int64Array, ListArray, NullBufferBuilder, RecordBatch,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{BinaryViewType, ByteViewType, DataType, Field, StringViewType};
use arrow::error::ArrowError;

use super::columns::{ALL, FILE_SCHEMA, IN_FILE};
use super::{Class, Event, TEXTS, time};

/// Where and when a record was read.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// Kafka topic, or path of the file.
    pub topic: &'a str,
    /// Kafka partition, or generation of the file.
    pub partition: i32,
    /// Kafka offset, or line number from 0.
    pub offset: i64,
    /// Microseconds since 1970 UTC.
    pub received_at: i64,
}

/// Which bytes of a record are kept beside its columns.
#[derive(Clone, Copy, Debug)]
pub enum Kept<'a> {
    /// Those that lie in the chunk.
    Itself,
    /// Others in their place.
    Instead(&'a [u8]),
    Nothing,
}

/// The bytes that a row was decoded from: a record, its head if it is too long, or the part of it that is a record of its own.
#[derive(Clone, Debug)]
pub struct Original<'a> {
    /// Where they lie in the chunk; empty: they stand with the row before.
    pub range: Range<usize>,
    /// The SHA-256 of all of them.
    pub hash: &'a [u8; 32],
    /// Which row of them this is.
    pub index: i32,
}

/// The partition a row belongs to: class and days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    class: u8,
    /// Days since 1970-01-01.
    pub date: i32,
}

impl Partition {
    fn of(class: Class, micros: i64) -> Self {
        Self { class: class as u8, date: micros.div_euclid(time::DAY) as i32 }
    }

    /// The class's spelling.
    pub fn class(self) -> &'static str {
        Class::ALL[usize::from(self.class)]
    }
}

/// What tells one event from another: the first 16 bytes of the SHA-256 of what it was decoded from, and which event of that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity(u128);

impl Identity {
    /// The `index`th event of the bytes with this SHA-256.
    pub fn new(record_hash: &[u8; 32], index: i32) -> Self {
        let mut first = [0; 16];
        first.copy_from_slice(&record_hash[..16]);
        Self(u128::from_le_bytes(first).wrapping_add(index as u128))
    }
}

/// Rows in the order they were read, with what the writer needs to know of each.
#[derive(Clone, Debug)]
pub struct Rows {
    /// All columns of [`FILE_SCHEMA`].
    pub batch: RecordBatch,
    /// Partition of each row.
    pub partitions: Vec<Partition>,
    /// Identity of each row; `None` for rejected records, which are never repeats of each other.
    pub identities: Vec<Option<Identity>>,
}

/// Longest text that lies in its view, in bytes (Arrow columnar format, variable-size binary view layout).
pub const INLINE_MAX: usize = 12;

/// The view of bytes that lie at `place` of the first buffer. Arrow's own function must not be inlined and copies byte by
/// byte; this one is called some thirty times for every event.
#[inline]
fn view(bytes: &[u8], place: usize) -> u128 {
    let length = bytes.len();
    let word = |at: usize| u128::from(u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]));
    let text = match length {
        0 => 0,
        1..=3 => (0..length).fold(0, |text, at| text | u128::from(bytes[at]) << (8 * at)),
        // Words from the front and from the back: where they overlap they agree.
        4..=7 => word(0) | word(length - 4) << (8 * (length - 4)),
        8..=INLINE_MAX => word(0) | word(4) << 32 | word(length - 4) << (8 * (length - 4)),
        _ => word(0) | (place as u128) << 64,
    };
    text << 32 | length as u128
}

/// The buffers that originals lie in.
const CHUNK: u32 = 0;
const OTHERS: u32 = 1;

/// The view of bytes that lie at `place` of this buffer.
fn view_in(buffer: u32, bytes: &[u8], place: usize) -> u128 {
    let view = view(bytes, place);
    if bytes.len() > INLINE_MAX { view | u128::from(buffer) << 64 } else { view }
}

/// A column of text under construction. Until the first value it is only a count: many columns stay without any.
///
/// Text too long to lie in its view is copied to the column's own bytes: whoever reads a column in another order then
/// looks at a few of them all the time, and not at whole records all over memory.
struct Views {
    views: Vec<u128>,
    bytes: Vec<u8>,
    valid: NullBufferBuilder,
    leading_nulls: usize,
    rows: usize,
}

impl Views {
    fn new(rows: usize) -> Self {
        Self { views: Vec::new(), bytes: Vec::new(), valid: NullBufferBuilder::new(0), leading_nulls: 0, rows }
    }

    fn push(&mut self, bytes: Option<&[u8]>) {
        let view = bytes.map(|bytes| {
            let view = view(bytes, self.bytes.len());
            if bytes.len() > INLINE_MAX {
                self.bytes.extend_from_slice(bytes);
            }
            view
        });
        self.push_view(view);
    }

    fn push_view(&mut self, view: Option<u128>) {
        match view {
            None if self.views.is_empty() => self.leading_nulls += 1,
            None => {
                self.valid.append_null();
                self.views.push(0);
            }
            Some(view) => {
                if self.views.is_empty() {
                    self.views.reserve(self.rows);
                    self.valid = NullBufferBuilder::new(self.rows);
                    self.views.resize(self.leading_nulls, 0);
                    self.valid.append_n_nulls(self.leading_nulls);
                }
                self.valid.append_non_null();
                self.views.push(view);
            }
        }
    }

    /// The column. Its views lie in the shared buffers, or in its own bytes if there are none.
    fn finish<T: ByteViewType>(mut self, shared: &[Buffer]) -> ArrayRef {
        if self.views.is_empty() {
            return new_null_array(&T::DATA_TYPE, self.leading_nulls);
        }
        let buffers = if shared.is_empty() { vec![Buffer::from_vec(self.bytes)] } else { shared.to_vec() };
        let (views, valid) = (ScalarBuffer::from(self.views), self.valid.finish());
        // SAFETY: every view was made from a &str (for text) or slice that lies in it, in `bytes` or in one of the shared
        // buffers, and names that buffer.
        Arc::new(unsafe { GenericByteViewArray::<T>::new_unchecked(views, buffers, valid) })
    }

    fn text(self) -> ArrayRef {
        self.finish::<StringViewType>(&[])
    }
}

/// Builds [`Rows`] from the events and rejections of one chunk (at most 2 GiB of text).
pub struct Encoder {
    chunk: Buffer,
    texts: Vec<Views>,
    scopes: Views,
    scope_ends: Vec<i32>,
    scope_valid: NullBufferBuilder,
    event_time: Vec<Option<i64>>,
    received_at: Vec<i64>,
    issued_at: Vec<Option<i64>>,
    expires_at: Vec<Option<i64>>,
    asn: Vec<Option<i64>>,
    topic: Views,
    topic_view: Option<(usize, u128)>,
    partition: Vec<i32>,
    offset: Vec<i64>,
    record_index: Vec<i32>,
    record_hash: Views,
    raw: Views,
    raw_bytes: Views,
    /// Originals that do not lie in the chunk.
    others: Vec<u8>,
    reject_reason: Views,
    partitions: Vec<Partition>,
    identities: Vec<Option<Identity>>,
    keep_raw: bool,
}

impl Encoder {
    /// An encoder for about `rows` records that lie in `chunk`. `keep_raw`: accepted records keep their original bytes.
    pub fn new(chunk: Buffer, rows: usize, keep_raw: bool) -> Self {
        let views = || Views::new(rows);
        Self {
            chunk,
            texts: TEXTS.iter().map(|_| views()).collect(),
            scopes: views(),
            scope_ends: vec![0],
            scope_valid: NullBufferBuilder::new(rows),
            event_time: Vec::with_capacity(rows),
            received_at: Vec::with_capacity(rows),
            issued_at: Vec::with_capacity(rows),
            expires_at: Vec::with_capacity(rows),
            asn: Vec::with_capacity(rows),
            topic: views(),
            topic_view: None,
            partition: Vec::with_capacity(rows),
            offset: Vec::with_capacity(rows),
            record_index: Vec::with_capacity(rows),
            record_hash: views(),
            raw: views(),
            raw_bytes: views(),
            others: Vec::new(),
            reject_reason: views(),
            partitions: Vec::with_capacity(rows),
            identities: Vec::with_capacity(rows),
            keep_raw,
        }
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        self.partitions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// Adds one event, the `index`th of its record.
    pub fn event(&mut self, event: &Event<'_>, original: Original<'_>, origin: Origin<'_>, index: i32) {
        for (column, text) in self.texts.iter_mut().zip(event.texts()) {
            column.push(text.map(str::as_bytes));
        }
        self.event_time.push(Some(event.event_time));
        self.issued_at.push(event.issued_at);
        self.expires_at.push(event.expires_at);
        self.asn.push(event.asn);
        for scope in &event.scopes {
            self.scopes.push(Some(scope.as_bytes()));
        }
        self.scope_valid.append(!event.scopes.is_empty());
        let identity = Identity::new(original.hash, original.index);
        let kept = if self.keep_raw { Kept::Itself } else { Kept::Nothing };
        self.position(original, kept, origin, index);
        self.reject_reason.push(None);
        self.partitions.push(Partition::of(event.action.class(), event.event_time));
        self.identities.push(Some(identity));
    }

    /// Adds what gave no event as the `index`th row of its record, and why.
    pub fn rejected(&mut self, reason: &str, original: Original<'_>, kept: Kept<'_>, origin: Origin<'_>, index: i32) {
        self.texts.iter_mut().for_each(|column| column.push(None));
        for column in [&mut self.event_time, &mut self.issued_at, &mut self.expires_at, &mut self.asn] {
            column.push(None);
        }
        self.scope_valid.append(false);
        self.position(original, kept, origin, index);
        self.reject_reason.push(Some(reason.as_bytes()));
        self.partitions.push(Partition::of(Class::Rejected, origin.received_at));
        self.identities.push(None);
    }

    fn position(&mut self, original: Original<'_>, kept: Kept<'_>, origin: Origin<'_>, index: i32) {
        self.scope_ends.push(self.scopes.views.len() as i32);
        self.received_at.push(origin.received_at);
        self.partition.push(origin.partition);
        self.offset.push(origin.offset);
        self.record_index.push(index);
        // One topic serves many rows: its text is kept once.
        let key = origin.topic.as_ptr() as usize;
        match self.topic_view {
            Some((known, view)) if known == key => self.topic.push_view(Some(view)),
            _ => {
                self.topic.push(Some(origin.topic.as_bytes()));
                self.topic_view = self.topic.views.last().map(|view| (key, *view));
            }
        }
        self.record_hash.push(Some(&original.hash[..16]));
        let (bytes, buffer, place) = match kept {
            Kept::Itself => (&self.chunk[original.range.clone()], CHUNK, original.range.start),
            Kept::Instead(bytes) => {
                let place = self.others.len();
                self.others.extend_from_slice(bytes);
                (bytes, OTHERS, place)
            }
            Kept::Nothing => ([].as_slice(), CHUNK, 0),
        };
        let is_text = std::str::from_utf8(bytes).is_ok();
        let view = |kept: bool| (kept && !bytes.is_empty()).then(|| view_in(buffer, bytes, place));
        self.raw.push_view(view(is_text));
        self.raw_bytes.push_view(view(!is_text));
    }

    /// The rows, in the order they were added.
    pub fn finish(mut self) -> Result<Rows, ArrowError> {
        let originals = [self.chunk, Buffer::from_vec(self.others)];
        let mut arrays: HashMap<&str, ArrayRef> =
            TEXTS.into_iter().zip(self.texts.into_iter().map(Views::text)).collect();
        let scopes = ListArray::try_new(
            Arc::new(Field::new("element", DataType::Utf8View, true)),
            OffsetBuffer::new(ScalarBuffer::from(self.scope_ends)),
            self.scopes.text(),
            self.scope_valid.finish(),
        )?;
        arrays.extend([
            ("event_time", timestamps(self.event_time)),
            ("received_at", timestamps(self.received_at)),
            ("issued_at", timestamps(self.issued_at)),
            ("expires_at", timestamps(self.expires_at)),
            ("scopes", Arc::new(scopes) as ArrayRef),
            ("asn", Arc::new(Int64Array::from(self.asn))),
            ("topic", self.topic.text()),
            ("partition", Arc::new(Int32Array::from(self.partition))),
            ("offset", Arc::new(Int64Array::from(self.offset))),
            ("record_index", Arc::new(Int32Array::from(self.record_index))),
            ("record_hash", self.record_hash.finish::<BinaryViewType>(&[])),
            ("raw", self.raw.finish::<StringViewType>(&originals)),
            ("raw_bytes", self.raw_bytes.finish::<BinaryViewType>(&originals)),
            ("reject_reason", self.reject_reason.text()),
        ]);
        let missing = |name: &str| ArrowError::SchemaError(format!("no values for column {name}"));
        let columns = ALL[..IN_FILE].iter().map(|c| arrays.remove(c.name).ok_or_else(|| missing(c.name)));
        let batch = RecordBatch::try_new(FILE_SCHEMA.clone(), columns.collect::<Result<_, _>>()?)?;
        Ok(Rows { batch, partitions: self.partitions, identities: self.identities })
    }
}

fn timestamps<V>(micros: V) -> ArrayRef
where
    TimestampMicrosecondArray: From<V>,
{
    Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn originals_may_lie_in_either_buffer() {
        let chunk = Buffer::from_vec(b"a record that lies in the chunk".to_vec());
        let mut encoder = Encoder::new(chunk, 3, true);
        let origin = Origin { topic: "t", partition: 0, offset: 0, received_at: 0 };
        let original = || Original { range: 2..31, hash: &[0; 32], index: 0 };
        for kept in [Kept::Itself, Kept::Instead(b"what is kept in its place"), Kept::Instead(b"short"), Kept::Nothing]
        {
            encoder.rejected("reason", original(), kept, origin, 0);
        }
        let rows = encoder.finish().unwrap();
        let raw = arrow::compute::cast(rows.batch.column_by_name("raw").unwrap(), &DataType::Utf8).unwrap();
        let raw: Vec<_> = arrow::array::AsArray::as_string::<i32>(&raw).iter().collect();
        assert_eq!(
            raw,
            [Some("record that lies in the chunk"), Some("what is kept in its place"), Some("short"), None]
        );
    }

    #[test]
    fn views_are_those_of_arrow() {
        let text = b"0123456789abcdefghij";
        for length in 0..=text.len() {
            assert_eq!(view(&text[..length], 77), arrow::array::make_view(&text[..length], 0, 77), "{length}");
        }
    }
}
