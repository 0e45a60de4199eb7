//! Who is who: by name, card, address or interface.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use serde::Serialize;

use crate::site::{Ipv4Range, Mac, Node, Site, Vm};

/// A side of the bastion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The nodes' side.
    Lan,
    /// The uplink's side.
    Wan,
}

/// What kind of thing owns an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OwnerKind {
    /// This host.
    Bastion,
    /// The address of the cluster's API and ingress, where it is not the bastion's own.
    Vip,
    /// A machine of the cluster.
    Node,
    /// A guest that is no node.
    Vm,
    /// Anything else with a fixed address.
    Host,
    /// A node's management controller.
    Bmc,
}

/// Who owns an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Owner {
    /// What it is.
    pub kind: OwnerKind,
    /// Its name in the cluster zone, without the zone: `cp1`, `cp1-mgmt`, `bastion`, `api`.
    pub name: String,
    /// The node it belongs to: itself, or the one that the BMC manages.
    pub node: Option<String>,
}

impl Site {
    /// The node of that name; short names only.
    pub fn node_by_name(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// The node with that card; a guest's own card counts where its node names none.
    pub fn node_by_mac(&self, mac: Mac) -> Option<&Node> {
        self.nodes.iter().find(|node| self.macs_of(node).contains(&mac))
    }

    /// The node with that SMBIOS UUID, in either case.
    pub fn node_by_uuid(&self, uuid: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.uuid.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(uuid)))
    }

    /// The node with that reserved address.
    pub fn node_by_address(&self, address: IpAddr) -> Option<&Node> {
        self.nodes.iter().find(|node| match address {
            IpAddr::V4(v4) => node.address == Some(v4),
            IpAddr::V6(v6) => node.address6 == Some(v6),
        })
    }

    /// The guest that is this node, if one is.
    pub fn vm_of(&self, node: &Node) -> Option<&Vm> {
        self.vms.iter().find(|vm| vm.node == node.name)
    }

    /// The cards of a node; where the file names none and it is a guest, the guest's.
    pub fn macs_of(&self, node: &Node) -> Vec<Mac> {
        match self.vm_of(node) {
            Some(vm) if node.macs.is_empty() => vec![vm.mac],
            _ => node.macs.clone(),
        }
    }

    /// Who owns a fixed address of the site.
    pub fn owner_of_address(&self, address: IpAddr) -> Option<Owner> {
        self.owners().into_iter().find(|(owned, _)| *owned == address).map(|(_, owner)| owner)
    }

    /// Every fixed address with its owner; each address once, unless the cluster's address is a node's too.
    pub fn owners(&self) -> Vec<(IpAddr, Owner)> {
        let owner = |kind, name: &str, node: Option<&str>| Owner {
            kind,
            name: name.to_owned(),
            node: node.map(ToOwned::to_owned),
        };
        let mut owners = vec![(self.bastion(), owner(OwnerKind::Bastion, "bastion", None))];
        let bastion6 = self.lan.address6.map(|net| IpAddr::V6(net.addr()));
        owners.extend(bastion6.map(|address| (address, owner(OwnerKind::Bastion, "bastion", None))));
        for node in &self.nodes {
            let addresses = node.address.map(IpAddr::V4).into_iter().chain(node.address6.map(IpAddr::V6));
            owners.extend(
                addresses.map(|address| (address, owner(OwnerKind::Node, &node.name, Some(&node.name)))),
            );
        }
        for vm in self.vms.iter().filter(|vm| self.node_by_name(&vm.node).is_none()) {
            owners.extend(vm.address.map(|address| (address.into(), owner(OwnerKind::Vm, &vm.node, None))));
        }
        let hosts =
            self.hosts.iter().map(|host| (host.address.into(), owner(OwnerKind::Host, &host.name, None)));
        owners.extend(hosts);
        for node in &self.nodes {
            let address = node.bmc.as_ref().and_then(|bmc| bmc.address);
            let name = format!("{}-mgmt", node.name);
            owners.extend(
                address.map(|address| (address.into(), owner(OwnerKind::Bmc, &name, Some(&node.name)))),
            );
        }
        if self.lan.vip != self.lan.address.addr() {
            owners.push((self.lan.vip.into(), owner(OwnerKind::Vip, "api", None)));
        }
        owners
    }

    /// The pool without every address that belongs to somebody, an external server among them: what may be leased to strangers.
    pub fn leasable(&self) -> Vec<Ipv4Addr> {
        let owners = self.owners().into_iter().map(|(address, _)| address);
        let externals = [
            self.gateway.external,
            self.dhcp.external,
            self.dns.external,
            self.tftp.external,
            self.http.external,
            self.tang.external,
            self.ntp.external,
            self.lb.external,
            self.console.external,
        ];
        let owned: BTreeSet<IpAddr> = owners.chain(externals.into_iter().flatten()).collect();
        let pool = self.lan.pool.into_iter().flat_map(Ipv4Range::addresses);
        pool.filter(|&address| !owned.contains(&address.into())).collect()
    }

    /// The side that an interface belongs to: the LAN's bridge or one of its members, or the uplink.
    pub fn side_of(&self, interface: &str) -> Option<Side> {
        if self.lan.interface == interface || self.lan.members.iter().any(|member| member == interface) {
            Some(Side::Lan)
        } else if self.wan.as_ref().is_some_and(|wan| wan.interface == interface) {
            Some(Side::Wan)
        } else {
            None
        }
    }
}
