//! The accounts: a bounded table of words, each charged atomically.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Limits;

/// Accounts that share a place, so that one search reads one cache line.
const WAYS: usize = 8;
/// A word is a tag, a count of limited replies, and a time.
const TIME_BITS: u32 = 40;
const COUNT_BITS: u32 = 4;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
/// Ticks per millisecond: fine enough for every limit in an `u16`, and 198 days until time comes round again.
const TICKS_PER_MILLI: u64 = 64;
const TICKS_PER_SEC: u64 = 1000 * TICKS_PER_MILLI;
/// How often a charge is tried again when another thread came first; then it counts as charged.
const TRIES: usize = 4;

pub(super) struct Table {
    words: Box<[AtomicU64]>,
}

impl Table {
    pub(super) fn new(accounts: usize) -> Self {
        let len = accounts.max(WAYS).next_power_of_two();
        Self { words: (0..len).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Moves the account on by one reply. `None`: within its limit; else the number of this limited reply, from 1.
    pub(super) fn charge(&self, account: u64, per_sec: u16, limits: Limits, mono_millis: u64) -> Option<u8> {
        let now = mono_millis.wrapping_mul(TICKS_PER_MILLI) & TIME_MASK;
        let horizon = TICKS_PER_SEC * (1 + u64::from(limits.window_secs));
        let tag = account >> (TIME_BITS + COUNT_BITS);
        let set = &self.words[(account as usize & (self.words.len() - 1)) & !(WAYS - 1)..][..WAYS];
        for _ in 0..TRIES {
            let (word, old) = find(set, tag, now, horizon);
            let is_ours = old >> (TIME_BITS + COUNT_BITS) == tag;
            let debt = if is_ours { ahead(old, now, horizon) } else { 0 };
            // Beyond 64000 per second, ticks are too coarse to tell.
            let interval = (TICKS_PER_SEC / u64::from(per_sec)).max(1);
            let debt = (debt + interval).min(horizon);
            let limited = debt > TICKS_PER_SEC;
            let count = match old >> TIME_BITS & COUNT_MASK {
                _ if !limited => 0,
                count if is_ours => count % cycle(limits.slip) + 1,
                _ => 1,
            };
            let new = tag << (TIME_BITS + COUNT_BITS) | count << TIME_BITS | (now + debt) & TIME_MASK;
            if word.compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return limited.then_some(count as u8);
            }
        }
        None
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.words.len()
    }
}

/// The account with this tag, or else the one that is paid off first.
fn find(set: &[AtomicU64], tag: u64, now: u64, horizon: u64) -> (&AtomicU64, u64) {
    let mut best = (&set[0], set[0].load(Ordering::Relaxed));
    for word in set {
        let value = word.load(Ordering::Relaxed);
        if value >> (TIME_BITS + COUNT_BITS) == tag {
            return (word, value);
        }
        if ahead(value, now, horizon) < ahead(best.1, now, horizon) {
            best = (word, value);
        }
    }
    best
}

/// How far the account is ahead of now. What lies beyond the horizon is a time long past, seen from behind.
fn ahead(word: u64, now: u64, horizon: u64) -> u64 {
    match (word & TIME_MASK).wrapping_sub(now) & TIME_MASK {
        beyond if beyond > horizon => 0,
        ahead => ahead,
    }
}

/// After how many limited replies counting starts again.
fn cycle(slip: u8) -> u64 {
    u64::from(slip).clamp(1, COUNT_MASK)
}
