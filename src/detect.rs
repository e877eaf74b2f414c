//! Detectors over folds: which grants, hosts and devices break which rule, and what changed since the last run.
//!
//! A run looks at one version of the lake, one policy and one `as_of`; its rows follow from these three alone. Folds bring
//! it there at the cost of what is new ([`folds`]), a [`frame`] shows them to SQL, and [`lifecycle`] compares the rows with
//! the findings there were.

pub mod catalog;
pub mod check;
pub mod folds;
pub mod frame;
pub mod header;
pub mod lifecycle;
pub mod log;
mod policy_views;

use std::collections::{HashMap, HashSet};

use datafusion::arrow::array::{Array as _, AsArray as _, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use datafusion::prelude::SessionContext;
use serde_json::{Map, Value, json};

use catalog::{Catalog, Detector};
use frame::Frame;
use lifecycle::{Change, Moment, Terms, Transition};
use log::{Log, Run};

use crate::clock;
use crate::finding::{Finding, Severity, State, Verdict};
use crate::lake::{Lake, LakeError};
use crate::policy::Policy;
use crate::query::{QueryError, output};

/// What a run is asked to do.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Detectors to run; all if empty.
    pub ids: Vec<String>,
    /// What to take for now, microseconds UTC; the wall clock if not given.
    pub as_of: Option<i64>,
    /// Make folds from the events and judge over all of them, instead of using what is kept.
    pub full: bool,
}

/// What one detector came to.
#[derive(Debug)]
pub struct Outcome {
    pub detector: String,
    /// Its rows, or why there are none.
    pub verdicts: Result<Vec<Verdict>, String>,
}

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    pub run_id: String,
    pub as_of: i64,
    pub version: i64,
    pub outcomes: Vec<Outcome>,
    /// What changed.
    pub transitions: Vec<Transition>,
    /// What is open, acked and suppressed ones included, by detector and key.
    pub open: Vec<Finding>,
    /// Whether the findings log took it up. A look at the past changes nothing there.
    pub recorded: bool,
}

/// Why there is no report at all.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    #[error(transparent)]
    Catalog(#[from] catalog::CatalogError),
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error(transparent)]
    Query(#[from] QueryError),
}

/// How often a run compares again because another wrote findings first.
const ATTEMPTS_MAX: u32 = 20;

/// Runs detectors and records what changed.
///
/// # Errors
/// What stops the whole run. A detector that fails does not: its outcome says why.
pub async fn run(lake: &Lake, policy: &Policy, catalog: &Catalog, request: &Request) -> Result<Report, DetectError> {
    let at = clock::now_micros();
    let as_of = request.as_of.unwrap_or(at);
    let state = lake.events().refresh().await?;
    let detectors = catalog.select(&request.ids)?;
    let frame = Frame::open(lake, &state, policy, as_of, request.full).await?;
    let outcomes = judge(&frame, &detectors, as_of, request.full).await;
    let run = Run {
        id: uuid::Uuid::new_v4().to_string(),
        as_of,
        at,
        version: state.version,
        positions: state.positions.clone(),
        policy_hash: policy.hash(),
        policy_text: policy.text().to_owned(),
        queries_hash: catalog.hash(),
    };
    for _ in 0..ATTEMPTS_MAX {
        let log = Log::open(lake, frame.wide()).await?;
        let recorded = log.last_as_of.is_none_or(|last| as_of >= last || last > at);
        let (transitions, open) = compare(&log, &detectors, &outcomes, policy, &run);
        if recorded && !log.record(&run, &transitions).await? {
            continue;
        }
        if recorded {
            log.record_run(&run, &summary(&outcomes)).await?;
        }
        let report = Report { run_id: run.id, as_of, version: state.version, outcomes, transitions, open, recorded };
        return Ok(report);
    }
    Err(LakeError::Contended(format!("{}findings", lake.uri()), ATTEMPTS_MAX).into())
}

/// Every detector's rows. Nominating detectors share one scan of the rows of all grants they name.
async fn judge(frame: &Frame<'_>, detectors: &[&Detector], as_of: i64, full: bool) -> Vec<Outcome> {
    let mut failures: HashMap<&str, String> = HashMap::new();
    let mut nominated: HashSet<String> = HashSet::new();
    for detector in detectors {
        let mistakes = check::mistakes(frame.wide(), detector).await;
        if !mistakes.is_empty() {
            failures.insert(&detector.id, format!("{}: {}", detector.file, mistakes.join("; ")));
            continue;
        }
        if let Some(sql) = detector.header.nominate.as_ref().filter(|_| !full) {
            match frame.nominated(sql).await {
                Ok(grants) => nominated.extend(grants),
                Err(error) => {
                    failures.insert(&detector.id, format!("{}: nominate: {error}", detector.file));
                }
            }
        }
    }
    let mut grants: Vec<String> = nominated.into_iter().collect();
    grants.sort_unstable();
    let narrow = if full { Ok(None) } else { frame.narrow(&grants).await };
    let mut outcomes = Vec::with_capacity(detectors.len());
    for detector in detectors {
        let verdicts = match (failures.remove(detector.id.as_str()), &narrow) {
            (Some(failure), _) => Err(failure),
            (None, Err(error)) if detector.header.nominate.is_some() => Err(format!("{}: {error}", detector.file)),
            (None, Ok(Some(narrow))) if detector.header.nominate.is_some() => verdicts(narrow, detector, as_of).await,
            (None, _) => verdicts(frame.wide(), detector, as_of).await,
        };
        outcomes.push(Outcome { detector: detector.id.clone(), verdicts });
    }
    outcomes
}

async fn verdicts(context: &SessionContext, detector: &Detector, as_of: i64) -> Result<Vec<Verdict>, String> {
    let named = |error: QueryError| format!("{}: {error}", detector.file);
    let frame = check::plan(context, detector, &detector.sql, as_of).await.map_err(named)?;
    let batches = frame.collect().await.map_err(|e| named(e.into()))?;
    let mut verdicts = Vec::new();
    for batch in &batches {
        verdicts.extend(read(detector, batch).map_err(|e| format!("{}: {e}", detector.file))?);
    }
    verdicts.sort_by_cached_key(|v| v.key.values().map(output::text).collect::<Vec<_>>());
    if let Some(pair) = verdicts.windows(2).find(|pair| pair[0].key == pair[1].key) {
        return Err(format!("{}: two rows for one key {}", detector.file, Value::Object(pair[0].key.clone())));
    }
    Ok(verdicts)
}

/// A detector's result rows as verdicts.
fn read(detector: &Detector, batch: &RecordBatch) -> Result<Vec<Verdict>, String> {
    let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let times = |name: &str| {
        let column = batch.column_by_name(name).ok_or_else(|| format!("the result has no column {name}"))?;
        cast(column, &micros).map_err(|e| e.to_string())
    };
    let (violated, resolved) = (times("violated_at")?, times("resolved_at")?);
    let (violated, resolved) =
        (violated.as_primitive::<TimestampMicrosecondType>(), resolved.as_primitive::<TimestampMicrosecondType>());
    let mut verdicts = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        let mut evidence = output::object(batch, row);
        let mut key = Map::new();
        for name in &detector.header.key {
            match evidence.shift_remove(name) {
                None | Some(Value::Null) => return Err(format!("row {row}: key column {name} is null")),
                Some(value) => key.insert(name.clone(), value),
            };
        }
        let severity = match evidence.shift_remove("severity") {
            None | Some(Value::Null) => detector.header.severity,
            Some(value) => {
                let text = output::text(&value);
                Severity::parse(&text).ok_or_else(|| format!("row {row}: severity {text:?} is none"))?
            }
        };
        evidence.shift_remove("violated_at");
        evidence.shift_remove("resolved_at");
        if violated.is_null(row) {
            return Err(format!("row {row}: violated_at is null"));
        }
        verdicts.push(Verdict {
            detector: detector.id.clone(),
            key,
            severity,
            violated_at: violated.value(row),
            resolved_at: resolved.is_valid(row).then(|| resolved.value(row)),
            evidence,
        });
    }
    Ok(verdicts)
}

/// What changed and what is open, over the detectors that ran and did not fail.
fn compare(
    log: &Log,
    detectors: &[&Detector],
    outcomes: &[Outcome],
    policy: &Policy,
    run: &Run,
) -> (Vec<Transition>, Vec<Finding>) {
    let mut by_detector: HashMap<&str, HashMap<String, Finding>> = HashMap::new();
    for finding in log.present.values() {
        by_detector.entry(&finding.verdict.detector).or_default().insert(finding.id.clone(), finding.clone());
    }
    let moment = Moment { as_of: run.as_of, at: run.at, version: run.version };
    let (mut changes, mut open) = (Vec::new(), Vec::new());
    for (detector, outcome) in detectors.iter().zip(outcomes) {
        let mut present = by_detector.remove(detector.id.as_str()).unwrap_or_default();
        if let Ok(verdicts) = &outcome.verdicts {
            let terms =
                Terms { ticking: &detector.header.ticking, resolved_when_gone: &detector.header.resolved_when_gone };
            let new = lifecycle::transitions(&present, verdicts, policy.exceptions(), terms, moment);
            for transition in &new {
                present.insert(transition.finding.id.clone(), transition.finding.clone());
            }
            changes.extend(new);
        }
        let mut still: Vec<Finding> = present
            .into_values()
            .filter(|f| matches!(f.state, State::Open | State::Acked | State::Suppressed))
            .collect();
        still.sort_by_cached_key(|f| f.verdict.key.values().map(output::text).collect::<Vec<_>>());
        open.extend(still);
    }
    (changes, open)
}

/// What each detector came to, for the record of runs.
fn summary(outcomes: &[Outcome]) -> Value {
    outcomes
        .iter()
        .map(|outcome| match &outcome.verdicts {
            Ok(rows) => json!({ "detector": outcome.detector, "rows": rows.len() }),
            Err(reason) => json!({ "detector": outcome.detector, "failed": reason }),
        })
        .collect()
}

impl Report {
    /// Detectors that failed, with file and reason.
    pub fn failures(&self) -> impl Iterator<Item = (&str, &str)> {
        self.outcomes.iter().filter_map(|o| Some((o.detector.as_str(), o.verdicts.as_ref().err()?.as_str())))
    }

    /// How many findings changed in this way.
    pub fn count(&self, change: Change) -> usize {
        self.transitions.iter().filter(|t| t.change == change).count()
    }
}
