//! The record of runs, and what each was made with: enough to repeat it years later.
//!
//! A run's row names the cut (how far each source had been read), `as_of`, and a document under LAKE/runs that holds the
//! policy and every query as they were, kept once under its hash. What each detector gave is recorded by number and
//! digest, so that a repetition can say whether it is the same to the row.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray as _, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutMode, PutOptions};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::catalog::{Catalog, CatalogError};
use super::cut::Cut;
use super::folds;
use super::log::{self, Log, number, text, time, times};
use crate::event::hex;
use crate::finding::Verdict;
use crate::identities::Identities;
use crate::lake::{Lake, LakeError};
use crate::policy::{Mistakes, Policy, PolicyError};
use crate::query::{self, QueryError, views};

pub(super) static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        text("run_id"),
        time("as_of"),
        time("at"),
        number("version"),
        text("positions"),
        text("policy_hash"),
        text("queries_hash"),
        text("made_with"),
        text("outcomes"),
    ]))
});

/// What a run is known by, in every row it writes.
#[derive(Clone, Debug, Default)]
pub struct Run {
    pub id: String,
    /// Microseconds UTC, as `at`: when it took place.
    pub as_of: i64,
    pub at: i64,
    /// Version of `events`, and how far each source had been read by then.
    pub version: i64,
    pub positions: BTreeMap<String, i64>,
    pub policy_hash: String,
    pub queries_hash: String,
    /// Hash of the document that holds policy and queries.
    pub made_with: String,
}

impl Run {
    /// How far each source had been read.
    pub fn cut(&self) -> Cut {
        Cut { positions: self.positions.clone(), at: self.at }
    }
}

/// What one detector came to in a recorded run. Equal where that is the same, however long it took.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Came {
    pub detector: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Equal where all rows are equal; see [`digest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// Time spent on its own questions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
}

impl PartialEq for Came {
    fn eq(&self, other: &Self) -> bool {
        let what = |came: &Self| (came.detector.clone(), came.rows, came.digest.clone(), came.failed.clone());
        what(self) == what(other)
    }
}

/// A query by name: a detector with its file, a view, a fold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Named {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    text: String,
}

/// Everything beside the events that decides a run's rows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MadeWith {
    /// Of this program.
    program: String,
    policy: Named,
    /// Who is who, if anybody has several names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identities: Option<String>,
    detectors: Vec<Named>,
    views: Vec<Named>,
    folds: Vec<Named>,
}

/// Why a recorded run cannot be repeated.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    #[error(
        "there is no run {0:?} in this lake: `tokentrail query \"SELECT run_id, as_of, at FROM detector_runs\"` lists them"
    )]
    NoRun(String),
    #[error("{0} runs begin with {1:?}: give more of the id")]
    Several(usize, String),
    #[error("run {0}: what it was made with is not in the lake any more ({1})")]
    Lost(String, String),
    #[error(
        "run {run} read the {what} {name:?} as it was in tokentrail {program}, and this build has another: repeat it with that version"
    )]
    Otherwise { run: String, what: &'static str, name: String, program: String },
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Identities(#[from] Mistakes),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Query(#[from] QueryError),
}

/// A recorded run, ready to be repeated.
#[derive(Debug)]
pub struct Recorded {
    pub run: Run,
    pub policy: Policy,
    pub catalog: Catalog,
    pub came: Vec<Came>,
}

impl MadeWith {
    /// The policy and queries of a run that begins now.
    pub fn now(policy: &Policy, catalog: &Catalog) -> Self {
        let named = |name: &str, text: &str| Named { name: name.to_owned(), file: None, text: text.to_owned() };
        let detectors = catalog.all().iter().map(|d| Named { file: Some(d.file.clone()), ..named(&d.id, &d.text) });
        Self {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            policy: named(policy.file_name(), policy.text()),
            identities: Some(policy.identities()).filter(|it| !it.is_empty()).map(|it| it.text().to_owned()),
            detectors: detectors.collect(),
            views: views::ALL.iter().map(|v| named(v.name, v.sql)).collect(),
            folds: folds::declared().map(|(name, sql)| named(name, sql)).collect(),
        }
    }

    fn document(&self) -> (String, Vec<u8>) {
        let bytes = serde_json::to_vec(self).unwrap_or_default(); // strings under fixed names: nothing to refuse
        (hex(&Sha256::digest(&bytes)), bytes)
    }

    /// Keeps the document in the lake, and gives its hash.
    pub async fn keep(&self, lake: &Lake) -> Result<String, QueryError> {
        let (hash, bytes) = self.document();
        let path = path(lake, &hash)?;
        let (store, _) = lake.events().root_store();
        let once = PutOptions::from(PutMode::Create);
        match store.put_opts(&path, bytes.into(), once).await {
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => Ok(hash),
            Err(cause) => Err(LakeError::Storage { doing: format!("writing {path}"), cause }.into()),
        }
    }

    async fn load(lake: &Lake, run: &Run) -> Result<Self, PastError> {
        let lost = |why: String| PastError::Lost(run.id.clone(), why);
        let path = path(lake, &run.made_with).map_err(QueryError::from)?;
        let (store, _) = lake.events().root_store();
        let got = store.get(&path).await.map_err(|e| lost(e.to_string()))?;
        let bytes = got.bytes().await.map_err(|e| lost(e.to_string()))?;
        if hex(&Sha256::digest(&bytes)) != run.made_with {
            return Err(lost(format!("{path} was changed")));
        }
        serde_json::from_slice(&bytes).map_err(|e| lost(e.to_string()))
    }

    /// Views and folds are part of the program; another build may read events otherwise.
    fn fits_this_build(&self, run: &Run) -> Result<(), PastError> {
        let ours = Self::now(&Policy::default(), &Catalog::default());
        for (what, then, now) in [("view", &self.views, &ours.views), ("fold", &self.folds, &ours.folds)] {
            let differs =
                then.iter().find(|named| !now.contains(named)).or_else(|| now.iter().find(|n| !then.contains(n)));
            if let Some(named) = differs {
                let (run, name, program) = (run.id.clone(), named.name.clone(), self.program.clone());
                return Err(PastError::Otherwise { run, what, name, program });
            }
        }
        Ok(())
    }
}

fn path(lake: &Lake, hash: &str) -> Result<Path, LakeError> {
    let base = Path::from_url_path(lake.uri().path())
        .map_err(|e| LakeError::Location(lake.uri().to_string(), e.to_string()))?;
    Ok(base.join("runs").join(format!("{hash}.json")))
}

/// A digest of rows that does not depend on their order, nor on evidence that changes with time alone.
///
/// It is the sum of the rows' own hashes modulo 2^128, so that it can be kept up as rows come and go.
pub fn digest<'v>(verdicts: impl IntoIterator<Item = &'v Verdict>) -> String {
    let sum = verdicts.into_iter().fold(0_u128, |sum, verdict| sum.wrapping_add(of_row(verdict)));
    format!("{sum:032x}")
}

fn of_row(verdict: &Verdict) -> u128 {
    let mut hash = Sha256::new();
    hash.update(verdict.id());
    hash.update(verdict.severity.as_str());
    hash.update(verdict.violated_at.to_le_bytes());
    hash.update(verdict.resolved_at.unwrap_or(i64::MIN).to_le_bytes());
    hash.update(verdict.evidence.digest());
    let bytes: [u8; 32] = hash.finalize().into();
    let mut first = [0; 16];
    first.copy_from_slice(&bytes[..16]);
    u128::from_le_bytes(first)
}

impl Log {
    /// Appends the record of a run.
    pub async fn record_run(&self, run: &Run, came: &[Came]) -> Result<(), QueryError> {
        let json = |value: &dyn Fn() -> serde_json::Result<String>| value().unwrap_or_default(); // maps of text: always JSON
        let texts = |value: &str| Arc::new(StringViewArray::from_iter_values([value])) as ArrayRef;
        let columns = vec![
            texts(&run.id),
            times(vec![Some(run.as_of)]),
            times(vec![Some(run.at)]),
            Arc::new(Int64Array::from(vec![run.version])) as ArrayRef,
            texts(&json(&|| serde_json::to_string(&run.positions))),
            texts(&run.policy_hash),
            texts(&run.queries_hash),
            texts(&run.made_with),
            texts(&json(&|| serde_json::to_string(came))),
        ];
        self.runs.append(RecordBatch::try_new(SCHEMA.clone(), columns).map_err(LakeError::from)?).await?;
        Ok(())
    }
}

/// The recorded run whose id begins so, with the policy and queries of its day.
///
/// # Errors
/// [`PastError`]: each names what is missing. A run that cannot be had is never an empty one.
pub async fn recorded(lake: &Lake, id: &str) -> Result<Recorded, PastError> {
    let mut found = find(lake, "starts_with(run_id, $wanted)", id).await?;
    let (run, came) = match found.len() {
        0 => return Err(PastError::NoRun(id.to_owned())),
        1 => found.remove(0),
        several => return Err(PastError::Several(several, id.to_owned())),
    };
    let (policy, catalog) = policy_and_queries(lake, &run).await?;
    Ok(Recorded { run, policy, catalog, came })
}

/// The policy and queries that a run was made with, from the document it names.
///
/// # Errors
/// [`PastError`]: the document is gone, was changed, or belongs to another build.
pub async fn policy_and_queries(lake: &Lake, run: &Run) -> Result<(Policy, Catalog), PastError> {
    let made_with = MadeWith::load(lake, run).await?;
    made_with.fits_this_build(run)?;
    let policy = match made_with.policy.text.as_str() {
        "" => Policy::default(),
        text => Policy::parse(&made_with.policy.name, text)?,
    };
    let identities = made_with.identities.as_deref().map(|text| Identities::parse("identities", text)).transpose()?;
    let policy = policy.with_identities(identities.unwrap_or_default());
    let files = made_with.detectors.into_iter().map(|d| (d.file.unwrap_or_default(), d.name, d.text));
    Ok((policy, Catalog::of(files)?))
}

/// How far each source had been read at a version that the log has forgotten, if a run saw it.
pub async fn positions_at(lake: &Lake, version: i64) -> Result<Option<(BTreeMap<String, i64>, i64)>, QueryError> {
    let found = find(lake, "CAST(version AS VARCHAR) = $wanted", &version.to_string()).await?;
    Ok(found.into_iter().next().map(|(run, _)| (run.positions, run.at)))
}

async fn find(lake: &Lake, condition: &str, wanted: &str) -> Result<Vec<(Run, Vec<Came>)>, QueryError> {
    let context = query::session(query::Limits::default())?;
    log::register(lake, &context).await?;
    if !context.table_exist("detector_runs")? {
        return Ok(Vec::new());
    }
    let sql = format!("SELECT * FROM detector_runs WHERE {condition} ORDER BY at, run_id");
    let value = query::ScalarValue::Utf8View(Some(wanted.to_owned()));
    let rows = query::collect(context.sql(&sql).await?.with_param_values(vec![("wanted", value)])?).await?;
    let mut runs = Vec::new();
    for batch in &rows.batches {
        for row in 0..batch.num_rows() {
            runs.push(
                read(batch, row)
                    .ok_or_else(|| LakeError::Log("detector_runs".to_owned(), "a row is broken".to_owned()))?,
            );
        }
    }
    Ok(runs)
}

fn read(batch: &RecordBatch, row: usize) -> Option<(Run, Vec<Came>)> {
    let text = |name: &str| Some(batch.column_by_name(name)?.as_string_view_opt()?.value(row).to_owned());
    let time =
        |name: &str| Some(batch.column_by_name(name)?.as_primitive_opt::<TimestampMicrosecondType>()?.value(row));
    let run = Run {
        id: text("run_id")?,
        as_of: time("as_of")?,
        at: time("at")?,
        version: batch.column_by_name("version")?.as_primitive_opt::<Int64Type>()?.value(row),
        positions: serde_json::from_str(&text("positions")?).ok()?,
        policy_hash: text("policy_hash")?,
        queries_hash: text("queries_hash")?,
        made_with: text("made_with")?,
    };
    let came: Value = serde_json::from_str(&text("outcomes")?).ok()?;
    Some((run, serde_json::from_value(came).ok()?))
}
