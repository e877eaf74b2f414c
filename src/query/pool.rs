//! Who gets memory in a session: whoever asks first, up to the limit; beyond it only those who could not go on without.

use std::fmt;

use datafusion::common::Result;
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryLimit, MemoryPool, MemoryReservation};

/// What DataFusion calls the merge that ends a sort, or brings a part of it to disk.
const MERGE: &str = "ExternalSorterMerge";

/// Memory by order of asking, in bytes as DataFusion counts them.
///
/// Where all went to whoever was first, two sorts side by side failed instead of spilling. One that is told that nothing
/// is left frees half of what it holds to merge the rest into a file, and the other takes that half first; or it has
/// spilled all, and gets no room for its next batch. Both cannot wait, and would fail the query. So merges, and a little
/// for each that can spill, may go beyond the limit, all together by half of it.
///
/// DataFusion's `FairSpillPool` divides among all that can spill, also those that hold nothing, and whoever cannot spill
/// takes from all shares: these became so small that queries over large lakes did not come to an end.
#[derive(Debug)]
pub struct Pool {
    shared: GreedyMemoryPool,
    /// What may be held with those that go beyond the limit.
    most: usize,
    /// What each that can spill may hold whatever others do.
    least: usize,
}

impl Pool {
    /// A pool of so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self { shared: GreedyMemoryPool::new(bytes), most: bytes.saturating_add(bytes / 2), least: bytes / 8 }
    }

    /// Whether a query would fail that is refused this.
    fn is_needed(&self, reservation: &MemoryReservation, additional: usize) -> bool {
        let consumer = reservation.consumer();
        consumer.name().starts_with(MERGE)
            || (consumer.can_spill() && reservation.size().saturating_add(additional) <= self.least)
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

impl MemoryPool for Pool {
    fn name(&self) -> &str {
        self.shared.name()
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.shared.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.shared.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        // Two that ask at once may together go a batch too far, which does no harm.
        if self.is_needed(reservation, additional) && self.reserved().saturating_add(additional) <= self.most {
            self.shared.grow(reservation, additional);
            return Ok(());
        }
        self.shared.try_grow(reservation, additional)
    }

    fn reserved(&self) -> usize {
        self.shared.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.shared.memory_limit()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::execution::memory_pool::MemoryConsumer;

    use super::*;

    #[test]
    fn who_could_not_go_on_gets_half_as_much_again_and_nobody_else() {
        let pool: Arc<dyn MemoryPool> = Arc::new(Pool::new(160));
        let sorter = |name: &str| MemoryConsumer::new(name).with_can_spill(true).register(&pool);
        let (first, second) = (sorter("ExternalSorter[0]"), sorter("ExternalSorter[1]"));
        first.try_grow(160).unwrap();
        assert!(first.try_grow(1).is_err(), "it is to spill now");
        second.try_grow(20).unwrap();
        assert!(second.try_grow(1).is_err(), "an eighth is what each has for certain");
        let (merge, join) = ("ExternalSorterMerge[1]", "HashJoinInput");
        let (merge, join) = (MemoryConsumer::new(merge).register(&pool), MemoryConsumer::new(join).register(&pool));
        assert!(join.try_grow(1).is_err(), "for whoever is no sort the limit stands");
        merge.try_grow(60).unwrap();
        assert!(merge.try_grow(1).is_err(), "half as much again is the most");
        first.free();
        assert!(join.try_grow(81).is_err());
        join.try_grow(80).unwrap();
        assert_eq!(pool.reserved(), 160);
    }

    /// Two sorts side by side, of more than there is.
    #[tokio::test]
    async fn sorts_larger_than_memory_spill_and_end() {
        let limits = crate::query::Limits { memory_bytes: 48 << 20, cores: 2 };
        let context = crate::query::sorting(limits).unwrap();
        let sql = "SELECT COUNT(*) AS n, SUM(place) AS places, MAX(text) AS last FROM (SELECT text, ROW_NUMBER() OVER \
                   (PARTITION BY text ORDER BY value) AS place FROM (SELECT value, \
                   'a text that is longer than twelve bytes ' || CAST(value % 5000 AS VARCHAR) AS text \
                   FROM generate_series(1, 1000000)))";
        let rows = context.sql(sql).await.unwrap().collect().await.unwrap();
        let shown = arrow::util::pretty::pretty_format_batches(&rows).unwrap().to_string();
        // Each of 5,000 texts 200 times.
        assert!(shown.contains("| 1000000 | 100500000 | a text that is longer than twelve bytes 999 |"), "{shown}");
    }
}
