//! A site on this machine: its namespaces, bridge, daemons and nodes.

mod daemons;
mod network;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use faros_common::site::{Mac, Node, Role, Site};
use rustix::process::Signal;

pub use daemons::{DAEMONS, READY_MAX, program};

use crate::content;
use crate::error::LabError;
use crate::image;
use crate::netns::Namespace;
use crate::process::Process;
use crate::site;
use crate::workdir::Workdir;

/// A site on this machine. Dropped, everything goes: daemons, machines, namespaces, files.
///
/// ```text
/// <tag>-wan ── veth ── <tag>-bastion: daemons, bridge = lan.interface ── tap ── virtual machine
///                                                              └── veth ── <tag>-n…: eth0 of a node
/// ```
///
/// Several labs can stand beside one another, also in one process.
#[derive(Debug)]
pub struct Lab {
    // In the order in which they have to go.
    daemons: BTreeMap<String, Process>,
    bastion: Namespace,
    wan: Namespace,
    site: Site,
    links: AtomicU32,
    dir: Workdir,
}

impl Lab {
    /// Builds the network of the site file at `path`. No daemon runs yet. The site's boot trees
    /// (`[http] root`, `[tftp] root`) are replaced by [`Lab::boot_root`], the keys of disks (`[tang] keys`) are beside it,
    /// everything else is as in the file.
    ///
    /// # Errors
    /// The file is refused, `ip` is missing, or this user may not make namespaces.
    pub fn build(path: &Path) -> Result<Self, LabError> {
        Self::from_table(site::read(path)?)
    }

    /// As [`Lab::build`], from the text of a site file.
    ///
    /// # Errors
    /// As [`Lab::build`].
    pub fn build_text(text: &str) -> Result<Self, LabError> {
        Self::from_table(site::parse(text)?)
    }

    pub(crate) fn from_table(mut table: toml::Table) -> Result<Self, LabError> {
        let dir = Workdir::create()?;
        let boot_root = dir.directory("boot")?;
        for name in ["log", "run", "state"] {
            dir.directory(name)?;
        }
        site::relocate(&mut table, &boot_root);
        let site = site::write(&table, &dir.path().join(SITE_FILE))?;
        let wan = Namespace::create(format!("{}-wan", dir.tag()))?;
        let bastion = Namespace::create(format!("{}-bastion", dir.tag()))?;
        let lab = Self { daemons: BTreeMap::new(), bastion, wan, site, links: AtomicU32::new(0), dir };
        lab.build_lan()?;
        lab.build_wan()?;
        Ok(lab)
    }

    /// The site, as the daemons see it.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// The site file that the daemons read. Tests may rewrite it and send SIGHUP or `POST /reload`.
    pub fn site_file(&self) -> PathBuf {
        self.dir.path().join(SITE_FILE)
    }

    /// Replaces the site file by `text`, with the boot trees moved as in [`Lab::build`]. A text that is no
    /// TOML is written as it is, for those who want to see it refused. The daemons are not told.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_site(&self, text: &str) -> Result<(), LabError> {
        let path = self.site_file();
        let text = site::parse(text).map_or_else(
            |_| text.to_owned(),
            |mut table| {
                site::relocate(&mut table, &self.boot_root());
                table.to_string()
            },
        );
        std::fs::write(&path, text).map_err(LabError::io("write", &path))
    }

    /// The lab's own directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The tree that TFTP and HTTP serve; empty at first.
    pub fn boot_root(&self) -> PathBuf {
        self.dir.path().join("boot")
    }

    /// Where the admin sockets are.
    pub fn run_dir(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    /// The state of the daemon `name`; stays through its restarts.
    pub fn state_dir(&self, name: &str) -> PathBuf {
        self.dir.path().join("state").join(name)
    }

    /// The log of the daemon (or machine) `name`.
    pub fn log_file(&self, name: &str) -> PathBuf {
        self.dir.path().join("log").join(format!("{name}.log"))
    }

    /// Leaves [`Lab::dir`] in place when the lab goes.
    pub fn keep(&mut self) {
        self.dir.keep();
    }

    /// The namespace of the bastion: the daemons' view of the network.
    pub fn bastion(&self) -> &Namespace {
        &self.bastion
    }

    /// The namespace beyond the uplink.
    pub fn wan(&self) -> &Namespace {
        &self.wan
    }

    /// The bastion's address on the LAN.
    pub fn address(&self) -> Ipv4Addr {
        self.site.lan.address.addr()
    }

    /// Whether `node` is of the control plane, and the balancer has a front end with it.
    pub(crate) fn serves_api(&self, node: &Node) -> bool {
        let fronts = || self.site.lb.frontends.iter().filter(|front| front.derived && front.name == "api");
        node.role == Role::ControlPlane
            && DAEMONS.contains(&"lb")
            && self.site.lb.enable
            && fronts().any(|front| front.backends.iter().any(|backend| backend.name == node.name))
    }

    /// Ethernet address of `node`: its first, or one made from its name where the site file knows it by UUID.
    pub fn mac_of(node: &Node) -> Mac {
        node.macs.first().copied().unwrap_or_else(|| {
            let sum = node
                .name
                .bytes()
                .fold(0x811c_9dc5_u32, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193));
            let [a, b, c, d] = sum.to_be_bytes();
            Mac([0x52, 0x54, a, b, c, d])
        })
    }

    /// SMBIOS UUID of `node`: as in the site file, or one made from its Ethernet address.
    pub fn uuid_of(node: &Node) -> String {
        node.uuid.clone().unwrap_or_else(|| {
            let digits = Self::mac_of(node).hyphenated().replace('-', "");
            format!("fa705000-0000-4000-8000-{digits}")
        })
    }

    /// Puts the lab's own system into [`Lab::boot_root`], below `lab/`: kernel, RAM disk, disk image, and an
    /// Ignition file per role, as `lab/site.toml` names them. `light`: stand-ins that boot nothing, but cost
    /// nothing to make. `say` hears what takes long.
    ///
    /// # Errors
    /// A package is missing that the system is made of (the error names it), or a file cannot be written.
    pub fn furnish(&self, light: bool, say: &mut dyn FnMut(&str)) -> Result<(), LabError> {
        if light {
            return content::place_stand_ins(&self.boot_root());
        }
        content::place_image(&self.boot_root(), &image::prepare(say)?)
    }

    fn next_link(&self, prefix: &str) -> String {
        let count = self.links.fetch_add(1, Ordering::Relaxed);
        format!("{prefix}{count}")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // They drain at the same time instead of one after the other.
        for process in self.daemons.values() {
            process.signal(Signal::TERM);
        }
    }
}

const SITE_FILE: &str = "site.toml";
