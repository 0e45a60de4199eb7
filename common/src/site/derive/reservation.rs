//! Who gets which address by DHCP.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use crate::site::{DhcpOption, Mac, OwnerKind, Site};

/// A machine that DHCP knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reservation {
    /// What it is.
    pub kind: OwnerKind,
    /// Its name, without the zone: `cp1`, `cp1-mgmt`.
    pub name: String,
    /// The node that it is, or that it manages.
    pub node: Option<String>,
    /// Its cards.
    pub macs: Vec<Mac>,
    /// Its SMBIOS UUID, which outranks the cards.
    pub uuid: Option<String>,
    /// Its address; without one it gets a dynamic lease under its name.
    pub address: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub address6: Option<Ipv6Addr>,
    /// Options of its own; they win over the site's.
    pub options: Vec<DhcpOption>,
}

impl Site {
    /// Every machine that DHCP can tell by card or UUID: nodes, guests, hosts and BMCs.
    pub fn reservations(&self) -> Vec<Reservation> {
        let nodes = self.nodes.iter().map(|node| Reservation {
            kind: OwnerKind::Node,
            name: node.name.clone(),
            node: Some(node.name.clone()),
            macs: self.macs_of(node),
            uuid: node.uuid.clone(),
            address: node.address,
            address6: node.address6,
            options: node.options.clone(),
        });
        let vms = self.vms.iter().filter(|vm| self.node_by_name(&vm.node).is_none());
        let vms = vms.map(|vm| Reservation {
            address: vm.address,
            ..Reservation::of(OwnerKind::Vm, &vm.node, Some(vm.mac))
        });
        let hosts = self.hosts.iter().map(|host| Reservation {
            address: Some(host.address),
            options: host.options.clone(),
            ..Reservation::of(OwnerKind::Host, &host.name, host.mac)
        });
        let bmcs = self.nodes.iter().filter_map(|node| {
            let bmc = node.bmc.as_ref()?;
            Some(Reservation {
                node: Some(node.name.clone()),
                address: bmc.address,
                ..Reservation::of(OwnerKind::Bmc, &format!("{}-mgmt", node.name), bmc.mac)
            })
        });
        let all = nodes.chain(vms).chain(hosts).chain(bmcs);
        all.filter(|known| !known.macs.is_empty() || known.uuid.is_some()).collect()
    }
}

impl Reservation {
    fn of(kind: OwnerKind, name: &str, mac: Option<Mac>) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            node: None,
            macs: mac.into_iter().collect(),
            uuid: None,
            address: None,
            address6: None,
            options: Vec::new(),
        }
    }
}
