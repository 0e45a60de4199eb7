use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::draw::mix;
use super::*;

fn loads(list: &[(u32, u32)]) -> impl Iterator<Item = (usize, Load)> + Clone {
    list.iter().map(|&(weight, active)| Load { weight, active }).enumerate()
}

/// How often each of `servers` was chosen in `rounds`.
fn tally(servers: usize, rounds: u64, mut choose: impl FnMut(u64) -> Option<usize>) -> Vec<u64> {
    let mut tally = vec![0; servers];
    for round in 0..rounds {
        tally[choose(mix(round)).expect("there are servers")] += 1;
    }
    tally
}

fn about(count: u64, share: f64, rounds: u64) -> bool {
    let expected = share * rounds as f64;
    // Five standard deviations; the tickets are fixed, so this holds always or never.
    (count as f64 - expected).abs() < 5.0 * (expected * (1.0 - share)).sqrt() + 1.0
}

fn sources(count: u32) -> impl Iterator<Item = IpAddr> {
    (0..count).map(|number| IpAddr::V4(Ipv4Addr::from(0xC0A8_0000 + number)))
}

fn ranks(names: &[(&str, u32)]) -> Vec<Rank> {
    names.iter().map(|&(name, weight)| Rank::new(name, Ipv4Addr::new(10, 0, 0, 1).into(), weight)).collect()
}

#[test]
fn nobody_is_chosen_of_none() {
    assert_eq!(weighted(loads(&[]), 7), None);
    assert_eq!(least_loaded(loads(&[]), 7), None);
    assert_eq!(better_of_two(loads(&[]), 7), None);
    assert_eq!(Schedule::new(&[]).turn(7), None);
    assert_eq!(Schedule::new(&[0, 0]).turn(7), None);
    let table = SourceTable::new(&[], 101);
    assert_eq!(table.pick(Ipv4Addr::LOCALHOST.into(), |_| true), None);
    assert_eq!(SourceTable::new(&ranks(&[("a", 1)]), 0).pick(Ipv4Addr::LOCALHOST.into(), |_| true), None);
}

#[test]
fn a_draw_is_by_weight() {
    let tally = tally(3, 60_000, |ticket| weighted(loads(&[(1, 9), (2, 0), (3, 5)]), ticket));
    assert!(about(tally[0], 1.0 / 6.0, 60_000) && about(tally[2], 0.5, 60_000), "{tally:?}");
}

#[test]
fn fewest_connections_win_whatever_the_ticket() {
    for ticket in 0..1000 {
        assert_eq!(least_loaded(loads(&[(1, 3), (1, 2), (1, 3)]), ticket), Some(1));
        assert_eq!(least_loaded(loads(&[(256, 30), (64, 5), (64, 20)]), ticket), Some(1));
    }
}

#[test]
fn equally_loaded_servers_share() {
    for active in [0, 1, 700] {
        let tally = tally(3, 30_000, |ticket| {
            least_loaded(loads(&[(256, active), (256, active), (256, active)]), ticket)
        });
        assert!(tally.iter().all(|&count| about(count, 1.0 / 3.0, 30_000)), "{active}: {tally:?}");
    }
}

#[test]
fn idle_servers_share_by_weight() {
    let tally = tally(2, 30_000, |ticket| least_loaded(loads(&[(2, 0), (1, 0)]), ticket));
    assert!(about(tally[0], 2.0 / 3.0, 30_000), "{tally:?}");
}

#[test]
fn a_server_that_starts_slowly_is_not_flooded_for_being_idle() {
    let tally = tally(3, 30_000, |ticket| least_loaded(loads(&[(256, 1), (256, 1), (12, 0)]), ticket));
    assert!(tally[2] < 3_000 && tally[2] > 100, "{tally:?}");
}

#[test]
fn the_largest_loads_still_compare() {
    let largest = (Load::WEIGHT_MAX, u32::MAX);
    for ticket in 0..100 {
        assert_eq!(least_loaded(loads(&[largest, (Load::WEIGHT_MAX, 5)]), ticket), Some(1));
        assert!(better_of_two(loads(&[largest, largest]), ticket).is_some());
    }
}

#[test]
fn of_two_servers_the_less_loaded_is_chosen() {
    for ticket in 0..1000 {
        assert_eq!(better_of_two(loads(&[(1, 3), (1, 2)]), ticket), Some(1));
        assert_eq!(better_of_two(loads(&[(4, 7), (1, 2)]), ticket), Some(0));
        assert_eq!(better_of_two(loads(&[(1, 3)]), ticket), Some(0));
    }
}

#[test]
fn two_at_random_are_drawn_by_weight_and_never_the_busiest_of_all() {
    let idle = tally(3, 30_000, |ticket| better_of_two(loads(&[(2, 0), (1, 0), (1, 0)]), ticket));
    assert!(about(idle[0], 0.5, 30_000), "{idle:?}");
    let busy = tally(3, 30_000, |ticket| better_of_two(loads(&[(1, 9), (1, 0), (1, 1)]), ticket));
    assert_eq!(busy[0], 0);
    assert!(about(busy[1], 2.0 / 3.0, 30_000), "{busy:?}");
}

#[test]
fn heavy_servers_take_their_turns_spread_out() {
    let turns = |weights: &[u32]| {
        let schedule = Schedule::new(weights);
        (0..schedule.turns() as u64).filter_map(|turn| schedule.turn(turn)).collect::<Vec<_>>()
    };
    assert_eq!(turns(&[5, 5, 5]), [0, 1, 2]);
    assert_eq!(turns(&[512, 256]), [0, 1, 0]);
    assert_eq!(turns(&[3, 0, 1]), [0, 0, 2, 0]);
    assert_eq!(turns(&[5, 1, 1]), [0, 0, 1, 0, 0, 2, 0]);
}

#[test]
fn awkward_weights_are_rounded_to_a_bounded_schedule() {
    let schedule = Schedule::new(&[65_536, 65_521, 1]);
    assert!(schedule.turns() as i64 <= Schedule::TURNS_MAX + 3);
    assert!((0..schedule.turns() as u64).any(|turn| schedule.turn(turn) == Some(2)));
}

#[test]
fn a_lonely_server_has_every_source() {
    let table = SourceTable::new(&ranks(&[("a", 3)]), 101);
    assert!(sources(1000).all(|source| table.pick(source, |_| true) == Some(0)));
}

/// L31.
#[test]
fn one_client_stays_with_one_server() {
    let servers = ranks(&[("a", 1), ("b", 1), ("c", 1)]);
    let client = "192.168.8.50".parse().unwrap();
    let server = SourceTable::new(&servers, SourceTable::SIZE).pick(client, |_| true);
    for _ in 0..3 {
        assert_eq!(SourceTable::new(&servers, SourceTable::SIZE).pick(client, |_| true), server);
    }
    let mapped = "::ffff:192.168.8.50".parse().unwrap();
    assert_eq!(SourceTable::new(&servers, SourceTable::SIZE).pick(mapped, |_| true), server);
}

/// L32.
#[test]
fn one_of_three_leaves_and_only_its_sources_move() {
    let before = SourceTable::new(&ranks(&[("a", 1), ("b", 1), ("c", 1)]), SourceTable::SIZE);
    let after = SourceTable::new(&ranks(&[("a", 1), ("c", 1)]), SourceTable::SIZE);
    let mut moved = [0; 3];
    for source in sources(30_000) {
        let old = before.pick(source, |_| true).unwrap();
        let new = [0, 2][after.pick(source, |_| true).unwrap()];
        if old == 1 {
            moved[new] += 1;
        } else {
            assert_eq!(old, new, "{source} moved although its server stayed");
        }
    }
    assert!(about(moved[0], 0.5, moved[0] + moved[2]), "{moved:?}");
}

#[test]
fn sources_spread_by_weight() {
    let table = SourceTable::new(&ranks(&[("a", 256), ("b", 512), ("c", 13)]), SourceTable::SIZE);
    let buckets = table.owners().len() as u64;
    let count = |slot| table.owners().iter().filter(|&&owner| owner == slot).count() as u64;
    for (slot, weight) in [(0, 256.0), (1, 512.0), (2, 13.0)] {
        assert!(about(count(slot), weight / 781.0, buckets), "slot {slot}: {}", count(slot));
    }
}

#[test]
fn the_order_of_servers_does_not_matter() {
    let one = SourceTable::new(&ranks(&[("a", 1), ("b", 2), ("c", 3)]), 1021);
    let other = SourceTable::new(&ranks(&[("c", 3), ("a", 1), ("b", 2)]), 1021);
    let renumbered: Vec<u32> = other.owners().iter().map(|&owner| [2, 0, 1][owner as usize]).collect();
    assert_eq!(one.owners(), renumbered);
}

proptest! {
    #[test]
    fn every_prefix_of_a_schedule_is_fair(weights in prop::collection::vec(0u32..300, 1..12)) {
        let schedule = Schedule::new(&weights);
        let total = f64::from(weights.iter().sum::<u32>());
        let mut counts = vec![0u32; weights.len()];
        for turn in 0..schedule.turns() {
            counts[schedule.turn(turn as u64).unwrap()] += 1;
            for (&count, &weight) in counts.iter().zip(&weights) {
                let ideal = (turn + 1) as f64 * f64::from(weight) / total;
                prop_assert!((f64::from(count) - ideal).abs() < 1.0, "{counts:?} of {weights:?}");
            }
        }
        // In the end each has had its weight, in lowest terms.
        let whole = counts.iter().sum::<u32>().max(1);
        for (&count, &weight) in counts.iter().zip(&weights) {
            prop_assert_eq!(u64::from(count) * total as u64, u64::from(weight) * u64::from(whole));
        }
    }

    #[test]
    fn whoever_chooses_chooses_a_candidate(
        list in prop::collection::vec((1u32..=65_536, any::<u32>()), 1..20),
        ticket in any::<u64>(),
        skip in any::<u32>(),
    ) {
        let candidates = || loads(&list).filter(|&(index, _)| skip & (1 << index) == 0);
        let chosen = [
            weighted(candidates(), ticket),
            least_loaded(candidates(), ticket),
            better_of_two(candidates(), ticket),
        ];
        for chosen in chosen {
            prop_assert_eq!(chosen.is_some(), candidates().next().is_some());
            prop_assert!(chosen.is_none_or(|chosen| candidates().any(|(index, _)| index == chosen)));
        }
    }

    /// Whoever is skipped for a moment is as good as gone: the same sources move, to the same servers.
    #[test]
    fn a_tried_server_is_skipped_as_if_it_were_gone(
        weights in prop::collection::vec(1u32..1000, 2..8), gone in any::<prop::sample::Index>()
    ) {
        let names: Vec<String> = (0..weights.len()).map(|number| format!("s{number}")).collect();
        let all: Vec<_> = names.iter().map(String::as_str).zip(weights.iter().copied()).collect();
        let gone = gone.index(all.len());
        let mut rest = all.clone();
        rest.remove(gone);
        let full = SourceTable::new(&ranks(&all), 509);
        let less = SourceTable::new(&ranks(&rest), 509);
        for source in sources(600) {
            let skipped = full.pick(source, |slot| slot != gone).unwrap();
            let without = less.pick(source, |_| true).unwrap();
            prop_assert_eq!(skipped, if without >= gone { without + 1 } else { without });
        }
    }

    /// A server that starts slowly takes sources to itself and moves nobody else.
    #[test]
    fn a_weight_that_grows_only_attracts(small in 1u32..256, growth in 1u32..1000) {
        let before = SourceTable::new(&ranks(&[("a", 256), ("b", 256), ("c", small)]), 1021);
        let after = SourceTable::new(&ranks(&[("a", 256), ("b", 256), ("c", small + growth)]), 1021);
        for (old, new) in before.owners().iter().zip(after.owners()) {
            prop_assert!(old == new || *new == 2);
        }
    }
}
