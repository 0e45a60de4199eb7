//! Chance, repeatable.

/// xorshift64*: repeatable, and good enough to choose sectors by.
#[derive(Debug)]
pub(in crate::journal) struct Random(u64);

impl Random {
    pub(in crate::journal) fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        // Neighbouring seeds begin alike.
        for _ in 0..4 {
            random.next();
        }
        random
    }

    pub(in crate::journal) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`, which is not 0.
    pub(in crate::journal) fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 16) % limit
    }

    /// True once in `n`.
    pub(in crate::journal) fn chance(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}
