//! Chance that falls the same on every machine and with every release of our dependencies.

/// The finalizer of splitmix64: a bijection, so that distinct numbers stay distinct ids.
pub const fn mix(number: u64) -> u64 {
    let a = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let b = (a ^ (a >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let c = (b ^ (b >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    c ^ (c >> 31)
}

/// The splitmix64 generator (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub const fn roll(&mut self) -> u64 {
        let rolled = mix(self.0);
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        rolled
    }

    /// A number below `limit`, or 0. Not perfectly even (modulo), which no event would notice.
    pub const fn below(&mut self, limit: u64) -> u64 {
        self.roll() % if limit == 0 { 1 } else { limit }
    }

    /// A time or duration from `low` to `high` (without it), in microseconds, whole milliseconds if both are.
    pub const fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = high.saturating_sub(low) / 1000;
        low + (self.below(if span > 0 { span as u64 } else { 1 }) as i64) * 1000
    }

    /// True `share` times in a thousand.
    pub const fn permille(&mut self, share: u64) -> bool {
        self.below(1000) < share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_splitmix64() {
        let mut dice = Dice::new(1_234_567);
        assert_eq!(dice.roll(), 6_457_827_717_110_365_317); // reference value of the published C code
        assert_eq!(dice.roll(), 3_203_168_211_198_807_973);
    }
}
