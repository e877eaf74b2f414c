//! Whether two tables hold the same rows, in whatever order: told from a sum over all rows, which takes no memory.

use std::hash::{DefaultHasher, Hasher as _};

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::physical_plan::SendableRecordBatchStream;
use futures::StreamExt as _;

use super::together::as_declared;
use crate::lake::LakeError;
use crate::query::QueryError;

/// How many rows there are, and a 64-bit sum of what they hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Digest {
    rows: u64,
    sum: u64,
}

impl Digest {
    /// Of rows that are cast to the schema's types first.
    pub(super) async fn of(mut rows: SendableRecordBatchStream, schema: SchemaRef) -> Result<Self, QueryError> {
        let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone()));
        let converter = RowConverter::new(fields.collect()).map_err(LakeError::from)?;
        let mut digest = Self::default();
        while let Some(batch) = rows.next().await {
            let batch = as_declared(&batch?, &schema).map_err(LakeError::from)?;
            for row in &converter.convert_columns(batch.columns()).map_err(LakeError::from)? {
                let mut hasher = DefaultHasher::new();
                hasher.write(row.as_ref());
                digest.sum = digest.sum.wrapping_add(hasher.finish());
                digest.rows += 1;
            }
        }
        Ok(digest)
    }
}
