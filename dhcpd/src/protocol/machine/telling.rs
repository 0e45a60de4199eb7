//! What is told about an exchange: events, suspicions, and where the reply goes.

use super::*;

impl Machine {
    /// Watches an address go from one card to another by UUID.
    pub(super) fn note_move(
        &mut self,
        exchange: &Exchange<'_, '_>,
        address: Ipv4Addr,
        out: &mut Vec<Action>,
    ) {
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

    pub(super) fn record_loader(&mut self, exchange: &Exchange<'_, '_>, boot: &Boot, out: &mut Vec<Action>) {
        let Exchange { who, now, .. } = exchange;
        let Some(usual) = boot.usual.as_deref().filter(|_| boot.stage != boot::Stage::System) else { return };
        let hardware = who.client.hardware;
        // iPXE in disguise is counted under the loader that it pretends to need.
        let counted =
            boot::decide(exchange.request, &self.config.boot, hardware, who.client.uuid, Chain::Sound);
        let counted = counted.usual.as_deref().unwrap_or(usual);
        let xid = exchange.request.message.xid;
        let looping = self.loops.judge(hardware, counted, xid, *now) == Chain::Looping;
        self.loops.record(hardware, counted, xid, *now);
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

    /// An event about the client, unless it is a stranger and strangers have had their share.
    pub(super) fn stranger_or_node(
        &mut self,
        exchange: &Exchange<'_, '_>,
        event: &'static str,
    ) -> Option<Event> {
        let allowed = exchange.who.known.is_some() || self.strangers.allows(exchange.now);
        allowed.then(|| self.described(exchange, event))
    }

    pub(super) fn described(&self, exchange: &Exchange<'_, '_>, event: &'static str) -> Event {
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

    pub(super) fn outgoing(
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
    pub(super) fn destination(&self, exchange: &Exchange<'_, '_>, reply: &Reply) -> Destination {
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

/// Lets [`STRANGER_EVENTS_PER_SEC`] events through each second.
#[derive(Debug, Default)]
pub(super) struct EventBudget {
    second: u64,
    spent: u32,
}

impl EventBudget {
    pub(super) fn allows(&mut self, now: Time) -> bool {
        let second = now.0 / 1000;
        if second != self.second {
            (self.second, self.spent) = (second, 0);
        }
        self.spent += 1;
        self.spent <= STRANGER_EVENTS_PER_SEC
    }
}
