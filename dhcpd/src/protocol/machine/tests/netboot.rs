//! What network boot clients are told, and what they must not be told.

use super::*;

fn pxe(packet: Packet) -> Packet {
    packet.option(60, b"PXEClient:Arch:00007:UNDI:003000").option(93, &[0, 7])
}

fn ipxe(packet: Packet) -> Packet {
    pxe(packet).option(77, b"iPXE").option(175, &[177, 0])
}

#[test]
fn firmware_gets_its_loader_in_every_place_and_never_option_60_or_43() {
    let offer = Bench::new().reply(pxe(discover(CP1)));
    assert_eq!(offer.text(67).as_deref(), Some("snponly.efi"));
    assert_eq!(offer.text(66).as_deref(), Some("192.168.8.1"));
    assert!(offer.bytes[108..].starts_with(b"snponly.efi\0"));
    assert_eq!(offer.bytes[20..24], SERVER.octets(), "siaddr");
    assert_eq!((offer.option(60), offer.option(43)), (None, None), "no boot server on port 4011");
}

#[test]
fn http_boot_gets_a_url_and_its_class_back() {
    let offer = Bench::new()
        .reply(discover(CP1).option(60, b"HTTPClient:Arch:00016:UNDI:003000").option(93, &[0, 16]));
    assert_eq!(offer.text(60).as_deref(), Some("HTTPClient"));
    assert_eq!(offer.text(67).as_deref(), Some("http://192.168.8.1:8080/loaders/snponly.efi"));
}

#[test]
fn ipxe_gets_its_script_with_card_and_uuid_and_does_not_wait_for_a_proxy() {
    let offer = Bench::new().reply(ipxe(discover(CP1)).uuid(0x11));
    let url = offer.text(67).unwrap();
    assert!(
        url.starts_with("http://192.168.8.1:8080/boot/ipxe?mac=52-54-00-00-08-11&uuid=4e4e4e4e-4e4e-"),
        "{url}"
    );
    assert_eq!(offer.option(175), Some(vec![176, 1, 1]));
    assert!(offer.bytes[108..].starts_with(url.as_bytes()), "the file field takes it too");
}

#[test]
fn nodes_are_told_router_resolver_name_domain_clock_and_search_list_unasked() {
    let offer = Bench::new().reply(discover(CP1));
    for code in [1, 3, 6, 12, 15, 28, 42, 51, 54, 58, 59, 119] {
        assert!(offer.option(code).is_some(), "option {code}");
    }
    assert_eq!(offer.text(12).as_deref(), Some("cp1.edge.example.com"));
    assert_eq!(offer.option(119).unwrap(), b"\x04edge\x07example\x03com\0");
    assert!(Bench::new().reply(discover(stranger(1))).option(67).is_none(), "no boot file for a system");
}

#[test]
fn options_of_the_site_and_of_the_node_replace_ours() {
    let mut config = Config::for_tests();
    config.options = vec![(42, vec![9; 4]), (67, b"other.efi".to_vec()), (224, vec![1])];
    let mut known = config.known.clone();
    known[0].options = vec![(224, vec![2]), (66, b"192.168.8.77".to_vec())];
    config.set_known(known);
    let mut bench = Bench::with(config);
    let offer = bench.reply(pxe(discover(CP1)));
    assert_eq!(offer.option(42), Some(vec![9; 4]));
    assert_eq!(offer.option(224), Some(vec![2]), "the node's own wins");
    assert_eq!(offer.text(67).as_deref(), Some("other.efi"));
    assert!(offer.bytes[108..].starts_with(b"other.efi\0"));
    assert_eq!(offer.bytes[20..24], [192, 168, 8, 77]);
    assert_eq!(bench.reply(discover(stranger(1))).option(224), Some(vec![1]));
}

#[test]
fn the_same_loader_three_times_a_minute_is_a_loop_and_gets_another_answer() {
    let mut bench = Bench::new();
    for _ in 0..2 {
        bench.reply(pxe(discover(CP1)));
        let ack = bench.reply(pxe(select(CP1, RESERVED)));
        assert_eq!(ack.text(67).as_deref(), Some("snponly.efi"));
        assert!(!bench.has_event("boot_loop"));
        bench.after_secs(5);
    }
    assert_eq!(bench.reply(pxe(discover(CP1))).text(67).as_deref(), Some("ipxe.efi"));
    let ack = bench.reply(pxe(select(CP1, RESERVED)));
    assert_eq!(ack.text(67).as_deref(), Some("ipxe.efi"));
    assert!(bench.has_event("boot_loop"));
    bench.after_secs(61);
    assert_eq!(bench.reply(pxe(discover(CP1))).text(67).as_deref(), Some("snponly.efi"), "calm again");
}

#[test]
fn a_looping_ipxe_in_disguise_gets_its_script() {
    let mut bench = Bench::new();
    let disguised = |packet: Packet| pxe(packet).option(55, &[1, 3, 6, 67, 175, 203]);
    for _ in 0..2 {
        bench.reply(disguised(discover(CP1)));
        bench.reply(disguised(select(CP1, RESERVED)));
    }
    bench.reply(disguised(discover(CP1)));
    let ack = bench.reply(disguised(select(CP1, RESERVED)));
    assert!(ack.text(67).unwrap().contains("/boot/ipxe?mac=52-54-00-00-08-11"));
    assert!(bench.has_event("boot_loop"));
}

#[test]
fn a_full_name_option_is_answered_in_its_form() {
    let mut bench = Bench::new();
    let ack = bench.reply(discover(CP1).option(81, &[5, 0, 0, 3, b'a', b'b', b'c', 0]));
    assert_eq!(ack.option(81).unwrap(), b"\x05\xff\xff\x03cp1\x04edge\x07example\x03com\0");
    let ack = bench.reply(discover(CP1).option(81, b"\x00\x00\x00abc"));
    assert_eq!(ack.option(81).unwrap(), b"\x03\xff\xffcp1.edge.example.com");
    let ack = bench.reply(discover(stranger(1)).option(81, b"\x08\x00\x00abc"));
    assert_eq!(ack.option(81).unwrap(), b"\x08\xff\xffabc.edge.example.com");
}

#[test]
fn a_request_repeated_for_a_lost_ack_is_no_loop() {
    let mut bench = Bench::new();
    let card = stranger(1);
    let offer = bench.reply(pxe(discover(card)));
    for _ in 0..5 {
        let ack = bench.after_secs(2).reply(pxe(select(card, offer.yiaddr)));
        assert_eq!(ack.text(code::BOOTFILE_NAME), offer.text(code::BOOTFILE_NAME));
        assert!(!bench.has_event("boot_loop"));
    }
}
