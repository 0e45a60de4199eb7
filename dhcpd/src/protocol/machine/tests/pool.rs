//! The pool: holding, exhaustion, quarantine, probing, failing disks.

use super::*;

#[test]
fn d42_five_hundred_clients_in_a_second_are_all_served() {
    let mut config = Config::for_tests();
    config.prefix = "192.168.0.0/16".parse().unwrap();
    config.pool = Some(faros_common::site::Ipv4Range {
        first: Ipv4Addr::new(192, 168, 16, 0),
        last: Ipv4Addr::new(192, 168, 17, 255),
    });
    let mut bench = Bench::with(config);
    let mut seen = std::collections::HashSet::new();
    for number in 0..500 {
        let offer = bench.reply(discover(stranger(number)));
        assert!(seen.insert(offer.yiaddr), "{} offered twice", offer.yiaddr);
        bench.after(Duration::from_millis(2));
    }
    for number in 0..500 {
        let address = bench.reply(discover(stranger(number))).yiaddr;
        assert_eq!(bench.reply(select(stranger(number), address)).kind, MessageType::Ack);
    }
}

#[test]
fn an_offer_holds_its_address_for_its_client() {
    let mut bench = Bench::new();
    let first = bench.reply(discover(stranger(1))).yiaddr;
    for number in 2..17 {
        assert_ne!(bench.reply(discover(stranger(number))).yiaddr, first);
    }
    assert_eq!(bench.reason(discover(stranger(99))), DropReason::PoolExhausted);
    assert_eq!(bench.reply(select(stranger(1), first)).kind, MessageType::Ack);
}

#[test]
fn when_nothing_is_left_old_offers_go_first_and_the_held_one_is_refused() {
    let mut bench = Bench::new();
    let first = bench.reply(discover(stranger(1))).yiaddr;
    bench.after_secs(11);
    for number in 2..17 {
        bench.reply(discover(stranger(number)));
    }
    assert_eq!(bench.reply(discover(stranger(99))).yiaddr, first);
    assert_eq!(bench.reply(select(stranger(1), first)).kind, MessageType::Nak);
    assert_eq!(bench.reply(select(stranger(99), first)).kind, MessageType::Ack);
}

#[test]
fn addresses_stay_with_their_clients_until_the_one_ended_longest_ago_must_go() {
    let mut bench = Bench::new();
    let addresses: Vec<Ipv4Addr> = (0..16)
        .map(|number| {
            bench.after_secs(1);
            bench.dora(stranger(number))
        })
        .collect();
    bench.after_secs(4000);
    assert_eq!(bench.dora(stranger(7)), addresses[7], "sticky");
    assert_eq!(bench.dora(stranger(100)), addresses[0], "ended longest ago");
    assert_eq!(bench.dora(stranger(101)), addresses[1]);
    assert_eq!(bench.dora(stranger(15)), addresses[15]);
}

#[test]
fn a_full_pool_never_costs_a_reservation() {
    let mut bench = Bench::new();
    for number in 0..16 {
        bench.dora(stranger(number));
    }
    assert_eq!(bench.reason(discover(stranger(50))), DropReason::PoolExhausted);
    assert_eq!(bench.dora(CP1), RESERVED);
}

#[test]
fn d39_declined_addresses_rest_and_a_flood_of_declines_does_not_empty_the_pool() {
    let mut bench = Bench::new();
    let address = bench.dora(stranger(1));
    let decline = |card, address| Packet::new(MessageType::Decline, card).wants(address).server(SERVER);
    assert_eq!(bench.reason(decline(stranger(2), address)), DropReason::DeclineMismatch);
    assert_eq!(bench.reason(decline(stranger(1), address)), DropReason::Declined);
    assert!(bench.has_event("lease_declined"));
    assert_eq!(bench.state(address), Some(State::Quarantined));
    assert_ne!(bench.dora(stranger(1)), address);
    for number in 0..200 {
        let card = stranger(1000 + number);
        if let Ok(offer) = bench.send(discover(card)) {
            let _ = bench.send(decline(card, offer.yiaddr));
        }
    }
    let usage = bench.machine.leases().usage();
    assert!(usage.quarantined <= 8 && usage.free() > 0, "{usage:?}");
    bench.after_secs(3601);
    bench.reply(discover(stranger(1)));
    assert_eq!(bench.machine.leases().usage().quarantined, 0);
}

#[test]
fn a_declined_reservation_stays_reserved_and_is_told() {
    let mut bench = Bench::new();
    bench.dora(CP1);
    let decline = Packet::new(MessageType::Decline, CP1).wants(RESERVED).server(SERVER);
    assert_eq!(bench.reason(decline), DropReason::Declined);
    assert!(bench.has_event("lease_declined"));
    assert_eq!(bench.dora(CP1), RESERVED);
}

fn probed(bench: &Bench) -> Vec<Ipv4Addr> {
    let probes = bench.actions.iter().filter_map(|action| match action {
        Action::Probe(address) => Some(*address),
        _ => None,
    });
    probes.collect()
}

fn let_time_pass(bench: &mut Bench, rounds: usize) {
    for _ in 0..rounds {
        bench.after(Duration::from_millis(250));
        bench.actions.clear();
        bench.machine.on_timeout(bench.now, &mut bench.actions);
    }
}

#[test]
fn addresses_are_probed_before_anybody_asks_and_the_first_offer_does_not_wait() {
    let mut bench = Bench::new();
    bench.machine.on_link(true);
    bench.machine.on_timeout(bench.now, &mut bench.actions);
    assert_eq!(probed(&bench).len(), 16, "the whole small pool");
    bench.machine.on_address_in_use(
        pool(128),
        Hardware::new(1, &[2, 9, 9, 9, 9, 9]),
        bench.now,
        &mut bench.actions,
    );
    assert!(bench.has_event("dhcp_address_conflict"));
    let_time_pass(&mut bench, 2);
    assert_eq!(bench.machine.leases().probed_count(), 15);
    let offer = bench.reply(discover(stranger(1)));
    assert_eq!(offer.yiaddr, pool(129), "not the one in use");
    assert!(probed(&bench).is_empty(), "known to be free");
}

#[test]
fn an_address_offered_unprobed_is_probed_at_once_and_a_late_answer_refuses_it() {
    let mut bench = Bench::new();
    bench.machine.on_link(true);
    let offer = bench.reply(discover(stranger(1)));
    assert_eq!(probed(&bench), [offer.yiaddr]);
    let squatter = Hardware::new(1, &[2, 9, 9, 9, 9, 9]);
    bench.machine.on_address_in_use(offer.yiaddr, squatter, bench.now, &mut bench.actions);
    assert_eq!(bench.reply(select(stranger(1), offer.yiaddr)).kind, MessageType::Nak);
    assert_ne!(bench.dora(stranger(1)), offer.yiaddr);
}

#[test]
fn a_probed_address_that_somebody_took_is_no_longer_in_stock() {
    let mut bench = Bench::new();
    bench.machine.on_link(true);
    bench.machine.on_timeout(bench.now, &mut bench.actions);
    let_time_pass(&mut bench, 3);
    assert_eq!(bench.machine.leases().probed_count(), 16);
    let first = bench.reply(discover(stranger(1)).wants(pool(128))).yiaddr;
    assert_eq!(first, pool(128));
    assert_eq!(bench.machine.leases().probed_count(), 15);
    for number in 2..17 {
        assert_ne!(bench.reply(discover(stranger(number))).yiaddr, first);
    }
}

#[test]
fn the_client_itself_may_answer_for_its_address() {
    let mut bench = Bench::new();
    bench.machine.on_link(true);
    let address = bench.dora(stranger(1));
    bench.machine.on_address_in_use(address, Hardware::new(1, &stranger(1)), bench.now, &mut bench.actions);
    assert_eq!(bench.state(address), Some(State::Active));
}

#[test]
fn x16_a_failed_disk_stops_new_leases_and_nothing_else() {
    let mut bench = Bench::new();
    let address = bench.dora(stranger(1));
    bench.failed_disk();
    assert_eq!(bench.reason(discover(stranger(2))), DropReason::StorageFailed);
    assert_eq!(bench.reason(select(stranger(2), pool(140))), DropReason::StorageFailed);
    assert_eq!(bench.reply(renew(stranger(1), address)).promise, Some(Promise::Standing));
    assert_eq!(bench.reply(discover(CP1)).kind, MessageType::Offer);
    assert_eq!(bench.reply(select(CP1, RESERVED)).promise, Some(Promise::Standing));
    bench.machine.on_storage(Storage::Healthy);
    bench.dora(stranger(2));
}

#[test]
fn an_ack_that_could_not_be_written_leaves_an_offer() {
    let mut bench = Bench::new();
    let address = bench.dora(stranger(1));
    bench.machine.on_commit_failed(address, bench.now);
    assert_eq!(bench.state(address), Some(State::Offered));
    assert_eq!(bench.reply(select(stranger(1), address)).promise, Some(Promise::New));
}

#[test]
fn a_smaller_pool_is_left_at_the_next_renewal() {
    let mut bench = Bench::new();
    for number in 0..10 {
        bench.dora(stranger(number));
    }
    let mut config = Config::for_tests();
    config.pool = Some(faros_common::site::Ipv4Range { first: pool(136), last: pool(150) });
    bench.machine.on_config(Arc::new(config));
    assert_eq!(bench.reply(renew(stranger(0), pool(128))).kind, MessageType::Nak);
    assert_eq!(bench.reply(renew(stranger(9), pool(137))).kind, MessageType::Ack);
    assert_eq!(bench.dora(stranger(0)), pool(138));
    assert_eq!(bench.machine.leases().usage().size, 15);
}

#[test]
fn what_was_on_disk_is_there_after_a_restart() {
    let mut bench = Bench::new();
    let addresses: Vec<Ipv4Addr> = (0..5).map(|number| bench.dora(stranger(number))).collect();
    let mut records = Vec::new();
    for lease in bench.machine.leases().iter() {
        records.push(crate::store::Record::Lease(lease.clone()).encode());
    }
    let replayed = crate::store::Replayed::of(records);
    let machine = Machine::start(Arc::clone(bench.machine.config()), replayed.leases);
    let mut restarted = Bench { machine, now: bench.now, actions: Vec::new() };
    for (number, &address) in addresses.iter().enumerate() {
        assert_eq!(restarted.reply(renew(stranger(number as u16), address)).kind, MessageType::Ack);
    }
    assert!(!addresses.contains(&restarted.dora(stranger(77))));
}

#[test]
fn a_squatter_on_a_reserved_address_is_told_and_the_nodes_own_cards_are_not() {
    for (answering, conflict) in [(stranger(66), true), (CP1, false), (CP1_SECOND_CARD, false)] {
        let mut bench = Bench::new();
        bench.machine.on_link(true);
        assert_eq!(bench.reply(discover(CP1)).yiaddr, RESERVED);
        assert!(bench.actions.iter().any(|action| matches!(action, Action::Probe(RESERVED))));
        let mut out = Vec::new();
        bench.machine.on_address_in_use(RESERVED, Hardware::new(1, &answering), bench.now, &mut out);
        bench.actions = out;
        assert_eq!(bench.has_event("dhcp_address_conflict"), conflict, "{answering:?}");
        assert_eq!(bench.reply(select(CP1, RESERVED)).yiaddr, RESERVED, "it stays reserved");
    }
}
