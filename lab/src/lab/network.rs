//! The network of a lab: the bridge and the uplink of the bastion, the ports of its machines.

use std::path::Path;
use std::time::Duration;

use faros_common::clock;
use faros_common::site::{Mac, Node, WanAddress};

use super::Lab;
use crate::error::LabError;
use crate::firmware::Firmware;
use crate::netns::Namespace;
use crate::process::Process;
use crate::vm::{Vm, VmDisk};

/// The uplink's far side and the bastion's address on it, where the site file says `dhcp` (RFC 5737).
const WAN_FAR: &str = "198.51.100.1/24";
const WAN_NEAR: &str = "198.51.100.2/24";

/// Of the range for one's own use (IEEE 802c), so that no machine of a site has it.
const BRIDGE_MAC: &str = "02:fa:05:00:00:01";

impl Lab {
    /// A namespace on the LAN whose `eth0` is up and has the given Ethernet address, but no IP address yet:
    /// a machine for DHCP clients. `name` is free; it need not be a node of the site.
    ///
    /// # Errors
    /// `ip` failed.
    pub fn add_node_namespace(&self, name: &str, mac: Mac) -> Result<Namespace, LabError> {
        let namespace = Namespace::create(format!("{}-{name}", self.dir.tag()))?;
        let port = self.next_link("p");
        self.bastion.ip(&format!(
            "link add {port} type veth peer name eth0 address {mac} netns {}",
            namespace.name()
        ))?;
        self.bastion.ip(&format!("link set {port} master {} up", self.site.lan.interface))?;
        namespace.ip("link set eth0 up")?;
        Ok(namespace)
    }

    /// Boots `node` as a virtual machine with real firmware and an empty disk.
    ///
    /// # Errors
    /// QEMU or its firmware is missing (the error names the packages), or a link cannot be made.
    pub fn boot_vm(&self, node: &Node, firmware: Firmware) -> Result<Vm, LabError> {
        self.boot_vm_with(node, firmware, VmDisk::Empty)
    }

    /// As [`Lab::boot_vm`], with a disk of one's choice.
    ///
    /// # Errors
    /// As [`Lab::boot_vm`].
    pub fn boot_vm_with(&self, node: &Node, firmware: Firmware, disk: VmDisk) -> Result<Vm, LabError> {
        let tap = self.next_link("t");
        self.bastion.ip(&format!("tuntap add dev {tap} mode tap")).map_err(|error| match error {
            LabError::Command { said, .. } => LabError::Missing(format!(
                "no tap device for a virtual machine ({}); is /dev/net/tun there? `--light` needs none",
                said.trim_end()
            )),
            other => other,
        })?;
        self.bastion.ip(&format!("link set {tap} master {} up", self.site.lan.interface))?;
        Vm::start(self, node, firmware, disk, &tap)
    }

    /// Records what crosses `interface` of `namespace` into `file` (pcap) until dropped.
    ///
    /// # Errors
    /// tcpdump is missing or did not start listening.
    pub fn capture(
        &self,
        namespace: &Namespace,
        interface: &str,
        filter: &str,
        file: &Path,
    ) -> Result<Process, LabError> {
        let mut command = namespace.command("tcpdump");
        command
            .args(["-Z", "root", "-U", "-n", "-i", interface, "-w"])
            .arg(file)
            .args(filter.split_whitespace());
        let count = self.next_link("capture");
        let mut process = Process::start(&mut command, self.log_file(&count))?;
        let deadline = clock::now() + Duration::from_secs(10);
        while !process.log_tail(5).contains("listening on") {
            if process.ended().is_some() || clock::now() > deadline {
                return Err(LabError::Command { command: "tcpdump".to_owned(), said: process.log_tail(5) });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(process)
    }

    pub(super) fn build_lan(&self) -> Result<(), LabError> {
        let (bastion, lan) = (&self.bastion, &self.site.lan);
        // Duplicate address detection would keep the fresh addresses unusable for seconds.
        bastion.run("sh", ["-c", "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad || true"])?;
        // What one machine on the bridge says to another is none of the bastion's rules' business; where the host has the
        // bridge filter, a new namespace begins with it on.
        bastion.run(
            "sh",
            ["-c", "for f in /proc/sys/net/bridge/bridge-nf-call-*; do [ ! -e $f ] || echo 0 >$f; done"],
        )?;
        // An address of its own: otherwise the bridge takes the lowest of its ports', and changes it under
        // living connections whenever a machine is plugged in.
        bastion.ip(&format!(
            "link add {} address {BRIDGE_MAC} type bridge stp_state 0 forward_delay 0",
            lan.interface
        ))?;
        // A port that is always up keeps the bridge up before the first machine is. Its far end lies in a
        // namespace that knows nothing of the LAN, and is mute: here it would answer for the bastion.
        bastion.ip(&format!("link add keep0 type veth peer name keep1 netns {}", self.wan.name()))?;
        bastion.ip("link set keep0 addrgenmode none")?;
        bastion.ip(&format!("link set keep0 master {} up", lan.interface))?;
        self.wan.ip("link set keep1 arp off addrgenmode none")?;
        self.wan.ip("link set keep1 up")?;
        bastion.ip(&format!("addr add {} dev {}", lan.address, lan.interface))?;
        // The gateway's part: the address that clients of the cluster know.
        if lan.vip != lan.address.addr() {
            bastion.ip(&format!("addr add {}/32 dev {}", lan.vip, lan.interface))?;
        }
        if let Some(address6) = lan.address6 {
            bastion.ip(&format!("addr add {address6} dev {} nodad", lan.interface))?;
        }
        bastion.ip(&format!("link set {} up", lan.interface))?;
        Ok(())
    }

    pub(super) fn build_wan(&self) -> Result<(), LabError> {
        let Some(wan) = &self.site.wan else { return Ok(()) };
        let near = match wan.address {
            WanAddress::Dhcp => WAN_NEAR.to_owned(),
            WanAddress::Static(address) => address.to_string(),
        };
        self.bastion.ip(&format!(
            "link add {} type veth peer name wan0 netns {}",
            wan.interface,
            self.wan.name()
        ))?;
        self.bastion.ip(&format!("addr add {near} dev {}", wan.interface))?;
        self.bastion.ip(&format!("link set {} up", wan.interface))?;
        if wan.address == WanAddress::Dhcp {
            self.wan.ip(&format!("addr add {WAN_FAR} dev wan0"))?;
        }
        self.wan.ip("link set wan0 up")?;
        Ok(())
    }
}
