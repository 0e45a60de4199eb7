//! The machine with its wires: actions become datagrams, frames, journal records, events and counters.

mod disk;
mod lan;
mod sending;

use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use faros_common::events::{Event, Events};
use faros_common::journal::{GroupCommit, JournalError, Lsn, Progress};
use faros_common::{fault, tasks};
use tokio::sync::watch;
use tracing::{debug, error, info, warn};

use crate::config::Config;
use crate::metrics::DhcpMetrics;
use crate::platform::{self, BATCH, Datagram, Link};
use crate::protocol::advertise::{self, ALL_NODES, Advertiser};
use crate::protocol::arp;
use crate::protocol::clock::{Reading, Stamp};
use crate::protocol::frame;
use crate::protocol::leases::Lease;
use crate::protocol::machine::{Machine, Storage};
use crate::protocol::message::Hardware;
use crate::protocol::outcome::{Action, Arrival, Destination, DropReason, Dropped, Outgoing, Promise};
use crate::protocol::time::Time;
use crate::server::link_event;
use crate::store::{self, Record};
use crate::unanswered::Unanswered;
pub(crate) use disk::JournalWatch;

/// Replies that may wait for the disk; a client beyond gets none and asks again.
const HELD_MAX: usize = 16_384;

/// A disk that takes longer than this for one write counts as failed until it is done.
const STALL_MAX: Duration = Duration::from_secs(2);

/// Between two records of the clocks.
const STAMP_GAP: Duration = Duration::from_secs(300);

const BROADCAST_CARD: [u8; 6] = [0xff; 6];

/// The longest hardware address that a packet socket takes; to longer ones replies are broadcast.
const CARD_BYTES_MAX: usize = 8;

/// The sockets to send on.
pub(crate) struct Wires {
    pub(crate) udp: RawFd,
    pub(crate) frames: OwnedFd,
    pub(crate) arp: Option<RawFd>,
    pub(crate) icmp6: Option<RawFd>,
}

/// A reply that waits for the disk.
struct Held {
    lsn: Lsn,
    promise: Promise,
    address: Ipv4Addr,
    client: Hardware,
    reply: Outgoing,
}

/// A lease that is to be written, and the reply that waits for it.
type Unwritten = (Box<Lease>, Option<(Promise, Outgoing)>);

/// The server's state and its way to the outside.
pub(crate) struct Engine {
    pub(crate) machine: Machine,
    pub(crate) group: GroupCommit,
    pub(crate) link: Option<Link>,
    pub(crate) unanswered: Unanswered,
    pub(crate) metrics: DhcpMetrics,
    pub(crate) events: Events,
    wires: Wires,
    advertiser: Advertiser,
    held: VecDeque<Held>,
    /// What this batch of packets leaves to be written, in order. It goes to the journal at one go, so that
    /// one write carries it all.
    records: Vec<Unwritten>,
    outbox: Vec<Outgoing>,
    actions: Vec<Action>,
    last_stamp: Option<Time>,
    link_missing_told: bool,
    journal: JournalWatch,
    /// What happened to the journal's file, until it is whole again.
    journal_lost: Option<String>,
}

impl Engine {
    pub(crate) fn new(
        machine: Machine,
        group: GroupCommit,
        journal: JournalWatch,
        wires: Wires,
        metrics: DhcpMetrics,
        events: Events,
    ) -> Self {
        Self {
            machine,
            group,
            link: None,
            unanswered: Unanswered::default(),
            metrics,
            events,
            wires,
            advertiser: Advertiser::default(),
            held: VecDeque::new(),
            records: Vec::new(),
            outbox: Vec::new(),
            actions: Vec::new(),
            last_stamp: None,
            link_missing_told: false,
            journal,
            journal_lost: None,
        }
    }

    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.group.progress()
    }

    pub(crate) fn held_count(&self) -> usize {
        self.held.len()
    }

    /// When [`Engine::on_timeout`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.machine.deadline().into_iter().chain(self.advertiser.deadline()).min()
    }

    pub(crate) fn on_packet(&mut self, bytes: &[u8], arrival: &Arrival, now: Time) {
        let mut actions = std::mem::take(&mut self.actions);
        let handled = tasks::contain("dhcp_packet", || {
            fault::point("dhcpd.request");
            self.machine.on_packet(bytes, arrival, now, &mut actions);
        });
        if handled.is_none() {
            self.metrics.lost_to_a_defect();
            actions.clear();
        }
        self.perform(&mut actions, now);
        self.actions = actions;
    }

    pub(crate) fn on_address_in_use(&mut self, address: Ipv4Addr, hardware: Hardware, now: Time) {
        let mut actions = std::mem::take(&mut self.actions);
        self.machine.on_address_in_use(address, hardware, now, &mut actions);
        self.perform(&mut actions, now);
        self.actions = actions;
        self.flush(now);
    }

    pub(crate) fn on_timeout(&mut self, now: Time) {
        if self.machine.deadline().is_some_and(|deadline| deadline <= now) {
            let mut actions = std::mem::take(&mut self.actions);
            self.machine.on_timeout(now, &mut actions);
            self.perform(&mut actions, now);
            self.actions = actions;
            self.flush(now);
        }
        if let Some(to) = self.advertiser.on_timeout(now) {
            self.advertise(to, now);
        }
    }

    pub(crate) fn on_config(&mut self, config: Arc<Config>, now: Time) {
        let old = Arc::clone(self.machine.config());
        let moved = old.interface != config.interface || old.advertisement != config.advertisement;
        self.machine.on_config(config);
        if moved {
            self.link = None;
            self.advertiser.stop();
            self.look_at_link(now);
        }
    }

    /// Ends a lease on an operator's word; false if there is none.
    pub(crate) fn release(&mut self, address: Ipv4Addr, now: Time) -> bool {
        let Some(lease) = self.machine.on_operator_release(address, now) else { return false };
        self.note(&lease);
        let mut event = Event::new("lease_released").address(address).with("reason", "ended by an operator");
        if let Some(mac) = lease.client.hardware.mac() {
            event = event.mac(mac);
        }
        self.events.emit(event);
        true
    }

    fn perform(&mut self, actions: &mut Vec<Action>, now: Time) {
        for action in actions.drain(..) {
            match action {
                Action::Send(reply) => self.outbox.push(reply),
                Action::Commit { lease, promise, then } => self.records.push((lease, Some((promise, then)))),
                Action::Note(lease) => self.records.push((lease, None)),
                Action::Drop(dropped) => self.dropped(&dropped, now),
                Action::Emit(event) => {
                    self.events.emit(event);
                }
                Action::Probe(address) => self.probe(address),
            }
        }
    }

    fn commit(&mut self, lease: &Lease, promise: Promise, reply: Outgoing, now: Time) {
        let (address, client) = (lease.address, lease.client.hardware);
        let full = self.held.len() >= HELD_MAX;
        let appended = if full {
            Err(JournalError::Busy)
        } else {
            self.group.append(Record::Lease(lease.clone()).encode())
        };
        match appended {
            Ok(_) if promise == Promise::Standing && self.machine.storage() == Storage::Failed => {
                self.outbox.push(reply);
            }
            Ok(lsn) => self.held.push_back(Held { lsn, promise, address, client, reply }),
            Err(error) => {
                debug!(event = "lease_not_written", %address, %error, "a lease was not written");
                if promise == Promise::Standing && !matches!(error, JournalError::Busy) {
                    self.outbox.push(reply);
                } else {
                    self.withdraw(address, client, promise, now);
                }
            }
        }
    }

    /// A promise that could not be written is not made.
    fn withdraw(&mut self, address: Ipv4Addr, client: Hardware, promise: Promise, now: Time) {
        if promise == Promise::New {
            self.machine.on_commit_failed(address, now);
        }
        self.dropped(&Dropped { reason: DropReason::StorageFailed, hardware: Some(client) }, now);
    }

    fn note(&self, lease: &Lease) {
        if let Err(error) = self.group.append(Record::Lease(lease.clone()).encode()) {
            debug!(event = "lease_not_written", address = %lease.address, %error, "a lease was not written");
        }
    }

    fn dropped(&mut self, dropped: &Dropped, now: Time) {
        self.metrics.dropped(dropped.reason);
        let mac = dropped.hardware.and_then(|hardware| hardware.mac());
        let known = mac.and_then(|mac| self.machine.config().known_by_mac(mac));
        let Some(entry) = self.unanswered.record(dropped, known.is_some(), now) else { return };
        let mut event = Event::new("dhcp_unanswered")
            .with("reason", dropped.reason.name())
            .with("explanation", dropped.reason.explanation())
            .with("count", entry.count);
        if let Some(mac) = mac {
            event = event.mac(mac);
        }
        if let Some(known) = known {
            event = event.node(known.name.as_str());
        }
        self.events.emit(event);
    }

    fn probe(&mut self, address: Ipv4Addr) {
        let (Some(socket), Some(Link { index, mac: Some(mac), up: true })) = (self.wires.arp, self.link)
        else {
            return;
        };
        let message = arp::probe(mac, address);
        match platform::send_frame(socket, index, libc::ETH_P_ARP as u16, &BROADCAST_CARD, &message) {
            Ok(()) => self.metrics.probed(),
            Err(_) => self.metrics.send_failed("arp"),
        }
    }

    /// The disk has come further, or has failed, or has healed.
    pub(crate) fn on_progress(&mut self, now: Time) {
        let progress = self.group.progress().borrow().clone();
        while self.held.front().is_some_and(|held| held.lsn <= progress.durable) {
            if let Some(held) = self.held.pop_front() {
                self.outbox.push(held.reply);
            }
        }
        self.judge_storage(progress.failed.as_deref().map(ToString::to_string), now);
        self.flush(now);
    }

    fn judge_storage(&mut self, failed: Option<String>, now: Time) {
        let stalled = self.group.stalled().filter(|&stalled| stalled > STALL_MAX);
        let trouble = failed
            .or(stalled.map(|for_how_long| format!("one write takes {for_how_long:?} already")))
            .or(self.journal_lost.clone());
        match (&trouble, self.machine.storage()) {
            (Some(why), Storage::Healthy) => {
                error!(event = "lease_storage_failed", %why, "leases cannot be written: no new ones are given");
                self.events.emit(Event::new("lease_storage_failed").with("reason", why.as_str()));
                self.machine.on_storage(Storage::Failed);
            }
            (None, Storage::Failed) => {
                info!(event = "lease_storage_healed", "leases can be written again");
                self.events.emit(Event::new("lease_storage_healed"));
                self.machine.on_storage(Storage::Healthy);
                // Renewals went on meanwhile without being written one by one.
                self.last_stamp = None;
                self.snapshot(now);
            }
            _ => {}
        }
        if trouble.is_some() {
            // What stands anyway need not wait for the disk; what is new must not go out.
            for held in std::mem::take(&mut self.held) {
                match held.promise {
                    Promise::Standing => self.outbox.push(held.reply),
                    Promise::New => self.withdraw(held.address, held.client, held.promise, now),
                }
            }
        }
    }

    /// Once a second: is the disk stuck, is the journal long, how full is the pool?
    pub(crate) fn look_at_storage(&mut self, now: Time, reading: Reading) {
        self.journal_lost = self.journal.look();
        if self.journal_lost.is_some() {
            // Puts a whole file in its place; at the next look all is well, or it is tried again.
            self.snapshot(now);
        }
        self.on_progress(now);
        if self.last_stamp.is_none_or(|last| now.since(last) >= STAMP_GAP) {
            self.stamp(now, reading);
        }
        self.observe();
    }

    fn observe(&self) {
        let failed = self.machine.storage() == Storage::Failed;
        let leases = self.machine.leases();
        self.metrics.observe(leases.usage(), leases.iter().len(), self.held.len(), failed);
    }

    /// Writes the clocks down, so that a restart knows how much time has passed.
    pub(crate) fn stamp(&mut self, now: Time, reading: Reading) {
        if self.group.append(Record::Stamp(Stamp { time: now, reading }).encode()).is_ok() {
            self.last_stamp = Some(now);
        }
    }

    fn snapshot(&mut self, now: Time) {
        let reading = crate::server::read_clocks();
        let records = store::snapshot(self.machine.leases().iter(), Stamp { time: now, reading });
        if let Err(error) = self.group.snapshot(records) {
            debug!(event = "snapshot_refused", %error, "no snapshot now");
        }
    }
}
