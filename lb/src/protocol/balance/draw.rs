//! Drawing by share.

use super::Load;

/// One of the candidates, each as likely as its weight says; `None`: there are none.
///
/// Candidates are pairs of an index and its load; what is returned is the index.
pub fn weighted<I>(candidates: I, ticket: u64) -> Option<usize>
where
    I: Iterator<Item = (usize, Load)> + Clone,
{
    let total = candidates.clone().map(|(_, load)| u64::from(load.weight)).sum();
    weighted_of(candidates, total, ticket)
}

/// As [`weighted`], by somebody who knows the sum of all weights.
pub(super) fn weighted_of<I>(candidates: I, total: u64, ticket: u64) -> Option<usize>
where
    I: Iterator<Item = (usize, Load)>,
{
    let mut point = below(mix(ticket), total);
    for (index, load) in candidates {
        match point.checked_sub(u64::from(load.weight)) {
            Some(rest) => point = rest,
            None => return Some(index),
        }
    }
    None
}

/// A number below `bound` from 64 random bits, without a division (and with a bias below `bound` / 2^64).
fn below(random: u64, bound: u64) -> u64 {
    let product = u128::from(random) * u128::from(bound);
    (product >> 64) as u64
}

/// Spreads every bit of the input over all of the output (the finaliser of SplitMix64): tickets of a weak
/// generator and counters become good enough to draw by.
pub(in crate::protocol) const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}
