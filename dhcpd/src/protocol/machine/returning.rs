//! DECLINE, RELEASE and INFORM: addresses that come back, and questions without a lease.

use super::*;

impl Machine {
    pub(super) fn on_decline(
        &mut self,
        exchange: &Exchange<'_, '_>,
        out: &mut Vec<Action>,
    ) -> Result<(), DropReason> {
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
    pub(super) fn quarantine(&mut self, address: Ipv4Addr, user: Hardware, now: Time, out: &mut Vec<Action>) {
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
            client: Client { hardware: user, uuid: None, client_id: None },
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

    pub(super) fn on_release(
        &mut self,
        exchange: &Exchange<'_, '_>,
        out: &mut Vec<Action>,
    ) -> Result<(), DropReason> {
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

    pub(super) fn on_inform(
        &mut self,
        exchange: &Exchange<'_, '_>,
        out: &mut Vec<Action>,
    ) -> Result<(), DropReason> {
        let Exchange { request, who, now, .. } = exchange;
        let ciaddr = request.message.ciaddr;
        let ours = ciaddr == self.config.server;
        if ours || !self.config.prefix.contains(&ciaddr) || !is_host(ciaddr, &self.config) {
            return Err(DropReason::InformOutside);
        }
        let boot = self.boot(request, who, *now);
        let reply = answer::grant(&self.config, request, who, MessageType::Ack, None, &boot);
        let event = self.stranger_or_node(exchange, "dhcp_informed");
        let event = event.map(|event| event.address(request.message.ciaddr));
        out.push(Action::Send(self.outgoing(exchange, &reply, event)));
        Ok(())
    }

    pub(super) fn check_server(&self, request: &Request<'_>) -> Result<(), DropReason> {
        let server = request.server_identifier().map_err(|_| DropReason::BadOption)?;
        let ours = answer::server_identifier(&self.config, request);
        if server.is_some_and(|server| server != ours) { Err(DropReason::OtherServer) } else { Ok(()) }
    }
}
