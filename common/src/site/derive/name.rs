//! Names in the cluster zone, and the one PTR of each address.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::Serialize;

use crate::site::{ClusterKind, OwnerKind, Site};

/// A name of the cluster zone with one of its addresses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SiteName {
    /// The absolute name with its trailing dot: `cp1.edge.example.com.`; a wildcard for `*.apps`.
    pub name: String,
    /// Its address: an A or an AAAA record.
    pub address: IpAddr,
}

/// The one name that an address resolves to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Pointer {
    /// The address.
    pub address: IpAddr,
    /// The absolute name with its trailing dot.
    pub name: String,
}

impl Site {
    /// `label` in the cluster zone, absolute: `cp1.edge.example.com.`.
    pub fn absolute(&self, label: &str) -> String {
        format!("{label}.{}.", self.cluster.zone())
    }

    /// All names that follow from the file: `bastion`, `api`, `api-int` and `*.apps` (unless the cluster's kind is
    /// `none`), every node, guest and host, and `<node>-mgmt` for each BMC. Configured records are not among them.
    pub fn names(&self) -> Vec<SiteName> {
        let own = self.owners().into_iter().filter(|(_, owner)| owner.kind != OwnerKind::Vip);
        let mut names: Vec<_> =
            own.map(|(address, owner)| SiteName { name: self.absolute(&owner.name), address }).collect();
        if self.cluster.kind != ClusterKind::None {
            let address = self.cluster_address();
            let shared = ["api", "api-int", "*.apps"];
            names.extend(shared.map(|label| SiteName { name: self.absolute(label), address }));
        }
        names
    }

    /// The PTR of every address that has a name, one each: the machine's own name; the VIP's is `api`, unless it is
    /// a machine's own address.
    pub fn pointers(&self) -> Vec<Pointer> {
        let mut seen = BTreeSet::new();
        // Machines come before shared names there, so theirs wins.
        let names = self.names().into_iter().filter(|name| !name.name.starts_with("*."));
        names
            .filter(|name| seen.insert(name.address))
            .map(|name| Pointer { address: name.address, name: name.name })
            .collect()
    }
}
