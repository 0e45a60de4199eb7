//! What the cache counts.

use serde::Serialize;

/// What the cache holds, and what it has done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Entries, those included that hold a failure only.
    pub entries: u64,
    /// Memory, in bytes.
    pub bytes: u64,
    /// Its bound, in bytes.
    pub bytes_max: u64,
    /// Pinned entries.
    pub pinned: u64,
    /// Questions answered from fresh entries.
    pub hits: u64,
    /// Questions answered from expired entries.
    pub stale: u64,
    /// Questions answered with a remembered failure.
    pub failed: u64,
    /// Questions without an answer.
    pub misses: u64,
    /// Answers put in.
    pub inserted: u64,
    /// Entries taken out.
    pub evicted: Evictions,
}

/// Entries taken out, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Evictions {
    /// For want of room: answers that were hardly ever asked for.
    pub unproven: u64,
    /// For want of room: answers that nobody has asked for lately.
    pub unused: u64,
    /// For want of room: denials and failures.
    pub denials: u64,
    /// Too old for any use.
    pub expired: u64,
    /// On demand.
    pub flushed: u64,
}

impl Evictions {
    /// The counts with the labels of a metric.
    pub fn by_reason(&self) -> [(&'static str, u64); 5] {
        [
            ("unproven", self.unproven),
            ("unused", self.unused),
            ("denials", self.denials),
            ("expired", self.expired),
            ("flushed", self.flushed),
        ]
    }
}

impl std::ops::Add for Stats {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let (evicted, more) = (self.evicted, other.evicted);
        Self {
            entries: self.entries + other.entries,
            bytes: self.bytes + other.bytes,
            bytes_max: self.bytes_max + other.bytes_max,
            pinned: self.pinned + other.pinned,
            hits: self.hits + other.hits,
            stale: self.stale + other.stale,
            failed: self.failed + other.failed,
            misses: self.misses + other.misses,
            inserted: self.inserted + other.inserted,
            evicted: Evictions {
                unproven: evicted.unproven + more.unproven,
                unused: evicted.unused + more.unused,
                denials: evicted.denials + more.denials,
                expired: evicted.expired + more.expired,
                flushed: evicted.flushed + more.flushed,
            },
        }
    }
}
