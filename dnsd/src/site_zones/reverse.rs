//! The reverse zones of the site's prefixes.

use faros_common::site::{Site, pointer_owner};
use ipnet::IpNet;

use crate::protocol::name::{Name, NameError};

/// The apexes of the site's reverse zones.
///
/// Zones are cut where the DNS can cut them. An IPv4 prefix longer than /24 has no such place: then every address
/// of the prefix is a zone of its own, with its PTR record at the apex. What lies beside the prefix, in the same
/// /24, stays with whoever has it: a local zone where the address is private, a conditional zone, or the world.
pub(super) fn origins(site: &Site) -> Result<Vec<Name>, NameError> {
    let mut origins = Vec::new();
    for zone in site.reverse_zones() {
        match zone.prefix {
            IpNet::V4(prefix) if zone.partial => {
                // At most the 128 addresses of a /25.
                for address in prefix.subnets(32).into_iter().flatten() {
                    origins.push(Name::parse(&pointer_owner(address.addr().into()))?);
                }
            }
            _ => origins.push(Name::parse(&zone.origin)?),
        }
    }
    Ok(origins)
}
