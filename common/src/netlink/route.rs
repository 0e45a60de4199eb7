//! Routes.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rustix::net::AddressFamily;

use super::address::encode_address;
use super::attribute::{Attribute, Malformed};
use super::error::Error;
use super::message::{Message, Request, flag};
use super::socket::Socket;

/// A route with one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// Where it leads; `0.0.0.0/0` and `::/0`: everywhere else.
    pub destination: IpNet,
    /// The router; `None`: the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// The number of the interface.
    pub interface: Option<u32>,
    /// The address that packets of this host get.
    pub source: Option<IpAddr>,
    /// Of several, the one with the lowest counts.
    pub metric: u32,
    /// Its table: [`TABLE_MAIN`].
    pub table: u32,
    /// `RTPROT_…`: who made it: 2 the kernel, 4 an administrator.
    pub protocol: u8,
    /// `RTN_…`: 1 unicast, 2 local, 7 unreachable, …
    pub kind: u8,
    /// `RT_SCOPE_…`: 0 beyond a router, 253 on the link.
    pub scope: u8,
}

/// The table that is asked first for other hosts.
pub const TABLE_MAIN: u32 = 254;

const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;
const GET_ROUTE: u16 = 26;
const FIXED_BYTES: usize = 12;
const STATIC: u8 = 4;
const UNICAST: u8 = 1;
const LINK: u8 = 253;

mod kind {
    pub(super) const DESTINATION: u16 = 1;
    pub(super) const INTERFACE: u16 = 4;
    pub(super) const GATEWAY: u16 = 5;
    pub(super) const METRIC: u16 = 6;
    pub(super) const SOURCE: u16 = 7;
    pub(super) const TABLE: u16 = 15;
}

impl Route {
    /// A route of the main table.
    pub fn new(destination: IpNet, gateway: Option<IpAddr>, interface: Option<u32>) -> Self {
        let scope = if gateway.is_some() || destination.addr().is_ipv6() { 0 } else { LINK };
        Self {
            destination,
            gateway,
            interface,
            source: None,
            metric: 0,
            table: TABLE_MAIN,
            protocol: STATIC,
            kind: UNICAST,
            scope,
        }
    }

    /// Reads a route; `None`: the message is about something else, or the route is not of IP. Of several ways, none is
    /// told.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn decode(message: &Message<'_>) -> Result<Option<Self>, Malformed> {
        if message.kind != NEW_ROUTE && message.kind != DELETE_ROUTE {
            return Ok(None);
        }
        let (fixed, attributes) = message.split::<FIXED_BYTES>()?;
        let [family, prefix, _, _, table, protocol, scope, route_kind, ..] = fixed;
        let fields = attributes.fields()?;
        let address = |kind| fields.get(kind).map(Attribute::address).transpose();
        let any = match u16::from(family) {
            v4 if v4 == AddressFamily::INET.as_raw() => IpNet::V4(Ipv4Net::default()).addr(),
            v6 if v6 == AddressFamily::INET6.as_raw() => IpNet::V6(Ipv6Net::default()).addr(),
            _ => return Ok(None),
        };
        let destination = IpNet::new(address(kind::DESTINATION)?.unwrap_or(any), prefix);
        Ok(Some(Self {
            destination: destination.map_err(|_| Malformed::new("a prefix longer than its address"))?,
            gateway: address(kind::GATEWAY)?,
            interface: fields.u32(kind::INTERFACE)?,
            source: address(kind::SOURCE)?,
            metric: fields.u32(kind::METRIC)?.unwrap_or_default(),
            table: fields.u32(kind::TABLE)?.unwrap_or(u32::from(table)),
            protocol,
            kind: route_kind,
            scope,
        }))
    }

    fn request(&self, message: u16) -> Request {
        let family =
            if self.destination.addr().is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        // Tables beyond the octet are named by an attribute.
        let table = u8::try_from(self.table).unwrap_or(0);
        let prefix = self.destination.prefix_len();
        let fixed =
            [family.as_raw() as u8, prefix, 0, 0, table, self.protocol, self.scope, self.kind, 0, 0, 0, 0];
        let mut request = Request::new(message, &fixed);
        encode_address(kind::DESTINATION, self.destination.network(), &mut request.body);
        let addresses = [(kind::GATEWAY, self.gateway), (kind::SOURCE, self.source)];
        for (kind, address) in addresses {
            if let Some(address) = address {
                encode_address(kind, address, &mut request.body);
            }
        }
        if let Some(interface) = self.interface {
            request.body.u32(kind::INTERFACE, interface);
        }
        if self.metric != 0 {
            request.body.u32(kind::METRIC, self.metric);
        }
        request.body.u32(kind::TABLE, self.table);
        request
    }
}

/// The routes of all tables. The socket is one of [`super::Protocol::Route`].
///
/// # Errors
/// The kernel did not answer.
pub fn list(socket: &mut Socket) -> Result<Vec<Route>, Error> {
    socket.dump(&Request::new(GET_ROUTE, &[0; FIXED_BYTES]), |message| Route::decode(&message))
}

/// Adds a route, or puts it in the place of the one with the same destination, table and metric.
///
/// # Errors
/// The kernel's refusal: `CAP_NET_ADMIN` is needed.
pub fn replace(socket: &mut Socket, route: &Route) -> Result<(), Error> {
    let mut request = route.request(NEW_ROUTE);
    request.flags = flag::CREATE | flag::REPLACE;
    socket.acknowledged(request)
}

/// Removes a route. `false`: it is not there.
///
/// # Errors
/// The kernel's refusal: `CAP_NET_ADMIN` is needed.
pub fn remove(socket: &mut Socket, route: &Route) -> Result<bool, Error> {
    match socket.acknowledged(route.request(DELETE_ROUTE)) {
        Err(error) if error.is_absent() => Ok(false),
        other => other.map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::netlink::testing::{Namespace, run};
    use crate::netlink::{Protocol, link};

    #[test]
    fn routes_are_added_listed_and_removed() {
        Namespace::enter(|| {
            run("ip link add cable type veth peer name plug");
            run("ip link set plug up");
            run("ip link set cable up");
            run("ip addr add 192.0.2.1/24 dev cable");
            let mut socket = Socket::open(Protocol::Route).unwrap();
            let interface = link::by_name(&mut socket, "cable").unwrap().map(|link| link.index);
            let gateway = Some([192, 0, 2, 254].into());
            let route = Route::new("198.51.100.0/24".parse().unwrap(), gateway, interface);
            replace(&mut socket, &route).unwrap();
            assert!(list(&mut socket).unwrap().contains(&route));
            assert!(run("ip route").contains("198.51.100.0/24 via 192.0.2.254 dev cable"));
            assert!(remove(&mut socket, &route).unwrap());
            assert!(!remove(&mut socket, &route).unwrap());
            let default =
                Route { table: 1000, metric: 7, ..Route::new("::/0".parse().unwrap(), None, interface) };
            replace(&mut socket, &default).unwrap();
            assert!(run("ip -6 route show table 1000").contains("default dev cable"));
        });
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(family in prop::sample::select(vec![2u8, 10, 0]), body in prop::collection::vec(any::<u8>(), 0..200)) {
            let body = [vec![family], body].concat();
            let message = Message { kind: NEW_ROUTE, flags: 0, sequence: 1, port: 0, body: &body };
            let _ = Route::decode(&message);
        }
    }
}
