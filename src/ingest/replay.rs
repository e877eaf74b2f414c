//! Rejected records, decoded again after a decoder or a mapping was mended.
//!
//! Rejected rows have files of their own. One file after the other is exchanged, in one commit, for what its records give
//! now and the rows that are rejected still: a record is either rejected or decoded at every version, whatever stops this.

use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use serde::Serialize;

use super::decoding::{self, Decoded, Decoding};
use super::{IngestError, Options};
use crate::clock;
use crate::event::Class;
use crate::event::columns::CLASS;
use crate::event::encoder::Rows;
use crate::lake::log::DataFile;
use crate::lake::{Lake, LakeError, maintenance};
use crate::source::{Chunk, SourceId};

/// How often a file is looked for again that other writers keep replacing.
const ATTEMPTS_MAX: u32 = 20;

/// What became of rejected records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// Rejected records, those left alone too.
    pub rejected: u64,
    /// Of them those that were decoded now,
    pub decoded: u64,
    /// and the events that they gave.
    pub events: u64,
}

/// Decodes again every rejected record whose reason contains `reason`.
///
/// Rows decoded now stand under the topic `replayed:` and the one they were read from: what was judged before they were
/// there can still be repeated without them.
pub async fn run(lake: &Lake, options: &Options, reason: Option<&str>) -> Result<Replayed, IngestError> {
    let how = options.decoding();
    let mut done = Replayed::default();
    for _ in 0..ATTEMPTS_MAX {
        // What an earlier attempt decoded is rejected no more, and counts all the same.
        let mut all = Replayed { rejected: done.decoded, ..done };
        let state = lake.events().refresh().await?;
        let is_rejected = |file: &&DataFile| file.partition(CLASS) == Some(Class::Rejected.as_str());
        let mut lost = false;
        for file in state.files.values().filter(is_rejected) {
            match file_again(lake, file, &how, reason).await? {
                Some(one) => {
                    all.rejected += one.rejected;
                    all.decoded += one.decoded;
                    all.events += one.events;
                }
                None => lost = true,
            }
        }
        if !lost {
            return Ok(all);
        }
        done = all;
    }
    Err(LakeError::Contended(lake.events().url().to_string(), ATTEMPTS_MAX).into())
}

/// Decodes what a file holds; `None` if another writer replaced it first.
async fn file_again(
    lake: &Lake,
    file: &DataFile,
    how: &Decoding,
    reason: Option<&str>,
) -> Result<Option<Replayed>, IngestError> {
    let Some(batches) = maintenance::read(lake.events(), file).await? else { return Ok(None) };
    let mut told = Replayed::default();
    let (mut rest, mut rows, mut keep) = (Vec::new(), Vec::new(), Vec::new());
    for batch in batches {
        told.rejected += batch.num_rows() as u64;
        let (chunk, tried) = chunk(&batch, reason).map_err(LakeError::Encode)?;
        let how = how.clone();
        let decoded = tokio::task::spawn_blocking(move || decoding::decode(chunk, &how)).await??;
        let mut still = vec![true; batch.num_rows()];
        let mut kept = Vec::new();
        for (position, row) in decoded.positions.iter().zip(tried) {
            let events = position.rows.clone().filter(|row| !is_rejected(&decoded.rows, *row)).count();
            if events > 0 {
                told.decoded += 1;
                told.events += events as u64;
                still[row] = false;
                kept.extend(position.rows.clone());
            }
        }
        rest.push(filter_record_batch(&batch, &BooleanArray::from(still)).map_err(LakeError::Encode)?);
        let Decoded { rows: made, .. } = decoded;
        rows.push(made);
        keep.push(kept);
    }
    if told.decoded == 0 {
        return Ok(Some(told));
    }
    let version = maintenance::supersede(lake.events(), file, rest, &rows, &keep).await?;
    Ok(version.map(|_| told))
}

fn is_rejected(rows: &Rows, row: u32) -> bool {
    rows.partitions[row as usize].class() == Class::Rejected.as_str()
}

/// The records of some rows, and of which row each is.
fn chunk(batch: &RecordBatch, reason: Option<&str>) -> Result<(Chunk, Vec<usize>), arrow::error::ArrowError> {
    let column = |name: &str| batch.schema().index_of(name).map(|index| batch.column(index).clone());
    let text = |name: &str| cast(&column(name)?, &DataType::Utf8View);
    let (topics, reasons, raw) = (text("topic")?, text("reject_reason")?, text("raw")?);
    let (topics, reasons, raw) = (topics.as_string_view(), reasons.as_string_view(), raw.as_string_view());
    let bytes = cast(&column("raw_bytes")?, &DataType::BinaryView)?;
    let bytes = bytes.as_binary_view();
    let partitions = cast(&column("partition")?, &DataType::Int32)?;
    let offsets = cast(&column("offset")?, &DataType::Int64)?;
    let (partitions, offsets) = (partitions.as_primitive::<Int32Type>(), offsets.as_primitive::<Int64Type>());
    let now = clock::now_micros();
    let (mut chunk, mut tried) = (Chunk::default(), Vec::new());
    for row in 0..batch.num_rows() {
        let record = match (raw.is_valid(row), bytes.is_valid(row)) {
            (true, _) => raw.value(row).as_bytes(),
            (false, true) => bytes.value(row),
            (false, false) => continue,
        };
        let is_meant = reason.is_none_or(|part| reasons.is_valid(row) && reasons.value(row).contains(part));
        if record.is_empty() || !is_meant {
            continue;
        }
        let topic = if topics.is_valid(row) { topics.value(row) } else { "" };
        let topic = if topic.starts_with(PREFIX) { topic.into() } else { format!("{PREFIX}{topic}").into() };
        let source = chunk.source(&Arc::new(SourceId { kind: "lake", topic, partition: partitions.value(row) }));
        chunk.push(source, offsets.value(row), now, Some(record));
        tried.push(row);
    }
    Ok((chunk, tried))
}

/// Before the topics of rows that were replayed.
const PREFIX: &str = "replayed:";
