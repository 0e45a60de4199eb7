//! How far each node has come, from what the daemons and the consoles say.
//!
//! The server's word counts for what happens before a system runs (DHCP, loader), the machine's own word
//! for everything after: a kernel that was sent is not yet a kernel that runs.

mod table;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use faros_common::site::Mac;
use serde::Serialize;

pub(crate) use table::table;

use crate::events::Event;
use crate::firmware::Firmware;
use crate::vm::ConsoleLine;

/// A stage of a node's way from power-on to its own disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The firmware has an address.
    Dhcp,
    /// A boot loader, or for iPXE in the card's ROM the boot script, was sent.
    Loader,
    /// The kernel runs.
    Kernel,
    /// The system has accepted its Ignition file.
    Ignition,
    /// The system is on the disk and was reported.
    Installed,
    /// After a reboot the machine was sent to its disk, and runs from it.
    Disk,
    /// The balancer takes its API server for healthy. Only of light nodes of the control plane: the small system of
    /// virtual machines has none.
    Api,
}

impl Stage {
    /// All, in order.
    pub const ALL: [Self; 7] =
        [Self::Dhcp, Self::Loader, Self::Kernel, Self::Ignition, Self::Installed, Self::Disk, Self::Api];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dhcp => "DHCP",
            Self::Loader => "loader",
            Self::Kernel => "kernel",
            Self::Ignition => "ignition",
            Self::Installed => "installed",
            Self::Disk => "disk",
            Self::Api => "API",
        }
    }
}

/// When a stage was reached, and with which address.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Reached {
    /// Seconds since power-on.
    pub secs: f64,
    /// The node's address at that time, where it was told.
    pub address: Option<IpAddr>,
}

/// Why a node did not get through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stall {
    /// The stage that was not reached.
    pub stage: Stage,
    /// What the machine or the daemons said last about it.
    pub why: String,
}

/// The way of one node.
#[derive(Clone, Debug, Serialize)]
pub struct Journey {
    /// Its name.
    pub node: String,
    /// Its card.
    pub mac: Mac,
    /// Its firmware.
    pub firmware: Firmware,
    /// Whether it is a light node.
    pub light: bool,
    /// The stages it has reached.
    pub stages: BTreeMap<Stage, Reached>,
    /// Every address it ever had; one, if all is well.
    pub addresses: BTreeSet<IpAddr>,
    /// How long iPXE took to configure the card, in seconds, for each boot.
    pub ipxe_configuring_secs: Vec<f64>,
    /// Why it did not get through, if so.
    pub stall: Option<Stall>,
    /// Whether its way goes on to [`Stage::Api`].
    #[serde(skip)]
    serves_api: bool,
    #[serde(skip)]
    powered: Option<Instant>,
    #[serde(skip)]
    progress: Option<Instant>,
    #[serde(skip)]
    remarks: VecDeque<String>,
}

/// The front end of the cluster's API, as it is derived from the cluster's kind.
const API_FRONT_END: &str = "api";

/// Remarks kept to explain a stall.
const REMARKS_MAX: usize = 4;

/// Events that explain a stall.
const COMPLAINTS: [&str; 5] =
    ["dhcp_unanswered", "dhcp_nak", "file_failed", "ignition_refused", "lease_declined"];

impl Journey {
    pub(crate) fn new(node: String, mac: Mac, firmware: Firmware, light: bool) -> Self {
        Self {
            node,
            mac,
            firmware,
            light,
            stages: BTreeMap::new(),
            addresses: BTreeSet::new(),
            ipxe_configuring_secs: Vec::new(),
            stall: None,
            serves_api: false,
            powered: None,
            progress: None,
            remarks: VecDeque::new(),
        }
    }

    /// Its way goes on until the balancer has found its API server healthy.
    pub(crate) fn up_to_the_api(mut self) -> Self {
        self.serves_api = true;
        self
    }

    /// The machine was switched on.
    pub(crate) fn on_power(&mut self, now: Instant) {
        self.powered = Some(now);
        self.progress = Some(now);
    }

    /// Whether the node went the whole way, with one address.
    pub fn complete(&self) -> bool {
        self.stall.is_none() && self.next_stage().is_none() && self.addresses.len() == 1
    }

    /// The first stage that has not been reached.
    pub fn next_stage(&self) -> Option<Stage> {
        let due = |stage: &Stage| *stage != Stage::Api || self.serves_api;
        Stage::ALL.into_iter().filter(due).find(|stage| !self.stages.contains_key(stage))
    }

    /// Takes an event into account if it is about this node. Returns the stage that it newly shows.
    pub(crate) fn on_event(&mut self, event: &Event) -> Option<Stage> {
        let ours = event.node.as_deref() == Some(&self.node)
            || event.mac == Some(self.mac)
            || (event.node.is_none()
                && event.mac.is_none()
                && event.address.is_some_and(|address| self.addresses.contains(&address)));
        if !ours {
            return None;
        }
        if COMPLAINTS.contains(&event.event.as_str()) {
            let why =
                ["reason", "error", "why"].iter().find_map(|key| event.text(key)).unwrap_or("no reason told");
            self.remark(format!("{} {}: {why}", event.daemon, event.event));
        }
        let stage = match event.event.as_str() {
            "dhcp_acked" | "lease_granted" => Stage::Dhcp,
            "file_sent" if event.daemon == "tftpd" => Stage::Loader,
            "loader_served" | "script_served" => Stage::Loader,
            "lb_server_up" if event.text("frontend") == Some(API_FRONT_END) => Stage::Api,
            _ => return None,
        };
        if stage == Stage::Dhcp {
            self.addresses.extend(event.address);
        }
        self.reach(stage, event.at, event.address)
    }

    /// Takes a line of the machine's console into account. Returns the stage that it newly shows.
    pub(crate) fn on_line(&mut self, line: &ConsoleLine) -> Option<Stage> {
        if let Some(at) = line.text.find("Configuring (net") {
            // The line tells how it ended; one without an end is a failure that iPXE explains next.
            if line.text[at..].contains(" ok") {
                self.ipxe_configuring_secs.push(secs(line.ended.saturating_duration_since(line.began)));
            }
            return None;
        }
        let said = line.text.split_once("FAROS-NODE ")?.1;
        let (word, rest) = said.split_once(' ').unwrap_or((said, ""));
        let address: Option<IpAddr> = rest.parse().ok();
        self.addresses.extend(address);
        let stage = match word {
            "kernel" => Stage::Kernel,
            "ignition" => Stage::Ignition,
            "installed" => Stage::Installed,
            "disk" => Stage::Disk,
            "failed" => {
                self.stop(rest.to_owned());
                return None;
            }
            _ => return None,
        };
        self.reach(stage, line.ended, address)
    }

    /// Says that the node stalls if it has made no progress for `limit`. `console` is what it said last.
    pub(crate) fn on_time(&mut self, now: Instant, limit: Duration, console: &str) {
        if self.progress.is_some_and(|progress| now.saturating_duration_since(progress) >= limit) {
            let last = console.lines().last().unwrap_or("nothing").trim().to_owned();
            self.stop(format!("nothing for {} s; the console's last words: {last}", limit.as_secs()));
        }
    }

    /// The machine is gone before its time.
    pub(crate) fn stop(&mut self, why: String) {
        let Some(stage) = self.next_stage().filter(|_| self.stall.is_none()) else { return };
        let mut whole = why;
        for remark in &self.remarks {
            whole.push_str("; ");
            whole.push_str(remark);
        }
        self.stall = Some(Stall { stage, why: whole });
    }

    fn remark(&mut self, text: String) {
        if self.remarks.back() == Some(&text) {
            return;
        }
        if self.remarks.len() == REMARKS_MAX {
            self.remarks.pop_front();
        }
        self.remarks.push_back(text);
    }

    fn reach(&mut self, stage: Stage, at: Instant, address: Option<IpAddr>) -> Option<Stage> {
        let powered = self.powered?;
        if self.stages.contains_key(&stage) {
            return None;
        }
        let address =
            address.or_else(|| self.addresses.first().copied().filter(|_| self.addresses.len() == 1));
        let secs = secs(at.saturating_duration_since(powered));
        self.stages.insert(stage, Reached { secs, address });
        self.progress = Some(at);
        // What was complained about before is overcome.
        self.remarks.clear();
        Some(stage)
    }
}

/// Seconds with milliseconds: nothing here is measured more finely.
fn secs(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use faros_common::clock;

    use super::*;

    fn journey(now: Instant) -> Journey {
        let mut journey =
            Journey::new("cp1".to_owned(), "52:54:00:00:08:11".parse().unwrap(), Firmware::Bios, false);
        journey.on_power(now);
        journey
    }

    fn event(now: Instant, text: &str) -> Event {
        Event::parse(text, now).unwrap()
    }

    fn line(began: Instant, ended: Instant, text: &str) -> ConsoleLine {
        ConsoleLine { began, ended, text: text.to_owned() }
    }

    #[test]
    fn a_whole_way_is_complete() {
        let start = clock::now();
        let mut journey = journey(start);
        let after = |secs| start + Duration::from_secs(secs);
        let acked =
            r#"{"daemon":"dhcpd","event":"dhcp_acked","mac":"52:54:00:00:08:11","address":"10.0.0.1"}"#;
        assert_eq!(journey.on_event(&event(after(2), acked)), Some(Stage::Dhcp));
        assert_eq!(journey.on_event(&event(after(3), acked)), None, "a stage is reached once");
        let sent = r#"{"daemon":"tftpd","event":"file_sent","address":"10.0.0.1"}"#;
        assert_eq!(journey.on_event(&event(after(4), sent)), Some(Stage::Loader));
        for word in ["kernel 6.1", "ignition http://x/", "installed 10.0.0.1"] {
            journey.on_line(&line(after(5), after(5), &format!("FAROS-NODE {word}")));
        }
        assert!(!journey.complete());
        assert_eq!(journey.on_line(&line(after(9), after(9), "FAROS-NODE disk 10.0.0.1")), Some(Stage::Disk));
        assert!(journey.complete());
        assert_eq!(
            journey.stages[&Stage::Disk],
            Reached { secs: 9.0, address: Some("10.0.0.1".parse().unwrap()) }
        );
    }

    #[test]
    fn a_node_of_the_control_plane_is_through_when_its_api_is_healthy() {
        let start = clock::now();
        let mut journey = journey(start).up_to_the_api();
        let acked = r#"{"daemon":"dhcpd","event":"dhcp_acked","node":"cp1","address":"10.0.0.1"}"#;
        journey.on_event(&event(start, acked));
        journey.on_event(&event(start, r#"{"daemon":"tftpd","event":"file_sent","node":"cp1"}"#));
        for word in ["kernel", "ignition", "installed", "disk"] {
            journey.on_line(&line(start, start, &format!("FAROS-NODE {word}")));
        }
        assert_eq!((journey.next_stage(), journey.complete()), (Some(Stage::Api), false));
        let up = |front| {
            format!(r#"{{"daemon":"lb","event":"lb_server_up","frontend":"{front}","address":"10.0.0.1"}}"#)
        };
        assert_eq!(journey.on_event(&event(start, &up("machine-config"))), None);
        assert_eq!(journey.on_event(&event(start, &up("api"))), Some(Stage::Api));
        assert!(journey.complete());
    }

    #[test]
    fn two_addresses_are_not_complete() {
        let start = clock::now();
        let mut journey = journey(start);
        for address in ["10.0.0.1", "10.0.0.2"] {
            let text =
                format!(r#"{{"daemon":"dhcpd","event":"dhcp_acked","node":"cp1","address":"{address}"}}"#);
            journey.on_event(&event(start, &text));
        }
        journey.on_event(&event(start, r#"{"daemon":"tftpd","event":"file_sent","node":"cp1"}"#));
        for word in ["kernel", "ignition", "installed", "disk"] {
            journey.on_line(&line(start, start, &format!("FAROS-NODE {word}")));
        }
        assert_eq!(journey.next_stage(), None);
        assert!(!journey.complete());
    }

    #[test]
    fn a_stall_says_where_and_why() {
        let start = clock::now();
        let mut journey = journey(start);
        let text = r#"{"daemon":"dhcpd","event":"dhcp_unanswered","node":"cp1","reason":"pool exhausted"}"#;
        journey.on_event(&event(start, text));
        journey.on_time(start + Duration::from_secs(59), Duration::from_secs(60), "");
        assert_eq!(journey.stall, None);
        journey.on_time(start + Duration::from_secs(60), Duration::from_secs(60), "No more network devices");
        let stall = journey.stall.unwrap();
        assert_eq!(stall.stage, Stage::Dhcp);
        assert!(
            stall.why.contains("pool exhausted") && stall.why.contains("No more network"),
            "{}",
            stall.why
        );
    }

    #[test]
    fn anothers_events_change_nothing() {
        let start = clock::now();
        let mut journey = journey(start);
        let text = r#"{"daemon":"dhcpd","event":"dhcp_acked","node":"cp2","address":"10.0.0.2"}"#;
        assert_eq!(journey.on_event(&event(start, text)), None);
        assert!(journey.addresses.is_empty());
    }

    #[test]
    fn the_configuring_time_is_read_from_the_console() {
        let start = clock::now();
        let mut journey = journey(start);
        let end = start + Duration::from_millis(60);
        journey.on_line(&line(start, end, "Configuring (net0 52:54:00:00:08:11)... ok"));
        assert_eq!(journey.ipxe_configuring_secs, [0.06]);
    }
}
