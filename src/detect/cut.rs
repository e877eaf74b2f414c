//! A cut of the past: the rows the lake held when each source had been read so far, wherever the lake has gone since.
//!
//! Compaction moves rows to other files and vacuum deletes the old ones, but every row keeps the position it was read at.
//! So a cut is read at the newest version, by position.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringViewArray};
use datafusion::catalog::TableProvider;
use datafusion::logical_expr::{Expr, JoinType};
use datafusion::prelude::{SessionContext, lit};

use super::frame::column;
use super::runs;
use crate::event::columns::TABLE_SCHEMA;
use crate::lake::Lake;
use crate::lake::table::State;
use crate::query::{self, QueryError, views};

/// How far each source had been read at some time in the past.
#[derive(Clone, Debug)]
pub struct Cut {
    /// Next offsets by source partition, as the lake keeps them.
    pub positions: BTreeMap<String, i64>,
    /// When that was, microseconds UTC: what came by a pipe has no position, and was there if it was received by then.
    pub at: i64,
}

impl Cut {
    /// What the lake held at a version of its `events`.
    ///
    /// # Errors
    /// [`QueryError::NoVersion`] if it has not come so far, or if neither its log nor a run remembers.
    pub async fn of_version(lake: &Lake, version: i64) -> Result<Self, QueryError> {
        // The log is cleaned up behind checkpoints; a run that saw the version knows its positions for good.
        if let Some((positions, at)) = runs::positions_at(lake, version).await? {
            return Ok(Self { positions, at });
        }
        let state = lake.events().at(version).await?.ok_or(QueryError::NoVersion(version))?;
        Ok(Self::of_state(&state))
    }

    /// What the lake holds in a state.
    pub fn of_state(state: &State) -> Self {
        let at_ms = state.files.values().map(|f| f.modified_at_ms).max().unwrap_or(0);
        Self { positions: state.positions.clone(), at: at_ms * 1000 }
    }

    /// `events` as it was at the cut, in a session of its own; `state` is the newest. `None`: all of it.
    pub async fn session(cut: Option<&Self>, lake: &Lake, state: &State) -> Result<SessionContext, QueryError> {
        let context = query::session(query::Limits { memory_bytes: 1 << 30, ..query::Limits::default() })?;
        let mut files: Arc<dyn TableProvider> = query::events(lake, &context, state.files.values().cloned().collect())?;
        if let Some(cut) = cut {
            files = cut.rows(&context, files, state).await?;
        }
        views::replace(&context, "events", files)?;
        Ok(context)
    }

    /// The rows within the cut. They are all there still, in whatever files: rows are never dropped by compaction.
    pub(super) async fn rows(
        &self,
        context: &SessionContext,
        files: Arc<dyn TableProvider>,
        state: &State,
    ) -> Result<Arc<dyn TableProvider>, QueryError> {
        let (mut topics, mut partitions, mut untils) = (Vec::new(), Vec::new(), Vec::new());
        for name in state.positions.keys() {
            let stream = name.split_once(':').and_then(|(_, stream)| stream.rsplit_once('/'));
            let Some((topic, partition)) = stream.and_then(|(t, p)| Some((t, p.parse::<i32>().ok()?))) else {
                continue;
            };
            topics.push(topic);
            partitions.push(partition);
            untils.push(self.positions.get(name).copied().unwrap_or(0));
        }
        let columns: [(&str, ArrayRef); 3] = [
            ("cut_topic", Arc::new(StringViewArray::from_iter_values(topics))),
            ("cut_partition", Arc::new(Int32Array::from(partitions))),
            ("until", Arc::new(Int64Array::from(untils))),
        ];
        let known = RecordBatch::try_from_iter(columns).map_err(datafusion::common::DataFusionError::from)?;
        let known = context.read_batch(known)?;
        let on = [column("topic").eq(column("cut_topic")), column("partition").eq(column("cut_partition"))];
        let rows = context.read_table(files)?.join_on(known, JoinType::Left, on)?;
        let piped = column("until").is_null().and(column("received_at").lt_eq(lit(views::timestamp(self.at))));
        let within = column("offset").lt(column("until")).or(piped);
        let wanted: Vec<Expr> = TABLE_SCHEMA.fields().iter().map(|f| column(f.name())).collect();
        Ok(rows.filter(within)?.select(wanted)?.into_view())
    }
}
