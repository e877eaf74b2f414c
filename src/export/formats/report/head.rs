//! The first page: what it is about, and what came out in one look.

use super::charts;
use super::markup::{count, day, esc, number, plural, when, words};
use crate::export::model::{Assessment, Outcome, Subcategory};

/// Title, period, and where to find what.
pub fn cover(it: &Assessment) -> String {
    let sources = match it.scope.sources.as_slice() {
        [] => "none".to_owned(),
        all => all.iter().map(|source| esc(source)).collect::<Vec<_>>().join(", "),
    };
    let names = if it.scope.identified { "as they are" } else { "under pseudonyms" };
    let contents = [
        ("glance", "At a glance"),
        ("coverage", "Population and coverage"),
        ("results", &format!("Results by {}", it.framework.part)),
        ("trend", "Trend over the period"),
        ("remediation", "Remediation"),
        ("exceptions", "Exceptions"),
        ("parts", &format!("Each {} and its tests", it.framework.part)),
        ("tests", "Tests, rows and SQL"),
        ("limits", "What this data cannot show"),
        ("provenance", "Where it comes from"),
        ("sign-off", "Sign-off"),
    ];
    let contents: String =
        contents.iter().map(|(id, name)| format!("<li><a href=\"#{id}\">{}</a></li>\n", esc(name))).collect();
    format!(
        "<header class=\"cover\">\n<p class=\"kicker\">Evidence on the life of tokens after login</p>\n<h1>{} {}</h1>\n\
         <p class=\"period\">{} to {}</p>\n<dl class=\"cover-facts\">\n<div><dt>Period</dt><dd>from {} until just before {} \
         (UTC)</dd></div>\n<div><dt>Sources</dt><dd>{sources}</dd></div>\n<div><dt>Names</dt><dd>{names}</dd></div>\n\
         <div><dt>Evidence hash</dt><dd><code>{}</code></dd></div>\n</dl>\n</header>\n\
         <nav aria-label=\"Contents\">\n<ol>\n{contents}</ol>\n</nav>\n",
        esc(&it.framework.title),
        esc(&it.framework.version),
        day(it.period.from),
        day(it.period.as_of),
        when(it.period.from),
        when(it.period.to),
        esc(&it.evidence_sha256),
    )
}

/// How many came out how, in words and as a picture.
pub fn glance(it: &Assessment) -> String {
    let (supporting, core): (Vec<&Subcategory>, Vec<_>) = it.subcategories.iter().partition(|part| part.is_supporting);
    let part = esc(&it.framework.part);
    let summary = &it.summary;
    let tiles = [
        (summary.events, "events in the period"),
        (summary.found, "findings, covered by no exception"),
        (summary.open_at_end, "of them still open at the end"),
        (summary.excepted, "covered by an exception"),
    ];
    let tiles: String = tiles
        .iter()
        .map(|(figure, what)| format!("<li><strong>{}</strong> <span>{what}</span></li>\n", number(*figure)))
        .collect();
    let mut bars = vec![(format!("In scope ({})", core.len()), tally(&core))];
    if !supporting.is_empty() {
        bars.push((format!("Supporting ({})", supporting.len()), tally(&supporting)));
    }
    let statements: String = it.scope.statements.iter().map(|text| format!("<li>{}</li>\n", esc(text))).collect();
    format!(
        "<section id=\"glance\">\n<h2>At a glance</h2>\n{}<p class=\"headline\">{}</p>\n<ul class=\"tiles\">\n{tiles}</ul>\n\
         <figure>\n<figcaption>Results by {part}</figcaption>\n{}</figure>\n<h3>What a result here says</h3>\n\
         <ul>\n{statements}</ul>\n</section>\n",
        caution(it),
        headline(it, &core),
        charts::outcomes(&bars),
    )
}

/// How many of each outcome, those that are there.
pub fn tally(parts: &[&Subcategory]) -> Vec<(Outcome, u64)> {
    let of = |outcome: Outcome| parts.iter().filter(|part| part.verdict.result == outcome).count() as u64;
    let order = [
        Outcome::Fail,
        Outcome::Error,
        Outcome::Inconclusive,
        Outcome::Pass,
        Outcome::NotTested,
        Outcome::NotApplicable,
    ];
    order.into_iter().map(|outcome| (outcome, of(outcome))).filter(|(_, count)| *count > 0).collect()
}

fn headline(it: &Assessment, core: &[&Subcategory]) -> String {
    let told: Vec<String> = tally(core).iter().map(|(outcome, count)| format!("{count} {}", words(*outcome))).collect();
    let summary = &it.summary;
    let found = match summary.found {
        0 => format!("No exceptions found by these tests in {}.", count(summary.events, "event", "events")),
        found => format!(
            "{} in {}; {} still open at the end of the period.",
            count(found, "finding", "findings"),
            count(summary.events, "event", "events"),
            number(summary.open_at_end)
        ),
    };
    let parts = esc(&if core.len() == 1 { it.framework.part.clone() } else { plural(&it.framework.part) });
    format!("Of {} {parts} in scope: {}. {found}", core.len(), told.join(", "))
}

/// A result is worth what it rests on: that comes before everything.
fn caution(it: &Assessment) -> String {
    if it.coverage.problems.is_empty() {
        return "<p class=\"note good\"><strong>Coverage is complete.</strong> Every source delivered through the whole \
                period.</p>\n"
            .to_owned();
    }
    let problems: String = it.coverage.problems.iter().map(|text| format!("<li>{}</li>\n", esc(text))).collect();
    format!(
        "<div class=\"note bad\"><p><strong>Coverage is not complete.</strong> Tests that rest on what is missing are \
         inconclusive.</p>\n<ul>\n{problems}</ul></div>\n"
    )
}
