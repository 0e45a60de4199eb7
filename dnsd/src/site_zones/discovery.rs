//! How clients that know our address find our encrypted listeners (RFC 9462, RFC 9461).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use faros_common::site::Site;

use super::record::{Binding, TTL_SECS};
use crate::protocol::name::{Name, NameError};
use crate::zone::Record;

/// The URI template of DNS over HTTPS here (RFC 8484 section 3).
pub const HTTPS_PATH: &str = "/dns-query{?dns}";

/// Where encrypted questions are taken; all empty where there is no certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listeners {
    /// DNS over TLS (RFC 7858).
    pub tls: Vec<SocketAddr>,
    /// DNS over HTTPS (RFC 8484).
    pub https: Vec<SocketAddr>,
    /// DNS over QUIC (RFC 9250).
    pub quic: Vec<SocketAddr>,
}

impl Listeners {
    /// What the site file asks for; in force only while there is a certificate.
    pub fn of_site(site: &Site) -> Self {
        Self {
            tls: site.dns.tls_listen.clone(),
            https: site.dns.https_listen.clone(),
            quic: site.dns.quic_listen.clone(),
        }
    }
}

/// The bindings that name `bastion` as its own encrypted self: for `_dns.resolver.arpa.` (RFC 9462 section 4) and
/// for `_dns.bastion` (section 5). `own` are the addresses that an unspecified one stands for.
///
/// # Errors
/// Never: the owners are names.
pub(super) fn records(
    listeners: &Listeners,
    bastion: &Name,
    own: &[IpAddr],
) -> Result<(Vec<Record>, Vec<Record>), NameError> {
    let protocols: [(&'static str, &[SocketAddr], Option<&'static str>); 3] = [
        ("dot", &listeners.tls, None),
        ("doq", &listeners.quic, None),
        ("h2", &listeners.https, Some(HTTPS_PATH)),
    ];
    let mut bindings = Vec::new();
    for (alpn, listen, path) in protocols {
        let mut ports: BTreeMap<u16, Vec<IpAddr>> = BTreeMap::new();
        for socket in listen.iter().filter(|socket| !socket.ip().is_loopback()) {
            let hints = ports.entry(socket.port()).or_default();
            match socket.ip() {
                any if any.is_unspecified() => {
                    hints.extend(own.iter().filter(|own| own.is_ipv4() == any.is_ipv4()));
                }
                address => hints.push(address),
            }
        }
        for (port, hints) in ports {
            bindings.push(Binding {
                priority: bindings.len() as u16 + 1,
                target: bastion.clone(),
                alpn,
                port,
                hints4: hints
                    .iter()
                    .filter_map(|hint| if let IpAddr::V4(v4) = hint { Some(*v4) } else { None })
                    .collect(),
                hints6: hints
                    .iter()
                    .filter_map(|hint| if let IpAddr::V6(v6) = hint { Some(*v6) } else { None })
                    .collect(),
                path,
            });
        }
    }
    let of =
        |owner: Name| bindings.iter().map(|binding| binding.record(&owner, TTL_SECS)).collect::<Vec<_>>();
    Ok((of(Name::parse("_dns.resolver.arpa.")?), of(bastion.prepend(b"_dns")?)))
}
