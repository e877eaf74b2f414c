//! What the service counts about itself, for Prometheus: is it behind, does it judge, do its alerts arrive.
//!
//! Whoever does something tells it here in plain words; nobody else knows the registry. Labels are names of detectors,
//! topics, partitions and kinds, never anything out of a record: metrics go where the lake's readers need not be.

pub mod declared;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::prometheus_text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::clock;
use crate::detect::Report;
use crate::detect::lifecycle::Change;
use crate::finding::Severity;
use crate::ingest::rejections::Reason;
use crate::ingest::{Committed, Observer, Progress};
use crate::source::Lags;
use declared::{Declaring, Described, Number, Series};

/// What became of alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertOutcome {
    Queued,
    Sent,
    Failed,
    Dead,
    Silenced,
}

impl AlertOutcome {
    /// Every outcome.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Sent, Self::Failed, Self::Dead, Self::Silenced];

    /// Its spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Dead => "dead",
            Self::Silenced => "silenced",
        }
    }
}

/// Commits that no reader has seen yet; more than these are not waited for.
const UNSEEN_MAX: usize = 1024;
/// Sources that are followed at once.
const FOLLOWED_MAX: usize = 64;

/// The handle; copies of it count together.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    described: Vec<Described>,
    ingest: OfIngest,
    detect: OfDetect,
    service: OfService,
    alerts: Series<Counter>,
    alert_round: Histogram,
    unseen: Mutex<VecDeque<(i64, Instant)>>,
    followed: Mutex<Vec<Arc<Lags>>>,
    /// Open findings of each detector by severity, mildest first: a run of some detectors says nothing of the others.
    open: Mutex<BTreeMap<String, [usize; Severity::ALL.len()]>>,
}

struct OfIngest {
    records: Counter,
    rows: Series<Counter>,
    rejected: Series<Counter>,
    lag: Series<Number>,
    commit: Histogram,
    commit_age: Histogram,
    commit_to_query: Histogram,
    last_commit_at: Number,
    version: Number,
}

struct OfDetect {
    run: Histogram,
    seconds: Series<Histogram>,
    failures: Series<Counter>,
    changes: Series<Counter>,
    open: Series<Number>,
    open_by_severity: Series<Number>,
    last_run_at: Number,
    version: Number,
}

struct OfService {
    queue: Series<Number>,
    part: Series<Number>,
    scheduler: Number,
    reloads: Series<Counter>,
    memory: Number,
    memory_max: Number,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics at nothing.
    pub fn new() -> Self {
        let mut d = Declaring::begin();
        let (ingest, detect) = (OfIngest::declare(&mut d), OfDetect::declare(&mut d));
        let alerts = d.counters("alerts", &["outcome"], "Alerts by what became of them; dead ones were given up");
        let alert_round = d.histogram("alert_round_seconds", "Time of one round through the outbox");
        let service = OfService::declare(&mut d);
        let started = d.gauge("start_timestamp_seconds", "When this process began, seconds since 1970");
        started.set(clock::now_micros() as f64 / 1e6);
        let build = d.gauges("build_info", &["version"], "Always 1; says which version runs");
        build.of([env!("CARGO_PKG_VERSION")]).set(1.0);
        // A series that is there from the start counts its first event too: `increase` sees nothing of one that appears.
        AlertOutcome::ALL.iter().for_each(|outcome| drop(alerts.of([outcome.as_str()])));
        let Declaring { registry, described } = d;
        let (unseen, followed, open) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self(Arc::new(Inner {
            registry,
            described,
            ingest,
            detect,
            service,
            alerts,
            alert_round,
            unseen,
            followed,
            open,
        }))
    }

    /// Every metric, in the order they are scraped.
    pub fn described(&self) -> &[Described] {
        &self.0.described
    }

    /// What a scrape gets, in Prometheus's text format 0.0.4.
    ///
    /// # Errors
    /// None is known: writing to a text does not fail.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let (lag, followed) = (&self.0.ingest.lag, lock(&self.0.followed));
        lag.clear();
        for (id, records) in followed.iter().flat_map(|lags| lags.get()) {
            lag.of([&id.topic, &id.partition.to_string()]).set(records as f64);
        }
        drop(followed);
        if let Some(bytes) = resident_bytes() {
            self.0.service.memory.set(bytes as f64);
        }
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.0.registry)?;
        Ok(text)
    }

    /// How far an ingest got.
    pub fn progressed(&self, progress: &Progress) {
        self.queue("decoding", progress.decoding as u64);
        self.queue("batch_rows", progress.buffered as u64);
    }

    /// How much waits in one of our queues: `decoding` (chunks), `batch_rows`, `outbox` (alerts).
    pub fn queue(&self, queue: &str, depth: u64) {
        self.0.service.queue.of([queue]).set(depth as f64);
    }

    /// A reader other than the writer sees this version: whatever was committed up to it can be asked for.
    pub fn version_seen(&self, version: i64) {
        let mut unseen = lock(&self.0.unseen);
        while let Some((_, since)) = unseen.front().filter(|(committed, _)| *committed <= version) {
            self.0.ingest.commit_to_query.observe(since.elapsed().as_secs_f64());
            unseen.pop_front();
        }
        if version as f64 > self.0.ingest.version.get() {
            self.0.ingest.version.set(version as f64);
        }
    }

    /// These detectors will run.
    pub fn detectors<'a>(&self, ids: impl IntoIterator<Item = &'a str>) {
        for id in ids {
            self.0.detect.failures.of([id]);
            self.0.detect.seconds.of([id]);
            self.0.detect.open.of([id]);
            for change in [Change::Opened, Change::Reopened, Change::Resolved, Change::Retracted] {
                self.0.detect.changes.of([id, change.as_str()]);
            }
        }
    }

    /// A run of detectors came to its end after `took`.
    pub fn detected(&self, report: &Report, took: Duration) {
        let detect = &self.0.detect;
        for outcome in &report.outcomes {
            let id = outcome.detector.as_str();
            detect.seconds.of([id]).observe(outcome.took.as_secs_f64());
            detect.failures.of([id]).inc_by(u64::from(outcome.verdicts.is_err()));
            let ours = || report.open.iter().filter(|finding| &*finding.verdict.detector == id);
            let by_severity = Severity::ALL.map(|(_, wanted)| ours().filter(|f| f.verdict.severity == wanted).count());
            detect.open.of([id]).set(ours().count() as f64);
            lock(&self.0.open).insert(id.to_owned(), by_severity);
        }
        for transition in report.transitions.iter().filter(|_| report.recorded) {
            detect.changes.of([&transition.finding.verdict.detector, transition.change.as_str()]).inc();
        }
        for (place, (name, _)) in Severity::ALL.iter().enumerate() {
            let open: usize = lock(&self.0.open).values().map(|by_severity| by_severity[place]).sum();
            detect.open_by_severity.of([name]).set(open as f64);
        }
        detect.run.observe(took.as_secs_f64());
        detect.version.set(report.version as f64);
        detect.last_run_at.set(clock::now_micros() as f64 / 1e6);
    }

    /// So many alerts came to this.
    pub fn alerts(&self, outcome: AlertOutcome, count: u64) {
        self.0.alerts.of([outcome.as_str()]).inc_by(count);
    }

    /// A round through the outbox took so long.
    pub fn alert_round(&self, took: Duration) {
        self.0.alert_round.observe(took.as_secs_f64());
    }

    /// Whether this process is the one that runs the detectors.
    pub fn scheduler(&self, is_ours: bool) {
        self.0.service.scheduler.set(f64::from(u8::from(is_ours)));
    }

    /// Whether a part of the service does its work.
    pub fn part(&self, part: &str, is_up: bool) {
        self.0.service.part.of([part]).set(f64::from(u8::from(is_up)));
    }

    /// The configuration was read again, and taken or refused.
    pub fn reloaded(&self, is_taken: bool) {
        self.0.service.reloads.of([if is_taken { "taken" } else { "refused" }]).inc();
    }

    /// How much memory this process may use, bytes; 0: it was not limited.
    pub fn memory_max(&self, bytes: u64) {
        self.0.service.memory_max.set(bytes as f64);
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Metrics({} of them)", self.0.described.len())
    }
}

impl Observer for Metrics {
    fn committed(&self, commit: &Committed) {
        let (ingest, summary) = (&self.0.ingest, &commit.summary);
        ingest.records.inc_by(summary.records);
        for (outcome, rows) in OUTCOMES.iter().zip([
            summary.events,
            summary.context,
            summary.rejected,
            summary.duplicates,
            summary.skipped,
        ]) {
            ingest.rows.of([outcome]).inc_by(rows);
        }
        for (reason, rows) in &commit.rejected {
            ingest.rejected.of([reason.as_str()]).inc_by(*rows);
        }
        let now = clock::now_micros();
        ingest.commit.observe(summary.seconds);
        if let Some(received_at) = commit.oldest_received_at {
            ingest.commit_age.observe((now - received_at).max(0) as f64 / 1e6);
        }
        ingest.last_commit_at.set(now as f64 / 1e6);
        let mut unseen = lock(&self.0.unseen);
        if unseen.len() == UNSEEN_MAX {
            unseen.pop_front();
        }
        unseen.push_back((summary.committed_version, Instant::now()));
    }

    fn follows(&self, lags: Arc<Lags>) {
        let mut followed = lock(&self.0.followed);
        // Whoever is held by nobody else has ended.
        followed.retain(|lags| Arc::strong_count(lags) > 1);
        if followed.len() < FOLLOWED_MAX {
            followed.push(lags);
        }
    }
}

/// What becomes of rows, in the order of the summary's counts.
const OUTCOMES: [&str; 5] = ["event", "context", "rejected", "duplicate", "skipped"];

impl OfIngest {
    fn declare(d: &mut Declaring) -> Self {
        let of = Self {
            records: d.counter("ingest_records", "Records read and committed"),
            rows: d.counters("ingest_rows", &["outcome"], "Rows that came of records, by what they are"),
            rejected: d.counters("ingest_rejected", &["reason"], "Rejected rows by kind of reason"),
            lag: d.gauges("ingest_lag_records", &["topic", "partition"], "Records of a partition still to be read"),
            commit: d.histogram("commit_seconds", "Time to write a batch and commit it"),
            commit_age: d
                .histogram("commit_age_seconds", "From when Kafka received the oldest record of a batch to its commit"),
            commit_to_query: d.histogram("commit_to_query_seconds", "From a commit to the moment a reader sees it"),
            last_commit_at: d.gauge("last_commit_timestamp_seconds", "When the last batch was committed, since 1970"),
            version: d.gauge("lake_version", "Newest version of the lake that a reader has seen"),
        };
        OUTCOMES.iter().for_each(|outcome| drop(of.rows.of([outcome])));
        Reason::ALL.iter().for_each(|reason| drop(of.rejected.of([reason.as_str()])));
        of
    }
}

impl OfDetect {
    fn declare(d: &mut Declaring) -> Self {
        let of = Self {
            run: d.histogram("detect_run_seconds", "Time of one run of detectors, recording included"),
            seconds: d.histograms("detector_seconds", &["detector"], "Time of one detector's own questions in a run"),
            failures: d.counters("detector_failures", &["detector"], "Runs in which a detector failed"),
            changes: d.counters(
                "finding_changes",
                &["detector", "change"],
                "Findings opened, reopened, changed, resolved, excepted or retracted",
            ),
            open: d.gauges("detector_findings_open", &["detector"], "Open findings of a detector after its last run"),
            open_by_severity: d.gauges("findings_open", &["severity"], "Open findings after the last run"),
            last_run_at: d.gauge("detect_last_run_timestamp_seconds", "When the last run came to its end, since 1970"),
            version: d.gauge("detect_version", "Version of the lake that the last run judged"),
        };
        Severity::ALL.iter().for_each(|(name, _)| drop(of.open_by_severity.of([name])));
        of
    }
}

impl OfService {
    fn declare(d: &mut Declaring) -> Self {
        let of = Self {
            queue: d.gauges("queue_depth", &["queue"], "What waits: chunks to decode, rows to commit, alerts to send"),
            part: d.gauges("part_up", &["part"], "1 while a part of the service does its work"),
            scheduler: d.gauge("scheduler_is_ours", "1 while this process runs the detectors of the lake"),
            reloads: d.counters("config_reloads", &["outcome"], "Configurations read again, taken or refused"),
            memory: d.gauge("memory_resident_bytes", "Memory of this process"),
            memory_max: d.gauge("memory_max_bytes", "Memory this process may use; 0 where there is no limit"),
        };
        ["decoding", "batch_rows", "outbox"].iter().for_each(|queue| drop(of.queue.of([queue])));
        ["taken", "refused"].iter().for_each(|outcome| drop(of.reloads.of([outcome])));
        of
    }
}

/// Resident memory, where the system tells it as Linux does.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// A lock whose holder panicked still guards plain values.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
