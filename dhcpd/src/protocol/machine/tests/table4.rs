//! RFC 2131 section 4.3.2 and table 4: every state a client can be in, and what it is told.

use super::*;

fn silent_site() -> Bench {
    let mut config = Config::for_tests();
    config.authoritative = false;
    Bench::with(config)
}

#[test]
fn selecting_is_granted_the_offer_and_the_ack_waits_for_the_disk() {
    let mut bench = Bench::new();
    let offer = bench.reply(discover(stranger(1)));
    assert_eq!((offer.kind, offer.promise), (MessageType::Offer, None));
    let ack = bench.reply(select(stranger(1), offer.yiaddr));
    assert_eq!((ack.kind, ack.promise, ack.yiaddr), (MessageType::Ack, Some(Promise::New), offer.yiaddr));
    assert_eq!(ack.option(51), Some(3600u32.to_be_bytes().to_vec()));
    assert_eq!(ack.option(58), Some(1800u32.to_be_bytes().to_vec()));
    assert_eq!(ack.option(59), Some(3150u32.to_be_bytes().to_vec()));
    assert_eq!(ack.option(54), Some(SERVER.octets().to_vec()));
}

#[test]
fn selecting_something_else_than_the_offer_is_refused() {
    let mut bench = Bench::new();
    bench.reply(discover(stranger(1)));
    let other = bench.dora(stranger(2));
    assert_eq!(bench.reply(select(stranger(1), other)).kind, MessageType::Nak);
    assert_eq!(bench.reply(select(stranger(1), RESERVED)).kind, MessageType::Nak);
    assert_eq!(bench.reply(select(stranger(1), pool(250))).kind, MessageType::Nak);
}

#[test]
fn d35_a_request_for_another_server_frees_the_offer() {
    let mut bench = Bench::new();
    let offer = bench.reply(discover(stranger(1)));
    let other = Packet::new(MessageType::Request, stranger(1)).server(pool(9)).wants(pool(77));
    assert_eq!(bench.reason(other), DropReason::OtherServer);
    assert!(bench.has_event("dhcp_other_server"));
    assert_eq!(bench.state(offer.yiaddr), None);
}

#[test]
fn d38_selecting_an_offer_that_has_passed_is_granted_while_the_address_is_free() {
    let mut bench = Bench::new();
    let offer = bench.reply(discover(stranger(1)));
    bench.after_secs(61);
    assert_eq!(bench.reply(select(stranger(1), offer.yiaddr)).kind, MessageType::Ack);
    let mut bench = Bench::new();
    let offer = bench.reply(discover(stranger(1)));
    bench.after_secs(61);
    assert_eq!(bench.dora(stranger(2)), offer.yiaddr, "now it is somebody else's");
    assert_eq!(bench.reply(select(stranger(1), offer.yiaddr)).kind, MessageType::Nak);
}

#[test]
fn init_reboot_with_the_right_address_is_granted_and_with_a_wrong_one_refused() {
    let mut bench = Bench::new();
    let address = bench.dora(stranger(1));
    let ack = bench.reply(init_reboot(stranger(1), address));
    assert_eq!((ack.kind, ack.promise), (MessageType::Ack, Some(Promise::Standing)));
    let nak = bench.reply(init_reboot(stranger(1), pool(140)));
    assert_eq!(
        (nak.kind, nak.yiaddr, nak.to),
        (MessageType::Nak, Ipv4Addr::UNSPECIFIED, Destination::Broadcast)
    );
    assert!(nak.text(56).unwrap().contains("192.168.8.128"), "{:?}", nak.text(56));
    assert_eq!(nak.option(51), None);
}

#[test]
fn d36_init_reboot_of_the_unknown_is_refused_by_the_authority_and_else_met_with_silence() {
    assert_eq!(Bench::new().reply(init_reboot(stranger(1), pool(130))).kind, MessageType::Nak);
    assert_eq!(silent_site().reason(init_reboot(stranger(1), pool(130))), DropReason::NoBinding);
}

#[test]
fn d37_init_reboot_from_another_network_is_refused_by_broadcast() {
    let nak = Bench::new().reply(init_reboot(stranger(1), Ipv4Addr::new(10, 0, 0, 5)));
    assert_eq!((nak.kind, nak.to), (MessageType::Nak, Destination::Broadcast));
    let mut silent = silent_site();
    assert_eq!(silent.reason(init_reboot(stranger(1), Ipv4Addr::new(10, 0, 0, 5))), DropReason::NoBinding);
    silent.dora(stranger(1));
    let nak = silent.reply(init_reboot(stranger(1), Ipv4Addr::new(10, 0, 0, 5)));
    assert_eq!(nak.kind, MessageType::Nak, "a client with a record here is told in any case");
}

#[test]
fn renewing_and_rebinding_extend_and_are_answered_at_the_clients_address() {
    let mut bench = Bench::new();
    let address = bench.dora(stranger(1));
    let until = bench.lease(address).unwrap().until;
    bench.after_secs(1800);
    let ack = bench.reply(renew(stranger(1), address));
    assert_eq!(
        (ack.kind, ack.promise, ack.to),
        (MessageType::Ack, Some(Promise::Standing), Destination::Client(address))
    );
    assert_eq!(ack.bytes[12..16], address.octets(), "ciaddr goes back (table 3)");
    assert_eq!(bench.lease(address).unwrap().until.since(until).as_secs(), 1800);
    assert!(bench.has_event("lease_renewed") && bench.has_event("dhcp_acked"));
}

#[test]
fn renewing_somebody_elses_address_is_refused() {
    let mut bench = Bench::new();
    let address = bench.dora(stranger(1));
    assert_eq!(bench.reply(renew(stranger(2), address)).kind, MessageType::Nak);
    assert_eq!(bench.reply(renew(stranger(2), RESERVED)).kind, MessageType::Nak);
    assert_eq!(bench.lease(address).unwrap().client.hardware, Hardware::new(1, &stranger(1)));
}

#[test]
fn renewing_what_this_server_forgot_is_granted_by_the_authority_only() {
    let mut bench = Bench::new();
    assert_eq!(bench.reply(renew(stranger(1), pool(133))).kind, MessageType::Ack);
    assert_eq!(silent_site().reason(renew(stranger(1), pool(133))), DropReason::NoBinding);
}

#[test]
fn renewing_after_the_end_is_granted_while_nobody_else_has_the_address() {
    let mut bench = Bench::new();
    let address = bench.dora(stranger(1));
    bench.after_secs(4000);
    bench.reply(discover(stranger(2)));
    assert_eq!(bench.state(address), Some(State::Ended));
    assert_eq!(bench.reply(renew(stranger(1), address)).kind, MessageType::Ack);
}

#[test]
fn a_request_without_any_address_gets_no_answer() {
    let mut bench = Bench::new();
    assert_eq!(bench.reason(Packet::new(MessageType::Request, stranger(1))), DropReason::NoAddressNamed);
    assert_eq!(
        bench.reason(Packet::new(MessageType::Request, stranger(1)).server(SERVER)),
        DropReason::NoAddressNamed
    );
    let broken = Packet::new(MessageType::Request, stranger(1)).option(50, &[1, 2, 3]);
    assert_eq!(bench.reason(broken), DropReason::BadOption);
}

#[test]
fn replies_go_where_section_4_1_says() {
    let mut bench = Bench::new();
    let card = Hardware::new(1, &stranger(1));
    let offer = bench.reply(discover(stranger(1)));
    assert_eq!(offer.to, Destination::Card(card, offer.yiaddr));
    assert_eq!(bench.reply(discover(stranger(1)).broadcast()).to, Destination::Broadcast);
    let relay = pool(200);
    let relayed = bench.reply(discover(stranger(1)).giaddr(relay));
    assert_eq!(relayed.to, Destination::Relay(SocketAddrV4::new(relay, 67)));
    let nak = bench.reply(init_reboot(stranger(1), RESERVED).giaddr(relay));
    assert_eq!(nak.to, Destination::Relay(SocketAddrV4::new(relay, 67)));
    assert_eq!(nak.bytes[10] & 0x80, 0x80, "a relay must broadcast a NAK");
}

#[test]
fn rapid_commit_takes_two_messages_where_this_server_is_the_authority() {
    let mut bench = Bench::new();
    let ack = bench.reply(discover(stranger(1)).option(80, &[]));
    assert_eq!(
        (ack.kind, ack.promise, ack.option(80)),
        (MessageType::Ack, Some(Promise::New), Some(Vec::new()))
    );
    assert_eq!(bench.state(ack.yiaddr), Some(State::Active));
    assert_eq!(silent_site().reply(discover(stranger(1)).option(80, &[])).kind, MessageType::Offer);
    assert_eq!(Bench::new().reply(discover(stranger(1)).option(80, &[1])).kind, MessageType::Offer);
}

#[test]
fn inform_is_answered_without_a_lease() {
    let mut bench = Bench::new();
    let ack = bench.reply(Packet::new(MessageType::Inform, stranger(1)).ciaddr(pool(50)));
    assert_eq!((ack.kind, ack.yiaddr, ack.promise), (MessageType::Ack, Ipv4Addr::UNSPECIFIED, None));
    assert_eq!(ack.to, Destination::Client(pool(50)));
    assert!(ack.option(51).is_none() && ack.option(58).is_none());
    assert_eq!(ack.option(6), Some(SERVER.octets().to_vec()));
    assert_eq!(bench.machine.leases().iter().len(), 0);
}

#[test]
fn release_ends_the_lease_and_the_client_finds_its_address_again() {
    let mut bench = Bench::new();
    let address = bench.dora(stranger(1));
    let release = Packet::new(MessageType::Release, stranger(1)).ciaddr(address).server(SERVER);
    assert_eq!(bench.reason(release), DropReason::Released);
    assert!(bench.has_event("lease_released"));
    assert_eq!(bench.state(address), Some(State::Ended));
    assert!(
        bench
            .actions
            .iter()
            .any(|action| matches!(action, Action::Note(lease) if lease.state == State::Ended))
    );
    assert_ne!(bench.dora(stranger(2)), address);
    assert_eq!(bench.dora(stranger(1)), address);
}

#[test]
fn the_client_identifier_goes_back_as_it_came() {
    let mut bench = Bench::new();
    for id in [&[0xff; 255][..], &[1, 2], &[7]] {
        assert_eq!(bench.reply(discover(stranger(1)).option(61, id)).option(61).as_deref(), Some(id));
    }
    assert_eq!(
        bench.reply(init_reboot(stranger(1), RESERVED).option(61, &[1, 2])).option(61),
        Some(vec![1, 2])
    );
}
