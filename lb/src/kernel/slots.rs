//! Shares as tables of slots, which the rules draw from.

use faros_common::site::Balance;

use crate::pool::{Roster, Slot};
use crate::protocol::balance::Schedule;

/// Slots of a front end that draws at random or in turn. 840 is divisible by 1 to 8, so that so many servers of equal
/// weight get exactly equal shares; the smallest share is one slot.
pub(super) const SLOTS: u32 = 840;

/// Slots of a front end that goes by the client's address: one more server moves each client with the chance that it
/// must, give or take a tenth of a percent.
pub(super) const SOURCE_SLOTS: u32 = 1021;

/// So many servers of one front end; for more, the smallest share of a slot would be too coarse.
pub(super) const SERVERS_MAX: usize = 256;

/// How many slots a front end of that balance has.
pub(super) fn slots_of(balance: Balance) -> u32 {
    match balance {
        Balance::Source => SOURCE_SLOTS,
        Balance::RoundRobin | Balance::LeastConnections | Balance::RandomTwo => SLOTS,
    }
}

/// For each slot the index of its server in the roster; empty where nobody serves. Servers beyond [`SERVERS_MAX`] get none.
pub(super) fn assign(roster: &Roster) -> Vec<usize> {
    let servers = &roster.slots[..roster.slots.len().min(SERVERS_MAX)];
    if servers.is_empty() {
        return Vec::new();
    }
    match roster.balance {
        Balance::Source => {
            let owners = roster.source_owners(SOURCE_SLOTS as usize);
            owners.into_iter().map(|owner| owner as usize).collect()
        }
        Balance::RoundRobin | Balance::LeastConnections | Balance::RandomTwo => in_turn(servers),
    }
}

/// Evenly mixed, so that one after the other is also a fair order.
fn in_turn(servers: &[Slot]) -> Vec<usize> {
    let weights: Vec<u32> = servers.iter().map(|slot| slot.weight).collect();
    let schedule = Schedule::new(&shares(&weights));
    (0..u64::from(SLOTS)).filter_map(|turn| schedule.turn(turn)).collect()
}

/// [`SLOTS`] split by weight, at least one each, what is left over to the largest remainders.
fn shares(weights: &[u32]) -> Vec<u32> {
    let total = weights.iter().map(|&weight| u64::from(weight)).sum::<u64>().max(1);
    let exact = |weight: u32| u64::from(SLOTS) * u64::from(weight);
    let mut shares: Vec<u64> = weights.iter().map(|&weight| (exact(weight) / total).max(1)).collect();
    let mut by_remainder: Vec<usize> = (0..weights.len()).collect();
    by_remainder.sort_by_key(|&index| std::cmp::Reverse(exact(weights[index]) % total));
    let given: u64 = shares.iter().sum();
    let missing = usize::try_from(u64::from(SLOTS).saturating_sub(given)).unwrap_or(0);
    for &index in by_remainder.iter().cycle().take(missing) {
        shares[index] += 1;
    }
    // The least of one slot may have given too much away: the largest share pays.
    for _ in u64::from(SLOTS)..given {
        if let Some(largest) = shares.iter_mut().max() {
            *largest -= 1;
        }
    }
    shares.into_iter().map(|share| u32::try_from(share).unwrap_or(SLOTS)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::pool::Server;

    fn roster(balance: Balance, weights: &[u32]) -> Roster {
        let slots = weights.iter().enumerate().map(|(index, &weight)| {
            let address = format!("10.0.{}.{}:6443", index / 250, index % 250).parse().unwrap();
            Slot { server: Server::new("api", &format!("cp{index}"), address), weight }
        });
        Roster::new(balance, slots.collect())
    }

    fn counts(assigned: &[usize], servers: usize) -> Vec<usize> {
        (0..servers).map(|server| assigned.iter().filter(|&&owner| owner == server).count()).collect()
    }

    #[test]
    fn up_to_eight_equal_servers_get_exactly_equal_shares_in_turn() {
        for servers in 1..=8 {
            let assigned = assign(&roster(Balance::RoundRobin, &vec![3; servers]));
            assert_eq!(counts(&assigned, servers), vec![SLOTS as usize / servers; servers]);
            for window in assigned.windows(servers) {
                assert_eq!(counts(window, servers), vec![1; servers], "one after the other");
            }
        }
    }

    #[test]
    fn nobody_serves_without_servers() {
        assert!(assign(&roster(Balance::RoundRobin, &[])).is_empty());
        assert!(assign(&roster(Balance::Source, &[])).is_empty());
    }

    #[test]
    fn a_server_that_leaves_takes_only_its_own_clients_along() {
        let all = roster(Balance::Source, &[1, 1, 1]);
        let fewer = Roster::new(Balance::Source, vec![all.slots[0].clone(), all.slots[2].clone()]);
        let (before, after) = (assign(&all), assign(&fewer));
        assert_eq!(before.len(), SOURCE_SLOTS as usize);
        for (&before, &after) in before.iter().zip(&after) {
            let (before, after) = (&all.slots[before].server, &fewer.slots[after].server);
            assert!(Arc::ptr_eq(before, after) || before.name.as_ref() == "cp1");
        }
    }

    proptest! {
        #[test]
        fn every_slot_has_an_owner_and_every_server_a_slot(
            weights in prop::collection::vec(1..=Slot::WEIGHT_MAX, 1..=SERVERS_MAX),
        ) {
            let assigned = assign(&roster(Balance::RandomTwo, &weights));
            prop_assert_eq!(assigned.len(), SLOTS as usize);
            prop_assert!(counts(&assigned, weights.len()).iter().all(|&count| count > 0));
        }

        #[test]
        fn shares_follow_weights(weights in prop::collection::vec(1u32..=100, 1..=8)) {
            let total: u32 = weights.iter().sum();
            for (share, weight) in shares(&weights).into_iter().zip(&weights) {
                let exact = f64::from(SLOTS) * f64::from(*weight) / f64::from(total);
                prop_assert!((f64::from(share) - exact).abs() <= weights.len() as f64, "{share} for {exact}");
            }
        }
    }
}
