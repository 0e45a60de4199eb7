//! The machine in virtual time: packets of real shape in, actions out.

mod captures;
mod catalogue;
mod identity;
mod netboot;
mod pool;
mod random;
mod table4;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use dhcproto::v4::MessageType;

use super::super::leases::{Lease, State};
use super::super::message::{Hardware, MAGIC_COOKIE};
use super::super::options::Options;
use super::super::outcome::{Action, Arrival, Destination, DropReason, Outgoing, Promise};
use super::super::time::Time;
use super::{Machine, Storage};
use crate::code;
use crate::config::Config;

pub(super) const SERVER: Ipv4Addr = Ipv4Addr::new(192, 168, 8, 1);
pub(super) const RESERVED: Ipv4Addr = Ipv4Addr::new(192, 168, 8, 11);
pub(super) const CP1: [u8; 6] = [0x52, 0x54, 0, 0, 8, 0x11];
pub(super) const CP1_SECOND_CARD: [u8; 6] = [0x52, 0x54, 0, 0, 8, 0x21];

/// The pool address with this last byte.
pub(super) fn pool(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 8, last)
}

/// A stranger's card.
pub(super) fn stranger(number: u16) -> [u8; 6] {
    let [high, low] = number.to_be_bytes();
    [0x02, 0, 0, 0, high, low]
}

/// A client's message under construction.
#[derive(Clone)]
pub(super) struct Packet {
    pub(super) bytes: Vec<u8>,
}

impl Packet {
    pub(super) fn new(kind: MessageType, card: [u8; 6]) -> Self {
        let mut bytes = vec![0; 240];
        bytes[..4].copy_from_slice(&[1, 1, 6, 0]);
        bytes[4..8].copy_from_slice(&[0xab, card[3], card[4], card[5]]);
        bytes[28..34].copy_from_slice(&card);
        bytes[236..240].copy_from_slice(&MAGIC_COOKIE);
        Self { bytes }.option(code::MESSAGE_TYPE, &[u8::from(kind)])
    }

    pub(super) fn option(mut self, code: u8, value: &[u8]) -> Self {
        self.bytes.extend([code, value.len() as u8]);
        self.bytes.extend_from_slice(value);
        self
    }

    pub(super) fn address_option(self, code: u8, address: Ipv4Addr) -> Self {
        self.option(code, &address.octets())
    }

    pub(super) fn wants(self, address: Ipv4Addr) -> Self {
        self.address_option(code::REQUESTED_ADDRESS, address)
    }

    pub(super) fn server(self, address: Ipv4Addr) -> Self {
        self.address_option(code::SERVER_IDENTIFIER, address)
    }

    pub(super) fn field(mut self, at: usize, bytes: &[u8]) -> Self {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub(super) fn ciaddr(self, address: Ipv4Addr) -> Self {
        self.field(12, &address.octets())
    }

    pub(super) fn giaddr(self, address: Ipv4Addr) -> Self {
        self.field(24, &address.octets())
    }

    pub(super) fn broadcast(self) -> Self {
        self.field(10, &[0x80, 0])
    }

    pub(super) fn uuid(self, last: u8) -> Self {
        let mut value = [0x4e; 17];
        value[0] = 0;
        value[16] = last;
        self.option(code::CLIENT_MACHINE_ID, &value)
    }
}

pub(super) fn discover(card: [u8; 6]) -> Packet {
    Packet::new(MessageType::Discover, card)
}

/// A REQUEST that takes an offer of ours.
pub(super) fn select(card: [u8; 6], address: Ipv4Addr) -> Packet {
    Packet::new(MessageType::Request, card).server(SERVER).wants(address)
}

pub(super) fn renew(card: [u8; 6], address: Ipv4Addr) -> Packet {
    Packet::new(MessageType::Request, card).ciaddr(address)
}

pub(super) fn init_reboot(card: [u8; 6], address: Ipv4Addr) -> Packet {
    Packet::new(MessageType::Request, card).wants(address)
}

/// What a test looks at in a reply.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) kind: MessageType,
    pub(super) yiaddr: Ipv4Addr,
    pub(super) to: Destination,
    pub(super) bytes: Vec<u8>,
    /// `None`: sent at once.
    pub(super) promise: Option<Promise>,
}

impl Seen {
    fn of(reply: Outgoing, promise: Option<Promise>) -> Self {
        let [a, b, c, d] = reply.bytes[16..20].try_into().unwrap();
        let kind = Options::frame(&reply.bytes[240..], &[], &[]).unwrap().fixed::<1>(53).unwrap()[0];
        Self {
            kind: kind.into(),
            yiaddr: Ipv4Addr::new(a, b, c, d),
            to: reply.to,
            bytes: reply.bytes,
            promise,
        }
    }

    pub(super) fn option(&self, code: u8) -> Option<Vec<u8>> {
        let options =
            Options::frame(&self.bytes[240..], &self.bytes[108..236], &self.bytes[44..108]).unwrap();
        options.get(code).map(std::borrow::Cow::into_owned)
    }

    pub(super) fn text(&self, code: u8) -> Option<String> {
        self.option(code).map(|value| String::from_utf8(value).unwrap())
    }
}

/// A machine, its clock, and what it said last.
pub(super) struct Bench {
    pub(super) machine: Machine,
    pub(super) now: Time,
    pub(super) actions: Vec<Action>,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(Config::for_tests())
    }

    pub(super) fn with(config: Config) -> Self {
        Self { machine: Machine::start(Arc::new(config), []), now: Time(1_000_000), actions: Vec::new() }
    }

    pub(super) fn after(&mut self, duration: Duration) -> &mut Self {
        self.now = self.now + duration;
        self
    }

    pub(super) fn after_secs(&mut self, secs: u64) -> &mut Self {
        self.after(Duration::from_secs(secs))
    }

    /// Handles bytes that came in on the LAN.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<Seen, DropReason> {
        let arrival = Arrival {
            source: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68),
            destination: Ipv4Addr::BROADCAST,
            on_lan: true,
        };
        self.bytes_by(bytes, &arrival)
    }

    pub(super) fn bytes_by(&mut self, bytes: &[u8], arrival: &Arrival) -> Result<Seen, DropReason> {
        self.actions.clear();
        self.machine.on_packet(bytes, arrival, self.now, &mut self.actions);
        let mut answers = self.actions.iter().filter_map(|action| match action {
            Action::Send(reply) => Some(Ok(Seen::of(reply.clone(), None))),
            Action::Commit { then, promise, .. } => Some(Ok(Seen::of(then.clone(), Some(*promise)))),
            Action::Drop(dropped) => Some(Err(dropped.reason)),
            _ => None,
        });
        let answer = answers.next().expect("every packet leaves a reply or a reason");
        assert!(answers.next().is_none(), "one packet, one answer");
        answer
    }

    pub(super) fn send(&mut self, packet: Packet) -> Result<Seen, DropReason> {
        let mut bytes = packet.bytes;
        bytes.push(code::END);
        self.bytes(&bytes)
    }

    pub(super) fn reply(&mut self, packet: Packet) -> Seen {
        self.send(packet).expect("an answer")
    }

    pub(super) fn reason(&mut self, packet: Packet) -> DropReason {
        self.send(packet).expect_err("no answer")
    }

    /// DISCOVER and REQUEST; the address granted.
    pub(super) fn dora(&mut self, card: [u8; 6]) -> Ipv4Addr {
        self.dora_with(card, |packet| packet)
    }

    pub(super) fn dora_with(&mut self, card: [u8; 6], dress: impl Fn(Packet) -> Packet) -> Ipv4Addr {
        let offer = self.reply(dress(discover(card)));
        assert_eq!(offer.kind, MessageType::Offer);
        let ack = self.reply(dress(select(card, offer.yiaddr)));
        assert_eq!((ack.kind, ack.yiaddr), (MessageType::Ack, offer.yiaddr));
        ack.yiaddr
    }

    pub(super) fn lease(&self, address: Ipv4Addr) -> Option<&Lease> {
        self.machine.leases().at(address)
    }

    pub(super) fn state(&self, address: Ipv4Addr) -> Option<State> {
        self.lease(address).map(|lease| lease.state)
    }

    /// Whether the last packet caused an event with this id.
    pub(super) fn has_event(&self, id: &str) -> bool {
        let needle = format!("\"{id}\"");
        let events = self.actions.iter().flat_map(|action| match action {
            Action::Emit(event) => vec![event.clone()],
            Action::Send(reply) | Action::Commit { then: reply, .. } => reply.events.clone(),
            _ => Vec::new(),
        });
        events.into_iter().any(|event| format!("{event:?}").contains(&needle))
    }

    pub(super) fn failed_disk(&mut self) -> &mut Self {
        self.machine.on_storage(Storage::Failed);
        self
    }
}
