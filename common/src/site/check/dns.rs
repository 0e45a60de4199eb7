//! DNS: whom it asks, and its own keys.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::service::{bounded, own};
use super::{cluster_zone, each};
use crate::site::build::absolute;
use crate::site::raw::{RawDns, RawSite};
use crate::site::read::{At, Findings, Spot, quoted};
use crate::site::{DnsKeyAlgorithm, DnsUpstream, Site};

/// Less holds no page of a browser.
const CACHE_MIN: u64 = 1 << 20;
/// More is a slip of the unit.
const CACHE_MAX: u64 = 64 << 30;
/// An older answer is no answer.
const STALE_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

pub(super) fn check(raw: &RawSite, found: &mut Findings) {
    let Some(dns) = &raw.dns else { return };
    let own = own(raw);
    servers(each(&dns.forward), &own, found);
    for conditional in each(&dns.conditional) {
        let forward = conditional.forward.iter().flat_map(|list| list.value.iter());
        servers(forward, &own, found);
        if conditional
            .forward
            .as_ref()
            .is_some_and(|list| list.value.is_empty() && !found.mentions(&list.spot.key))
        {
            found.error(&conditional.spot, "no server to ask for this zone").help("name one in forward");
        }
    }
    bounded(dns.stale.as_ref(), Duration::ZERO, STALE_MAX, found);
    if let Some(cache) = &dns.cache
        && !(CACHE_MIN..=CACHE_MAX).contains(&cache.value.0)
    {
        found.error(&cache.spot, format!("{} bytes are out of bounds", cache.value.0)).help("from 1M to 64G");
    }
    anchors(dns, found);
    private(raw, dns, found);
    certificate(dns, found);
    keys(dns, found);
}

/// Exceptions from a rule that does not hold are a slip, or a hope that is not met.
fn anchors(dns: &RawDns, found: &mut Findings) {
    let validates = dns.validate.as_ref().is_some_and(|validate| validate.value);
    if let Some(anchors) = dns.negative_trust_anchors.as_ref().filter(|anchors| !anchors.value.is_empty())
        && !validates
    {
        found
            .warning(&anchors.spot, "negative trust anchors have no effect while nothing is validated")
            .help("add validate = true, or take them out");
    }
}

fn private(raw: &RawSite, dns: &RawDns, found: &mut Findings) {
    let Some(zone) = cluster_zone(raw) else { return };
    for name in each(&dns.private) {
        if name.value.0 == zone || name.value.0.ends_with(&format!(".{zone}")) {
            found
                .warning(
                    &name.spot,
                    format!("{} is this site's own, where private addresses are usual", name.value.0),
                )
                .help("only zones of others need to be named");
        }
    }
}

/// A certificate without its key, and the other way round.
fn certificate(dns: &RawDns, found: &mut Findings) {
    let (given, missing) = match (&dns.certificate, &dns.certificate_key) {
        (Some(given), None) => (given, "certificate-key"),
        (None, Some(given)) => (given, "certificate"),
        _ => return,
    };
    found
        .warning(&given.spot, format!("{missing} is not set, and the usual one hardly belongs to this"))
        .help(format!("add {missing} = \"/path\""));
}

fn keys(dns: &RawDns, found: &mut Findings) {
    let mut seen: BTreeMap<&str, &Spot> = BTreeMap::new();
    for key in each(&dns.key) {
        if let Some(name) = &key.name
            && let Some(other) = seen.insert(&name.value.0, &name.spot)
        {
            found
                .error(
                    &name.spot,
                    format!("there is a key {} already ({})", quoted(&name.value.0), other.key),
                )
                .help("a name stands for one secret");
        }
        if let Some(algorithm) = key.algorithm.as_ref().filter(|at| at.value == DnsKeyAlgorithm::HmacSha1) {
            found
                .warning(&algorithm.spot, "hmac-sha1 is for old clients only")
                .help("use hmac-sha256 where the other side knows it (RFC 8945 section 6)");
        }
        let updates = key.update.as_ref().is_some_and(|update| !update.value.is_empty());
        let transfers = key.transfer.as_ref().is_some_and(|transfer| transfer.value);
        // A list that was refused is not an empty one.
        if !updates && !transfers && !found.mentions(&key.spot.path_of("update")) {
            found
                .warning(&key.spot, "the key may neither update nor transfer anything")
                .help("add update = [\"apps\"], or transfer = true");
        }
        for name in each(&key.update).filter(|name| name.value.0.contains('*')) {
            found
                .error(&name.spot, format!("{} holds a wildcard", quoted(&name.value.0)))
                .help("name what is above it: everything below is meant");
        }
        if let Some(types) = key.types.as_ref().filter(|types| types.value.is_empty())
            && !found.mentions(&types.spot.key)
        {
            found
                .error(&types.spot, "no type that the key may change")
                .help("leave the key out for the usual ones");
        }
    }
}

/// What needs the whole site: whether keys may change something that this site answers for.
pub(super) fn built(raw: &RawSite, site: &Site, found: &mut Findings) {
    let Some(dns) = &raw.dns else { return };
    let zone = format!("{}.", site.cluster.zone());
    let mut zones = vec![zone.clone()];
    zones.extend(site.reverse_zones().into_iter().map(|zone| zone.origin));
    for key in each(&dns.key) {
        for name in each(&key.update) {
            let owner = absolute(&name.value.0, &site.cluster.zone());
            let inside = zones.iter().any(|zone| owner == *zone || owner.ends_with(&format!(".{zone}")));
            if !inside {
                found
                    .error(&name.spot, format!("{owner} is in no zone of this site"))
                    .help(format!("a name below {zone}, or relative to it"));
            }
        }
    }
}

fn servers<'a>(servers: impl Iterator<Item = &'a At<DnsUpstream>>, own: &[IpAddr], found: &mut Findings) {
    let mut seen: BTreeMap<_, &Spot> = BTreeMap::new();
    for server in servers {
        let address = server.value.address;
        if own.contains(&address.ip()) || (address.ip().is_loopback() && address.port() == 53) {
            found
                .error(&server.spot, format!("{} is this name server itself", address.ip()))
                .help("name servers of the outside world");
        } else if seen.insert(address, &server.spot).is_some() {
            found.warning(&server.spot, format!("{address} is in the list already")).help("name it once");
        }
    }
}
