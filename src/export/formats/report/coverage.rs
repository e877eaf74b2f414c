//! What was looked at: sources through the period, feeds, and how many events each test spoke of.

use super::markup::{esc, long, more, number, table, when, when_or};
use super::{LIST_MAX, charts};
use crate::export::model::Assessment;

/// Sources that get a strip in the chart.
const STRIPS_MAX: usize = 12;

/// The section.
pub fn section(it: &Assessment) -> String {
    let strips = charts::strips(it, STRIPS_MAX);
    let chart = if strips.is_empty() {
        String::new()
    } else {
        format!(
            "<figure>\n<figcaption>Events a day by source; the highest bar of each source is its busiest day</figcaption>\n\
             {strips}</figure>\n"
        )
    };
    format!(
        "<section id=\"coverage\">\n<h2>Population and coverage</h2>\n<p>{} events of {} in the period. Records that could not \
         be read, and so were not tested: {}.</p>\n{chart}{}{}{}{}</section>\n",
        number(it.summary.events),
        super::markup::count(it.coverage.sources.len() as u64, "source", "sources"),
        number(it.coverage.rejected),
        sources(it),
        feeds(it),
        gaps(it),
        population(it),
    )
}

fn sources(it: &Assessment) -> String {
    let rows: Vec<Vec<String>> = it
        .coverage
        .sources
        .iter()
        .take(LIST_MAX)
        .map(|source| {
            let problems = match source.problems.as_slice() {
                [] => "none".to_owned(),
                all => esc(&all.join("; ")),
            };
            vec![
                esc(&source.source),
                number(source.events),
                when_or(source.first_event_at, "none"),
                when_or(source.last_event_at, "none"),
                format!("{} of {}", number(source.days), number(source.days_expected)),
                number(source.late),
                source.lag_max_seconds.map_or_else(|| "none".to_owned(), long),
                number(source.skewed),
                problems,
            ]
        })
        .collect();
    let heads = [
        "Source",
        "#Events",
        "First",
        "Last",
        "#Days with events",
        "#Late",
        "#Longest lag",
        "#Wrong clock",
        "Problems",
    ];
    table("How each source delivered", &heads, &rows)
        + &more(it.coverage.sources.len(), rows.len(), "coverage/sources.csv")
}

fn feeds(it: &Assessment) -> String {
    if it.coverage.feeds.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = it
        .coverage
        .feeds
        .iter()
        .map(|feed| {
            let fresh = feed.fresh_seconds.map_or_else(|| "any age".to_owned(), long);
            let problem = feed.problem.as_deref().map_or_else(|| "none".to_owned(), esc);
            vec![esc(&feed.what), number(feed.events), when_or(feed.last_event_at, "never"), fresh, problem]
        })
        .collect();
    let heads = ["Feed", "#Events", "Last", "#May be old by", "Problem"];
    table("What tests rest on beside the events themselves", &heads, &rows)
}

fn gaps(it: &Assessment) -> String {
    let gaps = &it.coverage.gaps;
    if gaps.is_empty() {
        return "<p>No source fell silent where events were expected.</p>\n".to_owned();
    }
    let rows: Vec<Vec<String>> = gaps
        .iter()
        .take(LIST_MAX)
        .map(|gap| vec![esc(&gap.source), when(gap.from), when_or(gap.to, "it goes on")])
        .collect();
    table("Silences", &["Source", "From", "Until"], &rows) + &more(gaps.len(), rows.len(), "coverage/gaps.csv")
}

fn population(it: &Assessment) -> String {
    let rows: Vec<Vec<String>> = it
        .detectors
        .iter()
        .map(|detector| {
            let id = super::markup::anchor("t", &detector.id);
            let link = format!("<a href=\"#{id}\">{}</a>", esc(&detector.title));
            vec![link, esc(&detector.population.what), number(detector.population.events)]
        })
        .collect();
    format!(
        "<details><summary>Population of each test ({})</summary>\n{}</details>\n",
        rows.len(),
        table("Events that each test spoke of", &["Test", "What was tested", "#Events"], &rows)
    )
}
