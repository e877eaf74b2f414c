//! The report as one screen: 100 columns, 40 lines, what needs a hand last, where the eye rests.

use super::super::standard::counted;
use super::hands::AGES;
use super::{Report, Source};
use crate::finding::Severity;
use crate::timeline::Tone;
use crate::timeline::lines::{Piece, fit};
use crate::timeline::zone::{Zone, short};

/// Lines of each part; what does not fit is counted.
const SOURCES_MAX: usize = 7;
const FEEDS_MAX: usize = 5;
const HANDS_MAX: usize = 5;

/// The screen, line by line.
pub fn lines(report: &Report, zone: &Zone, width: usize) -> Vec<Vec<Piece>> {
    let mut lines = vec![vec![
        (Tone::Plain, format!("lake at version {}", report.version)),
        (
            Tone::Faint,
            format!(
                "   {} in {}, {:.1} MB   {}",
                counted(report.rows as usize, "row"),
                counted(report.files, "file"),
                report.bytes as f64 / 1e6,
                zone.moment(report.as_of)
            ),
        ),
    ]];
    sources(report, zone, &mut lines);
    feeds(report, zone, &mut lines);
    open(report, &mut lines);
    runs(report, zone, &mut lines);
    hands(report, &mut lines);
    lines.into_iter().map(|line| fit(line, Some(width))).collect()
}

fn plain(text: String) -> Vec<Piece> {
    vec![(Tone::Plain, text)]
}

fn faint(text: String) -> Vec<Piece> {
    vec![(Tone::Faint, text)]
}

fn sources(report: &Report, zone: &Zone, lines: &mut Vec<Vec<Piece>>) {
    if report.sources.is_empty() {
        lines.push(plain(
            "No record was read yet: `tokentrail ingest --from FILE` or `--from kafka` begins.".to_owned(),
        ));
        return;
    }
    let head = ["source", "last event", "lag", "events", "rejected", "read"];
    lines.push(faint(row(&head.map(str::to_owned))));
    for source in report.sources.iter().take(SOURCES_MAX) {
        let lag = source.last_event_at.map(|at| short(report.as_of - at));
        let cells = [
            name(source),
            source.last_event_at.map_or_else(|| "never".to_owned(), |at| zone.moment(at)),
            lag.unwrap_or_default(),
            source.events.to_string(),
            source.rejected.to_string(),
            source.read.to_string(),
        ];
        lines.push(vec![(if source.rejected > 0 { Tone::Notice } else { Tone::Plain }, row(&cells))]);
    }
    more(report.sources.len(), SOURCES_MAX, "sources", lines);
}

/// The end of a topic's or file's name says most.
fn name(source: &Source) -> String {
    const LONG: usize = 28;
    let count = source.topic.chars().count();
    let topic: String = source.topic.chars().skip(count.saturating_sub(LONG - 1)).collect();
    if count > LONG { format!("…{topic}") } else { source.topic.clone() }
}

fn row(cells: &[String; 6]) -> String {
    let [source, last, lag, events, rejected, read] = cells;
    format!("  {source:<28}  {last:<25}  {lag:>8}  {events:>9}  {rejected:>8}  {read:>9}")
}

fn more(count: usize, shown: usize, what: &str, lines: &mut Vec<Vec<Piece>>) {
    if count > shown {
        lines.push(faint(format!("  and {} {what} more (-o json shows all)", count - shown)));
    }
}

fn feeds(report: &Report, zone: &Zone, lines: &mut Vec<Vec<Piece>>) {
    if report.feeds.is_empty() {
        return;
    }
    let mut feeds: Vec<_> = report.feeds.iter().collect();
    feeds.sort_by_key(|feed| !feed.is_stale(report.as_of));
    lines.push(faint("feeds of context".to_owned()));
    for feed in feeds.iter().take(FEEDS_MAX) {
        let usual = match feed.usual {
            Some(usual) => format!("up to {} is usual", short(usual)),
            None => "too few to say what is usual".to_owned(),
        };
        let last = feed.last_at.map_or_else(|| "never".to_owned(), |at| zone.moment(at));
        let silent = feed.last_at.map(|at| short(report.as_of - at)).unwrap_or_default();
        let (tone, stale) = if feed.is_stale(report.as_of) { (Tone::Alarm, "  STALE") } else { (Tone::Plain, "") };
        let name = format!("{} from {}", feed.kind, feed.source);
        lines.push(vec![(tone, format!("  {name:<28}  {last:<25}  {silent:>8}  {usual}{stale}"))]);
    }
    more(feeds.len(), FEEDS_MAX, "feeds", lines);
}

fn open(report: &Report, lines: &mut Vec<Vec<Piece>>) {
    let [a, b, c, d] = AGES.map(|(name, _)| name);
    lines.push(faint(format!("  {:<28}  {:>9}  {:>9}  {:>9}  {:>9}", "open findings, for less than", a, b, c, d)));
    for (severity, _) in Severity::ALL.iter().rev() {
        let counts = report.open.get(severity).copied().unwrap_or_default();
        let is_bad = matches!(*severity, "high" | "critical") && counts.iter().any(|count| *count > 0);
        let [a, b, c, d] = counts;
        let tone = if is_bad { Tone::Alarm } else { Tone::Plain };
        lines.push(vec![(tone, format!("  {severity:<28}  {a:>9}  {b:>9}  {c:>9}  {d:>9}"))]);
    }
    if report.looked_after > 0 {
        lines.push(faint(format!("  and {} acked or suppressed", report.looked_after)));
    }
}

fn runs(report: &Report, zone: &Zone, lines: &mut Vec<Vec<Piece>>) {
    if report.runs.is_empty() {
        return;
    }
    lines.push(faint("last runs of detectors".to_owned()));
    for run in &report.runs {
        let behind = match report.version - run.version {
            behind if behind > 0 => format!(", {} ago", counted(behind as usize, "version")),
            _ => String::new(),
        };
        let failed = if run.failed.is_empty() { String::new() } else { format!(", {} FAILED", run.failed.len()) };
        let tone = if run.failed.is_empty() { Tone::Plain } else { Tone::Alarm };
        lines.push(vec![(
            tone,
            format!(
                "  {}  as of {}  version {}{behind}: {}{failed}",
                zone.moment(run.at),
                zone.moment(run.as_of),
                run.version,
                counted(run.detectors, "detector")
            ),
        )]);
    }
}

fn hands(report: &Report, lines: &mut Vec<Vec<Piece>>) {
    if report.hands.is_empty() {
        lines.push(vec![(Tone::Good, "nothing needs a hand".to_owned())]);
        return;
    }
    lines.push(vec![(Tone::Notice, format!("needs a hand ({})", report.hands.len()))]);
    for hand in report.hands.iter().take(HANDS_MAX) {
        lines.push(plain(format!("  {}", hand.what)));
        lines.push(faint(format!("      {}", hand.look)));
    }
    more(report.hands.len(), HANDS_MAX, "things", lines);
}

#[cfg(test)]
mod tests;
