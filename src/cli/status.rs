//! `tokentrail status`: the first screen of a shift. What came in and how long ago, what is open, what ran, and what
//! needs a hand, each with the command to look further.

mod hands;
mod screen;

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::query::quiet_pipe;
use super::timeline::{Times, print, terminal_width};
use super::{Global, Output};
use crate::clock;
use crate::detect::catalog::Catalog;
use crate::detect::feeds::Feeds;
use crate::detect::log;
use crate::detect::runs::Came;
use crate::event::time;
use crate::finding::{Finding, Severity, State as FindingState};
use crate::lake::Lake;
use crate::lake::table::State;
use crate::policy::Policy;
use crate::query::{self, SessionContext, output, views};
use crate::timeline::zone::Zone;
use hands::{AGES, Feed, Hand};

/// Arguments of `status`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    times: Times,
    /// Judge as if it were this moment (RFC 3339); the wall clock if not given
    #[arg(long, value_name = "TIME", value_parser = super::detect::moment)]
    as_of: Option<i64>,
    /// Cut lines to so many columns; the terminal's width if not given, and 100 where there is none
    #[arg(long, value_name = "COLUMNS")]
    width: Option<usize>,
}

/// Runs that are looked at.
const RUNS: usize = 3;

/// What came from one topic or file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Source {
    topic: String,
    /// The providers whose records it holds.
    providers: Vec<String>,
    last_event_at: Option<i64>,
    last_received_at: Option<i64>,
    events: i64,
    rejected: i64,
    /// Offsets or lines read, over all partitions.
    read: i64,
}

/// One run of the detectors.
#[derive(Clone, Debug, Default)]
struct Run {
    id: String,
    at: i64,
    as_of: i64,
    version: i64,
    detectors: usize,
    failed: Vec<(String, String)>,
}

/// Everything the screen says.
#[derive(Clone, Debug, Default)]
struct Report {
    as_of: i64,
    version: i64,
    rows: u64,
    bytes: u64,
    files: usize,
    sources: Vec<Source>,
    feeds: Vec<Feed>,
    /// Open findings, and those acked or suppressed beside them: by severity, worst first, and age bucket.
    open: BTreeMap<&'static str, [usize; AGES.len()]>,
    looked_after: usize,
    runs: Vec<Run>,
    hands: Vec<Hand>,
    positions: BTreeMap<String, i64>,
}

/// Runs the command.
pub async fn run(args: Args, global: &Global) -> anyhow::Result<ExitCode> {
    let lake = Lake::open(&global.lake).await?;
    let policy = global.load_policy()?;
    let catalog = Catalog::load(global.queries.as_deref())?;
    let state = lake.events().refresh().await?;
    let as_of = args.as_of.unwrap_or_else(clock::now_micros);
    let report = gather(&lake, &state, &policy, &catalog, as_of).await?;
    let zone = args.times.zone();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let printed = match global.output {
        Output::Table => {
            let width = args.width.or_else(terminal_width).unwrap_or(100);
            print(&screen::lines(&report, &zone, width), &mut out)
        }
        Output::Json => {
            let whole = serde_json::to_writer_pretty(&mut out, &report.json(&zone));
            whole.map_err(io::Error::from).and_then(|()| writeln!(out))
        }
        Output::Ndjson => {
            let whole = serde_json::to_writer(&mut out, &report.json(&zone));
            whole.map_err(io::Error::from).and_then(|()| writeln!(out))
        }
        Output::Csv => {
            let names = [
                "source",
                "providers",
                "last_event_at",
                "last_received_at",
                "lag_seconds",
                "events",
                "rejected",
                "read",
            ];
            output::csv(names.into_iter(), report.sources.iter().map(|s| source(s, as_of, &zone)), &mut out)
        }
    };
    quiet_pipe(printed.and_then(|()| out.flush()))?;
    Ok(ExitCode::SUCCESS)
}

async fn gather(lake: &Lake, state: &State, policy: &Policy, catalog: &Catalog, as_of: i64) -> anyhow::Result<Report> {
    let context = query::session(query::Limits::default())?;
    let files = query::events(lake, &context, state.files.values().cloned().collect())?;
    views::replace(&context, "events", files)?;
    log::register(lake, &context).await?;
    let findings = log::present(lake).await?;
    let mut report = Report {
        as_of,
        version: state.version,
        rows: state.rows(),
        bytes: state.files.values().map(|file| file.bytes).sum(),
        files: state.files.len(),
        sources: sources(&context, state, as_of).await?,
        feeds: feeds(&context).await?,
        runs: runs(&context).await?,
        positions: state.positions.clone(),
        ..Report::default()
    };
    count(&findings, as_of, &mut report);
    report.hands.extend(hands::of_runs(&report.runs, report.rows));
    report.hands.extend(hands::of_feeds(&report.feeds, as_of));
    report.hands.extend(hands::of_rejected(&rejected_by_day(state), as_of));
    report.hands.extend(hands::of_exceptions(policy.exceptions(), as_of));
    report.hands.extend(hands::of_suppressed(&findings, as_of));
    if report.rows > 0 {
        let lacking = Feeds::of(lake).await?;
        let lacked = catalog.all().iter().flat_map(|detector| {
            lacking.lacked_by(&detector.header).into_iter().map(move |action| (action, detector.id.as_str()))
        });
        report.hands.extend(hands::of_lacking(lacked));
    }
    Ok(report)
}

/// What each topic or file brought, most recent first.
async fn sources(context: &SessionContext, state: &State, as_of: i64) -> anyhow::Result<Vec<Source>> {
    let sql = "SELECT topic, source, class = 'rejected' AS is_rejected, COUNT(*) AS n, \
               MAX(CASE WHEN class <> 'rejected' THEN event_time END) AS last_event_at, MAX(received_at) AS last_received_at \
               FROM events GROUP BY topic, source, class = 'rejected' ORDER BY topic, source";
    let rows = query::collect(query::plan(context, sql).await?).await?;
    let mut sources: BTreeMap<String, Source> = BTreeMap::new();
    for row in output::objects(&rows.batches) {
        let text = |name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
        let moment = |name: &str| text(name).and_then(|at| time::parse(&at));
        let topic = text("topic").unwrap_or_else(|| "unknown".to_owned());
        let n = row.get("n").and_then(Value::as_i64).unwrap_or(0);
        let source = sources.entry(topic.clone()).or_insert_with(|| Source { topic, ..Source::default() });
        if row.get("is_rejected").and_then(Value::as_bool) == Some(true) {
            source.rejected += n;
        } else {
            source.events += n;
            source.providers.extend(text("source"));
        }
        // What a source's clock puts into the future says nothing of when it was last heard of.
        source.last_event_at = source.last_event_at.max(moment("last_event_at").map(|at| at.min(as_of)));
        source.last_received_at = source.last_received_at.max(moment("last_received_at"));
    }
    for (name, next) in state.positions.iter().filter(|(name, _)| !name.contains('#')) {
        let first = state.positions.get(&format!("{name}#first")).copied().unwrap_or(0);
        let topic = sources
            .values_mut()
            .find(|s| name.rsplit_once('/').is_some_and(|(id, _)| id.ends_with(&format!(":{}", s.topic))));
        if let Some(source) = topic {
            source.read += next - first;
        }
    }
    let mut sources: Vec<Source> = sources.into_values().collect();
    sources.iter_mut().for_each(|source| source.providers.dedup());
    sources.sort_by(|a, b| (b.last_event_at, &a.topic).cmp(&(a.last_event_at, &b.topic)));
    Ok(sources)
}

/// Feeds of context, by source: when each was heard of.
async fn feeds(context: &SessionContext) -> anyhow::Result<Vec<Feed>> {
    let sql = "SELECT DISTINCT coalesce(source, 'unknown') AS source, action, event_time FROM events \
               WHERE class = 'context' ORDER BY event_time";
    let rows = query::collect(query::plan(context, sql).await?).await?;
    let mut feeds: BTreeMap<(String, &'static str), Vec<i64>> = BTreeMap::new();
    for row in output::objects(&rows.batches) {
        let text = |name: &str| row.get(name).and_then(Value::as_str);
        let kind = match text("action") {
            Some("offboard" | "reinstate") => "offboarding",
            Some("device_lost" | "device_recovered") => "device",
            Some("compromise") => "compromise",
            _ => continue,
        };
        let at = text("event_time").and_then(time::parse);
        let source = text("source").unwrap_or_default().to_owned();
        feeds.entry((source, kind)).or_default().extend(at);
    }
    Ok(feeds.into_iter().map(|((source, kind), times)| Feed::of(source, kind, &times)).collect())
}

/// The last runs, newest first.
async fn runs(context: &SessionContext) -> anyhow::Result<Vec<Run>> {
    if !context.table_exist("detector_runs")? {
        return Ok(Vec::new());
    }
    let sql =
        format!("SELECT run_id, at, as_of, version, outcomes FROM detector_runs ORDER BY at DESC, run_id LIMIT {RUNS}");
    let rows = query::collect(query::plan(context, &sql).await?).await?;
    Ok(output::objects(&rows.batches).map(|row| a_run(&row)).collect())
}

fn a_run(row: &Map<String, Value>) -> Run {
    let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
    let came: Vec<Came> = serde_json::from_str(text("outcomes")).unwrap_or_default();
    Run {
        id: text("run_id").to_owned(),
        at: time::parse(text("at")).unwrap_or(0),
        as_of: time::parse(text("as_of")).unwrap_or(0),
        version: row.get("version").and_then(Value::as_i64).unwrap_or(0),
        detectors: came.len(),
        failed: came.into_iter().filter_map(|came| Some((came.detector, came.failed?))).collect(),
    }
}

/// Rejected records by day of arrival, which the log knows without a look at the rows.
fn rejected_by_day(state: &State) -> BTreeMap<String, u64> {
    let mut days = BTreeMap::new();
    for file in state.files.values() {
        if let (Some("rejected"), Some(day)) = (file.partition("class"), file.partition("event_date")) {
            *days.entry(day.to_owned()).or_default() += file.rows;
        }
    }
    days
}

fn count(findings: &[Finding], as_of: i64, report: &mut Report) {
    for (name, _) in Severity::ALL {
        report.open.insert(name, [0; AGES.len()]);
    }
    for finding in findings {
        match finding.state {
            FindingState::Open => {
                let counts = report.open.entry(finding.verdict.severity.as_str()).or_default();
                counts[hands::bucket(as_of - finding.verdict.violated_at)] += 1;
            }
            FindingState::Acked | FindingState::Suppressed => report.looked_after += 1,
            _ => {}
        }
    }
}

fn source(source: &Source, as_of: i64, zone: &Zone) -> Map<String, Value> {
    let value = json!({
        "source": source.topic,
        "providers": source.providers.join(" "),
        "last_event_at": source.last_event_at.map(|at| zone.format(at)),
        "last_received_at": source.last_received_at.map(|at| zone.format(at)),
        "lag_seconds": source.last_event_at.map(|at| (as_of - at) / time::SECOND),
        "events": source.events,
        "rejected": source.rejected,
        "read": source.read,
    });
    value.as_object().cloned().unwrap_or_default()
}

impl Report {
    /// Everything, as one object.
    fn json(&self, zone: &Zone) -> Value {
        let at = |at: i64| zone.format(at);
        let ages = |counts: &[usize; AGES.len()]| -> Map<String, Value> {
            AGES.iter().zip(counts).map(|((name, _), count)| ((*name).to_owned(), json!(count))).collect()
        };
        let open: Map<String, Value> =
            self.open.iter().map(|(severity, counts)| ((*severity).to_owned(), json!(ages(counts)))).collect();
        let runs = self.runs.iter().map(|run| {
            let failed: Vec<Value> =
                run.failed.iter().map(|(id, why)| json!({ "detector": id, "reason": why })).collect();
            json!({ "run_id": run.id, "at": at(run.at), "as_of": at(run.as_of), "version": run.version,
                    "detectors": run.detectors, "failed": failed })
        });
        json!({
            "as_of": at(self.as_of),
            "lake": { "version": self.version, "rows": self.rows, "files": self.files, "bytes": self.bytes },
            "sources": self.sources.iter().map(|s| source(s, self.as_of, zone)).collect::<Vec<_>>(),
            "feeds": self.feeds.iter().map(|feed| feed.json(self.as_of, zone)).collect::<Vec<_>>(),
            "open": open,
            "acked_or_suppressed": self.looked_after,
            "runs": runs.collect::<Vec<_>>(),
            "needs_a_hand": self.hands.iter().map(|h| json!({ "what": h.what, "look": h.look })).collect::<Vec<_>>(),
            "positions": self.positions,
        })
    }
}
