//! Rows of `events` to one file in their order, with a few rows of each input in memory.
//!
//! Every file is in the order in which rows are written (grant, then time), so files are merged as sorted inputs: decoded as
//! a whole, a day's rows would take a hundred times the room that they take in a file.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use arrow::array::{Array as _, RecordBatch, StringViewArray, TimestampMicrosecondArray};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use serde_json::Value;

use super::{LakeError, writer};
use crate::event::columns::FILE_SCHEMA;

/// Rows that are decoded of an input at once.
const BATCH_ROWS: usize = 1024;
/// Rows that are written at once.
const PIECE_ROWS: usize = 16_384;

/// What rows are ordered by: the grant, the time, and where that is the same the place among the inputs.
type Key = (String, i64, usize);

/// One input, and the row it stands at.
struct Input {
    reader: ParquetRecordBatchReader,
    /// Which of the sources the row is in.
    source: usize,
    row: usize,
    grants: StringViewArray,
    times: TimestampMicrosecondArray,
}

impl Input {
    /// The next batch of the input becomes a source; `false` if there is none.
    fn advance(&mut self, sources: &mut Vec<RecordBatch>) -> Result<bool, LakeError> {
        for batch in self.reader.by_ref() {
            let batch = batch?;
            if batch.num_rows() > 0 {
                (self.grants, self.times) = writer::order_columns(&batch)?;
                (self.source, self.row) = (sources.len(), 0);
                sources.push(batch);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn key(&self, number: usize) -> Key {
        key(&self.grants, &self.times, self.row, number)
    }
}

/// As the rows of a file are ordered when it is first written: without a grant first.
fn key(grants: &StringViewArray, times: &TimestampMicrosecondArray, row: usize, number: usize) -> Key {
    let grant = if grants.is_valid(row) { grants.value(row).to_owned() } else { String::new() };
    (grant, if times.is_valid(row) { times.value(row) } else { 0 }, number)
}

/// The rows of sorted files as one file, and its statistics.
pub fn sorted(inputs: Vec<Bytes>) -> Result<(Vec<u8>, Value), LakeError> {
    let (mut open, mut sources, mut rows) = (Vec::new(), Vec::new(), 0);
    for input in inputs {
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(input, reader_options())?;
        rows += usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or_default();
        let reader = builder.with_batch_size(BATCH_ROWS).build()?;
        let (grants, times) = (StringViewArray::new_null(0), TimestampMicrosecondArray::new_null(0));
        let mut read = Input { reader, source: 0, row: 0, grants, times };
        if read.advance(&mut sources)? {
            open.push(read);
        }
    }
    let mut output = Output::new(rows);
    let mut heap: BinaryHeap<_> = open.iter().enumerate().map(|(number, input)| Reverse(input.key(number))).collect();
    let mut piece = Vec::with_capacity(PIECE_ROWS);
    while let Some(Reverse((_, _, number))) = heap.pop() {
        let input = &mut open[number];
        piece.push((input.source, input.row));
        input.row += 1;
        if input.row < input.grants.len() || input.advance(&mut sources)? {
            heap.push(Reverse(input.key(number)));
        }
        if piece.len() == PIECE_ROWS {
            output.write(&sources, &piece)?;
            piece.clear();
            // Only where an input still stands is needed further on.
            let stand: Vec<usize> = heap.iter().map(|Reverse((_, _, number))| *number).collect();
            sources = move_to(&mut open, &stand, &sources);
        }
    }
    output.write(&sources, &piece)?;
    output.finish()
}

/// The sources in which these inputs stand, and nothing else.
fn move_to(open: &mut [Input], stand: &[usize], sources: &[RecordBatch]) -> Vec<RecordBatch> {
    let mut kept = Vec::with_capacity(stand.len());
    for number in stand {
        let input = &mut open[*number];
        kept.push(sources[input.source].clone());
        input.source = kept.len() - 1;
    }
    kept
}

/// Rows in whatever order as one file, and its statistics.
pub fn unsorted(batches: &[RecordBatch]) -> Result<(Vec<u8>, Value), LakeError> {
    let mut keys = Vec::new();
    for (index, batch) in batches.iter().enumerate() {
        let (grants, times) = writer::order_columns(batch)?;
        keys.extend((0..batch.num_rows()).map(|row| (key(&grants, &times, row, index), row)));
    }
    keys.sort_unstable();
    let rows: Vec<_> = keys.into_iter().map(|((_, _, batch), row)| (batch, row)).collect();
    let mut output = Output::new(rows.len());
    for piece in rows.chunks(PIECE_ROWS) {
        output.write(batches, piece)?;
    }
    output.finish()
}

/// A file that is being written.
struct Output {
    /// All there will be.
    rows: usize,
    writer: Option<ArrowWriter<Vec<u8>>>,
    /// The columns whose bounds stand in the log.
    positions: Vec<RecordBatch>,
}

impl Output {
    fn new(rows: usize) -> Self {
        Self { rows, writer: None, positions: Vec::new() }
    }

    /// Writes rows, each by its source and its place there.
    fn write(&mut self, sources: &[RecordBatch], rows: &[(usize, usize)]) -> Result<(), LakeError> {
        if rows.is_empty() {
            return Ok(());
        }
        let sources: Vec<&RecordBatch> = sources.iter().collect();
        let batch = arrow::compute::interleave_record_batch(&sources, rows)?;
        match &mut self.writer {
            Some(writer) => writer.write(&batch)?,
            none => {
                let properties = writer::properties(&batch, self.rows);
                none.insert(ArrowWriter::try_new(Vec::new(), FILE_SCHEMA.clone(), Some(properties))?).write(&batch)?;
            }
        }
        let names = ["event_time", "received_at", "partition", "offset"];
        let columns: Result<Vec<_>, _> = names.iter().map(|n| batch.schema().index_of(n)).collect();
        self.positions.push(batch.project(&columns?)?);
        Ok(())
    }

    fn finish(self) -> Result<(Vec<u8>, Value), LakeError> {
        let (Some(writer), Some(first)) = (self.writer, self.positions.first()) else {
            return Err(LakeError::Log("compaction".into(), "files without rows".into()));
        };
        let schema = first.schema();
        let stats = writer::statistics(&arrow::compute::concat_batches(&schema, &self.positions)?);
        Ok((writer.into_inner()?, stats))
    }
}

/// Files are read with the schema they are written with, whatever their footer suggests.
pub fn reader_options() -> ArrowReaderOptions {
    ArrowReaderOptions::new().with_schema(FILE_SCHEMA.clone())
}

#[cfg(test)]
mod tests;
