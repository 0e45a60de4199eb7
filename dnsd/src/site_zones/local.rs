//! Zones that every name server answers by itself and never asks the world about: private and special addresses
//! backwards, and names that exist for nobody or for this host only.
//!
//! | Names | Source |
//! |---|---|
//! | private IPv4 backwards, this network, loopback, link-local, documentation, broadcast | RFC 6303 sections 4.1 and 4.2 |
//! | IPv6 unspecified, loopback, unique local, link-local, documentation backwards | RFC 6303 sections 4.3 to 4.6 |
//! | shared address space backwards | RFC 7793 |
//! | `localhost.` and all below it: the loopback addresses | RFC 6761 section 6.3 |
//! | `invalid.`, `test.` | RFC 6761 sections 6.2 and 6.4 |
//! | `onion.` | RFC 7686 |
//! | `home.arpa.` | RFC 8375 |
//! | `resolver.arpa.` | RFC 9462 section 6.4; see [`discovery`](super::discovery) |
//! | `empty.as112.arpa.` | RFC 7535 |
//!
//! A `[[dns.conditional]]` zone that is one of these, or holds it, takes its place; one inside is cut out of it.
//! `.local` is not among them: sites that use it for a directory expect their servers to be asked.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::record::{self, EMPTY_TIMERS};
use crate::protocol::name::{Name, NameError};
use crate::zone::Record;

/// The serial of these zones: their content never changes (RFC 6303 section 3).
pub const SERIAL: u32 = 1;

/// The origins of all local zones.
pub fn origins() -> Vec<String> {
    let mut origins: Vec<String> = [
        // RFC 6303 section 4.1, without 172.16/12 and with what follows below.
        "10.in-addr.arpa.",
        "168.192.in-addr.arpa.",
        // Section 4.2.
        "0.in-addr.arpa.",
        LOOPBACK4,
        "254.169.in-addr.arpa.",
        "2.0.192.in-addr.arpa.",
        "100.51.198.in-addr.arpa.",
        "113.0.203.in-addr.arpa.",
        "255.255.255.255.in-addr.arpa.",
        // Section 4.4 to 4.6.
        "d.f.ip6.arpa.",
        "8.e.f.ip6.arpa.",
        "9.e.f.ip6.arpa.",
        "a.e.f.ip6.arpa.",
        "b.e.f.ip6.arpa.",
        "8.b.d.0.1.0.0.2.ip6.arpa.",
        // Names.
        LOCALHOST,
        "invalid.",
        "test.",
        "onion.",
        "home.arpa.",
        "resolver.arpa.",
        "empty.as112.arpa.",
    ]
    .map(str::to_owned)
    .to_vec();
    origins.extend((16..32).map(|octet| format!("{octet}.172.in-addr.arpa.")));
    // 100.64/10, RFC 7793.
    origins.extend((64..128).map(|octet| format!("{octet}.100.in-addr.arpa.")));
    // Section 4.3.
    let zeros = |count| "0.".repeat(count);
    origins.push(format!("{}ip6.arpa.", zeros(32)));
    origins.push(loopback6());
    origins
}

/// The records of the local zone `origin`: apex records as RFC 6303 section 3 wants them, and for the loopback
/// what everybody expects.
///
/// # Errors
/// Never for one of [`origins`].
pub fn records(origin: &Name) -> Result<Vec<Record>, NameError> {
    let nobody = Name::parse("nobody.invalid.")?;
    let ttl = EMPTY_TIMERS.ttl;
    let mut records = vec![
        record::authority(origin, origin, &nobody, SERIAL, EMPTY_TIMERS),
        record::name_server(origin, origin, ttl),
    ];
    let localhost = Name::parse(LOCALHOST)?;
    if *origin == localhost {
        for owner in [localhost.clone(), localhost.prepend(b"*")?] {
            records.push(record::address(&owner, Ipv4Addr::LOCALHOST.into(), ttl));
            records.push(record::address(&owner, Ipv6Addr::LOCALHOST.into(), ttl));
        }
    } else if *origin == Name::parse(LOOPBACK4)? {
        records.push(record::pointer(&Name::parse("1.0.0.127.in-addr.arpa.")?, &localhost, ttl));
    } else if *origin == Name::parse(&loopback6())? {
        records.push(record::pointer(origin, &localhost, ttl));
    }
    Ok(records)
}

const LOCALHOST: &str = "localhost.";
const LOOPBACK4: &str = "127.in-addr.arpa.";

fn loopback6() -> String {
    format!("1.{}ip6.arpa.", "0.".repeat(31))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zone::{Zone, ZoneSource};

    #[test]
    fn every_local_zone_compiles_and_stands_once() {
        let mut seen = std::collections::BTreeSet::new();
        for origin in origins() {
            let origin = Name::parse(&origin).unwrap();
            let records = records(&origin).unwrap();
            let source = ZoneSource { origin: origin.clone(), records };
            let zone = Zone::compile(&source).unwrap_or_else(|errors| panic!("{origin}: {errors:?}"));
            assert_eq!(zone.serial(), SERIAL);
            assert!(seen.insert(origin.clone()), "{origin}");
        }
        assert_eq!(seen.len(), 22 + 16 + 64 + 2);
    }
}
