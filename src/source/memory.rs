//! Records from memory: the twin of the real sources in tests, and the way the generator feeds a lake.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;

use super::{CHUNK_BYTES, Chunk, Polled, Source, SourceError, SourceId};
use crate::clock;

/// One stream: its records (`None` is a tombstone), and which comes next.
type Partition = (Arc<SourceId>, Vec<Option<Vec<u8>>>, usize);

/// Partitions that are all there from the beginning.
pub struct MemorySource {
    partitions: Vec<Partition>,
    pending: VecDeque<Polled>,
    chunk_records: usize,
}

impl MemorySource {
    /// One stream per partition of `topic`; `None` is a tombstone. `position` tells where to start each.
    pub fn new(
        topic: &str,
        partitions: Vec<Vec<Option<Vec<u8>>>>,
        position: impl Fn(&SourceId) -> Option<i64>,
    ) -> Self {
        let mut assigned = Vec::new();
        let partitions = partitions.into_iter().enumerate().map(|(number, records)| {
            let id = Arc::new(SourceId { kind: "memory", topic: topic.into(), partition: number as i32 });
            let start = position(&id).unwrap_or(0);
            assigned.push((id.clone(), Some(start)));
            (id, records, start.max(0) as usize)
        });
        let partitions = partitions.collect();
        Self { partitions, pending: VecDeque::from([Polled::Assigned(assigned)]), chunk_records: usize::MAX }
    }

    /// Gives chunks of at most this many records, so that tests can try every batching.
    pub fn with_chunk_records(mut self, records: usize) -> Self {
        self.chunk_records = records.max(1);
        self
    }
}

#[async_trait]
impl Source for MemorySource {
    async fn next(&mut self) -> Result<Polled, SourceError> {
        if let Some(polled) = self.pending.pop_front() {
            return Ok(polled);
        }
        let Some((id, records, next)) = self.partitions.iter_mut().find(|(_, records, next)| *next < records.len())
        else {
            return Ok(Polled::End);
        };
        let mut chunk = Chunk::default();
        let source = chunk.source(id);
        while *next < records.len() && chunk.records.len() < self.chunk_records && chunk.data.len() < CHUNK_BYTES {
            chunk.push(source, *next as i64, clock::now_micros(), records[*next].as_deref());
            *next += 1;
        }
        Ok(Polled::Chunk(chunk))
    }

    async fn restart(&mut self, id: &Arc<SourceId>, position: i64) -> Result<(), SourceError> {
        for (known, _, next) in &mut self.partitions {
            if known == id {
                *next = position.max(0) as usize;
            }
        }
        self.pending.push_back(Polled::Assigned(vec![(id.clone(), Some(position))]));
        Ok(())
    }
}
