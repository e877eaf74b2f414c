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
mod kept;
pub mod lifecycle;
pub mod log;
pub mod policy_views;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use datafusion::arrow::array::{Array as _, AsArray as _, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use datafusion::prelude::SessionContext;
use serde_json::{Map, Value, json};

use catalog::{Catalog, Detector};
use frame::{Frame, Nominated};
use lifecycle::{Change, Compared, Moment, Terms, Transition};
use log::{Log, Run};
use policy_views::Asked;

use crate::clock;
use crate::finding::{Evidence, Finding, Severity, Verdict};
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
    /// Make folds from the events, and use nothing that earlier runs kept.
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

/// Up to this many events, a full run lets every detector see all of them.
const WIDE_ROWS_MAX: u64 = 1_000_000;

/// How often a run compares again because another wrote findings first.
const ATTEMPTS_MAX: u32 = 20;

/// What detectors say of one version of the lake, whatever was found before; nothing is recorded.
///
/// # Errors
/// As for [`run`].
pub async fn look(
    lake: &Lake,
    policy: &Policy,
    catalog: &Catalog,
    request: &Request,
) -> Result<Vec<Outcome>, DetectError> {
    let as_of = request.as_of.unwrap_or_else(clock::now_micros);
    let state = lake.events().refresh().await?;
    let detectors = catalog.select(&request.ids)?;
    let frame = Frame::open(lake, &state, asked(policy, catalog), as_of, request.full).await?;
    Ok(judge(&frame, &detectors, as_of, false).await)
}

fn asked<'a>(policy: &'a Policy, catalog: &'a Catalog) -> Asked<'a> {
    Asked::by(policy, catalog.all().iter().map(|detector| detector.text.as_str()).collect())
}

/// Runs detectors and records what changed.
///
/// # Errors
/// What stops the whole run. A detector that fails does not: its outcome says why.
pub async fn run(lake: &Lake, policy: &Policy, catalog: &Catalog, request: &Request) -> Result<Report, DetectError> {
    let at = clock::now_micros();
    let as_of = request.as_of.unwrap_or(at);
    let mut watch = Watch::start();
    let state = lake.events().refresh().await?;
    let detectors = catalog.select(&request.ids)?;
    let frame = Frame::open(lake, &state, asked(policy, catalog), as_of, request.full).await?;
    watch.lap("frame");
    // Over few events a full run also shows that nominating leaves nothing out; over many it would sort them all.
    let rows: u64 = state.files.values().map(|file| file.rows).sum();
    let outcomes = judge(&frame, &detectors, as_of, request.full && rows <= WIDE_ROWS_MAX).await;
    watch.lap("detectors");
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
        let Compared { transitions, open } = compare(&log, &detectors, &outcomes, policy, &run);
        if recorded && !log.record(&run, &transitions).await? {
            continue;
        }
        if recorded {
            log.record_run(&run, &summary(&outcomes)).await?;
        }
        watch.lap("findings log");
        let report = Report { run_id: run.id, as_of, version: state.version, outcomes, transitions, open, recorded };
        return Ok(report);
    }
    Err(LakeError::Contended(format!("{}findings", lake.uri()), ATTEMPTS_MAX).into())
}

/// Says where the time of a run goes, to whoever asks for debug messages.
struct Watch(i64);

impl Watch {
    fn start() -> Self {
        Self(clock::now_micros())
    }

    fn lap(&mut self, what: &str) {
        let now = clock::now_micros();
        tracing::debug!(milliseconds = (now - self.0) / 1000, "{what}");
        self.0 = now;
    }
}

/// Every detector's rows. Nominating detectors share one scan of the rows of all grants they name.
async fn judge(frame: &Frame<'_>, detectors: &[&Detector], as_of: i64, wide: bool) -> Vec<Outcome> {
    let mut watch = Watch::start();
    let mut failures: HashMap<&str, String> = HashMap::new();
    let (mut grants, mut hosts) = (BTreeSet::new(), BTreeSet::new());
    let mut about: HashMap<&str, About> = HashMap::new();
    for detector in detectors {
        let mistakes = check::mistakes(frame.wide(), detector).await;
        if !mistakes.is_empty() {
            failures.insert(&detector.id, format!("{}: {}", detector.file, mistakes.join("; ")));
            continue;
        }
        let nominated = match detector.header.nominate.as_ref().filter(|_| !wide) {
            Some(sql) => frame.nominated(sql).await,
            None => continue,
        };
        match nominated {
            Ok(Nominated::Grants(names)) => {
                grants.extend(names);
                about.insert(&detector.id, About::Grants);
            }
            Ok(Nominated::Hosts(names)) => {
                hosts.extend(names);
                about.insert(&detector.id, About::Hosts);
            }
            Err(error) => {
                failures.insert(&detector.id, format!("{}: nominate: {error}", detector.file));
            }
        }
    }
    watch.lap("checks and nominations");
    let wanted = |what: About| about.values().any(|a| *a == what);
    let of_grants = narrow(frame, wanted(About::Grants), Nominated::Grants(grants.into_iter().collect())).await;
    watch.lap("rows of nominated grants");
    let of_hosts = narrow(frame, wanted(About::Hosts), Nominated::Hosts(hosts.into_iter().collect())).await;
    watch.lap("contexts of nominated hosts");
    let mut outcomes = Vec::with_capacity(detectors.len());
    for detector in detectors {
        let session = match about.get(detector.id.as_str()) {
            None => Ok(frame.wide()),
            Some(About::Grants) => of_grants.as_ref(),
            Some(About::Hosts) => of_hosts.as_ref(),
        };
        let verdicts = match (failures.remove(detector.id.as_str()), session) {
            (Some(failure), _) => Err(failure),
            (None, Err(error)) => Err(format!("{}: {error}", detector.file)),
            (None, Ok(session)) => verdicts(session, detector, as_of).await,
        };
        watch.lap(&detector.id);
        outcomes.push(Outcome { detector: detector.id.clone(), verdicts });
    }
    outcomes
}

/// What a detector nominates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    Grants,
    Hosts,
}

async fn narrow(frame: &Frame<'_>, wanted: bool, nominated: Nominated) -> Result<SessionContext, QueryError> {
    if wanted { frame.narrow(&nominated).await } else { Ok(frame.wide().clone()) }
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
        return Err(format!("{}: two rows for one key {}", detector.file, Value::Object(Map::clone(&pair[0].key))));
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
    let id: Arc<str> = detector.id.as_str().into();
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
            detector: id.clone(),
            key: Arc::new(key),
            severity,
            violated_at: violated.value(row),
            resolved_at: resolved.is_valid(row).then(|| resolved.value(row)),
            evidence: Evidence::new(&evidence, &detector.header.ticking),
        });
    }
    Ok(verdicts)
}

/// What changed and what is open. Findings of a detector that failed are left as they are.
fn compare(log: &Log, detectors: &[&Detector], outcomes: &[Outcome], policy: &Policy, run: &Run) -> Compared {
    let moment = Moment { as_of: run.as_of, at: run.at, version: run.version };
    let none = HashMap::new();
    let mut all = Compared::default();
    for (detector, outcome) in detectors.iter().zip(outcomes) {
        let present = log.present.get(detector.id.as_str()).unwrap_or(&none);
        match &outcome.verdicts {
            Ok(verdicts) => {
                let terms = Terms { resolved_when_gone: &detector.header.resolved_when_gone };
                let compared = lifecycle::compare(present, verdicts, policy.exceptions(), terms, moment);
                all.transitions.extend(compared.transitions);
                all.open.extend(compared.open);
            }
            Err(_) => {
                let mut still: Vec<Finding> = present.values().filter(|f| f.is_open()).cloned().collect();
                still.sort_by(|a, b| a.id.cmp(&b.id));
                all.open.extend(still);
            }
        }
    }
    all
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
