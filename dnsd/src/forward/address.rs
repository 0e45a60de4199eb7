//! Addresses that an answer from a public server has no business to hold: a page from outside that is given
//! one of them reaches inside ("DNS rebinding").

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether `address` is private (RFC 1918, RFC 4193), loopback, link-local, or "this host"; also when it is an
/// IPv4 address in IPv6 clothes: mapped, compatible, NAT64 (RFC 6052) or 6to4 (RFC 3056).
pub fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => is_private_v6(address),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    address.is_private() || address.is_loopback() || address.is_link_local() || address.octets()[0] == 0
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let s = address.segments();
    let tail = Ipv4Addr::from((u32::from(s[6]) << 16) | u32::from(s[7]));
    match s {
        // ::, ::1, and IPv4-compatible addresses.
        [0, 0, 0, 0, 0, 0, ..] => is_private_v4(tail),
        [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => is_private_v4(tail),
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => is_private_v4(tail),
        [0x2002, high, low, ..] => is_private_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))),
        _ => s[0] & 0xfe00 == 0xfc00 || s[0] & 0xffc0 == 0xfe80 || s[0] & 0xffc0 == 0xfec0,
    }
}

/// Whether a record of type `kind` with `rdata` leads to such an address: A, AAAA, and the hints of SVCB and
/// HTTPS (RFC 9460 section 7.3).
pub fn leads_inside(kind: u16, rdata: &[u8]) -> bool {
    use crate::protocol::code::kind::{A, AAAA, HTTPS, SVCB};
    match kind {
        A => v4(rdata).is_some_and(is_private_v4),
        AAAA => v6(rdata).is_some_and(is_private_v6),
        SVCB | HTTPS => hints(rdata).any(is_private),
        _ => false,
    }
}

fn v4(octets: &[u8]) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?))
}

fn v6(octets: &[u8]) -> Option<Ipv6Addr> {
    Some(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?))
}

/// The address hints of a service binding; what cannot be read holds none.
fn hints(rdata: &[u8]) -> impl Iterator<Item = IpAddr> {
    const IPV4_HINT: u16 = 4;
    const IPV6_HINT: u16 = 6;
    let mut rest = rdata
        .get(2..)
        .and_then(|name| name.get(crate::protocol::name::wire_len(name).ok()?..))
        .unwrap_or_default();
    let mut addresses = Vec::new();
    while let Some((head, tail)) = rest.split_first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let Some((value, tail)) = tail.split_at_checked(length) else { break };
        match u16::from_be_bytes([head[0], head[1]]) {
            IPV4_HINT => addresses.extend(value.chunks_exact(4).filter_map(v4).map(IpAddr::V4)),
            IPV6_HINT => addresses.extend(value.chunks_exact(16).filter_map(v6).map(IpAddr::V6)),
            _ => {}
        }
        rest = tail;
    }
    addresses.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inside_is_inside_in_any_clothes() {
        for inside in [
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.8.1",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "0.0.0.0",
            "::",
            "::1",
            "fe80::1",
            "fd08::1",
            "fc00::1",
            "fec0::1",
            "::ffff:192.168.8.1",
            "::192.168.8.1",
            "64:ff9b::10.0.0.1",
            "2002:c0a8:0801::1",
            "::ffff:0:10.0.0.1",
        ] {
            assert!(is_private(inside.parse().unwrap()), "{inside}");
        }
        for outside in [
            "9.9.9.9",
            "172.32.0.1",
            "172.15.0.1",
            "192.169.0.1",
            "2620:fe::fe",
            "::ffff:9.9.9.9",
            "64:ff9b::909:909",
            "2002:909:909::1",
            "100.64.0.1",
            "11.0.0.1",
        ] {
            assert!(!is_private(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn hints_of_service_bindings_count() {
        use crate::protocol::code::kind::HTTPS;
        let public = b"\x00\x01\x00\x00\x01\x00\x03\x02h2\x00\x04\x00\x04\x09\x09\x09\x09";
        let private = b"\x00\x01\x00\x00\x04\x00\x08\x09\x09\x09\x09\x0a\x00\x00\x01";
        let private6 =
            b"\x00\x01\x00\x00\x06\x00\x10\xfd\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01";
        assert!(!leads_inside(HTTPS, public));
        assert!(leads_inside(HTTPS, private));
        assert!(leads_inside(HTTPS, private6));
        for length in 0..private.len() {
            leads_inside(HTTPS, &private[..length]);
        }
    }
}
