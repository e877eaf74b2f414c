//! Grants that are settled: what is said of them cannot change any more, so that a pass need not look at them.
//!
//! A grant is settled when it has ended, and neither its last event nor its expiry is younger than the horizon: longer ago
//! than any duration of the policy and any history that a detector looks back on. A recorded run leaves a base: the version
//! and the moment it looked at, and the fold rows of all grants that were not settled then. The next run goes on from
//! there: it judges those grants, the ones that newer rows belong to, and settled ones that newer rows concern (an offboarding
//! that is told late, a reinstatement; not one of today, for they were over before it); all other
//! findings are carried over as they are. Where that would not do (rows older than the horizon, another policy, a look
//! at the past), the run looks at everything, as the first one did.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::folds::Fold;
use super::shelf::Shelf;
use crate::event::hex;
use crate::event::time::DAY;
use crate::lake::{Lake, LakeError};
use crate::policy::Policy;
use crate::query::{QueryError, Rows};

/// Rows that came later than this after the longest duration of the policy make a run look at everything.
const LATE: i64 = 2 * DAY;
/// The longest history a detector looks back on, from the events that late rows may change: 29 days of an hour that it
/// judges, 28 of those that rose in common in them, and two of grace.
pub const HISTORY: i64 = 59 * DAY;
/// A base that nobody went on from for so long does not hold up the merging of folds.
const FENCE_MS: i64 = 7 * 86_400_000;

/// What a run left for the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Of the events.
    pub version: i64,
    /// What the run took for now, microseconds UTC.
    pub as_of: i64,
    /// Version of the findings log it compared with.
    pub findings: i64,
    /// Since when each source records the issuing of tokens.
    pub issuers: BTreeMap<String, i64>,
    /// Whether some token was met without its family.
    pub has_lone_tokens: bool,
}

impl Base {
    /// Rows of this time or later may come without changing what is settled.
    pub fn late_before(&self, policy: &Policy) -> i64 {
        self.as_of.saturating_sub(policy.longest().saturating_add(LATE))
    }

    fn name(&self) -> String {
        format!("{}-{}", self.version, self.as_of)
    }
}

/// From when on an event keeps its grant from being settled, for a run at `as_of`.
pub fn horizon(policy: &Policy, as_of: i64) -> i64 {
    as_of.saturating_sub(policy.longest().saturating_add(LATE + HISTORY + 2 * DAY))
}

/// The bases of one lake for one policy, catalog and choice of detectors.
#[derive(Debug)]
pub struct Bases {
    shelf: Shelf,
}

impl Bases {
    /// `made_with`: hash of the policy, the queries, views and folds.
    pub fn new(lake: &Lake, made_with: &str, ids: &[String]) -> Result<Self, QueryError> {
        let mut hash = Sha256::new();
        for text in std::iter::once(made_with).chain(ids.iter().map(String::as_str)) {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        Ok(Self { shelf: Shelf::new(lake, &format!("base-{}", hex(&hash.finalize()[..8])))? })
    }

    /// The newest that a run at this version and moment can go on from.
    pub async fn newest(&self, version: i64, as_of: i64) -> Result<Option<Base>, QueryError> {
        let mut named: Vec<((i64, i64), String)> = Vec::new();
        for meta in self.shelf.list().await? {
            let name = meta.location.filename().and_then(|n| n.strip_suffix(".json")).map(str::to_owned);
            let stood = name.and_then(|n| Some((stood(&n)?, n)));
            named.extend(stood.filter(|((at, looked), _)| *at <= version && *looked <= as_of));
        }
        let Some((_, name)) = named.into_iter().max() else { return Ok(None) };
        let bytes = self.shelf.get(&format!("{name}.json")).await?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// The rows of a fold that a base has.
    pub async fn rows(
        &self,
        context: &SessionContext,
        base: &Base,
        fold: &Fold,
    ) -> Result<Arc<dyn TableProvider>, QueryError> {
        let options = ParquetReadOptions::default().schema(&fold.schema);
        Ok(context.read_parquet(self.shelf.url(&file(base, fold)), options).await?.into_view())
    }

    /// Leaves a base; its file of numbers comes last, and says that the rows are all there.
    pub async fn leave(&self, base: &Base, folds: Vec<(&Fold, Rows)>) -> Result<(), QueryError> {
        for (fold, rows) in folds {
            let properties = fold.properties().set_compression(Compression::LZ4_RAW).build();
            let mut writer =
                ArrowWriter::try_new(Vec::new(), rows.schema.clone(), Some(properties)).map_err(LakeError::from)?;
            for batch in &rows.batches {
                writer.write(batch).map_err(LakeError::from)?;
            }
            self.shelf.put(&file(base, fold), writer.into_inner().map_err(LakeError::from)?.into()).await?;
        }
        let name = base.name();
        let json = serde_json::to_vec(base).map_err(|e| LakeError::Log(name.clone(), e.to_string()))?;
        self.shelf.put(&format!("{name}.json"), json.into()).await?;
        self.shelf.tidy(&name).await
    }
}

fn file(base: &Base, fold: &Fold) -> String {
    format!("{}-{}.parquet", base.name(), fold.id())
}

/// Version and moment, from the name of a base.
fn stood(name: &str) -> Option<(i64, i64)> {
    let (version, as_of) = name.split_once('-')?;
    Some((version.parse().ok()?, as_of.parse().ok()?))
}

/// Forgets all bases: the next run looks at everything.
pub async fn forget(lake: &Lake) -> Result<(), QueryError> {
    Shelf::new(lake, "")?.clear("base-").await
}

/// Versions that runs will go on from; parts of folds that meet there are not merged.
pub async fn fences(lake: &Lake, now_ms: i64) -> Result<Vec<i64>, QueryError> {
    let all = Shelf::new(lake, "")?.list().await?;
    let recent = all.iter().filter(|meta| meta.last_modified.timestamp_millis() + FENCE_MS > now_ms);
    let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
    for meta in recent {
        let Some((folder, name)) = meta.location.as_ref().rsplit_once('/') else { continue };
        let is_base = folder.rsplit_once('/').is_some_and(|(_, folder)| folder.starts_with("base-"));
        if let Some((version, _)) = name.strip_suffix(".json").and_then(stood).filter(|_| is_base) {
            newest.entry(folder).and_modify(|it| *it = version.max(*it)).or_insert(version);
        }
    }
    Ok(newest.into_values().collect())
}
