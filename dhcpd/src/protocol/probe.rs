//! Probing pool addresses in the background, so that the first OFFER need not wait for it.
//!
//! A stock of addresses that nobody answered for is kept ready. When it runs out under load, an address is
//! offered unprobed and probed at once: an answer that comes before the client's REQUEST still refuses it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::leases::Leases;
use super::outcome::Action;
use super::time::Time;
use crate::config::Config;

/// Probed addresses kept ready.
pub const STOCK: usize = 32;

/// Addresses probed at once; beyond, offers go out unprobed.
pub const IN_FLIGHT_MAX: usize = 128;

/// After how long a finding is too old and the address is probed again.
pub const STOCK_AGE: Duration = Duration::from_secs(300);

/// Questions per address.
const QUESTIONS: u8 = 2;

/// Between two questions, and after the last one.
const PATIENCE: Duration = Duration::from_millis(250);

/// Between two looks at a full stock.
const IDLE: Duration = Duration::from_secs(1);

/// What is being probed.
#[derive(Debug, Default)]
pub struct Prober {
    link: bool,
    in_flight: BTreeMap<Ipv4Addr, Flight>,
    found: BTreeMap<Ipv4Addr, Time>,
    next_look: Option<Time>,
    /// Not later than the first `next` in flight; asked for with every packet.
    earliest: Option<Time>,
}

#[derive(Debug)]
struct Flight {
    asked: u8,
    next: Time,
    for_stock: bool,
}

impl Prober {
    /// The LAN interface is up, or is not.
    pub fn on_link(&mut self, up: bool) {
        if up && !self.link {
            self.next_look = Some(Time(0));
        }
        self.link = up;
    }

    /// Forgets everything found so far.
    pub fn reset(&mut self) {
        self.in_flight.clear();
        self.found.clear();
        self.next_look = self.link.then_some(Time(0));
        self.earliest = None;
    }

    /// Probes an address that has just been offered unprobed.
    pub fn check(&mut self, address: Ipv4Addr, now: Time, out: &mut Vec<Action>) {
        if self.link && self.in_flight.len() < IN_FLIGHT_MAX && !self.in_flight.contains_key(&address) {
            self.ask(address, false, now, out);
        }
    }

    /// Somebody answered for `address`; whether that was to be found out.
    pub fn answered(&mut self, address: Ipv4Addr) -> bool {
        let in_flight = self.in_flight.remove(&address).is_some();
        self.found.remove(&address).is_some() || in_flight
    }

    /// When [`Prober::on_timeout`] has something to do.
    pub fn deadline(&self) -> Option<Time> {
        self.earliest.into_iter().chain(self.next_look).min()
    }

    /// Asks again, believes silence, and fills the stock.
    pub fn on_timeout(&mut self, leases: &mut Leases, config: &Config, now: Time, out: &mut Vec<Action>) {
        if !self.link {
            return;
        }
        let mut silent = Vec::new();
        for (&address, flight) in self.in_flight.iter_mut().filter(|(_, flight)| flight.next <= now) {
            if flight.asked < QUESTIONS {
                flight.asked += 1;
                flight.next = now + PATIENCE;
                out.push(Action::Probe(address));
            } else {
                silent.push((address, flight.for_stock));
            }
        }
        for (address, for_stock) in silent {
            self.in_flight.remove(&address);
            if for_stock {
                leases.add_probed(address, config);
                self.found.insert(address, now);
            }
        }
        self.earliest = self.in_flight.values().map(|flight| flight.next).min();
        if self.next_look.is_none_or(|at| at > now) {
            return;
        }
        self.found.retain(|&address, &mut at| {
            let fresh = now.since(at) < STOCK_AGE;
            if !fresh {
                leases.remove_probed(address);
            }
            fresh
        });
        let under_way = self.in_flight.values().filter(|flight| flight.for_stock).count();
        let room = IN_FLIGHT_MAX.saturating_sub(self.in_flight.len());
        let missing = STOCK.saturating_sub(leases.probed_count() + under_way).min(room);
        let candidates: Vec<Ipv4Addr> = leases
            .unprobed_candidates(config)
            .filter(|address| !self.in_flight.contains_key(address))
            .take(missing)
            .collect();
        self.next_look = Some(now + if candidates.is_empty() { IDLE } else { PATIENCE });
        for address in candidates {
            self.ask(address, true, now, out);
        }
    }

    fn ask(&mut self, address: Ipv4Addr, for_stock: bool, now: Time, out: &mut Vec<Action>) {
        let next = now + PATIENCE;
        self.in_flight.insert(address, Flight { asked: 1, next, for_stock });
        self.earliest = Some(self.earliest.map_or(next, |earliest| earliest.min(next)));
        out.push(Action::Probe(address));
    }
}
