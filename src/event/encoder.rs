//! Events to Arrow, one chunk of records at a time, without copying their text.
//!
//! Text columns are string views into the chunk the events were decoded from; only text that had to be made
//! (unescaped, lower-cased, derived) is copied into a side buffer. Every view is taken from a `&str`, so the arrays
//! hold valid UTF-8 by construction.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryViewArray, Int32Array, Int64Array, ListArray, NullBufferBuilder, RecordBatch, StringViewArray,
    TimestampMicrosecondArray, make_view, new_null_array,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field};
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

/// A record as it was read, and the SHA-256 of all of it (`bytes` may be only its head).
#[derive(Clone, Copy, Debug)]
pub struct Original<'a> {
    pub bytes: &'a [u8],
    pub hash: &'a [u8; 32],
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

/// What tells one event from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Hash of (source, event_id), the same within one process only.
    pub event: u64,
    /// First 16 bytes of the record's SHA-256.
    pub record: [u8; 16],
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

/// A column of views under construction. Until the first value it is only a count: many columns stay without any.
struct Views {
    views: Vec<u128>,
    valid: NullBufferBuilder,
    leading_nulls: usize,
    rows: usize,
}

impl Views {
    fn new(rows: usize) -> Self {
        Self { views: Vec::new(), valid: NullBufferBuilder::new(0), leading_nulls: 0, rows }
    }

    fn push(&mut self, view: Option<u128>) {
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

    fn finish(mut self) -> Option<(ScalarBuffer<u128>, Option<NullBuffer>)> {
        (!self.views.is_empty()).then(|| (ScalarBuffer::from(self.views), self.valid.finish()))
    }

    fn text(self, buffers: &[Buffer]) -> ArrayRef {
        let rows = self.leading_nulls;
        match self.finish() {
            None => new_null_array(&DataType::Utf8View, rows),
            // SAFETY: `Arena::view` made every view from a &str that lies in one of `buffers` (or in the view itself).
            Some((views, valid)) => Arc::new(unsafe { StringViewArray::new_unchecked(views, buffers.to_vec(), valid) }),
        }
    }

    fn binary(self, buffers: &[Buffer]) -> ArrayRef {
        let rows = self.leading_nulls;
        match self.finish() {
            None => new_null_array(&DataType::BinaryView, rows),
            // SAFETY: as in `text`, with bytes for text.
            Some((views, valid)) => Arc::new(unsafe { BinaryViewArray::new_unchecked(views, buffers.to_vec(), valid) }),
        }
    }
}

/// Where text lives: block 0 is the chunk that was read, block 1 what had to be made.
struct Arena {
    chunk: Buffer,
    made: Vec<u8>,
}

impl Arena {
    fn view(&mut self, bytes: &[u8]) -> u128 {
        let inside = (bytes.as_ptr() as usize).wrapping_sub(self.chunk.as_ptr() as usize);
        if inside.saturating_add(bytes.len()) <= self.chunk.len() {
            return make_view(bytes, 0, inside as u32);
        }
        let at = self.made.len() as u32;
        if bytes.len() > 12 {
            self.made.extend_from_slice(bytes); // shorter text lives in the view itself
        }
        make_view(bytes, 1, at)
    }
}

/// Builds [`Rows`] from the events and rejections of one chunk (at most 2 GiB of text).
pub struct Encoder {
    arena: Arena,
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
            arena: Arena { chunk, made: Vec::new() },
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
            column.push(text.map(|t| self.arena.view(t.as_bytes())));
        }
        self.event_time.push(Some(event.event_time));
        self.issued_at.push(event.issued_at);
        self.expires_at.push(event.expires_at);
        self.asn.push(event.asn);
        for scope in &event.scopes {
            self.scopes.push(Some(self.arena.view(scope.as_bytes())));
        }
        self.scope_valid.append(!event.scopes.is_empty());
        self.position(original, origin, index, self.keep_raw);
        self.reject_reason.push(None);
        self.partitions.push(Partition::of(event.action.class(), event.event_time));
        self.identities.push(Some(identity(event, original.hash)));
    }

    /// Adds a record that gave no event, and why.
    pub fn rejected(&mut self, reason: &str, original: Original<'_>, origin: Origin<'_>) {
        self.texts.iter_mut().for_each(|column| column.push(None));
        for column in [&mut self.event_time, &mut self.issued_at, &mut self.expires_at, &mut self.asn] {
            column.push(None);
        }
        self.scope_valid.append(false);
        self.position(original, origin, 0, true);
        let reason = self.arena.view(reason.as_bytes());
        self.reject_reason.push(Some(reason));
        self.partitions.push(Partition::of(Class::Rejected, origin.received_at));
        self.identities.push(None);
    }

    fn position(&mut self, original: Original<'_>, origin: Origin<'_>, index: i32, keep_raw: bool) {
        self.scope_ends.push(self.scopes.views.len() as i32);
        self.received_at.push(origin.received_at);
        self.partition.push(origin.partition);
        self.offset.push(origin.offset);
        self.record_index.push(index);
        // One topic serves many rows: its text is kept once.
        let key = origin.topic.as_ptr() as usize;
        let topic = match self.topic_view {
            Some((known, view)) if known == key => view,
            _ => self.arena.view(origin.topic.as_bytes()),
        };
        self.topic_view = Some((key, topic));
        self.topic.push(Some(topic));
        self.record_hash.push(Some(self.arena.view(&original.hash[..16])));
        let text = if keep_raw { std::str::from_utf8(original.bytes).ok() } else { None };
        self.raw.push(text.map(|t| self.arena.view(t.as_bytes())));
        let bytes = (keep_raw && text.is_none()).then(|| self.arena.view(original.bytes));
        self.raw_bytes.push(bytes);
    }

    /// The rows, in the order they were added.
    pub fn finish(mut self) -> Result<Rows, ArrowError> {
        let buffers = [self.arena.chunk, Buffer::from_vec(self.arena.made)];
        let mut arrays: HashMap<&str, ArrayRef> =
            TEXTS.into_iter().zip(self.texts.into_iter().map(|t| t.text(&buffers))).collect();
        let scopes = ListArray::try_new(
            Arc::new(Field::new("element", DataType::Utf8View, true)),
            OffsetBuffer::new(ScalarBuffer::from(self.scope_ends)),
            self.scopes.text(&buffers),
            self.scope_valid.finish(),
        )?;
        arrays.extend([
            ("event_time", timestamps(self.event_time)),
            ("received_at", timestamps(self.received_at)),
            ("issued_at", timestamps(self.issued_at)),
            ("expires_at", timestamps(self.expires_at)),
            ("scopes", Arc::new(scopes) as ArrayRef),
            ("asn", Arc::new(Int64Array::from(self.asn))),
            ("topic", self.topic.text(&buffers)),
            ("partition", Arc::new(Int32Array::from(self.partition))),
            ("offset", Arc::new(Int64Array::from(self.offset))),
            ("record_index", Arc::new(Int32Array::from(self.record_index))),
            ("record_hash", self.record_hash.binary(&buffers)),
            ("raw", self.raw.text(&buffers)),
            ("raw_bytes", self.raw_bytes.binary(&buffers)),
            ("reject_reason", self.reject_reason.text(&buffers)),
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

fn identity(event: &Event<'_>, hash: &[u8; 32]) -> Identity {
    let mut hasher = DefaultHasher::new();
    for part in [&event.source, &event.event_id] {
        hasher.write(part.as_deref().unwrap_or_default().as_bytes());
        hasher.write_u8(0xff); // never part of UTF-8, so ("ab", "c") and ("a", "bc") differ
    }
    let mut record = [0; 16];
    record.copy_from_slice(&hash[..16]);
    Identity { event: hasher.finish(), record }
}
