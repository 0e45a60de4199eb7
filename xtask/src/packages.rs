//! Which Debian packages each chore needs, and why.

use clap::ValueEnum;

/// A chore that needs packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Job {
    /// Virtual machines that boot from the site.
    Lab,
    /// The same with light nodes instead of virtual machines.
    LabLight,
    /// All tests.
    Test,
    /// Measurements beside the peers.
    Bench,
}

/// How a package gets onto this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Installed.
    Install,
    /// Only unpacked below `target/peers`: its service would start with the machine if it were installed.
    Unpack,
    /// Unpacked below `target/peers/PACKAGE` and not in `PATH`: it also holds a program of another peer's name.
    UnpackApart,
}

/// One package.
pub(crate) struct Package {
    /// Its name in Debian.
    pub(crate) name: &'static str,
    /// What it is for.
    pub(crate) why: &'static str,
    /// How it gets here.
    pub(crate) way: Way,
    jobs: &'static [Job],
}

impl Package {
    const fn new(name: &'static str, why: &'static str, jobs: &'static [Job]) -> Self {
        Self { name, why, way: Way::Install, jobs }
    }

    const fn unpacked(name: &'static str, why: &'static str, jobs: &'static [Job]) -> Self {
        Self { name, why, way: Way::Unpack, jobs }
    }

    const fn unpacked_apart(name: &'static str, why: &'static str, jobs: &'static [Job]) -> Self {
        Self { name, why, way: Way::UnpackApart, jobs }
    }
}

/// What `job` needs; everything without one.
pub(crate) fn needed(job: Option<Job>) -> impl Iterator<Item = &'static Package> {
    PACKAGES.iter().filter(move |package| job.is_none_or(|job| package.jobs.contains(&job)))
}

use Job::{Bench, Lab, LabLight, Test};

const EVERYWHERE: &[Job] = &[Lab, LabLight, Test, Bench];
const WITH_MACHINES: &[Job] = &[Lab, Test];
const PEERS: &[Job] = &[Test, Bench];

const PACKAGES: &[Package] = &[
    Package::new("iproute2", "network namespaces, bridges and links of the lab", EVERYWHERE),
    Package::new("libssl-dev", "the library that tangd computes with, to build against", EVERYWHERE),
    Package::new("pkg-config", "finds that library for the build", EVERYWHERE),
    Package::new("ipxe", "the boot loaders undionly.kpxe and snponly.efi that tftpd serves", EVERYWHERE),
    Package::new("qemu-system-x86", "nodes with real firmware", WITH_MACHINES),
    Package::new("ovmf", "UEFI firmware of the nodes", WITH_MACHINES),
    Package::new("ipxe-qemu", "the network card's boot ROM in BIOS nodes", WITH_MACHINES),
    Package::new("ignition", "the engine that reads Ignition files in the nodes", WITH_MACHINES),
    Package::new("busybox-static", "userland of the nodes", WITH_MACHINES),
    Package::new("grub-common", "makes the boot loader of the nodes' disks", WITH_MACHINES),
    Package::new("grub-pc-bin", "boot loader of the nodes' disks for BIOS", WITH_MACHINES),
    Package::new("grub-efi-amd64-bin", "boot loader of the nodes' disks for UEFI", WITH_MACHINES),
    Package::new("mtools", "file system of the nodes' disks", WITH_MACHINES),
    Package::new("shim-signed", "the loader of UEFI Secure Boot that tftpd serves", &[Test]),
    Package::new("grub-efi-amd64-signed", "what shim loads, served by tftpd", &[Test]),
    Package::new("isc-dhcp-client", "dhclient, a DHCP client", &[Test]),
    Package::new("udhcpc", "a DHCP client", &[Test]),
    Package::new("curl", "an HTTP and TFTP client", PEERS),
    Package::new("tftp-hpa", "a TFTP client", PEERS),
    Package::new("atftp", "a TFTP client with windows", PEERS),
    Package::new("kea-admin", "perfdhcp, a DHCP load generator", PEERS),
    Package::new("dnsmasq-base", "dnsmasq, a DHCP and TFTP server to compare with", PEERS),
    Package::unpacked("kea-dhcp4-server", "Kea, a DHCP server to compare with", &[Bench]),
    Package::unpacked("tftpd-hpa", "in.tftpd, a TFTP server to compare with", PEERS),
    Package::unpacked_apart("atftpd", "a TFTP server with windows to compare with", &[Bench]),
    Package::new("libwrap0", "a library of in.tftpd and atftpd", PEERS),
    Package::new("bind9-dnsutils", "dig and nsupdate, DNS clients", PEERS),
    Package::new("knot-dnsutils", "kdig, a DNS client that also speaks TLS and HTTPS", PEERS),
    Package::new("dnsperf", "a DNS load generator", PEERS),
    Package::unpacked("nsd", "a DNS server whose answers are compared with ours", PEERS),
    Package::unpacked("unbound", "a DNS resolver to compare with", &[Bench]),
    Package::unpacked("knot", "a DNS server to compare with", &[Bench]),
    Package::unpacked("bind9", "a DNS server to compare with", &[Bench]),
    Package::new("libfstrm0", "a library of nsd", PEERS),
    Package::new("libprotobuf-c1", "a library of nsd and unbound", PEERS),
    Package::new("liburcu8", "a library of knot", &[Bench]),
    Package::new("libzscanner4", "a library of knot", &[Bench]),
    Package::new("clevis", "what unlocks disks by Tang", &[Test]),
    Package::new("clevis-luks", "binds encrypted disks to Tang", &[Test]),
    Package::new("cryptsetup-bin", "encrypted disks", &[Test]),
    Package::new("swtpm", "a TPM in software, which opens sealed keys", &[Test]),
    Package::new("tpm2-tools", "what tangd and farosctl ask a TPM with", &[Test]),
    Package::new("jose", "keys and signatures of Tang, by hand", &[Test]),
    Package::new("socat", "starts Debian's tangd for each connection", PEERS),
    // tangd itself; its units are in the package tang.
    Package::new("tang-common", "tangd, a Tang server to compare with", PEERS),
    Package::unpacked(
        "haproxy",
        "a balancer to compare with, and a sender and receiver of PROXY headers",
        PEERS,
    ),
    Package::new("liblua5.3-0", "a library of haproxy", PEERS),
    Package::new("libopentracing-c-wrapper0", "a library of haproxy", PEERS),
    Package::unpacked("nginx", "the API, ingress and health of the nodes behind the balancer", PEERS),
    Package::new("wrk", "a load generator of HTTP", PEERS),
    Package::new("iperf3", "long streams through the balancer", PEERS),
    Package::new(
        "nftables",
        "nft, which shows the kernel's rules and drops what a test wants dropped",
        PEERS,
    ),
    Package::new("conntrack", "shows and deletes the connections that the kernel knows", &[Test]),
    Package::new("tcpdump", "captures, when a test fails", &[Test]),
    Package::new("python3-venv", "a place for clients from the Python index", &[Test]),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_package_is_listed_twice() {
        let names: BTreeSet<_> = PACKAGES.iter().map(|package| package.name).collect();
        assert_eq!(names.len(), PACKAGES.len());
    }

    #[test]
    fn the_light_lab_needs_no_virtual_machine() {
        assert!(needed(Some(LabLight)).all(|package| !package.name.contains("qemu")));
        assert!(needed(Some(Lab)).any(|package| package.name == "qemu-system-x86"));
    }

    #[test]
    fn servers_with_a_service_are_never_installed() {
        for name in
            ["kea-dhcp4-server", "tftpd-hpa", "atftpd", "nsd", "unbound", "knot", "bind9", "haproxy", "nginx"]
        {
            let package = PACKAGES.iter().find(|package| package.name == name).expect("listed");
            assert_ne!(package.way, Way::Install, "{name}");
        }
    }
}
