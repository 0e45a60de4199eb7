//! Addresses, prefixes, ranges and ports.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{Flaw, text_value};
use crate::site::read::{Findings, Input, Shape, Value, quoted};
use crate::site::{Ipv4Range, Mac, PortSpec, Transport, WanAddress};

const MAC: &str = "MAC address, such as 52:54:00:00:08:11";
const CIDR4: &str = "IPv4 address with its prefix length, such as 192.168.8.1/24";

text_value!(Mac, "MAC address, such as 52:54:00:00:08:11", |text| {
    let mac: Mac = text.parse().map_err(|_| {
        let flaw = Flaw::not(text, MAC);
        if text.contains(['*', '?']) {
            flaw.help("name each machine: there are no wildcards here")
        } else {
            flaw
        }
    })?;
    if mac.0 == [0; 6] {
        Err(Flaw::new(format!("{mac} belongs to no machine"))
            .help("copy the address from the card's label or the BMC"))
    } else if mac.0 == [0xff; 6] {
        Err(Flaw::new(format!("{mac} is the broadcast address")).help("give the address of one card"))
    } else if mac.is_multicast() {
        Err(Flaw::new(format!("{mac} is a multicast address, which no single card has"))
            .help("the second hexadecimal digit of a card's address is even"))
    } else {
        Ok(mac)
    }
});

text_value!(Ipv4Addr, "IPv4 address, such as 192.168.8.11", parse_ipv4);
text_value!(Ipv6Addr, "IPv6 address, such as fd08::11", |text| {
    text.parse().map_err(|_| Flaw::not(text, "IPv6 address, such as fd08::11"))
});
text_value!(IpAddr, "IP address, such as 192.168.8.1", |text| {
    text.parse().map_err(|_| Flaw::not(text, "IP address, such as 192.168.8.1"))
});

fn parse_ipv4(text: &str) -> Result<Ipv4Addr, Flaw> {
    text.parse().map_err(|_| {
        let flaw = Flaw::not(text, "IPv4 address, such as 192.168.8.11");
        match text.split_once('/') {
            Some((address, _)) if address.parse::<Ipv4Addr>().is_ok() => {
                flaw.help(format!("leave the prefix length out: {address}"))
            }
            _ if text.split('.').any(|part| part.len() > 1 && part.starts_with('0')) => {
                flaw.help("without leading zeros, which mean octal to some programs")
            }
            _ => flaw,
        }
    })
}

text_value!(Ipv4Net, "IPv4 address with its prefix length, such as 192.168.8.1/24", |text| {
    text.parse().map_err(|_| {
        let flaw = Flaw::not(text, CIDR4);
        if text.parse::<Ipv4Addr>().is_ok() {
            flaw.help(format!("add the prefix length: {text}/24"))
        } else {
            flaw
        }
    })
});
text_value!(Ipv6Net, "IPv6 address with its prefix length, such as fd08::1/64", |text| {
    text.parse().map_err(|_| {
        let flaw = Flaw::not(text, "IPv6 address with its prefix length, such as fd08::1/64");
        if text.parse::<Ipv6Addr>().is_ok() {
            flaw.help(format!("add the prefix length: {text}/64"))
        } else {
            flaw
        }
    })
});

text_value!(WanAddress, "\"dhcp\", or an address with its prefix length, such as 198.51.100.2/24", |text| {
    if text == "dhcp" {
        return Ok(WanAddress::Dhcp);
    }
    text.parse::<IpNet>().map(WanAddress::Static).map_err(|_| {
        Flaw::new(format!("{} is neither \"dhcp\" nor an address with its prefix length", quoted(text)))
            .help("write \"dhcp\", or the address as in 198.51.100.2/24")
    })
});

/// A network: an address alone counts as a network of one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prefix(pub(crate) IpNet);

impl Value for Prefix {
    fn read(input: Input<'_>, found: &mut Findings) -> Option<Self> {
        const FORM: &str = "network, such as 198.51.100.0/24, or a single address";
        let net = super::read_text(&input, FORM, found, |text| {
            text.parse::<IpNet>()
                .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
                .map_err(|_| Flaw::not(text, FORM))
        })?;
        if net != net.trunc() {
            found
                .warning(&input.spot, format!("{net} has host bits set and stands for {}", net.trunc()))
                .help(format!("write {}, or {} for the one address", net.trunc(), net.addr()));
        }
        Some(Self(net.trunc()))
    }

    fn shape() -> Shape {
        Shape::Text { form: "network, such as 198.51.100.0/24, or a single address" }
    }
}

text_value!(Ipv4Range, "range of IPv4 addresses, such as 192.168.8.128-192.168.8.250", |text| {
    let flaw = || Flaw::not(text, "range of IPv4 addresses, such as 192.168.8.128-192.168.8.250");
    let (first, last) = text.split_once('-').ok_or_else(flaw)?;
    let first: Ipv4Addr = first.trim().parse().map_err(|_| flaw())?;
    let last: Ipv4Addr = last.trim().parse().map_err(|_| flaw())?;
    if last < first {
        return Err(Flaw::new(format!("the range runs backwards: {first} is above {last}"))
            .help(format!("write {last}-{first}")));
    }
    Ok(Ipv4Range { first, last })
});

/// Where a service listens: an address, or an address and a port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listen {
    address: IpAddr,
    port: Option<u16>,
}

impl Listen {
    pub(crate) fn with_default(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.address, self.port.unwrap_or(port))
    }

    pub(crate) fn port(self) -> Option<u16> {
        self.port
    }
}

text_value!(Listen, "address, or address:port, such as 192.168.8.1:8080 or [fd08::1]:8080", |text| {
    const FORM: &str = "address, or address:port, such as 192.168.8.1:8080 or [fd08::1]:8080";
    if let Ok(address) = text.parse() {
        return Ok(Listen { address, port: None });
    }
    let flaw = if text.starts_with(':') || text.parse::<u16>().is_ok() {
        Flaw::not(text, FORM).help("name the address too: 0.0.0.0 would also serve the WAN")
    } else {
        Flaw::not(text, FORM)
    };
    let socket: SocketAddr = text.parse().map_err(|_| flaw)?;
    nonzero_port(socket.port())?;
    Ok(Listen { address: socket.ip(), port: Some(socket.port()) })
});

/// An address and a port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Endpoint(pub(crate) SocketAddr);

text_value!(Endpoint, "address:port, such as 192.168.8.60:5000", |text| {
    let socket: SocketAddr = text.parse().map_err(|_| endpoint_flaw(text))?;
    nonzero_port(socket.port())?;
    Ok(Endpoint(socket))
});

/// An IPv4 address and a port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Endpoint4(pub(crate) SocketAddrV4);

text_value!(Endpoint4, "address:port, such as 192.168.8.60:5000", |text| {
    let socket: SocketAddrV4 = text.parse().map_err(|_| endpoint_flaw(text))?;
    nonzero_port(socket.port())?;
    Ok(Endpoint4(socket))
});

fn endpoint_flaw(text: &str) -> Flaw {
    let flaw = Flaw::not(text, "address:port, such as 192.168.8.60:5000");
    if text.parse::<IpAddr>().is_ok() { flaw.help("add the port") } else { flaw }
}

fn nonzero_port(port: u16) -> Result<(), Flaw> {
    if port == 0 { Err(Flaw::new("port 0 is none").help("ports run from 1 to 65535")) } else { Ok(()) }
}

text_value!(PortSpec, "transport/port, such as tcp/443 or udp/1000-2000", |text| {
    let flaw = || Flaw::not(text, "transport/port, such as tcp/443 or udp/1000-2000");
    let (transport, ports) = text.split_once('/').ok_or_else(flaw)?;
    let protocol = match transport {
        "tcp" => Transport::Tcp,
        "udp" => Transport::Udp,
        _ if matches!(ports, "tcp" | "udp") => {
            return Err(flaw().help(format!("the other way round: {ports}/{transport}")));
        }
        _ => return Err(flaw()),
    };
    let port = |text: &str| text.parse::<u16>().map_err(|_| flaw());
    let (first, last) = match ports.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(ports)?, port(ports)?),
    };
    nonzero_port(first)?;
    if last < first {
        return Err(Flaw::new(format!("the ports run backwards: {first} is above {last}")));
    }
    Ok(PortSpec { protocol, ports: first..=last })
});
