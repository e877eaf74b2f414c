//! Tables as CSV (RFC 4180, but for line feeds alone) and Parquet, and the lists of an assessment as tables.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::export::ExportError;
use crate::export::model::{
    Bucket, Change, Column, Coverage, Exception, Moment, Remedy, RemedyState, Table, Total, Treatment,
};

/// Rows of one Arrow batch.
const BATCH_ROWS: usize = 65_536;

/// A table of text that is shown as it is.
pub fn texts(names: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Table {
    let column = |name: &&str| Column { name: (*name).to_owned(), treatment: Treatment::Show };
    let mut table = Table::new(names.iter().map(column).collect());
    rows.for_each(|row| table.push(row.iter().map(String::as_str)));
    table
}

/// Comma-separated values under a header.
pub fn csv(table: &Table) -> Vec<u8> {
    let mut out = String::new();
    line(table.columns().iter().map(|c| c.name.as_str()), &mut out);
    (0..table.len()).for_each(|row| line(table.row(row), &mut out));
    out.into_bytes()
}

fn line<'c>(cells: impl Iterator<Item = &'c str>, out: &mut String) {
    for (at, cell) in cells.enumerate() {
        if at > 0 {
            out.push(',');
        }
        let mark = if would_be_run(cell) { "'" } else { "" };
        if cell.contains([',', '"', '\n', '\r']) {
            out.push('"');
            out.push_str(mark);
            out.push_str(&cell.replace('"', "\"\""));
            out.push('"');
        } else {
            out.push_str(mark);
            out.push_str(cell);
        }
    }
    out.push('\n');
}

/// Whether a spreadsheet would take a cell for a formula: what clients call themselves must not run at an auditor's desk. Such
/// a cell gets a `'` before it, as does one that begins with `'`, so that reading takes one away again.
fn would_be_run(cell: &str) -> bool {
    cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\'']) && cell.parse::<f64>().is_err()
}

/// Reads back what [`csv`] wrote, under these columns.
///
/// # Errors
/// A sentence: other columns, a row that is too short or too long, a quote that is never closed.
pub fn read_csv(text: &str, columns: &[Column]) -> Result<Table, String> {
    let mut table = Table::new(columns.to_vec());
    let mut rest = text;
    let mut number = 0_usize;
    while !rest.is_empty() {
        let (cells, after) = read_line(rest).ok_or_else(|| format!("line {}: a quote is never closed", number + 1))?;
        rest = after;
        number += 1;
        if cells.len() != columns.len() {
            return Err(format!("row {number} has {} cells, and there are {} columns", cells.len(), columns.len()));
        }
        if number > 1 {
            table.push(cells.iter().map(String::as_str));
        } else if cells.iter().zip(columns).any(|(cell, column)| *cell != column.name) {
            return Err(format!("the columns are {}", cells.join(",")));
        }
    }
    if number == 0 { Err("it is empty, and a header is missing".to_owned()) } else { Ok(table) }
}

fn read_line(text: &str) -> Option<(Vec<String>, &str)> {
    let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' if quoted && letters.peek().is_some_and(|(_, next)| *next == '"') => {
                letters.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(unmarked(std::mem::take(&mut cell))),
            '\n' if !quoted => {
                cells.push(unmarked(cell));
                return Some((cells, &text[at + 1..]));
            }
            other => cell.push(other),
        }
    }
    cells.push(unmarked(cell));
    (!quoted).then_some((cells, ""))
}

fn unmarked(cell: String) -> String {
    cell.strip_prefix('\'').map(str::to_owned).unwrap_or(cell)
}

/// The table as Parquet, every column text; the same table gives the same bytes.
///
/// # Errors
/// If Arrow or Parquet refuse it.
pub fn parquet(table: &Table) -> Result<Vec<u8>, ExportError> {
    let wrong = |e: &dyn std::fmt::Display| ExportError::Terms(format!("a table could not be written as Parquet: {e}"));
    let fields = table.columns().iter().map(|c| Field::new(&c.name, DataType::Utf8, false));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let level = ZstdLevel::try_new(3).map_err(|e| wrong(&e))?;
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
    let mut out = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut out, schema.clone(), Some(properties)).map_err(|e| wrong(&e))?;
    for start in (0..table.len()).step_by(BATCH_ROWS) {
        let rows = start..(start + BATCH_ROWS).min(table.len());
        let column = |at: usize| {
            Arc::new(StringArray::from_iter_values(rows.clone().map(|row| table.cell(row, at)))) as ArrayRef
        };
        let columns: Vec<ArrayRef> = (0..table.columns().len()).map(column).collect();
        writer.write(&RecordBatch::try_new(schema.clone(), columns).map_err(|e| wrong(&e))?).map_err(|e| wrong(&e))?;
    }
    writer.close().map_err(|e| wrong(&e))?;
    Ok(out)
}

/// How many rows a Parquet file says that it has.
pub fn parquet_rows(bytes: Vec<u8>) -> Result<u64, String> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).map_err(|e| e.to_string())?;
    Ok(builder.metadata().file_metadata().num_rows().unsigned_abs())
}

fn when(moment: Option<Moment>) -> String {
    moment.map(|at| at.to_string()).unwrap_or_default()
}

fn maybe<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// A total as a row.
pub fn total(total: &Total) -> Vec<String> {
    vec![total.source.clone(), total.day.clone(), total.action.clone(), total.events.to_string()]
}

/// Control totals.
pub fn totals(all: &[Total]) -> Table {
    texts(&["source", "day", "action", "events"], all.iter().map(total))
}

/// How each source delivered.
pub fn sources(coverage: &Coverage) -> Table {
    let names = [
        "source",
        "events",
        "repeats",
        "first_event_at",
        "last_event_at",
        "known_since",
        "days",
        "days_expected",
        "late",
        "lag_mean_seconds",
        "lag_max_seconds",
        "skewed",
        "skew_max_seconds",
        "problems",
    ];
    let row = |s: &crate::export::model::Source| {
        vec![
            s.source.clone(),
            s.events.to_string(),
            s.repeats.to_string(),
            when(s.first_event_at),
            when(s.last_event_at),
            when(s.known_since),
            s.days.to_string(),
            s.days_expected.to_string(),
            s.late.to_string(),
            maybe(s.lag_mean_seconds),
            maybe(s.lag_max_seconds),
            s.skewed.to_string(),
            s.skew_max_seconds.to_string(),
            s.problems.join("; "),
        ]
    };
    texts(&names, coverage.sources.iter().map(row))
}

/// What detectors rest on.
pub fn feeds(coverage: &Coverage) -> Table {
    let row = |f: &crate::export::model::Feed| {
        let problem = f.problem.clone().unwrap_or_default();
        vec![
            f.feed.clone(),
            f.what.clone(),
            f.events.to_string(),
            when(f.last_event_at),
            maybe(f.fresh_seconds),
            problem,
        ]
    };
    let names = ["feed", "what", "events", "last_event_at", "fresh_seconds", "problem"];
    texts(&names, coverage.feeds.iter().map(row))
}

/// Silences.
pub fn gaps(coverage: &Coverage) -> Table {
    let row = |gap: &crate::export::model::Gap| vec![gap.source.clone(), gap.from.to_string(), when(gap.to)];
    texts(&["source", "from", "to"], coverage.gaps.iter().map(row))
}

/// Exceptions, a row for each finding covered, or one without if there is none.
pub fn exceptions(exceptions: &[Exception]) -> Table {
    let rows = exceptions.iter().flat_map(|e| {
        let findings: Vec<&str> =
            if e.rows.is_empty() { vec![""] } else { e.rows.iter().map(String::as_str).collect() };
        findings.into_iter().map(move |finding| {
            let (until, expired) = (e.until.to_string(), e.is_expired.to_string());
            vec![e.detector.clone(), e.reason.clone(), e.owner.clone(), until, expired, finding.to_owned()]
        })
    });
    texts(&["detector", "reason", "owner", "until", "is_expired", "finding"], rows)
}

/// What was wrong, and how it went.
pub fn remediation(remedies: &[Remedy]) -> Table {
    let names = [
        "detector",
        "finding",
        "severity",
        "violated_at",
        "resolved_at",
        "open_seconds",
        "target_seconds",
        "state",
        "exception",
    ];
    let row = |r: &Remedy| {
        let state: RemedyState = r.state;
        vec![
            r.detector.clone(),
            r.finding.clone(),
            r.severity.clone(),
            r.violated_at.to_string(),
            when(r.resolved_at),
            r.open_seconds.to_string(),
            maybe(r.target_seconds),
            state.as_str().to_owned(),
            r.exception.clone().unwrap_or_default(),
        ]
    };
    texts(&names, remedies.iter().map(row))
}

/// What the findings log says of the findings.
pub fn history(changes: &[Change]) -> Table {
    let row = |c: &Change| {
        let (owner, reason) = (c.owner.clone(), c.reason.clone());
        vec![c.finding.clone(), c.at.to_string(), c.change.clone(), owner, reason, when(c.until)]
    };
    texts(&["finding", "at", "change", "owner", "reason", "until"], changes.iter().map(row))
}

/// The period in stretches.
pub fn trend(buckets: &[Bucket]) -> Table {
    let row = |b: &Bucket| {
        let counts = [b.events, b.opened, b.resolved, b.open_at_end];
        let severities = b.opened_by_severity.iter().map(|(name, count)| format!("{name} {count}"));
        let severities = severities.collect::<Vec<_>>().join("; ");
        [b.from.to_string(), b.to.to_string()]
            .into_iter()
            .chain(counts.iter().map(u64::to_string))
            .chain([severities])
            .collect()
    };
    let names = ["from", "to", "events", "opened", "resolved", "open_at_end", "opened_by_severity"];
    texts(&names, buckets.iter().map(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let rows = [vec!["a,b", "\"c\"\n"], vec!["", "é"], vec!["=1+1", "-5"], vec!["'x", "-x,\""]];
        let table = texts(&["x", "y"], rows.iter().map(|row| row.iter().map(|c| (*c).to_owned()).collect()));
        let text = String::from_utf8(csv(&table)).unwrap();
        assert_eq!(text, "x,y\n\"a,b\",\"\"\"c\"\"\n\"\n,é\n'=1+1,-5\n''x,\"'-x,\"\"\"\n");
        assert_eq!(read_csv(&text, table.columns()).unwrap(), table);
        for (wrong, says) in
            [("", "header"), ("x,z\n", "columns are"), ("x,y\n1\n", "1 cells"), ("x,y\n\"1,2\n", "quote")]
        {
            assert!(read_csv(wrong, table.columns()).unwrap_err().contains(says), "{wrong:?}");
        }
        let bytes = parquet(&table).unwrap();
        assert_eq!(bytes, parquet(&table).unwrap());
        assert_eq!(parquet_rows(bytes), Ok(4));
    }
}
