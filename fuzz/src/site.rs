//! The site that the targets live in.

use std::path::Path;
use std::sync::OnceLock;

use faros_common::site::{Site, parse};

/// A small site: a pool of sixteen addresses, one node with two cards, one with none of its own address.
pub(crate) const TEXT: &str = r#"
version = 1
[cluster]
name = "edge"
domain = "example.com"
kind = "kubernetes"
[lan]
interface = "lan0"
address = "192.168.8.1/24"
address6 = "fd08::1/64"
vip = "192.168.8.2"
pool = "192.168.8.128-192.168.8.143"
[dhcp]
lease = "1h"
ignore = ["52:54:00:00:00:99"]
options = [{ code = 128, text = "x" }]
[tftp]
root = "/var/lib/faros/boot"
[http]
port = 8080
root = "/var/lib/faros/boot"
[profile.rhcos]
kernel = "rhcos/kernel"
initrd = ["rhcos/initramfs.img"]
args = "install_dev={disk} ignition_url={ignition}"
[profile.rhcos.ignition]
"*" = "rhcos/any.ign"
[[node]]
name = "cp1"
role = "control-plane"
mac = ["52:54:00:00:08:11", "52:54:00:00:08:21"]
uuid = "4e420000-0000-4000-8000-000000000011"
address = "192.168.8.11"
disk = "/dev/vda"
profile = "rhcos"
"#;

/// The site of [`TEXT`].
pub(crate) fn site() -> &'static Site {
    static SITE: OnceLock<Site> = OnceLock::new();
    SITE.get_or_init(|| {
        let loaded = parse(TEXT, Path::new("site.toml"));
        loaded.unwrap_or_else(|report| panic!("the site of the targets is broken: {report}")).site
    })
}
