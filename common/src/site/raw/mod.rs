//! The tables of the site file, each defined once. The doc comments are the reference.

mod balance;
mod dns;
mod machine;
mod network;
mod service;
mod tang;

pub(crate) use balance::*;
pub(crate) use dns::*;
pub(crate) use machine::*;
pub(crate) use network::*;
pub(crate) use service::*;
pub(crate) use tang::*;

use super::read::{List, Named, table};
use super::value::FormatVersion;

table! {
    /// The site file. Only `version`, `[cluster]` and `[lan]` are required; a daemon whose section is missing runs
    /// on what can be derived.
    RawSite {
        /// The version of this format: 1.
        "version" version: required FormatVersion;
        /// The cluster and its zone.
        "cluster" cluster: required RawCluster;
        /// The network of the nodes.
        "lan" lan: required RawLan;
        /// The uplink; left out: the site stands alone.
        "wan" wan: optional RawWan;
        /// Routing, NAT and firewall.
        "gateway" gateway: optional RawGateway;
        /// DHCP.
        "dhcp" dhcp: optional RawDhcp;
        /// DNS.
        "dns" dns: optional RawDns;
        /// TFTP.
        "tftp" tftp: optional RawTftp;
        /// Boot scripts, Ignition and files over HTTP (ignition-http).
        "http" http: optional RawHttp;
        /// Disk unlocking (Tang).
        "tang" tang: optional RawTang;
        /// Time.
        "ntp" ntp: optional RawNtp;
        /// Layer-4 balancing.
        "lb" lb: optional RawLb;
        /// The web console.
        "console" console: optional RawConsole;
        /// What the rendered installation files need.
        "install" install: optional RawInstall;
        /// What every `node.bmc` inherits.
        "bmc-defaults" bmc_defaults: optional RawBmcDefaults;
        /// What a node boots when it is armed for installation, by name.
        "profile" profile: optional Named<RawProfile>;
        /// The machines of the cluster.
        "node" node: optional List<RawNode>;
        /// Guests of the bastion.
        "vm" vm: optional List<RawVm>;
        /// Anything else that deserves a fixed address and a name.
        "host" host: optional List<RawHost>;
    }
}
