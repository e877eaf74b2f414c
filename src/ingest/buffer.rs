//! What was decoded and not yet committed: pure bookkeeping of rows, positions and who they belong to.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::TimestampMicrosecondType;

use super::Summary;
use super::decoding::Decoded;
use super::recent::{Identities, Recent};
use super::rejections::Reason;
use crate::event::Class;
use crate::event::encoder::{Identity, Rows};
use crate::lake::{Advance, Reached};
use crate::source::SourceId;

/// How far a stream is buffered.
#[derive(Clone, Copy, Default)]
struct Cursor {
    /// The next offset after all that was buffered or committed; `None`: wherever the first record is.
    next: Option<i64>,
}

/// One stream's share of a batch.
#[derive(Clone, Default)]
struct Share {
    from: i64,
    to: i64,
    records: u64,
    skips: u64,
    missing: u64,
    /// The rows of each of its records, by chunk of the batch.
    rows: Vec<(usize, Range<u32>)>,
}

/// Rows that will be committed together.
#[derive(Default)]
pub struct Batch {
    chunks: Vec<Rows>,
    shares: HashMap<Arc<SourceId>, Share>,
    marks: BTreeMap<String, i64>,
}

/// The batch under construction, and the streams it may take records from.
#[derive(Default)]
pub struct Buffer {
    cursors: HashMap<Arc<SourceId>, Cursor>,
    batch: Batch,
    rows: usize,
    bytes: usize,
    since: Option<Instant>,
}

impl Buffer {
    /// Streams are ours from now on, from these positions; what was buffered of them before is void.
    pub fn assign(&mut self, list: &[(Arc<SourceId>, Option<i64>)]) {
        for (id, next) in list {
            self.suspend(id);
            self.cursors.insert(id.clone(), Cursor { next: *next });
        }
    }

    /// Streams are others' from now on.
    pub fn revoke(&mut self, list: &[Arc<SourceId>]) {
        list.iter().for_each(|id| self.suspend(id));
    }

    /// Drops what is buffered of a stream, and takes nothing of it until it is assigned again.
    pub fn suspend(&mut self, id: &Arc<SourceId>) {
        self.cursors.remove(id);
        self.batch.shares.remove(id);
    }

    /// Takes up a chunk. Records of streams that are not ours, or were taken up before, are left out.
    pub fn push(&mut self, decoded: Decoded) {
        let chunk = self.batch.chunks.len();
        self.since.get_or_insert_with(Instant::now);
        self.rows += decoded.rows.partitions.len();
        self.bytes += decoded.bytes;
        for position in &decoded.positions {
            let id = &decoded.sources[position.source];
            let Some(cursor) = self.cursors.get_mut(id) else { continue };
            let expected = cursor.next.unwrap_or(position.offset);
            if position.offset < expected {
                continue;
            }
            let share =
                self.batch.shares.entry(id.clone()).or_insert_with(|| Share { from: expected, ..Share::default() });
            share.missing += (position.offset - expected) as u64;
            share.to = position.offset + 1;
            share.records += 1;
            share.skips += u64::from(position.rows.is_empty());
            if !position.rows.is_empty() {
                share.rows.push((chunk, position.rows.clone()));
            }
            cursor.next = Some(share.to);
        }
        self.batch.marks.extend(decoded.marks);
        self.batch.chunks.push(decoded.rows);
    }

    /// Rows that wait.
    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn is_full(&self, rows_max: usize, bytes_max: usize) -> bool {
        self.rows >= rows_max || self.bytes >= bytes_max
    }

    /// When the batch is old enough to be committed.
    pub fn due_at(&self, age_max: Duration) -> Instant {
        const NEVER: Duration = Duration::from_secs(86_400);
        self.since.map_or_else(|| Instant::now() + NEVER, |since| since + age_max)
    }

    /// The batch, if there is anything in it, leaving an empty one.
    pub fn take(&mut self) -> Option<Batch> {
        (self.rows, self.bytes, self.since) = (0, 0, None);
        let batch = std::mem::take(&mut self.batch);
        (!batch.shares.is_empty()).then_some(batch)
    }
}

/// What of a batch is to be written.
pub struct Chosen<'a> {
    pub batches: &'a [Rows],
    pub keep: Vec<Vec<u32>>,
    pub advances: Vec<Advance>,
    pub marks: &'a BTreeMap<String, i64>,
    pub summary: Summary,
}

impl Chosen<'_> {
    /// Where the batch leaves its sources.
    pub fn reached(&self) -> Reached<'_> {
        Reached { advances: &self.advances, marks: self.marks }
    }

    /// Identities of all rows kept.
    pub fn identities(&self) -> impl Iterator<Item = Identity> {
        self.batches
            .iter()
            .zip(&self.keep)
            .flat_map(|(rows, keep)| keep.iter().filter_map(|row| rows.identities[*row as usize]))
    }

    /// Rejected rows by why.
    pub fn rejected(&self) -> BTreeMap<Reason, u64> {
        let mut counts = BTreeMap::new();
        if self.summary.rejected == 0 {
            return counts;
        }
        for (rows, keep) in self.batches.iter().zip(&self.keep) {
            let reasons = rows.batch.column_by_name("reject_reason").and_then(|c| c.as_string_view_opt());
            let Some(reasons) = reasons else { continue };
            for row in keep.iter().map(|row| *row as usize).filter(|row| reasons.is_valid(*row)) {
                *counts.entry(Reason::of(reasons.value(row))).or_default() += 1;
            }
        }
        counts
    }

    /// When the record was received that waited longest, microseconds UTC.
    pub fn oldest_received_at(&self) -> Option<i64> {
        let oldest = self.batches.iter().zip(&self.keep).filter_map(|(rows, keep)| {
            let received = rows.batch.column_by_name("received_at")?;
            let received = received.as_primitive_opt::<TimestampMicrosecondType>()?;
            keep.iter().map(|row| received.value(*row as usize)).min()
        });
        oldest.min()
    }
}

impl Batch {
    /// Chooses the rows to write: all but repeats of each other and of what is stored.
    pub fn choose(&self, recent: &Recent) -> Chosen<'_> {
        let keep = vec![Vec::new(); self.chunks.len()];
        let mut chosen = Chosen {
            batches: &self.chunks,
            keep,
            advances: Vec::new(),
            marks: &self.marks,
            summary: Summary::default(),
        };
        let rows = self.chunks.iter().map(|rows| rows.partitions.len()).sum();
        let mut here = Identities::with_capacity_and_hasher(rows, Default::default());
        let summary = &mut chosen.summary;
        // In a fixed order, so that of two repeats the same one stays, whatever the map's order is.
        let ordered: BTreeMap<_, _> = self.shares.iter().collect();
        for (id, share) in ordered {
            let mut repeats = 0;
            for (chunk, record) in &share.rows {
                let (rows, keep) = (&self.chunks[*chunk], &mut chosen.keep[*chunk]);
                let before = keep.len();
                for row in record.clone() {
                    if let Some(identity) = rows.identities[row as usize]
                        && (recent.holds(&identity) || !here.insert(identity))
                    {
                        summary.duplicates += 1;
                        continue;
                    }
                    match rows.partitions[row as usize].class() {
                        class if class == Class::Rejected.as_str() => summary.rejected += 1,
                        class if class == Class::Context.as_str() => summary.context += 1,
                        _ => summary.events += 1,
                    }
                    keep.push(row);
                }
                // A record is stored if anything of it is.
                repeats += u64::from(keep.len() == before);
            }
            summary.records += share.records;
            summary.skipped += share.skips;
            chosen.advances.extend(id.app_id().map(|app_id| Advance {
                app_id,
                from: share.from,
                to: share.to,
                repeats,
                skips: share.skips,
                missing: share.missing,
            }));
        }
        chosen.keep.iter_mut().for_each(|rows| rows.sort_unstable());
        chosen
    }

    /// Takes streams out of the batch and names them.
    pub fn remove(&mut self, app_ids: &[String]) -> HashSet<Arc<SourceId>> {
        let refused = |id: &Arc<SourceId>| id.app_id().is_some_and(|app_id| app_ids.contains(&app_id));
        let removed: HashSet<_> = self.shares.keys().filter(|id| refused(id)).cloned().collect();
        self.shares.retain(|id, _| !removed.contains(id));
        removed
    }

    /// Where each stream stands once this batch is stored.
    pub fn positions(&self) -> Vec<(Arc<SourceId>, i64)> {
        self.shares.iter().map(|(id, share)| (id.clone(), share.to)).collect()
    }
}
