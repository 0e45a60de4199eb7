//! The DHCP server as a machine: a packet and the time in, what to do out.
//!
//! ```text
//!   DISCOVER ──► propose ──► OFFER (held)          REQUEST ──► judge ──┬─► Commit, then ACK
//!          └─ rapid commit ─► Commit, then ACK                        ├─► NAK
//!   INFORM ────► ACK without a lease                                  └─► Drop
//!   DECLINE ───► quarantine       RELEASE ──► ended, still the client's
//! ```

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use dhcproto::v4::MessageType;
use faros_common::events::Event;

use super::answer;
use super::boot::{self, Boot, Chain};
use super::chain::ChainLoops;
use super::identity::{UuidMoves, Who};
use super::leases::{Lease, Leases, OFFER_HOLD, QUARANTINE, Source, State};
use super::message::{Hardware, suspected_hardware};
use super::outcome::{Action, Arrival, Destination, DropReason, Dropped, Outgoing, Promise};
use super::probe::Prober;
use super::reply::Reply;
use super::request::{RELAY_LINK_SELECTION, Request};
use super::time::Time;
use super::verdict::{Asking, Proposal, Verdict, View};
use crate::config::Config;

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
        if entry.is_some_and(|lease| lease.client.hardware == hardware || lease.state == State::Quarantined) {
            return;
        }
        let holder = entry.filter(|lease| lease.is_live(now));
        out.push(Action::Emit(
            Event::new("dhcp_address_conflict")
                .address(address)
                .with_some("mac", hardware.mac().map(|mac| mac.to_string()))
                .with_some("leased_to", holder.map(|lease| lease.client.hardware.to_string()))
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
        match usual.usual.as_deref().map(|loader| self.loops.judge(hardware, loader, now)) {
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

    fn on_discover(&mut self, exchange: &Exchange<'_, '_>, out: &mut Vec<Action>) -> Result<(), DropReason> {
        let Exchange { request, who, now, .. } = exchange;
        let wish = request.requested_address().map_err(|_| DropReason::BadOption)?;
        if request.server_identifier().is_ok_and(|server| {
            server.is_some_and(|server| server != answer::server_identifier(&self.config, request))
        }) {
            return Err(DropReason::OtherServer);
        }
        let proposal = self.view(*now).propose(who, wish)?;
        let held = self.leases.at(proposal.address).filter(|lease| lease.is_live(*now));
        let is_new = !proposal.reserved && held.is_none_or(|lease| lease.state != State::Active);
        if is_new && self.storage == Storage::Failed {
            return Err(DropReason::StorageFailed);
        }
        if self.config.authoritative && request.rapid_commit() {
            return self.acknowledge(exchange, proposal.address, proposal.reserved, &proposal.rule, out);
        }
        self.hold(exchange, &proposal, out);
        let secs = answer::lease_secs(&self.config, request.lease_secs());
        let boot = self.boot(request, who, *now);
        let lease = Some((proposal.address, secs));
        let reply = answer::grant(&self.config, request, who, MessageType::Offer, lease, &boot);
        let event = self.stranger_or_node(exchange, "dhcp_offered").map(|event| {
            event.address(proposal.address).with("rule", proposal.rule.as_str()).with_some("boot", boot.file)
        });
        out.push(Action::Send(self.outgoing(exchange, &reply, event)));
        Ok(())
    }

    /// Keeps the offered address for the client.
    fn hold(&mut self, exchange: &Exchange<'_, '_>, proposal: &Proposal, out: &mut Vec<Action>) {
        let Exchange { request, who, now, .. } = exchange;
        self.note_move(exchange, proposal.address, out);
        if let Some(Source::Fresh | Source::Ended | Source::StaleOffer | Source::Quarantine) = proposal.source
        {
            self.prober.check(proposal.address, *now, out);
        }
        let earlier = self.leases.at(proposal.address);
        let keep = earlier.filter(|lease| lease.state == State::Active && lease.is_live(*now));
        let lease = match keep {
            // A machine that starts again still holds its lease; an offer must not shorten it.
            Some(active) => Lease {
                client: merged(&who.client, &active.client),
                heard: *now,
                firmware: who.client.uuid.is_some(),
                ..active.clone()
            },
            None => Lease {
                address: proposal.address,
                client: who.client.clone(),
                state: State::Offered,
                since: *now,
                heard: *now,
                until: *now + OFFER_HOLD,
                host_name: request.host_name(),
                xid: request.message.xid,
                firmware: who.client.uuid.is_some(),
            },
        };
        self.drop_other_offer(who, proposal.address, *now);
        self.leases.put(lease, &self.config);
    }

    /// A client holds one dynamic address at a time: an earlier offer to it is free again.
    fn drop_other_offer(&mut self, who: &Who<'_>, address: Ipv4Addr, now: Time) {
        let other = self
            .view(now)
            .leases
            .of_hardware(who.client.hardware)
            .filter(|lease| lease.address != address && lease.state == State::Offered);
        if let Some(other) = other.map(|lease| lease.address) {
            self.leases.remove(other, &self.config);
        }
    }

    fn on_request(&mut self, exchange: &Exchange<'_, '_>, out: &mut Vec<Action>) -> Result<(), DropReason> {
        let Exchange { request, who, now, .. } = exchange;
        let requested = request.requested_address().map_err(|_| DropReason::BadOption)?;
        let server = request.server_identifier().map_err(|_| DropReason::BadOption)?;
        let own = Some(request.message.ciaddr).filter(|ciaddr| !ciaddr.is_unspecified());
        if server.is_some_and(|server| server != answer::server_identifier(&self.config, request)) {
            self.withdraw_offer(who, *now);
            if let Some(event) = self.stranger_or_node(exchange, "dhcp_other_server") {
                out.push(Action::Emit(event.with_some("server", server.map(|server| server.to_string()))));
            }
            return Err(DropReason::OtherServer);
        }
        let (asking, wanted) = match (server, own, requested) {
            (Some(_), None, Some(requested)) => (Asking::Selecting, requested),
            (_, Some(own), _) => (Asking::Extending, own),
            (None, None, Some(requested)) => (Asking::InitReboot, requested),
            (_, None, None) => return Err(DropReason::NoAddressNamed),
        };
        match self.view(*now).judge(who, wanted, asking) {
            Verdict::Grant { reserved, rule } => self.acknowledge(exchange, wanted, reserved, &rule, out),
            Verdict::Refuse(why) => {
                self.refuse(exchange, wanted, &why, out);
                Ok(())
            }
            Verdict::Silence(reason) => Err(reason),
        }
    }

    fn acknowledge(
        &mut self,
        exchange: &Exchange<'_, '_>,
        address: Ipv4Addr,
        reserved: bool,
        rule: &str,
        out: &mut Vec<Action>,
    ) -> Result<(), DropReason> {
        let Exchange { request, who, now, .. } = exchange;
        let earlier =
            self.leases.at(address).filter(|lease| lease.state == State::Active && lease.is_live(*now));
        let standing = reserved || earlier.is_some();
        if !standing && self.storage == Storage::Failed {
            return Err(DropReason::StorageFailed);
        }
        let secs = answer::lease_secs(&self.config, request.lease_secs());
        let since = earlier.map_or(*now, |lease| lease.since);
        let client = earlier.map_or_else(|| who.client.clone(), |lease| merged(&who.client, &lease.client));
        let event = if earlier.is_some() { "lease_renewed" } else { "lease_granted" };
        let earlier_name = earlier.and_then(|lease| lease.host_name.clone());
        self.note_move(exchange, address, out);
        self.drop_other_offer(who, address, *now);
        let lease = Lease {
            address,
            client,
            state: State::Active,
            since,
            heard: *now,
            until: *now + Duration::from_secs(secs.into()),
            host_name: request.host_name().or(earlier_name),
            xid: request.message.xid,
            firmware: who.client.uuid.is_some(),
        };
        self.leases.put(lease.clone(), &self.config);

        let boot = self.boot(request, who, *now);
        self.record_loader(exchange, &boot, out);
        let mut reply =
            answer::grant(&self.config, request, who, MessageType::Ack, Some((address, secs)), &boot);
        if request.message_type() == Some(MessageType::Discover) {
            reply.option(crate::code::RAPID_COMMIT, Vec::new());
        }
        let described = |event: Event| {
            event
                .address(address)
                .with("lease_secs", secs)
                .with("rule", rule)
                .with_some("host_name", lease.host_name.clone())
        };
        let events = [self.stranger_or_node(exchange, "dhcp_acked"), self.stranger_or_node(exchange, event)];
        let events =
            events.into_iter().flatten().map(described).map(|e| e.with_some("boot", boot.file.clone()));
        let then = self.outgoing(exchange, &reply, events);
        let promise = if standing { Promise::Standing } else { Promise::New };
        out.push(Action::Commit { lease: Box::new(lease), promise, then });
        Ok(())
    }

    fn refuse(&mut self, exchange: &Exchange<'_, '_>, wanted: Ipv4Addr, why: &str, out: &mut Vec<Action>) {
        let reply = answer::refusal(&self.config, exchange.request, why);
        let event = self
            .stranger_or_node(exchange, "dhcp_nak")
            .map(|event| event.address(wanted).with("reason", why));
        out.push(Action::Send(self.outgoing(exchange, &reply, event)));
    }

    fn withdraw_offer(&mut self, who: &Who<'_>, now: Time) {
        let view = self.view(now);
        let offered = who
            .lease(view.leases, view.config, view.moves, now)
            .map(|(lease, _)| lease)
            .filter(|lease| lease.state == State::Offered)
            .map(|lease| lease.address);
        if let Some(address) = offered {
            self.leases.remove(address, &self.config);
        }
    }

    fn on_decline(&mut self, exchange: &Exchange<'_, '_>, out: &mut Vec<Action>) -> Result<(), DropReason> {
        let Exchange { request, who, now, .. } = exchange;
        let declined = request.requested_address().map_err(|_| DropReason::BadOption)?;
        let declined = declined.ok_or(DropReason::NoAddressNamed)?;
        self.check_server(request)?;
        let lease = self
            .leases
            .at(declined)
            .filter(|lease| lease.is_live(*now) && who.owns(lease, &self.config, &self.moves, *now));
        let lease = lease.ok_or(DropReason::DeclineMismatch)?.clone();
        let reserved = self.config.reserved_for(declined).is_some();
        let said = request.message.options.get(crate::code::MESSAGE);
        out.push(Action::Emit(
            self.described(exchange, "lease_declined")
                .address(declined)
                .with_some("message", said.map(|text| String::from_utf8_lossy(&text).into_owned()))
                .with(
                    "reason",
                    if reserved {
                        "the client found its reserved address in use by another machine; it stays reserved"
                    } else {
                        "the client found the address in use by another machine; it is in quarantine"
                    },
                ),
        ));
        self.prober.check(declined, *now, out);
        if reserved {
            let ended = Lease { state: State::Ended, until: *now, ..lease };
            out.push(Action::Note(Box::new(ended.clone())));
            self.leases.put(ended, &self.config);
        } else {
            self.quarantine(declined, lease.client.hardware, *now, out);
        }
        Err(DropReason::Declined)
    }

    /// Takes `address` out of the pool for a while, within the cap.
    fn quarantine(&mut self, address: Ipv4Addr, user: Hardware, now: Time, out: &mut Vec<Action>) {
        let usage = self.leases.usage();
        let scarce = usage.free() * 10 < usage.size;
        if usage.quarantined >= (usage.size / QUARANTINE_PART).max(1) || (scarce && usage.quarantined > 0) {
            let oldest = self
                .leases
                .iter()
                .filter(|lease| lease.state == State::Quarantined)
                .min_by_key(|lease| lease.until)
                .map(|lease| lease.address);
            if let Some(freed) = oldest.and_then(|oldest| self.leases.remove(oldest, &self.config)) {
                out.push(Action::Note(Box::new(Lease { state: State::Ended, until: now, ..freed })));
            }
        }
        let lease = Lease {
            address,
            client: super::leases::Client { hardware: user, uuid: None, client_id: None },
            state: State::Quarantined,
            since: now,
            heard: now,
            until: now + QUARANTINE,
            host_name: None,
            xid: [0; 4],
            firmware: false,
        };
        out.push(Action::Note(Box::new(lease.clone())));
        self.leases.put(lease, &self.config);
    }

    fn on_release(&mut self, exchange: &Exchange<'_, '_>, out: &mut Vec<Action>) -> Result<(), DropReason> {
        let Exchange { request, who, now, .. } = exchange;
        let released = request.message.ciaddr;
        if released.is_unspecified() {
            return Err(DropReason::NoAddressNamed);
        }
        self.check_server(request)?;
        let lease = self.leases.at(released).filter(|lease| {
            lease.state == State::Active
                && lease.client.hardware == who.client.hardware
                && lease.client.client_id == who.client.client_id
        });
        let lease = lease.ok_or(DropReason::ReleaseMismatch)?.clone();
        let ended = Lease { state: State::Ended, until: *now, ..lease };
        out.push(Action::Note(Box::new(ended.clone())));
        self.leases.put(ended, &self.config);
        if let Some(event) = self.stranger_or_node(exchange, "lease_released") {
            out.push(Action::Emit(event.address(released)));
        }
        Err(DropReason::Released)
    }

    fn on_inform(&mut self, exchange: &Exchange<'_, '_>, out: &mut Vec<Action>) -> Result<(), DropReason> {
        let Exchange { request, who, now, .. } = exchange;
        if !self.config.prefix.contains(&request.message.ciaddr) {
            return Err(DropReason::InformOutside);
        }
        let boot = self.boot(request, who, *now);
        let reply = answer::grant(&self.config, request, who, MessageType::Ack, None, &boot);
        let event = self.stranger_or_node(exchange, "dhcp_informed");
        let event = event.map(|event| event.address(request.message.ciaddr));
        out.push(Action::Send(self.outgoing(exchange, &reply, event)));
        Ok(())
    }

    fn check_server(&self, request: &Request<'_>) -> Result<(), DropReason> {
        let server = request.server_identifier().map_err(|_| DropReason::BadOption)?;
        let ours = answer::server_identifier(&self.config, request);
        if server.is_some_and(|server| server != ours) { Err(DropReason::OtherServer) } else { Ok(()) }
    }

    /// Watches an address go from one card to another by UUID.
    fn note_move(&mut self, exchange: &Exchange<'_, '_>, address: Ipv4Addr, out: &mut Vec<Action>) {
        let Exchange { who, now, .. } = exchange;
        let (Some(uuid), None) = (who.client.uuid, who.known) else { return };
        let Some(lease) = self.leases.at(address) else { return };
        let (from, to) = (lease.client.hardware, who.client.hardware);
        let by_uuid = lease.client.uuid == Some(uuid) && from != to;
        if by_uuid && self.moves.record(uuid, from, to, *now) {
            out.push(Action::Emit(
                self.described(exchange, "dhcp_uuid_shared").with("uuid", uuid.to_string()).with(
                    "reason",
                    "two machines show the same UUID; it is ignored, and they are told apart by their cards",
                ),
            ));
        }
    }

    fn record_loader(&mut self, exchange: &Exchange<'_, '_>, boot: &Boot, out: &mut Vec<Action>) {
        let Exchange { who, now, .. } = exchange;
        let Some(usual) = boot.usual.as_deref().filter(|_| boot.stage != boot::Stage::System) else { return };
        let hardware = who.client.hardware;
        // iPXE in disguise is counted under the loader that it pretends to need.
        let counted =
            boot::decide(exchange.request, &self.config.boot, hardware, who.client.uuid, Chain::Sound);
        let counted = counted.usual.as_deref().unwrap_or(usual);
        let looping = self.loops.judge(hardware, counted, *now) == Chain::Looping;
        self.loops.record(hardware, counted, *now);
        if looping {
            out.push(Action::Emit(
                self.described(exchange, "boot_loop")
                    .with("file", counted)
                    .with_some("instead", boot.file.clone().filter(|file| file != counted))
                    .with(
                        "reason",
                        "the machine was handed the same boot file three times within a minute: the file fails and \
                         returns to the firmware, or it is an iPXE that does not say so",
                    ),
            ));
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

    /// An event about the client, unless it is a stranger and strangers have had their share.
    fn stranger_or_node(&mut self, exchange: &Exchange<'_, '_>, event: &'static str) -> Option<Event> {
        let allowed = exchange.who.known.is_some() || self.strangers.allows(exchange.now);
        allowed.then(|| self.described(exchange, event))
    }

    fn described(&self, exchange: &Exchange<'_, '_>, event: &'static str) -> Event {
        let client = &exchange.who.client;
        let mut event = Event::new(event);
        if let Some(name) = exchange.who.name() {
            event = event.node(name);
        }
        match client.hardware.mac() {
            Some(mac) => event.mac(mac),
            None => event.with("hardware", client.hardware.to_string()),
        }
        .with_some("uuid", client.uuid.map(|uuid| uuid.to_string()))
    }

    fn outgoing(
        &self,
        exchange: &Exchange<'_, '_>,
        reply: &Reply,
        events: impl IntoIterator<Item = Event>,
    ) -> Outgoing {
        let encoded = reply.encode(exchange.request);
        let events = events.into_iter().map(|event| match &encoded.left_out[..] {
            [] => event,
            left_out => event.with("options_left_out", left_out.to_vec()),
        });
        Outgoing { events: events.collect(), to: self.destination(exchange, reply), bytes: encoded.bytes }
    }

    /// Where a reply goes (RFC 2131 section 4.1).
    fn destination(&self, exchange: &Exchange<'_, '_>, reply: &Reply) -> Destination {
        let Exchange { request, arrival, .. } = exchange;
        let message = &request.message;
        if !message.giaddr.is_unspecified() {
            let own_port = request.relay_sub_option(RELAY_SOURCE_PORT).is_some();
            let port = if own_port { arrival.source.port() } else { self.config.port };
            return Destination::Relay(SocketAddrV4::new(message.giaddr, port));
        }
        if reply.kind == MessageType::Nak {
            return Destination::Broadcast;
        }
        if !message.ciaddr.is_unspecified() {
            return Destination::Client(message.ciaddr);
        }
        if message.wants_broadcast() || message.hardware.address().is_empty() {
            return Destination::Broadcast;
        }
        Destination::Card(message.hardware, reply.yiaddr)
    }
}

/// What is known about a client from now and before: systems do not repeat what firmware said.
fn merged(now: &super::leases::Client, before: &super::leases::Client) -> super::leases::Client {
    super::leases::Client {
        hardware: now.hardware,
        uuid: now.uuid.or(before.uuid),
        client_id: now.client_id.clone(),
    }
}

/// Lets [`STRANGER_EVENTS_PER_SEC`] events through each second.
#[derive(Debug, Default)]
struct EventBudget {
    second: u64,
    spent: u32,
}

impl EventBudget {
    fn allows(&mut self, now: Time) -> bool {
        let second = now.0 / 1000;
        if second != self.second {
            (self.second, self.spent) = (second, 0);
        }
        self.spent += 1;
        self.spent <= STRANGER_EVENTS_PER_SEC
    }
}

#[cfg(test)]
mod tests;
