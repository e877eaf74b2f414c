//! The evidence as one page that can be handed to a board: no script, no network, nothing beside it.
//!
//! It begins with what was looked at (population, coverage), for a result says nothing without it, and goes down from results
//! by part to tests, rows and SQL. It reads on a screen in light and dark, on paper, by keyboard and by voice: charts are
//! drawings with a title, a description and a table of their numbers, and no colour stands alone.

mod charts;
mod coverage;
mod followed;
mod head;
mod markup;
mod results;
mod tests_run;

use crate::export::model::Assessment;
use markup::{esc, number};

/// Rows of one test that are shown; all are in the files of the pack.
pub const ROWS_MAX: usize = 25;
/// Rows of other lists that are shown.
pub const LIST_MAX: usize = 50;

const STYLE: &str = include_str!("report/style.css");

/// The page.
pub fn page(it: &Assessment) -> String {
    let title = format!("Evidence: {} {}", it.framework.title, it.framework.version);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#glance\">Skip to the results</a>\n",
        esc(&title)
    );
    out.push_str(&head::cover(it));
    out.push_str("<main>\n");
    out.push_str(&head::glance(it));
    out.push_str(&coverage::section(it));
    out.push_str(&results::section(it));
    out.push_str(&followed::trend(it));
    out.push_str(&followed::remediation(it));
    out.push_str(&followed::exceptions(it));
    out.push_str(&results::parts(it));
    out.push_str(&tests_run::section(it));
    out.push_str(&ending(it));
    out.push_str("</main>\n");
    out.push_str(&format!(
        "<footer><p>Made by {} {} from version {} of the lake. The whole pack is checked offline with \
         <code>tokentrail verify</code>.</p></footer>\n</body>\n</html>\n",
        esc(&it.tool.name),
        esc(&it.tool.version),
        it.provenance.version
    ));
    out
}

/// What cannot be shown, where it comes from, and room for names.
fn ending(it: &Assessment) -> String {
    let limits: String = it.limits.iter().map(|limit| format!("<li>{}</li>\n", esc(limit))).collect();
    let notes: String = it.framework.notes.iter().map(|note| format!("<li>{}</li>\n", esc(note))).collect();
    let notes =
        if notes.is_empty() { notes } else { format!("<h3>Read otherwise than written</h3>\n<ul>{notes}</ul>\n") };
    let mut facts = vec![
        ("Evidence hash", it.evidence_sha256.clone()),
        ("Lake", it.provenance.lake.clone()),
        ("Version", format!("{}, written {}", it.provenance.version, it.provenance.committed_at)),
        (
            "Rows and files of that version",
            format!("{} rows in {} files", number(it.provenance.rows), number(it.provenance.files)),
        ),
        ("Policy (SHA-256)", it.provenance.policy_sha256.clone()),
        ("Queries (SHA-256)", it.provenance.queries_sha256.clone()),
        ("Framework file (SHA-256)", it.framework.sha256.clone()),
    ];
    if let Some(catalog) = &it.framework.catalog {
        facts
            .push(("Official catalogue", format!("{} {}, SHA-256 {}", catalog.title, catalog.version, catalog.sha256)));
    }
    let facts: String =
        facts.iter().map(|(name, value)| format!("<dt>{name}</dt><dd><code>{}</code></dd>\n", esc(value))).collect();
    let signers: String = ["Prepared by", "Reviewed by", "Approved by"]
        .iter()
        .map(|who| format!("<tr><th scope=\"row\">{who}</th><td></td><td></td><td></td></tr>\n"))
        .collect();
    format!(
        "<section id=\"limits\">\n<h2>What this data cannot show</h2>\n<ul>\n{limits}</ul>\n{notes}</section>\n\
         <section id=\"provenance\">\n<h2>Where it comes from</h2>\n<dl class=\"facts\">\n{facts}</dl>\n</section>\n\
         <section id=\"sign-off\" class=\"keep\">\n<h2>Sign-off</h2>\n<p>Left blank: a program signs nothing. Sign on a printed \
         copy; the pack itself must stay as it is.</p>\n<table class=\"sign\">\n<caption class=\"hidden\">Sign-off</caption>\n\
         <thead><tr><th scope=\"col\">Part</th><th scope=\"col\">Name</th><th scope=\"col\">Role</th><th scope=\"col\">Date and \
         signature</th></tr></thead>\n<tbody>\n{signers}</tbody>\n</table>\n</section>\n"
    )
}
