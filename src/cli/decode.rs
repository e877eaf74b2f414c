//! `tokentrail decode`: record by record, what ingest would make of a file. Nothing is stored.

mod summary;

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::FuturesOrdered;
use serde_json::{Map, Value};

use super::key::KeyArgs;
use super::mapping::MappingArgs;
use super::query::{quiet_pipe, table};
use super::{Global, Output, ingest};
use crate::csv::Header;
use crate::decode::mapping::Mapping;
use crate::decode::{self, Format, Found, Verdict};
use crate::event::Rejection;
use crate::ingest::protection::Protection;
use crate::query::output;
use crate::source::file::FileSource;
use crate::source::{self, Body, Chunk, Polled, Source as _};
use summary::Summary;

/// Arguments of `decode`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// File (plain, gzip or zstd), folder, or `-` for standard input
    pub file: PathBuf,
    /// How records are written; auto: recognised by shape, record by record
    #[arg(long, env = "TOKENTRAIL_FORMAT", default_value = Format::Auto.as_str(), value_parser = ingest::format_parser())]
    pub format: Format,
    /// Only count what became of them, on every core
    #[arg(long)]
    pub summary: bool,
    #[command(flatten)]
    pub mapping: MappingArgs,
    #[command(flatten)]
    pub key: KeyArgs,
}

/// Columns of the table for people.
const SHOWN: [&str; 11] = [
    "record",
    "verdict",
    "reason",
    "event_time",
    "action",
    "outcome",
    "subject_id",
    "client_id",
    "grant_id",
    "source",
    "source_event",
];
/// Rows of the table for people.
const TABLE_ROWS_MAX: u64 = 1000;

/// Runs the command.
pub async fn run(args: Args, global: &Global) -> anyhow::Result<ExitCode> {
    let mapping = args.mapping.load()?;
    let layout = mapping.as_ref().and_then(|mapping| mapping.csv()).cloned();
    let name = args.file.display().to_string();
    let mut file = FileSource::open_as(&[args.file], BTreeMap::new(), layout)?;
    // Without a key yet, fingerprints that nobody else can make will do: nothing is stored.
    let protection = match args.key.known()? {
        Some(keys) => Arc::new(Protection::new(&keys.current, false)),
        None => Protection::passing(),
    };
    let reading = Reading { name, format: args.format, mapping, protection };
    if args.summary {
        let summary = reading.count(&mut file).await?;
        quiet_pipe(write!(io::stdout().lock(), "{summary}"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut report = Report::new(global.output);
    while let Some(chunk) = reading.next(&mut file).await? {
        if !report.chunk(&reading.clean(chunk), &reading)? {
            return Ok(ExitCode::SUCCESS);
        }
    }
    quiet_pipe(report.end())?;
    if !global.quiet {
        eprint!("{}", report.summary);
    }
    Ok(ExitCode::SUCCESS)
}

/// How records are read.
#[derive(Clone)]
struct Reading {
    name: String,
    format: Format,
    mapping: Option<Arc<Mapping>>,
    protection: Arc<Protection>,
}

impl Reading {
    /// The records that come next; `None` at the end.
    async fn next(&self, file: &mut FileSource) -> anyhow::Result<Option<Chunk>> {
        loop {
            match file.next().await? {
                Polled::Chunk(mut chunk) => {
                    if let (Some(mapping), Some(header)) = (&self.mapping, chunk.header.take()) {
                        let header = mapping.header(Some(header));
                        chunk.header = header.map_err(|why| anyhow::anyhow!("{}: {}", self.name, why.0))?;
                    }
                    return Ok(Some(chunk));
                }
                Polled::End => return Ok(None),
                Polled::Assigned(_) | Polled::Revoked(_) => {}
            }
        }
    }

    fn clean(&self, mut chunk: Chunk) -> Chunk {
        self.protection.clean(&mut chunk);
        chunk
    }

    /// Calls `show` with what becomes of each record of a clean chunk; it says whether it has seen enough.
    fn each(&self, chunk: &Chunk, show: &mut dyn FnMut(u64, &Verdict<'_>, i32) -> ControlFlow<()>) -> ControlFlow<()> {
        let header = chunk.header.as_deref();
        for (number, record) in (1..).zip(&chunk.records) {
            match &record.body {
                Body::Skip if header.is_some() => show(number, &Verdict::Skipped("no row begins here"), 0)?,
                Body::Skip => show(number, &Verdict::Skipped("an empty line"), 0)?,
                Body::Oversized { head, hash, length } => {
                    let rejection = Rejection(source::oversized(head.len(), hash, *length));
                    show(number, &Verdict::Rejected(&rejection, None), 0)?;
                }
                Body::Bytes(range) => {
                    let bytes = &chunk.data[range.clone()];
                    let bytes = if header.is_some() { bytes } else { bytes.trim_ascii() };
                    let (mut index, mut go_on) = (0, ControlFlow::Continue(()));
                    self.record(header, bytes, &mut |found| {
                        let rejection;
                        let verdict = match found.verdict {
                            Verdict::Rejected(stated, event) => {
                                let kept = self.protection.rejected(&bytes[found.piece], &stated.0);
                                rejection = Rejection(kept.reason.into_owned());
                                Verdict::Rejected(&rejection, event)
                            }
                            verdict => verdict,
                        };
                        if go_on.is_continue() {
                            go_on = show(number, &verdict, index);
                        }
                        index += 1;
                    });
                    go_on?;
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn record(&self, header: Option<&Header>, bytes: &[u8], show: &mut dyn FnMut(Found<'_>)) {
        let hash = decode::hash(bytes);
        match &self.mapping {
            Some(mapping) => mapping.each(header, bytes, &hash, show),
            None => decode::each(self.format, bytes, &hash, show),
        }
    }

    /// What became of all records, chunk by chunk on whatever thread is free.
    async fn count(&self, file: &mut FileSource) -> anyhow::Result<Summary> {
        // Enough in hand that no core waits for the oldest chunk to be taken up.
        let lanes = 2 * std::thread::available_parallelism().map_or(2, usize::from) + 1;
        let (mut counting, mut all) = (FuturesOrdered::new(), Summary::default());
        let mut chunk = self.next(file).await?;
        loop {
            if let Some(chunk) = chunk.take() {
                let reading = self.clone();
                counting.push_back(tokio::task::spawn_blocking(move || reading.summary(chunk)));
            }
            if counting.len() < lanes {
                chunk = self.next(file).await?;
                if chunk.is_some() {
                    continue;
                }
            }
            match counting.next().await {
                Some(summary) => all.append(summary?),
                None => return Ok(all),
            }
        }
    }

    fn summary(&self, chunk: Chunk) -> Summary {
        let chunk = self.clean(chunk);
        let mut summary = Summary::default();
        let _ = self.each(&chunk, &mut |number, verdict, _| {
            summary.records = number;
            summary.count(verdict);
            ControlFlow::Continue(())
        });
        summary.records = chunk.records.len() as u64;
        summary
    }
}

/// What was seen, printed as it comes.
struct Report {
    how: Output,
    out: BufWriter<io::Stdout>,
    rows: u64,
    /// Rows of the table for people.
    table: Vec<Map<String, Value>>,
    summary: Summary,
}

impl Report {
    fn new(how: Output) -> Self {
        let (out, table) = (BufWriter::new(io::stdout()), Vec::new());
        Self { how, out, rows: 0, table, summary: Summary::default() }
    }

    /// Prints what became of each record; `false` when the reader has seen enough.
    fn chunk(&mut self, chunk: &Chunk, reading: &Reading) -> io::Result<bool> {
        let before = self.summary.records;
        let mut printed = Ok(());
        let _ = reading.each(chunk, &mut |number, verdict, index| {
            self.summary.records = before + number;
            printed = self.row(verdict, index);
            if printed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        match printed {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            printed => printed.map(|()| true),
        }
    }

    fn row(&mut self, verdict: &Verdict<'_>, index: i32) -> io::Result<()> {
        self.summary.count(verdict);
        self.rows += 1;
        let row = verdict.row(self.summary.records, index);
        match self.how {
            Output::Ndjson => writeln!(self.out, "{}", Value::Object(row)),
            Output::Json => {
                let before = if self.rows == 1 { "[" } else { ",\n" };
                write!(self.out, "{before}{}", Value::Object(row))
            }
            Output::Csv => {
                if self.rows == 1 {
                    output::csv_line(row.keys().cloned(), &mut self.out)?;
                }
                output::csv_line(row.values().map(output::text), &mut self.out)
            }
            Output::Table => {
                if self.rows <= TABLE_ROWS_MAX {
                    self.table.push(SHOWN.iter().map(|name| ((*name).to_owned(), row[*name].clone())).collect());
                }
                Ok(())
            }
        }
    }

    fn end(&mut self) -> io::Result<()> {
        match self.how {
            Output::Json => writeln!(self.out, "{}", if self.rows == 0 { "[]" } else { "]" })?,
            Output::Table => {
                writeln!(self.out, "{}", table(SHOWN.into_iter(), self.table.drain(..)))?;
                if self.rows > TABLE_ROWS_MAX {
                    writeln!(self.out, "... and {} more; -o ndjson shows all", self.rows - TABLE_ROWS_MAX)?;
                }
            }
            Output::Ndjson | Output::Csv => {}
        }
        self.out.flush()
    }
}
