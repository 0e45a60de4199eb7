//! Hostile and broken input: none of it is answered wrongly, and a sound client right after it is served.
//! What is refused by framing alone is tested beside `options` and `message`.

use super::*;

/// Sends `packet`, then proves that a sound client is served.
fn survives(packet: Packet) -> Result<Seen, DropReason> {
    let mut bench = Bench::new();
    let answer = bench.send(packet);
    assert_eq!(bench.reply(discover(CP1)).yiaddr, RESERVED);
    answer
}

#[test]
fn d1_to_d7_unreadable_packets_have_a_reason_each() {
    let sound = discover(stranger(1)).bytes;
    let mut bench = Bench::new();
    for length in [0, 1, 235, 236, 239] {
        assert_eq!(bench.bytes(&sound[..length]).unwrap_err(), DropReason::TooShort, "{length}");
    }
    assert_eq!(survives(discover(stranger(1)).field(236, &[0; 4])).unwrap_err(), DropReason::NoCookie);
    for op in [0, 2, 255] {
        assert_eq!(survives(discover(stranger(1)).field(0, &[op])).unwrap_err(), DropReason::NotARequest);
    }
    assert_eq!(survives(discover(stranger(1)).field(2, &[200])).unwrap_err(), DropReason::BadHardwareAddress);
    assert_eq!(survives(discover(stranger(1)).field(2, &[8])).unwrap_err(), DropReason::BadHardwareAddress);
}

#[test]
fn d8_a_packet_that_passed_too_many_relays_is_dropped() {
    assert_eq!(survives(discover(stranger(1)).field(3, &[255])).unwrap_err(), DropReason::TooManyHops);
    assert!(survives(discover(stranger(1)).field(3, &[16])).is_ok());
}

#[test]
fn d9_to_d11_garbage_after_end_no_end_and_pads_only() {
    let mut bench = Bench::new();
    let mut bytes = discover(stranger(1)).bytes;
    assert!(bench.bytes(&bytes).is_ok(), "no END");
    bytes.push(255);
    bytes.extend([0x35; 700]);
    assert!(bench.bytes(&bytes).is_ok(), "garbage after END");
    let mut pads = discover(stranger(1)).bytes;
    pads.truncate(240);
    pads.resize(65_000, 0);
    assert_eq!(bench.bytes(&pads).unwrap_err(), DropReason::NoMessageType);
}

#[test]
fn d12_an_option_past_the_end_is_never_half_believed() {
    let mut bytes = discover(stranger(1)).bytes;
    bytes.extend([12, 40, b'x']);
    assert_eq!(Bench::new().bytes(&bytes).unwrap_err(), DropReason::BadFraming);
}

#[test]
fn d13_d14_options_of_wrong_length_are_absent_and_shift_nothing() {
    for code in [12, 51, 57, 58, 59, 60, 61, 77, 80, 81, 93, 94, 97, 116, 118, 175] {
        for length in [0usize, 1, 2, 3, 5, 255] {
            let packet = discover(stranger(1)).option(code, &vec![0x41; length]).option(55, &[6, 3]);
            let offer = survives(packet).unwrap();
            assert!(matches!(offer.kind, MessageType::Offer | MessageType::Ack), "{code}/{length}");
            let order: Vec<u8> =
                Options::frame(&offer.bytes[240..], &[], &[]).unwrap().iter().map(|o| o.0).collect();
            let place = |code| order.iter().position(|&o| o == code).unwrap();
            assert!(place(6) < place(3), "{code}/{length} shifted option 55");
        }
    }
    for code in [50, 54] {
        assert!(survives(discover(stranger(1)).option(code, &[])).is_err() || code == 54);
    }
    let no_type = Packet { bytes: discover(stranger(1)).bytes[..240].to_vec() };
    assert_eq!(survives(no_type.clone()).unwrap_err(), DropReason::NoMessageType);
    assert_eq!(survives(no_type.clone().option(53, &[])).unwrap_err(), DropReason::NoMessageType);
    assert_eq!(survives(no_type.option(53, &[1, 1])).unwrap_err(), DropReason::NoMessageType);
}

#[test]
fn d20_a_parameter_list_of_all_codes_gets_one_of_each() {
    let all: Vec<u8> = (1..=255).collect();
    let offer = survives(discover(stranger(1)).option(55, &all)).unwrap();
    let codes: Vec<u8> = Options::frame(&offer.bytes[240..], &[], &[]).unwrap().iter().map(|o| o.0).collect();
    let mut unique = codes.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), codes.len());
    for code in [43, 60, 66, 67, 108, 116, 121] {
        assert!(!codes.contains(&code), "{code} is not for everybody");
    }
}

#[test]
fn d21_to_d23_overload_is_read_once_and_says_what_it_says() {
    for overload in 0..=255u8 {
        let packet = discover(stranger(1))
            .option(52, &[overload])
            .field(44, &[50, 4, 192, 168, 8, 141, 52, 1, 3, 255])
            .field(108, &[12, 4, b'n', b'o', b'd', b'e', 52, 1, 3, 255]);
        let offer = survives(packet).unwrap();
        let read_sname = matches!(overload, 2 | 3);
        assert_eq!(offer.yiaddr == pool(141), read_sname, "overload {overload}");
    }
}

#[test]
fn d24_d25_repeated_options_are_bounded() {
    let repeated = (0..300).fold(discover(stranger(1)), |packet, _| packet.option(12, b"n"));
    assert!(survives(repeated).is_ok());
    let huge = (0..40).fold(discover(stranger(1)), |packet, _| packet.option(43, &[0; 255]));
    assert_eq!(survives(huge).unwrap_err(), DropReason::BadFraming);
}

#[test]
fn d28_hostile_names_are_not_kept() {
    for name in [&b"$(reboot)"[..], b"../../etc", b"a\0b", b"-x", &[0xff; 63]] {
        let mut bench = Bench::new();
        let address = bench.dora_with(stranger(1), |packet| packet.option(12, name));
        assert_eq!(bench.lease(address).unwrap().host_name, None, "{name:?}");
    }
    let mut bench = Bench::new();
    let address = bench.dora_with(stranger(1), |packet| packet.option(12, b"Build-7.lan"));
    assert_eq!(bench.lease(address).unwrap().host_name.as_deref(), Some("build-7"));
}

#[test]
fn d31_to_d34_relays_are_checked() {
    let mut bench = Bench::new();
    let elsewhere = Ipv4Addr::new(10, 1, 1, 1);
    assert_eq!(bench.reason(discover(stranger(1)).giaddr(elsewhere)), DropReason::UnknownSubnet);
    assert_eq!(bench.reason(discover(stranger(1)).giaddr(SERVER)), DropReason::RelayIsUs);
    let selection = discover(stranger(1)).giaddr(elsewhere).option(82, &[5, 4, 192, 168, 8, 0]);
    let offer = bench.reply(selection);
    assert_eq!(offer.to, Destination::Relay(SocketAddrV4::new(elsewhere, 67)), "link selection, RFC 3527");
    for looped in [&[][..], &[1, 200], &[1, 0, 2, 0], &[0xff; 255]] {
        let offer = bench.reply(discover(stranger(1)).giaddr(pool(200)).option(82, looped));
        assert_eq!(offer.option(82).as_deref(), Some(looped), "verbatim");
        assert!(offer.bytes.ends_with(&[255]) || offer.bytes.len() == 300);
    }
    let arrival = Arrival {
        source: SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 9), 68),
        destination: SERVER,
        on_lan: false,
    };
    let bytes = discover(stranger(1)).bytes;
    assert_eq!(bench.bytes_by(&bytes, &arrival).unwrap_err(), DropReason::ForeignInterface);
    let relayed = discover(stranger(1)).giaddr(pool(200)).bytes;
    assert_eq!(bench.bytes_by(&relayed, &arrival).unwrap_err(), DropReason::ForeignInterface);
    let arrival = Arrival { source: SocketAddrV4::new(pool(200), 67), ..arrival };
    assert!(bench.bytes_by(&relayed, &arrival).is_ok(), "a relay of the site");
}

#[test]
fn relays_may_stand_in_for_the_server_and_choose_their_port() {
    let mut bench = Bench::new();
    let relay = pool(200);
    let dressed = |packet: Packet| packet.giaddr(relay).option(82, &[11, 4, 192, 168, 8, 200, 19, 0]);
    let arrival = Arrival { source: SocketAddrV4::new(relay, 4067), destination: SERVER, on_lan: true };
    let offer = bench.bytes_by(&dressed(discover(stranger(1))).bytes, &arrival).unwrap();
    assert_eq!(offer.option(54), Some(relay.octets().to_vec()), "RFC 5107");
    assert_eq!(offer.to, Destination::Relay(SocketAddrV4::new(relay, 4067)), "RFC 8357");
    let request = dressed(Packet::new(MessageType::Request, stranger(1)).server(relay).wants(offer.yiaddr));
    assert_eq!(bench.bytes_by(&request.bytes, &arrival).unwrap().kind, MessageType::Ack);
}

#[test]
fn d40_a_release_by_a_stranger_or_with_a_wrong_identifier_is_ignored() {
    let mut bench = Bench::new();
    let address = bench.dora_with(stranger(1), |packet| packet.option(61, &[0, 1, 2]));
    let release = |card| Packet::new(MessageType::Release, card).ciaddr(address).server(SERVER);
    assert_eq!(bench.reason(release(stranger(2)).option(61, &[0, 1, 2])), DropReason::ReleaseMismatch);
    assert_eq!(bench.reason(release(stranger(1)).option(61, &[0, 9, 9])), DropReason::ReleaseMismatch);
    assert_eq!(bench.state(address), Some(State::Active));
    let other =
        Packet::new(MessageType::Release, stranger(1)).ciaddr(address).server(pool(9)).option(61, &[0, 1, 2]);
    assert_eq!(bench.reason(other), DropReason::OtherServer);
    assert_eq!(bench.reason(release(stranger(1)).option(61, &[0, 1, 2])), DropReason::Released);
}

#[test]
fn d41_inform_from_outside_is_dropped() {
    let mut bench = Bench::new();
    for address in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(10, 0, 0, 1)] {
        let inform = Packet::new(MessageType::Inform, stranger(1)).ciaddr(address);
        assert_eq!(bench.reason(inform), DropReason::InformOutside);
    }
}

#[test]
fn d43_a_replayed_exchange_changes_nothing() {
    let mut bench = Bench::new();
    let address = bench.dora(stranger(1));
    for _ in 0..1000 {
        assert_eq!(bench.reply(discover(stranger(1))).yiaddr, address);
        assert_eq!(bench.reply(select(stranger(1), address)).yiaddr, address);
    }
    assert_eq!(bench.machine.leases().iter().len(), 1);
}

#[test]
fn d44_lease_times_are_clamped() {
    let mut bench = Bench::new();
    for (wished, given) in [(0u32, 60u32), (59, 60), (600, 600), (u32::MAX, 3600)] {
        let offer = bench.reply(discover(stranger(1)).option(51, &wished.to_be_bytes()));
        assert_eq!(offer.option(51), Some(given.to_be_bytes().to_vec()), "{wished}");
    }
}

#[test]
fn d45_a_small_message_size_still_gets_what_matters() {
    let mut bench = Bench::new();
    for size in [0u16, 1, 300, 575] {
        let offer = bench.reply(discover(CP1).option(57, &size.to_be_bytes()).option(61, &[9; 200]));
        assert!(offer.bytes.len() <= 548, "{}", offer.bytes.len());
        assert!(offer.option(1).is_some() && offer.option(51).is_some() && offer.option(54).is_some());
    }
}

#[test]
fn messages_that_clients_do_not_send_are_dropped() {
    for kind in [0u8, 2, 5, 6, 9, 10, 11, 13, 18, 200, 255] {
        assert_eq!(
            survives(Packet::new(MessageType::from(kind), stranger(1))).unwrap_err(),
            DropReason::UnexpectedMessage,
            "{kind}"
        );
    }
}

#[test]
fn an_ignored_card_is_never_answered() {
    let ignored = [0x52, 0x54, 0, 0, 0, 0x99];
    assert_eq!(survives(discover(ignored)).unwrap_err(), DropReason::Ignored);
}

#[test]
fn mutated_captures_leave_a_reason_or_a_reply_each() {
    let seeds = captures::requests();
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut bench = Bench::new();
    for round in 0..20_000 {
        let mut bytes = seeds[next() as usize % seeds.len()].clone();
        for _ in 0..=next() % 6 {
            let at = next() as usize % bytes.len();
            match next() % 4 {
                0 => bytes[at] = next() as u8,
                1 => bytes[at] ^= 1 << (next() % 8),
                2 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, next() as u8),
            }
        }
        let _ = bench.bytes(&bytes);
        bench.after(Duration::from_millis(round % 50));
    }
    assert!(bench.machine.leases().iter().len() <= 17, "the table is bounded by the pool");
    assert_eq!(bench.reply(discover(CP1)).yiaddr, RESERVED);
}

#[test]
fn a_relay_that_is_no_host_gets_no_answer() {
    let mut bench = Bench::new();
    let link = [5, 4, 192, 168, 8, 0];
    for giaddr in [
        Ipv4Addr::new(192, 168, 8, 255),
        Ipv4Addr::new(192, 168, 8, 0),
        Ipv4Addr::BROADCAST,
        Ipv4Addr::LOCALHOST,
        Ipv4Addr::new(224, 0, 0, 1),
    ] {
        let packet = discover(stranger(1)).giaddr(giaddr).option(code::RELAY_AGENT, &link);
        assert_eq!(bench.reason(packet), DropReason::UnknownSubnet, "{giaddr}");
    }
}

#[test]
fn inform_from_an_address_that_is_no_clients_is_dropped() {
    let mut bench = Bench::new();
    for ciaddr in [SERVER, Ipv4Addr::new(192, 168, 8, 255), Ipv4Addr::new(192, 168, 8, 0)] {
        let packet = Packet::new(MessageType::Inform, stranger(1)).ciaddr(ciaddr);
        assert_eq!(bench.reason(packet), DropReason::InformOutside, "{ciaddr}");
    }
}
