//! LAN, WAN and gateway.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::ops::RangeInclusive;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::Serialize;

/// The network of the nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lan {
    /// The interface that carries it.
    pub interface: String,
    /// The ports of the bridge; empty where the interface exists already.
    pub members: Vec<String>,
    /// The bastion's address with the prefix of the network.
    pub address: Ipv4Net,
    /// The bastion's IPv6 address, where IPv6 is used.
    pub address6: Option<Ipv6Net>,
    /// Where `api`, `api-int` and `*.apps` point; the bastion's own address unless set.
    pub vip: Ipv4Addr,
    /// Addresses for dynamic leases.
    pub pool: Option<Ipv4Range>,
    /// Whether the gateway builds interface, addresses and routes itself (appliance).
    pub manage: bool,
}

impl Lan {
    /// The network's prefix, host bits cleared.
    pub fn prefix(&self) -> Ipv4Net {
        self.address.trunc()
    }
}

/// An inclusive range of IPv4 addresses: `192.168.8.128-192.168.8.250`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Ipv4Range {
    /// The lowest address.
    pub first: Ipv4Addr,
    /// The highest address; never below `first`.
    pub last: Ipv4Addr,
}

impl Ipv4Range {
    /// Whether `address` lies in the range.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        (self.first..=self.last).contains(&address)
    }

    /// How many addresses the range holds.
    pub fn len(self) -> usize {
        (u32::from(self.last) - u32::from(self.first)) as usize + 1
    }

    /// Never: a range holds at least one address.
    pub fn is_empty(self) -> bool {
        false
    }

    /// Every address, from the lowest.
    pub fn addresses(self) -> impl DoubleEndedIterator<Item = Ipv4Addr> {
        (u32::from(self.first)..=u32::from(self.last)).map(Ipv4Addr::from)
    }
}

/// The uplink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wan {
    /// Its interface.
    pub interface: String,
    /// How it gets its address.
    pub address: WanAddress,
}

/// How the uplink gets its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WanAddress {
    /// From the network it is plugged into.
    Dhcp,
    /// A fixed one.
    Static(IpNet),
}

/// How packets cross between the sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GatewayMode {
    /// Only the WAN address is reachable.
    Pat,
    /// Hosts outside may route to what is published.
    Nat,
    /// No forwarding.
    Off,
}

/// What `gateway.allow` may open to the WAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is the service of that name")]
pub enum Published {
    Ssh,
    Console,
    Api,
    Ingress,
    Dns,
    Ntp,
    Tang,
    Http,
}

/// Routing, NAT and firewall.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gateway {
    /// Whether the daemon runs here.
    pub enable: bool,
    /// Who does it instead.
    pub external: Option<IpAddr>,
    /// How packets cross.
    pub mode: GatewayMode,
    /// What is open to the WAN.
    pub allow: Vec<Published>,
    /// Who on the WAN may reach ssh and console.
    pub admins: Vec<IpNet>,
    /// WAN ports that lead to a LAN address.
    pub forwards: Vec<Forward>,
    /// What the LAN may open towards the WAN; empty: anything.
    pub egress: Vec<Egress>,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "well known")]
pub enum Transport {
    Tcp,
    Udp,
}

/// One WAN port that leads to a LAN address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Forward {
    /// What it is called in listings.
    pub name: String,
    /// Its transport.
    pub protocol: Transport,
    /// The WAN port.
    pub port: u16,
    /// Where it leads.
    pub to: SocketAddrV4,
    /// Who may use it; empty: anyone.
    pub from: Vec<IpNet>,
}

/// Destinations that the LAN may reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Egress {
    /// Prefixes.
    pub to: Vec<IpNet>,
    /// Ports; empty: all.
    pub ports: Vec<PortSpec>,
}

/// A port or a range of ports of one transport: `tcp/443`, `udp/1000-2000`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PortSpec {
    /// Transport.
    pub protocol: Transport,
    /// Ports, inclusive.
    pub ports: RangeInclusive<u16>,
}
