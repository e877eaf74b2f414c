//! The events stored last, to drop their repeats: bounded, and filled only with what is committed.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use crate::event::encoder::Identity;

/// How many events are remembered at least: they fill a table of 2^20 places, 18 MB, and there are two of them.
pub const EVENTS_MIN: usize = (1 << 20) / 8 * 7;

/// A set of identities, which are hashes already.
pub type Identities = HashSet<Identity, BuildHasherDefault<Ready>>;

/// Remembers the newest events, and forgets the oldest all at once: a queue would cost more than the look-ups do.
pub struct Recent {
    newest: Identities,
    older: Identities,
    limit: usize,
}

impl Recent {
    /// `limit` events are remembered at least, twice as many at most.
    pub fn new(limit: usize) -> Self {
        Self { newest: Identities::default(), older: Identities::default(), limit }
    }

    /// Whether this very record is stored already.
    pub fn holds(&self, identity: &Identity) -> bool {
        self.newest.contains(identity) || self.older.contains(identity)
    }

    pub fn extend(&mut self, identities: impl Iterator<Item = Identity>) {
        for identity in identities {
            if self.newest.len() >= self.limit {
                // The set that is let go keeps its room for those to come.
                std::mem::swap(&mut self.newest, &mut self.older);
                self.newest.clear();
            }
            self.newest.insert(identity);
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
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }
    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_the_newest_and_tells_the_events_of_a_record_apart() {
        let identity = |record, index| Identity::new(&[record; 32], index);
        let mut recent = Recent::new(2);
        recent.extend((0..5).map(|record| identity(record, 0)));
        assert!(!recent.holds(&identity(1, 0)), "forgotten");
        assert!((2..5).all(|record| recent.holds(&identity(record, 0))));
        assert!(!recent.holds(&identity(4, 1)), "another event of the same record");
        assert!(!recent.holds(&identity(9, 0)), "other content is another event, whatever its id");
    }
}
