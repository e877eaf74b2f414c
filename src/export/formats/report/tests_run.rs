//! Every test: what it looks for, of how many events it speaks, what it found, and the SQL that found it.

use super::ROWS_MAX;
use super::markup::{anchor, badge, count, esc, more, number, table, when_or};
use crate::event::time;
use crate::export::model::{Assessment, Detector, Link, Moment, Subcategory};

/// The section.
pub fn section(it: &Assessment) -> String {
    let mut out =
        "<section id=\"tests\">\n<h2>Tests, rows and SQL</h2>\n<p>Each test is a query over the events of the \
                   period. Open one for the rows that it gave and the SQL that was run.</p>\n"
            .to_owned();
    it.detectors.iter().for_each(|detector| out.push_str(&test(it, detector)));
    out.push_str("</section>\n");
    out
}

fn test(it: &Assessment, detector: &Detector) -> String {
    let counts = &detector.counts;
    let kind = if detector.kind == "lead" { "lead, never decides" } else { &detector.kind };
    let links = || it.subcategories.iter().flat_map(|part| part.links.iter().map(move |link| (part, link)));
    let own: Vec<(&Subcategory, &Link)> = links().filter(|(_, link)| link.detector == detector.id).collect();
    let parts: String = own
        .iter()
        .map(|(part, link)| {
            let (id, words) = (anchor("p", &part.id), link.relation.words());
            format!("<li><a href=\"#{id}\">{}</a> ({words}): {}</li>\n", esc(&part.id), esc(&link.why))
        })
        .collect();
    let folder = own.first().map_or("", |(_, link)| &link.folder);
    format!(
        "<details class=\"test\" id=\"{}\">\n<summary><h3>{}</h3> {} <span class=\"quiet\">{} in {} events</span></summary>\n\
         <p><strong>{}</strong></p>\n<p>{}</p>\n<dl class=\"facts\">\n<dt>Result</dt><dd>{}</dd>\n<dt>Kind</dt><dd>{kind}, \
         severity {}</dd>\n<dt>Population</dt><dd>{} {}: <code>{}</code></dd>\n<dt>Rows</dt><dd>{}, of them {} excepted, {} \
         uncertain, {} open at the end</dd>\n{}{}</dl>\n{}{}{}</details>\n",
        anchor("t", &detector.id),
        esc(&detector.title),
        badge(detector.verdict.result),
        count(counts.found, "finding", "findings"),
        number(detector.population.events),
        esc(&detector.summary),
        esc(&detector.rationale),
        esc(&detector.verdict.reason),
        esc(&detector.severity),
        number(detector.population.events),
        esc(&detector.population.what),
        esc(&detector.population.definition),
        number(counts.rows),
        number(counts.excepted),
        number(counts.uncertain),
        number(counts.open_at_end),
        references(detector),
        files(detector, folder),
        if parts.is_empty() { parts } else { format!("<p>Speaks to:</p>\n<ul>\n{parts}</ul>\n") },
        rows(detector, folder),
        sql(detector),
    )
}

fn references(detector: &Detector) -> String {
    let name = |header: &str| match header {
        "csf" => "NIST CSF 2.0".to_owned(),
        "nhi" => "OWASP NHI 2025".to_owned(),
        "attack" => "MITRE ATT&CK".to_owned(),
        "nist_800_53" => "NIST SP 800-53".to_owned(),
        "ai_rmf" => "NIST AI RMF".to_owned(),
        other => other.to_owned(),
    };
    let each = detector.references.iter().map(|(header, ids)| format!("{}: {}", name(header), ids.join(", ")));
    let each: Vec<String> = each.map(|text| esc(&text)).collect();
    if each.is_empty() { String::new() } else { format!("<dt>References</dt><dd>{}</dd>\n", each.join("<br>")) }
}

fn files(detector: &Detector, folder: &str) -> String {
    let withheld = if detector.withheld.is_empty() {
        String::new()
    } else {
        format!("<dt>Withheld columns</dt><dd>{}</dd>\n", esc(&detector.withheld.join(", ")))
    };
    if folder.is_empty() {
        return withheld;
    }
    format!("<dt>Files</dt><dd><code>{}/</code></dd>\n{withheld}", esc(folder))
}

/// Columns with a place of their own in the table.
const OWN: [&str; 5] = ["finding", "severity", "violated_at", "resolved_at", "exception"];

fn rows(detector: &Detector, folder: &str) -> String {
    let all = &detector.rows;
    if all.is_empty() {
        return "<p>The test gave no rows.</p>\n".to_owned();
    }
    let row = |row: usize| {
        let moment = |name: &str| time::parse(all.named(row, name)).map(Moment);
        let cells = all.columns().iter().zip(all.row(row));
        let shown = cells.filter(|(column, cell)| !OWN.contains(&column.name.as_str()) && !cell.is_empty());
        let evidence = shown.map(|(column, cell)| format!("{}&nbsp;<code>{}</code>", esc(&column.name), esc(cell)));
        let mut state = when_or(moment("resolved_at"), "open at the end");
        if !all.named(row, "exception").is_empty() {
            state.push_str(&format!("<br><strong>excepted</strong>: {}", esc(all.named(row, "exception"))));
        }
        vec![
            format!("<code class=\"key\">{}</code>", esc(all.named(row, "finding"))),
            esc(all.named(row, "severity")),
            when_or(moment("violated_at"), "unknown"),
            state,
            evidence.collect::<Vec<_>>().join("<br>"),
        ]
    };
    let shown: Vec<Vec<String>> = (0..all.len().min(ROWS_MAX)).map(row).collect();
    let caption = format!("Rows of {}", detector.title);
    table(&caption, &["Finding", "Severity", "Began", "Ended", "Evidence"], &shown)
        + &more(all.len(), shown.len(), &format!("{folder}/result.csv"))
}

fn sql(detector: &Detector) -> String {
    let parameters: String = detector
        .parameters
        .iter()
        .map(|(name, value)| format!("<dt><code>{}</code></dt><dd><code>{}</code></dd>\n", esc(name), esc(value)))
        .collect();
    let parameters =
        if parameters.is_empty() { parameters } else { format!("<dl class=\"facts\">\n{parameters}</dl>\n") };
    format!(
        "<details class=\"sql\"><summary>SQL and parameters of <code>{}</code></summary>\n{parameters}<pre>{}</pre>\n\
         <p class=\"quiet\">SHA-256 of the SQL <code>{}</code>, of the rows <code>{}</code></p>\n</details>\n",
        esc(&detector.id),
        esc(&detector.sql),
        esc(&detector.sql_sha256),
        esc(&detector.rows_sha256),
    )
}
