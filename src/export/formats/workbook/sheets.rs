//! What stands on which sheet.

use super::{Cell, ROWS_MAX, Sheet};
use crate::event::time;
use crate::export::model::{Assessment, Detector, Moment, Table};

/// The sheets, in their order.
pub fn all(it: &Assessment) -> Vec<Sheet> {
    vec![summary(it), population(it), coverage(it), findings(it), exceptions(it), remediation(it), about(it)]
}

fn sheet(name: &'static str, columns: &[(&'static str, u16)], rows: impl Iterator<Item = Vec<Cell>>) -> Sheet {
    let mut kept = Vec::new();
    let mut total = 0;
    for row in rows {
        total += 1;
        if kept.len() < ROWS_MAX {
            kept.push(row);
        }
    }
    Sheet { name, columns: columns.to_vec(), rows: kept, total }
}

fn summary(it: &Assessment) -> Sheet {
    let columns = [
        ("Part", 12),
        ("Title", 34),
        ("Result of the part", 14),
        ("Reason", 50),
        ("Detector", 28),
        ("Severity", 10),
        ("Relation", 20),
        ("Decides", 9),
        ("Result of the test", 14),
        ("Reason of the test", 50),
        ("Events tested", 12),
        ("Found", 9),
        ("Open at end", 9),
        ("Excepted", 10),
        ("Uncertain", 10),
        ("Folder", 44),
    ];
    let rows = it.subcategories.iter().flat_map(|part| {
        let head = vec![
            Cell::text(&part.id),
            Cell::text(&part.title),
            Cell::Outcome(part.verdict.result.to_string()),
            Cell::text(&part.verdict.reason),
        ];
        let mut rows: Vec<Vec<Cell>> = Vec::new();
        for link in &part.links {
            let Some(detector) = it.detector(&link.detector) else { continue };
            let mut row = head.clone();
            row.extend([Cell::text(&detector.id), Cell::text(&detector.severity), Cell::text(link.relation.words())]);
            row.push(Cell::text(if link.decides { "yes" } else { "no" }));
            row.push(Cell::Outcome(detector.verdict.result.to_string()));
            row.push(Cell::text(&detector.verdict.reason));
            let counts = &detector.counts;
            let events = detector.population.events;
            let numbers = [events, counts.found, counts.open_at_end, counts.excepted, counts.uncertain];
            row.extend(numbers.map(Cell::Number));
            row.push(Cell::text(&link.folder));
            rows.push(row);
        }
        if rows.is_empty() { vec![head] } else { rows }
    });
    sheet("Summary", &columns, rows)
}

fn population(it: &Assessment) -> Sheet {
    let columns = [
        ("Detector", 28),
        ("What was tested", 36),
        ("Condition (SQL)", 60),
        ("Source", 16),
        ("Day (UTC)", 12),
        ("Action", 18),
        ("Events", 12),
    ];
    let rows = it.detectors.iter().flat_map(|detector| {
        let population = &detector.population;
        population.totals.iter().map(move |total| {
            let texts =
                [&detector.id, &population.what, &population.definition, &total.source, &total.day, &total.action];
            let mut row: Vec<Cell> = texts.into_iter().map(Cell::text).collect();
            row.push(Cell::Number(total.events));
            row
        })
    });
    sheet("Population", &columns, rows)
}

fn coverage(it: &Assessment) -> Sheet {
    let columns = [
        ("Kind", 10),
        ("Name", 20),
        ("Events", 12),
        ("First event / from", 20),
        ("Last event / until", 20),
        ("Days with events", 10),
        ("Days expected", 10),
        ("Late", 10),
        ("Longest lag (s)", 12),
        ("Wrong clock", 10),
        ("Problems", 80),
    ];
    let none = || Cell::text("");
    let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok()).map_or_else(none, Cell::Number);
    let sources = it.coverage.sources.iter().map(move |source| {
        let mut row = vec![Cell::text("source"), Cell::text(&source.source), Cell::Number(source.events)];
        row.extend([Cell::Time(source.first_event_at), Cell::Time(source.last_event_at)]);
        row.extend([source.days, source.days_expected, source.late].map(Cell::Number));
        row.extend([
            number(source.lag_max_seconds),
            Cell::Number(source.skewed),
            Cell::text(source.problems.join("; ")),
        ]);
        row
    });
    let feeds = it.coverage.feeds.iter().map(move |feed| {
        let mut row = vec![Cell::text("feed"), Cell::text(&feed.feed), Cell::Number(feed.events), none()];
        row.push(Cell::Time(feed.last_event_at));
        row.extend((0..5).map(|_| none()));
        row.push(Cell::text(feed.problem.clone().unwrap_or_default()));
        row
    });
    let gaps = it.coverage.gaps.iter().map(move |gap| {
        let mut row = vec![Cell::text("gap"), Cell::text(&gap.source), none(), Cell::Time(Some(gap.from))];
        row.push(Cell::Time(gap.to));
        row.extend((0..5).map(|_| none()));
        row.push(Cell::text(if gap.to.is_none() { "it goes on" } else { "" }));
        row
    });
    sheet("Coverage", &columns, sources.chain(feeds).chain(gaps))
}

fn findings(it: &Assessment) -> Sheet {
    let columns = [
        ("Detector", 28),
        ("Kind", 10),
        ("Finding", 42),
        ("Severity", 10),
        ("Began", 20),
        ("Ended", 20),
        ("Exception", 40),
        ("Uncertain because", 40),
        ("Evidence", 90),
    ];
    let rows = it.detectors.iter().flat_map(|detector| (0..detector.rows.len()).map(move |row| (detector, row)));
    let total = rows.clone().count();
    // What goes beyond the sheet is not made.
    let mut sheet = sheet("Findings", &columns, rows.take(ROWS_MAX).map(|(detector, row)| finding(detector, row)));
    sheet.total = total;
    sheet
}

fn finding(detector: &Detector, row: usize) -> Vec<Cell> {
    let rows = &detector.rows;
    let moment = |name: &str| Cell::Time(time::parse(rows.named(row, name)).map(Moment));
    vec![
        Cell::text(&detector.id),
        Cell::text(&detector.kind),
        Cell::text(rows.named(row, "finding")),
        Cell::text(rows.named(row, "severity")),
        moment("violated_at"),
        moment("resolved_at"),
        Cell::text(rows.named(row, "exception")),
        Cell::text(rows.named(row, "uncertain")),
        Cell::text(rest(rows, row)),
    ]
}

/// The evidence of a row: every column that has no column of its own.
fn rest(rows: &Table, row: usize) -> String {
    const OWN: [&str; 6] = ["finding", "severity", "violated_at", "resolved_at", "exception", "uncertain"];
    let cells = rows.columns().iter().zip(rows.row(row));
    let shown = cells.filter(|(column, cell)| !OWN.contains(&column.name.as_str()) && !cell.is_empty());
    shown.map(|(column, cell)| format!("{}: {cell}", column.name)).collect::<Vec<_>>().join("\n")
}

fn exceptions(it: &Assessment) -> Sheet {
    let columns = [
        ("Detector", 28),
        ("Reason", 50),
        ("Owner", 30),
        ("Until", 20),
        ("Expired in the period", 12),
        ("Rows covered", 10),
        ("Findings covered", 60),
    ];
    let rows = it.exceptions.iter().map(|exception| {
        let mut row =
            vec![Cell::text(&exception.detector), Cell::text(&exception.reason), Cell::text(&exception.owner)];
        row.push(Cell::Time(Some(exception.until)));
        row.push(Cell::text(if exception.is_expired { "yes" } else { "no" }));
        row.push(Cell::Number(exception.rows.len() as u64));
        row.push(Cell::text(exception.rows.join("\n")));
        row
    });
    sheet("Exceptions", &columns, rows)
}

fn remediation(it: &Assessment) -> Sheet {
    let columns = [
        ("Detector", 28),
        ("Finding", 42),
        ("Severity", 10),
        ("Began", 20),
        ("Ended", 20),
        ("Hours open", 10),
        ("Hours allowed", 10),
        ("State", 14),
        ("Exception", 50),
    ];
    let hours = |seconds: i64| Cell::Number(seconds.max(0).unsigned_abs() / 3600);
    let rows = it.remediation.iter().map(move |remedy| {
        let mut row = vec![Cell::text(&remedy.detector), Cell::text(&remedy.finding), Cell::text(&remedy.severity)];
        row.extend([Cell::Time(Some(remedy.violated_at)), Cell::Time(remedy.resolved_at), hours(remedy.open_seconds)]);
        row.push(remedy.target_seconds.map_or_else(|| Cell::text("nobody said"), hours));
        row.push(Cell::text(remedy.state.as_str()));
        row.push(Cell::text(remedy.exception.clone().unwrap_or_default()));
        row
    });
    sheet("Remediation", &columns, rows)
}

fn about(it: &Assessment) -> Sheet {
    let rows = [
        ("Framework", format!("{} {}", it.framework.title, it.framework.version)),
        ("From", it.period.from.to_string()),
        ("Until just before", it.period.to.to_string()),
        ("Events in the period", it.summary.events.to_string()),
        ("Lake", it.provenance.lake.clone()),
        ("Version of the lake", it.provenance.version.to_string()),
        ("Made by", format!("{} {}", it.tool.name, it.tool.version)),
        ("Evidence hash", it.evidence_sha256.clone()),
        ("Policy hash", it.provenance.policy_sha256.clone()),
        ("Names", if it.scope.identified { "as they are" } else { "under pseudonyms" }.to_owned()),
    ];
    let named = |name: &'static str| move |text: &String| (name, text.clone());
    let rows = rows
        .into_iter()
        .chain(it.scope.statements.iter().map(named("What a result says")))
        .chain(it.coverage.problems.iter().map(named("Coverage is not complete")))
        .chain(it.limits.iter().map(named("What this data cannot show")));
    sheet("About", &[("What", 28), ("Value", 120)], rows.map(|(name, text)| vec![Cell::text(name), Cell::text(text)]))
}
