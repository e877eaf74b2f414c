//! Data files as a DataFusion table: files pruned by partition, row groups and pages by statistics and bloom filters.

use std::sync::Arc;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result, ScalarValue, ToDFSchema as _};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::log::DataFile;
use super::table::Table;

/// Some files of a Delta table, as they stood at one version.
#[derive(Debug)]
pub struct Files {
    schema: SchemaRef,
    partition_columns: Vec<String>,
    store: ObjectStoreUrl,
    /// Path of the table's folder below the store's root.
    folder: String,
    files: Vec<DataFile>,
    /// Whether they are read one after the other as they are given.
    in_turn: bool,
}

impl Files {
    /// The given files of `table`; `schema` has all columns, the partition columns last.
    ///
    /// # Errors
    /// If the table's URL has no root that DataFusion could read from.
    pub fn new(table: &Table, schema: SchemaRef, partition_columns: &[&str], files: Vec<DataFile>) -> Result<Self> {
        let (_, root) = table.root_store();
        let store = ObjectStoreUrl::parse(&root[..url::Position::BeforePath])?;
        let folder = object_store::path::Path::from_url_path(table.url().path())
            .map_err(|e| DataFusionError::External(Box::new(e)))?
            .to_string();
        Ok(Self {
            schema,
            partition_columns: partition_columns.iter().map(|c| (*c).to_owned()).collect(),
            store,
            folder,
            files,
            in_turn: false,
        })
    }

    /// The same files, read one after the other as they were given.
    #[must_use]
    pub fn in_turn(self) -> Self {
        Self { in_turn: true, ..self }
    }

    /// Which object store a session has to know to read these files.
    pub fn store_url(&self) -> &ObjectStoreUrl {
        &self.store
    }

    /// The values of the partition columns in a file.
    fn values(&self, file: &DataFile) -> Result<Vec<ScalarValue>> {
        let values = self.partition_columns.iter().map(|name| {
            let data_type = self.schema.field_with_name(name)?.data_type();
            match file.partition(name) {
                Some(text) => ScalarValue::try_from_string(text.to_owned(), data_type),
                None => ScalarValue::try_from(data_type),
            }
        });
        values.collect()
    }

    fn partitioned(&self, file: &DataFile) -> Result<PartitionedFile> {
        let path = format!("{}/{}", self.folder, file.path);
        Ok(PartitionedFile::new(path, file.bytes).with_partition_values(self.values(file)?))
    }

    /// The files whose partition the filters do not rule out; a scan would open every other one to find the same.
    fn in_partitions(&self, session: &dyn Session, filters: &[Expr]) -> Result<Vec<DataFile>> {
        let is_of_partition = |filter: &&Expr| {
            let columns = filter.column_refs();
            !columns.is_empty() && columns.iter().all(|column| self.partition_columns.contains(&column.name))
        };
        let Some(filter) = conjunction(filters.iter().filter(is_of_partition).cloned()) else {
            return Ok(self.files.clone());
        };
        if self.files.is_empty() {
            return Ok(Vec::new());
        }
        let values = self.files.iter().map(|file| self.values(file)).collect::<Result<Vec<_>>>()?;
        let (mut fields, mut columns) = (Vec::new(), Vec::new());
        for (place, name) in self.partition_columns.iter().enumerate() {
            fields.push(self.schema.field_with_name(name)?.clone().with_nullable(true));
            columns.push(ScalarValue::iter_to_array(values.iter().map(|of_file| of_file[place].clone()))?);
        }
        let partitions = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
        let schema = partitions.schema().as_ref().clone().to_dfschema()?;
        let kept = session.create_physical_expr(filter, &schema)?.evaluate(&partitions)?;
        let kept = kept.into_array(self.files.len())?;
        let Some(kept) = kept.as_boolean_opt() else { return Ok(self.files.clone()) };
        let files = self.files.iter().zip(kept);
        Ok(files.filter(|(_, kept)| *kept == Some(true)).map(|(file, _)| file.clone()).collect())
    }

    fn in_file(&self) -> Schema {
        let is_inside = |f: &&Arc<Field>| !self.partition_columns.contains(f.name());
        Schema::new(self.schema.fields().iter().filter(is_inside).cloned().collect::<Vec<_>>())
    }
}

#[async_trait]
impl TableProvider for Files {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // Pruning only: what a page holds beyond the filter is still filtered above the scan.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let partition_fields =
            self.partition_columns.iter().map(|name| Ok(Arc::new(self.schema.field_with_name(name)?.clone())));
        let table_schema = TableSchema::builder(Arc::new(self.in_file()))
            .with_table_partition_cols(partition_fields.collect::<Result<Vec<_>>>()?)
            .build();
        let mut source =
            ParquetSource::new(table_schema).with_table_parquet_options(session.table_options().parquet.clone());
        if let Some(filter) = conjunction(filters.to_vec()) {
            let schema = self.schema.as_ref().clone().to_dfschema()?;
            source = source.with_predicate(session.create_physical_expr(filter, &schema)?);
        }
        let mut files = self.in_partitions(session, filters)?;
        let lanes = if self.in_turn {
            1
        } else {
            // Big files first, dealt out in turn, so that no core is left with all the work at the end.
            files.sort_by(|a, b| (b.bytes, &a.path).cmp(&(a.bytes, &b.path)));
            session.config().target_partitions().clamp(1, files.len().max(1))
        };
        let mut groups = vec![FileGroup::default(); lanes];
        for (index, file) in files.iter().enumerate() {
            groups[index % lanes].push(self.partitioned(file)?);
        }
        let config = FileScanConfigBuilder::new(self.store.clone(), Arc::new(source))
            .with_file_groups(groups)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit.filter(|_| filters.is_empty()))
            .with_preserve_order(self.in_turn)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}
