//! Lower-cased names, by which tables are searched, and the hash of those tables.

use std::cmp::Ordering;
use std::fmt;

use super::text::write_text;
use super::{LABELS_MAX, NAME_BYTES_MAX};

/// A name lower-cased into a buffer on the stack, with the places of its labels: what tables are searched with.
#[derive(Clone)]
pub struct LowerName {
    wire: [u8; NAME_BYTES_MAX],
    len: u8,
    labels: u8,
    offsets: [u8; LABELS_MAX + 1],
}

impl LowerName {
    /// Lowers a name in wire form that was checked before, as [`Query::parse`] and [`Name`] do. What is beyond
    /// the root label is left out; of octets that are no name, as much as could be one is taken.
    ///
    /// [`Query::parse`]: crate::protocol::message::Query::parse
    /// [`Name`]: super::Name
    pub fn of(wire: &[u8]) -> Self {
        let mut name = Self { wire: [0; NAME_BYTES_MAX], len: 1, labels: 0, offsets: [0; LABELS_MAX + 1] };
        let mut at = 0;
        while let Some(&length) = wire.get(at)
            && length != 0
            && at + usize::from(length) + 1 < NAME_BYTES_MAX.min(wire.len() + 1)
        {
            at += usize::from(length) + 1;
            name.labels += 1;
            name.offsets[usize::from(name.labels)] = at as u8;
        }
        for (lower, octet) in name.wire[..at].iter_mut().zip(&wire[..at]) {
            *lower = octet.to_ascii_lowercase();
        }
        name.len = at as u8 + 1;
        name
    }

    /// The wire form in lower case, with the root label.
    pub fn as_wire(&self) -> &[u8] {
        &self.wire[..usize::from(self.len)]
    }

    /// How many labels there are, without the root.
    pub fn label_count(&self) -> usize {
        usize::from(self.labels)
    }

    /// The suffix that starts with label `n`: 0 is the whole name, [`label_count`](Self::label_count) the root.
    ///
    /// # Panics
    /// When `n` is beyond `label_count`.
    pub fn suffix(&self, n: usize) -> &[u8] {
        &self.as_wire()[self.offset(n)..]
    }

    /// Where label `n` starts in the wire form.
    ///
    /// # Panics
    /// When `n` is beyond `label_count`.
    pub fn offset(&self, n: usize) -> usize {
        assert!(n <= self.label_count(), "label {n} of a name with {}", self.labels);
        usize::from(self.offsets[n])
    }

    /// Label `n`, counted from the left, without its length octet.
    ///
    /// # Panics
    /// When `n` is not below `label_count`.
    pub fn label(&self, n: usize) -> &[u8] {
        &self.as_wire()[self.offset(n) + 1..self.offset(n + 1)]
    }

    /// The canonical order (RFC 4034 section 6.1): by labels from the right.
    pub fn canonical_cmp(&self, other: &Self) -> Ordering {
        let (own, others) = (self.label_count(), other.label_count());
        (1..=own.min(others))
            .map(|back| self.label(own - back).cmp(other.label(others - back)))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| own.cmp(&others))
    }
}

impl fmt::Debug for LowerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_text(self.as_wire(), f)
    }
}

impl fmt::Display for LowerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_text(self.as_wire(), f)
    }
}

/// The hash of zone and cache tables. `wire` is in lower case already; `seed` is random per process, so that
/// nobody outside can aim at one bucket. It is fast, not cryptographic: keep hashes to yourself.
pub fn hash(wire: &[u8], seed: u64) -> u64 {
    let key = seed ^ 0x9e37_79b9_7f4a_7c15;
    let mut state = seed ^ (wire.len() as u64).wrapping_mul(0xa076_1d64_78bd_642f);
    let mut chunks = wire.chunks_exact(16);
    for chunk in &mut chunks {
        state = fold(word(&chunk[..8]) ^ key, word(&chunk[8..]) ^ state);
    }
    let rest = chunks.remainder();
    let (low, high) = match rest.len() {
        0 => (0, 0),
        1..4 => {
            let (first, middle, last) = (rest[0], rest[rest.len() / 2], rest[rest.len() - 1]);
            (u64::from(first) | u64::from(middle) << 8 | u64::from(last) << 16, 0)
        }
        4..8 => (half(&rest[..4]), half(&rest[rest.len() - 4..])),
        _ => (word(&rest[..8]), word(&rest[rest.len() - 8..])),
    };
    state = fold(low ^ key, high ^ state);
    fold(state ^ 0xe703_7ed1_a0b4_28db, key)
}

/// Multiplies to twice the width and folds the halves into each other: every input bit reaches every output bit.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

fn word(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

fn half(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u32::from_le_bytes).into()
}
