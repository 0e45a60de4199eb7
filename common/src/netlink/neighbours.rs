//! The kernel's neighbour table: which card is behind an address (rtnetlink(7)).

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::attribute::Malformed;
use super::error::Error;
use super::message::{Message, Request};
use super::socket::{Protocol, Socket};
use crate::site::Mac;

/// Looks up neighbours; shared between threads, one question at a time.
#[derive(Debug)]
pub struct Neighbours {
    socket: Mutex<Socket>,
    /// A socket of any kind, through which interfaces are named.
    names: OwnedFd,
    /// The interface that is asked about first.
    interface: Option<String>,
}

/// An entry of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its address.
    pub address: IpAddr,
    /// Its card, where it is known and an Ethernet one.
    pub card: Option<Mac>,
    /// The interface behind which it is.
    pub interface: u32,
    /// `NUD_…`: how far the kernel believes it.
    pub state: u16,
}

/// The kernel answers before the question has returned; it is waited for no longer than this.
const PATIENCE: Duration = Duration::from_millis(100);
/// States in which the kernel believes the entry: reachable, stale, delay, probe, permanent (`NUD_VALID` without
/// `NUD_NOARP`, in which there is no card to know).
const STATES_VALID: u16 = 0x02 | 0x04 | 0x08 | 0x10 | 0x80;

const NEW_NEIGHBOUR: u16 = 28;
const GET_NEIGHBOUR: u16 = 30;
const FIXED_BYTES: usize = 12;
const ADDRESS: u16 = 1;
const LINK_ADDRESS: u16 = 2;

impl Neighbour {
    /// The card, if the kernel believes it and it is somebody's: loopback has an all-zero one.
    pub fn valid_card(&self) -> Option<Mac> {
        self.card.filter(|card| self.state & STATES_VALID != 0 && *card != Mac([0; 6]))
    }

    /// Reads an entry; `None`: the message is about something else, or about an entry without an address.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn decode(message: &Message<'_>) -> Result<Option<Self>, Malformed> {
        if message.kind != NEW_NEIGHBOUR {
            return Ok(None);
        }
        let (fixed, attributes) = message.split::<FIXED_BYTES>()?;
        let fields = attributes.fields()?;
        let Some(address) = fields.get(ADDRESS) else { return Ok(None) };
        // Bridges list cards by card; those are no addresses of IP.
        let Ok(address) = address.address() else { return Ok(None) };
        let card = fields.get(LINK_ADDRESS).and_then(|card| <[u8; 6]>::try_from(card.payload).ok()).map(Mac);
        let interface = u32::from_ne_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]);
        Ok(Some(Self { address, card, interface, state: u16::from_ne_bytes([fixed[8], fixed[9]]) }))
    }
}

impl Neighbours {
    /// Opens the socket; needs no privilege. `interface` is where neighbours are expected; others are looked at too.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn open(interface: Option<&str>) -> io::Result<Self> {
        let mut socket = Socket::open(Protocol::Route)?;
        socket.set_timeout(PATIENCE)?;
        let names = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        Ok(Self { socket: Mutex::new(socket), names, interface: interface.map(str::to_owned) })
    }

    /// The card behind `address`, if the kernel knows one. An address beyond a router has none.
    ///
    /// # Errors
    /// The kernel did not answer; then nothing is known.
    pub fn card(&self, address: IpAddr) -> io::Result<Option<Mac>> {
        let index = self.interface.as_ref().and_then(|name| name_to_index(&self.names, name).ok());
        // One entry costs the same however long the table is; kernels before 5.0 know the whole table only.
        let single = index.and_then(|index| self.entry(address, index).ok().flatten());
        if let Some(card) = single.and_then(|entry| entry.valid_card()) {
            return Ok(Some(card));
        }
        let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = socket.dump(&request(address, None), |message| {
            Ok(Neighbour::decode(&message)?.filter(|entry| entry.address == address))
        })?;
        Ok(entries.iter().find_map(Neighbour::valid_card))
    }

    /// All entries of one kind of IP.
    ///
    /// # Errors
    /// The kernel did not answer.
    pub fn list(&self, ipv6: bool) -> Result<Vec<Neighbour>, Error> {
        let any: IpAddr = if ipv6 { [0u16; 8].into() } else { [0u8; 4].into() };
        let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        socket.dump(&request(any, None), |message| Neighbour::decode(&message))
    }

    fn entry(&self, address: IpAddr, interface: u32) -> Result<Option<Neighbour>, Error> {
        let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = socket.ask(request(address, Some(interface)), |message| Neighbour::decode(&message))?;
        Ok(entry.filter(|entry| entry.address == address))
    }
}

/// Asks about the entry on one interface, or about all of them.
fn request(address: IpAddr, interface: Option<u32>) -> Request {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let mut fixed = [0; FIXED_BYTES];
    fixed[0] = family.as_raw() as u8;
    fixed[4..8].copy_from_slice(&interface.unwrap_or_default().to_ne_bytes());
    let mut request = Request::new(GET_NEIGHBOUR, &fixed);
    if interface.is_some() {
        match address {
            IpAddr::V4(v4) => request.body.bytes(ADDRESS, &v4.octets()),
            IpAddr::V6(v6) => request.body.bytes(ADDRESS, &v6.octets()),
        }
    }
    request
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::netlink::attribute::Builder;
    use crate::netlink::testing::{Namespace, run};

    #[test]
    fn an_address_that_nobody_has_has_no_card() {
        for interface in [None, Some("lo"), Some("no-such-link")] {
            let neighbours = Neighbours::open(interface).unwrap();
            for address in ["198.51.100.77", "2001:db8::77", "127.0.0.1"] {
                assert_eq!(neighbours.card(address.parse().unwrap()).unwrap(), None, "{address}");
            }
        }
    }

    #[test]
    fn a_neighbour_is_found_on_its_interface_and_on_others() {
        Namespace::enter(|| {
            run("ip link add cable type veth peer name plug");
            run("ip link set cable up");
            run("ip link set plug up");
            for address in ["192.0.2.1", "2001:db8::1"] {
                run(&format!("ip neigh add {address} lladdr 02:00:00:00:00:01 dev cable"));
                let address: IpAddr = address.parse().unwrap();
                for interface in [None, Some("cable"), Some("plug"), Some("no-such-link")] {
                    let card = Neighbours::open(interface).unwrap().card(address).unwrap();
                    assert_eq!(card, Some(Mac([2, 0, 0, 0, 0, 1])), "{address} by {interface:?}");
                }
            }
            let list = Neighbours::open(None).unwrap().list(false).unwrap();
            assert_eq!(list.iter().filter(|entry| entry.valid_card().is_some()).count(), 1);
        });
    }

    fn entry(address: &[u8], card: &[u8], state: u16) -> Option<Neighbour> {
        let mut fixed = [0; FIXED_BYTES];
        fixed[8..10].copy_from_slice(&state.to_ne_bytes());
        let mut body = Builder::new();
        body.raw(&fixed);
        body.bytes(ADDRESS, address);
        body.bytes(LINK_ADDRESS, card);
        let body = body.build().unwrap();
        Neighbour::decode(&Message { kind: NEW_NEIGHBOUR, flags: 0, sequence: 1, port: 0, body: &body })
            .unwrap()
    }

    #[test]
    fn a_card_counts_if_the_entry_is_valid() {
        let card = [2, 0, 0, 0, 0, 1];
        let valid = |address: &[u8], card: &[u8], state| entry(address, card, state).unwrap().valid_card();
        assert_eq!(valid(&[192, 0, 2, 1], &card, 0x02), Some(Mac(card)));
        assert_eq!(valid(&[192, 0, 2, 1], &card, 0x20), None, "failed");
        assert_eq!(valid(&[192, 0, 2, 1], &[0; 6], 0x80), None, "loopback");
        assert_eq!(valid(&[192, 0, 2, 1], &[1; 4], 0x80), None, "a tunnel");
        assert_eq!(entry(&[1; 6], &card, 0x80), None, "a bridge");
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let message = Message { kind: NEW_NEIGHBOUR, flags: 0, sequence: 1, port: 0, body: &body };
            let _ = Neighbour::decode(&message);
        }
    }
}
