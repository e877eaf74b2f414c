//! From a lake at a cut to an assessment: detectors at the end of the period, events counted, results drawn.

pub(super) mod describe;

use std::collections::{BTreeMap, BTreeSet};

use super::census::{self, Census};
use super::framework::check::Checked;
use super::framework::official::Official;
use super::model::{
    Assessment, Detector, Exception, Gap, Moment, Outcome, Period, Population, Provenance, Scope, Subcategory, Verdict,
};
use super::population::Tests;
use super::privacy::Privacy;
use super::sample::{self, Wanted};
use super::{ExportError, coverage, derived, evidence, history, results};
use crate::detect::catalog::Catalog;
use crate::detect::cut::Cut;
use crate::detect::frame::Reach;
use crate::detect::runs::MadeWith;
use crate::detect::{self, GAPS, Look, Outcome as Ran, Span, Watch};
use crate::event::hex;
use crate::lake::Lake;
use crate::lake::table::State;
use crate::policy::{self, Policy, parse_duration};
use crate::query::{QueryError, people, views};
use sha2::{Digest as _, Sha256};

/// What is to be assessed.
#[derive(Clone, Debug)]
pub struct Request {
    /// From this moment on, microseconds UTC; until just before `to`.
    pub from: i64,
    pub to: i64,
    /// Version of `events` to look at; the newest if none is given.
    pub version: Option<i64>,
    pub sample: Option<Wanted>,
    /// The time of day, microseconds UTC: a period must be over.
    pub now: i64,
}

/// By what it is assessed.
#[derive(Debug)]
pub struct Terms<'a> {
    pub policy: &'a Policy,
    pub catalog: &'a Catalog,
    pub framework: &'a Checked,
    pub official: Option<&'a Official>,
    pub privacy: &'a Privacy,
}

/// The lake as it is looked at.
struct Ground {
    state: std::sync::Arc<State>,
    version: i64,
    cut: Cut,
    is_newest: bool,
}

/// Assesses a period.
///
/// # Errors
/// [`ExportError`]: the period cannot be assessed, or the lake not be read. A detector that fails is a result, no error.
pub async fn assess(lake: &Lake, terms: &Terms<'_>, request: &Request) -> Result<Assessment, ExportError> {
    let period = period(request)?;
    let tests = Tests::new(&terms.framework.framework, terms.policy).map_err(ExportError::Terms)?;
    let ground = Ground::of(lake, request.version).await?;
    let ids = detectors_wanted(terms);
    let conditions: Vec<&str> =
        ids.iter().map(|id| tests.population(id).map_or("FALSE", |declared| declared.condition.as_str())).collect();
    let cut = (!ground.is_newest).then_some(&ground.cut);
    let session = Cut::session(cut, lake, &ground.state).await?;
    let events = session.table_provider("events").await.map_err(QueryError::from)?;
    views::replace(&session, "events", people::resolved(&session, events, terms.policy.identities())?)?;
    let mut watch = Watch::start();
    let census = census::take(&session, &ground.state, period, &conditions, describe::lateness(terms.policy)).await?;
    watch.lap("census");
    within_the_lake(&census, period)?;
    let sample = match &request.sample {
        Some(wanted) => Some(sample::draw(&session, wanted, period, terms.privacy).await?),
        None => None,
    };
    drop(session);
    let reach = if ground.is_newest { Reach::Kept } else { Reach::Cut(ground.cut.clone()) };
    // What was over when the period began is no evidence of it.
    let span = Span { since: Some(period.from.0), as_of: period.as_of.0 };
    let look = Look { ids: &ids, span };
    let ran = detect::seen(lake, &ground.state, terms.policy, terms.catalog, look, reach).await?;
    watch.lap("detectors");
    let (gaps, gaps_failed) = gaps(&ran, period);
    let read = coverage::Read { period, tests: &tests, gaps, read_at: ground.cut.at, gaps_failed };
    let mut it = Assessment {
        tool: describe::tool(),
        framework: describe::framework(terms),
        scope: Scope::default(),
        period,
        summary: Default::default(),
        subcategories: Vec::new(),
        detectors: Vec::new(),
        coverage: coverage::of(&census, read),
        exceptions: exceptions(terms.policy, &ids, period),
        remediation: Vec::new(),
        history: Vec::new(),
        targets: targets(terms)?,
        trend: Vec::new(),
        limits: Vec::new(),
        sample,
        provenance: ground.provenance(lake, terms).await?,
        evidence_sha256: String::new(),
    };
    for outcome in &ran {
        let totals = ids.iter().position(|id| *id == outcome.detector).map(|at| census.totals[at].clone());
        it.detectors.push(detector(terms, &tests, &it, outcome, totals.unwrap_or_default())?);
    }
    it.history = history::of(lake, &it.detectors, terms.privacy).await?;
    it.subcategories = parts(terms, &it.detectors)?;
    finish(&mut it, terms);
    Ok(it)
}

/// What follows from the rest.
fn finish(it: &mut Assessment, terms: &Terms<'_>) {
    derived::covered(&mut it.exceptions, &it.detectors);
    it.remediation = derived::remedies(&it.detectors, &it.targets, it.period);
    it.trend = derived::trend(&it.remediation, &it.coverage.totals, it.period);
    it.summary = derived::summary(&it.subcategories, &it.detectors, &it.coverage.totals);
    it.scope = describe::scope(it, terms);
    it.limits = describe::limits(it);
    it.evidence_sha256 = derived::evidence_sha256(it);
}

fn period(request: &Request) -> Result<Period, ExportError> {
    let (from, to) = (Moment(request.from), Moment(request.to));
    if from >= to {
        return Err(ExportError::Period(format!(
            "the period begins at {from} and ends at {to}: --from has to be before --to"
        )));
    }
    if to.0 > request.now {
        return Err(ExportError::Period(format!(
            "the period ends at {to}, which is in the future: evidence can only speak of what is over, so take a --to up to {}",
            Moment(request.now)
        )));
    }
    Ok(Period { from, to, as_of: Moment(to.0 - 1) })
}

/// A period of which the lake never held anything cannot be assessed, not even as inconclusive.
fn within_the_lake(census: &Census, period: Period) -> Result<(), ExportError> {
    match census.known.iter().map(|known| known.first).min() {
        Some(_) => Ok(()),
        None => Err(ExportError::Period(format!(
            "the lake holds no event from before {}: the period is older than what is kept, or the wrong lake is named",
            period.to
        ))),
    }
}

impl Ground {
    async fn of(lake: &Lake, version: Option<i64>) -> Result<Self, ExportError> {
        let state = lake.events().refresh().await?;
        let version = version.unwrap_or(state.version);
        if version > state.version || version < 0 {
            return Err(QueryError::NoVersion(version).into());
        }
        if version == state.version {
            let cut = Cut::of_state(&state);
            return Ok(Self { state, version, cut, is_newest: true });
        }
        // The log knows when a version was written; where it was cleaned up, a run that saw the version does.
        let cut = match lake.events().at(version).await? {
            Some(then) => Cut::of_state(&then),
            None => Cut::of_version(lake, version).await?,
        };
        Ok(Self { state, version, cut, is_newest: false })
    }

    async fn provenance(&self, lake: &Lake, terms: &Terms<'_>) -> Result<Provenance, ExportError> {
        let mut uri = lake.uri().clone();
        // Either may fail for URLs that have neither to take out.
        let _ = uri.set_password(None);
        uri.set_query(None);
        let then = if self.is_newest { Some(self.state.clone()) } else { lake.events().at(self.version).await? };
        Ok(Provenance {
            lake: uri.to_string(),
            version: self.version,
            committed_at: Moment(self.cut.at),
            positions: self.cut.positions.clone(),
            rows: then.as_ref().map_or(0, |state| state.rows()),
            files: then.as_ref().map_or(0, |state| state.files.len() as u64),
            policy_sha256: terms.policy.hash(),
            queries_sha256: terms.catalog.hash(),
            made_with: MadeWith::now(terms.policy, terms.catalog).keep(lake).await?,
        })
    }
}

/// Those that speak to a part, and the one that knows of gaps; in the order of the catalog.
fn detectors_wanted(terms: &Terms<'_>) -> Vec<String> {
    let linked: BTreeSet<&str> =
        terms.framework.links.iter().flat_map(|(_, links)| links).map(|link| link.detector.as_str()).collect();
    let all = terms.catalog.all().iter().map(|detector| detector.id.as_str());
    all.filter(|id| linked.contains(id) || *id == GAPS).map(str::to_owned).collect()
}

/// The gaps that meet the period.
fn gaps(ran: &[Ran], period: Period) -> (Vec<Gap>, Option<String>) {
    let Some(outcome) = ran.iter().find(|outcome| outcome.detector == GAPS) else {
        return (Vec::new(), Some(format!("there is no detector {GAPS}")));
    };
    let verdicts = match &outcome.verdicts {
        Ok(verdicts) => verdicts,
        Err(reason) => return (Vec::new(), Some(reason.clone())),
    };
    let mut gaps: Vec<Gap> = verdicts
        .iter()
        .filter(|v| v.violated_at < period.to.0 && v.resolved_at.is_none_or(|at| at > period.from.0))
        .map(|v| Gap {
            source: v.key.get("source").map(crate::query::output::text).unwrap_or_default(),
            from: Moment(v.violated_at),
            to: v.resolved_at.map(Moment),
        })
        .collect();
    gaps.sort();
    (gaps, None)
}

fn exceptions(policy: &Policy, ids: &[String], period: Period) -> Vec<Exception> {
    let held = policy.exceptions().iter().filter(|e| e.until > period.from.0 && ids.contains(&e.detector));
    let mut all: Vec<Exception> = held.map(|e| exception(e, period)).collect();
    all.sort_by(|a, b| (&a.detector, a.until, &a.owner, &a.reason).cmp(&(&b.detector, b.until, &b.owner, &b.reason)));
    all.dedup();
    all
}

fn exception(exception: &policy::Exception, period: Period) -> Exception {
    Exception {
        detector: exception.detector.clone(),
        reason: exception.reason.clone(),
        owner: exception.owner.clone(),
        until: Moment(exception.until),
        is_expired: exception.until < period.to.0,
        rows: Vec::new(),
    }
}

fn targets(terms: &Terms<'_>) -> Result<BTreeMap<String, i64>, ExportError> {
    let read = |(severity, text): (&String, &String)| {
        if crate::finding::Severity::parse(severity).is_none() {
            return Err(ExportError::Terms(format!(
                "[targets]: {severity:?} is no severity; low, medium, high, critical are"
            )));
        }
        let micros = parse_duration(text).map_err(|e| ExportError::Terms(format!("[targets] {severity}: {e}")))?;
        Ok((severity.clone(), micros / crate::event::time::SECOND))
    };
    terms.framework.framework.targets.iter().map(read).collect()
}

fn detector(
    terms: &Terms<'_>,
    tests: &Tests,
    it: &Assessment,
    ran: &Ran,
    totals: Vec<super::model::Total>,
) -> Result<Detector, ExportError> {
    let source = terms.catalog.find(&ran.detector).map_err(detect::DetectError::from)?;
    let none = Vec::new();
    let verdicts = ran.verdicts.as_ref().unwrap_or(&none);
    let (rows, withheld) = evidence::rows(source, verdicts, terms.policy.exceptions(), terms.privacy, it.period);
    let population = match tests.population(&source.id) {
        Some(declared) => Population {
            what: declared.what.clone(),
            definition: declared.condition.clone(),
            events: totals.iter().map(|t| t.events).sum(),
            totals,
        },
        None => Population::default(),
    };
    let mut detector = Detector {
        id: source.id.clone(),
        title: source.header.title.clone(),
        summary: source.header.summary.clone(),
        rationale: source.header.rationale.trim().to_owned(),
        kind: describe::kind(source).to_owned(),
        severity: source.header.severity.to_string(),
        references: terms.framework.references.get(&source.id).cloned().unwrap_or_default(),
        verdict: Verdict { result: Outcome::Error, reason: String::new() },
        population,
        counts: evidence::counts(&rows),
        feeds: tests.feeds_of(&source.header),
        sql: source.text.clone(),
        sql_sha256: hex(&Sha256::digest(source.text.as_bytes())),
        parameters: describe::parameters(terms.policy, source, it.period),
        withheld,
        rows_sha256: rows.sha256(),
        rows,
    };
    let decisions = &terms.framework.framework.not_applicable;
    let decision = decisions.iter().find(|d| d.detector.as_deref() == Some(&source.id));
    detector.verdict = match (&ran.verdicts, decision) {
        (Err(reason), _) => Verdict { result: Outcome::Error, reason: format!("the test broke: {reason}") },
        (_, Some(decision)) => describe::decided(decision),
        _ => results::of_detector(&detector, &it.coverage),
    };
    Ok(detector)
}

fn parts(terms: &Terms<'_>, detectors: &[Detector]) -> Result<Vec<Subcategory>, ExportError> {
    let framework = &terms.framework.framework;
    let result = |id: &str| detectors.iter().find(|d| d.id == id).map(|d| (d.verdict.result, d.population.events));
    let (mut parts, mut mistakes) = (Vec::new(), Vec::new());
    for part in &framework.part {
        let links = terms.framework.links.iter().find(|(id, _)| *id == part.id).map(|(_, links)| links.clone());
        let links: Vec<_> = links.unwrap_or_default().into_iter().map(super::model::Link::from).collect();
        if links.is_empty() && !part.always {
            continue;
        }
        let decision = framework.not_applicable.iter().find(|d| d.part.as_deref() == Some(&part.id));
        let statement = match terms.official.map(|official| official.statement(&part.id)) {
            None => None,
            Some(Ok(statement)) => Some(statement.to_owned()),
            Some(Err(sentence)) => {
                mistakes.push(sentence);
                None
            }
        };
        parts.push(Subcategory {
            id: part.id.clone(),
            title: part.title.clone(),
            statement,
            reach: part.reach.clone(),
            is_supporting: part.supporting,
            verdict: decision.map_or_else(|| results::of_links(&part.reach, &links, &result), describe::decided),
            links,
        });
    }
    if mistakes.is_empty() { Ok(parts) } else { Err(ExportError::Terms(mistakes.join("\n"))) }
}
