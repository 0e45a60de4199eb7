//! Least connections.

use super::Load;
use super::draw::{mix, weighted_of};

/// The candidate with the fewest connections for its share; `None`: there are no candidates.
///
/// Where nobody has a connection, the shares alone decide, so that idle servers get new connections in
/// proportion. Else the lowest (connections + chance) / share wins, with a chance from 0 to 1 of its own for
/// each: between equal shares the one with fewer connections always wins and equals take turns, and a server
/// with a small share (one that starts slowly) does not catch everything just because it has none yet.
pub fn least_loaded<I>(candidates: I, ticket: u64) -> Option<usize>
where
    I: Iterator<Item = (usize, Load)> + Clone,
{
    let mut best: Option<(usize, u64, u32)> = None;
    let mut total = 0;
    let mut idle = true;
    for (index, load) in candidates.clone() {
        total += u64::from(load.weight);
        idle &= load.active == 0;
        let chance = mix(ticket ^ (index as u64).rotate_right(16)) >> 48;
        // 48 bits; times a weight of at most 2^16 it stays below 2^64.
        let work = (u64::from(load.active) << 16) | chance;
        let better = best.is_none_or(|(_, best_work, best_weight)| {
            work * u64::from(best_weight) < best_work * u64::from(load.weight)
        });
        if better {
            best = Some((index, work, load.weight));
        }
    }
    if idle {
        return weighted_of(candidates, total, ticket);
    }
    best.map(|(index, ..)| index)
}
