//! Installation, boot profiles, nodes, guests and hosts.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use serde::Serialize;

use super::{DhcpOption, TangAccess};
use crate::site::Mac;

/// Where a secret stands; never the secret itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretSource {
    /// A file, without its final newline.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// A systemd credential.
    Credential(String),
}

/// How a cluster is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstallMethod {
    /// Agent-based.
    Agent,
    /// User-provisioned, with a bootstrap machine.
    Upi,
}

/// What the rendered installation files need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Install {
    /// The release to install.
    pub version: String,
    /// The way.
    pub method: InstallMethod,
    /// The pull secret.
    pub pull_secret: Option<SecretSource>,
    /// Keys of those who may log in.
    pub ssh_keys: Vec<String>,
}

/// What a machine boots when it is armed for installation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// The kernel, below the boot roots.
    pub kernel: String,
    /// Initial RAM disks, below the boot roots, in order.
    pub initrd: Vec<String>,
    /// The kernel's arguments, with `{placeholders}`.
    pub args: String,
    /// The Ignition file below the HTTP root, per role; `"*"` for all others.
    pub ignition: BTreeMap<String, String>,
}

impl Profile {
    /// The Ignition file of machines with `role`, if the profile has one.
    pub fn ignition_for(&self, role: Role) -> Option<&str> {
        self.ignition.get(role.name()).or_else(|| self.ignition.get("*")).map(String::as_str)
    }
}

/// What a machine does in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "well known")]
pub enum Role {
    Bootstrap,
    ControlPlane,
    Worker,
    Other,
}

impl Role {
    /// The name in the site file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bootstrap => "bootstrap",
            Self::ControlPlane => "control-plane",
            Self::Worker => "worker",
            Self::Other => "other",
        }
    }
}

/// A machine of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Its host name.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// The addresses of its network cards; at least one unless it is known by [`Node::uuid`].
    pub macs: Vec<Mac>,
    /// The SMBIOS UUID, lower case with dashes, where the file gives it.
    pub uuid: Option<String>,
    /// Its reserved address; without one it gets a dynamic lease under its name.
    pub address: Option<Ipv4Addr>,
    /// Its reserved IPv6 address.
    pub address6: Option<Ipv6Addr>,
    /// The disk that the system is installed on.
    pub disk: Option<String>,
    /// Disks that the cluster's storage may take; never the root disk.
    pub storage_disks: Vec<String>,
    /// The boot profile, a key of [`Site::profiles`](super::Site::profiles).
    pub profile: Option<String>,
    /// Its management controller.
    pub bmc: Option<Bmc>,
    /// How its disk is unlocked, where that is not for the whole site to say.
    pub tang: Option<TangAccess>,
    /// DHCP options of its own, by number.
    pub options: Vec<DhcpOption>,
}

/// How the certificate of a management controller is judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BmcTls {
    /// The first certificate seen is pinned.
    TrustOnFirstUse,
    /// Not at all.
    Insecure,
    /// By this authority.
    Ca(PathBuf),
}

/// A management controller, with `[bmc-defaults]` filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bmc {
    /// `redfish://…` or `ipmi://…`.
    pub url: String,
    /// The card's address.
    pub mac: Option<Mac>,
    /// The reserved address.
    pub address: Option<Ipv4Addr>,
    /// Who logs in.
    pub user: Option<String>,
    /// With what.
    pub password: Option<SecretSource>,
    /// How its certificate is judged.
    pub tls: BmcTls,
}

/// A guest of the bastion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Vm {
    /// Its name; the node of that name, if any, is its identity.
    pub node: String,
    /// Processors.
    pub vcpus: u16,
    /// Memory in bytes.
    pub memory: u64,
    /// Disk size in bytes.
    pub disk: u64,
    /// Whether it starts with the bastion.
    pub autostart: bool,
    /// The address of its card where it is no node; made from its name unless set.
    pub mac: Mac,
    /// Its reserved address where it is no node.
    pub address: Option<Ipv4Addr>,
}

/// Anything else with a fixed address and a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Its card, where it gets its address by DHCP.
    pub mac: Option<Mac>,
    /// Its address.
    pub address: Ipv4Addr,
    /// DHCP options of its own, by number.
    pub options: Vec<DhcpOption>,
}
