//! Replies onto the wire: datagrams in batches, frames by hand.

use super::*;

impl Engine {
    /// Sends what may go out.
    pub(crate) fn flush(&mut self, now: Time) {
        for (lease, promised) in std::mem::take(&mut self.records) {
            match promised {
                Some((promise, reply)) => self.commit(&lease, promise, reply, now),
                None => self.note(&lease),
            }
        }
        if self.group.snapshot_due() {
            self.snapshot(now);
        }
        self.observe();
        if self.outbox.is_empty() {
            return;
        }
        let outbox = std::mem::take(&mut self.outbox);
        // Before they go out: whoever has a reply in hand finds it counted.
        for reply in &outbox {
            self.metrics.replied(&reply.bytes);
        }
        let config = Arc::clone(self.machine.config());
        let client_port = config.port.saturating_add(1);
        let mut datagrams = Vec::with_capacity(BATCH);
        for reply in &outbox {
            match reply.to {
                Destination::Relay(to) => datagrams.push(Datagram { to, bytes: &reply.bytes }),
                Destination::Client(address) => {
                    datagrams
                        .push(Datagram { to: SocketAddrV4::new(address, client_port), bytes: &reply.bytes });
                }
                Destination::Card(card, address) if card.address().len() <= CARD_BYTES_MAX => {
                    self.send_frame(&config, card.address(), (address, client_port), &reply.bytes);
                }
                Destination::Card(..) | Destination::Broadcast => {
                    self.send_frame(
                        &config,
                        &BROADCAST_CARD,
                        (Ipv4Addr::BROADCAST, client_port),
                        &reply.bytes,
                    );
                }
            }
        }
        self.send_datagrams(config.server, &datagrams);
        for reply in outbox {
            if let Some(card) = reply.bytes.get(28..34).filter(|_| reply.bytes[1] == 1) {
                self.unanswered.answered(Hardware::new(1, card));
            }
            for event in reply.events {
                self.events.emit(event);
            }
        }
    }

    fn send_datagrams(&self, source: Ipv4Addr, mut datagrams: &[Datagram<'_>]) {
        while !datagrams.is_empty() {
            match platform::send_batch(self.wires.udp, source, datagrams) {
                Ok(sent) => datagrams = &datagrams[sent.max(1)..],
                Err(error) => {
                    // The first one was refused: an unreachable client must not cost the others theirs.
                    debug!(event = "send_failed", to = %datagrams[0].to, %error, "a reply was not taken");
                    self.metrics.send_failed("udp");
                    datagrams = &datagrams[1..];
                }
            }
        }
    }

    fn send_frame(&self, config: &Config, card: &[u8], to: (Ipv4Addr, u16), payload: &[u8]) {
        let packet = frame::udp_packet((config.server, config.port), to, payload);
        let sent = match self.link {
            Some(link) => platform::send_frame(
                self.wires.frames.as_raw_fd(),
                link.index,
                libc::ETH_P_IP as u16,
                card,
                &packet,
            ),
            None => Err(std::io::ErrorKind::NotConnected.into()),
        };
        if let Err(error) = sent {
            debug!(event = "send_failed", to = %to.0, %error, "a reply was not taken");
            self.metrics.send_failed("frame");
        }
    }
}
