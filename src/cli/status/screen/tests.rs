use super::super::Run;
use super::super::hands::{Feed, Hand};
use super::*;

fn text(lines: &[Vec<Piece>]) -> Vec<String> {
    lines.iter().map(|line| line.iter().map(|(_, text)| text.as_str()).collect()).collect()
}

#[test]
fn the_fullest_report_is_one_screen() {
    let long = "x".repeat(300);
    let source =
        |i: i64| Source { topic: format!("{long}{i}"), last_event_at: Some(i), rejected: i, ..Source::default() };
    let feed = |i: i64| Feed::of(format!("{long}{i}"), "offboarding", &[0, 1, 2, 3, 4, 5, 6, i + 10]);
    let report = Report {
        as_of: 1_793_534_400_000_000,
        sources: (0..50).map(source).collect(),
        feeds: (0..50).map(feed).collect(),
        looked_after: 3,
        runs: vec![Run { failed: vec![(long.clone(), long.clone())], ..Run::default() }; 3],
        hands: vec![Hand { what: long.clone(), look: long }; 50],
        ..Report::default()
    };
    let screen = text(&lines(&report, &Zone::utc(), 100));
    assert!(screen.len() <= 40, "{} lines:\n{}", screen.len(), screen.join("\n"));
    assert!(screen.iter().all(|line| console::measure_text_width(line) <= 100), "{}", screen.join("\n"));
    assert!(screen.iter().any(|line| line.contains("and 43 sources more")), "{}", screen.join("\n"));
}

#[test]
fn an_empty_lake_has_a_screen_too() {
    let screen = text(&lines(&Report::default(), &Zone::utc(), 100)).join("\n");
    assert!(screen.contains("tokentrail ingest") && screen.contains("nothing needs a hand"), "{screen}");
}
