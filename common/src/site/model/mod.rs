//! The site as its daemons see it: proven values, defaults filled in.

mod balance;
mod dns;
mod machine;
mod network;
mod service;
mod tang;

pub use balance::*;
pub use dns::*;
pub use machine::*;
pub use network::*;
pub use service::*;
pub use tang::*;

use std::collections::BTreeMap;

use serde::Serialize;

/// A whole site. See `site.toml` for the meaning of every key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Site {
    /// The cluster and its zone.
    pub cluster: Cluster,
    /// The side of the nodes.
    pub lan: Lan,
    /// The uplink, where there is one.
    pub wan: Option<Wan>,
    /// Routing, NAT and firewall.
    pub gateway: Gateway,
    /// DHCP.
    pub dhcp: Dhcp,
    /// DNS.
    pub dns: Dns,
    /// TFTP.
    pub tftp: Tftp,
    /// Boot scripts, Ignition and files.
    pub http: Http,
    /// Disk unlocking.
    pub tang: Tang,
    /// Time.
    pub ntp: Ntp,
    /// Balancing.
    pub lb: Lb,
    /// The web console.
    pub console: Console,
    /// What the rendered installation files need.
    pub install: Option<Install>,
    /// Boot profiles by name.
    pub profiles: BTreeMap<String, Profile>,
    /// The machines of the cluster.
    pub nodes: Vec<Node>,
    /// Guests of the bastion.
    pub vms: Vec<Vm>,
    /// Everything else with a fixed address and a name.
    pub hosts: Vec<Host>,
}

/// The cluster's name and kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cluster {
    /// Its short name.
    pub name: String,
    /// The domain above it.
    pub domain: String,
    /// Which records and front ends are derived.
    pub kind: ClusterKind,
}

impl Cluster {
    /// The cluster zone without a trailing dot: `edge.example.com`.
    pub fn zone(&self) -> String {
        format!("{}.{}", self.name, self.domain)
    }
}

/// What kind of cluster runs on the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClusterKind {
    /// OpenShift or OKD.
    Openshift,
    /// Any other Kubernetes.
    Kubernetes,
    /// No cluster: nothing is derived.
    None,
}
