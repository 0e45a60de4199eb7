//! The kernel's neighbour table: which card is behind an address.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use faros_common::site::Mac;
use rustix::net::netdevice::name_to_index;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

/// A netlink socket for questions about neighbours (rtnetlink(7)).
#[derive(Debug)]
pub struct Neighbours {
    socket: Mutex<(OwnedFd, u32)>,
    /// A socket of any kind, through which interfaces are named.
    names: OwnedFd,
    /// The interface of the nodes, which is asked about first.
    interface: String,
}

/// Message types and flags of rtnetlink, as `linux/rtnetlink.h` and `linux/netlink.h` number them.
mod netlink {
    pub(super) const HEADER_BYTES: usize = 16;
    pub(super) const NEIGHBOUR_BYTES: usize = 12;
    pub(super) const ERROR: u16 = 2;
    pub(super) const DONE: u16 = 3;
    pub(super) const NEW_NEIGHBOUR: u16 = 28;
    pub(super) const GET_NEIGHBOUR: u16 = 30;
    pub(super) const REQUEST: u16 = 0x1;
    pub(super) const REQUEST_DUMP: u16 = 0x1 | 0x100 | 0x200;
    pub(super) const ATTRIBUTE_ADDRESS: u16 = 1;
    pub(super) const ATTRIBUTE_LINK_ADDRESS: u16 = 2;
    /// States in which the kernel believes the entry: reachable, stale, delay, probe, permanent.
    pub(super) const STATES_VALID: u16 = 0x02 | 0x04 | 0x08 | 0x10 | 0x80;
}

/// A dump arrives in pieces of at most this size.
const PIECE_BYTES: usize = 64 * 1024;
/// The kernel answers before the question has returned; it is waited for no longer than this.
const PATIENCE: Duration = Duration::from_millis(100);

impl Neighbours {
    /// Opens the socket; needs no privilege. `interface` is where neighbours are expected; others are looked at too.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn open(interface: &str) -> io::Result<Self> {
        let open = |family, kind| socket_with(family, kind, SocketFlags::CLOEXEC, None);
        let socket = open(AddressFamily::NETLINK, SocketType::RAW)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        let names = open(AddressFamily::UNIX, SocketType::DGRAM)?;
        Ok(Self { socket: Mutex::new((socket, 0)), names, interface: interface.to_owned() })
    }

    /// The card behind `address`, if the kernel knows one. An address beyond a router has none.
    ///
    /// # Errors
    /// The kernel did not answer; then nothing is known.
    pub fn card(&self, address: IpAddr) -> io::Result<Option<Mac>> {
        let index = name_to_index(&self.names, &self.interface).ok();
        // One entry costs the same however long the table is; kernels before 5.0 know the whole table only.
        let single = index.and_then(|index| self.ask(address, Some(index)).ok().flatten());
        if single.is_some() {
            return Ok(single);
        }
        self.ask(address, None)
    }

    /// Asks for the entry on one interface, or for all of them.
    fn ask(&self, address: IpAddr, interface: Option<u32>) -> io::Result<Option<Mac>> {
        let mut guard = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let (socket, sequence) = &mut *guard;
        *sequence = sequence.wrapping_add(1);
        send(&*socket, &request(address, interface, *sequence), SendFlags::empty())?;
        let mut piece = vec![0; PIECE_BYTES];
        let mut found = None;
        loop {
            let (received, _) = recv(&*socket, &mut piece[..], RecvFlags::empty())?;
            for message in Messages(&piece[..received]) {
                match message.kind {
                    // Rests of an earlier question that was given up.
                    _ if message.sequence != *sequence => {}
                    netlink::DONE => return Ok(found),
                    netlink::ERROR => return Err(io::Error::other("the kernel has no such neighbour")),
                    netlink::NEW_NEIGHBOUR => {
                        found = found.or_else(|| neighbour(message.body, address));
                        if interface.is_some() {
                            return Ok(found);
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn request(address: IpAddr, interface: Option<u32>, sequence: u32) -> Vec<u8> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = if interface.is_some() { netlink::REQUEST } else { netlink::REQUEST_DUMP };
    let mut request = vec![0; netlink::HEADER_BYTES + netlink::NEIGHBOUR_BYTES];
    request[4..6].copy_from_slice(&netlink::GET_NEIGHBOUR.to_ne_bytes());
    request[6..8].copy_from_slice(&flags.to_ne_bytes());
    request[8..12].copy_from_slice(&sequence.to_ne_bytes());
    request[16] = family.as_raw() as u8;
    if let Some(index) = interface {
        request[20..24].copy_from_slice(&index.to_ne_bytes());
        let octets = octets(address);
        request.extend_from_slice(&(4 + octets.len() as u16).to_ne_bytes());
        request.extend_from_slice(&netlink::ATTRIBUTE_ADDRESS.to_ne_bytes());
        request.extend_from_slice(&octets);
    }
    let length = request.len() as u32;
    request[..4].copy_from_slice(&length.to_ne_bytes());
    request
}

struct Message<'a> {
    kind: u16,
    sequence: u32,
    body: &'a [u8],
}

/// The messages of one datagram; ends at the first that is cut short.
struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let bytes = self.0;
        let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
        let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
        let sequence = u32::from_ne_bytes(bytes.get(8..12)?.try_into().ok()?);
        let body = bytes.get(netlink::HEADER_BYTES..length)?;
        self.0 = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message { kind, sequence, body })
    }
}

/// The card in a neighbour message, if it is about `address` and the kernel believes it.
fn neighbour(body: &[u8], address: IpAddr) -> Option<Mac> {
    let state = u16::from_ne_bytes(body.get(8..10)?.try_into().ok()?);
    if state & netlink::STATES_VALID == 0 {
        return None;
    }
    let octets = octets(address);
    let (mut matches, mut card) = (false, None);
    let mut rest = body.get(netlink::NEIGHBOUR_BYTES..)?;
    while let Some(header) = rest.get(..4) {
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]);
        let Some(value) = rest.get(4..length) else { break };
        match kind {
            netlink::ATTRIBUTE_ADDRESS => matches = value == octets,
            netlink::ATTRIBUTE_LINK_ADDRESS => card = <[u8; 6]>::try_from(value).ok().map(Mac),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    // Loopback has an all-zero card, which is nobody's.
    card.filter(|mac| matches && *mac != Mac([0; 6]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_that_nobody_has_has_no_card() {
        for interface in ["lo", "no-such-link"] {
            let neighbours = Neighbours::open(interface).unwrap();
            for address in ["198.51.100.77", "2001:db8::77", "127.0.0.1"] {
                assert_eq!(neighbours.card(address.parse().unwrap()).unwrap(), None, "{address}");
            }
        }
    }

    fn message(address: [u8; 4], card: [u8; 6], state: u16) -> Vec<u8> {
        let mut body = vec![0; netlink::NEIGHBOUR_BYTES];
        body[8..10].copy_from_slice(&state.to_ne_bytes());
        for (kind, value) in [(1u16, &address[..]), (2, &card[..])] {
            body.extend_from_slice(&(4 + value.len() as u16).to_ne_bytes());
            body.extend_from_slice(&kind.to_ne_bytes());
            body.extend_from_slice(value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        body
    }

    #[test]
    fn an_entry_counts_if_it_is_valid_and_about_the_address() {
        let address = IpAddr::from([192, 0, 2, 1]);
        let card = [2, 0, 0, 0, 0, 1];
        assert_eq!(neighbour(&message([192, 0, 2, 1], card, 0x02), address), Some(Mac(card)));
        assert_eq!(neighbour(&message([192, 0, 2, 1], card, 0x20), address), None, "failed");
        assert_eq!(neighbour(&message([192, 0, 2, 2], card, 0x02), address), None);
        assert_eq!(neighbour(&message([192, 0, 2, 1], [0; 6], 0x80), address), None);
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = neighbour(&bytes, IpAddr::from([192, 0, 2, 1]));
            prop_assert!(Messages(&bytes).take(1000).count() < 100);
        }
    }
}
