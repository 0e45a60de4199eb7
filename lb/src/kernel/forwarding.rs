//! Whether this host forwards packets, and switching it on and off.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use faros_common::netlink::{Protocol, Socket, link};

use super::ruleset::Family;

/// Where the kernel keeps its settings as files.
const SETTINGS: &str = "/proc/sys/net";

/// Accept router advertisements even while forwarding.
const ADVERTISEMENTS_WHILE_FORWARDING: &str = "2";

fn switch(family: Family) -> PathBuf {
    let setting = match family {
        Family::Four => "ipv4/ip_forward",
        Family::Six => "ipv6/conf/all/forwarding",
    };
    Path::new(SETTINGS).join(setting)
}

/// Whether packets of the family are forwarded. A family that the kernel does not have is not.
pub(super) fn is_on(family: Family) -> bool {
    fs::read_to_string(switch(family)).is_ok_and(|setting| setting.trim() != "0")
}

/// Whether packets that cross a bridge go through the packet filter on their way (br_netfilter). The kernel then
/// translates them on the bridge already, and a server that connects to its own front end does not reach itself.
pub(super) fn bridges_are_filtered(family: Family) -> bool {
    let setting = match family {
        Family::Four => "bridge/bridge-nf-call-iptables",
        Family::Six => "bridge/bridge-nf-call-ip6tables",
    };
    fs::read_to_string(Path::new(SETTINGS).join(setting)).is_ok_and(|setting| setting.trim() != "0")
}

/// Whether the interface is a bridge.
pub(super) fn is_bridge(interface: &str) -> bool {
    let link = Socket::open(Protocol::Route).and_then(|mut socket| link::by_name(&mut socket, interface));
    link.is_ok_and(|link| link.is_some_and(|link| link.kind.as_deref() == Some("bridge")))
}

/// Switches forwarding.
///
/// # Errors
/// The system refuses: no permission, or no such family.
pub(super) fn set(family: Family, on: bool) -> io::Result<()> {
    if family == Family::Six && on {
        keep_advertisements();
    }
    fs::write(switch(family), if on { "1" } else { "0" })
}

/// A host that forwards takes no router advertisements unless told so: its WAN would lose address and route.
fn keep_advertisements() {
    let Ok(interfaces) = fs::read_dir(Path::new(SETTINGS).join("ipv6/conf")) else { return };
    for interface in interfaces.flatten() {
        let setting = interface.path().join("accept_ra");
        if fs::read_to_string(&setting).is_ok_and(|value| value.trim() == "1") {
            let _ = fs::write(&setting, ADVERTISEMENTS_WHILE_FORWARDING);
        }
    }
}
