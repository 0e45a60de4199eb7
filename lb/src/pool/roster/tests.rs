use std::collections::HashMap;
use std::net::Ipv4Addr;

use super::*;

fn slots(weights: &[u32]) -> Vec<Slot> {
    (0u16..)
        .zip(weights)
        .map(|(number, &weight)| {
            let address = (Ipv4Addr::LOCALHOST, 7000 + number).into();
            Slot { server: Server::new("api", &format!("cp{number}"), address), weight }
        })
        .collect()
}

const EVERY: [Balance; 4] =
    [Balance::LeastConnections, Balance::RoundRobin, Balance::RandomTwo, Balance::Source];

fn source(number: u64) -> IpAddr {
    Ipv4Addr::from(0x0A00_0000 + number as u32).into()
}

fn tally(roster: &Roster, rounds: u64) -> HashMap<String, u64> {
    let mut tally = HashMap::new();
    for round in 0..rounds {
        let server = roster.pick(source(round), round.wrapping_mul(0x9E37_79B9_7F4A_7C15), &[]).unwrap();
        *tally.entry(server.name.to_string()).or_default() += 1;
    }
    tally
}

#[test]
fn an_empty_roster_picks_nobody() {
    for balance in EVERY {
        assert!(Roster::empty(balance).pick(source(1), 1, &[]).is_none());
        assert!(Roster::new(balance, slots(&[0, 0])).pick(source(1), 1, &[]).is_none());
        assert!(Roster::empty(balance).source_owners(1021).is_empty());
    }
}

#[test]
fn each_way_uses_every_server_by_its_weight() {
    for balance in EVERY {
        let tally = tally(&Roster::new(balance, slots(&[512, 256, 256])), 8_000);
        let heavy = tally["cp0"];
        assert!((3_700..4_300).contains(&heavy), "{balance:?}: {tally:?}");
        assert!(tally["cp1"] > 1_700 && tally["cp2"] > 1_700, "{balance:?}: {tally:?}");
    }
}

#[test]
fn retries_try_each_server_once_and_then_give_up() {
    for balance in EVERY {
        let roster = Roster::new(balance, slots(&[256, 1, 65_536, 700_000]));
        for ticket in 0..200 {
            let mut tried = Vec::new();
            while let Some(server) = roster.pick(source(ticket), ticket << 40, &tried) {
                assert!(!tried.iter().any(|tried| Arc::ptr_eq(tried, server)), "{balance:?}");
                tried.push(server);
            }
            assert_eq!(tried.len(), 4, "{balance:?}");
        }
    }
}

#[test]
fn round_robin_is_exact() {
    let roster = Roster::new(Balance::RoundRobin, slots(&[3, 2, 1]));
    let tally = tally(&roster, 600);
    assert_eq!([tally["cp0"], tally["cp1"], tally["cp2"]], [300, 200, 100]);
}

#[test]
fn a_server_that_is_skipped_leaves_its_turns_to_all_others() {
    let roster = Roster::new(Balance::RoundRobin, slots(&[1, 1, 1, 1]));
    let gone = Arc::clone(&roster.slots[1].server);
    let mut counts = HashMap::new();
    for round in 0..4_000u64 {
        let server = roster.pick(source(1), round.wrapping_mul(0x9E37_79B9_7F4A_7C15), &[&gone]).unwrap();
        *counts.entry(server.name.to_string()).or_insert(0) += 1;
    }
    assert!(counts.values().all(|count| (1_200..1_460).contains(count)), "{counts:?}");
}

#[test]
fn new_rosters_do_not_all_begin_with_the_first_server() {
    let roster = Roster::new(Balance::RoundRobin, slots(&[1, 1, 1]));
    let next = || roster.pick(source(1), 1, &[]).unwrap().name.to_string();
    assert_eq!([next(), next(), next(), next()], ["cp1", "cp2", "cp0", "cp1"]);
    let mut first = HashMap::new();
    for ticket in 0..300 {
        let roster = Roster::new(Balance::RoundRobin, slots(&[1, 1, 1]));
        *first.entry(roster.pick(source(1), ticket, &[]).unwrap().name.to_string()).or_insert(0) += 1;
    }
    assert!(first.len() == 3 && first.values().all(|&count| count == 100), "{first:?}");
}

#[test]
fn connections_even_out_under_least_connections() {
    let roster = Roster::new(Balance::LeastConnections, slots(&[512, 256, 256]));
    for ticket in 0..400 {
        let server = roster.pick(source(1), ticket, &[]).unwrap();
        server.counters.active.fetch_add(1, Ordering::Relaxed);
    }
    let active = |slot: usize| roster.slots[slot].server.counters.active.load(Ordering::Relaxed);
    assert!(active(0).abs_diff(200) <= 2 && active(1).abs_diff(100) <= 1, "{} {}", active(0), active(1));
}

#[test]
fn a_source_keeps_its_server_while_others_come_and_go() {
    let all = slots(&[256, 256, 256]);
    let roster = Roster::new(Balance::Source, all.clone());
    let mut without = all.clone();
    without.remove(0);
    let less = Roster::new(Balance::Source, without);
    for number in 0..3_000 {
        let before = roster.pick(source(number), number, &[]).unwrap();
        let after = less.pick(source(number), !number, &[]).unwrap();
        assert!(Arc::ptr_eq(before, after) || Arc::ptr_eq(before, &all[0].server));
        assert!(Arc::ptr_eq(after, roster.pick(source(number), 0, &[&all[0].server]).unwrap()));
    }
}
