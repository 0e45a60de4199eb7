//! Who may have how many connections.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::metrics::Counters;

/// Connections at a time, over all transports. One more is closed at once.
pub const CONNECTIONS_MAX: usize = 4096;
/// Of these, connections of clients that are not of the site. One more is closed at once.
pub const STRANGERS_MAX: usize = CONNECTIONS_MAX / 4;
/// Connections of one client of the site: an address, or an IPv6 network of 64 bits. One more is closed at once.
pub const SITE_CLIENT_MAX: usize = 200;
/// Connections of one other client. One more is closed at once.
pub const STRANGER_MAX: usize = 20;
/// Connections of one other IPv4 network of 24 bits. One more is closed at once.
pub const STRANGER_NETWORK_MAX: usize = 100;
/// With so many connections the idle ones are ended sooner.
pub const PRESSURE: usize = CONNECTIONS_MAX / 4;

/// The connections of all transports.
#[derive(Debug)]
pub struct Admission {
    inner: Mutex<Inner>,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Inner {
    total: usize,
    strangers: usize,
    of_client: HashMap<IpAddr, usize>,
    of_network: HashMap<IpAddr, usize>,
}

/// The right to one connection; given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    admission: Arc<Admission>,
    address: IpAddr,
    of_site: bool,
}

impl Admission {
    /// Nobody is connected yet.
    pub fn new(counters: Counters) -> Arc<Self> {
        Arc::new(Self { inner: Mutex::default(), counters })
    }

    /// A place for one more connection of `address`; `None` (counted) where there is none for it.
    pub fn admit(self: &Arc<Self>, address: IpAddr, of_site: bool) -> Option<Place> {
        match self.lock().add(address, of_site) {
            Ok(total) => {
                self.counters.connections.set(total as i64);
                Some(Place { admission: Arc::clone(self), address, of_site })
            }
            Err(reason) => {
                self.counters.connection_refused(reason);
                None
            }
        }
    }

    /// How many connections there are.
    pub fn len(&self) -> usize {
        self.lock().total
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there are so many that idle ones have to go sooner.
    pub fn is_under_pressure(&self) -> bool {
        self.len() >= PRESSURE
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn add(&mut self, address: IpAddr, of_site: bool) -> Result<usize, &'static str> {
        let client = client_of(address);
        let network = network_of(address).filter(|_| !of_site);
        let count = |counts: &HashMap<IpAddr, usize>, key: &IpAddr| counts.get(key).copied().unwrap_or(0);
        let client_max = if of_site { SITE_CLIENT_MAX } else { STRANGER_MAX };
        if self.total >= CONNECTIONS_MAX || !of_site && self.strangers >= STRANGERS_MAX {
            return Err("too_many");
        }
        if count(&self.of_client, &client) >= client_max {
            return Err("client_limit");
        }
        if network.is_some_and(|network| count(&self.of_network, &network) >= STRANGER_NETWORK_MAX) {
            return Err("network_limit");
        }
        self.total += 1;
        self.strangers += usize::from(!of_site);
        *self.of_client.entry(client).or_default() += 1;
        if let Some(network) = network {
            *self.of_network.entry(network).or_default() += 1;
        }
        Ok(self.total)
    }

    fn remove(&mut self, address: IpAddr, of_site: bool) {
        self.total -= 1;
        self.strangers -= usize::from(!of_site);
        take_one(&mut self.of_client, client_of(address));
        if let Some(network) = network_of(address).filter(|_| !of_site) {
            take_one(&mut self.of_network, network);
        }
    }
}

fn take_one(counts: &mut HashMap<IpAddr, usize>, key: IpAddr) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

/// What counts as one client.
fn client_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX)).into(),
    }
}

fn network_of(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => Some(std::net::Ipv4Addr::from(u32::from(address) & 0xffff_ff00).into()),
        IpAddr::V6(_) => None,
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.admission.lock();
        inner.remove(self.address, self.of_site);
        self.admission.counters.connections.set(inner.total as i64);
    }
}

#[cfg(test)]
mod tests {
    use faros_common::metrics::Metrics;

    use super::*;

    fn admission() -> Arc<Admission> {
        Admission::new(Counters::new(&Metrics::new("dnsd")))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_client_has_so_many_and_gets_more_when_it_gives_some_back() {
        let admission = admission();
        let take = |count| -> Vec<Place> {
            (0..count).filter_map(|_| admission.admit(address("198.51.100.1"), false)).collect()
        };
        let mut places = take(STRANGER_MAX + 5);
        assert_eq!(places.len(), STRANGER_MAX);
        places.pop();
        assert_eq!(take(2).len(), 1);
        drop(places);
        assert!(admission.is_empty());
        assert!(admission.lock().of_client.is_empty() && admission.lock().of_network.is_empty());
    }

    #[test]
    fn an_ipv6_network_counts_as_one_client() {
        let admission = admission();
        let places: Vec<Place> = (0..100u128)
            .filter_map(|host| {
                let address = Ipv6Addr::from((0x2001_0db8_u128 << 96) + host);
                admission.admit(address.into(), false)
            })
            .collect();
        assert_eq!(places.len(), STRANGER_MAX);
    }

    #[test]
    fn strangers_leave_room_for_the_site() {
        let admission = admission();
        let strangers: Vec<Place> = (0..CONNECTIONS_MAX as u32)
            .filter_map(|host| admission.admit(std::net::Ipv4Addr::from(host << 8).into(), false))
            .collect();
        assert_eq!(strangers.len(), STRANGERS_MAX);
        let site: Vec<Place> = (0..CONNECTIONS_MAX as u32)
            .filter_map(|host| admission.admit(std::net::Ipv4Addr::from(host / 100).into(), true))
            .collect();
        assert_eq!(site.len(), CONNECTIONS_MAX - STRANGERS_MAX);
        assert!(admission.is_under_pressure());
    }
}
