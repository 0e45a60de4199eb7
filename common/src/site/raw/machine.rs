//! Installation, boot profiles, nodes, guests and hosts.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::site::read::{List, Named, OneOrMany, table};
use crate::site::value::{BmcUrl, BootPath, Bounded, Bytes, Label, Text, Uuid};
use crate::site::{BmcTls, DhcpOption, InstallMethod, Mac, Role, SecretSource, TangAccess};

table! {
    /// What the rendered installation files need.
    RawInstall {
        /// The release to install.
        "version" version: required Text;
        /// `agent`: agent-based. `upi`: user-provisioned, with a bootstrap machine.
        "method" method: optional InstallMethod = "agent";
        /// The pull secret; never the secret itself.
        "pull-secret" pull_secret: optional SecretSource;
        /// Keys of those who may log in, as in `authorized_keys`.
        "ssh-keys" ssh_keys: optional OneOrMany<Text> = "none";
    }
}

table! {
    /// What every `node.bmc` inherits.
    RawBmcDefaults {
        /// Who logs in.
        "user" user: optional Text;
        /// With what; never the password itself.
        "password" password: optional SecretSource;
        /// How certificates are judged.
        "tls" tls: optional BmcTls = "trust-on-first-use";
    }
}

table! {
    /// What a node boots when it is armed for installation.
    RawProfile {
        /// The kernel, below the boot roots of `[http]` and `[tftp]`.
        "kernel" kernel: required BootPath;
        /// Initial RAM disks, in order, below the boot roots.
        "initrd" initrd: optional OneOrMany<BootPath> = "none";
        /// The kernel's arguments. In braces: `{name}`, `{mac}`, `{address}`, `{disk}` and every other key of the node,
        /// `{http}` (the boot server's URL), `{ignition}` (the node's Ignition URL), `{tang}` (the Tang server's URL)
        /// and `{report}` (the URL that ends an installation).
        "args" args: optional Text = "none";
        /// The Ignition file below the HTTP root, per role; `"*"` for all others.
        "ignition" ignition: optional Named<BootPath> = "none";
    }
}

table! {
    /// A machine of the cluster.
    RawNode {
        /// Its host name.
        "name" name: required Label;
        /// What it does in the cluster.
        "role" role: required Role;
        /// The addresses of its network cards, in any notation.
        "mac" mac: optional OneOrMany<Mac>;
        /// Its SMBIOS UUID, which outranks the MAC.
        "uuid" uuid: optional Uuid;
        /// Its reserved address.
        "address" address: optional Ipv4Addr = "a dynamic lease under its name";
        /// Its reserved IPv6 address.
        "address6" address6: optional Ipv6Addr;
        /// The disk that the system is installed on, as the installer names it.
        "disk" disk: optional Text;
        /// Disks that the cluster's storage may take; never the root disk.
        "storage-disks" storage_disks: optional List<Text> = "none";
        /// What it boots when it is armed: a `[profile.NAME]`.
        "profile" profile: optional Label;
        /// Its management controller.
        "bmc" bmc: optional RawBmc;
        /// How its disk is unlocked: `allow` at once, `hold` once `farosctl tang approve` has let it through, `deny` never.
        "tang" tang: optional TangAccess = "as tang.hold says";
        /// DHCP options of its own, by number.
        "options" options: optional List<DhcpOption> = "none";
    }
}

table! {
    /// A management controller (BMC); what is left out comes from `[bmc-defaults]`.
    RawBmc {
        /// `redfish://HOST`, `redfish+http://HOST` or `ipmi://HOST`.
        "url" url: required BmcUrl;
        /// Its card's address; with `address`, it is reserved by DHCP.
        "mac" mac: optional Mac;
        /// Its address, named `NODE-mgmt`.
        "address" address: optional Ipv4Addr = "the host of the URL, where that is an address";
        /// Who logs in.
        "user" user: optional Text = "bmc-defaults.user";
        /// With what; never the password itself.
        "password" password: optional SecretSource = "bmc-defaults.password";
        /// How its certificate is judged.
        "tls" tls: optional BmcTls = "bmc-defaults.tls";
    }
}

table! {
    /// A guest of the bastion. A node of the same name is its identity; `name` in place of `node`
    /// is for a guest that is no node.
    RawVm {
        /// The node that this guest is.
        "node" node: optional Label;
        /// The guest's own name, where it is no node.
        "name" name: optional Label;
        /// Processors.
        "vcpus" vcpus: optional Bounded<1, 512> = "2";
        /// Memory.
        "memory" memory: optional Bytes = "4G";
        /// Disk size.
        "disk" disk: optional Bytes = "20G";
        /// Whether it starts with the bastion.
        "autostart" autostart: optional bool = "false";
        /// Its card's address, where it is no node.
        "mac" mac: optional Mac = "made from its name";
        /// Its reserved address, where it is no node.
        "address" address: optional Ipv4Addr = "a dynamic lease under its name";
    }
}

table! {
    /// Anything else with a fixed address and a name.
    RawHost {
        /// Its name.
        "name" name: required Label;
        /// Its card's address, where it gets its address by DHCP.
        "mac" mac: optional Mac;
        /// Its address.
        "address" address: required Ipv4Addr;
        /// DHCP options of its own, by number.
        "options" options: optional List<DhcpOption> = "none";
    }
}
