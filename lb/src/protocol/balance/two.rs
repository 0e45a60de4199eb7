//! The better of two at random.

use super::Load;
use super::draw::{mix, weighted_of};

/// Draws two different candidates by share and returns the one with fewer connections for its share, the
/// first at a tie; `None`: there are no candidates. Unlike the search for the least loaded, it does not send
/// everybody to the same server when several loops or bastions look at the same moment.
pub fn better_of_two<I>(candidates: I, ticket: u64) -> Option<usize>
where
    I: Iterator<Item = (usize, Load)> + Clone,
{
    let total: u64 = candidates.clone().map(|(_, load)| u64::from(load.weight)).sum();
    let first = weighted_of(candidates.clone(), total, ticket)?;
    let first_load = load_of(candidates.clone(), first)?;
    let others = candidates.filter(|&(index, _)| index != first);
    let rest = total - u64::from(first_load.weight);
    let Some(second) = weighted_of(others.clone(), rest, mix(!ticket)) else { return Some(first) };
    let second_load = load_of(others, second)?;
    let less = u64::from(second_load.active) * u64::from(first_load.weight)
        < u64::from(first_load.active) * u64::from(second_load.weight);
    Some(if less { second } else { first })
}

fn load_of(mut candidates: impl Iterator<Item = (usize, Load)>, wanted: usize) -> Option<Load> {
    candidates.find(|&(index, _)| index == wanted).map(|(_, load)| load)
}
