//! Rows of the grants that detectors look at closely, kept from run to run.
//!
//! A few grants are nominated in every run: those of people who left, those on lost devices. Their rows lie scattered over
//! all of history, so reading them again each time would cost more each day. What was read is kept beside the folds,
//! with the grants it is complete for: a later run reads the rows that newer versions brought, and the history of grants
//! that were nominated for the first time.
//!
//! A kept file's content follows from its version and its grants, which are both in its name, so runs side by side do
//! each other no harm. A file without its list was never finished and is not looked at.
//!
//! Reading on from the day a grant began costs what happened since, and looking it up costs a part of each file that has
//! something of it. New grants are read on from the first of them, without those that began so long before that looking
//! each of them up costs less: what a run costs does not grow with history.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::Expr;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::frame::{any_of, column};
use super::shelf::Shelf;
use crate::event::columns::{EVENT_DATE, TABLE_SCHEMA};
use crate::event::hex;
use crate::lake::log::DataFile;
use crate::lake::lookup::{Among, Lookup};
use crate::lake::table::State;
use crate::lake::{Lake, LakeError};
use crate::query::{self, QueryError, Rows, views};

/// Lists up to this long prune pages.
const PRUNED_MAX: usize = 20;
/// Looking up one grant takes as long as passing by so many rows.
const LOOKUP_ROWS: u64 = 100_000;
/// More than these are not looked up: of a lake elsewhere every look-up asks all files.
const LOOKUPS_MAX: usize = 10 * PRUNED_MAX;
/// What was read since a file was kept is read again until it is this many rows.
const AGAIN_ROWS_MAX: u64 = 50_000;
/// Days since 1970-01-01 on which grants began.
pub type Begins = HashMap<String, i32>;

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
    Shelf::new(lake, "")?.clear("kept_rows-").await
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
        any_of(&[("grant_id", &list(&self.grants)), ("token_id", &list(&self.tokens))])
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

    /// How its rows are read: those that are looked up, in pieces small enough to prune by, and the rest from a day on.
    /// `rows_since`: how many rows are of a day or later. What has no day may have begun at any time.
    fn plan(&self, begins: &Begins, rows_since: impl Fn(i32) -> u64) -> (Vec<Self>, Self, i32) {
        let grants = self.grants.iter().map(|id| (begins.get(id).copied().unwrap_or(i32::MIN), true, id));
        let mut all: Vec<(i32, bool, &String)> =
            grants.chain(self.tokens.iter().map(|id| (i32::MIN, false, id))).collect();
        all.sort_unstable();
        let first = |from: usize| all.get(from).map_or(i32::MAX, |(day, _, _)| *day);
        let cost = |looked_up: &usize| *looked_up as u64 * LOOKUP_ROWS + rows_since(first(*looked_up));
        let looked_up = (0..=all.len().min(LOOKUPS_MAX)).min_by_key(cost).unwrap_or_default();
        let of = |piece: &[(i32, bool, &String)]| {
            let texts = |wanted: bool| piece.iter().filter(move |it| it.1 == wanted).map(|it| it.2.clone()).collect();
            Self { grants: texts(true), tokens: texts(false) }
        };
        (all[..looked_up].chunks(PRUNED_MAX).map(of).collect(), of(&all[looked_up..]), first(looked_up))
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
            context: query::sparse(context),
            shelf: Shelf::new(lake, &format!("kept_rows-{id}"))?,
            schema: Arc::new(Schema::new(fields)),
        })
    }

    /// All rows up to the state's version that are stored under these grants or with these tokens, whatever their time.
    /// No row of a grant is of a day before it began.
    pub async fn rows(
        &self,
        state: &State,
        (grants, begins): (&[String], &Begins),
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
            batches.extend(query::gather(old).await?.batches);
            batches.extend(self.scan(added, &base, &Watched::default()).await?);
        }
        batches.extend(self.first_time(state, &new, begins, &base).await?);
        let rows = Rows { schema: self.schema.clone(), batches };
        if !new.is_empty() || again_rows > AGAIN_ROWS_MAX {
            self.keep(&rows, state.version, &all).await?;
        }
        views::memory(rows)
    }

    /// All rows of what is watched for the first time.
    async fn first_time(
        &self,
        state: &State,
        new: &Watched,
        begins: &Begins,
        before: &Watched,
    ) -> Result<Vec<RecordBatch>, QueryError> {
        let mut since: BTreeMap<i32, u64> = BTreeMap::new();
        for file in state.files.values() {
            *since.entry(day_of(file)).or_default() += file.rows;
        }
        let mut all = 0;
        for rows in since.values_mut().rev() {
            all += *rows;
            *rows = all;
        }
        let (pieces, rest, first) = new.plan(begins, |day| since.range(day..).next().map_or(0, |(_, rows)| *rows));
        let mut batches = Vec::new();
        if !rest.is_empty() {
            let files = state.files.values().filter(|file| day_of(file) >= first).cloned().collect();
            batches.extend(self.scan(files, &rest, before).await?);
        }
        if pieces.is_empty() {
            return Ok(batches);
        }
        let lookup = Lookup::open(self.lake, &state.files).await?;
        let files: Vec<&DataFile> = state.files.values().collect();
        for piece in pieces {
            let texts = |of: &BTreeSet<String>| of.iter().cloned().collect::<Vec<_>>();
            let (grants, tokens) = (texts(&piece.grants), texts(&piece.tokens));
            let files = lookup.files_with(&files, &[("grant_id", &grants), ("token_id", &tokens)], Among::All);
            batches.extend(self.scan(files, &piece, before).await?);
        }
        Ok(batches)
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
        let mut wanted = watched.rows();
        if !(watched.tokens.is_empty() && before.tokens.is_empty()) {
            // Elsewhere a row has one grant: nobody else's are among them.
            wanted = wanted.and(before.rows().is_not_true());
        }
        let rows = self.context.read_table(table)?.filter(wanted)?.select(columns)?;
        Ok(query::gather(rows).await?.batches)
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
        self.shelf.put(&format!("{name}.parquet"), rows.into()).await?;
        self.shelf.put(&format!("{name}.json"), list.into()).await?;
        self.shelf.tidy(&name).await
    }
}

/// The day of a file's rows; the first of all if it says none.
fn day_of(file: &DataFile) -> i32 {
    let text = file.partition(EVENT_DATE);
    let day = text.map(|text| ScalarValue::try_from_string(text.to_owned(), &DataType::Date32));
    match day {
        Some(Ok(ScalarValue::Date32(Some(day)))) => day,
        _ => i32::MIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_began_long_ago_is_looked_up_and_the_rest_read_from_its_first_day() {
        let texts = |n: usize, prefix: &str| (0..n).map(|i| format!("{prefix}{i}")).collect::<Vec<_>>();
        let some = Watched::new(&texts(500, "g"), &texts(3, "t"));
        // All but 25 began within ten days; a day has a million rows.
        let begins = |old: i32| -> Begins {
            texts(500, "g").into_iter().enumerate().map(|(i, id)| (id, if i < 25 { old } else { 9_990 })).collect()
        };
        let rows_since = |day: i32| u64::try_from(10_000 - day.clamp(0, 10_000)).unwrap() * 1_000_000;
        let (pieces, rest, first) = some.plan(&begins(9_900), rows_since);
        assert_eq!((pieces.iter().map(Watched::len).collect::<Vec<_>>(), rest.len(), first), (vec![20, 8], 475, 9_990));
        assert_eq!(pieces.iter().fold(rest, |all, piece| all.with(piece)), some);
        // So near that reading on from there costs less.
        let (pieces, rest, first) = some.plan(&begins(9_989), rows_since);
        assert_eq!((pieces.iter().map(Watched::len).sum::<usize>(), rest.len(), first), (3, 500, 9_989));
        // Nothing is known of any, and there is little to read.
        let (pieces, rest, first) = some.plan(&Begins::new(), |_| 1_000);
        assert_eq!((pieces.len(), rest == some, first), (0, true, i32::MIN));
        assert_ne!(some.hash(), Watched::new(&texts(25, "g"), &[]).hash());
    }
}
