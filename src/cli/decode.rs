//! `tokentrail decode`: record by record, what ingest would make of a file. Nothing is stored.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::key::KeyArgs;
use super::mapping::MappingArgs;
use super::query::{quiet_pipe, table};
use super::{Global, Output, ingest};
use crate::decode::mapping::Mapping;
use crate::decode::recognise::UNKNOWN;
use crate::decode::{self, Format, Found, Verdict};
use crate::event::Rejection;
use crate::ingest::protection::Protection;
use crate::query::output;
use crate::source::file::FileSource;
use crate::source::{self, Body, Chunk, Polled, Source as _};

/// Arguments of `decode`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// File (plain, gzip or zstd), folder, or `-` for standard input
    pub file: PathBuf,
    /// How records are written; auto: recognised by shape, record by record
    #[arg(long, env = "TOKENTRAIL_FORMAT", default_value = Format::Auto.as_str(), value_parser = ingest::format_parser())]
    pub format: Format,
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
/// Reasons in the summary.
const REASONS_MAX: usize = 5;

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
    let mut report = Report::new(global.output, protection);
    loop {
        match file.next().await? {
            Polled::Chunk(mut chunk) => {
                if let (Some(mapping), Some(header)) = (&mapping, chunk.header.take()) {
                    chunk.header = mapping.header(Some(header)).map_err(|why| anyhow::anyhow!("{name}: {}", why.0))?;
                }
                report.protection.clean(&mut chunk);
                if !report.chunk(&chunk, args.format, mapping.as_deref())? {
                    return Ok(ExitCode::SUCCESS);
                }
            }
            Polled::End => break,
            Polled::Assigned(_) | Polled::Revoked(_) => {}
        }
    }
    quiet_pipe(report.end())?;
    if !global.quiet {
        eprint!("{}", report.summary);
    }
    Ok(ExitCode::SUCCESS)
}

/// What was seen, printed as it comes.
struct Report {
    how: Output,
    out: BufWriter<io::Stdout>,
    rows: u64,
    /// Rows of the table for people.
    table: Vec<Map<String, Value>>,
    summary: Summary,
    protection: Arc<Protection>,
}

impl Report {
    fn new(how: Output, protection: Arc<Protection>) -> Self {
        let (out, table) = (BufWriter::new(io::stdout()), Vec::new());
        Self { how, out, rows: 0, table, summary: Summary::default(), protection }
    }

    /// Prints what became of each record; `false` when the reader has seen enough.
    fn chunk(&mut self, chunk: &Chunk, format: Format, mapping: Option<&Mapping>) -> io::Result<bool> {
        let header = chunk.header.as_deref();
        let each = |record: &[u8], show: &mut dyn FnMut(Found<'_>)| match mapping {
            Some(mapping) => mapping.each(header, record, &decode::hash(record), show),
            None => decode::each(format, record, &decode::hash(record), show),
        };
        for record in &chunk.records {
            self.summary.records += 1;
            let mut printed = Ok(());
            match &record.body {
                Body::Skip if header.is_some() => printed = self.row(&Verdict::Skipped("no row begins here"), 0),
                Body::Skip => printed = self.row(&Verdict::Skipped("an empty line"), 0),
                Body::Oversized { head, hash, length } => {
                    let rejection = Rejection(source::oversized(head.len(), hash, *length));
                    printed = self.row(&Verdict::Rejected(&rejection, None), 0);
                }
                Body::Bytes(range) => {
                    let bytes = &chunk.data[range.clone()];
                    let bytes = if header.is_some() { bytes } else { bytes.trim_ascii() };
                    let (mut index, protection) = (0, self.protection.clone());
                    each(bytes, &mut |found| {
                        let rejection;
                        let verdict = match found.verdict {
                            Verdict::Rejected(stated, event) => {
                                let kept = protection.rejected(&bytes[found.piece], &stated.0);
                                rejection = Rejection(kept.reason.into_owned());
                                Verdict::Rejected(&rejection, event)
                            }
                            verdict => verdict,
                        };
                        if printed.is_ok() {
                            printed = self.row(&verdict, index);
                        }
                        index += 1;
                    });
                }
            }
            match printed {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(false),
                printed => printed?,
            }
        }
        Ok(true)
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

/// All of it in a few lines.
#[derive(Default)]
struct Summary {
    records: u64,
    skipped: u64,
    /// Events by source and action.
    events: BTreeMap<(String, &'static str), u64>,
    /// Rejections by reason, with the first record.
    rejected: BTreeMap<String, (u64, u64)>,
}

impl Summary {
    fn count(&mut self, verdict: &Verdict<'_>) {
        match verdict {
            Verdict::Event(event) => {
                let source = event.source.as_deref().unwrap_or_default().to_owned();
                *self.events.entry((source, event.action.as_str())).or_default() += 1;
            }
            // Reasons that quote what they met are all different; there are not to be more of them than can be read.
            Verdict::Rejected(rejection, _)
                if self.rejected.len() < 1000 || self.rejected.contains_key(&rejection.0) =>
            {
                self.rejected.entry(rejection.0.clone()).or_insert((0, self.records)).0 += 1;
            }
            Verdict::Rejected(..) => {
                self.rejected.entry("other reasons".to_owned()).or_insert((0, self.records)).0 += 1
            }
            Verdict::Skipped(_) => self.skipped += 1,
        }
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let events: u64 = self.events.values().sum();
        let rejected: u64 = self.rejected.values().map(|(count, _)| count).sum();
        writeln!(f, "{} records: {events} events, {rejected} rejected, {} skipped", self.records, self.skipped)?;
        let mut source = "";
        for ((name, action), count) in &self.events {
            if name != source {
                write!(f, "{}  {name}: {action} {count}", if source.is_empty() { "" } else { "\n" })?;
            } else {
                write!(f, ", {action} {count}")?;
            }
            source = name;
        }
        if !source.is_empty() {
            writeln!(f)?;
        }
        let mut reasons: Vec<_> = self.rejected.iter().collect();
        reasons.sort_by_key(|(_, (count, first))| (std::cmp::Reverse(*count), *first));
        for (reason, (count, first)) in reasons.iter().take(REASONS_MAX) {
            writeln!(f, "  rejected {count}, first record {first}: {reason}")?;
        }
        if reasons.len() > REASONS_MAX {
            writeln!(f, "  and {} other reasons", reasons.len() - REASONS_MAX)?;
        }
        if reasons.iter().any(|(reason, _)| reason.starts_with(UNKNOWN)) {
            writeln!(f, "What a record is known by:\n  native: event_time and action")?;
            for provider in decode::PROVIDERS {
                writeln!(f, "  {}: {}", provider.name, provider.shape)?;
            }
        }
        Ok(())
    }
}
