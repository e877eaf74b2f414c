//! What became of what was found: the trend, remedies, exceptions.

use super::markup::{anchor, count, day, esc, long, more, number, table, when, when_or};
use super::{LIST_MAX, charts};
use crate::export::model::{Assessment, Change, Remedy, RemedyState};

/// How the period went.
pub fn trend(it: &Assessment) -> String {
    let rows: Vec<Vec<String>> = it
        .trend
        .iter()
        .map(|bucket| {
            let figures = [bucket.events, bucket.opened, bucket.resolved, bucket.open_at_end].map(number);
            let severities =
                bucket.opened_by_severity.iter().map(|(name, count)| format!("{} {}", number(*count), esc(name)));
            let severities = severities.collect::<Vec<_>>().join(", ");
            let mut row = vec![day(bucket.from)];
            row.extend(figures);
            row.push(if severities.is_empty() { "none".to_owned() } else { severities });
            row
        })
        .collect();
    let heads = ["From", "#Events", "#Began", "#Ended", "#Open at its end", "Began, by severity"];
    format!(
        "<section id=\"trend\">\n<h2>Trend over the period</h2>\n<figure>\n<figcaption>Findings that began and ended in each \
         stretch, and those open at its end; exceptions are left out</figcaption>\n{}</figure>\n<details><summary>The \
         numbers</summary>\n{}</details>\n</section>\n",
        charts::trend(&it.trend),
        table("Findings by stretch of the period", &heads, &rows)
    )
}

const STATES: [(RemedyState, &str); 6] = [
    (RemedyState::Overdue, "overdue"),
    (RemedyState::Open, "open"),
    (RemedyState::FixedLate, "fixed late"),
    (RemedyState::FixedInTime, "fixed in time"),
    (RemedyState::Fixed, "fixed, no target"),
    (RemedyState::Excepted, "excepted"),
];

fn place(state: RemedyState) -> usize {
    STATES.iter().position(|(own, _)| *own == state).unwrap_or(STATES.len())
}

/// The worst is 0.
fn rank(severity: &str) -> usize {
    const WORST_FIRST: [&str; 5] = ["critical", "high", "medium", "low", "info"];
    WORST_FIRST.iter().position(|own| *own == severity).unwrap_or(WORST_FIRST.len())
}

/// What was wrong, and for how long.
pub fn remediation(it: &Assessment) -> String {
    let all = &it.remediation;
    let tally: String = STATES
        .iter()
        .map(|(state, name)| (all.iter().filter(|remedy| remedy.state == *state).count(), name))
        .filter(|(many, _)| *many > 0)
        .map(|(many, name)| format!("<li><strong>{}</strong> <span>{name}</span></li>\n", number(many as u64)))
        .collect();
    let targets = if it.targets.is_empty() {
        "Nobody said how long a remedy may take: nothing can be late.".to_owned()
    } else {
        let each = it.targets.iter().map(|(severity, seconds)| format!("{} {}", esc(severity), long(*seconds)));
        format!(
            "A remedy may take, by severity: {}. What was fixed late counts as late for good.",
            each.collect::<Vec<_>>().join(", ")
        )
    };
    if all.is_empty() {
        return format!(
            "<section id=\"remediation\">\n<h2>Remediation</h2>\n<p>Nothing was found that needed a remedy. {targets}</p>\n\
             </section>\n"
        );
    }
    // The worst first: by state, then by severity, then by how long it lasted.
    let mut order: Vec<&Remedy> = all.iter().collect();
    order.sort_by_key(|remedy| (place(remedy.state), rank(&remedy.severity), std::cmp::Reverse(remedy.open_seconds)));
    let rows: Vec<Vec<String>> = order.iter().take(LIST_MAX).map(|remedy| row(it, remedy)).collect();
    let heads = ["Test", "Finding", "Severity", "Began", "Ended", "#Lasted", "State"];
    format!(
        "<section id=\"remediation\">\n<h2>Remediation</h2>\n<p>{targets}</p>\n<ul class=\"tiles small\">\n{tally}</ul>\n{}{}{}\
         </section>\n",
        table("What was wrong, worst first", &heads, &rows),
        more(all.len(), rows.len(), "remediation.csv"),
        decisions(it),
    )
}

/// What people decided about findings; what runs found out by themselves is in the file.
fn decisions(it: &Assessment) -> String {
    let decided: Vec<_> = it.history.iter().filter(|change| !change.owner.is_empty()).collect();
    if decided.is_empty() {
        return String::new();
    }
    let row = |change: &&Change| {
        let until = when_or(change.until, "");
        let (what, owner) = (esc(&change.change), esc(&change.owner));
        vec![
            format!("<code class=\"key\">{}</code>", esc(&change.finding)),
            when(change.at),
            what,
            owner,
            esc(&change.reason),
            until,
        ]
    };
    let rows: Vec<Vec<String>> = decided.iter().take(LIST_MAX).map(row).collect();
    let heads = ["Finding", "When", "What", "Who", "Reason", "Until"];
    table("What people decided", &heads, &rows) + &more(decided.len(), rows.len(), "history.csv")
}

fn row(it: &Assessment, remedy: &Remedy) -> Vec<String> {
    let test = match it.detector(&remedy.detector) {
        Some(detector) => format!("<a href=\"#{}\">{}</a>", anchor("t", &detector.id), esc(&detector.title)),
        None => esc(&remedy.detector),
    };
    let state = STATES.get(place(remedy.state)).map_or("", |(_, name)| name);
    let state = format!("<strong>{state}</strong>");
    let state = match remedy.exception.as_deref() {
        Some(exception) => format!("{state} ({})", esc(exception)),
        None => state,
    };
    vec![
        test,
        format!("<code class=\"key\">{}</code>", esc(&remedy.finding)),
        esc(&remedy.severity),
        when(remedy.violated_at),
        when_or(remedy.resolved_at, "open at the end"),
        long(remedy.open_seconds),
        state,
    ]
}

/// What the policy excepts.
pub fn exceptions(it: &Assessment) -> String {
    if it.exceptions.is_empty() {
        return "<section id=\"exceptions\">\n<h2>Exceptions</h2>\n<p>No exception of the policy held in the period.</p>\n\
                </section>\n"
            .to_owned();
    }
    let rows: Vec<Vec<String>> = it
        .exceptions
        .iter()
        .take(LIST_MAX)
        .map(|exception| {
            let title =
                it.detector(&exception.detector).map_or(exception.detector.as_str(), |detector| &detector.title);
            let until = if exception.is_expired {
                format!("{} <strong>(expired)</strong>", when(exception.until))
            } else {
                when(exception.until)
            };
            vec![esc(title), esc(&exception.reason), esc(&exception.owner), until, number(exception.rows.len() as u64)]
        })
        .collect();
    let heads = ["Test", "Reason", "Who answers for it", "Until", "#Findings covered"];
    format!(
        "<section id=\"exceptions\">\n<h2>Exceptions</h2>\n<p>{} of the policy held in the period. What they cover is shown all \
         the same.</p>\n{}{}</section>\n",
        count(it.exceptions.len() as u64, "exception", "exceptions"),
        table("Exceptions in force", &heads, &rows),
        more(it.exceptions.len(), rows.len(), "exceptions.csv")
    )
}
