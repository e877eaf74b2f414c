//! Detectors over folds: which grants, hosts and devices break which rule, and what changed since the last run.
//!
//! A run looks at one version of the lake, one policy and one `as_of`; its rows follow from these three alone. Folds bring
//! it there at the cost of what is new ([`folds`]), a [`frame`] shows them to SQL, and [`lifecycle`] compares the rows with
//! the findings there were.

mod absence;
pub mod catalog;
pub mod check;
pub mod cut;
pub mod explain;
pub mod feeds;
pub mod folds;
pub mod frame;
pub mod header;
mod judge;
mod kept;
pub mod lifecycle;
pub mod log;
pub mod news;
pub mod policy_views;
pub mod reads;
pub mod retention;
pub mod runs;
pub mod settled;
pub mod shelf;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub use absence::GAPS;
use catalog::{Catalog, Detector};
use cut::Cut;
use folds::Fold;
use folds::store::{Rebuilt, Store};
use frame::{Footing, Frame, Reach};
use judge::judge;
use lifecycle::{Change, Compared, Moment, Terms, Transition};
use log::Log;
use policy_views::Asked;
use runs::{Came, MadeWith, Run};
use settled::Bases;

use crate::clock;
use crate::finding::{Finding, Verdict};
use crate::lake::table::State;
use crate::lake::{Lake, LakeError};
use crate::policy::Policy;
use crate::query::QueryError;

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

/// What a look is asked for that records nothing.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// Detectors to run; all if empty.
    pub ids: &'a [String],
    pub span: Span,
}

/// What is judged: the events up to a moment.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Leave out what was resolved by then, microseconds UTC.
    pub since: Option<i64>,
    /// What to take for now, microseconds UTC.
    pub as_of: i64,
}

impl Span {
    /// Everything there was until then.
    pub fn until(as_of: i64) -> Self {
        Self { since: None, as_of }
    }

    /// Whether a verdict is of something that was still so after the beginning.
    fn has(self, verdict: &Verdict) -> bool {
        self.since.is_none_or(|since| verdict.resolved_at.is_none_or(|at| at > since))
    }
}

/// What one detector came to.
#[derive(Debug)]
pub struct Outcome {
    pub detector: String,
    /// Time spent on its own questions; those that wait for each other overlap.
    pub took: Duration,
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
    /// How many grants it looked at, going on from a run before; `None`: all there are.
    pub looked_at: Option<usize>,
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
    let span = Span::until(request.as_of.unwrap_or_else(clock::now_micros));
    let state = lake.events().refresh().await?;
    let detectors = catalog.select(&request.ids)?;
    let frame = Frame::open(lake, &state, asked(policy, catalog, &detectors), span, Reach::of(request)).await?;
    all_said(&frame, catalog, &detectors, span, request.full && is_small(&state)).await
}

/// Over few events a full run also shows that nominating leaves nothing out; over many it would sort them all.
fn is_small(state: &State) -> bool {
    state.rows() <= WIDE_ROWS_MAX
}

/// What detectors say of a frame, marked where something they rest on may not have been delivered.
async fn all_said(
    frame: &Frame<'_>,
    catalog: &Catalog,
    detectors: &[&Detector],
    span: Span,
    wide: bool,
) -> Result<Vec<Outcome>, DetectError> {
    let mut outcomes = judge(frame, detectors, span, wide).await;
    absence::mark(frame.wide(), catalog, detectors, &mut outcomes, span.as_of).await?;
    // Not before: what is still so may rest on a silence that was over by then.
    for verdicts in outcomes.iter_mut().filter_map(|outcome| outcome.verdicts.as_mut().ok()) {
        verdicts.retain(|verdict| span.has(verdict));
    }
    Ok(outcomes)
}

/// What detectors say of the rows within a cut, wherever the lake has gone since; nothing is recorded.
///
/// # Errors
/// As for [`run`].
pub async fn repeat(
    lake: &Lake,
    policy: &Policy,
    catalog: &Catalog,
    ids: &[String],
    as_of: i64,
    cut: Cut,
) -> Result<Vec<Outcome>, DetectError> {
    let state = lake.events().refresh().await?;
    let look = Look { ids, span: Span::until(as_of) };
    seen(lake, &state, policy, catalog, look, Reach::Cut(cut)).await
}

/// What detectors say of a state of the lake as far as `reach` shows it; nothing is recorded.
///
/// # Errors
/// As for [`run`].
pub async fn seen(
    lake: &Lake,
    state: &State,
    policy: &Policy,
    catalog: &Catalog,
    look: Look<'_>,
    reach: Reach,
) -> Result<Vec<Outcome>, DetectError> {
    let detectors = catalog.select(look.ids)?;
    let frame = Frame::open(lake, state, asked(policy, catalog, &detectors), look.span, reach).await?;
    all_said(&frame, catalog, &detectors, look.span, false).await
}

/// Makes every fold again from all events, about `at_once` of them at a time, and forgets the rows kept for detectors; gives
/// each fold's name and outcome, which `at_once` does not change.
///
/// # Errors
/// The first that could not be made.
pub async fn rebuild(lake: &Lake, policy: &Policy, at_once: u64) -> Result<Vec<(&'static str, Rebuilt)>, DetectError> {
    let state = lake.events().refresh().await?;
    let store = Store::new(lake).await?.folding(at_once);
    let mut folds = Fold::all(policy).await.map_err(QueryError::from)?;
    folds.push(Fold::aliases().await.map_err(QueryError::from)?);
    let folds: Vec<&Fold> = folds.iter().collect();
    let rebuilt = store.rebuild(&folds, &state).await?;
    kept::forget(lake).await?;
    settled::forget(lake).await?;
    Ok(folds.iter().map(|fold| fold.name).zip(rebuilt).collect())
}

/// What some detectors ask for, and the one that says where others rest on silence.
fn asked<'a>(policy: &'a Policy, catalog: &'a Catalog, detectors: &[&'a Detector]) -> Asked<'a> {
    let resting: Vec<&Detector> = detectors.iter().copied().filter(|one| one.header.absence.is_some()).collect();
    let gaps = catalog.find(absence::GAPS).ok().filter(|_| !resting.is_empty());
    // Marking reads a view of its own.
    let marks = resting.into_iter().map(|detector| absence::seen_in(detector).1);
    // Not their prose, which has the names of much that they do not read.
    let questions =
        detectors.iter().copied().chain(gaps).flat_map(|detector| {
            [Some(detector.sql.as_str()), detector.header.nominate.as_deref()].into_iter().flatten()
        });
    Asked::by(policy, questions.chain(marks).collect())
}

/// Runs detectors and records what changed.
///
/// # Errors
/// What stops the whole run. A detector that fails does not: its outcome says why.
pub async fn run(lake: &Lake, policy: &Policy, catalog: &Catalog, request: &Request) -> Result<Report, DetectError> {
    let mut watch = Watch::start();
    let state = lake.events().refresh().await?;
    // After the look at the lake: a row that came by a pipe has no position, and is in the cut if it was received by then.
    let at = clock::now_micros();
    let as_of = request.as_of.unwrap_or(at);
    let detectors = catalog.select(&request.ids)?;
    let run = Run {
        id: uuid::Uuid::new_v4().to_string(),
        as_of,
        at,
        version: state.version,
        positions: state.positions.clone(),
        policy_hash: policy.hash(),
        queries_hash: catalog.hash(),
        made_with: MadeWith::now(policy, catalog).keep(lake).await?,
    };
    let mut log = Log::open(lake).await?;
    watch.lap("findings log");
    let bases = Arc::new(Bases::new(lake, &run.made_with, &request.ids)?);
    let past = if request.full { None } else { past(&bases, &log, &run, &detectors, policy).await? };
    let stood = past.as_ref().map(|past| (past.base.version, past.base.as_of));
    let reach = past.map_or_else(|| Reach::of(request), Reach::Since);
    let frame = Frame::open(lake, &state, asked(policy, catalog, &detectors), Span::until(as_of), reach).await?;
    watch.lap("frame");
    let mut outcomes =
        all_said(&frame, catalog, &detectors, Span::until(as_of), request.full && is_small(&state)).await?;
    watch.lap("detectors");
    for attempt in 0..ATTEMPTS_MAX {
        if attempt > 0 {
            let version = log.version();
            log = Log::open(lake).await?;
            // What is carried over would be theirs.
            if frame.scope().is_some() && log.others_wrote_since(version, &run).await? {
                return Box::pin(self::run(lake, policy, catalog, request)).await;
            }
        }
        if let Some(scope) = frame.scope() {
            for outcome in &mut outcomes {
                let present = log.present.get(outcome.detector.as_str());
                if let Ok(verdicts) = &mut outcome.verdicts {
                    scope.complete(verdicts, present.into_iter().flat_map(|all| all.values()), &log.gone);
                    judge::sort(verdicts);
                }
            }
        }
        let recorded = log.last_as_of.is_none_or(|last| as_of >= last || last > at);
        let Compared { transitions, open } = compare(&log, &detectors, &outcomes, policy, &run);
        if recorded && !log.record(&run, &transitions).await? {
            continue;
        }
        if recorded {
            log.record_run(&run, &came(&outcomes)).await?;
            let stands = stood == Some((state.version, as_of)) && frame.scope().is_some();
            if !stands && outcomes.iter().all(|outcome| outcome.verdicts.is_ok()) && is_apart(&detectors, policy) {
                leave(&frame, &bases, &log).await;
            }
        }
        watch.lap("recorded");
        let looked_at = frame.scope().map(|scope| scope.grants.len());
        let version = state.version;
        let report = Report { run_id: run.id, as_of, version, outcomes, transitions, open, looked_at, recorded };
        return Ok(report);
    }
    Err(LakeError::Contended(format!("{}findings", lake.uri()), ATTEMPTS_MAX).into())
}

/// Leaves a base for the next run. Without it that one looks at everything; this one is recorded all the same.
async fn leave(frame: &Frame<'_>, bases: &Bases, log: &Log) {
    if let Err(error) = frame.leave(bases, log.version()).await {
        tracing::warn!(%error, "the next run will look at everything: what it would go on from could not be kept");
    }
}

/// Where a run can go on from; `None`: it looks at everything.
async fn past(
    bases: &Arc<Bases>,
    log: &Log,
    run: &Run,
    detectors: &[&Detector],
    policy: &Policy,
) -> Result<Option<Footing>, DetectError> {
    if !is_apart(detectors, policy) {
        return Ok(None);
    }
    let Some(base) = bases.newest(run.version, run.as_of).await? else { return Ok(None) };
    // Under another policy other findings were opened and retracted, of settled grants too.
    if log.others_wrote_since(base.findings, run).await? {
        return Ok(None);
    }
    let found_subjects = log.subjects_found();
    Ok(Some(Footing { bases: bases.clone(), base, found_subjects }))
}

/// Whether what these detectors say of settled grants rests on nothing that newer rows of others, or time, could change.
fn is_apart(detectors: &[&Detector], policy: &Policy) -> bool {
    // Values that one grant gives to many: of a pair's smallest grant, of every user of a network.
    let shared = ["rate", "rate_factor", "steady_factor", "shared_asn_subjects"];
    // What somebody did under one name may count for what they do under another.
    policy.identities().is_empty()
        // Of a detector of the user's nobody knows how far it looks back.
        && detectors.iter().all(|detector| detector.is_built_in()) && !shared.iter().any(|key| policy.sets(key))
}

/// Says where the time goes, to whoever asks for debug messages.
pub struct Watch(i64);

impl Watch {
    /// Starts to count.
    pub fn start() -> Self {
        Self(clock::now_micros())
    }

    /// Says how long this took, since the last lap.
    pub fn lap(&mut self, what: &str) {
        let now = clock::now_micros();
        tracing::debug!(milliseconds = (now - self.0) / 1000, "{what}");
        self.0 = now;
    }
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
pub fn came(outcomes: &[Outcome]) -> Vec<Came> {
    let came = |outcome: &Outcome| {
        let (detector, took_ms) = (outcome.detector.clone(), u64::try_from(outcome.took.as_millis()).ok());
        match &outcome.verdicts {
            Ok(rows) => {
                let (rows, digest) = (Some(rows.len() as u64), Some(runs::digest(rows)));
                Came { detector, rows, digest, failed: None, took_ms }
            }
            Err(reason) => Came { detector, rows: None, digest: None, failed: Some(reason.clone()), took_ms },
        }
    };
    outcomes.iter().map(came).collect()
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
