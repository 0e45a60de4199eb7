//! The site that most tests play on.

use std::fs;

use faros_lab::Lab;

/// The bastion's address.
pub const BASTION: &str = "192.168.8.1";

/// The Ethernet address and reserved address of `n1`.
pub const N1: (&str, &str) = ("52:54:00:00:08:11", "192.168.8.11");
/// The Ethernet address and reserved address of `n2`.
pub const N2: (&str, &str) = ("52:54:00:00:08:12", "192.168.8.12");
/// The Ethernet address of a machine that the site file does not know.
pub const STRANGER: &str = "52:54:00:00:77:01";

/// Three nodes with a profile, a printer, an uplink.
pub const SITE: &str = r#"
version = 1
[cluster]
name = "edge"
domain = "example.com"
kind = "openshift"
[lan]
interface = "lan0"
address = "192.168.8.1/24"
vip = "192.168.8.2"
pool = "192.168.8.128-192.168.8.250"
[wan]
interface = "up0"
address = "198.51.100.2/24"
[dhcp]
lease = "10m"
[tftp]
root = "/replaced/by/the/lab"
[http]
port = 8080
root = "/replaced/by/the/lab"
[profile.test]
kernel = "test/vmlinuz"
initrd = ["test/initrd.img"]
args = "console=ttyS0 ignition.config.url={ignition} report={report}"
[profile.test.ignition]
"*" = "test/secret.ign"
[[node]]
name = "n1"
role = "control-plane"
mac = "52:54:00:00:08:11"
address = "192.168.8.11"
profile = "test"
[[node]]
name = "n2"
role = "control-plane"
mac = ["52:54:00:00:08:12", "52:54:00:00:08:22"]
address = "192.168.8.12"
profile = "test"
[[node]]
name = "n3"
role = "control-plane"
mac = "52:54:00:00:08:13"
address = "192.168.8.13"
profile = "test"
[[host]]
name = "printer"
mac = "52:54:00:aa:00:01"
address = "192.168.8.62"
"#;

/// The Ignition file of [`SITE`]'s profile.
pub const IGNITION: &str = r#"{"ignition":{"version":"3.2.0"},"storage":{"files":[{"path":"/etc/secret","mode":384,"contents":{"source":"data:,top"}}]}}"#;

/// How large the kernel of [`SITE`]'s profile is.
pub const KERNEL_BYTES: usize = 3 * 1024 * 1024 + 77;

/// Fills the boot tree: a kernel, an initial RAM disk, the Ignition file.
pub fn furnish(lab: &Lab) {
    let root = lab.boot_root().join("test");
    fs::create_dir_all(&root).expect("the boot tree is ours");
    for (name, content) in [
        ("vmlinuz", crate::noise(KERNEL_BYTES, 1)),
        ("initrd.img", crate::noise(1 << 20, 2)),
        ("secret.ign", IGNITION.as_bytes().to_vec()),
    ] {
        fs::write(root.join(name), content).expect("the boot tree is ours");
    }
}
