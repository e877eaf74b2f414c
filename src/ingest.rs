//! The loop that carries records from a source into the lake, each exactly once.
//!
//! Steps come out of the source in order and stay in order: chunks are decoded side by side, but taken up one after the
//! other, and so are the hand-overs of partitions between them. What is buffered is committed together with the
//! positions; while one batch is written, the next is read and decoded.

mod buffer;
mod decoding;
pub mod key;
pub mod protection;
mod recent;
pub mod rejections;
pub mod replay;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use serde::Serialize;
use thiserror::Error;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

use crate::decode::Format;
use crate::decode::mapping::Mapping;
use crate::lake::{Appended, Lake, LakeError, maintenance};
use crate::source::kafka::Positions;
use crate::source::{Lags, Polled, Source, SourceError, SourceId, Starts};
use buffer::{Batch, Buffer};
use decoding::{DecodeError, Decoded, Decoding};
use protection::Protection;
use recent::Recent;
use rejections::Reason;

/// How to ingest.
#[derive(Clone, Debug)]
pub struct Options {
    pub format: Format,
    /// How records of a source of one's own are read; then the format says nothing.
    pub mapping: Option<Arc<Mapping>>,
    /// Keep the original bytes of accepted records beside the columns (rejected ones always keep theirs).
    pub keep_raw: bool,
    /// What is taken out of records before anything is stored.
    pub protection: Arc<Protection>,
    /// A batch is committed when it has this many rows,
    pub rows_max: usize,
    /// or this many bytes of text,
    pub bytes_max: usize,
    /// or is this old.
    pub age_max: Duration,
    /// Maintenance runs beside the appends after this many commits; 0: never.
    pub maintain_every: u64,
    /// Who is told of each commit.
    pub observer: Option<Arc<dyn Observer>>,
}

/// One commit, for whoever counts.
#[derive(Clone, Debug)]
pub struct Committed {
    /// What was in it; `committed_version` is its version, `seconds` the time from the choice of rows to the version.
    pub summary: Summary,
    /// Rejected rows by why.
    pub rejected: BTreeMap<Reason, u64>,
    /// When the record was received that waited longest, microseconds UTC; of Kafka: its time there.
    pub oldest_received_at: Option<i64>,
}

/// Is told what an ingest does, such as the metrics of a service. It must be quick: writers wait for it.
pub trait Observer: std::fmt::Debug + Send + Sync {
    /// The lake has taken a batch.
    fn committed(&self, commit: &Committed);
    /// A run reads a source that keeps this up to date.
    fn follows(&self, lags: Arc<Lags>);
}

impl Default for Options {
    fn default() -> Self {
        Self {
            format: Format::Auto,
            mapping: None,
            keep_raw: true,
            protection: Protection::passing(),
            rows_max: 65_536,
            bytes_max: 64 << 20,
            age_max: Duration::from_secs(2),
            maintain_every: 64,
            observer: None,
        }
    }
}

impl Options {
    fn decoding(&self) -> Decoding {
        Decoding {
            format: self.format,
            mapping: self.mapping.clone(),
            keep_raw: self.keep_raw,
            protection: self.protection.clone(),
        }
    }
}

/// What was done, as `ingest` prints it at the end. `records` were read; each of them gave one or several rows, of
/// which every one is an event, context, rejected, or a duplicate, or nothing and is skipped. Where records hold one
/// event each, as native ones do, `records = events + context + rejected + duplicates + skipped`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    pub records: u64,
    /// Stored events of the classes token and other.
    pub events: u64,
    /// Stored events of the class context.
    pub context: u64,
    pub rejected: u64,
    /// Byte-identical repeats of stored events, counted event by event.
    pub duplicates: u64,
    /// Empty lines, tombstones, and envelopes with nothing inside; of tables the header and the further lines of a row.
    pub skipped: u64,
    pub committed_version: i64,
    pub seconds: f64,
}

/// How far it got, for whoever shows it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    pub summary: Summary,
    pub lag: Option<u64>,
    /// Chunks that were read and are not yet rows of the batch.
    pub decoding: usize,
    /// Rows of the batch.
    pub buffered: usize,
}

/// Why ingesting ended early. What was committed stays; the rest is read again next time.
#[derive(Debug, Error)]
pub enum IngestError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// A table that the mapping is not made for.
    #[error("{topic}: {reason}")]
    Table { topic: Arc<str>, reason: String },
    #[error("a worker ended unexpectedly: {0}")]
    Worker(#[from] tokio::task::JoinError),
}

impl From<DecodeError> for IngestError {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Encode(error) => Self::Lake(LakeError::Encode(error)),
            DecodeError::Table { topic, reason } => Self::Table { topic, reason },
        }
    }
}

/// One thing the source said, decoded.
enum Step {
    Assigned(Starts),
    Revoked(Vec<Arc<SourceId>>),
    Decoded(Box<Decoded>),
    End,
}

type Steps = FuturesOrdered<BoxFuture<'static, Result<Step, IngestError>>>;

/// Reads `source` to its end, or until `stop` becomes true; then commits what it holds.
pub async fn run(
    lake: &Lake,
    source: &mut dyn Source,
    options: &Options,
    mut stop: watch::Receiver<bool>,
    progress: &watch::Sender<Progress>,
) -> Result<Summary, IngestError> {
    let mut run = Run::new(lake.clone(), options.clone()).await?;
    if let (Some(observer), Some(lags)) = (&options.observer, source.lags()) {
        observer.follows(lags);
    }
    let mut steps: Steps = FuturesOrdered::new();
    let lanes = std::thread::available_parallelism().map_or(2, usize::from) + 1;
    let (mut reading, mut stopping) = (true, *stop.borrow());
    loop {
        let mut flush = false;
        let due = run.buffer.due_at(options.age_max);
        let at_end = stopping || (!reading && steps.is_empty());
        tokio::select! {
            biased;
            () = std::future::ready(()), if at_end => {}
            _ = stop.wait_for(|stop| *stop), if !stopping => stopping = true,
            Some(step) = steps.next(), if !steps.is_empty() => {
                match step? {
                    Step::Decoded(decoded) => run.buffer.push(*decoded),
                    Step::Assigned(list) => run.buffer.assign(&list),
                    Step::Revoked(list) => run.buffer.revoke(&list),
                    Step::End => reading = false,
                }
                flush = run.buffer.is_full(options.rows_max, options.bytes_max);
            }
            polled = source.next(), if reading && steps.len() < lanes => {
                let polled = polled?;
                reading &= !matches!(polled, Polled::End);
                steps.push_back(step(polled, options));
            }
            () = tokio::time::sleep_until(due.into()) => flush = true,
        }
        if flush {
            // What the lake refuses is read again, even if the source had come to its end.
            reading |= run.flush(source).await?;
        }
        let (decoding, buffered) = (steps.len(), run.buffer.rows());
        progress.send_replace(Progress { summary: run.summary(), lag: source.lag(), decoding, buffered });
        if at_end {
            let refused = run.flush(source).await? | run.wait(source).await?;
            if stopping || !refused {
                break;
            }
            reading = true;
        }
    }
    run.finish().await?;
    let summary = run.summary();
    progress.send_replace(Progress { summary, lag: source.lag(), ..Progress::default() });
    Ok(summary)
}

/// Asks the lake for positions from a consumer's own thread.
pub fn positions(lake: &Lake) -> Positions {
    let (lake, runtime) = (lake.clone(), tokio::runtime::Handle::current());
    Arc::new(move |id: &SourceId| {
        let Some(app_id) = id.app_id() else { return Ok(None) };
        runtime.block_on(lake.position(&app_id)).map_err(|e| e.to_string())
    })
}

/// Decoding runs on a blocking thread; everything else is a step already.
fn step(polled: Polled, options: &Options) -> BoxFuture<'static, Result<Step, IngestError>> {
    match polled {
        Polled::Chunk(chunk) => {
            let how = options.decoding();
            let decoding = tokio::task::spawn_blocking(move || decoding::decode(chunk, &how));
            Box::pin(async move { Ok(Step::Decoded(Box::new(decoding.await??))) })
        }
        Polled::Assigned(list) => Box::pin(async { Ok(Step::Assigned(list)) }),
        Polled::Revoked(list) => Box::pin(async { Ok(Step::Revoked(list)) }),
        Polled::End => Box::pin(async { Ok(Step::End) }),
    }
}

/// What became of a flush.
struct Flushed {
    summary: Summary,
    stored: Vec<(Arc<SourceId>, i64)>,
    refused: HashSet<Arc<SourceId>>,
}

struct Run {
    lake: Lake,
    options: Options,
    buffer: Buffer,
    recent: Arc<Mutex<Recent>>,
    writing: Option<JoinHandle<Result<Flushed, LakeError>>>,
    maintaining: Option<JoinHandle<()>>,
    commits: u64,
    summary: Summary,
    started: Instant,
}

impl Run {
    async fn new(lake: Lake, options: Options) -> Result<Self, LakeError> {
        let summary = Summary { committed_version: lake.events().refresh().await?.version, ..Summary::default() };
        let recent = Arc::new(Mutex::new(Recent::new(recent::EVENTS_MIN)));
        let (buffer, started) = (Buffer::default(), Instant::now());
        Ok(Self { lake, options, buffer, recent, writing: None, maintaining: None, commits: 0, summary, started })
    }

    fn summary(&self) -> Summary {
        Summary { seconds: self.started.elapsed().as_secs_f64(), ..self.summary }
    }

    /// Hands the buffered batch to a writer, after the one before it is done; whether the lake refused some of that
    /// one.
    async fn flush(&mut self, source: &mut dyn Source) -> Result<bool, IngestError> {
        let refused = self.wait(source).await?;
        if let Some(batch) = self.buffer.take() {
            let (lake, recent, observer) = (self.lake.clone(), self.recent.clone(), self.options.observer.clone());
            self.writing = Some(tokio::spawn(async move { store(&lake, batch, &recent, observer.as_deref()).await }));
        }
        Ok(refused)
    }

    /// Waits for the writer, and starts again what the lake refused; whether it refused any.
    async fn wait(&mut self, source: &mut dyn Source) -> Result<bool, IngestError> {
        let Some(writing) = self.writing.take() else { return Ok(false) };
        let flushed = writing.await??;
        let (total, part) = (&mut self.summary, flushed.summary);
        total.records += part.records;
        total.events += part.events;
        total.context += part.context;
        total.rejected += part.rejected;
        total.duplicates += part.duplicates;
        total.skipped += part.skipped;
        total.committed_version = total.committed_version.max(part.committed_version);
        source.committed(&flushed.stored);
        let refused = !flushed.refused.is_empty();
        for id in flushed.refused {
            let Some(app_id) = id.app_id() else { continue };
            let position = self.lake.position(&app_id).await?;
            tracing::warn!(
                source = app_id,
                position,
                "the lake has moved on without us; reading again from its position"
            );
            self.buffer.suspend(&id);
            source.restart(&id, position.unwrap_or(0)).await?;
        }
        self.commits += 1;
        self.maintain();
        Ok(refused)
    }

    /// Starts maintenance in the background every so many commits.
    fn maintain(&mut self) {
        let due = self.options.maintain_every > 0 && self.commits.is_multiple_of(self.options.maintain_every);
        if due && self.maintaining.as_ref().is_none_or(JoinHandle::is_finished) {
            let lake = self.lake.clone();
            self.maintaining = Some(tokio::spawn(async move {
                if let Err(error) = maintenance::maintain(lake.events()).await {
                    tracing::warn!(%error, "maintenance did not finish; it is tried again later");
                }
            }));
        }
    }

    async fn finish(&mut self) -> Result<(), IngestError> {
        if let Some(maintaining) = self.maintaining.take() {
            maintaining.await?;
        }
        Ok(())
    }
}

/// Commits a batch. Streams that the lake refuses leave it, and the rest is tried again.
async fn store(
    lake: &Lake,
    mut batch: Batch,
    recent: &Mutex<Recent>,
    observer: Option<&dyn Observer>,
) -> Result<Flushed, LakeError> {
    let started = Instant::now();
    let mut recent = recent.lock().await;
    let mut refused = HashSet::new();
    loop {
        let chosen = batch.choose(&recent);
        match lake.append(chosen.batches, &chosen.keep, &chosen.reached()).await? {
            Appended::Committed(version) => {
                recent.extend(chosen.identities());
                let seconds = started.elapsed().as_secs_f64();
                let summary = Summary { committed_version: version, seconds, ..chosen.summary };
                if let Some(observer) = observer {
                    let (rejected, oldest_received_at) = (chosen.rejected(), chosen.oldest_received_at());
                    observer.committed(&Committed { summary, rejected, oldest_received_at });
                }
                return Ok(Flushed { summary, stored: batch.positions(), refused });
            }
            Appended::Refused(app_ids) => refused.extend(batch.remove(&app_ids)),
        }
    }
}
