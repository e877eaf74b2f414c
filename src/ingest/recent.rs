//! The events stored last, to drop their repeats: bounded, and filled only with what is committed.

use std::collections::{HashMap, VecDeque};

use crate::event::encoder::Identity;

/// How many events are remembered: 16 MB of record hashes and their index.
pub const EVENTS_MAX: usize = 1_000_000;

/// Remembers the newest events and forgets the oldest.
pub struct Recent {
    records: HashMap<u64, [u8; 16], std::hash::BuildHasherDefault<Ready>>,
    order: VecDeque<u64>,
    limit: usize,
}

impl Recent {
    pub fn new(limit: usize) -> Self {
        Self { records: HashMap::default(), order: VecDeque::new(), limit }
    }

    /// Whether this very record is stored already. The same id with other content is another event.
    pub fn holds(&self, identity: &Identity) -> bool {
        self.records.get(&identity.event) == Some(&identity.record)
    }

    pub fn extend(&mut self, identities: impl Iterator<Item = Identity>) {
        for identity in identities {
            if self.records.insert(identity.event, identity.record).is_none() {
                self.order.push_back(identity.event);
            }
            if self.order.len() > self.limit
                && let Some(oldest) = self.order.pop_front()
            {
                self.records.remove(&oldest);
            }
        }
    }
}

/// The key is a hash already.
#[derive(Default)]
pub struct Ready(u64);

impl std::hash::Hasher for Ready {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _bytes: &[u8]) {}
    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_the_newest_and_tells_content_apart() {
        let identity = |event, record| Identity { event, record: [record; 16] };
        let mut recent = Recent::new(2);
        recent.extend([identity(1, 1), identity(2, 2), identity(3, 3)].into_iter());
        assert!(!recent.holds(&identity(1, 1)), "forgotten");
        assert!(recent.holds(&identity(3, 3)));
        assert!(!recent.holds(&identity(3, 4)), "same id, other content");
    }
}
