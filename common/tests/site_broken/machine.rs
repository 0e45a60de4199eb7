//! Disks, controllers, secrets and profiles.

use crate::Case;
use crate::From::{Contract, ContractAt, Minimal};

pub(crate) fn broken() -> Vec<Case> {
    vec![
        // Disks, controllers and secrets.
        (
            Minimal(
                "[[node]]\nname = \"a\"\nrole = \"worker\"\nmac = \"52:54:00:00:00:01\"\ndisk = \"/dev/sda\"\nstorage-disks = [\"/dev/sda\"] #<\n",
            ),
            "node[0].storage-disks[0]",
            "installed on",
        ),
        (
            Minimal(
                "[[node]]\nname = \"a\"\nrole = \"worker\"\nmac = \"52:54:00:00:00:01\"\ndisk = \"/dev/disk/by-id/wwn-1\"\n[[node]]\nname = \"b\"\nrole = \"worker\"\nmac = \"52:54:00:00:00:02\"\ndisk = \"/dev/disk/by-id/wwn-1\" #<\n",
            ),
            "node[1].disk",
            "another node",
        ),
        (Contract("disk    = \"/dev/vda\"", "disk = \"vda\" #<\n"), "node[3].disk", "names no disk"),
        (
            Contract("password = { credential = \"bmc\" }", "password = \"hunter2\" #<\n"),
            "bmc-defaults.password",
            "a secret stands in the site file",
        ),
        (
            Contract(
                "pull-secret = { file = \"/etc/faros/secrets/pull-secret.json\" }",
                "pull-secret = \"{}\" #<\n",
            ),
            "install.pull-secret",
            "a secret stands in the site file",
        ),
        (
            Contract("password = { credential = \"bmc\" }", "password = { file = \"/a\", env = \"B\" } #<\n"),
            "bmc-defaults.password",
            "2 places",
        ),
        (
            Contract("password = { credential = \"bmc\" }", "password = { file = \"etc/x\" } #<\n"),
            "bmc-defaults.password.file",
            "relative path",
        ),
        (
            Contract("\"redfish://192.168.8.211\"", "\"redfish://admin:secret@192.168.8.211\" #<\n"),
            "node[0].bmc.url",
            "user or a password",
        ),
        (
            Contract("\"redfish://192.168.8.211\"", "\"https://192.168.8.211\" #<\n"),
            "node[0].bmc.url",
            "no way to reach a BMC",
        ),
        (
            Contract("tls      = \"trust-on-first-use\"", "tls = \"none\" #<\n"),
            "bmc-defaults.tls",
            "no way to judge",
        ),
        (
            Contract(
                "\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLE admin\"",
                "\"-----BEGIN OPENSSH PRIVATE KEY-----\" #<\n",
            ),
            "install.ssh-keys[0]",
            "private key",
        ),
        // Profiles.
        (
            Contract(
                "disk    = \"/dev/vda\"\nprofile = \"rhcos\"",
                "disk = \"/dev/vda\"\nprofile = \"rhcoss\" #<",
            ),
            "node[3].profile",
            "no profile",
        ),
        (
            Contract(
                "[[node]]\nname    = \"cp3\"\nrole    = \"control-plane\"\nmac     = \"52:54:00:00:08:14\"\n",
                "[[node]] #<\nname = \"cp3\"\nrole = \"control-plane\"\n",
            ),
            "node[2].mac",
            "no mac to be known by",
        ),
        (
            Contract("kernel = \"rhcos/kernel\"", "kernel = \"../rhcos/kernel\" #<\n"),
            "profile.rhcos.kernel",
            "climbs out",
        ),
        (
            Contract("kernel = \"rhcos/kernel\"", "kernel = \"/rhcos/kernel\" #<\n"),
            "profile.rhcos.kernel",
            "absolute path",
        ),
        (
            Contract("install_dev={disk}", "install_dev={dsk}"),
            "profile.rhcos.args",
            "there is no placeholder",
        ),
        (Contract("install_dev={disk}", "install_dev={disk"), "profile.rhcos.args", "brace"),
        (
            Contract("disk    = \"/dev/vda\"\nprofile = \"rhcos\"", "profile = \"rhcos\" #<"),
            "node[3].profile",
            "no disk",
        ),
        (
            Contract("worker        = \"rhcos/worker.ign\"", "workers = \"rhcos/worker.ign\" #<\n"),
            "profile.rhcos.ignition.workers",
            "is no role",
        ),
        (
            ContractAt("bootstrap     = \"rhcos/bootstrap.ign\"", "#", "profile = "),
            "node[3].profile",
            "no Ignition file",
        ),
        (
            Minimal(
                "[[node]]\nname = \"a\"\nrole = \"worker\"\nmac = \"52:54:00:00:00:01\"\nstorage-disks = [\"/dev/sda\", \"/dev/sda\"] #<\n",
            ),
            "node[0].storage-disks[1]",
            "in the list already",
        ),
        (Contract("version     = \"4.20\"", "version = \"latest\" #<"), "install.version", "is no release"),
        (
            Contract("ssh-keys    = [", "ssh-keys    = [\"ssh-ed25519\", #<\n"),
            "install.ssh-keys[0]",
            "no public SSH key",
        ),
        (
            Contract("\"redfish://192.168.8.211\"", "\"redfish://192.168.8.211:0\" #<\n"),
            "node[0].bmc.url",
            "not a valid port",
        ),
    ]
}
