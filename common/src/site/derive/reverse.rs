//! The reverse zones of the LAN's prefixes.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::Serialize;

use crate::site::Site;

/// A reverse zone that this site answers for.
///
/// Zones are cut where the DNS can cut them: at octets for IPv4, at nibbles for IPv6. A prefix between two cuts
/// makes several zones (a /22 has four). An IPv4 prefix longer than /24 lies inside one zone of /24: that zone is
/// [partial](Self::partial), and names in it outside [`prefix`](Self::prefix) are not this site's to deny. The
/// classless names of RFC 2317 would serve only where the parent's owner has put CNAMEs to them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReverseZone {
    /// The absolute name with its trailing dot: `8.168.192.in-addr.arpa.`.
    pub origin: String,
    /// The addresses in it that are this site's.
    pub prefix: IpNet,
    /// Whether the zone also covers addresses that are not this site's.
    pub partial: bool,
}

impl Site {
    /// The reverse zones of the LAN's prefixes.
    pub fn reverse_zones(&self) -> Vec<ReverseZone> {
        let mut zones = of_ipv4(self.lan.prefix());
        zones.extend(self.lan.address6.iter().flat_map(|net| of_ipv6(net.trunc())));
        zones
    }
}

/// The owner of `address`'s PTR record: `11.8.168.192.in-addr.arpa.`.
pub fn pointer_owner(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa.")
        }
        IpAddr::V6(v6) => nibbles(v6, 32),
    }
}

fn of_ipv4(prefix: Ipv4Net) -> Vec<ReverseZone> {
    let cut = match prefix.prefix_len() {
        0..=8 => 8,
        9..=16 => 16,
        _ => 24,
    };
    let origin = |net: Ipv4Net| {
        let octets = net.network().octets();
        let kept = octets[..usize::from(cut / 8)].iter().rev().map(u8::to_string).collect::<Vec<_>>();
        format!("{}.in-addr.arpa.", kept.join("."))
    };
    match prefix.subnets(cut) {
        Ok(subnets) => subnets
            .map(|net| ReverseZone { origin: origin(net), prefix: net.into(), partial: false })
            .collect(),
        // The prefix is longer than the cut.
        Err(_) => vec![ReverseZone { origin: origin(prefix), prefix: prefix.into(), partial: true }],
    }
}

fn of_ipv6(prefix: Ipv6Net) -> Vec<ReverseZone> {
    let cut = prefix.prefix_len().div_ceil(4).max(1) * 4;
    let zone = |net: Ipv6Net| ReverseZone {
        origin: nibbles(net.network(), usize::from(cut / 4)),
        prefix: net.into(),
        partial: false,
    };
    prefix.subnets(cut).map(|subnets| subnets.map(zone).collect()).unwrap_or_default()
}

fn nibbles(address: Ipv6Addr, count: usize) -> String {
    let all: Vec<String> = address
        .octets()
        .iter()
        .flat_map(|octet| [octet >> 4, octet & 15])
        .map(|n| format!("{n:x}"))
        .collect();
    let kept: Vec<&str> = all[..count.min(32)].iter().rev().map(String::as_str).collect();
    format!("{}.ip6.arpa.", kept.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(prefix: &str) -> Vec<(String, bool)> {
        let zones = match prefix.parse().unwrap() {
            IpNet::V4(net) => of_ipv4(net),
            IpNet::V6(net) => of_ipv6(net),
        };
        zones.into_iter().map(|zone| (zone.origin, zone.partial)).collect()
    }

    #[test]
    fn zones_are_cut_where_the_dns_can_cut_them() {
        let zone = |origin: &str, partial| (origin.to_owned(), partial);
        assert_eq!(origins("192.168.8.0/24"), [zone("8.168.192.in-addr.arpa.", false)]);
        assert_eq!(
            origins("192.168.8.0/23"),
            [zone("8.168.192.in-addr.arpa.", false), zone("9.168.192.in-addr.arpa.", false)]
        );
        assert_eq!(origins("192.168.8.128/26"), [zone("8.168.192.in-addr.arpa.", true)]);
        assert_eq!(origins("10.20.0.0/16"), [zone("20.10.in-addr.arpa.", false)]);
        assert_eq!(origins("10.0.0.0/8"), [zone("10.in-addr.arpa.", false)]);
        assert_eq!(origins("10.0.0.0/20").len(), 16);
        assert_eq!(origins("fd08::/64"), [zone("0.0.0.0.0.0.0.0.0.0.0.0.8.0.d.f.ip6.arpa.", false)]);
        assert_eq!(origins("fd08::/62").len(), 4);
    }

    #[test]
    fn pointers_are_owned_by_the_address_backwards() {
        assert_eq!(pointer_owner("192.168.8.11".parse().unwrap()), "11.8.168.192.in-addr.arpa.");
        let owner = pointer_owner("fd08::11".parse().unwrap());
        assert!(owner.starts_with("1.1.0.0.") && owner.ends_with(".8.0.d.f.ip6.arpa."), "{owner}");
    }
}
