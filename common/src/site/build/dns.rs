//! DNS, with where it listens.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::service::{Families, listen, path};
use super::{entries, given};
use crate::site::raw::{RawDns, RawKey};
use crate::site::read::{At, OneOrMany};
use crate::site::value::{Domain, Listen};
use crate::site::{Cluster, Dns, DnsConditional, DnsKey, DnsKeyAlgorithm, DnsRecord, Lan, Site, Transport};

const DNS_PORT: u16 = 53;
/// DNS over TLS (RFC 7858 section 3.1) and over QUIC (RFC 9250 section 4.1.1).
const TLS_PORT: u16 = 853;
/// DNS over HTTPS, and where it goes when the first is taken.
const HTTPS_PORTS: [u16; 2] = [443, 8443];
const CERTIFICATE: &str = "/etc/faros/tls/dnsd.crt";
const CERTIFICATE_KEY: &str = "/etc/faros/tls/dnsd.key";
const CACHE_BYTES: u64 = 64 << 20;
/// The upper end of what RFC 8767 section 5 suggests.
const STALE: Duration = Duration::from_secs(3 * 24 * 3600);
/// What external-dns and the like write.
const KEY_TYPES: [&str; 5] = ["A", "AAAA", "CNAME", "TXT", "SRV"];

pub(super) fn dns(raw: Option<&RawDns>, lan: &Lan, cluster: &Cluster) -> Option<Dns> {
    let zone = cluster.zone();
    let record = |raw: &crate::site::raw::RawRecord| {
        Some(DnsRecord {
            name: absolute(&given(&raw.name)?.0, &zone),
            kind: given(&raw.kind)?.0,
            value: given(&raw.data)?.0,
            ttl: given(&raw.ttl),
        })
    };
    let conditional = |raw: &crate::site::raw::RawConditional| {
        Some(DnsConditional {
            zone: format!("{}.", given(&raw.zone)?.0),
            forward: raw.forward.as_ref()?.value.iter().map(|server| server.value.clone()).collect(),
        })
    };
    Some(Dns {
        enable: raw.and_then(|raw| given(&raw.enable)).unwrap_or(true),
        external: raw.and_then(|raw| given(&raw.external)),
        listen: listen(raw.and_then(|raw| raw.listen.as_ref()), DNS_PORT, lan, Families::Both),
        forward: raw.map(|raw| entries(&raw.forward, Clone::clone)).unwrap_or_default(),
        pin: raw.map(|raw| entries(&raw.pin, |name| name.0.clone())).unwrap_or_default(),
        transfer: raw.map(|raw| entries(&raw.transfer, |prefix| prefix.0)).unwrap_or_default(),
        records: match raw {
            Some(raw) => entries(&raw.record, record).into_iter().collect::<Option<_>>()?,
            None => Vec::new(),
        },
        conditional: match raw {
            Some(raw) => entries(&raw.conditional, conditional).into_iter().collect::<Option<_>>()?,
            None => Vec::new(),
        },
        query_log: raw.and_then(|raw| given(&raw.query_log)).unwrap_or(false),
        validate: raw.and_then(|raw| given(&raw.validate)).unwrap_or(false),
        negative_trust_anchors: raw
            .map(|raw| entries(&raw.negative_trust_anchors, rooted))
            .unwrap_or_default(),
        private: raw.map(|raw| entries(&raw.private, rooted)).unwrap_or_default(),
        cache_bytes: raw.and_then(|raw| given(&raw.cache)).map_or(CACHE_BYTES, |bytes| bytes.0),
        stale: raw.and_then(|raw| given(&raw.stale)).unwrap_or(STALE),
        etcd: raw.and_then(|raw| given(&raw.etcd)).unwrap_or(false),
        // What other services listen on is known only once they are built: `encrypted` adds these.
        tls_listen: Vec::new(),
        https_listen: Vec::new(),
        quic_listen: Vec::new(),
        certificate: path(raw.and_then(|raw| given(&raw.certificate)), CERTIFICATE),
        key: path(raw.and_then(|raw| given(&raw.certificate_key)), CERTIFICATE_KEY),
        keys: match raw {
            Some(raw) => entries(&raw.key, |raw| key(raw, &zone)).into_iter().collect::<Option<_>>()?,
            None => Vec::new(),
        },
    })
}

/// Where the encrypted transports listen: as the file says, or on the usual port of each plain address. A listener
/// that nobody asked for takes no port from anything else.
pub(super) fn encrypted(raw: Option<&RawDns>, site: &mut Site) {
    let said = |listen: Option<&At<OneOrMany<Listen>>>, port| {
        listen
            .map(|listen| listen.value.iter().map(|entry| entry.value.with_default(port)).collect::<Vec<_>>())
    };
    let tls = said(raw.and_then(|raw| raw.tls_listen.as_ref()), TLS_PORT);
    let https = said(raw.and_then(|raw| raw.https_listen.as_ref()), HTTPS_PORTS[0]);
    let quic = said(raw.and_then(|raw| raw.quic_listen.as_ref()), TLS_PORT);

    site.dns.tls_listen = tls.clone().unwrap_or_default();
    site.dns.https_listen = https.clone().unwrap_or_default();
    site.dns.quic_listen = quic.clone().unwrap_or_default();
    if tls.is_none() {
        site.dns.tls_listen = free(site, Transport::Tcp, &[TLS_PORT]);
    }
    if https.is_none() {
        site.dns.https_listen = free(site, Transport::Tcp, &HTTPS_PORTS);
    }
    if quic.is_none() {
        site.dns.quic_listen = free(site, Transport::Udp, &[TLS_PORT]);
    }
}

/// Each plain address with the first of `ports` that nothing of the site has there.
fn free(site: &Site, transport: Transport, ports: &[u16]) -> Vec<SocketAddr> {
    let taken = taken(site, transport);
    let is_free = |wanted: &SocketAddr| !taken.iter().any(|other| same_socket(*other, *wanted));
    let mut seen = BTreeSet::new();
    let addresses = site.dns.listen.iter().map(SocketAddr::ip).filter(|&address| seen.insert(address));
    addresses
        .filter_map(|address| ports.iter().map(|&port| SocketAddr::new(address, port)).find(is_free))
        .collect()
}

/// What the site listens on already.
fn taken(site: &Site, transport: Transport) -> Vec<SocketAddr> {
    let mut taken = Vec::new();
    let mut add = |enable: bool, listen: &[SocketAddr]| {
        if enable {
            taken.extend_from_slice(listen);
        }
    };
    add(true, &site.dns.listen);
    match transport {
        Transport::Tcp => {
            add(true, &site.dns.tls_listen);
            add(true, &site.dns.https_listen);
            add(site.http.enable, &site.http.listen);
            add(site.tang.enable, &site.tang.listen);
            add(site.tang.enable, &site.tang.tls_listen);
            add(site.console.enable, &site.console.listen);
            for frontend in &site.lb.frontends {
                add(site.lb.enable, &frontend.listen);
            }
        }
        Transport::Udp => {
            add(true, &site.dns.quic_listen);
            add(site.dhcp.enable, &site.dhcp.listen);
            add(site.tftp.enable, &site.tftp.listen);
            add(site.ntp.enable, &site.ntp.listen);
        }
    }
    taken
}

/// Whether two listeners of one transport cannot both be: the port is the same, and so is the address, or one of
/// them takes every address of its family.
pub(crate) fn same_socket(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port()
        && (a.ip() == b.ip()
            || (a.is_ipv4() == b.is_ipv4() && (a.ip().is_unspecified() || b.ip().is_unspecified())))
}

fn key(raw: &RawKey, zone: &str) -> Option<DnsKey> {
    let mut types = entries(&raw.types, |kind| kind.0.clone());
    types.sort_unstable();
    types.dedup();
    Some(DnsKey {
        name: format!("{}.", given(&raw.name)?.0),
        algorithm: given(&raw.algorithm).unwrap_or(DnsKeyAlgorithm::HmacSha256),
        secret: given(&raw.secret)?,
        update: entries(&raw.update, |name| absolute(&name.0, zone)),
        types: if raw.types.is_some() { types } else { KEY_TYPES.map(str::to_owned).to_vec() },
        transfer: given(&raw.transfer).unwrap_or(false),
    })
}

/// A domain with its trailing dot.
fn rooted(domain: &Domain) -> String {
    format!("{}.", domain.0)
}

/// A record's owner with its trailing dot; `@` is the zone itself.
pub(crate) fn absolute(name: &str, zone: &str) -> String {
    if name == "@" {
        format!("{zone}.")
    } else if name.ends_with('.') {
        name.to_owned()
    } else {
        format!("{name}.{zone}.")
    }
}
