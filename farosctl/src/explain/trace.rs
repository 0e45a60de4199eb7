//! What a machine did last, read out of its events.

use std::time::SystemTime;

use faros_common::loaders;

use crate::events::event::Event;

/// Steps of a boot, in the order in which a machine takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// A loader was fetched, by TFTP or HTTP.
    Loader,
    /// A boot script was served that installs.
    Script,
    /// The kernel was fetched.
    Kernel,
    /// The Ignition was fetched.
    Ignition,
    /// The end of the installation was noticed.
    Installed,
    /// The machine was sent to its disk.
    Disk,
}

/// Something that went wrong, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) at: SystemTime,
    /// What it was about: a file, an address.
    pub(crate) what: Option<String>,
    pub(crate) reason: String,
}

/// The latest of everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trace {
    /// An address was offered.
    pub(crate) offered: Option<SystemTime>,
    /// An address was confirmed.
    pub(crate) acknowledged: Option<SystemTime>,
    pub(crate) unanswered: Option<Trouble>,
    pub(crate) refused_address: Option<Trouble>,
    pub(crate) declined: Option<Trouble>,
    pub(crate) armed: Option<SystemTime>,
    /// Anything that the machine itself did.
    pub(crate) heard: Option<SystemTime>,
    /// The latest step, since the node was armed last.
    pub(crate) step: Option<(Step, SystemTime)>,
    pub(crate) file_failed: Option<Trouble>,
    pub(crate) ignition_refused: Option<Trouble>,
    pub(crate) report_refused: Option<Trouble>,
    /// It took the offer of another DHCP server.
    pub(crate) other_server: Option<Trouble>,
    /// dhcpd noticed that it fetches the same loader over and over.
    pub(crate) boot_loop: Option<Trouble>,
    /// It contradicts itself: one machine by its card, another by its address.
    pub(crate) conflict: Option<Trouble>,
    /// Its latest script told it to wait.
    pub(crate) waits: Option<Trouble>,
    /// When loaders were fetched.
    pub(crate) loaders: Vec<SystemTime>,
    /// When the machine was sent to its disk.
    pub(crate) disks: Vec<SystemTime>,
}

impl Trace {
    /// Reads the events of one machine, oldest first.
    pub(crate) fn of(events: &[Event]) -> Self {
        let mut trace = Self::default();
        for event in events {
            let Some(at) = event.time else { continue };
            trace.take(event, at);
        }
        trace
    }

    fn take(&mut self, event: &Event, at: SystemTime) {
        let trouble = || {
            let what = ["file", "path", "server"].iter().find_map(|key| event.text(key)).map(str::to_owned);
            let what = what.or_else(|| event.address.map(|address| address.to_string()));
            // Words for people first, then short names of reasons.
            let reasons = ["detail", "explanation", "text", "because", "reason"];
            let reason = reasons.iter().find_map(|key| event.text(key)).filter(|text| !text.is_empty());
            Some(Trouble { at, what, reason: reason.unwrap_or("no reason given").to_owned() })
        };
        if !matches!(event.id.as_str(), "node_armed" | "node_held" | "lease_expired") {
            self.heard = Some(at);
        }
        match event.id.as_str() {
            "dhcp_offered" => self.offered = Some(at),
            "dhcp_acked" | "lease_granted" | "lease_renewed" => self.acknowledged = Some(at),
            "dhcp_unanswered" => self.unanswered = trouble(),
            "dhcp_nak" => self.refused_address = trouble(),
            "lease_declined" => self.declined = trouble(),
            "dhcp_other_server" => self.other_server = trouble(),
            "boot_loop" => self.boot_loop = trouble(),
            "identity_conflict" => self.conflict = trouble(),
            "node_armed" => {
                self.armed = Some(at);
                self.step = None;
            }
            "node_held" => self.step = None,
            "file_sent" | "file_served" if is_loader(event) => {
                self.loaders.push(at);
                self.step = Some((Step::Loader, at));
            }
            "script_served" => {
                self.waits = if event.text("action") == Some("wait") { trouble() } else { None };
                self.step = Some((Step::Script, at));
            }
            "kernel_served" => self.step = Some((Step::Kernel, at)),
            "ignition_served" => self.step = Some((Step::Ignition, at)),
            "node_installed" => self.step = Some((Step::Installed, at)),
            "node_disk" => {
                self.disks.push(at);
                self.step = Some((Step::Disk, at));
            }
            "ignition_refused" => self.ignition_refused = trouble(),
            "report_refused" => self.report_refused = trouble(),
            "file_failed" => self.file_failed = trouble(),
            _ => {}
        }
    }

    /// The latest time at which an address was offered or confirmed.
    pub(crate) fn dhcp(&self) -> Option<SystemTime> {
        self.offered.max(self.acknowledged)
    }

    /// Whether anything at all was heard of the machine itself.
    pub(crate) fn is_silent(&self) -> bool {
        self.heard.is_none()
    }
}

/// Whether a file is one that firmware runs.
fn is_loader(event: &Event) -> bool {
    let Some(name) = ["file", "path"].iter().find_map(|key| event.text(key)) else { return false };
    let name = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    loaders::named(&name).is_some() || name.ends_with(".efi") || name.ends_with("pxe") || name.ends_with(".0")
}
