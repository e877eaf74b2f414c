//! The outbox: a Delta table to which every step of every message is added, and nothing is ever changed.
//!
//! What has still to be sent is derived from the rows in their order. How far the findings log was read stands in the
//! same commit as the rows made of it, so a crash can neither skip a finding nor queue it twice.

mod rows;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use crate::lake::scan::Files;
use crate::lake::table::{Commit, Table};
use crate::lake::{Lake, LakeError, maintenance, writer};
use crate::query::{self, QueryError, SessionContext, views};
pub use rows::{Entry, Step};
pub(super) use rows::{texts, times};

/// Name of the position in the findings log, among the table's `txn` actions.
const CURSOR: &str = "alerts:findings";
/// How often a commit is tried again because another process came first.
const ATTEMPTS_MAX: u32 = 50;
/// A checkpoint is written after so many commits.
const CHECKPOINT_COMMITS: i64 = 100;
/// Of a long history little is left to read: what was sent is at its end, and what was carried is held no more.
const WHOLE: &str = "SELECT f.* FROM fresh f LEFT ANTI JOIN (SELECT key FROM fresh WHERE step = 'sent') s ON f.key = s.key \
                     LEFT ANTI JOIN (SELECT item FROM fresh WHERE step = 'carried') c ON CASE WHEN f.step = 'held' THEN f.item END = c.item \
                     WHERE f.step NOT IN ('silenced', 'unrouted') ORDER BY f.sequence, f.place";
/// What came since: files may hold older rows too, where some were merged meanwhile.
const SINCE: &str = "SELECT * FROM fresh WHERE sequence > $known ORDER BY sequence, place";
/// When something of each group was last queued, as far back as the longest window reaches.
const RECENT: &str = "SELECT sink, detector, subject, MAX(at) AS at FROM fresh WHERE step = 'queued' \
                      AND at > (SELECT MAX(at) FROM fresh) - INTERVAL '1 day' GROUP BY sink, detector, subject";
/// Messages and alerts kept back, each with the step that counts.
const PRESENT: &str = "SELECT * EXCLUDE (nth) FROM (SELECT a.*, ROW_NUMBER() OVER (PARTITION BY a.key, a.item ORDER BY \
                       a.step = 'sent' DESC, a.sequence DESC, a.place DESC) AS nth FROM alert_steps a LEFT ANTI JOIN \
                       (SELECT item FROM alert_steps WHERE step = 'carried') c ON a.item = c.item) WHERE nth = 1";

/// A row's place: the commit, and the row within it.
pub type Place = (i64, i64);

/// A message that is not at its end.
#[derive(Clone, Debug)]
pub struct Pending {
    pub key: String,
    pub sink: String,
    pub detector: String,
    pub severity: String,
    pub subject: String,
    /// Ids of the findings it is about.
    pub findings: Vec<String>,
    /// The message as JSON.
    pub content: Arc<str>,
    pub queued_at: i64,
    pub attempt: u32,
    pub due_at: i64,
    /// Why the last attempt failed.
    pub reason: String,
}

/// An alert that waits for the digest of its group.
#[derive(Clone, Debug)]
pub struct Held {
    pub item: String,
    pub sink: String,
    pub detector: String,
    pub subject: String,
    pub severity: String,
    pub finding: String,
    pub change: String,
    pub finding_sequence: i64,
    /// The alert as JSON.
    pub content: Arc<str>,
    pub due_at: i64,
}

/// Sink, detector and subject: what alerts are grouped by.
pub type Group = (String, String, String);

/// What the rows add up to.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// In the order in which they were queued.
    pub pending: BTreeMap<Place, Pending>,
    pub dead: BTreeMap<Place, Pending>,
    pub held: BTreeMap<Place, Held>,
    /// When something of a group was last queued.
    pub groups: HashMap<Group, i64>,
    places: HashMap<String, Place>,
    held_places: HashMap<String, Place>,
}

impl Standing {
    /// Takes up one row. Taking one up again changes nothing: what this process did it knows before it reads it.
    pub fn apply(&mut self, place: Place, entry: &Entry) {
        match entry.step {
            Step::Queued => self.queue(place, entry),
            Step::Carried => {
                let message = self.places.get(&entry.key).and_then(|place| self.pending.get_mut(place));
                message.into_iter().for_each(|m| m.findings.push(entry.finding.clone()));
                if let Some(place) = self.held_places.remove(&entry.item) {
                    self.held.remove(&place);
                }
            }
            Step::Held => {
                self.held_places.insert(entry.item.clone(), place);
                self.held.insert(place, Held::of(entry));
            }
            Step::Failed => {
                if let Some(message) = self.places.get(&entry.key).and_then(|place| self.pending.get_mut(place)) {
                    message.attempt = entry.attempt;
                    message.due_at = entry.next_at.unwrap_or(entry.at);
                    message.reason.clone_from(&entry.reason);
                }
            }
            Step::Sent => {
                if let Some(place) = self.places.remove(&entry.key) {
                    self.pending.remove(&place);
                    self.dead.remove(&place);
                }
            }
            Step::Dead => {
                let place = self.places.get(&entry.key).copied();
                if let Some((place, mut message)) = place.and_then(|place| self.pending.remove_entry(&place)) {
                    message.attempt = entry.attempt;
                    message.reason.clone_from(&entry.reason);
                    self.dead.insert(place, message);
                }
            }
            Step::Retried => {
                let place = self.places.get(&entry.key).copied();
                if let Some((place, mut message)) = place.and_then(|place| self.dead.remove_entry(&place)) {
                    (message.attempt, message.queued_at, message.due_at) = (0, entry.at, entry.at);
                    self.pending.insert(place, message);
                }
            }
            Step::Silenced | Step::Unrouted => {}
        }
    }

    /// The message with this key, if it is to be sent.
    pub fn find(&self, key: &str) -> Option<(Place, &Pending)> {
        let place = self.places.get(key)?;
        Some((*place, self.pending.get(place)?))
    }

    fn queue(&mut self, place: Place, entry: &Entry) {
        self.places.insert(entry.key.clone(), place);
        self.groups.insert((entry.sink.clone(), entry.detector.clone(), entry.subject.clone()), entry.at);
        let message = Pending {
            key: entry.key.clone(),
            sink: entry.sink.clone(),
            detector: entry.detector.clone(),
            severity: entry.severity.clone(),
            subject: entry.subject.clone(),
            findings: Vec::new(),
            content: entry.content.as_str().into(),
            queued_at: entry.at,
            attempt: 0,
            due_at: entry.at,
            reason: String::new(),
        };
        self.pending.insert(place, message);
    }
}

impl Pending {
    /// A row about it.
    pub fn row(&self, at: i64) -> Entry {
        Entry {
            at,
            key: self.key.clone(),
            sink: self.sink.clone(),
            detector: self.detector.clone(),
            severity: self.severity.clone(),
            subject: self.subject.clone(),
            finding: if let [one] = self.findings.as_slice() { one.clone() } else { String::new() },
            ..Entry::default()
        }
    }

    /// The row that asks for a dead one again.
    pub fn retried(&self, at: i64) -> Entry {
        Entry { step: Step::Retried, ..self.row(at) }
    }
}

impl Held {
    fn of(entry: &Entry) -> Self {
        Self {
            item: entry.item.clone(),
            sink: entry.sink.clone(),
            detector: entry.detector.clone(),
            subject: entry.subject.clone(),
            severity: entry.severity.clone(),
            finding: entry.finding.clone(),
            change: entry.change.clone(),
            finding_sequence: entry.finding_sequence,
            content: entry.content.as_str().into(),
            due_at: entry.next_at.unwrap_or(entry.at),
        }
    }
}

/// The table, and what it holds as far as it was read.
pub struct Outbox {
    table: Table,
    context: SessionContext,
    version: i64,
    pub standing: Standing,
}

impl Outbox {
    /// Opens the outbox of a lake, making it if there is none.
    pub async fn open(lake: &Lake) -> Result<Self, QueryError> {
        let table = lake.table(&rows::spec()).await?;
        let context = query::session(query::Limits::default())?;
        let mut outbox = Self { table, context, version: -1, standing: Standing::default() };
        outbox.refresh().await?;
        Ok(outbox)
    }

    /// Reads what was added since the last look.
    pub async fn refresh(&mut self) -> Result<(), QueryError> {
        let state = self.table.refresh().await?;
        if state.version == self.version {
            return Ok(());
        }
        let known = self.version;
        let brought = if known < 0 { None } else { self.table.brought_since(known, &state).await? };
        let is_whole = brought.is_none();
        let files = brought.unwrap_or_else(|| state.files.values().cloned().collect());
        query::know_store(&self.context, &self.table);
        let files = Files::new(&self.table, rows::SCHEMA.clone(), &[], files)?;
        views::replace(&self.context, "fresh", Arc::new(files))?;
        let frame = if is_whole {
            self.context.sql(WHOLE).await?
        } else {
            let known = query::ScalarValue::Int64(Some(known));
            self.context.sql(SINCE).await?.with_param_values(vec![("known", known)])?
        };
        let answer = query::collect(frame).await?;
        let mut standing = if is_whole { Standing::default() } else { std::mem::take(&mut self.standing) };
        for batch in &answer.batches {
            for (place, entry) in rows::read(batch)? {
                standing.apply(place, &entry);
            }
        }
        self.standing = standing;
        if is_whole {
            let recent = query::collect(self.context.sql(RECENT).await?).await?;
            for batch in &recent.batches {
                self.standing.groups.extend(rows::groups(batch)?);
            }
        }
        self.version = state.version;
        Ok(())
    }

    /// How far the findings log was read: the version whose rows are all in the outbox.
    pub async fn cursor(&self) -> i64 {
        self.table.state().await.positions.get(CURSOR).copied().unwrap_or(0)
    }

    /// Adds rows made of the findings up to version `to`, if nobody has read past `from` meanwhile.
    ///
    /// `false`: somebody has; what is new to the outbox is to be read again.
    pub async fn queue(&mut self, entries: &[Entry], from: i64, to: i64) -> Result<bool, QueryError> {
        self.write(entries, Some((from, to))).await
    }

    /// Adds rows about what became of messages.
    pub async fn record(&mut self, entries: &[Entry]) -> Result<(), QueryError> {
        self.write(entries, None).await.map(drop)
    }

    async fn write(&mut self, entries: &[Entry], cursor: Option<(i64, i64)>) -> Result<bool, QueryError> {
        for _ in 0..ATTEMPTS_MAX {
            let base = self.table.refresh().await?.version;
            let mut commit = Commit { operation: "WRITE", ..Commit::default() };
            if !entries.is_empty() {
                let batch = rows::batch(entries, base + 1).map_err(LakeError::from)?;
                commit.adds.push(writer::write_plain(&self.table, batch).await?);
            }
            commit.positions.extend(cursor.map(|(_, to)| (CURSOR.to_owned(), to)));
            // The rows name the commit they stand in, so they are made for exactly that one.
            let committed = self.table.commit(commit, |state, _| {
                if cursor.is_some_and(|(from, _)| state.positions.get(CURSOR).copied().unwrap_or(0) != from) {
                    return Err(Refused::Cursor);
                }
                if state.version == base { Ok(()) } else { Err(Refused::Version) }
            });
            match committed.await? {
                Ok(version) => {
                    self.checkpoint(version).await;
                    self.refresh().await?;
                    return Ok(true);
                }
                Err(Refused::Cursor) => {
                    self.refresh().await?;
                    return Ok(false);
                }
                Err(Refused::Version) => {}
            }
        }
        Err(LakeError::Contended(self.table.url().to_string(), ATTEMPTS_MAX).into())
    }
}

impl Outbox {
    /// Now and then a checkpoint, so that opening the outbox does not read every commit there ever was.
    async fn checkpoint(&self, version: i64) {
        if version % CHECKPOINT_COMMITS == 0
            && let Err(error) = maintenance::checkpoint(&self.table).await
        {
            tracing::warn!(%error, "the outbox has no new checkpoint; the next one may do");
        }
    }
}

/// Why a commit was not made.
enum Refused {
    /// Somebody else read on in the findings log.
    Cursor,
    /// Somebody else wrote first; the rows need another number.
    Version,
}

/// The table with its columns.
pub fn table() -> (&'static str, SchemaRef) {
    (rows::spec().name, rows::SCHEMA.clone())
}

/// Makes `alert_steps` (every row) and `alerts` (each message's newest step) known to a session; empty if there is no outbox.
pub async fn register(lake: &Lake, context: &SessionContext) -> Result<(), QueryError> {
    let steps = match Table::open(lake.uri(), rows::spec().name).await? {
        Some(table) => {
            let state = table.state().await;
            query::know_store(context, &table);
            Arc::new(Files::new(&table, rows::SCHEMA.clone(), &[], state.files.values().cloned().collect())?)
        }
        None => views::memory(query::Rows { schema: rows::SCHEMA.clone(), batches: Vec::new() })?,
    };
    views::replace(context, "alert_steps", steps)?;
    let present = context.sql(PRESENT).await?.into_view();
    views::replace(context, "alerts", present)
}
