//! The first thing an auditor opens: what this is, what came out, and how to check it. Plain text.

use std::fmt::Write as _;

use crate::export::model::{Assessment, Outcome};

/// The text of README.txt.
pub fn text(it: &Assessment) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_all(it, &mut out);
    out
}

fn write_all(it: &Assessment, out: &mut String) -> std::fmt::Result {
    let framework = &it.framework;
    writeln!(out, "Evidence by {} {}, {} {}\n", it.tool.name, it.tool.version, framework.title, framework.version)?;
    writeln!(out, "Period     from {} until just before {} (UTC)", it.period.from, it.period.to)?;
    writeln!(out, "Events     {} in the period; sources: {}", it.summary.events, it.scope.sources.join(", "))?;
    writeln!(out, "Lake       {} at version {}", it.provenance.lake, it.provenance.version)?;
    writeln!(out, "Evidence   {}", it.evidence_sha256)?;
    let names = if it.scope.identified { "as they are" } else { "under pseudonyms" };
    writeln!(out, "Names      {names}\n")?;
    match it.coverage.problems.as_slice() {
        [] => writeln!(out, "Coverage is complete.")?,
        problems => {
            writeln!(out, "Coverage is not complete:")?;
            problems.iter().try_for_each(|problem| writeln!(out, "  - {problem}"))?;
        }
    }
    writeln!(out, "\nResults\n")?;
    let width = it.subcategories.iter().map(|part| part.id.len()).max().unwrap_or(0);
    for part in &it.subcategories {
        writeln!(out, "  {:width$}  {:14}  {}", part.id, part.verdict.result.as_str(), part.title)?;
        writeln!(out, "  {:width$}  {:14}  {}", "", "", part.verdict.reason)?;
    }
    let told = |result: Outcome| it.summary.subcategories.get(result.as_str()).copied().unwrap_or(0);
    let counts: Vec<String> = Outcome::ALL.iter().map(|(name, result)| format!("{} {name}", told(*result))).collect();
    writeln!(out, "\n{}\n", counts.join(", "))?;
    it.scope.statements.iter().try_for_each(|sentence| writeln!(out, "{sentence}"))?;
    writeln!(
        out,
        "\nWhat is where\n
  report.html               all of it as one page, for reading and printing; needs no network
  summary.csv               what came out, a row for each test of each part
  evidence.xlsx             the same with population, coverage, findings, exceptions and remedies, for a spreadsheet
  oscal-assessment-results.json, ocsf-compliance-findings.ndjson
                            for programs: OSCAL 1.2.1, OCSF 1.8.0
  manifest.json             every file with its SHA-256 and rows; the root hash stands for all of them
  assessment.json           everything but the rows, for programs
  controls/ID/DETECTOR/     the SQL, its parameters, the rows it gave (CSV and Parquet), of which events it speaks
  coverage/                 sources, feeds, gaps, and control totals to compare with the sources
  exceptions.csv            what the policy excepts, why, who answers for it, until when, and which rows it covers
  remediation.csv           what was wrong, when it was fixed, and whether in time
  history.csv               when runs saw these findings change, and what people decided about them
  trend.csv                 the period in stretches
  limits.txt                what this data cannot show
  sign-off.txt              for those who prepared and reviewed it, to fill in
  run.json                  who ran the command when: the only file that differs from run to run\n
How to check it\n
  tokentrail verify PACK                          nothing was changed: hashes, rows, figures, results; needs no network
  tokentrail verify PACK --root HASH              it is the pack whose root hash you were told
  tokentrail verify PACK --lake LAKE              the detectors, run again at the recorded version, give the same rows"
    )
}
