//! Who asks, and over what.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

/// How a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A datagram.
    Udp,
    /// A stream in the clear (RFC 7766).
    Tcp,
    /// DNS over TLS (RFC 7858).
    Tls,
    /// DNS over HTTPS (RFC 8484).
    Https,
    /// DNS over QUIC (RFC 9250).
    Quic,
    /// The admin socket of this daemon.
    Admin,
}

impl Transport {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] = [Self::Udp, Self::Tcp, Self::Tls, Self::Https, Self::Quic, Self::Admin];

    /// Its name in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Https => "https",
            Self::Quic => "quic",
            Self::Admin => "admin",
        }
    }

    /// Whether nobody on the way can read along; replies are padded then (RFC 8467).
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::Https | Self::Quic)
    }
}

/// Whoever sent a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Where it says it is. Over UDP nobody vouches for that.
    pub address: SocketAddr,
    /// The address of this host that it asked, and that answers it.
    pub local: IpAddr,
    /// How it asked.
    pub transport: Transport,
}

impl Client {
    /// This daemon itself.
    pub fn admin() -> Self {
        let address = IpAddr::V6(Ipv6Addr::LOCALHOST);
        Self { address: SocketAddr::new(address, 0), local: address, transport: Transport::Admin }
    }
}

/// Who may have what: the site's networks and this host everything, the others what is ours to tell.
#[derive(Clone, Debug)]
pub struct Access {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Access {
    /// `prefixes` are the site's networks.
    pub fn new(prefixes: &[IpNet]) -> Self {
        let mut access = Self { v4: Vec::new(), v6: Vec::new() };
        for prefix in prefixes {
            match prefix {
                IpNet::V4(net) => access.v4.push((net.network().into(), net.netmask().into())),
                IpNet::V6(net) => access.v6.push((net.network().into(), net.netmask().into())),
            }
        }
        access
    }

    /// Whether `address` belongs to the site: such clients may have names of the rest of the world looked up, and are
    /// not limited.
    #[inline]
    pub fn is_of_site(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => {
                let bits = u32::from(address);
                address.is_loopback() || self.v4.iter().any(|(network, mask)| bits & mask == *network)
            }
            IpAddr::V6(address) => match address.to_ipv4_mapped() {
                Some(address) => self.is_of_site(address.into()),
                None => {
                    let bits = u128::from(address);
                    address.is_loopback() || self.v6.iter().any(|(network, mask)| bits & mask == *network)
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_site_ends_at_its_prefixes() {
        let access = Access::new(&["192.168.8.0/22".parse().unwrap(), "fd08::/64".parse().unwrap()]);
        for inside in ["192.168.8.0", "192.168.11.255", "fd08::1", "127.0.0.9", "::1", "::ffff:192.168.9.9"] {
            assert!(access.is_of_site(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["192.168.7.255", "192.168.12.0", "fd08:0:0:1::1", "198.51.100.1", "::ffff:10.0.0.1"] {
            assert!(!access.is_of_site(outside.parse().unwrap()), "{outside}");
        }
    }
}
