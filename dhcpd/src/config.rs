//! Our part of the site file: who gets which address, and what everybody is told.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use faros_common::site::{DhcpOption, Diagnostic, GatewayMode, Ipv4Range, Mac, OwnerKind, Severity, Site};
use ipnet::{Ipv4Net, Ipv6Net};

use crate::code;
use crate::uuid::Uuid;

/// The shortest lease that a client can wish for: below, it gets this much, or the site's own lease time where
/// that is shorter.
pub const LEASE_MIN: Duration = Duration::from_secs(60);

/// The largest pool in addresses; the table of leases is kept in memory.
pub const POOL_ADDRESSES_MAX: usize = 1 << 20;

/// The port of DHCP servers.
const SERVER_PORT: u16 = 67;

/// Options that are the protocol's own; the site file cannot set them.
const PROTOCOL_OPTIONS: [u8; 10] = [
    code::PAD,
    code::REQUESTED_ADDRESS,
    code::OVERLOAD,
    code::MESSAGE_TYPE,
    code::SERVER_IDENTIFIER,
    code::PARAMETER_LIST,
    code::MESSAGE,
    code::MAX_MESSAGE_SIZE,
    code::RELAY_AGENT,
    code::END,
];

/// A client that the site file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its host name, `<node>-mgmt` for a management controller.
    pub name: String,
    /// What it is.
    pub kind: OwnerKind,
    /// Its cards.
    pub macs: Vec<Mac>,
    /// Its UUID.
    pub uuid: Option<Uuid>,
    /// Its reserved address; without one it gets one from the pool.
    pub address: Option<Ipv4Addr>,
    /// Options of its own by number.
    pub options: Vec<(u8, Vec<u8>)>,
}

/// How router advertisements look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// The bastion's address in the prefix to announce, where there is one.
    pub address: Option<Ipv6Net>,
    /// Whether this host is a router for IPv6.
    pub router: bool,
    /// The resolver to announce (RFC 8106).
    pub resolver: Option<Ipv6Addr>,
    /// The search domain to announce.
    pub search: String,
}

/// Who serves boot files, as far as anybody does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootServers {
    /// The TFTP server.
    pub tftp: Option<Ipv4Addr>,
    /// Address and port of the HTTP server.
    pub http: Option<(Ipv4Addr, u16)>,
}

/// Everything that decides an answer.
#[derive(Clone, Debug)]
pub struct Config {
    /// The interface of the nodes.
    pub interface: String,
    /// The port to serve.
    pub port: u16,
    /// Addresses to which unicast requests may come.
    pub listen: Vec<Ipv4Addr>,
    /// Our address on the LAN; also the server identifier.
    pub server: Ipv4Addr,
    /// The LAN.
    pub prefix: Ipv4Net,
    /// Addresses for clients without a reserved one.
    pub pool: Option<Ipv4Range>,
    /// Addresses that are never leased, whatever the pool says.
    pub excluded: BTreeSet<Ipv4Addr>,
    /// How long a lease lasts.
    pub lease: Duration,
    /// Whether unknown addresses are refused with NAK, and rapid commit is granted.
    pub authoritative: bool,
    /// Cards that are never answered.
    pub ignore: HashSet<Mac>,
    /// Configured clients.
    pub known: Vec<Known>,
    /// Options for everybody, by number; they replace what we would say ourselves.
    pub options: Vec<(u8, Vec<u8>)>,
    /// The default router.
    pub router: Option<Ipv4Addr>,
    /// Resolvers.
    pub resolvers: Vec<Ipv4Addr>,
    /// Time servers.
    pub clocks: Vec<Ipv4Addr>,
    /// The cluster zone.
    pub zone: String,
    /// Who serves boot files.
    pub boot: BootServers,
    /// Router advertisements, unless switched off.
    pub advertisement: Option<Advertisement>,
    by_mac: HashMap<Mac, usize>,
    by_uuid: HashMap<Uuid, usize>,
    by_address: HashMap<Ipv4Addr, usize>,
}

impl Config {
    /// Our part of `site`.
    ///
    /// # Errors
    /// What only this daemon can find wrong with it.
    pub fn of_site(site: &Site) -> Result<Self, Vec<Diagnostic>> {
        let mut findings = Vec::new();
        let server = site.lan.address.addr();
        let prefix = site.lan.prefix();
        let known = known_clients(site, &mut findings);
        check_options(&site.dhcp.options, "dhcp.options", &mut findings);
        if site.lan.pool.is_some_and(|pool| pool.len() > POOL_ADDRESSES_MAX) {
            findings.push(error(
                "lan.pool",
                format!("the pool has more than {POOL_ADDRESSES_MAX} addresses"),
                "a smaller range".to_owned(),
            ));
        }
        let (port, listen) = listen(site, server, &mut findings);
        if !findings.is_empty() {
            return Err(findings);
        }

        let mut excluded = BTreeSet::from([server, site.lan.vip, prefix.network(), prefix.broadcast()]);
        excluded.extend(site.hosts.iter().map(|host| host.address));
        excluded.extend(known.iter().filter_map(|client| client.address));
        let ours = |enable: bool, external: Option<IpAddr>| match (enable, external) {
            (true, _) => Some(server),
            (false, Some(IpAddr::V4(address))) => Some(address),
            (false, _) => None,
        };
        let routes = site.gateway.enable && site.gateway.mode != GatewayMode::Off;
        let resolver = ours(site.dns.enable, site.dns.external);
        let mut config = Self {
            interface: site.lan.interface.clone(),
            port,
            listen,
            server,
            prefix,
            pool: site.lan.pool,
            excluded,
            lease: site.dhcp.lease.max(Duration::from_secs(1)),
            authoritative: site.dhcp.authoritative,
            ignore: site.dhcp.ignore.iter().copied().collect(),
            options: wire_options(&site.dhcp.options),
            router: if routes { Some(server) } else { ours(false, site.gateway.external) },
            resolvers: resolver.into_iter().collect(),
            clocks: ours(site.ntp.enable, site.ntp.external).into_iter().collect(),
            zone: site.cluster.zone(),
            boot: BootServers {
                tftp: ours(site.tftp.enable, site.tftp.external),
                http: ours(site.http.enable, site.http.external).map(|address| (address, site.http.port)),
            },
            advertisement: site.dhcp.router_advertisements.then(|| Advertisement {
                address: site.lan.address6,
                router: routes && site.lan.address6.is_some(),
                resolver: site.lan.address6.filter(|_| site.dns.enable).map(|net| net.addr()),
                search: site.cluster.zone(),
            }),
            known: Vec::new(),
            by_mac: HashMap::new(),
            by_uuid: HashMap::new(),
            by_address: HashMap::new(),
        };
        config.set_known(known);
        Ok(config)
    }

    /// Replaces the configured clients.
    pub fn set_known(&mut self, known: Vec<Known>) {
        let indexed = || known.iter().enumerate();
        self.by_mac =
            indexed().flat_map(|(i, client)| client.macs.iter().map(move |&mac| (mac, i))).collect();
        self.by_address =
            indexed().filter_map(|(i, client)| client.address.map(|address| (address, i))).collect();
        self.by_uuid = indexed()
            .filter_map(|(i, client)| client.uuid.map(|uuid| [(uuid, i), (uuid.swapped(), i)]))
            .flatten()
            .collect();
        self.excluded.extend(known.iter().filter_map(|client| client.address));
        self.known = known;
    }

    /// The configured client with this UUID, in either byte order.
    pub fn known_by_uuid(&self, uuid: Uuid) -> Option<&Known> {
        self.by_uuid.get(&uuid).map(|&index| &self.known[index])
    }

    /// The configured client with this card.
    pub fn known_by_mac(&self, mac: Mac) -> Option<&Known> {
        self.by_mac.get(&mac).map(|&index| &self.known[index])
    }

    /// The configured client with this name.
    pub fn known_by_name(&self, name: &str) -> Option<&Known> {
        self.known.iter().find(|client| client.name == name)
    }

    /// Whose address this is by reservation.
    pub fn reserved_for(&self, address: Ipv4Addr) -> Option<&Known> {
        self.by_address.get(&address).map(|&index| &self.known[index])
    }

    /// Whether `address` may be leased to anybody who comes.
    pub fn in_pool(&self, address: Ipv4Addr) -> bool {
        self.pool.is_some_and(|pool| pool.contains(address)) && !self.excluded.contains(&address)
    }

    /// A small site for tests: 192.168.8.0/24, pool .128 to .143, node `cp1` at .11.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let server = Ipv4Addr::new(192, 168, 8, 1);
        let mut config = Self {
            interface: "lan0".into(),
            port: 67,
            listen: vec![server],
            server,
            prefix: "192.168.8.0/24".parse().unwrap(),
            pool: Some(Ipv4Range {
                first: Ipv4Addr::new(192, 168, 8, 128),
                last: Ipv4Addr::new(192, 168, 8, 143),
            }),
            excluded: BTreeSet::from([server, Ipv4Addr::new(192, 168, 8, 2)]),
            lease: Duration::from_secs(3600),
            authoritative: true,
            ignore: HashSet::from([Mac([0x52, 0x54, 0, 0, 0, 0x99])]),
            known: Vec::new(),
            options: Vec::new(),
            router: Some(server),
            resolvers: vec![server],
            clocks: vec![server],
            zone: "edge.example.com".into(),
            boot: BootServers { tftp: Some(server), http: Some((server, 8080)) },
            advertisement: None,
            by_mac: HashMap::new(),
            by_uuid: HashMap::new(),
            by_address: HashMap::new(),
        };
        config.set_known(vec![Known {
            name: "cp1".into(),
            kind: OwnerKind::Node,
            macs: vec![Mac([0x52, 0x54, 0, 0, 8, 0x11]), Mac([0x52, 0x54, 0, 0, 8, 0x21])],
            uuid: Uuid::parse("4e420000-0000-4000-8000-000000000011"),
            address: Some(Ipv4Addr::new(192, 168, 8, 11)),
            options: Vec::new(),
        }]);
        config
    }
}

/// Every machine that DHCP can tell by card or UUID.
fn known_clients(site: &Site, findings: &mut Vec<Diagnostic>) -> Vec<Known> {
    let known = site.reservations().into_iter().map(|reservation| {
        check_options(&reservation.options, &format!("options of {}", reservation.name), findings);
        let uuid = reservation.uuid.as_deref().and_then(Uuid::parse);
        if reservation.uuid.is_some() && uuid.is_none() {
            findings.push(error(
                &format!("uuid of {}", reservation.name),
                "not a UUID that names one machine".to_owned(),
                "as dmidecode prints it: 4e420000-0000-4000-8000-000000000011".to_owned(),
            ));
        }
        Known {
            kind: reservation.kind,
            macs: reservation.macs,
            uuid,
            address: reservation.address,
            options: wire_options(&reservation.options),
            name: reservation.name,
        }
    });
    known.collect()
}

fn wire_options(options: &[DhcpOption]) -> Vec<(u8, Vec<u8>)> {
    options.iter().map(|option| (option.code, option.value.clone())).collect()
}

fn check_options(options: &[DhcpOption], key: &str, findings: &mut Vec<Diagnostic>) {
    for option in options.iter().filter(|option| PROTOCOL_OPTIONS.contains(&option.code)) {
        findings.push(error(
            key,
            format!("option {} is the protocol's own and cannot be set", option.code),
            "remove it".to_owned(),
        ));
    }
}

/// One port for all addresses: requests come as broadcasts, which belong to no address.
fn listen(site: &Site, server: Ipv4Addr, findings: &mut Vec<Diagnostic>) -> (u16, Vec<Ipv4Addr>) {
    let mut addresses = Vec::new();
    let mut ports = BTreeSet::new();
    for listen in &site.dhcp.listen {
        ports.insert(listen.port());
        match listen {
            SocketAddr::V4(v4) => addresses.push(*v4.ip()),
            SocketAddr::V6(_) => findings.push(error(
                "dhcp.listen",
                "DHCP is IPv4 only".to_owned(),
                format!("\"{server}:{SERVER_PORT}\""),
            )),
        }
    }
    if ports.len() > 1 {
        findings.push(error(
            "dhcp.listen",
            "all addresses must have the same port".to_owned(),
            format!("\"{server}:{SERVER_PORT}\""),
        ));
    }
    if addresses.is_empty() || addresses.contains(&Ipv4Addr::UNSPECIFIED) {
        addresses = vec![server];
    }
    (ports.first().copied().unwrap_or(SERVER_PORT), addresses)
}

fn error(key: &str, message: String, help: String) -> Diagnostic {
    Diagnostic { severity: Severity::Error, place: None, key: key.to_owned(), message, help: Some(help) }
}
