//! Rows of the outbox: their columns, to Arrow and back.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array as _, ArrayRef, AsArray as _, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;

use super::{Group, Place};
use crate::lake::LakeError;
use crate::lake::table::TableSpec;

/// What a row records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Step {
    /// A message is to be sent.
    #[default]
    Queued,
    /// It carries this thing that happened to this finding.
    Carried,
    /// An attempt failed; there will be another.
    Failed,
    /// The sink said yes.
    Sent,
    /// There will be no further attempt unless somebody asks for it.
    Dead,
    /// Somebody asked for it.
    Retried,
    /// An alert waits for the digest of its group.
    Held,
    /// A silence kept an alert back.
    Silenced,
    /// No route led anywhere.
    Unrouted,
}

impl Step {
    /// Every step, as it is spelled.
    pub const ALL: [(&'static str, Self); 9] = [
        ("queued", Self::Queued),
        ("carried", Self::Carried),
        ("failed", Self::Failed),
        ("sent", Self::Sent),
        ("dead", Self::Dead),
        ("retried", Self::Retried),
        ("held", Self::Held),
        ("silenced", Self::Silenced),
        ("unrouted", Self::Unrouted),
    ];

    /// Its spelling.
    pub const fn as_str(self) -> &'static str {
        Self::ALL[self as usize].0
    }

    /// The step spelled `text`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, step)| *step)
    }
}

/// One row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    pub step: Step,
    /// When, microseconds UTC.
    pub at: i64,
    /// The message, where there is one.
    pub key: String,
    /// The alert, where the row is about one.
    pub item: String,
    pub sink: String,
    pub detector: String,
    pub severity: String,
    /// What alerts are grouped by beside the detector.
    pub subject: String,
    pub finding: String,
    pub change: String,
    /// The version of the findings log that holds the change; 0 where there is none.
    pub finding_sequence: i64,
    /// How many attempts there were.
    pub attempt: u32,
    /// When the next is due, or the digest.
    pub next_at: Option<i64>,
    /// Why it failed, was silenced, or goes nowhere.
    pub reason: String,
    /// A message or an alert as JSON.
    pub content: String,
}

pub(in crate::alert) static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = |name: &str| Field::new(name, DataType::Utf8View, true);
    let time = |name: &str| Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true);
    let number = |name: &str| Field::new(name, DataType::Int64, true);
    Arc::new(Schema::new(vec![
        time("at"),
        number("sequence"),
        number("place"),
        text("step"),
        text("key"),
        text("item"),
        text("sink"),
        text("detector"),
        text("severity"),
        text("subject"),
        text("finding_id"),
        text("change"),
        number("finding_sequence"),
        number("attempt"),
        time("next_at"),
        text("reason"),
        text("content"),
    ]))
});

pub(in crate::alert) fn spec() -> TableSpec {
    TableSpec { name: "alerts", schema: SCHEMA.clone(), partition_columns: Vec::new(), statistics: &["at"] }
}

/// A column of texts; an empty one is null.
pub(in crate::alert) fn texts(values: impl IntoIterator<Item = Option<String>>) -> ArrayRef {
    Arc::new(StringViewArray::from_iter(values.into_iter().map(|text| text.filter(|t| !t.is_empty()))))
}

/// A column of times in microseconds UTC.
pub(in crate::alert) fn times(micros: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC"))
}

/// Rows that stand in commit `sequence`.
pub(super) fn batch(entries: &[Entry], sequence: i64) -> Result<RecordBatch, ArrowError> {
    let text = |of: &dyn Fn(&Entry) -> &str| texts(entries.iter().map(|e| Some(of(e).to_owned())));
    let time = |of: &dyn Fn(&Entry) -> Option<i64>| times(entries.iter().map(of).collect());
    let number = |of: &dyn Fn(&Entry) -> i64| -> ArrayRef {
        Arc::new(entries.iter().map(|e| Some(of(e))).collect::<Int64Array>())
    };
    let places: ArrayRef = Arc::new((0_i64..).take(entries.len()).map(Some).collect::<Int64Array>());
    let columns = vec![
        time(&|e| Some(e.at)),
        number(&|_| sequence),
        places,
        text(&|e| e.step.as_str()),
        text(&|e| &e.key),
        text(&|e| &e.item),
        text(&|e| &e.sink),
        text(&|e| &e.detector),
        text(&|e| &e.severity),
        text(&|e| &e.subject),
        text(&|e| &e.finding),
        text(&|e| &e.change),
        number(&|e| e.finding_sequence),
        number(&|e| i64::from(e.attempt)),
        time(&|e| e.next_at),
        text(&|e| &e.reason),
        text(&|e| &e.content),
    ];
    RecordBatch::try_new(SCHEMA.clone(), columns)
}

/// Rows with their places.
pub(super) fn read(batch: &RecordBatch) -> Result<Vec<(Place, Entry)>, LakeError> {
    let bad = |what: &str| LakeError::Log("alerts".to_owned(), what.to_owned());
    let column = |name: &str| batch.column_by_name(name).ok_or_else(|| bad(name));
    let texts = |name: &str| column(name)?.as_string_view_opt().ok_or_else(|| bad(name));
    let times = |name: &str| column(name)?.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(|| bad(name));
    let numbers = |name: &str| column(name)?.as_primitive_opt::<Int64Type>().ok_or_else(|| bad(name));
    let (keys, items, sinks, detectors) = (texts("key")?, texts("item")?, texts("sink")?, texts("detector")?);
    let (severities, subjects, findings) = (texts("severity")?, texts("subject")?, texts("finding_id")?);
    let (changes, reasons, contents, steps) = (texts("change")?, texts("reason")?, texts("content")?, texts("step")?);
    let (at, next, sequences, places) = (times("at")?, times("next_at")?, numbers("sequence")?, numbers("place")?);
    let (finding_sequences, attempts) = (numbers("finding_sequence")?, numbers("attempt")?);
    let text = |array: &StringViewArray, row: usize| {
        if array.is_valid(row) { array.value(row).to_owned() } else { String::new() }
    };
    (0..batch.num_rows())
        .map(|row| {
            let entry = Entry {
                step: Step::parse(steps.value(row)).ok_or_else(|| bad("step"))?,
                at: at.value(row),
                key: text(keys, row),
                item: text(items, row),
                sink: text(sinks, row),
                detector: text(detectors, row),
                severity: text(severities, row),
                subject: text(subjects, row),
                finding: text(findings, row),
                change: text(changes, row),
                finding_sequence: finding_sequences.value(row),
                attempt: u32::try_from(attempts.value(row)).unwrap_or(u32::MAX),
                next_at: next.is_valid(row).then(|| next.value(row)),
                reason: text(reasons, row),
                content: text(contents, row),
            };
            Ok(((sequences.value(row), places.value(row)), entry))
        })
        .collect()
}

/// Groups and when something of each was last queued.
pub(super) fn groups(batch: &RecordBatch) -> Result<Vec<(Group, i64)>, LakeError> {
    let bad = |what: &str| LakeError::Log("alerts".to_owned(), what.to_owned());
    let column = |name: &str| batch.column_by_name(name).ok_or_else(|| bad(name));
    let texts = |name: &str| column(name)?.as_string_view_opt().ok_or_else(|| bad(name));
    let (sinks, detectors, subjects) = (texts("sink")?, texts("detector")?, texts("subject")?);
    let at = column("at")?.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(|| bad("at"))?;
    let text = |array: &StringViewArray, row: usize| {
        if array.is_valid(row) { array.value(row).to_owned() } else { String::new() }
    };
    let group = |row| (text(sinks, row), text(detectors, row), text(subjects, row));
    Ok((0..batch.num_rows()).map(|row| (group(row), at.value(row))).collect())
}
