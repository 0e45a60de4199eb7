//! Any packets at all, one after the other, into the server: each gets one answer or one reason, and what is
//! answered is sound, also for somebody else's decoder.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use dhcproto::v4::{DhcpOption, Message, OptionCode};
use dhcproto::{Decodable, Decoder};
use faros_dhcpd::protocol::frame::PAYLOAD_BYTES_MAX;
use faros_dhcpd::protocol::identity::Who;
use faros_dhcpd::protocol::machine::Machine;
use faros_dhcpd::protocol::message::MAGIC_COOKIE;
use faros_dhcpd::protocol::options::Options;
use faros_dhcpd::protocol::outcome::{Action, Arrival, Destination, Outgoing};
use faros_dhcpd::protocol::reply::REPLY_BYTES_MIN;
use faros_dhcpd::protocol::request::Request;
use faros_dhcpd::protocol::time::Time;

use crate::Target;
use crate::captures;
use crate::dhcp_site::{ACK, NAK, OFFER, RESERVED, SERVER, config, kind, options_of, yiaddr};
use crate::input::Input;

/// Feeds [`Machine::on_packet`].
pub const TARGET: Target = Target { name: "dhcp_packet", run, seeds, memory: (512 * 1024, 256) };

fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut machine = Machine::start(Arc::clone(config()), []);
    machine.on_link(true);
    let (mut now, mut out) = (Time(1_000_000), Vec::new());
    while !input.is_empty() {
        let how = input.byte();
        now = now + Duration::from_millis(u64::from(input.byte()) << (how & 15));
        let mut packet = input.long().to_vec();
        if how & 16 != 0 && packet.len() >= 240 {
            // The fuzzer need not find the cookie by itself each time.
            packet[..3].copy_from_slice(&[1, 1, 6]);
            packet[28] &= 0xfe;
            packet[236..240].copy_from_slice(&MAGIC_COOKIE);
        }
        let arrival = Arrival {
            source: SocketAddrV4::new(
                if how & 32 != 0 { Ipv4Addr::new(192, 168, 8, 5) } else { Ipv4Addr::UNSPECIFIED },
                68,
            ),
            destination: if how & 64 != 0 { SERVER } else { Ipv4Addr::BROADCAST },
            on_lan: how & 128 == 0,
        };
        if machine.deadline().is_some_and(|deadline| deadline <= now) {
            out.clear();
            machine.on_timeout(now, &mut out);
            assert!(
                machine.deadline().is_none_or(|deadline| deadline > now),
                "its deadline stays in the past"
            );
        }
        out.clear();
        machine.on_packet(&packet, &arrival, now, &mut out);
        check(&packet, &out);
        // Pool, reservation, and nothing beyond.
        assert!(machine.leases().iter().len() <= 17);
    }
}

fn check(packet: &[u8], actions: &[Action]) {
    let answers: Vec<Option<&Outgoing>> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Send(reply) | Action::Commit { then: reply, .. } => Some(Some(reply)),
            Action::Drop(dropped) => {
                assert!(!dropped.reason.name().is_empty() && !dropped.reason.explanation().is_empty());
                Some(None)
            }
            _ => None,
        })
        .collect();
    let [answer] = answers[..] else { panic!("{} answers to one packet", answers.len()) };
    for action in actions {
        if let Action::Commit { lease, then, .. } = action {
            assert_eq!(lease.address, yiaddr(&then.bytes), "one address is written down, another promised");
        }
    }
    if let Some(reply) = answer {
        let request = Request::read(packet).expect("what cannot be read is not answered");
        check_reply(&request, packet, reply);
    }
}

fn check_reply(request: &Request<'_>, packet: &[u8], reply: &Outgoing) {
    let bytes = &reply.bytes;
    assert!(
        (REPLY_BYTES_MIN..=PAYLOAD_BYTES_MAX).contains(&bytes.len()),
        "{} bytes do not fit a frame",
        bytes.len()
    );
    assert_eq!((bytes[0], &bytes[4..8], &bytes[28..44]), (2, &packet[4..8], &packet[28..44]));
    let options = options_of(bytes);
    let kind = kind(bytes);
    assert!(matches!(kind, OFFER | ACK | NAK), "a client was sent a message of type {kind}");
    assert!(options.fixed::<4>(54).is_some(), "a reply that does not say whose it is");
    let address = yiaddr(bytes);
    if !address.is_unspecified() {
        let who = Who::of_request(request, config());
        let own = address == RESERVED && who.known.is_some();
        assert!(own || config().in_pool(address), "{address} was given to {:?}", who.client.hardware);
        assert!(options.fixed::<4>(51).is_some() && kind != NAK);
    }
    match reply.to {
        Destination::Relay(relay) => assert_eq!(*relay.ip(), request.message.giaddr),
        _ => assert!(request.message.giaddr.is_unspecified(), "a relayed client was answered directly"),
    }
    agreed(bytes, kind);
}

/// What dhcproto makes of the reply.
fn agreed(bytes: &[u8], kind: u8) {
    let message = Message::decode(&mut Decoder::new(bytes)).expect("dhcproto can read it");
    assert_eq!(message.yiaddr(), yiaddr(bytes));
    let main = Options::frame(&bytes[240..], &[], &[]).expect("what we send can be framed");
    assert_eq!(message.opts().get(OptionCode::MessageType), Some(&DhcpOption::MessageType(kind.into())));
    // It reads a name of option 81 in wire form only, and nothing behind one that it cannot read.
    for (code, value) in main.iter().take_while(|option| option.0 != 81) {
        // These two are the client's own words, sent back as they came.
        if !matches!(code, 61 | 82) && !value.is_empty() {
            assert!(
                message.opts().get(OptionCode::from(code)).is_some(),
                "dhcproto does not see option {code}"
            );
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let framed =
        |how: u8, packet: &[u8]| [&[how, 1][..], &(packet.len() as u16).to_be_bytes(), packet].concat();
    let packets = captures::sent_to(67);
    let mut seeds: Vec<Vec<u8>> = packets.iter().map(|packet| framed(16, packet)).collect();
    seeds.push(packets.iter().take(4).flat_map(|packet| framed(0, packet)).collect());
    seeds
}
