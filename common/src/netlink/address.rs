//! Addresses of interfaces.

use std::net::IpAddr;

use ipnet::IpNet;
use rustix::net::AddressFamily;

use super::attribute::{Builder, Malformed};
use super::error::Error;
use super::message::{Message, Request, flag};
use super::socket::Socket;

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// The address with the prefix of its network.
    pub network: IpNet,
    /// The number of the interface.
    pub interface: u32,
    /// `IFA_F_…`: [`PERMANENT`], [`TENTATIVE`], …
    pub flags: u32,
    /// `RT_SCOPE_…`: 0 everywhere, 253 only on the link, 254 only on this host.
    pub scope: u8,
}

/// What happened to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressEvent {
    /// It came or changed.
    New(Address),
    /// It went.
    Deleted(Address),
}

/// No other host is asked whether it has the address (IPv6): for addresses that move.
pub const NO_DETECTION: u32 = 0x02;
/// Somebody else has it.
pub const DETECTION_FAILED: u32 = 0x08;
/// Others are still being asked whether they have it.
pub const TENTATIVE: u32 = 0x40;
/// It does not go by itself.
pub const PERMANENT: u32 = 0x80;

const NEW_ADDRESS: u16 = 20;
const DELETE_ADDRESS: u16 = 21;
const GET_ADDRESS: u16 = 22;
const FIXED_BYTES: usize = 8;

mod kind {
    pub(super) const ADDRESS: u16 = 1;
    pub(super) const LOCAL: u16 = 2;
    pub(super) const FLAGS: u16 = 8;
}

impl Address {
    /// Reads an address; `None`: the message is about something else.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn decode(message: &Message<'_>) -> Result<Option<Self>, Malformed> {
        if message.kind != NEW_ADDRESS && message.kind != DELETE_ADDRESS {
            return Ok(None);
        }
        let ([_, prefix, flags, scope, index @ ..], attributes) = message.split::<FIXED_BYTES>()?;
        let fields = attributes.fields()?;
        // Between two hosts, the other attribute is the other's address.
        let local = fields.get(kind::LOCAL).or(fields.get(kind::ADDRESS));
        let address = local.ok_or(Malformed::new("an address without octets"))?.address()?;
        let network =
            IpNet::new(address, prefix).map_err(|_| Malformed::new("a prefix longer than its address"))?;
        let flags = fields.u32(kind::FLAGS)?.unwrap_or(u32::from(flags));
        Ok(Some(Self { network, interface: u32::from_ne_bytes(index), flags, scope }))
    }

    fn request(&self, message: u16) -> Request {
        let family = if self.network.addr().is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let mut fixed = [0; FIXED_BYTES];
        fixed[0] = family.as_raw() as u8;
        fixed[1] = self.network.prefix_len();
        fixed[3] = self.scope;
        fixed[4..8].copy_from_slice(&self.interface.to_ne_bytes());
        let mut request = Request::new(message, &fixed);
        encode_address(kind::LOCAL, self.network.addr(), &mut request.body);
        encode_address(kind::ADDRESS, self.network.addr(), &mut request.body);
        if self.flags != 0 {
            request.body.u32(kind::FLAGS, self.flags);
        }
        request
    }
}

impl AddressEvent {
    /// Reads an event; `None`: the message is about something else.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn decode(message: &Message<'_>) -> Result<Option<Self>, Malformed> {
        let address = Address::decode(message)?;
        Ok(address.map(|address| {
            if message.kind == DELETE_ADDRESS { Self::Deleted(address) } else { Self::New(address) }
        }))
    }
}

/// Writes an address as an attribute.
pub(super) fn encode_address(kind: u16, address: IpAddr, into: &mut Builder) {
    match address {
        IpAddr::V4(v4) => into.bytes(kind, &v4.octets()),
        IpAddr::V6(v6) => into.bytes(kind, &v6.octets()),
    }
}

/// The addresses of all interfaces. The socket is one of [`super::Protocol::Route`].
///
/// # Errors
/// The kernel did not answer.
pub fn list(socket: &mut Socket) -> Result<Vec<Address>, Error> {
    socket.dump(&Request::new(GET_ADDRESS, &[0; FIXED_BYTES]), |message| Address::decode(&message))
}

/// Gives an interface an address. `false`: it has it already.
///
/// # Errors
/// The kernel's refusal: `CAP_NET_ADMIN` is needed.
pub fn add(socket: &mut Socket, address: &Address) -> Result<bool, Error> {
    let mut request = address.request(NEW_ADDRESS);
    request.flags = flag::CREATE | flag::EXCLUSIVE;
    match socket.acknowledged(request) {
        Err(Error::Refused(refusal)) if refusal.is(rustix::io::Errno::EXIST) => Ok(false),
        other => other.map(|()| true),
    }
}

/// Takes an address from an interface. `false`: it does not have it.
///
/// # Errors
/// The kernel's refusal: `CAP_NET_ADMIN` is needed.
pub fn remove(socket: &mut Socket, address: &Address) -> Result<bool, Error> {
    match socket.acknowledged(Address { flags: 0, ..*address }.request(DELETE_ADDRESS)) {
        Err(error) if error.is_absent() => Ok(false),
        other => other.map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::netlink::testing::{Namespace, run};
    use crate::netlink::{Group, Protocol, link};

    #[test]
    fn addresses_are_added_listed_told_and_removed() {
        Namespace::enter(|| {
            run("ip link add cable type veth peer name plug");
            let mut socket = Socket::open(Protocol::Route).unwrap();
            let mut events = Socket::open(Protocol::Route).unwrap();
            events.subscribe(Group::Ipv4Addresses).unwrap();
            let interface = link::by_name(&mut socket, "cable").unwrap().unwrap().index;
            for network in ["192.0.2.10/24", "2001:db8::10/64"] {
                let network: IpNet = network.parse().unwrap();
                let address = Address { network, interface, flags: NO_DETECTION, scope: 0 };
                assert!(add(&mut socket, &address).unwrap());
                assert!(!add(&mut socket, &address).unwrap(), "a second time");
                assert!(run("ip addr show dev cable").contains(&network.to_string()));
                let listed = list(&mut socket).unwrap();
                assert!(listed.iter().any(|one| one.network == network && one.interface == interface));
                assert!(remove(&mut socket, &address).unwrap());
                assert!(!remove(&mut socket, &address).unwrap(), "a second time");
            }
            let mut told = Vec::new();
            while !told.iter().any(|event| matches!(event, AddressEvent::Deleted(_))) {
                assert!(
                    events.receive(|message| told.extend(AddressEvent::decode(&message).unwrap())).unwrap()
                );
            }
            assert_eq!(told.len(), 2);
        });
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let message = Message { kind: NEW_ADDRESS, flags: 0, sequence: 1, port: 0, body: &body };
            let _ = AddressEvent::decode(&message);
        }
    }
}
