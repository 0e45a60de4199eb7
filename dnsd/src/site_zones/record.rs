//! Records that the site's zones are made of, put together from their parts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::protocol::code::kind;
use crate::protocol::name::Name;
use crate::zone::Record;

/// How long others may keep a record of the site: long enough to spare questions, short enough for a changed
/// site file to be believed within minutes.
pub const TTL_SECS: u32 = 300;
/// How long others may keep the name of a dynamic lease. The same for every lease, so that a renewal changes nothing.
pub const LEASE_TTL_SECS: u32 = 60;
/// How long others may keep that something does not exist (RFC 2308 section 5): a node that is asked for before it
/// stands in the site file must not stay unknown for hours.
pub const NEGATIVE_TTL_SECS: u32 = 120;

/// What a start of authority says besides its names and serial, in seconds (RFC 1035 section 3.3.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// How often secondaries look.
    pub refresh: u32,
    /// How soon they look again where that failed.
    pub retry: u32,
    /// How long they answer without us.
    pub expire: u32,
    /// The negative TTL.
    pub minimum: u32,
    /// The TTL of the apex records themselves.
    pub ttl: u32,
}

/// The site's own zones.
pub const SITE_TIMERS: Timers =
    Timers { refresh: 3600, retry: 600, expire: 604_800, minimum: NEGATIVE_TTL_SECS, ttl: TTL_SECS };
/// Zones of names that nobody has (RFC 6303 section 3).
pub const EMPTY_TIMERS: Timers =
    Timers { refresh: 3600, retry: 1200, expire: 604_800, minimum: 10_800, ttl: 10_800 };

/// An A or an AAAA record.
pub fn address(owner: &Name, address: IpAddr, ttl: u32) -> Record {
    match address {
        IpAddr::V4(v4) => record(owner, kind::A, ttl, v4.octets().to_vec()),
        IpAddr::V6(v6) => record(owner, kind::AAAA, ttl, v6.octets().to_vec()),
    }
}

/// A PTR record.
pub fn pointer(owner: &Name, target: &Name, ttl: u32) -> Record {
    record(owner, kind::PTR, ttl, target.as_wire().to_vec())
}

/// An NS record.
pub fn name_server(owner: &Name, target: &Name, ttl: u32) -> Record {
    record(owner, kind::NS, ttl, target.as_wire().to_vec())
}

/// An SOA record.
pub fn authority(owner: &Name, server: &Name, mailbox: &Name, serial: u32, timers: Timers) -> Record {
    let mut rdata = [server.as_wire(), mailbox.as_wire()].concat();
    for number in [serial, timers.refresh, timers.retry, timers.expire, timers.minimum] {
        rdata.extend(number.to_be_bytes());
    }
    record(owner, kind::SOA, timers.ttl, rdata)
}

/// An SRV record (RFC 2782).
pub fn service(owner: &Name, priority: u16, weight: u16, port: u16, target: &Name, ttl: u32) -> Record {
    let mut rdata = Vec::new();
    for number in [priority, weight, port] {
        rdata.extend(number.to_be_bytes());
    }
    rdata.extend_from_slice(target.as_wire());
    record(owner, kind::SRV, ttl, rdata)
}

/// The same SOA record with another serial; any other record as it is.
pub fn with_serial(soa: &Record, serial: u32) -> Record {
    let mut rdata = soa.rdata.to_vec();
    if soa.kind == kind::SOA
        && let Some(at) = rdata.len().checked_sub(SOA_NUMBERS)
    {
        rdata[at..at + 4].copy_from_slice(&serial.to_be_bytes());
    }
    Record { rdata: rdata.into(), ..soa.clone() }
}

/// Serial, refresh, retry, expire and minimum: the end of an SOA's data.
const SOA_NUMBERS: usize = 20;

/// A service binding under construction (RFC 9460 section 2.2). Parameters are written in the order of their keys.
#[derive(Clone, Debug)]
pub struct Binding {
    /// The rank; never 0, which would be an alias.
    pub priority: u16,
    /// Who serves.
    pub target: Name,
    /// The protocol's identifier (ALPN).
    pub alpn: &'static str,
    /// Its port.
    pub port: u16,
    /// IPv4 addresses of the target.
    pub hints4: Vec<Ipv4Addr>,
    /// IPv6 addresses of the target.
    pub hints6: Vec<Ipv6Addr>,
    /// The URI template of DNS over HTTPS (RFC 9461 section 5).
    pub path: Option<&'static str>,
}

impl Binding {
    /// The SVCB record of `owner`.
    pub fn record(&self, owner: &Name, ttl: u32) -> Record {
        let mut rdata = self.priority.to_be_bytes().to_vec();
        rdata.extend_from_slice(self.target.as_wire());
        let mut parameter = |key: u16, value: &[u8]| {
            rdata.extend(key.to_be_bytes());
            rdata.extend((value.len() as u16).to_be_bytes());
            rdata.extend_from_slice(value);
        };
        parameter(1, &[&[self.alpn.len() as u8], self.alpn.as_bytes()].concat());
        parameter(3, &self.port.to_be_bytes());
        if !self.hints4.is_empty() {
            parameter(4, &self.hints4.iter().flat_map(Ipv4Addr::octets).collect::<Vec<u8>>());
        }
        if !self.hints6.is_empty() {
            parameter(6, &self.hints6.iter().flat_map(Ipv6Addr::octets).collect::<Vec<u8>>());
        }
        if let Some(path) = self.path {
            parameter(7, path.as_bytes());
        }
        record(owner, kind::SVCB, ttl, rdata)
    }
}

fn record(owner: &Name, kind: u16, ttl: u32, rdata: Vec<u8>) -> Record {
    Record { owner: owner.clone(), kind, ttl, rdata: rdata.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn only_the_serial_of_an_soa_changes() {
        let zone = name("example.");
        let old = authority(&zone, &name("ns.example."), &name("hostmaster.example."), 7, SITE_TIMERS);
        let new = with_serial(&old, 0x0102_0304);
        let at = old.rdata.len() - SOA_NUMBERS;
        assert_eq!(new.rdata[at..at + 4], [1, 2, 3, 4]);
        assert_eq!((&old.rdata[..at], &old.rdata[at + 4..]), (&new.rdata[..at], &new.rdata[at + 4..]));
        let other = pointer(&zone, &zone, 1);
        assert_eq!(with_serial(&other, 9).rdata, other.rdata);
    }

    #[test]
    fn a_binding_has_its_parameters_in_the_order_of_their_keys() {
        let binding = Binding {
            priority: 1,
            target: name("a."),
            alpn: "h2",
            port: 443,
            hints4: vec![Ipv4Addr::new(192, 0, 2, 1)],
            hints6: Vec::new(),
            path: Some("/q"),
        };
        let expected = [
            &[0, 1, 1, b'a', 0][..],
            &[0, 1, 0, 3, 2, b'h', b'2'],
            &[0, 3, 0, 2, 1, 187],
            &[0, 4, 0, 4, 192, 0, 2, 1],
            &[0, 7, 0, 2, b'/', b'q'],
        ]
        .concat();
        assert_eq!(*binding.record(&name("_dns.resolver.arpa."), 1).rdata, *expected);
    }
}
