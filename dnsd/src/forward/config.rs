//! What the site file says about forwarding, proven.

use std::net::{IpAddr, SocketAddr};

use faros_common::site::Dns;
use rustls::pki_types::ServerName;

use crate::protocol::name::{Name, NameError};

/// Where name servers listen (RFC 1035 section 4.2).
const DNS_PORT: u16 = 53;

/// An upstream server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its address.
    pub address: SocketAddr,
    /// The name in its certificate, for DNS over TLS; `None` for UDP and TCP.
    pub tls_name: Option<String>,
}

/// Settings of forwarding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForwardConfig {
    /// The upstreams of everything that is not conditional.
    pub public: Vec<Server>,
    /// Zones with upstreams of their own. They are not validated: such zones are seldom in the public tree.
    pub conditional: Vec<(Name, Vec<Server>)>,
    /// Names whose answers may hold private addresses although public servers give them.
    pub private: Vec<Name>,
    /// Names kept answerable.
    pub pins: Vec<Name>,
    /// Whether answers are validated (RFC 4035).
    pub validate: bool,
    /// Zones that are not validated (RFC 7646).
    pub negative_trust_anchors: Vec<Name>,
}

impl ForwardConfig {
    /// Out of the site file's `[dns]`.
    ///
    /// # Errors
    /// What is wrong, in words for the operator.
    pub fn of(dns: &Dns) -> Result<Self, String> {
        let names = |key: &str, names: &[String]| -> Result<Vec<Name>, String> {
            names.iter().map(|text| name(key, text)).collect()
        };
        let servers = |servers: &[faros_common::site::DnsUpstream]| -> Result<Vec<Server>, String> {
            servers.iter().map(|server| proven(server.address, server.tls_name.as_deref())).collect()
        };
        let conditional = dns
            .conditional
            .iter()
            .map(|zone| Ok((name("dns.conditional.zone", &zone.zone)?, servers(&zone.forward)?)))
            .collect::<Result<_, String>>()?;
        Ok(Self {
            public: servers(&dns.forward)?,
            conditional,
            private: names("dns.private", &dns.private)?,
            pins: names("dns.pin", &dns.pin)?,
            validate: dns.validate,
            negative_trust_anchors: names("dns.negative-trust-anchors", &dns.negative_trust_anchors)?,
        })
    }
}

impl ForwardConfig {
    /// The same, with the servers of zones that ours delegate. What the site file says of a zone goes first.
    #[must_use]
    pub fn with_delegations(mut self, delegations: Vec<(Name, Vec<IpAddr>)>) -> Self {
        for (zone, addresses) in delegations {
            if self.conditional.iter().all(|(known, _)| *known != zone) {
                let servers = addresses.into_iter().map(|address| (address, DNS_PORT).into());
                let servers = servers.map(|address| Server { address, tls_name: None }).collect();
                self.conditional.push((zone, servers));
            }
        }
        self
    }
}

fn name(key: &str, text: &str) -> Result<Name, String> {
    Name::parse(text).map_err(|error: NameError| format!("{key}: {text:?} is no domain name: {error}"))
}

fn proven(address: SocketAddr, tls_name: Option<&str>) -> Result<Server, String> {
    if let Some(name) = tls_name {
        ServerName::try_from(name)
            .map_err(|_| format!("dns forward: {name:?} is no name that a certificate can hold"))?;
    }
    Ok(Server { address, tls_name: tls_name.map(str::to_owned) })
}
