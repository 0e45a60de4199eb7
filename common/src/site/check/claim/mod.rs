//! Names, addresses, cards and UUIDs: each belongs to one, and addresses to their networks.

mod ledger;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ledger::{Claims, Strictness};

use super::each;
use crate::site::build::made_mac;
use crate::site::raw::{RawBmc, RawSite};
use crate::site::read::{At, Findings, Spot, quoted};
use crate::site::{Cluster, ClusterKind, Mac};

/// Names that the cluster zone has anyway; the first holds for every kind.
pub(super) const RESERVED: [&str; 4] = ["bastion", "api", "api-int", "apps"];

pub(super) fn check(raw: &RawSite, found: &mut Findings) {
    let mut claims =
        Claims { raw, found, names: BTreeMap::new(), addresses: BTreeMap::new(), macs: BTreeMap::new() };
    claims.bastion();
    claims.nodes();
    claims.guests();
    claims.hosts();
    claims.vip();
    claims.controllers();
    claims.ignored();
    uuids(raw, claims.found);
}

impl Claims<'_> {
    fn bastion(&mut self) {
        let Some(lan) = &self.raw.lan else { return };
        let owner = |key: &str| ("this bastion".to_owned(), key.to_owned());
        if let Some(address) = &lan.address {
            self.addresses.insert(address.value.addr().into(), owner(&address.spot.key));
        }
        if let Some(address) = &lan.address6 {
            self.addresses.insert(address.value.addr().into(), owner(&address.spot.key));
        }
    }

    fn vip(&mut self) {
        let Some(lan) = &self.raw.lan else { return };
        let own = lan.address.as_ref().map(|net| net.value.addr());
        if let Some(vip) = lan.vip.as_ref().filter(|vip| Some(vip.value) != own) {
            self.address4(vip, "the VIP", Strictness::Error);
        }
    }

    fn nodes(&mut self) {
        let raw = self.raw;
        for node in each(&raw.node) {
            let who = node.name.as_ref().map_or("a node".to_owned(), |name| format!("node {}", name.value.0));
            if let Some(name) = &node.name {
                self.name(&name.value.0, &name.spot, &who);
            }
            for mac in node.mac.iter().flat_map(|macs| macs.value.iter()) {
                self.mac(mac.value, &mac.spot, &who);
            }
            if let Some(address) = &node.address {
                self.address4(address, &who, Strictness::Error);
            }
            if let Some(address) = &node.address6 {
                self.address6(address, &who);
            }
        }
    }

    fn guests(&mut self) {
        let raw = self.raw;
        let mut guests: BTreeMap<&str, &Spot> = BTreeMap::new();
        for vm in each(&raw.vm) {
            let name = match (&vm.node, &vm.name) {
                (Some(node), None) => node,
                (None, Some(name)) => name,
                (Some(_), Some(name)) => {
                    self.found
                        .error(&name.spot, "a guest has both node and name")
                        .help("node = … for a guest that is a node of the cluster, name = … for any other");
                    continue;
                }
                (None, None) => {
                    self.found.missing(&vm.spot.missing("node"), "a guest has neither node nor name").help(
                        "add node = … for a guest that is a node of the cluster, name = … for any other",
                    );
                    continue;
                }
            };
            let text = name.value.0.as_str();
            if let Some(other) = guests.insert(text, &name.spot) {
                self.found
                    .error(&name.spot, format!("{} is a guest already, by {}", quoted(text), other.key))
                    .help("each guest stands once");
                continue;
            }
            let who = format!("guest {text}");
            let node = each(&raw.node).find(|node| node.name.as_ref().is_some_and(|own| own.value.0 == text));
            if let Some(node) = node {
                for (spot, key) in [
                    (vm.mac.as_ref().map(|mac| &mac.spot), "mac"),
                    (vm.address.as_ref().map(|a| &a.spot), "address"),
                ] {
                    if let Some(spot) = spot {
                        self.found
                            .error(spot, format!("the guest is node {text}, which has its {key} itself"))
                            .help(format!("give it as {}.{key}", node.spot.key));
                    }
                }
                if node.mac.is_none() {
                    self.made(text, &name.spot, &who);
                }
                continue;
            }
            self.name(text, &name.spot, &who);
            match &vm.mac {
                Some(mac) => self.mac(mac.value, &mac.spot, &who),
                None => self.made(text, &name.spot, &who),
            }
            if let Some(address) = &vm.address {
                self.address4(address, &who, Strictness::Error);
            }
        }
    }

    /// Claims the card that is made from a guest's name.
    fn made(&mut self, name: &str, spot: &Spot, who: &str) {
        let Some(cluster) = &self.raw.cluster else { return };
        let (Some(short), Some(domain)) = (&cluster.name, &cluster.domain) else { return };
        let cluster =
            Cluster { name: short.value.0.clone(), domain: domain.value.0.clone(), kind: ClusterKind::None };
        self.mac(made_mac(name, &cluster), spot, who);
    }

    fn hosts(&mut self) {
        let raw = self.raw;
        for host in each(&raw.host) {
            let who = host.name.as_ref().map_or("a host".to_owned(), |name| format!("host {}", name.value.0));
            if let Some(name) = &host.name {
                self.name(&name.value.0, &name.spot, &who);
            }
            if let Some(mac) = &host.mac {
                self.mac(mac.value, &mac.spot, &who);
            }
            if let Some(address) = &host.address {
                self.address4(address, &who, Strictness::Error);
            }
        }
    }

    fn controllers(&mut self) {
        let raw = self.raw;
        for node in each(&raw.node) {
            let Some(bmc) = &node.bmc else { continue };
            let name = node.name.as_ref().map(|name| name.value.0.as_str());
            let who = name.map_or("a BMC".to_owned(), |name| format!("the BMC of node {name}"));
            let own = node.name.as_ref().filter(|name| !self.found.mentions(&name.spot.key));
            if let Some(name) = own {
                self.name(&format!("{}-mgmt", name.value.0), &bmc.spot, &who);
            }
            if let Some(mac) = &bmc.mac {
                self.mac(mac.value, &mac.spot, &who);
            }
            self.controller_address(bmc, &who);
        }
    }

    fn controller_address(&mut self, bmc: &RawBmc, who: &str) {
        let from_url = bmc.url.as_ref().and_then(|url| {
            Some(At { value: url.value.host.parse::<Ipv4Addr>().ok()?, spot: url.spot.clone() })
        });
        if let (Some(address), Some(from_url)) = (&bmc.address, &from_url)
            && address.value != from_url.value
        {
            self.found
                .warning(
                    &bmc.spot,
                    format!("{who} is asked at {} but has the address {}", from_url.value, address.value),
                )
                .help("url and address usually name the same card");
        }
        if let Some(address) = bmc.address.as_ref().or(from_url.as_ref()) {
            self.address4(address, who, Strictness::Warning);
        }
    }

    /// Machines that are ignored and known at once.
    fn ignored(&mut self) {
        let raw = self.raw;
        let mut seen: BTreeMap<Mac, &Spot> = BTreeMap::new();
        for mac in raw.dhcp.iter().flat_map(|dhcp| each(&dhcp.ignore)) {
            if let Some((who, key)) = self.macs.get(&mac.value) {
                self.found
                    .error(&mac.spot, format!("{} is ignored, yet it is {who} ({key})", mac.value))
                    .help("take it out of one of the two");
            } else if seen.insert(mac.value, &mac.spot).is_some() {
                self.found
                    .warning(&mac.spot, format!("{} is ignored already", mac.value))
                    .help("name it once");
            }
        }
    }
}

fn uuids(raw: &RawSite, found: &mut Findings) {
    let mut seen: BTreeMap<&str, &Spot> = BTreeMap::new();
    for uuid in each(&raw.node).filter_map(|node| node.uuid.as_ref()) {
        if let Some(other) = seen.insert(uuid.value.0.as_str(), &uuid.spot) {
            found
                .error(
                    &uuid.spot,
                    format!("the UUID {} belongs to another node already ({})", uuid.value.0, other.key),
                )
                .help("boards of one batch may share a UUID: leave it out then, and name the MAC");
        }
    }
}
