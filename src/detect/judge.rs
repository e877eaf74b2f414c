//! Judging: each detector asked for its rows, over as little of the lake as will do.
//!
//! A detector that nominates is judged on the rows of what it names. Those that name few share one read of them. Those that
//! name very many are judged portion by portion, grants in order, so that memory does not grow with what is wrong.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::array::{Array as _, AsArray as _, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use datafusion::prelude::SessionContext;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use serde_json::{Map, Value};

use super::catalog::Detector;
use super::frame::{Frame, LOOKUP_MAX, Nominated, nominated};
use super::header::Scope;
use super::kept::Begins;
use super::{Outcome, Span, Watch, check};
use crate::finding::{Evidence, Severity, Verdict};
use crate::query::{QueryError, output};

/// Rows of one detector; a company of 100,000 people has fewer.
const VERDICTS_MAX: usize = 5_000_000;

/// What a detector has come to so far.
type Standing = Result<Vec<Verdict>, String>;

/// Grants or hosts to look at closely, and the detectors (by place in the list) that are to see them.
#[derive(Debug, PartialEq, Eq)]
struct Portion {
    nominated: Nominated,
    /// Whether this is all that its detectors look at, and so worth keeping for later runs.
    is_whole: bool,
    /// Those that judge each grant (or host) by itself, and may see others' beside their own.
    detectors: Vec<usize>,
    /// Those that compare grants with each other: half of what another detector asked for would mislead them.
    alone: Vec<(usize, Vec<String>)>,
}

/// Every detector's rows; `wide`: nominating ones too see everything.
pub(super) async fn judge(frame: &Frame<'_>, detectors: &[&Detector], span: Span, wide: bool) -> Vec<Outcome> {
    let mut watch = Watch::start();
    let detectors: Vec<Arc<Detector>> = detectors.iter().map(|d| Arc::new(Detector::clone(d))).collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // Over everything each detector sorts all events, and over very many grants each works out all of them: two of that at
    // once are twice the memory, and one keeps all cores busy.
    let at_once = if wide || !frame.has_few_grants() { 1 } else { cores };
    let mut asked: Vec<BoxFuture<'static, Result<First, String>>> = Vec::with_capacity(detectors.len());
    for detector in &detectors {
        let (session, detector) = (frame.wide().clone(), detector.clone());
        asked.push(Box::pin(async move { first_question(&session, &detector, span, wide).await }));
    }
    let mut standing: Vec<Standing> = Vec::with_capacity(detectors.len());
    let mut nominations = Vec::new();
    let mut took = vec![Duration::ZERO; detectors.len()];
    for (place, (answer, time)) in side_by_side(asked, at_once).await.into_iter().enumerate() {
        took[place] += time;
        standing.push(match answer {
            Ok(Ok(First::Nominated(nominated))) => {
                tracing::debug!(detector = detectors[place].id, milliseconds = time.as_millis() as u64, "{nominated}");
                nominations.push((place, nominated, detectors[place].header.scope));
                Ok(Vec::new())
            }
            Ok(Ok(First::Judged(verdicts))) => Ok(verdicts),
            Ok(Err(reason)) | Err(reason) => Err(reason),
        });
    }
    watch.lap("first questions");
    let begins = frame.begins(very_many(&nominations, LOOKUP_MAX)).await;
    for portion in portions(nominations, LOOKUP_MAX, &begins) {
        let close_up = frame.close_up(&portion.nominated, portion.is_whole).await;
        watch.lap(&format!("rows of {}", portion.nominated));
        let together = (portion.detectors, portion.nominated.grants().to_vec());
        let alone = portion.alone.into_iter().map(|(place, names)| (vec![place], names));
        let mut places_of_work = Vec::new();
        let mut work: Vec<BoxFuture<'static, Standing>> = Vec::new();
        for (places, names) in std::iter::once(together).chain(alone) {
            let session = match &close_up {
                Ok(_) if places.is_empty() => continue,
                Ok(close_up) => frame.narrow(close_up, &names).await.map_err(|e| e.to_string()),
                Err(error) => Err(error.to_string()),
            };
            for place in places {
                let (session, detector) = (session.clone(), detectors[place].clone());
                places_of_work.push(place);
                work.push(Box::pin(async move {
                    match session {
                        Ok(session) => judged(&session, &detector, span.as_of).await,
                        Err(error) => Err(format!("{}: {error}", detector.file)),
                    }
                }));
            }
        }
        watch.lap("sessions");
        for (place, (found, time)) in places_of_work.into_iter().zip(side_by_side(work, at_once).await) {
            took[place] += time;
            add(&mut standing[place], found.and_then(|found| found));
        }
        watch.lap("judged");
    }
    let outcomes = detectors.iter().zip(standing).zip(took).map(|((detector, standing), took)| Outcome {
        detector: detector.id.clone(),
        took,
        verdicts: standing.and_then(|all| in_order(all).map_err(|e| format!("{}: {e}", detector.file))),
    });
    outcomes.collect()
}

/// Runs work side by side, some of it at once; the answers, with how long each took, are in the order of the work. A
/// panic is an error.
async fn side_by_side<T: Send + 'static>(
    work: Vec<BoxFuture<'static, T>>,
    at_once: usize,
) -> Vec<(Result<T, String>, Duration)> {
    let mut answers = Vec::with_capacity(work.len());
    let mut waiting = work.into_iter();
    let mut running = VecDeque::new();
    loop {
        while running.len() < at_once
            && let Some(next) = waiting.next()
        {
            running.push_back(tokio::spawn(async move {
                let started = Instant::now();
                (next.await, started.elapsed())
            }));
        }
        let Some(first) = running.pop_front() else { return answers };
        answers.push(match first.await {
            Ok((answer, took)) => (Ok(answer), took),
            Err(error) => (Err(format!("a detector broke off: {error}")), Duration::ZERO),
        });
    }
}

/// What comes of a detector at first.
enum First {
    Nominated(Nominated),
    Judged(Vec<Verdict>),
}

/// Asks a detector what it wants to look at closely, or judges it at once if it looks at everything.
async fn first_question(
    session: &SessionContext,
    detector: &Detector,
    span: Span,
    wide: bool,
) -> Result<First, String> {
    let mistakes = if detector.is_built_in() { Vec::new() } else { check::mistakes(session, detector).await };
    if !mistakes.is_empty() {
        return Err(mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
    }
    let Some(sql) = detector.header.nominate.as_ref().filter(|_| !wide) else {
        return judged(session, detector, span.as_of).await.map(First::Judged);
    };
    let nominated = within(detector, nominated(session, detector, sql, span)).await;
    nominated.map(First::Nominated).map_err(|reason| format!("{}: nominate: {reason}", detector.file))
}

fn add(standing: &mut Standing, found: Standing) {
    match (standing.as_mut(), found) {
        (Ok(all), Ok(more)) => all.extend(more),
        (Ok(_), Err(reason)) => *standing = Err(reason),
        (Err(_), _) => {}
    }
}

/// The grants that detectors name who name more than so many.
fn very_many(nominations: &[(usize, Nominated, Option<Scope>)], grants_max: usize) -> Vec<String> {
    let of_many = nominations.iter().map(|(_, nominated, _)| nominated.grants()).filter(|all| all.len() > grants_max);
    of_many.flatten().cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

/// Who sees what together. Detectors that name few grants share them; of the others, those that judge each grant by itself
/// go through the grants in order of the day they began, where it is told, and their id, at most `grants_max` at a time.
fn portions(nominations: Vec<(usize, Nominated, Option<Scope>)>, grants_max: usize, begins: &Begins) -> Vec<Portion> {
    let mut portions = Vec::new();
    let (mut hosts, mut of_hosts) = (BTreeSet::new(), Vec::new());
    let mut by_grants = Vec::new();
    for (place, nominated, scope) in nominations {
        match nominated {
            // Who names nothing has found nothing, and planning its question is most of what asking it takes.
            Nominated::Grants(names) | Nominated::Hosts(names) if names.is_empty() => {}
            Nominated::Grants(names) => by_grants.push((place, names, scope)),
            Nominated::Hosts(names) => {
                hosts.extend(names);
                of_hosts.push(place);
            }
        }
    }
    by_grants.sort_by_key(|(_, names, _)| names.len());
    let mut few = BTreeSet::new();
    let mut of_few = (Vec::new(), Vec::new());
    let (mut many, mut of_many) = (BTreeSet::new(), Vec::new());
    for (place, names, scope) in by_grants {
        let by_itself = scope == Some(Scope::Grant);
        let new = names.iter().filter(|name| !few.contains(*name)).count();
        match (few.len() + new <= grants_max, by_itself) {
            (true, true) => {
                few.extend(names);
                of_few.0.push(place);
            }
            (true, false) => {
                few.extend(names.iter().cloned());
                of_few.1.push((place, names));
            }
            (false, true) => {
                many.extend(names.iter().cloned());
                of_many.push((place, names.into_iter().collect::<BTreeSet<_>>()));
            }
            (false, false) => portions.push(Portion::of(Nominated::Grants(names), true, vec![place])),
        }
    }
    if !few.is_empty() {
        let nominated = Nominated::Grants(few.into_iter().collect());
        portions.push(Portion { alone: of_few.1, ..Portion::of(nominated, true, of_few.0) });
    }
    if !of_hosts.is_empty() {
        portions.push(Portion::of(Nominated::Hosts(hosts.into_iter().collect()), true, of_hosts));
    }
    let mut many: Vec<String> = many.into_iter().collect();
    many.sort_by_key(|grant| begins.get(grant).copied());
    for names in many.chunks(grants_max.max(1)) {
        let concerned = of_many.iter().filter(|(_, all)| names.iter().any(|name| all.contains(name)));
        let detectors = concerned.map(|(place, _)| *place).collect();
        portions.push(Portion::of(Nominated::Grants(names.to_vec()), false, detectors));
    }
    portions
}

impl Portion {
    fn of(nominated: Nominated, is_whole: bool, detectors: Vec<usize>) -> Self {
        Self { nominated, is_whole, detectors, alone: Vec::new() }
    }
}

/// What a detector says of what a session shows, if it does so in its time.
pub(super) async fn judged(session: &SessionContext, detector: &Detector, as_of: i64) -> Standing {
    let found = within(detector, verdicts(session, detector, as_of)).await;
    found.map_err(|reason| format!("{}: {reason}", detector.file))
}

async fn within<T>(detector: &Detector, work: impl Future<Output = Result<T, QueryError>>) -> Result<T, String> {
    let limit = detector.header.timeout().map_err(|e| format!("timeout: {e}"))?;
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done.map_err(|e| e.to_string()),
        Err(_) => Err(format!("it took longer than {}: its `timeout`", detector.header.timeout)),
    }
}

async fn verdicts(session: &SessionContext, detector: &Detector, as_of: i64) -> Result<Vec<Verdict>, QueryError> {
    let mut batches = check::plan(session, detector, &detector.sql, as_of).await?.execute_stream().await?;
    let mut verdicts = Vec::new();
    while let Some(batch) = batches.next().await {
        verdicts.extend(read(detector, &batch?).map_err(QueryError::Answer)?);
        if verdicts.len() > VERDICTS_MAX {
            let reason = format!("more than {VERDICTS_MAX} rows: a join without its condition?");
            return Err(QueryError::Answer(reason));
        }
    }
    Ok(verdicts)
}

/// Puts verdicts in the order of their keys.
pub(super) fn sort(verdicts: &mut [Verdict]) {
    verdicts.sort_by_cached_key(|v| v.key.values().map(output::text).collect::<Vec<_>>());
}

/// By key, and each key once.
fn in_order(mut verdicts: Vec<Verdict>) -> Standing {
    sort(&mut verdicts);
    match verdicts.windows(2).find(|pair| pair[0].key == pair[1].key) {
        Some(pair) => Err(format!("two rows for one key {}", Value::Object(Map::clone(&pair[0].key)))),
        None => Ok(verdicts),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_shared_and_many_come_in_portions() {
        let grants = |names: &str| Nominated::Grants(names.split(' ').map(str::to_owned).collect());
        let by_itself = Some(Scope::Grant);
        let nominations = vec![
            (0, grants("a b c d e f"), by_itself),
            (1, grants("b x"), None),
            (2, grants("c d e f g"), by_itself),
            (3, grants("a b c d e"), None),
            (4, grants("y"), by_itself),
            (5, Nominated::Hosts(vec!["h".to_owned()]), None),
            (6, Nominated::Grants(Vec::new()), by_itself),
            (7, Nominated::Hosts(Vec::new()), None),
        ];
        let told: Vec<_> = portions(nominations, 3, &Begins::new())
            .into_iter()
            .map(|p| {
                (p.nominated.to_string(), [p.detectors, p.alone.into_iter().map(|(place, _)| place).collect()].concat())
            })
            .collect();
        let told: Vec<_> = told.iter().map(|(what, who)| (what.as_str(), who.as_slice())).collect();
        let want: [(&str, &[usize]); 6] = [
            ("5 grants", &[3]),
            ("3 grants", &[4, 1]),
            ("1 hosts", &[5]),
            ("3 grants", &[2, 0]),
            ("3 grants", &[2, 0]),
            ("1 grants", &[2]),
        ];
        assert_eq!(told, want);
    }

    #[test]
    fn grants_that_began_together_are_looked_at_together() {
        let names = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
        let nominations = || vec![(0, Nominated::Grants(names.clone()), Some(Scope::Grant))];
        assert_eq!(very_many(&nominations(), 5), [""; 0]);
        let many = very_many(&nominations(), 2);
        assert_eq!(many, names);
        let begins = many.into_iter().zip([3, 1, 2, 1, 9]).collect();
        let portions = portions(nominations(), 2, &begins);
        let told: Vec<_> = portions.iter().map(|portion| portion.nominated.grants().concat()).collect();
        assert_eq!(told, ["bd", "ca", "e"]);
    }
}
