//! Rows as JSON values and text: times RFC 3339 in UTC, bytes in hexadecimal, durations as the policy spells them.

use std::io::{self, Write};

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType,
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit,
    TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use datafusion::arrow::util::display::array_value_to_string;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use serde_json::{Map, Value};

use crate::event::{hex, time};
use crate::policy::format_duration;

/// One row as an object, columns in their order.
pub fn object(batch: &RecordBatch, row: usize) -> Map<String, Value> {
    let schema = batch.schema_ref();
    let cells = schema.fields().iter().zip(batch.columns());
    cells.map(|(field, column)| (field.name().clone(), value(column, row))).collect()
}

/// All rows as objects.
pub fn objects(batches: &[RecordBatch]) -> impl Iterator<Item = Map<String, Value>> {
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(|row| object(batch, row)))
}

/// One cell.
pub fn value(array: &dyn Array, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => array.as_boolean().value(row).into(),
        DataType::Int8 => array.as_primitive::<Int8Type>().value(row).into(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::UInt8 => array.as_primitive::<UInt8Type>().value(row).into(),
        DataType::UInt16 => array.as_primitive::<UInt16Type>().value(row).into(),
        DataType::UInt32 => array.as_primitive::<UInt32Type>().value(row).into(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).into(),
        DataType::Float32 => f64::from(array.as_primitive::<Float32Type>().value(row)).into(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).into(),
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row).into(),
        DataType::Utf8View => array.as_string_view().value(row).into(),
        DataType::Binary => hex(array.as_binary::<i32>().value(row)).into(),
        DataType::LargeBinary => hex(array.as_binary::<i64>().value(row)).into(),
        DataType::BinaryView => hex(array.as_binary_view().value(row)).into(),
        DataType::FixedSizeBinary(_) => hex(array.as_fixed_size_binary().value(row)).into(),
        DataType::Timestamp(unit, _) => time::format(timestamp_micros(array, *unit, row)).into(),
        DataType::Date32 => date(array.as_primitive::<Date32Type>().value(row)).into(),
        DataType::Duration(unit) => duration(duration_micros(array, *unit, row)).into(),
        DataType::Interval(IntervalUnit::MonthDayNano) => interval(array, row),
        DataType::List(_) => list(array.as_list::<i32>().value(row).as_ref()),
        DataType::LargeList(_) => list(array.as_list::<i64>().value(row).as_ref()),
        DataType::FixedSizeList(..) => list(array.as_fixed_size_list().value(row).as_ref()),
        DataType::Struct(fields) => {
            let columns = fields.iter().zip(array.as_struct().columns());
            Value::Object(columns.map(|(f, c)| (f.name().clone(), value(c, row))).collect())
        }
        _ => array_value_to_string(array, row).map_or(Value::Null, Value::from),
    }
}

fn list(items: &dyn Array) -> Value {
    (0..items.len()).map(|i| value(items, i)).collect()
}

fn timestamp_micros(array: &dyn Array, unit: TimeUnit, row: usize) -> i64 {
    match unit {
        TimeUnit::Second => array.as_primitive::<TimestampSecondType>().value(row).saturating_mul(1_000_000),
        TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().value(row).saturating_mul(1_000),
        TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().value(row),
        TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().value(row).div_euclid(1_000),
    }
}

fn duration_micros(array: &dyn Array, unit: TimeUnit, row: usize) -> i64 {
    match unit {
        TimeUnit::Second => array.as_primitive::<DurationSecondType>().value(row).saturating_mul(1_000_000),
        TimeUnit::Millisecond => array.as_primitive::<DurationMillisecondType>().value(row).saturating_mul(1_000),
        TimeUnit::Microsecond => array.as_primitive::<DurationMicrosecondType>().value(row),
        TimeUnit::Nanosecond => array.as_primitive::<DurationNanosecondType>().value(row).div_euclid(1_000),
    }
}

fn duration(micros: i64) -> String {
    if micros < 0 { format!("-{}", format_duration(micros.saturating_neg())) } else { format_duration(micros) }
}

fn interval(array: &dyn Array, row: usize) -> Value {
    let interval = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
    if interval.months != 0 {
        // Months have no length of their own: leave them as DataFusion spells them.
        return array_value_to_string(array, row).map_or(Value::Null, Value::from);
    }
    duration(i64::from(interval.days).saturating_mul(time::DAY).saturating_add(interval.nanoseconds / 1_000)).into()
}

fn date(days: i32) -> String {
    time::date(i64::from(days) * time::DAY)
}

/// Rows as one JSON array, one row a line.
pub fn json(batches: &[RecordBatch], out: &mut dyn Write) -> io::Result<()> {
    write!(out, "[")?;
    for (index, row) in objects(batches).enumerate() {
        writeln!(out, "{}", if index > 0 { "," } else { "" })?;
        serde_json::to_writer(&mut *out, &row)?;
    }
    writeln!(out, "\n]")
}

/// Rows as one JSON object a line.
pub fn ndjson(batches: &[RecordBatch], out: &mut dyn Write) -> io::Result<()> {
    for row in objects(batches) {
        serde_json::to_writer(&mut *out, &row)?;
        writeln!(out)?;
    }
    Ok(())
}

/// Rows as a Parquet file, with the types that they have.
///
/// # Errors
/// That of `out` as it is, or rows that Parquet has no type for.
pub fn parquet(rows: &super::Rows, out: impl Write + Send) -> io::Result<()> {
    write_parquet(rows, out).map_err(|error| match error {
        ParquetError::External(error) => error.downcast::<io::Error>().map_or_else(io::Error::other, |error| *error),
        error => io::Error::other(error),
    })
}

fn write_parquet(rows: &super::Rows, out: impl Write + Send) -> Result<(), ParquetError> {
    let compressed = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let mut writer = ArrowWriter::try_new(out, rows.schema.clone(), Some(compressed))?;
    for batch in &rows.batches {
        // What a plan promises and what its batches say may differ in nullability.
        writer.write(&RecordBatch::try_new(rows.schema.clone(), batch.columns().to_vec())?)?;
    }
    writer.close().map(|_| ())
}

/// Rows as comma-separated values (RFC 4180) under a header.
pub fn csv<'n>(
    names: impl Iterator<Item = &'n str>,
    rows: impl Iterator<Item = Map<String, Value>>,
    out: &mut dyn Write,
) -> io::Result<()> {
    csv_line(names.map(str::to_owned), out)?;
    for row in rows {
        csv_line(row.values().map(text), out)?;
    }
    Ok(())
}

/// One line of comma-separated values.
pub fn csv_line(cells: impl Iterator<Item = String>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", cells.map(|cell| quoted(&cell)).collect::<Vec<_>>().join(","))
}

/// A value as the text of one cell: lists and objects as JSON, null as nothing.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{
        ArrayRef, BinaryViewArray, DurationMicrosecondArray, StringViewArray, TimestampMicrosecondArray,
    };

    use super::*;

    #[test]
    fn cells_are_spelled_for_people_and_programs() {
        let times = TimestampMicrosecondArray::from(vec![Some(1_793_534_400_123_000), None]).with_timezone("UTC");
        let batch = RecordBatch::try_from_iter([
            ("at", Arc::new(times) as ArrayRef),
            ("hash", Arc::new(BinaryViewArray::from(vec![Some(&b"\x00\xff"[..]), None]))),
            ("age", Arc::new(DurationMicrosecondArray::from(vec![Some(90_000_000), None]))),
            ("text", Arc::new(StringViewArray::from(vec![Some("a,\"b\""), None]))),
        ])
        .unwrap();
        let mut out = Vec::new();
        ndjson(std::slice::from_ref(&batch), &mut out).unwrap();
        let lines = String::from_utf8(out).unwrap();
        let first = r#"{"at":"2026-11-01T12:00:00.123Z","hash":"00ff","age":"1m30s","text":"a,\"b\""}"#;
        assert_eq!(lines.lines().next(), Some(first));
        let mut out = Vec::new();
        csv(["at", "hash", "age", "text"].into_iter(), objects(&[batch]), &mut out).unwrap();
        let want = "at,hash,age,text\n2026-11-01T12:00:00.123Z,00ff,1m30s,\"a,\"\"b\"\"\"\n,,,\n";
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }
}
