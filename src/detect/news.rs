//! What the findings log took up since somebody last looked: for those who pass it on.
//!
//! A reader keeps the version it has read to. Every row carries the version that wrote it, so nothing is skipped,
//! whatever was compacted meanwhile, and a log that did not grow costs one look for its next commit.

use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};

use super::log;
use crate::finding::Finding;
use crate::lake::scan::Files;
use crate::lake::table::Table;
use crate::lake::{Lake, LakeError};
use crate::query::{self, QueryError, SessionContext, views};

/// One row of the log.
#[derive(Clone, Debug)]
pub struct Logged {
    /// What happened, as [`super::lifecycle::Change`] spells it.
    pub change: String,
    /// The version of the log that holds it.
    pub sequence: i64,
    /// When it was recorded, microseconds UTC.
    pub at: i64,
    /// Who decided it; none where a run found it out.
    pub owner: Option<String>,
    pub reason: Option<String>,
    /// The finding after it.
    pub finding: Finding,
}

/// A reader of the findings log.
pub struct News {
    lake: Lake,
    table: Option<Table>,
    context: SessionContext,
}

impl News {
    /// A reader of this lake's log, which need not be there yet.
    pub fn new(lake: &Lake) -> Result<Self, QueryError> {
        Ok(Self { lake: lake.clone(), table: None, context: query::session(query::Limits::default())? })
    }

    /// The rows that came after version `after`, in order, and the version they reach to.
    pub async fn since(&mut self, after: i64) -> Result<(Vec<Logged>, i64), QueryError> {
        if self.table.is_none() {
            self.table = Table::open(self.lake.uri(), "findings").await?;
        }
        let Some(table) = &self.table else { return Ok((Vec::new(), after)) };
        let state = table.refresh().await?;
        if state.version <= after {
            return Ok((Vec::new(), after));
        }
        let files = match table.brought_since(after, &state).await? {
            Some(files) => files,
            None => state.files.values().cloned().collect(),
        };
        query::know_store(&self.context, table);
        let files = Files::new(table, log::FINDINGS.clone(), &[], files)?;
        views::replace(&self.context, "news", Arc::new(files))?;
        let sql = "SELECT * FROM news WHERE sequence > $after ORDER BY sequence, finding_id";
        let after = query::ScalarValue::Int64(Some(after));
        let frame = self.context.sql(sql).await?.with_param_values(vec![("after", after)])?;
        let mut news = Vec::new();
        for batch in &query::collect(frame).await?.batches {
            news.extend(read(batch)?);
        }
        Ok((news, state.version))
    }
}

fn read(batch: &RecordBatch) -> Result<Vec<Logged>, QueryError> {
    let bad = |what: &str| QueryError::from(LakeError::Log("findings".to_owned(), what.to_owned()));
    let column = |name: &str| batch.column_by_name(name).ok_or_else(|| bad(name));
    let texts = |name: &str| column(name)?.as_string_view_opt().ok_or_else(|| bad(name));
    let (changes, owners, reasons) = (texts("change")?, texts("owner")?, texts("reason")?);
    let times = column("at")?.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(|| bad("at"))?;
    let sequences = column("sequence")?.as_primitive_opt::<Int64Type>().ok_or_else(|| bad("sequence"))?;
    let findings = log::read(batch)?.into_iter().enumerate();
    Ok(findings
        .map(|(row, finding)| Logged {
            change: changes.value(row).to_owned(),
            sequence: sequences.value(row),
            at: times.value(row),
            owner: owners.is_valid(row).then(|| owners.value(row).to_owned()),
            reason: reasons.is_valid(row).then(|| reasons.value(row).to_owned()),
            finding,
        })
        .collect())
}
