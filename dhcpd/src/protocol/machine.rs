//! The DHCP server as a machine: a packet and the time in, what to do out.
//!
//! ```text
//!   DISCOVER ──► propose ──► OFFER (held)          REQUEST ──► judge ──┬─► Commit, then ACK
//!          └─ rapid commit ─► Commit, then ACK                        ├─► NAK
//!   INFORM ────► ACK without a lease                                  └─► Drop
//!   DECLINE ───► quarantine       RELEASE ──► ended, still the client's
//! ```

mod granting;
mod returning;
mod telling;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use dhcproto::v4::MessageType;
use faros_common::events::Event;

use super::answer;
use super::boot::{self, Boot, Chain};
use super::chain::ChainLoops;
use super::identity::{UuidMoves, Who};
use super::leases::{Client, Lease, Leases, OFFER_HOLD, QUARANTINE, Source, State};
use super::message::{Hardware, suspected_hardware};
use super::outcome::{Action, Arrival, Destination, DropReason, Dropped, Outgoing, Promise};
use super::probe::Prober;
use super::reply::Reply;
use super::request::{RELAY_LINK_SELECTION, Request};
use super::time::Time;
use super::verdict::{Asking, Proposal, Verdict, View};
use crate::config::Config;
use telling::EventBudget;

/// Relays that a packet may pass (RFC 1542 section 4.1.1).
const HOPS_MAX: u8 = 16;

/// Sub-option 19 of option 82: the relay wants replies at the port it sent from (RFC 8357).
const RELAY_SOURCE_PORT: u8 = 19;

/// Of the pool, one part in this many may be in quarantine; declining more frees the oldest.
const QUARANTINE_PART: usize = 2;

/// Events about clients that the site file does not name, per second; beyond, only counters move, so that
/// a flood of strangers does not push the events of nodes out of the ring.
pub const STRANGER_EVENTS_PER_SEC: u32 = 50;

/// Whether leases can be written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// They can.
    Healthy,
    /// They cannot: no new dynamic lease is promised.
    Failed,
}

/// The server.
#[derive(Debug)]
pub struct Machine {
    config: Arc<Config>,
    leases: Leases,
    moves: UuidMoves,
    loops: ChainLoops,
    prober: Prober,
    storage: Storage,
    strangers: EventBudget,
}

/// A client's message with everything that was found out about it.
struct Exchange<'a, 'p> {
    request: &'a Request<'p>,
    who: Who<'a>,
    arrival: &'a Arrival,
    now: Time,
}

impl Machine {
    /// A server with the leases that were on disk.
    pub fn start(config: Arc<Config>, leases: impl IntoIterator<Item = Lease>) -> Self {
        let mut table = Leases::new(&config);
        for lease in leases {
            table.put(lease, &config);
        }
        Self {
            config,
            leases: table,
            moves: UuidMoves::default(),
            loops: ChainLoops::default(),
            prober: Prober::default(),
            storage: Storage::Healthy,
            strangers: EventBudget::default(),
        }
    }

    /// The configuration in use.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// All leases.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// Whether leases can be written down, as far as the machine was told.
    pub fn storage(&self) -> Storage {
        self.storage
    }

    /// What decisions look at.
    pub fn view(&self, now: Time) -> View<'_> {
        View { config: &self.config, leases: &self.leases, moves: &self.moves, now }
    }

    /// Takes another configuration. Leases stay; those that no longer fit are refused at their next renewal.
    pub fn on_config(&mut self, config: Arc<Config>) {
        self.leases.adopt(&config);
        self.prober.reset();
        self.config = config;
    }

    /// Leases can, or cannot, be written down from now on.
    pub fn on_storage(&mut self, storage: Storage) {
        self.storage = storage;
    }

    /// Ends the lease of `address` on an operator's word; what to write down.
    pub fn on_operator_release(&mut self, address: Ipv4Addr, now: Time) -> Option<Lease> {
        let lease = self.leases.remove(address, &self.config)?;
        Some(Lease { state: State::Ended, until: now, ..lease })
    }

    /// The ACK for a new lease of `address` never went out, because it could not be written down: the
    /// address is an offer again.
    pub fn on_commit_failed(&mut self, address: Ipv4Addr, now: Time) {
        if let Some(lease) = self.leases.at(address).filter(|lease| lease.state == State::Active).cloned() {
            let until = now + OFFER_HOLD;
            self.leases.put(Lease { state: State::Offered, until, ..lease }, &self.config);
        }
    }

    /// Whether unknown addresses can be probed: the LAN interface is there and up.
    pub fn on_link(&mut self, up: bool) {
        self.prober.on_link(up);
        if !up {
            self.prober.reset();
        }
    }

    /// Somebody at `hardware` says that it has `address` (ARP).
    pub fn on_address_in_use(
        &mut self,
        address: Ipv4Addr,
        hardware: Hardware,
        now: Time,
        out: &mut Vec<Action>,
    ) {
        if !self.prober.answered(address) {
            return;
        }
        self.leases.remove_probed(address);
        let entry = self.leases.at(address);
        let owner = self.config.reserved_for(address);
        if owner.zip(hardware.mac()).is_some_and(|(owner, mac)| owner.macs.contains(&mac)) {
            return;
        }
        if entry.is_some_and(|lease| lease.client.hardware == hardware || lease.state == State::Quarantined) {
            return;
        }
        let holder = entry.filter(|lease| lease.is_live(now));
        out.push(Action::Emit(
            Event::new("dhcp_address_conflict")
                .address(address)
                .with_some("mac", hardware.mac().map(|mac| mac.to_string()))
                .with_some("leased_to", holder.map(|lease| lease.client.hardware.to_string()))
                .with_some("reserved_for", owner.map(|owner| owner.name.clone()))
                .with("reason", "a machine that has no lease for this address answers for it"),
        ));
        let promised = holder.is_some_and(|lease| lease.state == State::Active);
        if !promised && self.config.in_pool(address) {
            self.quarantine(address, hardware, now, out);
        }
    }

    /// When [`Machine::on_timeout`] has something to do.
    pub fn deadline(&self) -> Option<Time> {
        self.leases.deadline().into_iter().chain(self.prober.deadline()).min()
    }

    /// Ends what is over and keeps the stock of probed addresses filled.
    pub fn on_timeout(&mut self, now: Time, out: &mut Vec<Action>) {
        self.expire(now, out);
        self.prober.on_timeout(&mut self.leases, &self.config, now, out);
    }

    /// Handles a packet: every one leaves at least one action, if only a [`Dropped`].
    pub fn on_packet(&mut self, bytes: &[u8], arrival: &Arrival, now: Time, out: &mut Vec<Action>) {
        self.expire(now, out);
        let config = Arc::clone(&self.config);
        let dropped = match Request::read(bytes) {
            Ok(request) => {
                let hardware = request.message.hardware;
                let handled = self.screened(&config, &request, arrival).and_then(|kind| {
                    let who = Who::of_request(&request, &config);
                    let exchange = Exchange { request: &request, who, arrival, now };
                    self.handle(kind, &exchange, out)
                });
                handled.err().map(|reason| Dropped { reason, hardware: Some(hardware) })
            }
            Err(malformed) => Some(Dropped { reason: malformed.into(), hardware: suspected_hardware(bytes) }),
        };
        out.extend(dropped.map(Action::Drop));
    }

    /// What `request` would be answered now, without any consequence.
    pub fn boot(&self, request: &Request<'_>, who: &Who<'_>, now: Time) -> Boot {
        let hardware = who.client.hardware;
        let decide = |chain| boot::decide(request, &self.config.boot, hardware, who.client.uuid, chain);
        let usual = decide(Chain::Sound);
        match usual
            .usual
            .as_deref()
            .map(|loader| self.loops.judge(hardware, loader, request.message.xid, now))
        {
            Some(Chain::Looping) if usual.stage != boot::Stage::Ipxe => decide(Chain::Looping),
            _ => usual,
        }
    }

    /// The checks that come before the client's identity matters; returns the message type.
    fn screened(
        &self,
        config: &Config,
        request: &Request<'_>,
        arrival: &Arrival,
    ) -> Result<MessageType, DropReason> {
        let message = &request.message;
        if message.hardware.mac().is_some_and(|mac| config.ignore.contains(&mac)) {
            return Err(DropReason::Ignored);
        }
        let relayed = !message.giaddr.is_unspecified();
        if !arrival.on_lan {
            let from_site =
                config.prefix.contains(arrival.source.ip()) && config.listen.contains(&arrival.destination);
            if !(relayed && from_site) {
                return Err(DropReason::ForeignInterface);
            }
        }
        if message.hops > HOPS_MAX {
            return Err(DropReason::TooManyHops);
        }
        if relayed {
            if message.giaddr == config.server {
                return Err(DropReason::RelayIsUs);
            }
            // A reply to such a "relay" would go to everybody, or come back to us.
            if !is_host(message.giaddr, config) {
                return Err(DropReason::UnknownSubnet);
            }
            let selected: Option<[u8; 4]> = message.options.fixed(crate::code::SUBNET_SELECTION);
            let link = request
                .relay_address(RELAY_LINK_SELECTION)
                .or(selected.map(Ipv4Addr::from))
                .unwrap_or(message.giaddr);
            if !config.prefix.contains(&link) {
                return Err(DropReason::UnknownSubnet);
            }
        }
        request.message_type().ok_or(DropReason::NoMessageType)
    }

    fn handle(
        &mut self,
        kind: MessageType,
        exchange: &Exchange<'_, '_>,
        out: &mut Vec<Action>,
    ) -> Result<(), DropReason> {
        match kind {
            MessageType::Discover => self.on_discover(exchange, out),
            MessageType::Request => self.on_request(exchange, out),
            MessageType::Decline => self.on_decline(exchange, out),
            MessageType::Release => self.on_release(exchange, out),
            MessageType::Inform => self.on_inform(exchange, out),
            _ => Err(DropReason::UnexpectedMessage),
        }
    }

    fn expire(&mut self, now: Time, out: &mut Vec<Action>) {
        for lease in self.leases.expire(now, &self.config) {
            if self.strangers.allows(now) {
                let mut event = Event::new("lease_expired").address(lease.address);
                if let Some(mac) = lease.client.hardware.mac() {
                    event = event.mac(mac);
                }
                out.push(Action::Emit(event.with_some("host_name", lease.host_name)));
            }
        }
    }
}

/// Whether `address` can be one machine's own.
fn is_host(address: Ipv4Addr, config: &Config) -> bool {
    let nobody = address.is_broadcast() || address.is_multicast() || address.is_loopback();
    !nobody && address != config.prefix.broadcast() && address != config.prefix.network()
}

#[cfg(test)]
mod tests;
