//! DISCOVER and REQUEST: offers held, leases promised, refusals.

use super::*;

impl Machine {
    pub(super) fn on_discover(
        &mut self,
        exchange: &Exchange<'_, '_>,
        out: &mut Vec<Action>,
    ) -> Result<(), DropReason> {
        let Exchange { request, who, now, .. } = exchange;
        self.loops.on_discover(who.client.hardware);
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
    pub(super) fn hold(&mut self, exchange: &Exchange<'_, '_>, proposal: &Proposal, out: &mut Vec<Action>) {
        let Exchange { request, who, now, .. } = exchange;
        self.note_move(exchange, proposal.address, out);
        if let Some(Source::Fresh | Source::Ended | Source::StaleOffer | Source::Quarantine) = proposal.source
        {
            self.prober.check(proposal.address, *now, out);
        }
        let earlier = self.leases.at(proposal.address);
        if proposal.reserved && earlier.is_none_or(|lease| !lease.is_live(*now)) {
            // It is offered all the same, for nobody else may have it; but a squatter must not go unnoticed.
            self.prober.check(proposal.address, *now, out);
        }
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
        self.drop_other_offer(who, proposal.address);
        self.leases.put(lease, &self.config);
    }

    /// A client holds one dynamic address at a time: an earlier offer to it is free again.
    pub(super) fn drop_other_offer(&mut self, who: &Who<'_>, address: Ipv4Addr) {
        let client = &who.client;
        let other = if client.hardware.address().is_empty() {
            client.client_id.as_deref().and_then(|id| self.leases.of_client_id(id))
        } else {
            self.leases.of_hardware(client.hardware)
        };
        let other = other.filter(|lease| lease.address != address && lease.state == State::Offered);
        if let Some(other) = other.map(|lease| lease.address) {
            self.leases.remove(other, &self.config);
        }
    }

    pub(super) fn on_request(
        &mut self,
        exchange: &Exchange<'_, '_>,
        out: &mut Vec<Action>,
    ) -> Result<(), DropReason> {
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

    pub(super) fn acknowledge(
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
        self.drop_other_offer(who, address);
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

    pub(super) fn refuse(
        &mut self,
        exchange: &Exchange<'_, '_>,
        wanted: Ipv4Addr,
        why: &str,
        out: &mut Vec<Action>,
    ) {
        let reply = answer::refusal(&self.config, exchange.request, why);
        let event = self
            .stranger_or_node(exchange, "dhcp_nak")
            .map(|event| event.address(wanted).with("reason", why));
        out.push(Action::Send(self.outgoing(exchange, &reply, event)));
    }

    pub(super) fn withdraw_offer(&mut self, who: &Who<'_>, now: Time) {
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
}

/// What is known about a client from now and before: systems do not repeat what firmware said.
fn merged(now: &Client, before: &Client) -> Client {
    Client { hardware: now.hardware, uuid: now.uuid.or(before.uuid), client_id: now.client_id.clone() }
}
