//! The LAN interface and what is said on it: it may come, go, and change its number.

use super::*;
use crate::icmp6;

impl Engine {
    /// Whether the LAN interface is there and up.
    pub(crate) fn is_link_up(&self) -> bool {
        self.link.is_some_and(|link| link.up)
    }

    /// Every now and then: the interface may come, go, or be made anew under the same name.
    pub(crate) fn look_at_link(&mut self, now: Time) {
        let name = self.machine.config().interface.clone();
        let found = platform::link(self.wires.udp, &name).ok();
        let news = found != self.link || (found.is_none() && !self.link_missing_told);
        if !news {
            return;
        }
        let was_up = self.link.is_some_and(|link| link.up);
        let same = found.map(|link| link.index) == self.link.map(|link| link.index);
        self.link = found;
        let up = found.is_some_and(|link| link.up);
        if up && !(was_up && same) {
            info!(event = "interface_up", interface = %name, "serving the LAN");
            self.events.emit(link_event("interface_up", &name));
        } else if !up && (was_up || !self.link_missing_told) {
            let state = if found.is_some() { "down" } else { "missing" };
            warn!(event = "interface_down", interface = %name, state, "the LAN interface is not there; waiting for it");
            self.events.emit(link_event("interface_down", &name).with("state", state));
        }
        self.link_missing_told = true;
        if let (Some(link), Some(socket)) = (found, self.wires.arp)
            && let Err(error) = platform::bind_arp(socket, link.index)
        {
            debug!(event = "arp_not_bound", %error, "ARP of other interfaces is heard too");
        }
        self.machine.on_link(up && self.wires.arp.is_some());
        match (found, self.wires.icmp6, self.machine.config().advertisement.is_some()) {
            (Some(link), Some(socket), true) if up => {
                if let Err(error) = icmp6::platform::join_all_routers(socket, link.index) {
                    debug!(event = "join_failed", %error, "router solicitations are not heard on this interface");
                }
                self.advertiser.start(now);
            }
            _ => self.advertiser.stop(),
        }
    }

    pub(crate) fn on_solicitation(&mut self, source: Ipv6Addr, now: Time) {
        if self.machine.config().advertisement.is_none() {
            return;
        }
        if let Some(to) = self.advertiser.on_solicitation(source, now) {
            self.advertise(to, now);
        }
    }

    pub(super) fn advertise(&mut self, to: Ipv6Addr, now: Time) {
        let (Some(socket), Some(link)) = (self.wires.icmp6, self.link) else { return };
        let Some(advertisement) = &self.machine.config().advertisement else { return };
        let message = advertise::advertisement(advertisement, link.mac);
        let sent = match icmp6::link_local(link.index) {
            Some(from) => icmp6::platform::send(socket, link.index, from, to, &message),
            None => Err(std::io::ErrorKind::AddrNotAvailable.into()),
        };
        match sent {
            Ok(()) => self.metrics.advertised(),
            Err(error) => {
                debug!(event = "advertisement_failed", %error, "a router advertisement was not sent");
                // An interface that has just come up has no link-local address yet: that is no failure.
                if error.kind() != std::io::ErrorKind::AddrNotAvailable {
                    self.metrics.send_failed("icmp6");
                }
                if to == ALL_NODES {
                    self.advertiser.on_failed(now);
                }
            }
        }
    }
}
