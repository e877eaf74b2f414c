use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, Int64Array, new_null_array};
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;

use super::*;

/// Rows with these grants and times; their numbers stand in `offset`.
fn batch(rows: &[(Option<String>, i64)], first: i64) -> RecordBatch {
    let columns = FILE_SCHEMA.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            "grant_id" => Arc::new(StringViewArray::from_iter(rows.iter().map(|(grant, _)| grant.as_deref()))),
            "event_time" => {
                let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|(_, time)| *time));
                Arc::new(times.with_timezone("UTC"))
            }
            "offset" => Arc::new(Int64Array::from_iter_values(first..first + rows.len() as i64)),
            _ => new_null_array(field.data_type(), rows.len()),
        }
    });
    RecordBatch::try_new(FILE_SCHEMA.clone(), columns.collect()).unwrap()
}

/// Grant, time and number of every row of a file.
fn rows(file: Vec<u8>) -> Vec<(String, i64, i64)> {
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(Bytes::from(file), reader_options()).unwrap();
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    let all = concat_batches(&FILE_SCHEMA, &batches).unwrap();
    let (grants, times) = writer::order_columns(&all).unwrap();
    let numbers = all.column_by_name("offset").unwrap().as_primitive::<Int64Type>();
    let row = |row| {
        let (grant, time, _) = key(&grants, &times, row, 0);
        (grant, time, numbers.value(row))
    };
    (0..all.num_rows()).map(row).collect()
}

#[test]
fn merged_files_hold_the_rows_of_all_in_their_order() {
    let mut dice = fastrand::Rng::with_seed(20_261_126);
    let mut files: Vec<Vec<u8>> = Vec::new();
    let (mut all, mut next) = (Vec::new(), 0);
    // Few grants and times, so that many rows are equal; files of one row, and of more than one piece and one batch.
    for length in [1, 2, BATCH_ROWS, BATCH_ROWS + 1, 3000, 2 * PIECE_ROWS + 5, 700, 1] {
        let mut row = || {
            let grant = (dice.u8(0..9) > 0).then(|| format!("grant-of-some-length-{}", dice.u16(0..300)));
            (grant, dice.i64(0..50))
        };
        let rows: Vec<_> = (0..length).map(|_| row()).collect();
        let batch = batch(&rows, next);
        next += length as i64;
        files.push(unsorted(std::slice::from_ref(&batch)).unwrap().0);
        all.push(batch);
    }
    let expected = unsorted(&all).unwrap();
    let merged = sorted(files.into_iter().map(Bytes::from).collect()).unwrap();
    assert_eq!(merged.1, expected.1, "what the log says of them");
    let (merged, mut expected) = (rows(merged.0), rows(expected.0));
    assert_eq!(merged.len() as i64, next);
    let order = |rows: &[(String, i64, i64)]| rows.iter().map(|(g, t, _)| (g.clone(), *t)).collect::<Vec<_>>();
    assert_eq!(order(&merged), order(&expected));
    let mut found = merged;
    found.sort();
    expected.sort();
    assert_eq!(found, expected, "each row once");
}

#[test]
fn files_without_rows_are_refused() {
    assert!(sorted(Vec::new()).is_err());
}
