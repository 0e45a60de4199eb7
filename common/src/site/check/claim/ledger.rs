//! Who has claimed what, and what may be claimed at all.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::RESERVED;
use crate::site::raw::RawSite;
use crate::site::read::{At, Findings, Spot, quoted};
use crate::site::{ClusterKind, Mac};

/// Who has claimed what: a phrase for messages, and the key.
pub(super) type Owner = (String, String);

pub(super) struct Claims<'a> {
    pub(super) raw: &'a RawSite,
    pub(super) found: &'a mut Findings,
    pub(super) names: BTreeMap<String, Owner>,
    pub(super) addresses: BTreeMap<IpAddr, Owner>,
    pub(super) macs: BTreeMap<Mac, Owner>,
}

impl Claims<'_> {
    pub(super) fn name(&mut self, name: &str, spot: &Spot, who: &str) {
        let kind = self.raw.cluster.as_ref().and_then(|cluster| cluster.kind.as_ref()).map(|kind| kind.value);
        let reserved = if kind == Some(ClusterKind::None) { &RESERVED[..1] } else { &RESERVED[..] };
        if reserved.contains(&name) {
            self.found
                .error(spot, format!("the name {} is reserved in the cluster zone", quoted(name)))
                .help(format!("choose another than {}", reserved.join(", ")));
            return;
        }
        if let Some((other, key)) = self.names.get(name) {
            self.found
                .error(spot, format!("the name {} belongs to {other} already ({key})", quoted(name)))
                .help("names are unique among nodes, guests, hosts and BMCs (NODE-mgmt)");
            return;
        }
        self.names.insert(name.to_owned(), (who.to_owned(), spot.key.clone()));
    }

    pub(super) fn mac(&mut self, mac: Mac, spot: &Spot, who: &str) {
        if let Some((other, key)) = self.macs.get(&mac) {
            self.found
                .error(spot, format!("{mac} belongs to {other} already ({key})"))
                .help("each card stands once");
            return;
        }
        self.macs.insert(mac, (who.to_owned(), spot.key.clone()));
    }

    pub(super) fn address4(&mut self, address: &At<Ipv4Addr>, who: &str, strictness: Strictness) {
        let ip = address.value;
        if let Some((other, key)) = self.addresses.get(&ip.into()) {
            self.found
                .error(&address.spot, format!("{ip} belongs to {other} already ({key})"))
                .help("each address stands once");
            return;
        }
        self.addresses.insert(ip.into(), (who.to_owned(), address.spot.key.clone()));
        let Some(lan) = &self.raw.lan else { return };
        let Some(net) = lan.address.as_ref().map(|net| net.value) else { return };
        if !net.contains(&ip) {
            let message = format!("{ip} ({who}) is outside the LAN {}", net.trunc());
            strictness.report(self.found, &address.spot, message, "choose an address of the LAN");
        } else if ip == net.network() || ip == net.broadcast() {
            self.found
                .error(&address.spot, format!("{ip} is the network or broadcast address of {}", net.trunc()))
                .help("choose a host's address");
        } else if let Some(pool) = lan.pool.as_ref().filter(|pool| pool.value.contains(ip)) {
            let pool = format!("{}-{}", pool.value.first, pool.value.last);
            let message = format!("{ip} ({who}) lies inside the pool {pool}");
            let help = match strictness {
                Strictness::Error => "choose an address outside the pool, or make the pool smaller",
                Strictness::Warning => "it is never leased to others, but better choose one outside the pool",
            };
            strictness.report(self.found, &address.spot, message, help);
        }
    }

    pub(super) fn address6(&mut self, address: &At<Ipv6Addr>, who: &str) {
        let ip = address.value;
        if let Some((other, key)) = self.addresses.get(&ip.into()) {
            self.found
                .error(&address.spot, format!("{ip} belongs to {other} already ({key})"))
                .help("each address stands once");
            return;
        }
        self.addresses.insert(ip.into(), (who.to_owned(), address.spot.key.clone()));
        let Some(lan) = &self.raw.lan else { return };
        match &lan.address6 {
            None => {
                self.found
                    .error(&address.spot, format!("{ip} ({who}) needs a LAN with IPv6"))
                    .help("set lan.address6, such as fd08::1/64");
            }
            Some(net) if !net.value.contains(&ip) || ip == net.value.network() => {
                self.found
                    .error(
                        &address.spot,
                        format!("{ip} ({who}) is no host's address of {}", net.value.trunc()),
                    )
                    .help("choose an address of the LAN");
            }
            Some(_) => {}
        }
    }
}

/// Whether an address out of place refuses the file. BMCs often keep the address that somebody gave them once.
#[derive(Clone, Copy)]
pub(super) enum Strictness {
    Error,
    Warning,
}

impl Strictness {
    fn report(self, found: &mut Findings, spot: &Spot, message: String, help: &str) {
        match self {
            Self::Error => found.error(spot, message).help(help),
            Self::Warning => found.warning(spot, message).help(help),
        };
    }
}
