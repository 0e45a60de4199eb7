//! Clients, crashes, failing disks and changed files around one server, as the fuzzer tells it: no address has
//! two live owners, and a reservation is nobody else's.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use faros_common::site::Ipv4Range;
use faros_dhcpd::config::Config;
use faros_dhcpd::protocol::leases::State;
use faros_dhcpd::protocol::machine::{Machine, Storage};
use faros_dhcpd::protocol::message::Hardware;
use faros_dhcpd::protocol::outcome::{Action, Arrival, Outgoing, Promise};
use faros_dhcpd::protocol::time::Time;
use faros_dhcpd::store::{Record, Replayed};

use crate::Target;
use crate::dhcp_site::{
    ACK, DECLINE, DISCOVER, INFORM, NAK, OFFER, Packet, RELAY, RELEASE, REQUEST, RESERVED, SERVER, config,
    kind, options_of, yiaddr,
};
use crate::input::Input;

/// Feeds [`Machine`].
pub const TARGET: Target = Target { name: "dhcp_machine", run, seeds, memory: (1 << 20, 2048) };

/// The first two are the cards of the configured node.
const CLIENTS: u8 = 12;

/// Options that decide who speaks and what about: the story sets them, not the fuzzer.
const OWN_OPTIONS: [u8; 8] = [0, 50, 52, 53, 54, 61, 97, 255];

struct World {
    machine: Machine,
    now: Time,
    /// What is on disk, and whether it takes more.
    disk: Vec<Vec<u8>>,
    disk_ok: bool,
    offers: BTreeMap<u8, Ipv4Addr>,
    /// Who believes to have which address until when.
    believes: BTreeMap<u8, (Ipv4Addr, Time)>,
}

fn run(data: &[u8]) {
    let mut machine = Machine::start(Arc::clone(config()), []);
    machine.on_link(true);
    let mut world = World {
        machine,
        now: Time(1_000_000),
        disk: Vec::new(),
        disk_ok: true,
        offers: BTreeMap::new(),
        believes: BTreeMap::new(),
    };
    let mut input = Input::new(data);
    while !input.is_empty() {
        world.step(&mut input);
        world.check_counts();
    }
}

fn card(client: u8) -> [u8; 6] {
    match client {
        0 => [0x52, 0x54, 0, 0, 8, 0x11],
        1 => [0x52, 0x54, 0, 0, 8, 0x21],
        _ => [2, 0, 0, 0, 0, client],
    }
}

fn address(input: &mut Input<'_>) -> Ipv4Addr {
    match input.below(22) {
        last @ 0..20 => Ipv4Addr::new(192, 168, 8, 126 + last),
        20 => RESERVED,
        _ => Ipv4Addr::new(10, 0, 0, 1),
    }
}

/// What else stands in the packet.
fn dressed(mut packet: Packet, client: u8, input: &mut Input<'_>) -> Packet {
    let how = input.byte();
    if how & 1 != 0 {
        // Clients 8 and 9 are careless vendors' machines with one UUID.
        packet = packet.uuid(if client == 9 { 8 } else { client });
    }
    if how & 6 != 0 {
        packet = packet.option(61, &[how & 6; 3]);
    }
    if how & 8 != 0 {
        packet = packet.broadcast();
    }
    if how & 16 != 0 {
        packet = packet.relayed();
    }
    for _ in 0..how >> 6 {
        let code = input.byte();
        let value = input.short();
        if !OWN_OPTIONS.contains(&code) {
            packet = packet.option(code, value);
        }
    }
    packet
}

impl World {
    fn step(&mut self, input: &mut Input<'_>) {
        let kind = input.below(32);
        let client = input.below(CLIENTS);
        let believed = self.believes.get(&client).copied();
        let packet = |kind| Packet::new(kind, card(client));
        match kind {
            0..5 => self.exchange(client, dressed(packet(DISCOVER), client, input)),
            5..10 => {
                if let Some(offer) = self.offers.remove(&client) {
                    self.exchange(client, dressed(packet(REQUEST).server().wants(offer), client, input));
                }
            }
            10..13 => {
                if let Some((address, until)) = believed
                    && until > self.now
                {
                    self.exchange(client, dressed(packet(REQUEST).ciaddr(address), client, input));
                }
            }
            13 | 14 => {
                let wanted = believed.map_or_else(|| address(input), |believed| believed.0);
                self.exchange(client, dressed(packet(REQUEST).wants(wanted), client, input));
            }
            15 => {
                let wanted = address(input);
                self.exchange(client, dressed(packet(REQUEST).server().wants(wanted), client, input));
            }
            16 => {
                let wanted = address(input);
                self.exchange(client, dressed(packet(DISCOVER).wants(wanted), client, input));
            }
            17 | 18 => {
                if let Some((address, _)) = self.believes.remove(&client) {
                    self.exchange(client, packet(RELEASE).ciaddr(address));
                }
            }
            19 => {
                if let Some((address, _)) = self.believes.remove(&client) {
                    self.exchange(client, packet(DECLINE).wants(address));
                }
            }
            20 => {
                let own = address(input);
                self.exchange(client, dressed(packet(INFORM).ciaddr(own), client, input));
            }
            21 | 22 => self.now = self.now + Duration::from_secs(u64::from(input.u16() % 2500)),
            23 => {
                let squatter = Hardware::new(1, &[2, 9, 9, 9, 9, client]);
                let mut actions = Vec::new();
                let taken = address(input);
                self.machine.on_address_in_use(taken, squatter, self.now, &mut actions);
                self.write_down(&actions);
            }
            24..28 => self.tick(),
            28 => {
                self.disk_ok = false;
                self.machine.on_storage(Storage::Failed);
            }
            29 if !self.disk_ok => {
                self.disk_ok = true;
                self.machine.on_storage(Storage::Healthy);
                self.disk =
                    self.machine.leases().iter().map(|lease| Record::Lease(lease.clone()).encode()).collect();
            }
            // With the disk failed, renewals were served without being written: that is the stated price.
            30 if self.disk_ok => self.crash(),
            31 => self.reload(input.flag()),
            _ => {}
        }
    }

    /// Long enough for two questions and the silence after them.
    fn tick(&mut self) {
        for _ in 0..4 {
            self.now = self.now + Duration::from_millis(250);
            let mut actions = Vec::new();
            self.machine.on_timeout(self.now, &mut actions);
            self.write_down(&actions);
        }
    }

    /// Power is cut: what was not on disk is gone.
    fn crash(&mut self) {
        let replayed = Replayed::of(&self.disk);
        assert_eq!(replayed.unreadable, 0, "a record that was written cannot be read");
        let config = Arc::clone(self.machine.config());
        self.machine = Machine::start(config, replayed.leases);
        self.machine.on_link(true);
        self.offers.clear();
    }

    fn reload(&mut self, small: bool) {
        let mut changed = Config::clone(config());
        if small {
            let (first, last) = (Ipv4Addr::new(192, 168, 8, 134), Ipv4Addr::new(192, 168, 8, 145));
            changed.pool = Some(Ipv4Range { first, last });
        }
        self.machine.on_config(Arc::new(changed));
    }

    /// Sends, writes down what is to be written, and lets the client believe what it was told.
    fn exchange(&mut self, client: u8, packet: Packet) {
        let mut bytes = packet.0;
        bytes.push(255);
        let relayed = bytes[24..28] != [0; 4];
        let arrival = Arrival {
            source: if relayed {
                SocketAddrV4::new(RELAY, 67)
            } else {
                SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68)
            },
            destination: if relayed { SERVER } else { Ipv4Addr::BROADCAST },
            on_lan: true,
        };
        let mut actions = Vec::new();
        self.machine.on_packet(&bytes, &arrival, self.now, &mut actions);
        let mut told = None;
        for action in &actions {
            match action {
                Action::Send(reply) => told = Some(reply),
                Action::Commit { lease, promise: Promise::New, .. } if !self.disk_ok => {
                    self.machine.on_commit_failed(lease.address, self.now);
                }
                Action::Commit { then, .. } => told = Some(then),
                _ => {}
            }
        }
        self.write_down(&actions);
        if let Some(reply) = told {
            self.hear(client, reply);
        }
    }

    fn write_down(&mut self, actions: &[Action]) {
        for action in actions {
            if let (Action::Note(lease) | Action::Commit { lease, .. }, true) = (action, self.disk_ok) {
                self.disk.push(Record::Lease(lease.as_ref().clone()).encode());
            }
        }
    }

    fn hear(&mut self, client: u8, reply: &Outgoing) {
        let given = yiaddr(&reply.bytes);
        match kind(&reply.bytes) {
            OFFER => {
                self.offers.insert(client, given);
                self.check_address(client, given);
            }
            // An answer to INFORM.
            ACK if given.is_unspecified() => {}
            ACK => {
                let secs = options_of(&reply.bytes).fixed(51).map(u32::from_be_bytes).expect("a lease time");
                self.believes.insert(client, (given, self.now + Duration::from_secs(secs.into())));
                self.check_address(client, given);
                self.check_owners(client, given);
            }
            NAK => drop(self.believes.remove(&client)),
            other => panic!("a client was sent a message of type {other}"),
        }
    }

    fn check_address(&self, client: u8, given: Ipv4Addr) {
        assert_ne!(given, SERVER);
        if client > 1 {
            assert_ne!(given, RESERVED, "a reservation was given to a stranger");
            assert!(self.machine.config().in_pool(given), "{given} is not in the pool");
        }
    }

    /// Nobody else believes to have what was just granted, except the other card of the node, and machines whose
    /// firmware shows one UUID, which are one machine until proven two.
    fn check_owners(&self, client: u8, given: Ipv4Addr) {
        let same_machine = |a: u8, b: u8| (a < 2 && b < 2) || (matches!(a, 8 | 9) && matches!(b, 8 | 9));
        for (&other, &(theirs, until)) in &self.believes {
            let apart = other != client && !same_machine(client, other);
            assert!(
                !apart || until <= self.now || theirs != given,
                "{client} and {other} both live at {given}"
            );
        }
    }

    /// The counters agree with the table, and the table is bounded by the pools there were.
    fn check_counts(&self) {
        let leases = self.machine.leases();
        let config = self.machine.config();
        let count = |state| leases.iter().filter(|l| l.state == state && config.in_pool(l.address)).count();
        let usage = leases.usage();
        let counted = [State::Active, State::Offered, State::Quarantined].map(count);
        assert_eq!([usage.active, usage.offered, usage.quarantined], counted);
        assert!(leases.iter().len() <= 19, "more entries than addresses");
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let dora = |client: u8, how: u8| vec![0, client, how, 5, client, how];
    vec![
        (0..CLIENTS).flat_map(|client| dora(client, 0)).collect(),
        [dora(0, 1), dora(1, 3), vec![10, 0, 0, 21, 0, 4, 0, 13, 1, 0]].concat(),
        [dora(2, 8), vec![17, 2], dora(3, 16), vec![19, 3], dora(4, 2), vec![24, 0, 30, 0], dora(5, 2)]
            .concat(),
        [dora(8, 1), dora(9, 1), dora(8, 1), vec![28, 0], dora(6, 0), vec![29, 0, 31, 0, 1, 10, 8, 0, 30, 0]]
            .concat(),
        [dora(2, 0), vec![21, 0, 0x08, 0, 21, 0, 0x08, 0, 24, 0], dora(3, 0), vec![13, 2, 0]].concat(),
        vec![0, 4, 0x80, 80, 0, 55, 3, 1, 3, 6, 16, 5, 3, 0x40, 57, 2, 5, 0xdc, 20, 5, 4, 0, 23, 0, 3],
    ]
}
