//! Rows that are worked out once and read often, and that may be more than fit into memory.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use datafusion::catalog::TableProvider;
use datafusion::config::TableParquetOptions;
use datafusion::dataframe::{DataFrame, DataFrameWriteOptions};
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use tempfile::TempDir;

use super::QueryError;
use crate::lake::LakeError;

/// A folder among the system's temporary files, made when it is first needed; what it holds can be read until it is dropped.
#[derive(Debug, Default)]
pub struct Scratch {
    folder: OnceLock<TempDir>,
    files: AtomicUsize,
}

impl Scratch {
    /// Writes rows into a file, and gives them as a table.
    ///
    /// # Errors
    /// What working them out can bring, and a folder for temporary files that cannot be written to.
    pub async fn hold(&self, context: &SessionContext, rows: DataFrame) -> Result<Arc<dyn TableProvider>, QueryError> {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        let file = self.folder()?.join(format!("{number}.parquet"));
        let url = file.to_string_lossy();
        let mut options = TableParquetOptions::default();
        options.global.compression = Some("zstd(1)".to_owned());
        rows.write_parquet(&url, DataFrameWriteOptions::new().with_single_file_output(true), Some(options)).await?;
        Ok(context.read_parquet(url.as_ref(), ParquetReadOptions::default()).await?.into_view())
    }

    fn folder(&self) -> Result<&Path, QueryError> {
        if let Some(folder) = self.folder.get() {
            return Ok(folder.path());
        }
        let failed = |cause| LakeError::Io { doing: "making a folder for temporary files".to_owned(), cause };
        let folder = tempfile::tempdir().map_err(failed)?;
        Ok(self.folder.get_or_init(|| folder).path())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Limits, collect, session};
    use super::*;

    #[tokio::test]
    async fn what_is_held_is_read_again_and_then_gone() {
        let context = session(Limits::default()).unwrap();
        let scratch = Scratch::default();
        let sql = "SELECT 'g' || value AS grant_id, to_timestamp_micros(value) AS at, [value] AS list \
                   FROM generate_series(1, 20000)";
        let rows = scratch.hold(&context, context.sql(sql).await.unwrap()).await.unwrap();
        let none = scratch.hold(&context, context.sql("SELECT 1 AS one WHERE FALSE").await.unwrap()).await.unwrap();
        for (name, table) in [("held", rows), ("none", none)] {
            context.register_table(name, table).unwrap();
        }
        let same = format!("SELECT * FROM held EXCEPT SELECT * FROM ({sql})");
        for (sql, rows) in [("SELECT * FROM held", 20_000), ("SELECT * FROM none", 0), (&same, 0)] {
            let found = collect(context.sql(sql).await.unwrap()).await.unwrap();
            assert_eq!(found.batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), rows, "{sql}");
        }
        let folder = scratch.folder().unwrap().to_owned();
        assert!(folder.exists());
        drop(scratch);
        assert!(!folder.exists());
    }
}
