//! Rows of the grants that detectors look at closely, kept from run to run.
//!
//! A few grants are nominated in every run: those of people who left, those on lost devices. Their rows lie scattered over
//! all of history, so reading them again each time would cost more each day. What was read is kept beside the folds,
//! with the grants it is complete for: a later run reads the rows that newer versions brought, and the history of grants
//! that were nominated for the first time.
//!
//! A kept file's content follows from its version and its grants, which are both in its name, so runs side by side do
//! each other no harm. A file without its list was never finished and is not looked at.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::DataFusionError;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::frame::{column, matching, stored_rows};
use super::shelf::Shelf;
use crate::event::columns::TABLE_SCHEMA;
use crate::event::hex;
use crate::lake::log::DataFile;
use crate::lake::table::State;
use crate::lake::{Lake, LakeError};
use crate::query::{self, QueryError, Rows, views};

/// Lists up to this long prune pages; longer ones are read in one go.
const PRUNED_MAX: usize = 20;
/// More new grants than this, and one pass over everything is quicker than a look-up of each.
const LOOKUPS_MAX: usize = 10 * PRUNED_MAX;
/// What was read since a file was kept is read again until it is this many rows.
const AGAIN_ROWS_MAX: u64 = 50_000;
/// Which rows: those stored under these grants, or with these tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    pub grants: BTreeSet<String>,
    pub tokens: BTreeSet<String>,
}

/// A kept file: rows up to a version, complete for what is watched.
struct Kept {
    version: i64,
    name: String,
    watched: Watched,
}

/// The kept rows of one lake.
pub struct Store<'l> {
    lake: &'l Lake,
    context: SessionContext,
    shelf: Shelf,
    schema: SchemaRef,
}

/// Deletes all kept rows: the next run reads them again.
pub async fn forget(lake: &Lake) -> Result<(), QueryError> {
    Shelf::new(lake, "")?.clear("/kept_rows-").await
}

impl Watched {
    fn new(grants: &[String], tokens: &[String]) -> Self {
        Self { grants: grants.iter().cloned().collect(), tokens: tokens.iter().cloned().collect() }
    }

    fn is_empty(&self) -> bool {
        self.grants.is_empty() && self.tokens.is_empty()
    }

    fn rows(&self) -> Expr {
        let list = |texts: &BTreeSet<String>| texts.iter().cloned().collect::<Vec<_>>();
        stored_rows(&list(&self.grants), &list(&self.tokens), "token_id")
    }

    fn without(&self, other: &Self) -> Self {
        Self {
            grants: self.grants.difference(&other.grants).cloned().collect(),
            tokens: self.tokens.difference(&other.tokens).cloned().collect(),
        }
    }

    fn with(&self, other: &Self) -> Self {
        Self {
            grants: self.grants.union(&other.grants).cloned().collect(),
            tokens: self.tokens.union(&other.tokens).cloned().collect(),
        }
    }

    fn len(&self) -> usize {
        self.grants.len() + self.tokens.len()
    }

    fn hash(&self) -> String {
        let mut hash = Sha256::new();
        for text in self.grants.iter().chain([&"\0".to_owned()]).chain(&self.tokens) {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        hex(&hash.finalize()[..8])
    }

    /// Pieces small enough to prune by, or all at once.
    fn pieces(&self) -> Vec<Self> {
        if self.len() > LOOKUPS_MAX {
            return vec![self.clone()];
        }
        let all: Vec<(bool, &String)> =
            self.grants.iter().map(|g| (true, g)).chain(self.tokens.iter().map(|t| (false, t))).collect();
        let of = |piece: &[(bool, &String)], wanted: bool| -> BTreeSet<String> {
            piece.iter().filter(|(is_grant, _)| *is_grant == wanted).map(|(_, text)| (*text).clone()).collect()
        };
        all.chunks(PRUNED_MAX).map(|piece| Self { grants: of(piece, true), tokens: of(piece, false) }).collect()
    }
}

impl<'l> Store<'l> {
    /// The rows kept beside the lake's tables; `context` lends its limits.
    ///
    /// `columns` are those of events that are kept, the stored grant and token among them.
    pub fn new(lake: &'l Lake, context: &SessionContext, columns: &[&str]) -> Result<Self, QueryError> {
        query::know_store(context, lake.events());
        let fields = columns.iter().map(|name| TABLE_SCHEMA.field_with_name(name).cloned());
        let fields = fields.collect::<Result<Vec<_>, _>>().map_err(DataFusionError::from)?;
        let id = hex(&Sha256::digest(columns.join(","))[..4]);
        Ok(Self {
            lake,
            context: query::sibling(context),
            shelf: Shelf::new(lake, &format!("kept_rows-{id}"))?,
            schema: Arc::new(Schema::new(fields)),
        })
    }

    /// All rows up to the state's version that are stored under these grants or with these tokens, whatever their time.
    pub async fn rows(
        &self,
        state: &State,
        grants: &[String],
        tokens: &[String],
    ) -> Result<Arc<dyn TableProvider>, QueryError> {
        let wanted = Watched::new(grants, tokens);
        if wanted.is_empty() {
            return views::memory(Rows { schema: self.schema.clone(), batches: Vec::new() });
        }
        let kept = self.newest(state.version).await?;
        let added = match &kept {
            Some(kept) => self.lake.events().added_between(kept.version, state.version).await?,
            None => None,
        };
        let known = kept.zip(added);
        let watched = known.as_ref().map(|(kept, _)| kept.watched.clone()).unwrap_or_default();
        let new = wanted.without(&watched);
        // Grants nobody nominates any more are carried along until they are most of it.
        let all = Some(watched.with(&wanted)).filter(|all| all.len() <= 2 * wanted.len() + 1_000);
        let all = all.unwrap_or_else(|| wanted.clone());
        let base = all.without(&new);
        let mut batches = Vec::new();
        let mut again_rows = 0;
        if let Some((kept, added)) = known {
            again_rows = added.iter().map(|f| f.rows).sum();
            let options = ParquetReadOptions::default().schema(&self.schema);
            let path = self.shelf.url(&format!("{}.parquet", kept.name));
            let mut old = self.context.read_parquet(path, options).await?;
            if kept.watched != base {
                old = old.filter(base.rows())?;
            }
            batches.extend(old.collect().await?);
            batches.extend(self.scan(added, &base, &Watched::default()).await?);
        }
        let files: Vec<DataFile> = state.files.values().cloned().collect();
        for piece in new.pieces().iter().filter(|p| !p.is_empty()) {
            batches.extend(self.scan(files.clone(), piece, &base).await?);
        }
        let rows = Rows { schema: self.schema.clone(), batches };
        if !new.is_empty() || again_rows > AGAIN_ROWS_MAX {
            self.keep(&rows, state.version, &all).await?;
        }
        views::memory(rows)
    }

    /// Rows of what is watched, without those of what was.
    async fn scan(
        &self,
        files: Vec<DataFile>,
        watched: &Watched,
        before: &Watched,
    ) -> Result<Vec<RecordBatch>, QueryError> {
        let table = query::events(self.lake, &self.context, files)?;
        let columns = self.schema.fields().iter().map(|f| column(f.name())).collect::<Vec<_>>();
        let rows = self.context.read_table(table)?;
        let rows = if watched.tokens.is_empty() && before.tokens.is_empty() {
            // A row has one grant: nobody else's are among them.
            let grants: Vec<String> = watched.grants.iter().cloned().collect();
            matching(&self.context, rows.select(columns)?, &[("grant_id", &grants)]).await?
        } else {
            let unread =
                if before.is_empty() { watched.rows() } else { watched.rows().and(before.rows().is_not_true()) };
            rows.filter(unread)?.select(columns)?
        };
        Ok(rows.collect().await?)
    }

    /// The kept file of the newest version that is not newer than this one.
    async fn newest(&self, version: i64) -> Result<Option<Kept>, QueryError> {
        let mut lists: Vec<(i64, String)> = Vec::new();
        for meta in self.shelf.list().await? {
            let name = meta.location.filename().and_then(|n| n.strip_suffix(".json")).map(str::to_owned);
            let named = name.and_then(|n| Some((n.split_once('-')?.0.parse::<i64>().ok()?, n)));
            lists.extend(named.filter(|(at, _)| *at <= version));
        }
        let Some((version, name)) = lists.into_iter().max() else { return Ok(None) };
        let list = self.shelf.get(&format!("{name}.json")).await?;
        let watched = list.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(watched.map(|watched| Kept { version, name, watched }))
    }

    /// Keeps rows for later runs, and lets go of what is older than any run.
    async fn keep(&self, rows: &Rows, version: i64, watched: &Watched) -> Result<(), QueryError> {
        let properties = WriterProperties::builder().set_compression(Compression::LZ4_RAW).build();
        let mut writer =
            ArrowWriter::try_new(Vec::new(), self.schema.clone(), Some(properties)).map_err(LakeError::from)?;
        for batch in &rows.batches {
            let batch = batch.clone().with_schema(self.schema.clone()).map_err(LakeError::from)?;
            writer.write(&batch).map_err(LakeError::from)?;
        }
        let name = format!("{version}-{}", watched.hash());
        let rows = writer.into_inner().map_err(LakeError::from)?;
        let list = serde_json::to_vec(watched).map_err(|e| LakeError::Log(name.clone(), e.to_string()))?;
        // The list last: it says that the rows are all there.
        self.shelf.put(&format!("{name}.parquet"), rows).await?;
        self.shelf.put(&format!("{name}.json"), list).await?;
        self.shelf.tidy(&name).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_watched_is_cut_into_pieces_that_prune() {
        let texts = |n: usize, prefix: &str| (0..n).map(|i| format!("{prefix}{i}")).collect::<Vec<_>>();
        let some = Watched::new(&texts(25, "g"), &texts(3, "t"));
        let pieces = some.pieces();
        assert_eq!(pieces.iter().map(Watched::len).collect::<Vec<_>>(), [20, 8]);
        assert_eq!(pieces.iter().fold(Watched::default(), |all, piece| all.with(piece)), some);
        assert_eq!(Watched::new(&texts(500, "g"), &[]).pieces().len(), 1);
        assert_ne!(some.hash(), Watched::new(&texts(25, "g"), &[]).hash());
    }
}
