//! `tokentrail ingest`: records into the lake, each exactly once.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use tokio::sync::watch;

use super::key::ProtectionArgs;
use super::mapping::MappingArgs;
use super::progress;
use super::{Global, Output};
use crate::csv::Layout;
use crate::decode::Format;
use crate::ingest::{self, Options, Progress, Summary};
use crate::lake::Lake;
use crate::source::file::FileSource;
use crate::source::kafka::{KafkaOptions, KafkaSource};
use crate::source::{Polled, Source};

/// Arguments of `ingest`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Files, folders, `-` for standard input, or `kafka`
    #[arg(long, required = true, num_args = 1.., env = "TOKENTRAIL_FROM", value_delimiter = ',')]
    pub from: Vec<PathBuf>,
    /// How records are written; auto: recognised by shape, record by record
    #[arg(long, env = "TOKENTRAIL_FORMAT", default_value = Format::Auto.as_str(), value_parser = format_parser())]
    pub format: Format,
    #[command(flatten)]
    pub mapping: MappingArgs,
    /// Kafka: topics to read
    #[arg(long, env = "TOKENTRAIL_TOPIC", num_args = 1.., value_delimiter = ',')]
    pub topic: Vec<String>,
    /// Kafka: brokers, HOST:PORT
    #[arg(long, env = "TOKENTRAIL_BOOTSTRAP", num_args = 1.., value_delimiter = ',')]
    pub bootstrap: Vec<String>,
    /// Kafka: consumer group
    #[arg(long, env = "TOKENTRAIL_GROUP", default_value = "tokentrail")]
    pub group: String,
    /// Kafka: any librdkafka property, NAME=VALUE; may be given many times
    #[arg(short = 'X', long = "property", value_name = "NAME=VALUE")]
    pub properties: Vec<String>,
    /// Kafka: file of properties, NAME=VALUE a line; for secrets that should not stand on a command line
    #[arg(long, env = "TOKENTRAIL_PROPERTIES")]
    pub properties_file: Option<PathBuf>,
    /// Kafka: stop at the end offsets seen at the start (files always end)
    #[arg(long)]
    pub once: bool,
    /// Read and count, store nothing: how fast the source is by itself
    #[arg(long)]
    pub discard: bool,
    /// Keep the original bytes of accepted records beside the columns
    #[arg(long, env = "TOKENTRAIL_KEEP_RAW", default_value_t = true, action = clap::ArgAction::Set)]
    pub keep_raw: bool,
    #[command(flatten)]
    pub protection: ProtectionArgs,
    /// Commit after this many rows
    #[arg(long, default_value_t = Options::default().rows_max)]
    pub commit_rows: usize,
    /// Commit after this many MiB of text
    #[arg(long, default_value_t = Options::default().bytes_max >> 20)]
    pub commit_mib: usize,
    /// Commit after this many milliseconds
    #[arg(long, default_value_t = Options::default().age_max.as_millis() as u64)]
    pub commit_ms: u64,
}

/// Reads a format's name.
pub fn format_parser() -> impl TypedValueParser<Value = Format> {
    let names = PossibleValuesParser::new(Format::ALL.iter().map(|format| format.as_str()));
    names.map(|name| Format::parse(&name).unwrap_or_default())
}

/// Runs the command.
pub async fn run(args: Args, global: &Global) -> anyhow::Result<ExitCode> {
    let mut options = Options {
        format: args.format,
        mapping: args.mapping.load()?,
        keep_raw: args.keep_raw,
        rows_max: args.commit_rows,
        bytes_max: args.commit_mib.max(1) << 20,
        age_max: Duration::from_millis(args.commit_ms),
        ..Options::default()
    };
    let from_kafka = args.from.iter().any(|f| f.as_os_str() == "kafka");
    let layout = options.mapping.as_ref().and_then(|mapping| mapping.csv()).cloned();
    if from_kafka && layout.as_ref().is_some_and(Layout::has_header_row) {
        bail!("messages have no header: name the columns of their rows in [csv] of the mapping");
    }
    if from_kafka && args.from.len() > 1 {
        bail!("--from kafka stands alone; run a second ingest for the files");
    }
    let kafka = if from_kafka { Some(kafka_options(&args)?) } else { None };
    let lake = Lake::open_or_create(&global.lake).await?;
    if !args.discard {
        options.protection = args.protection.protection(&lake).await?;
    }
    let summary = match kafka {
        Some(kafka) => {
            let mut source = KafkaSource::open(kafka, ingest::positions(&lake)).await?;
            if args.discard {
                return discard(&mut source).await;
            }
            watched(&lake, &mut source, &options, global).await?
        }
        None => {
            let state = lake.events().refresh().await?;
            let mut source = FileSource::open_as(&args.from, state.positions.clone(), layout)?;
            if args.discard {
                return discard(&mut source).await;
            }
            watched(&lake, &mut source, &options, global).await?
        }
    };
    print(&summary, global)?;
    Ok(ExitCode::SUCCESS)
}

/// Reads a source to its end.
async fn discard(source: &mut dyn Source) -> anyhow::Result<ExitCode> {
    let (mut records, started) = (0, Instant::now());
    loop {
        match source.next().await? {
            Polled::Chunk(chunk) => records += chunk.records.len(),
            Polled::End => break,
            Polled::Assigned(_) | Polled::Revoked(_) => {}
        }
    }
    println!("{}", serde_json::json!({"records": records, "seconds": started.elapsed().as_secs_f64()}));
    Ok(ExitCode::SUCCESS)
}

/// Ingests under a progress bar, until the end or a signal.
pub async fn watched(
    lake: &Lake,
    source: &mut dyn Source,
    options: &Options,
    global: &Global,
) -> anyhow::Result<Summary> {
    let (stop, stopped) = watch::channel(false);
    let (progress, seen) = watch::channel(Progress::default());
    let signals = tokio::spawn(async move {
        if let Err(error) = signal().await {
            tracing::warn!(%error, "signals cannot be caught; a signal ends the process at once, which loses nothing");
            std::future::pending::<()>().await;
        }
        tracing::info!("stopping: committing what is held");
        let _ = stop.send(true); // the run may be over already
    });
    let shown = tokio::spawn(progress::show(seen, global.quiet));
    let summary = ingest::run(lake, source, options, stopped, &progress).await;
    drop(progress);
    signals.abort();
    shown.await?;
    Ok(summary?)
}

pub(super) async fn signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    Ok(())
}

fn kafka_options(args: &Args) -> anyhow::Result<KafkaOptions> {
    let mut options = KafkaOptions { topics: args.topic.clone(), once: args.once, ..KafkaOptions::default() };
    options.add_property("--group", &format!("group.id={}", args.group))?;
    if !args.bootstrap.is_empty() {
        options.add_property("--bootstrap", &format!("bootstrap.servers={}", args.bootstrap.join(",")))?;
    }
    if let Some(path) = &args.properties_file {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        options.add_properties(&path.display().to_string(), &text)?;
    }
    for property in &args.properties {
        options.add_property("--property", property)?;
    }
    if options.topics.is_empty() {
        bail!("--from kafka needs --topic NAME");
    }
    if !options.properties.contains_key("bootstrap.servers") {
        bail!("--from kafka needs --bootstrap HOST:PORT");
    }
    Ok(options)
}

/// The summary, as data.
pub fn print(summary: &Summary, global: &Global) -> anyhow::Result<()> {
    match global.output {
        Output::Json | Output::Ndjson => println!("{}", serde_json::to_string(summary)?),
        _ if global.quiet => {}
        _ => println!("{}", progress::sentence(summary)),
    }
    Ok(())
}
