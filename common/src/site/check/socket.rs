//! Two services on one socket, and sockets that nobody would find.

use std::net::{IpAddr, SocketAddr};

use crate::site::build::same_socket;
use crate::site::raw::RawSite;
use crate::site::read::{At, Findings, OneOrMany, Spot};
use crate::site::value::Listen;
use crate::site::{Side, Site, Transport, WanAddress};

/// A socket of ours, with where it stands in the file.
struct Socket {
    service: String,
    transport: Transport,
    address: SocketAddr,
    spot: Spot,
}

pub(super) fn check(raw: &RawSite, site: &Site, found: &mut Findings) {
    let sockets = sockets(raw, site);
    for (index, socket) in sockets.iter().enumerate() {
        let other = sockets[..index]
            .iter()
            .find(|other| other.transport == socket.transport && same_socket(other.address, socket.address));
        if let Some(other) = other {
            // The place is the one that the file names; derived sockets have none of their own.
            let (spot, by) =
                if socket.spot.offset.is_some() { (&socket.spot, other) } else { (&other.spot, socket) };
            let mine = if spot == &socket.spot { socket } else { other };
            found
                .error(
                    spot,
                    format!("{} of {} is taken by {} already", socket.address, mine.service, by.service),
                )
                .help("choose another port or address for one of them");
        }
        // One entry of the file may stand for a socket of each transport.
        if !sockets[..index].iter().any(|other| other.spot == socket.spot) {
            outside(site, socket, found);
        }
    }
}

/// A listener on an address that is not this bastion's, as far as the file says.
fn outside(site: &Site, socket: &Socket, found: &mut Findings) {
    let ip = socket.address.ip();
    let known = ip.is_unspecified()
        || ip.is_loopback()
        || ip == IpAddr::V4(site.lan.address.addr())
        || ip == IpAddr::V4(site.lan.vip)
        || site.lan.address6.is_some_and(|net| ip == IpAddr::V6(net.addr()));
    if known || socket.spot.offset.is_none() || socket.service.starts_with("front end") {
        return;
    }
    let on_wan = site.wan.as_ref().is_some_and(|wan| match wan.address {
        WanAddress::Static(net) => net.addr() == ip,
        WanAddress::Dhcp => false,
    });
    if on_wan {
        found
            .warning(
                &socket.spot,
                format!("{ip} is the WAN's address, where {} serves nobody", socket.service),
            )
            .help("to serve the WAN, name the service in gateway.allow");
    } else {
        found
            .warning(&socket.spot, format!("{ip} is no address of this bastion that the file names"))
            .help(format!("{} is its address on the LAN ({:?})", site.lan.address.addr(), Side::Lan));
    }
}

fn sockets(raw: &RawSite, site: &Site) -> Vec<Socket> {
    let mut sockets = Vec::new();
    let mut add = |service: &str, transport, addresses: &[SocketAddr], spots: Vec<Spot>| {
        for (index, &address) in addresses.iter().enumerate() {
            let spot = spots.get(index).or(spots.first()).cloned().unwrap_or_default();
            sockets.push(Socket { service: service.to_owned(), transport, address, spot });
        }
    };
    /// The entries of `listen`, or the port, or the table; the most exact that there is.
    fn spots(listen: Option<&At<OneOrMany<Listen>>>, port: Option<&Spot>, table: Option<&Spot>) -> Vec<Spot> {
        match listen {
            Some(listen) => listen.value.iter().map(|entry| entry.spot.clone()).collect(),
            None => port.or(table).into_iter().cloned().collect(),
        }
    }
    macro_rules! service {
        ($table:ident, $name:literal, [$($transport:ident)+] $(, $port:ident)?) => {
            if site.$table.enable {
                let table = raw.$table.as_ref();
                #[allow(unused_mut, unused_assignments, reason = "not every service has a port key")]
                let mut port: Option<&Spot> = None;
                $(port = table.and_then(|table| table.$port.as_ref()).map(|port| &port.spot);)?
                let listen = table.and_then(|table| table.listen.as_ref());
                let spots = spots(listen, port, table.map(|table| &table.spot));
                $(add($name, Transport::$transport, &site.$table.listen, spots.clone());)+
            }
        };
    }
    service!(dhcp, "dhcp", [Udp]);
    service!(dns, "dns", [Udp Tcp]);
    if site.dns.enable {
        let raw = raw.dns.as_ref();
        let encrypted = [
            (
                "dns over TLS",
                Transport::Tcp,
                &site.dns.tls_listen,
                raw.and_then(|raw| raw.tls_listen.as_ref()),
            ),
            (
                "dns over HTTPS",
                Transport::Tcp,
                &site.dns.https_listen,
                raw.and_then(|raw| raw.https_listen.as_ref()),
            ),
            (
                "dns over QUIC",
                Transport::Udp,
                &site.dns.quic_listen,
                raw.and_then(|raw| raw.quic_listen.as_ref()),
            ),
        ];
        for (name, transport, addresses, listen) in encrypted {
            add(name, transport, addresses, spots(listen, None, None));
        }
    }
    service!(tftp, "tftp", [Udp]);
    service!(http, "http", [Tcp], port);
    service!(tang, "tang", [Tcp], port);
    if site.tang.enable {
        let listen = raw.tang.as_ref().and_then(|raw| raw.tls_listen.as_ref());
        add("tang over HTTPS", Transport::Tcp, &site.tang.tls_listen, spots(listen, None, None));
    }
    service!(ntp, "ntp", [Udp]);
    service!(console, "console", [Tcp], port);
    if site.lb.enable {
        let configured = raw.lb.iter().flat_map(|lb| super::each(&lb.frontend));
        let mut configured =
            configured.map(|frontend| spots(frontend.listen.as_ref(), None, Some(&frontend.spot)));
        for frontend in &site.lb.frontends {
            let spots = if frontend.derived { Vec::new() } else { configured.next().unwrap_or_default() };
            add(&format!("front end {}", frontend.name), Transport::Tcp, &frontend.listen, spots);
        }
    }
    sockets
}
