//! Where folds are kept: parts over ranges of lake versions, under LAKE/folds, beside the tables.
//!
//! A part `FROM-TO.parquet` holds the fold of the events that versions FROM+1 to TO brought. Its content follows from the
//! range alone, so two jobs at once write the same and do each other no harm, and what a crash leaves is a file that was
//! never put in place. A reader takes a chain of parts that tiles 0 to its version. Parts are merged like the levels of a
//! log-structured tree: a part is rewritten only when what came after it has grown as large, so that what a pass writes
//! does not grow with history.

use std::collections::BTreeMap;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::runtime::SpawnedTask;
use datafusion::datasource::empty::EmptyTable;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use futures::{StreamExt as _, stream};

use super::same::Digest;
use super::together::joined;
use super::{Fold, ordered, together};
use crate::clock;
use crate::detect::Watch;
use crate::detect::settled;
use crate::detect::shelf::{KEPT_MS, Shelf};
use crate::lake::Lake;
use crate::lake::log::DataFile;
use crate::lake::table::State;
use crate::query::{self, QueryError, views};

/// A reader merges at most this many parts.
const PARTS_MAX: usize = 8;
/// Bytes that folding may hold before it writes to disk: groups of all of history are more than memory should grow by.
const MEMORY: usize = 640 << 20;
/// Events that are folded at once, a little more or less.
pub const AT_ONCE: u64 = 2_000_000;

/// A part: the fold of the events of the versions after `from`, up to `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    from: i64,
    to: i64,
    bytes: u64,
}

/// What became of a fold that was made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    pub rows: usize,
    /// Whether it came out as it was; `None` if it was not there, or behind.
    pub is_same: Option<bool>,
}

/// The folds of one lake.
pub struct Store<'l> {
    lake: &'l Lake,
    context: SessionContext,
    fences: Vec<i64>,
    at_once: u64,
}

impl<'l> Store<'l> {
    /// The folds beside the lake's tables.
    pub async fn new(lake: &'l Lake) -> Result<Self, QueryError> {
        let context = query::spilling(query::Limits { memory_bytes: MEMORY, ..query::Limits::default() })?;
        query::know_store(&context, lake.events());
        let fences = settled::fences(lake, clock::now_micros() / 1000).await?;
        Ok(Self { lake, context, fences, at_once: AT_ONCE })
    }

    /// The same, folding about so many events at a time.
    pub fn folding(self, at_once: u64) -> Self {
        Self { at_once, ..self }
    }

    /// A table of the fold's parts over all events up to the state's version, brought up to date first.
    pub async fn parts(&self, fold: &Fold, state: &State) -> Result<Arc<dyn TableProvider>, QueryError> {
        Ok(self.all_parts(&[fold], state).await?.remove(0))
    }

    /// The same of several folds, in their order; what they lack is folded together.
    pub async fn all_parts(&self, folds: &[&Fold], state: &State) -> Result<Vec<Arc<dyn TableProvider>>, QueryError> {
        let chains = match self.chains(folds, state).await {
            Err(error) if is_gone(&error) => self.chains_without_files(folds, state).await?,
            chains => chains?,
        };
        let mut tables = Vec::with_capacity(folds.len());
        for (fold, chain) in folds.iter().zip(chains) {
            tables.push(self.table(&self.context, fold, &chain).await?);
        }
        Ok(tables)
    }

    /// The rows that the versions after `from` brought, up to `to`: of parts that tile them, or else folded from `added`.
    pub async fn since(
        &self,
        fold: &Fold,
        from: i64,
        to: i64,
        added: &[DataFile],
    ) -> Result<Arc<dyn TableProvider>, QueryError> {
        let parts = tile(&self.list(fold).await?, from, to);
        if parts.last().is_some_and(|part| part.to == to) {
            return self.table(&self.context, fold, &parts).await;
        }
        let context = query::sibling(&self.context);
        views::replace(&context, "events", query::events(self.lake, &context, added.to_vec())?)?;
        views::memory(query::collect(context.sql(&fold.sql).await?).await?)
    }

    /// The rows of all versions up to `to`; `None` if parts do not meet there any more.
    pub async fn until(&self, fold: &Fold, to: i64) -> Result<Option<Arc<dyn TableProvider>>, QueryError> {
        let parts = tile(&self.list(fold).await?, 0, to);
        if parts.last().is_none_or(|part| part.to != to) {
            return Ok(None);
        }
        Ok(Some(self.table(&self.context, fold, &parts).await?))
    }

    async fn table(
        &self,
        context: &SessionContext,
        fold: &Fold,
        parts: &[Part],
    ) -> Result<Arc<dyn TableProvider>, QueryError> {
        if parts.is_empty() {
            return Ok(Arc::new(EmptyTable::new(fold.schema.clone())));
        }
        let shelf = self.shelf(fold)?;
        self.files(context, fold, parts.iter().map(|part| shelf.url(&part.file())).collect()).await
    }

    async fn files(
        &self,
        context: &SessionContext,
        fold: &Fold,
        urls: Vec<String>,
    ) -> Result<Arc<dyn TableProvider>, QueryError> {
        Ok(context.read_parquet(urls, ParquetReadOptions::default().schema(&fold.schema)).await?.into_view())
    }

    /// The same as `chains` where files are gone: rows of files that compaction replaced and vacuum took are still there, in
    /// other files, so folds that lack them are folded from all events.
    async fn chains_without_files(&self, folds: &[&Fold], state: &State) -> Result<Vec<Vec<Part>>, QueryError> {
        let (mut chains, mut lost) = (Vec::with_capacity(folds.len()), Vec::new());
        for (number, fold) in folds.iter().enumerate() {
            match self.chains(&[fold], state).await {
                Err(error) if is_gone(&error) => {
                    tracing::info!(fold = fold.name, "a file this fold was to read is gone; folding all events again");
                    lost.push(number);
                    chains.push(Vec::new());
                }
                found => chains.extend(found?),
            }
        }
        if !lost.is_empty() {
            let folds: Vec<&Fold> = lost.iter().map(|number| folds[*number]).collect();
            for (number, part) in lost.into_iter().zip(self.fold_all(&folds, state).await?) {
                chains[number] = vec![part];
            }
        }
        Ok(chains)
    }

    /// The parts to read of each fold, after folding what is new and merging what has piled up.
    async fn chains(&self, folds: &[&Fold], state: &State) -> Result<Vec<Vec<Part>>, QueryError> {
        let mut chains = Vec::with_capacity(folds.len());
        let mut behind: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for (number, fold) in folds.iter().enumerate() {
            let chain = tile(&self.list(fold).await?, 0, state.version);
            let covered = chain.last().map_or(0, |p| p.to);
            if covered < state.version {
                behind.entry(covered).or_default().push(number);
            }
            chains.push(chain);
        }
        for (covered, numbers) in behind {
            let folds: Vec<&Fold> = numbers.iter().map(|number| folds[*number]).collect();
            let added = self.lake.events().added_between(covered, state.version).await?.filter(|_| covered > 0);
            let parts = match added {
                Some(files) => self.fold_files(&folds, files, covered, state.version).await?,
                None => self.fold_all(&folds, state).await?,
            };
            for (number, part) in numbers.into_iter().zip(parts) {
                if part.from == 0 {
                    chains[number].clear();
                }
                chains[number].push(part);
            }
        }
        for (fold, chain) in folds.iter().zip(&mut chains) {
            if let Some(range) = self.worth_merging(chain) {
                let merged = self.merge(fold, &chain[range.clone()]).await?;
                chain.splice(range, [merged]);
            }
            self.tidy(fold, chain).await?;
        }
        Ok(chains)
    }

    /// Which parts should become one: of those between two versions that bases stand on.
    fn worth_merging(&self, chain: &[Part]) -> Option<Range<usize>> {
        let mut start = 0;
        for segment in chain.split_inclusive(|part| self.fences.contains(&part.to)) {
            let end = start + segment.len();
            if let Some(first) = worth_merging(segment) {
                return Some(start + first..end);
            }
            start = end;
        }
        None
    }

    /// Folds all events again, puts the outcome in place of what there was, and says of each fold whether that was the same.
    ///
    /// # Errors
    /// What reading the events, or writing a fold, can bring.
    pub async fn rebuild(&self, folds: &[&Fold], state: &State) -> Result<Vec<Rebuilt>, QueryError> {
        let files = state.files.values().cloned().collect();
        let mut watch = Watch::start();
        let drafts = together::folded(self.lake, &self.context, folds, files, self.at_once).await?;
        watch.lap("folding all events");
        let mut finished = pin!(stream::iter(folds).zip(together::finished(drafts, &self.context)));
        let mut rebuilt = Vec::with_capacity(folds.len());
        while let Some((fold, bytes)) = finished.next().await {
            watch.lap(&format!("merging {}", fold.name));
            rebuilt.push(self.replace(fold, state, bytes?.into()).await?);
            watch.lap(&format!("comparing {}", fold.name));
        }
        Ok(rebuilt)
    }

    async fn replace(&self, fold: &Fold, state: &State, bytes: bytes::Bytes) -> Result<Rebuilt, QueryError> {
        let kept = tile(&self.list(fold).await?, 0, state.version);
        let kept = Some(kept).filter(|kept| kept.last().is_some_and(|part| part.to == state.version));
        let is_same = match kept {
            Some(kept) => Some(self.is_same(fold, &kept, bytes.clone(), state).await?),
            None => None,
        };
        let (shelf, file) = (self.shelf(fold)?, Part { from: 0, to: state.version, bytes: 0 }.file());
        shelf.put(&file, bytes).await?;
        let rows = self.files(&self.context, fold, vec![shelf.url(&file)]).await?;
        let rows = self.context.read_table(rows)?.count().await?;
        Ok(Rebuilt { rows, is_same })
    }

    /// Whether what was made again has the rows that the parts come to.
    async fn is_same(
        &self,
        fold: &Fold,
        kept: &[Part],
        bytes: bytes::Bytes,
        state: &State,
    ) -> Result<bool, QueryError> {
        let shelf = self.shelf(fold)?;
        // Beside what there was, under whose name it may come to stand.
        let again = format!("again-{}.parquet", state.version);
        shelf.put(&again, bytes).await?;
        let made = self.digest(fold, vec![shelf.url(&again)]).await?;
        let kept = self.digest(fold, kept.iter().map(|part| shelf.url(&part.file())).collect()).await?;
        let (made, kept) = tokio::try_join!(joined(made), joined(kept))?;
        let is_again = |meta: &&object_store::ObjectMeta| meta.location.filename() == Some(again.as_str());
        if let Some(meta) = shelf.list().await?.iter().find(is_again) {
            shelf.let_go(meta).await;
        }
        Ok(made == kept)
    }

    /// Of the rows that files come to, one per key; worked out on a core of its own.
    async fn digest(
        &self,
        fold: &Fold,
        urls: Vec<String>,
    ) -> Result<SpawnedTask<Result<Digest, QueryError>>, QueryError> {
        let rows = match urls.as_slice() {
            [_] => self.context.read_table(self.files(&self.context, fold, urls).await?)?,
            _ => ordered::merged(&self.context, fold, urls).await?,
        };
        Ok(SpawnedTask::spawn(Digest::of(rows.execute_stream().await?, fold.schema.clone())))
    }

    async fn fold_all(&self, folds: &[&Fold], state: &State) -> Result<Vec<Part>, QueryError> {
        self.fold_files(folds, state.files.values().cloned().collect(), 0, state.version).await
    }

    async fn fold_files(
        &self,
        folds: &[&Fold],
        files: Vec<DataFile>,
        from: i64,
        to: i64,
    ) -> Result<Vec<Part>, QueryError> {
        let (mut watch, count) = (Watch::start(), files.len());
        let drafts = together::folded(self.lake, &self.context, folds, files, self.at_once).await?;
        watch.lap(&format!("folding {count} files"));
        let mut finished = pin!(stream::iter(folds).zip(together::finished(drafts, &self.context)));
        let mut parts = Vec::with_capacity(folds.len());
        while let Some((fold, bytes)) = finished.next().await {
            parts.push(self.put(fold, bytes?, from, to).await?);
            watch.lap(&format!("fold {}", fold.name));
        }
        Ok(parts)
    }

    async fn merge(&self, fold: &Fold, parts: &[Part]) -> Result<Part, QueryError> {
        let shelf = self.shelf(fold)?;
        let urls = parts.iter().map(|part| shelf.url(&part.file())).collect();
        let bytes = together::merged(&self.context, fold, urls).await?;
        self.put(fold, bytes, parts[0].from, parts[parts.len() - 1].to).await
    }

    async fn put(&self, fold: &Fold, bytes: Vec<u8>, from: i64, to: i64) -> Result<Part, QueryError> {
        let part = Part { from, to, bytes: bytes.len() as u64 };
        self.shelf(fold)?.put(&part.file(), bytes.into()).await?;
        Ok(part)
    }

    fn shelf(&self, fold: &Fold) -> Result<Shelf, QueryError> {
        Shelf::new(self.lake, &fold.id())
    }

    async fn list(&self, fold: &Fold) -> Result<Vec<Part>, QueryError> {
        Ok(self.shelf(fold)?.list().await?.iter().filter_map(Part::of).collect())
    }

    /// Deletes parts that a merge replaced long enough ago.
    async fn tidy(&self, fold: &Fold, chain: &[Part]) -> Result<(), QueryError> {
        let (shelf, now_ms) = (self.shelf(fold)?, clock::now_micros() / 1000);
        let replaced =
            |p: &Part| chain.iter().any(|c| c.from <= p.from && p.to <= c.to && (c.from, c.to) != (p.from, p.to));
        for meta in shelf.list().await? {
            let is_old = meta.last_modified.timestamp_millis() + KEPT_MS < now_ms;
            if is_old && Part::of(&meta).is_some_and(|part| replaced(&part)) {
                shelf.let_go(&meta).await;
            }
        }
        Ok(())
    }
}

impl Part {
    fn file(&self) -> String {
        format!("{}-{}.parquet", self.from, self.to)
    }

    /// The part that a file is, by its name.
    fn of(meta: &object_store::ObjectMeta) -> Option<Self> {
        let (from, to) = meta.location.filename()?.strip_suffix(".parquet")?.split_once('-')?;
        Some(Self { from: from.parse().ok()?, to: to.parse().ok()?, bytes: meta.size })
    }
}

/// Parts that tile the versions after `from` as far as they reach, the longest first where several begin at one version.
fn tile(parts: &[Part], from: i64, version: i64) -> Vec<Part> {
    let mut chain: Vec<Part> = Vec::new();
    loop {
        let at = chain.last().map_or(from, |p| p.to);
        let next = parts.iter().filter(|p| p.from == at && p.to > at && p.to <= version).max_by_key(|p| p.to);
        match next {
            Some(part) => chain.push(part.clone()),
            None => return chain,
        }
    }
}

/// From which part on the chain should become one: where everything after it has grown as large as it is.
fn worth_merging(chain: &[Part]) -> Option<usize> {
    if chain.len() <= PARTS_MAX {
        return None;
    }
    let after = |i: usize| chain[i + 1..].iter().map(|p| p.bytes).sum::<u64>();
    let start = (0..chain.len() - 1).find(|i| chain[*i].bytes <= after(*i));
    // Shrinking sizes, each larger than all after it: merge the small end, which costs least.
    Some(start.unwrap_or(chain.len() - 2))
}

/// Whether a file was not where the log said it would be.
fn is_gone(error: &QueryError) -> bool {
    let QueryError::Sql(error) = error else { return false };
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if matches!(cause.downcast_ref::<object_store::Error>(), Some(object_store::Error::NotFound { .. })) {
            return true;
        }
        source = cause.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(from: i64, to: i64, bytes: u64) -> Part {
        Part { from, to, bytes }
    }

    #[test]
    fn a_chain_tiles_from_the_beginning() {
        let parts = [part(0, 3, 9), part(3, 5, 1), part(0, 5, 9), part(5, 9, 1), part(4, 9, 1), part(9, 12, 1)];
        let spans = |version| tile(&parts, 0, version).iter().map(|p| (p.from, p.to)).collect::<Vec<_>>();
        assert_eq!(spans(9), [(0, 5), (5, 9)]);
        assert_eq!(spans(4), [(0, 3)]);
        assert_eq!(spans(2), []);
    }

    #[test]
    fn a_large_part_is_left_alone_until_the_rest_has_grown() {
        let mut chain = vec![part(0, 1, 1_000_000)];
        let mut written = 0;
        for version in 1..1_000 {
            chain.push(part(version, version + 1, 1_000));
            if let Some(start) = worth_merging(&chain) {
                let bytes = chain[start..].iter().map(|p| p.bytes).sum();
                written += bytes;
                let from = chain[start].from;
                chain.truncate(start);
                chain.push(part(from, version + 1, bytes));
            }
            assert!(chain.len() <= PARTS_MAX + 1);
        }
        assert!(written < 12_000_000, "merging wrote {written} bytes for 1,000,000 new ones");
    }
}
