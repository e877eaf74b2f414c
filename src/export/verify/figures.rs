//! Figures worked out again from the rows: what does not hold is named. Pure.

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::event::hex;
use crate::export::assess::describe;
use crate::export::model::{Assessment, Column, Detector, Outcome};
use crate::export::pack::manifest::Manifest;
use crate::export::{derived, evidence, results};

/// What of a detector's summary is needed to read its rows.
#[derive(Debug, Deserialize)]
pub struct Columns {
    pub columns: Vec<Column>,
}

/// Everything that does not hold, each with its name.
pub fn wrong(it: &Assessment, manifest: &Manifest, framework: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut hold = |holds: bool, sentence: String| {
        if !holds {
            wrong.push(sentence);
        }
    };
    let linked: Vec<&str> =
        it.subcategories.iter().flat_map(|part| &part.links).map(|link| link.detector.as_str()).collect();
    for id in &linked {
        hold(it.detector(id).is_some(), format!("detector {id}: a part names it, and it is not there"));
    }
    for detector in &it.detectors {
        of_detector(detector, it, linked.contains(&detector.id.as_str()), &mut hold);
    }
    for part in &it.subcategories {
        let find = |id: &str| it.detector(id).map(|d| (d.verdict.result, d.population.events));
        let verdict = results::of_links(&part.reach, &part.links, &find);
        let decided = part.verdict.result == Outcome::NotApplicable;
        hold(
            decided || verdict == part.verdict,
            format!("{}: its result does not follow from those of its tests", part.id),
        );
    }
    let mut exceptions = it.exceptions.clone();
    derived::covered(&mut exceptions, &it.detectors);
    hold(exceptions == it.exceptions, "exceptions: the rows that they cover are not those that name them".to_owned());
    let remedies = derived::remedies(&it.detectors, &it.targets, it.period);
    hold(remedies == it.remediation, "remediation: it does not follow from the rows".to_owned());
    let trend = derived::trend(&it.remediation, &it.coverage.totals, it.period);
    hold(trend == it.trend, "trend: it does not follow from the rows and totals".to_owned());
    let summary = derived::summary(&it.subcategories, &it.detectors, &it.coverage.totals);
    hold(summary == it.summary, "summary: it does not follow from the results".to_owned());
    // Other versions may word them otherwise.
    let same_words = it.tool.version == env!("CARGO_PKG_VERSION");
    hold(!same_words || describe::limits(it) == it.limits, "limits: they do not follow from the rest".to_owned());
    for source in &it.coverage.sources {
        let totals = it.coverage.totals.iter().filter(|t| t.source == source.source);
        let events: u64 = totals.map(|t| t.events).sum();
        hold(
            events == source.events,
            format!("coverage of {}: its events are not the sum of its totals", source.source),
        );
    }
    if let Some(sample) = &it.sample {
        hold(sample.timelines.sha256() == sample.timelines_sha256, "sample: the timelines were changed".to_owned());
        hold(sample.timelines.is_sorted(), "sample: the timelines are not in order".to_owned());
        let grants = sample.timelines.column("grant_id");
        let named = |row| grants.is_none_or(|at| sample.drawn.iter().any(|g| g == sample.timelines.cell(row, at)));
        hold((0..sample.timelines.len()).all(named), "sample: a timeline is of a grant that was not drawn".to_owned());
        hold(sample.drawn.len() as u64 == sample.size.min(sample.grants), "sample: it has another size".to_owned());
    }
    hold(
        hex(&Sha256::digest(framework)) == it.framework.sha256,
        "framework.toml: it is not the file that was used".to_owned(),
    );
    hold(derived::evidence_sha256(it) == it.evidence_sha256, "the evidence hash does not hold".to_owned());
    let again = Manifest::new(it, manifest.command.clone(), manifest.files.clone());
    hold(again == *manifest, "manifest.json: it does not say the same as the assessment".to_owned());
    wrong
}

fn of_detector(detector: &Detector, it: &Assessment, has_rows: bool, hold: &mut dyn FnMut(bool, String)) {
    let id = &detector.id;
    let population = &detector.population;
    let events: u64 = population.totals.iter().map(|t| t.events).sum();
    hold(events == population.events, format!("{id}: its population is not the sum of its totals"));
    hold(population.totals.is_sorted(), format!("{id}: the totals of its population are not in order"));
    hold(population.events <= it.summary.events, format!("{id}: it tested more events than there were"));
    hold(hex(&Sha256::digest(&detector.sql)) == detector.sql_sha256, format!("{id}: its SQL was changed"));
    let decided = matches!(detector.verdict.result, Outcome::Error | Outcome::NotApplicable);
    hold(
        decided || results::of_detector(detector, &it.coverage) == detector.verdict,
        format!("{id}: its result does not follow from its figures"),
    );
    if has_rows {
        hold(detector.rows.is_sorted(), format!("{id}: its rows are not in order"));
        hold(
            evidence::counts(&detector.rows) == detector.counts,
            format!("{id}: its counts are not those of its rows"),
        );
        hold(detector.rows.sha256() == detector.rows_sha256, format!("{id}: its rows are not those that were hashed"));
    }
}
