//! A site on this machine: its namespaces, bridge, daemons and nodes.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use faros_common::clock;
use faros_common::site::{Mac, Node, Site, WanAddress};
use rustix::process::Signal;
use serde_json::Value;

use crate::error::LabError;
use crate::events::Events;
use crate::firmware::Firmware;
use crate::http;
use crate::netns::Namespace;
use crate::process::Process;
use crate::rootless;
use crate::site;
use crate::vm::{Vm, VmDisk};
use crate::workdir::Workdir;

/// How long a daemon may take until its admin socket answers.
pub const READY_MAX: Duration = Duration::from_secs(20);

/// The daemons of a site that the lab starts, in no particular order: each copes with any.
pub const DAEMONS: [&str; 3] = ["dhcpd", "tftpd", "ignition-http"];

/// The uplink's far side and the bastion's address on it, where the site file says `dhcp` (RFC 5737).
const WAN_FAR: &str = "198.51.100.1/24";
const WAN_NEAR: &str = "198.51.100.2/24";

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
    /// (`[http] root`, `[tftp] root`) are replaced by [`Lab::boot_root`], everything else is as in the file.
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

    /// Starts every daemon of [`DAEMONS`].
    ///
    /// # Errors
    /// As [`Lab::start_daemon`].
    pub fn start_daemons(&mut self) -> Result<(), LabError> {
        DAEMONS.iter().try_for_each(|name| self.start_daemon(name))
    }

    /// Starts `faros-<name>` in the bastion and waits until its admin socket answers.
    ///
    /// # Errors
    /// Its program is not found, it ended, or it does not answer within [`READY_MAX`]; the error holds the
    /// end of its log.
    pub fn start_daemon(&mut self, name: &str) -> Result<(), LabError> {
        self.start_daemon_with(name, &[], &[])
    }

    /// As [`Lab::start_daemon`], with further flags and environment variables (`FAROS_FAULT`, `FAROS_LOG`).
    ///
    /// # Errors
    /// As [`Lab::start_daemon`].
    pub fn start_daemon_with(
        &mut self,
        name: &str,
        flags: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<(), LabError> {
        let mut command = self.bastion.command(program(name)?);
        command
            .arg("--site")
            .arg(self.site_file())
            .arg("--state-dir")
            .arg(self.state_dir(name))
            .arg("--run-dir")
            .arg(self.run_dir())
            // Confinement means becoming another user, and an ordinary user's namespace has no other.
            .args(rootless::is_alone().then_some("--no-sandbox"))
            .args(flags)
            .envs(environment.iter().copied());
        let process = Process::start(&mut command, self.log_file(name))?;
        self.daemons.insert(name.to_owned(), process);
        self.await_ready(name)
    }

    /// The process of the daemon `name`, if it was started.
    pub fn daemon(&mut self, name: &str) -> Option<&mut Process> {
        self.daemons.get_mut(name)
    }

    /// Sends a signal to the daemon `name`.
    ///
    /// # Errors
    /// It was not started.
    pub fn signal_daemon(&self, name: &str, signal: Signal) -> Result<(), LabError> {
        self.daemons.get(name).map(|process| process.signal(signal)).ok_or_else(|| not_started(name))
    }

    /// Ends the daemon `name` with SIGTERM and returns how it ended.
    ///
    /// # Errors
    /// It was not started, or the system lost it.
    pub fn stop_daemon(&mut self, name: &str) -> Result<ExitStatus, LabError> {
        self.daemons.remove(name).ok_or_else(|| not_started(name))?.stop(Duration::from_secs(10))
    }

    /// Ends the daemon `name` with SIGKILL.
    ///
    /// # Errors
    /// As [`Lab::stop_daemon`].
    pub fn kill_daemon(&mut self, name: &str) -> Result<ExitStatus, LabError> {
        self.daemons.remove(name).ok_or_else(|| not_started(name))?.kill()
    }

    /// `GET target` on the admin socket of `name`, as JSON; as a JSON string where the answer is text.
    ///
    /// # Errors
    /// Nobody answers, or with another status than 2xx.
    pub fn admin_get(&self, name: &str, target: &str) -> Result<Value, LabError> {
        self.admin(name, "GET", target)
    }

    /// `POST target` on the admin socket of `name`.
    ///
    /// # Errors
    /// As [`Lab::admin_get`].
    pub fn admin_post(&self, name: &str, target: &str) -> Result<Value, LabError> {
        self.admin(name, "POST", target)
    }

    /// The events of the daemons that run now, from the oldest they keep.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn events(&self) -> Result<Events, LabError> {
        Events::follow(self.daemons.keys().map(|name| (name.clone(), self.socket(name))).collect())
    }

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

    fn socket(&self, name: &str) -> PathBuf {
        self.run_dir().join(format!("{name}.sock"))
    }

    fn next_link(&self, prefix: &str) -> String {
        let count = self.links.fetch_add(1, Ordering::Relaxed);
        format!("{prefix}{count}")
    }

    fn admin(&self, name: &str, method: &str, target: &str) -> Result<Value, LabError> {
        let socket = self.socket(name);
        let io = |error| LabError::io("ask", &socket)(error);
        let answer = http::unix(&socket, method, target, Some(http::SILENCE_MAX)).map_err(io)?;
        let status = answer.status;
        let body = answer.body().map_err(io)?;
        let text = String::from_utf8_lossy(&body).into_owned();
        if !(200..300).contains(&status) {
            return Err(LabError::Answer { who: name.to_owned(), what: format!("{status} {text}") });
        }
        Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    fn await_ready(&mut self, name: &str) -> Result<(), LabError> {
        let deadline = clock::now() + READY_MAX;
        loop {
            if let Some(status) = self.daemons.get_mut(name).and_then(Process::ended) {
                return Err(self.daemon_error(name, format!("ended at once ({status})")));
            }
            if self.admin_get(name, "/status").is_ok() {
                return Ok(());
            }
            if clock::now() >= deadline {
                let what = format!("did not answer within {} s", READY_MAX.as_secs());
                return Err(self.daemon_error(name, what));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn daemon_error(&self, name: &str, what: String) -> LabError {
        let log = self.daemons.get(name).map_or_else(String::new, |process| process.log_tail(20));
        LabError::Daemon { name: name.to_owned(), what, log }
    }

    fn build_lan(&self) -> Result<(), LabError> {
        let (bastion, lan) = (&self.bastion, &self.site.lan);
        // Duplicate address detection would keep the fresh addresses unusable for seconds.
        bastion.run("sh", ["-c", "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad || true"])?;
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
        if let Some(address6) = lan.address6 {
            bastion.ip(&format!("addr add {address6} dev {} nodad", lan.interface))?;
        }
        bastion.ip(&format!("link set {} up", lan.interface))?;
        Ok(())
    }

    fn build_wan(&self) -> Result<(), LabError> {
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

impl Drop for Lab {
    fn drop(&mut self) {
        // They drain at the same time instead of one after the other.
        for process in self.daemons.values() {
            process.signal(Signal::TERM);
        }
    }
}

/// Of the range for one's own use (IEEE 802c), so that no machine of a site has it.
const BRIDGE_MAC: &str = "02:fa:05:00:00:01";

const SITE_FILE: &str = "site.toml";

fn not_started(name: &str) -> LabError {
    LabError::Daemon { name: name.to_owned(), what: "was not started".to_owned(), log: String::new() }
}

/// The program of the daemon `name`: in `FAROS_BIN_DIR`, beside this program, or in the target directory
/// that a test program lies in.
///
/// # Errors
/// It is in none of these places; the error names them.
pub fn program(name: &str) -> Result<PathBuf, LabError> {
    let file = format!("faros-{name}");
    let own = std::env::current_exe().ok();
    let beside = own.iter().flat_map(|own| own.ancestors().skip(1).take(2)).map(Path::to_owned);
    let places: Vec<_> =
        std::env::var_os("FAROS_BIN_DIR").map(PathBuf::from).into_iter().chain(beside).collect();
    places.iter().map(|place| place.join(&file)).find(|path| path.is_file()).ok_or_else(|| {
        let places: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
        LabError::Missing(format!(
            "{file} is in none of {}; build it (`cargo build --bins`) or set FAROS_BIN_DIR",
            places.join(", ")
        ))
    })
}
