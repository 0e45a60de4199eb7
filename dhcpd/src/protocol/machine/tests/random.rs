//! Random clients, crashes, failing disks and changed files in virtual time, with what must hold throughout.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::store::{Record, Replayed};

#[derive(Clone, Debug)]
enum Step {
    Discover {
        client: u8,
        uuid: bool,
        id: u8,
    },
    /// Takes the last offer, if there was one.
    Select {
        client: u8,
        uuid: bool,
        id: u8,
    },
    Renew {
        client: u8,
    },
    InitReboot {
        client: u8,
        last: u8,
    },
    Steal {
        client: u8,
        last: u8,
    },
    Release {
        client: u8,
    },
    Decline {
        client: u8,
    },
    Wait {
        secs: u16,
    },
    Squat {
        last: u8,
    },
    Tick,
    DiskFails,
    DiskHeals,
    /// Power is cut: what was not on disk is gone.
    Crash,
    /// The site file changes between two pools.
    Reload {
        small: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let client = 0u8..12;
    let step = prop_oneof![
        8 => (client.clone(), any::<bool>(), 0u8..4).prop_map(|(client, uuid, id)| Step::Discover { client, uuid, id }),
        8 => (client.clone(), any::<bool>(), 0u8..4).prop_map(|(client, uuid, id)| Step::Select { client, uuid, id }),
        4 => client.clone().prop_map(|client| Step::Renew { client }),
        2 => (client.clone(), 126u8..146).prop_map(|(client, last)| Step::InitReboot { client, last }),
        2 => (client.clone(), 126u8..146).prop_map(|(client, last)| Step::Steal { client, last }),
        2 => client.clone().prop_map(|client| Step::Release { client }),
        1 => client.prop_map(|client| Step::Decline { client }),
        3 => (0u16..2500).prop_map(|secs| Step::Wait { secs }),
        1 => (126u8..146).prop_map(|last| Step::Squat { last }),
        4 => Just(Step::Tick),
        1 => Just(Step::DiskFails),
        2 => Just(Step::DiskHeals),
        1 => Just(Step::Crash),
        1 => any::<bool>().prop_map(|small| Step::Reload { small }),
    ];
    proptest::collection::vec(step, 1..120)
}

/// A world of clients around one machine: who believes to have which address until when.
struct World {
    bench: Bench,
    disk: Vec<Vec<u8>>,
    disk_ok: bool,
    offers: HashMap<u8, Ipv4Addr>,
    believes: HashMap<u8, (Ipv4Addr, Time)>,
}

fn card(client: u8) -> [u8; 6] {
    // Two of the clients are the cards of the configured node.
    match client {
        0 => CP1,
        1 => CP1_SECOND_CARD,
        _ => stranger(client.into()),
    }
}

impl World {
    fn new() -> Self {
        let mut bench = Bench::new();
        bench.machine.on_link(true);
        Self { bench, disk: Vec::new(), disk_ok: true, offers: HashMap::new(), believes: HashMap::new() }
    }

    fn dress(packet: Packet, client: u8, uuid: bool, id: u8) -> Packet {
        // Clients 8 and 9 are careless vendors' machines with one UUID.
        let packet = if uuid { packet.uuid(if client == 9 { 8 } else { client }) } else { packet };
        if id == 0 { packet } else { packet.option(61, &[id, id, id]) }
    }

    /// Sends, writes down what is to be written, and lets the client believe what it was told.
    fn exchange(&mut self, client: u8, packet: Packet) -> Result<(), TestCaseError> {
        let asked = self.bench.send(packet);
        let mut delivered = asked.is_ok();
        for action in self.bench.actions.clone() {
            match action {
                Action::Commit { lease, promise, .. } => {
                    if self.disk_ok {
                        self.disk.push(Record::Lease(*lease).encode());
                    } else if promise == Promise::New {
                        self.bench.machine.on_commit_failed(lease.address, self.bench.now);
                        delivered = false;
                    }
                }
                Action::Note(lease) if self.disk_ok => self.disk.push(Record::Lease(*lease).encode()),
                _ => {}
            }
        }
        let Ok(seen) = asked else { return Ok(()) };
        if !delivered {
            return Ok(());
        }
        match seen.kind {
            MessageType::Offer => {
                self.offers.insert(client, seen.yiaddr);
                self.check_address(client, seen.yiaddr)?;
            }
            MessageType::Ack => {
                let secs = u32::from_be_bytes(seen.option(51).unwrap().try_into().unwrap());
                self.believes
                    .insert(client, (seen.yiaddr, self.bench.now + Duration::from_secs(secs.into())));
                self.check_address(client, seen.yiaddr)?;
                self.check_owners(client, seen.yiaddr)?;
            }
            MessageType::Nak => {
                self.believes.remove(&client);
            }
            other => prop_assert!(false, "a client was sent {other:?}"),
        }
        Ok(())
    }

    fn check_address(&self, client: u8, address: Ipv4Addr) -> Result<(), TestCaseError> {
        let config = self.bench.machine.config();
        if client > 1 {
            prop_assert_ne!(address, RESERVED, "a reservation was given to a stranger");
            prop_assert!(config.in_pool(address), "{address} is not in the pool");
        }
        prop_assert_ne!(address, SERVER);
        Ok(())
    }

    /// No address has two live owners: nobody else believes to have what was just granted, except the other
    /// card of the node, and machines whose firmware shows one UUID, which are one machine until proven two.
    fn check_owners(&self, client: u8, address: Ipv4Addr) -> Result<(), TestCaseError> {
        let same_machine = |a: u8, b: u8| (a < 2 && b < 2) || (matches!(a, 8 | 9) && matches!(b, 8 | 9));
        for (&other, &(theirs, until)) in &self.believes {
            if other != client && until > self.bench.now && !same_machine(client, other) {
                prop_assert_ne!(theirs, address, "{} and {} both live there", client, other);
            }
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Discover { client, uuid, id } => {
                self.exchange(client, Self::dress(discover(card(client)), client, uuid, id))?;
            }
            Step::Select { client, uuid, id } => {
                if let Some(offer) = self.offers.remove(&client) {
                    self.exchange(client, Self::dress(select(card(client), offer), client, uuid, id))?;
                }
            }
            Step::Renew { client } => {
                if let Some(&(address, until)) = self.believes.get(&client)
                    && until > self.bench.now
                {
                    self.exchange(client, renew(card(client), address))?;
                }
            }
            Step::InitReboot { client, last } => {
                let address = self.believes.get(&client).map_or(pool(last), |believed| believed.0);
                self.exchange(client, init_reboot(card(client), address))?;
            }
            Step::Steal { client, last } => {
                self.exchange(client, select(card(client), pool(last)))?;
            }
            Step::Release { client } => {
                if let Some((address, _)) = self.believes.remove(&client) {
                    let release = Packet::new(MessageType::Release, card(client)).ciaddr(address);
                    self.exchange(client, release)?;
                }
            }
            Step::Decline { client } => {
                if let Some((address, _)) = self.believes.remove(&client) {
                    self.exchange(client, Packet::new(MessageType::Decline, card(client)).wants(address))?;
                }
            }
            Step::Wait { secs } => {
                self.bench.after_secs(secs.into());
            }
            Step::Squat { last } => {
                let squatter = Hardware::new(1, &[2, 9, 9, 9, 9, last]);
                let mut actions = Vec::new();
                self.bench.machine.on_address_in_use(pool(last), squatter, self.bench.now, &mut actions);
                self.write_notes(actions);
            }
            Step::Tick => {
                // Long enough for two questions and the silence after them.
                for _ in 0..4 {
                    self.bench.after(Duration::from_millis(250));
                    let mut actions = Vec::new();
                    self.bench.machine.on_timeout(self.bench.now, &mut actions);
                    self.write_notes(actions);
                }
            }
            Step::DiskFails => {
                self.disk_ok = false;
                self.bench.machine.on_storage(Storage::Failed);
            }
            Step::DiskHeals => {
                if !self.disk_ok {
                    self.disk_ok = true;
                    self.bench.machine.on_storage(Storage::Healthy);
                    self.disk = self
                        .bench
                        .machine
                        .leases()
                        .iter()
                        .map(|l| Record::Lease(l.clone()).encode())
                        .collect();
                }
            }
            Step::Crash => {
                // With the disk failed, renewals were served without being written: that is the stated price.
                if self.disk_ok {
                    let leases = Replayed::of(&self.disk).leases;
                    let config = Arc::clone(self.bench.machine.config());
                    self.bench.machine = Machine::start(config, leases);
                    self.bench.machine.on_link(true);
                    self.offers.clear();
                }
            }
            Step::Reload { small } => {
                let mut config = Config::for_tests();
                if small {
                    config.pool = Some(faros_common::site::Ipv4Range { first: pool(134), last: pool(145) });
                }
                self.bench.machine.on_config(Arc::new(config));
            }
        }
        self.check_counts()
    }

    fn write_notes(&mut self, actions: Vec<Action>) {
        for action in actions {
            if let (Action::Note(lease), true) = (action, self.disk_ok) {
                self.disk.push(Record::Lease(*lease).encode());
            }
        }
    }

    /// The counters agree with the table, and the table is bounded by the pools there were.
    fn check_counts(&self) -> Result<(), TestCaseError> {
        let leases = self.bench.machine.leases();
        let config = self.bench.machine.config();
        let count = |state| leases.iter().filter(|l| l.state == state && config.in_pool(l.address)).count();
        let usage = leases.usage();
        prop_assert_eq!(usage.active, count(State::Active));
        prop_assert_eq!(usage.offered, count(State::Offered));
        prop_assert_eq!(usage.quarantined, count(State::Quarantined));
        prop_assert!(leases.iter().len() <= 20);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_no_address_has_two_live_owners(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.step(step)?;
        }
    }
}
