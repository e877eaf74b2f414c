//! A synthetic company: token events of any number, from a seed, with violations planted and written down.
//!
//! The point is the truth beside the records: exactly the findings that the four detectors of the mission must have
//! at the company's end under the default policy, so a run over millions of records can be checked to the row.
//! Ordinary life ([`life`]) is quiet by construction; every violation, and every near miss, is a story with a cast of
//! its own ([`offboarding`], [`age`], [`shared_host`], [`lost_device`]). Tests check both against a slow, plain
//! reading of what each detector means. The same options give the same bytes. Memory grows with grants, not with events.

mod age;
mod cast;
mod company;
mod dice;
mod grant;
pub mod leads;
mod life;
mod lost_device;
mod offboarding;
mod quickstart;
mod record;
mod shared_host;
mod shuffle;
mod steady;
mod story;
mod workload;

use std::fmt;
use std::io::{self, Write};

use dice::{Dice, mix};
use shuffle::Shuffle;

/// 2026-11-01T00:00:00Z.
const END: i64 = 1_793_491_200_000_000;
/// How much is gathered before it is written.
const CHUNK_BYTES: usize = 1 << 20;

/// What to generate.
#[derive(Clone, Debug)]
pub struct Options {
    /// Number of records (the quickstart has as many as it has). Repeats count, broken lines do not.
    pub events: u64,
    pub seed: u64,
    pub shape: Shape,
    /// The moment the truth is for, µs since 1970 UTC, in whole milliseconds; history is the 100 days before it
    /// (workload: 30).
    pub end: i64,
    /// Records in random order; above 65,536 records, each displaced within a window of that many.
    pub shuffle: bool,
    /// Broken lines mixed in between, on top of `events`.
    pub broken: u64,
}

/// Which records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A company with planted violations.
    Company,
    /// The company of sample-data/quickstart.ndjson: few people, with names to remember.
    Quickstart,
    /// The benchmark's flat stream, without truth. `context` adds 500 `offboard` and 500 `device_lost` records.
    Workload { context: bool },
    /// A steady company whose history is as long as the stream, without truth.
    Steady,
}

impl Default for Options {
    fn default() -> Self {
        Self { events: 100_000, seed: 1, shape: Shape::Company, end: END, shuffle: false, broken: 0 }
    }
}

/// A finding that must be found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Truth {
    pub detector: &'static str,
    /// Column and value, in the order of the detector's key.
    pub key: Vec<(&'static str, String)>,
    /// Microseconds since 1970 UTC.
    pub violated_at: i64,
    pub resolved_at: Option<i64>,
    pub severity: &'static str,
}

impl fmt::Display for Truth {
    /// One line of JSON. No value needs an escape.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key: Vec<String> = self.key.iter().map(|(column, value)| format!("\"{column}\":\"{value}\"")).collect();
        let resolved_at = self.resolved_at.map_or("null".to_owned(), |at| format!("\"{}\"", story::spell_time(at)));
        let (detector, severity, key) = (self.detector, self.severity, key.join(","));
        let violated_at = story::spell_time(self.violated_at);
        write!(f, "{{\"detector\":\"{detector}\",\"key\":{{{key}}},\"violated_at\":\"{violated_at}\",")?;
        write!(f, "\"resolved_at\":{resolved_at},\"severity\":\"{severity}\"}}")
    }
}

/// Where records come from, one by one.
enum Source {
    Company(Box<company::Teller>),
    Workload(workload::Stream),
    Steady(steady::Stream),
}

impl Source {
    fn next(&mut self, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Company(teller) => teller.next(out),
            Self::Workload(stream) => stream.next(out),
            Self::Steady(stream) => stream.next(out),
        }
    }
}

/// The records and the truth of one set of options.
pub struct Generator {
    source: Source,
    truth: Vec<Truth>,
    shuffle: Option<Shuffle>,
    broken: Broken,
    head: String,
}

impl Generator {
    /// Plans everything: afterwards the truth is known, and records are told as they are asked for.
    pub fn new(options: &Options) -> Self {
        let options = &Options { end: options.end / 1000 * 1000, ..options.clone() };
        let (source, mut truth, events) = match options.shape {
            Shape::Workload { context } => {
                let stream = workload::Stream::new(options, context);
                let events = stream.records();
                (Source::Workload(stream), Vec::new(), events)
            }
            Shape::Steady => (Source::Steady(steady::Stream::new(options)), Vec::new(), options.events),
            shape => {
                let (teller, truth) = company::plan(options, shape == Shape::Quickstart);
                let events = teller.records();
                (Source::Company(Box::new(teller)), truth, events)
            }
        };
        truth.sort();
        let as_of = story::spell_time(options.end);
        let head = format!("{{\"as_of\":\"{as_of}\",\"events\":{events},\"seed\":{}}}", options.seed);
        let shuffle = options.shuffle.then(|| Shuffle::new(Dice::new(mix(options.seed ^ 0x5eed))));
        Self { source, truth, shuffle, broken: Broken::new(options.broken, events), head }
    }

    /// Appends the next record as a line of NDJSON; false, and nothing appended, at the end.
    pub fn next(&mut self, out: &mut Vec<u8>) -> bool {
        if self.broken.is_due() {
            self.broken.write(out);
            return true;
        }
        self.broken.passed += 1;
        match &mut self.shuffle {
            None => self.source.next(out),
            Some(shuffle) => shuffle.next(out, |line| self.source.next(line)),
        }
    }

    /// What must be found at the end, in the order of detector and key.
    pub fn truth(&self) -> &[Truth] {
        &self.truth
    }

    /// Writes all records that are left; returns how many lines.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write_to(&mut self, mut to: impl Write) -> io::Result<u64> {
        let (mut chunk, mut lines) = (Vec::with_capacity(CHUNK_BYTES + 4096), 0);
        while self.next(&mut chunk) {
            lines += 1;
            if chunk.len() >= CHUNK_BYTES {
                to.write_all(&chunk)?;
                chunk.clear();
            }
        }
        to.write_all(&chunk)?;
        to.flush()?;
        Ok(lines)
    }

    /// Writes the truth: a first line `{"as_of","events","seed"}`, then one finding a line.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write_truth_to(&self, mut to: impl Write) -> io::Result<()> {
        writeln!(to, "{}", self.head)?;
        for finding in &self.truth {
            writeln!(to, "{finding}")?;
        }
        to.flush()
    }
}

/// Lines that must be rejected, spread evenly among the records.
struct Broken {
    written: u64,
    passed: u64,
    every: u64,
    all: u64,
}

impl Broken {
    const LINES: [&[u8]; 6] = [
        b"not JSON at all\n",
        b"{\"event_time\":\"2026-10-01T08:00:00Z\",\"action\":\"refr\n",
        b"{\"event_time\":\"2026-10-01T08:00:00Z\",\"action\":\"refresh\",\"project\":\"\xff\xfe\"}\n",
        b"{\"event_time\":\"2026-10-01T08:00:00Z\",\"action\":\"teleport\"}\n",
        b"{\"action\":\"refresh\",\"subject\":{\"id\":\"alice@example.com\"}}\n",
        b"{\"event_time\":\"2026-10-01T08:00:00Z\",\"action\":\"refresh\",\"subject\":7}\n",
    ];

    fn new(all: u64, events: u64) -> Self {
        Self { written: 0, passed: 0, every: events / (all + 1), all }
    }

    fn is_due(&self) -> bool {
        self.written < self.all && self.passed >= (self.written + 1) * self.every
    }

    fn write(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(Self::LINES[(self.written % 6) as usize]);
        self.written += 1;
    }
}

#[cfg(test)]
mod tests;
