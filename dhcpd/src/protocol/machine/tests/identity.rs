//! One machine keeps one address, whatever it calls itself; two machines never share one.

use super::*;

#[test]
fn flipping_client_identifiers_keep_one_address_from_firmware_to_system() {
    let mut bench = Bench::new();
    let stages: [&dyn Fn(Packet) -> Packet; 6] = [
        &|packet| packet.uuid(1),
        &|packet| packet.uuid(1).option(61, &[1, 2, 0, 0, 0, 0, 1]),
        &|packet| packet,
        &|packet| packet.option(61, &[255, 0, 0, 0, 1, 0, 2, 9, 9, 9, 9]),
        &|packet| packet.option(61, b"\0initramfs"),
        &|packet| packet.option(61, &[255, 7, 7, 7, 7, 0, 4, 1, 1, 1, 1]),
    ];
    let first = bench.dora_with(stranger(1), stages[0]);
    for _ in 0..3 {
        for stage in stages {
            bench.after_secs(40);
            assert_eq!(bench.dora_with(stranger(1), stage), first);
        }
    }
    assert_eq!(bench.machine.leases().iter().len(), 1);
}

#[test]
fn d30_an_identifier_per_packet_drains_nothing() {
    let mut bench = Bench::new();
    for number in 0..500u32 {
        bench.dora_with(stranger(1), |packet| packet.option(61, &number.to_be_bytes()));
    }
    assert_eq!(bench.machine.leases().usage().active, 1);
}

#[test]
fn every_card_of_a_node_gets_the_nodes_address() {
    let mut bench = Bench::new();
    assert_eq!(bench.dora(CP1), RESERVED);
    assert_eq!(bench.dora(CP1_SECOND_CARD), RESERVED);
    bench.after_secs(1800);
    assert_eq!(bench.reply(renew(CP1, RESERVED)).kind, MessageType::Ack);
}

#[test]
fn a_configured_uuid_comes_before_the_card_in_either_byte_order() {
    let mut config = Config::for_tests();
    let mut known = config.known.clone();
    let uuid = crate::uuid::Uuid::parse("4e420000-0000-4000-8000-000000000011").unwrap();
    known[0].uuid = Some(uuid);
    config.set_known(known);
    for uuid in [uuid, uuid.swapped()] {
        let mut bench = Bench::with(config.clone());
        let value = [&[0][..], &uuid.0].concat();
        assert_eq!(bench.dora_with(stranger(5), |packet| packet.option(97, &value)), RESERVED);
    }
}

#[test]
fn firmware_that_tries_its_cards_in_turn_keeps_the_address() {
    let mut bench = Bench::new();
    let address = bench.dora_with(stranger(1), |packet| packet.uuid(1));
    bench.after_secs(60);
    assert_eq!(bench.dora_with(stranger(2), |packet| packet.uuid(1)), address);
    bench.after_secs(10);
    assert_eq!(bench.dora(stranger(2)), address, "the system on the second card, without a UUID");
}

#[test]
fn two_cards_used_by_a_system_have_an_address_each() {
    let mut bench = Bench::new();
    let first = bench.dora_with(stranger(1), |packet| packet.uuid(1));
    assert_eq!(bench.dora(stranger(1)), first, "the system took over from firmware");
    assert_ne!(bench.dora_with(stranger(2), |packet| packet.uuid(1)), first);
}

#[test]
fn machines_with_the_same_uuid_are_told_apart_by_their_cards() {
    let mut bench = Bench::new();
    let dressed = |packet: Packet| packet.uuid(1);
    bench.dora_with(stranger(1), dressed);
    bench.dora_with(stranger(2), dressed);
    bench.reply(dressed(discover(stranger(1))));
    assert!(bench.has_event("dhcp_uuid_shared"));
    let first = bench.dora_with(stranger(1), dressed);
    let second = bench.dora_with(stranger(2), dressed);
    assert_ne!(first, second);
    assert_eq!(bench.dora_with(stranger(1), dressed), first);
    assert_eq!(bench.dora_with(stranger(2), dressed), second);
}

#[test]
fn a_placeholder_uuid_names_nobody() {
    let mut bench = Bench::new();
    let mut value = [0xff; 17];
    value[0] = 0;
    let first = bench.dora_with(stranger(1), |packet| packet.option(97, &value));
    assert_ne!(bench.dora_with(stranger(2), |packet| packet.option(97, &value)), first);
}

#[test]
fn cloned_systems_with_one_identifier_do_not_share_an_address() {
    let mut bench = Bench::new();
    let cloned = |packet: Packet| packet.option(61, &[255, 1, 2, 3, 4, 5]);
    let first = bench.dora_with(stranger(1), cloned);
    let second = bench.dora_with(stranger(2), cloned);
    assert_ne!(first, second);
    assert_eq!(bench.dora_with(stranger(1), cloned), first);
}

#[test]
fn a_client_without_a_card_is_known_by_its_identifier() {
    let mut bench = Bench::new();
    let infiniband =
        |kind| Packet::new(kind, [0; 6]).field(1, &[32, 0]).broadcast().option(61, &[255, 1, 1, 1, 1]);
    let offer = bench.reply(infiniband(MessageType::Discover));
    assert_eq!(offer.to, Destination::Broadcast);
    bench.reply(infiniband(MessageType::Request).server(SERVER).wants(offer.yiaddr));
    assert_eq!(bench.reply(infiniband(MessageType::Discover)).yiaddr, offer.yiaddr);
    let other = Packet::new(MessageType::Discover, [0; 6]).field(1, &[32, 0]).option(61, &[255, 2, 2, 2, 2]);
    assert_ne!(bench.reply(other).yiaddr, offer.yiaddr);
}

#[test]
fn a_reservation_added_later_wins_at_the_next_renewal() {
    let mut bench = Bench::new();
    let dynamic = bench.dora(stranger(1));
    let mut config = Config::for_tests();
    let mut known = config.known.clone();
    known.push(crate::config::Known {
        name: "late".into(),
        macs: vec![faros_common::site::Mac(stranger(1))],
        address: Some(pool(60)),
        ..known[0].clone()
    });
    known[1].uuid = None;
    config.set_known(known);
    bench.machine.on_config(Arc::new(config));
    bench.after_secs(1800);
    assert_eq!(bench.reply(renew(stranger(1), dynamic)).kind, MessageType::Nak);
    assert_eq!(bench.dora(stranger(1)), pool(60));
}

#[test]
fn a_reserved_address_that_another_still_holds_is_waited_for() {
    let mut bench = Bench::new();
    let dynamic = bench.dora(stranger(1));
    let mut config = Config::for_tests();
    let mut known = config.known.clone();
    known[0].address = Some(dynamic);
    config.set_known(known);
    bench.machine.on_config(Arc::new(config));
    let meanwhile = bench.dora(CP1);
    assert_ne!(meanwhile, dynamic, "never two live owners");
    assert_eq!(bench.reply(renew(stranger(1), dynamic)).kind, MessageType::Nak, "its next renewal ends it");
    assert_ne!(bench.dora(stranger(1)), dynamic);
    bench.after_secs(3700);
    assert_eq!(bench.dora(CP1), dynamic);
}

#[test]
fn a_node_without_a_reserved_address_has_a_dynamic_one_for_all_its_cards() {
    let mut config = Config::for_tests();
    let mut known = config.known.clone();
    known[0].address = None;
    config.set_known(known);
    let mut bench = Bench::with(config);
    let address = bench.dora(CP1);
    assert_eq!(bench.dora(CP1_SECOND_CARD), address);
    assert_eq!(bench.reply(discover(CP1)).text(12).as_deref(), Some("cp1.edge.example.com"));
}

#[test]
fn clients_without_a_card_keep_their_offers_beside_one_another() {
    let nobody = |kind, id: u8| {
        Packet::new(kind, [0; 6])
            .field(1, &[32, 0])
            .field(28, &[0; 6])
            .option(code::CLIENT_IDENTIFIER, &[0xff, id, id])
    };
    let mut bench = Bench::new();
    let first = bench.reply(nobody(MessageType::Discover, 1)).yiaddr;
    let second = bench.reply(nobody(MessageType::Discover, 2)).yiaddr;
    assert_ne!(first, second);
    assert_eq!(bench.state(first), Some(State::Offered), "the second client cost the first its offer");
}
