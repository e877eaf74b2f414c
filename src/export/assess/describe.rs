//! What an assessment says in words: under which parameters, about whom, and what it cannot show.

use std::collections::BTreeMap;

use super::Terms;
use crate::detect::catalog::Detector as Source;
use crate::detect::header::Kind;
use crate::event::time::SECOND;
use crate::export::framework::NotApplicable;
use crate::export::framework::check::Link;
use crate::export::model::{self, Assessment, Framework, Outcome, Period, Scope, Tool, Verdict};
use crate::policy::{Policy, Value};

/// How late a record is late, if the policy cannot say.
const LATENESS: i64 = 15 * 60 * SECOND;

pub(super) fn tool() -> Tool {
    Tool { name: "tokentrail".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
}

pub(super) fn framework(terms: &Terms<'_>) -> Framework {
    let framework = &terms.framework.framework;
    Framework {
        id: framework.id.clone(),
        title: framework.title.clone(),
        version: framework.version.clone(),
        part: framework.part_name.clone(),
        sha256: framework.sha256(),
        catalog: terms.official.map(|official| official.catalog.clone()),
        notes: terms.framework.notes.clone(),
    }
}

pub(super) fn kind(detector: &Source) -> &'static str {
    match detector.header.kind {
        Kind::Violation => "violation",
        Kind::Lead => "lead",
    }
}

pub(super) fn decided(decision: &NotApplicable) -> Verdict {
    Verdict {
        result: Outcome::NotApplicable,
        reason: format!("the organisation says so ({}): {}", decision.owner, decision.reason),
    }
}

/// The policy's `lateness`, in microseconds.
pub(super) fn lateness(policy: &Policy) -> i64 {
    let key = Policy::KEYS.iter().find(|key| key.name == "lateness");
    match key.map(|key| policy.default_value(key)) {
        Some(Value::Duration(micros)) => *micros,
        _ => LATENESS,
    }
}

/// What a detector was run with.
pub(super) fn parameters(policy: &Policy, detector: &Source, period: Period) -> BTreeMap<String, String> {
    let mut all = BTreeMap::from([("as_of".to_owned(), period.as_of.to_string())]);
    for key in Policy::KEYS.iter().filter(|key| key.detectors.contains(&detector.id.as_str())) {
        all.insert(key.name.to_owned(), policy.default_value(key).to_string());
        let rules =
            policy.rules().iter().filter_map(|rule| Some(format!("{}: {}", rule.label(), rule.value(key.name)?)));
        let rules: Vec<String> = rules.collect();
        if !rules.is_empty() {
            all.insert(format!("{} by rule", key.name), rules.join("; "));
        }
    }
    all.extend(detector.header.params.iter().map(|(name, param)| (name.clone(), param.default.to_string())));
    all
}

pub(super) fn scope(it: &Assessment, terms: &Terms<'_>) -> Scope {
    let statements = [
        "Results speak of tokens after login, as far as the sources named here report them.".to_owned(),
        format!(
            "\"Pass\" means: no exceptions found by these tests in so many events. It does not say that {} {} is complied \
             with, in whole or in part.",
            it.framework.title, it.framework.version
        ),
        "Results are of the detectors at the last moment of the period; rows are what held at some time of it."
            .to_owned(),
        "Exceptions of the policy are shown with the rows they cover, and who answers for them.".to_owned(),
    ];
    Scope {
        sources: it.coverage.sources.iter().map(|source| source.source.clone()).collect(),
        identified: terms.privacy.key_id().is_none(),
        pseudonym_key: terms.privacy.key_id().map(str::to_owned),
        statements: statements.to_vec(),
    }
}

/// What this data cannot show.
pub(in crate::export) fn limits(it: &Assessment) -> Vec<String> {
    let mut limits = vec![
        "What no source reports is not here: the first authentication, its factors, passwords, approvals, reviews, physical \
         access."
            .to_owned(),
        "That a source reports all it knows cannot be seen from here; compare the control totals with the source.".to_owned(),
        "A source too sparse to be expected at any hour can fall silent unseen.".to_owned(),
        "Hashes show that the pack is whole, and not who made it: keep its root hash where the pack is not, or sign it."
            .to_owned(),
        "Titles are short descriptions, not the official statements, unless a catalogue was given.".to_owned(),
    ];
    if it.coverage.rejected > 0 {
        limits.push(format!(
            "{} records of the lake could not be read and were not tested; `tokentrail query` shows why each was rejected.",
            it.coverage.rejected
        ));
    }
    let skewed: u64 = it.coverage.sources.iter().map(|source| source.skewed).sum();
    if skewed > 0 {
        limits.push(format!(
            "{skewed} events happened after they arrived, by their own clocks: times of these sources may be wrong."
        ));
    }
    let leads = it.detectors.iter().filter(|d| d.kind == "lead").map(|d| d.id.as_str()).collect::<Vec<_>>();
    if !leads.is_empty() {
        limits.push(format!("Leads are for people to look at and decide nothing: {}.", leads.join(", ")));
    }
    if it.detectors.iter().any(|d| d.id == "insecure_storage") {
        limits.push(
            "Where tokens are kept is what clients say of themselves; one that says nothing was not tested.".to_owned(),
        );
    }
    if it.detectors.iter().any(|d| d.id == "refresh_token_replay") {
        limits.push(
            "Replay is only seen where the policy says that refresh tokens are rotated, or the issuer reports it."
                .to_owned(),
        );
    }
    let withheld: std::collections::BTreeSet<&str> =
        it.detectors.iter().flat_map(|d| d.withheld.iter().map(String::as_str)).collect();
    if !withheld.is_empty() {
        let listed = withheld.into_iter().collect::<Vec<_>>().join(", ");
        limits.push(format!("Columns that the export policy keeps back: {listed}."));
    }
    limits
}

impl From<Link> for model::Link {
    fn from(link: Link) -> Self {
        let Link { detector, relation, decides, why, folder } = link;
        Self { detector, relation, decides, why, folder }
    }
}
