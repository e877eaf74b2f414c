//! How long to wait after a failure: doubling, with a share that differs from message to message.

use sha2::{Digest as _, Sha256};

/// Bounds of the pauses, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    pub first: i64,
    pub max: i64,
}

impl Backoff {
    /// The pause after the given attempt (from 1): half to all of what doubling gives. Which part follows from the key, so
    /// that many messages do not come back at once, and a repetition finds the same.
    pub fn pause(self, key: &str, attempt: u32) -> i64 {
        let doubled = self.first.saturating_mul(1_i64 << attempt.saturating_sub(1).min(40));
        let whole = doubled.min(self.max).max(1);
        let mut hash = Sha256::new();
        hash.update(key);
        hash.update(attempt.to_le_bytes());
        let bytes = hash.finalize();
        let share = i64::from(u16::from_le_bytes([bytes[0], bytes[1]]));
        let half = whole / 2;
        // 65,536 steps between half and all of it.
        half + i64::try_from(i128::from(whole - half) * i128::from(share) / 65_535).unwrap_or(half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_differ_by_key() {
        let backoff = Backoff { first: 1_000_000, max: 60_000_000 };
        for attempt in 1..100 {
            let whole = (1_000_000_i64 << (attempt - 1).min(20)).min(60_000_000);
            let pause = backoff.pause("a", attempt);
            assert!((whole / 2..=whole).contains(&pause), "{attempt}: {pause}");
            assert_eq!(pause, backoff.pause("a", attempt));
        }
        let spread: std::collections::BTreeSet<i64> = (0..100).map(|n| backoff.pause(&n.to_string(), 7)).collect();
        assert!(spread.len() > 95, "all at once again");
        // The defaults outlast a weekend: it is the age that ends it, not the number of attempts.
        let patient = Backoff { first: 1_000_000, max: 300_000_000 };
        let all: i64 = (1..2_000).map(|attempt| patient.pause("a", attempt)).sum();
        assert!(all > 72 * 3_600_000_000);
        assert!(Backoff { first: i64::MAX, max: i64::MAX }.pause("a", 64) > 0);
    }
}
