//! Where a machine stalls and why: one line out of what daemons saw of it.

use std::time::{Duration, SystemTime};

use faros_common::site::{Mac, OwnerKind};
use serde::Serialize;

use super::trace::{Step, Trace};
use crate::node::state::{NodeState, Stage};
use crate::output::{Tone, time};

/// A machine that has its address asks for its loader at once.
const LOADER_EXPECTED: Duration = Duration::from_secs(60);
/// A loader asks for an address, which some switches delay for half a minute, then for its script.
const SCRIPT_EXPECTED: Duration = Duration::from_secs(90);
/// The kernel is asked for at once; it may be large and the line slow.
const KERNEL_EXPECTED: Duration = Duration::from_secs(120);
/// A live system may fetch a root image of a gigabyte before it asks for its Ignition.
const IGNITION_EXPECTED: Duration = Duration::from_secs(300);
/// Writing a disk and the first reboot.
const INSTALLED_EXPECTED: Duration = Duration::from_secs(45 * 60);
/// An offer is taken within a second, unless somebody else's was.
const REQUEST_EXPECTED: Duration = Duration::from_secs(15);
/// Coming back more often than this many times within [`LOOP_TIME`] is a loop.
const LOOP_TIMES: usize = 3;
const LOOP_TIME: Duration = Duration::from_secs(600);
/// The certificates in a bootstrap machine's Ignition end so long after it was made.
const CERTIFICATES_LAST: Duration = Duration::from_secs(24 * 3600);

/// Everything a conclusion is drawn from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evidence<'e> {
    pub(crate) now: SystemTime,
    /// What the site file says it is.
    pub(crate) kind: Option<OwnerKind>,
    pub(crate) macs: &'e [Mac],
    pub(crate) trace: &'e Trace,
    /// What ignition-http says of it.
    pub(crate) node: Option<&'e NodeState>,
    /// Daemons that should answer and do not.
    pub(crate) down: &'e [String],
    /// Where its Ignition is to be had.
    pub(crate) ignition_url: Option<&'e str>,
    /// How old the Ignition file with limited certificates is, for a node that gets one.
    pub(crate) certificates_age: Option<Duration>,
}

/// How a machine fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Health {
    /// It is where it should be.
    Fine,
    /// The next step is expected any moment.
    UnderWay,
    /// The next step is overdue or was refused.
    Stalled,
    /// Nothing was heard of it.
    Silent,
}

impl Health {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::UnderWay => "under way",
            Self::Stalled => "stalled",
            Self::Silent => "silent",
        }
    }

    pub(crate) fn tone(self) -> Tone {
        match self {
            Self::Fine => Tone::Good,
            Self::UnderWay => Tone::Warning,
            Self::Stalled | Self::Silent => Tone::Bad,
        }
    }
}

/// The one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Conclusion {
    pub(crate) health: Health,
    /// The last step that was taken: `none`, `dhcp`, `loader`, `script`, `kernel`, `ignition`, `installed`, `disk`.
    pub(crate) at: &'static str,
    pub(crate) text: String,
}

/// Draws it.
pub(crate) fn conclude(evidence: &Evidence<'_>) -> Conclusion {
    let trace = evidence.trace;
    if let Some(refused) = &trace.ignition_refused
        && trace.step.is_none_or(|(_, at)| refused.at >= at)
    {
        let text = format!("its Ignition was refused {}: {}", evidence.ago(refused.at), refused.reason);
        return stalled("kernel", text);
    }
    if let Some(refused) = &trace.report_refused
        && trace.step.is_none_or(|(_, at)| refused.at >= at)
    {
        let text = format!("its report was refused {}: {}", evidence.ago(refused.at), refused.reason);
        return stalled("ignition", text);
    }
    if let Some(conflict) = &trace.conflict
        && trace.step.is_none_or(|(_, at)| conflict.at >= at)
    {
        let text = format!(
            "it contradicts itself ({}), so it gets no installation: {}",
            evidence.ago(conflict.at),
            conflict.reason
        );
        return stalled("loader", text);
    }
    match evidence.step() {
        None => evidence.before_loader(),
        Some((Step::Loader, at)) => evidence.after_loader(at),
        Some((Step::Script, at)) => evidence.after_script(at),
        Some((Step::Kernel, at)) => evidence.after_kernel(at),
        Some((Step::Ignition, at)) => evidence.after_ignition(at),
        Some((Step::Installed, at)) => {
            let ago = evidence.ago(at);
            conclusion(
                Health::Fine,
                "installed",
                format!("installed {ago}; its next network boot goes to the disk"),
            )
        }
        Some((Step::Disk, at)) => evidence.after_disk(at),
    }
}

fn conclusion(health: Health, at: &'static str, text: impl Into<String>) -> Conclusion {
    Conclusion { health, at, text: text.into() }
}

fn stalled(at: &'static str, text: impl Into<String>) -> Conclusion {
    conclusion(Health::Stalled, at, text)
}

impl Evidence<'_> {
    /// The last step: from events, or from the node's state where events are forgotten already.
    fn step(&self) -> Option<(Step, SystemTime)> {
        let remembered = self.node.and_then(|node| {
            let step = match node.stage? {
                Stage::Held | Stage::Armed => return None,
                Stage::Loader => Step::Script,
                Stage::Kernel => Step::Kernel,
                Stage::Ignition => Step::Ignition,
                Stage::Installed => Step::Installed,
                Stage::Disk => Step::Disk,
            };
            Some((step, node.since?))
        });
        match (self.trace.step, remembered) {
            // The state is written down before its event is told; a loader's download changes no state.
            (Some(seen), Some(remembered)) if remembered.1 > seen.1 => Some(remembered),
            (None, remembered) => remembered,
            (seen, _) => seen,
        }
    }

    fn ago(&self, at: SystemTime) -> String {
        time::ago(self.now, at)
    }

    fn within(&self, at: SystemTime, limit: Duration) -> bool {
        self.now.duration_since(at).unwrap_or_default() < limit
    }

    fn is_down(&self, daemon: &str) -> bool {
        self.down.iter().any(|down| down == daemon)
    }

    /// What is wrong when a daemon that the next step needs does not run.
    fn needs(&self, daemon: &str, at: &'static str, what: &str) -> Option<Conclusion> {
        self.is_down(daemon).then(|| {
            stalled(
                at,
                format!(
                    "{what}, and {daemon} does not answer; start it with: systemctl start faros-{daemon}"
                ),
            )
        })
    }

    /// Nothing was fetched yet: it is all about DHCP.
    fn before_loader(&self) -> Conclusion {
        let trace = self.trace;
        if trace.is_silent() {
            return self.needs("dhcpd", "none", "nothing was heard of it").unwrap_or_else(|| self.silent());
        }
        let answered = trace.dhcp();
        let newest = |at: SystemTime| answered.is_none_or(|answered| at >= answered);
        if let Some(failed) = trace.file_failed.as_ref().filter(|failed| newest(failed.at)) {
            return self.file_failed("dhcp", failed);
        }
        if let Some(declined) = trace.declined.as_ref().filter(|declined| newest(declined.at)) {
            let address = declined.what.as_deref().unwrap_or("its address");
            let text = format!(
                "it declined {address} {}: another machine uses that address; find it (arping, ip neigh) and give it its own",
                self.ago(declined.at)
            );
            return stalled("dhcp", text);
        }
        if let Some(other) = trace.other_server.as_ref().filter(|other| newest(other.at)) {
            let server = other.what.as_deref().unwrap_or("another one");
            let text = format!(
                "another DHCP server ({server}) answered it {} and it took that offer; switch that server off on this LAN",
                self.ago(other.at)
            );
            return stalled("dhcp", text);
        }
        if let Some(refused) = trace.refused_address.as_ref().filter(|refused| newest(refused.at)) {
            let text =
                format!("DHCP refused (NAK) what it asked for {}: {}", self.ago(refused.at), refused.reason);
            return stalled("dhcp", text);
        }
        if let Some(unanswered) = trace.unanswered.as_ref().filter(|unanswered| newest(unanswered.at)) {
            let text = format!(
                "DHCP request seen {} but not answered: {}",
                self.ago(unanswered.at),
                unanswered.reason
            );
            return stalled("dhcp", text);
        }
        match (trace.acknowledged, trace.offered) {
            (acknowledged, Some(offered))
                if acknowledged.is_none_or(|acknowledged| acknowledged < offered) =>
            {
                self.after_offer(offered)
            }
            (Some(at), _) => self.after_dhcp(at),
            (None, _) => self.silent(),
        }
    }

    fn silent(&self) -> Conclusion {
        if self.node.is_some_and(|node| node.stage == Some(Stage::Held)) {
            let text = "nothing was heard of it lately; it is not armed, so a network boot goes to its disk";
            return conclusion(Health::Silent, "none", text);
        }
        let macs: Vec<String> = self.macs.iter().map(ToString::to_string).collect();
        let text = if macs.is_empty() {
            "no request seen from it: it is off, unplugged or in another network".to_owned()
        } else {
            format!(
                "no DHCP request seen from any of its MACs ({}): it is off or unplugged, boots from elsewhere first, sits in \
                 another VLAN, or the MAC in the site file is not its own (farosctl boot unknown shows strangers)",
                macs.join(", ")
            )
        };
        conclusion(Health::Silent, "none", text)
    }

    fn after_offer(&self, offered: SystemTime) -> Conclusion {
        if self.within(offered, REQUEST_EXPECTED) {
            return conclusion(
                Health::UnderWay,
                "dhcp",
                "an address was offered; it is expected to ask for it",
            );
        }
        let text = format!(
            "DHCP offered an address {} but it never took it: another DHCP server answered first, or replies do not reach it",
            self.ago(offered)
        );
        stalled("dhcp", text)
    }

    fn after_dhcp(&self, at: SystemTime) -> Conclusion {
        let ago = self.ago(at);
        if self.kind.is_none() {
            let text = format!(
                "it got its address {ago}; it stands nowhere in the site file, so nothing is installed on it"
            );
            return conclusion(Health::Fine, "dhcp", text);
        }
        if self.kind != Some(OwnerKind::Node) {
            return conclusion(
                Health::Fine,
                "dhcp",
                format!("it got its address {ago}; nothing more is expected of it"),
            );
        }
        if self.node.is_some_and(|node| node.stage == Some(Stage::Held)) {
            let text =
                format!("it got its address {ago}; it is not armed, so a network boot goes to its disk");
            return conclusion(Health::Fine, "dhcp", text);
        }
        for daemon in ["tftpd", "ignition-http"] {
            if let Some(conclusion) = self.needs(daemon, "dhcp", &format!("DHCP answered {ago}")) {
                return conclusion;
            }
        }
        if self.within(at, LOADER_EXPECTED) {
            return conclusion(
                Health::UnderWay,
                "dhcp",
                format!("DHCP answered {ago}; it is expected to fetch its loader"),
            );
        }
        let text = format!(
            "DHCP answered {ago} but the loader was never fetched: TFTP (or HTTP, for HTTP boot) is blocked on the way, or it \
             asked as a running system and not as firmware; reboot it into network boot"
        );
        stalled("dhcp", text)
    }

    fn after_loader(&self, at: SystemTime) -> Conclusion {
        let ago = self.ago(at);
        if let Some(failed) = self.failure_since(at) {
            return self.file_failed("loader", failed);
        }
        if let Some(conclusion) =
            self.needs("ignition-http", "loader", &format!("the loader was fetched {ago}"))
        {
            return conclusion;
        }
        if let Some(looping) = self.trace.boot_loop.as_ref().filter(|looping| looping.at >= at) {
            let file = looping.what.as_deref().unwrap_or("its loader");
            return stalled("loader", format!("{file} starts over and over: {}", looping.reason));
        }
        let again = self.recent(&self.trace.loaders);
        if again > LOOP_TIMES {
            let text = format!(
                "it fetched its loader {again} times within {} and never a boot script: the loader starts itself over; see \
                 whether it gets its own DHCP answer (farosctl events --node …)",
                time::span(LOOP_TIME)
            );
            return stalled("loader", text);
        }
        if self.within(at, SCRIPT_EXPECTED) {
            let text = format!("loader fetched {ago}; it is expected to ask for its boot script");
            return conclusion(Health::UnderWay, "loader", text);
        }
        let reason = match self.trace.dhcp().filter(|dhcp| *dhcp >= at) {
            Some(_) => "the loader got its address but not its script: HTTP is blocked on the way",
            None => {
                "the loader never asked for an address: it has no driver for this card, or it was refused by Secure Boot"
            }
        };
        stalled("loader", format!("loader fetched {ago}, boot script never: {reason}"))
    }

    fn after_script(&self, at: SystemTime) -> Conclusion {
        let ago = self.ago(at);
        if let Some(waits) = &self.trace.waits {
            return stalled(
                "script",
                format!("it asked for its script {ago} and was told to wait: {}", waits.reason),
            );
        }
        if let Some(failed) = self.failure_since(at) {
            return self.file_failed("script", failed);
        }
        if let Some(conclusion) =
            self.needs("ignition-http", "script", &format!("its boot script was served {ago}"))
        {
            return conclusion;
        }
        if self.within(at, KERNEL_EXPECTED) {
            let text = format!("boot script served {ago}; it is expected to fetch the kernel");
            return conclusion(Health::UnderWay, "script", text);
        }
        let text = format!(
            "boot script served {ago}, kernel never fetched as a whole: the profile's kernel does not exist (farosctl check), \
             the transfer broke off, or the loader could not run it"
        );
        stalled("script", text)
    }

    fn after_kernel(&self, at: SystemTime) -> Conclusion {
        let ago = self.ago(at);
        let url = self.ignition_url.unwrap_or("its Ignition URL");
        if let Some(failed) = self.failure_since(at) {
            return self.file_failed("kernel", failed);
        }
        if let Some(conclusion) =
            self.needs("ignition-http", "kernel", &format!("the kernel was fetched {ago}"))
        {
            return conclusion;
        }
        if self.within(at, IGNITION_EXPECTED) {
            let text = format!("kernel fetched {ago}; the installer is expected to ask for its Ignition");
            return conclusion(Health::UnderWay, "kernel", text);
        }
        let detail = match self.trace.dhcp().filter(|dhcp| *dhcp > at) {
            Some(_) => "though it got an address again; see the profile's args and the machine's console",
            None => {
                "and no DHCP request came from it since; it has no driver for this card, waits for other media, or crashed \
                 (see its console)"
            }
        };
        stalled(
            "kernel",
            format!("kernel fetched {ago}, Ignition never: the installer did not reach {url}, {detail}"),
        )
    }

    fn after_ignition(&self, at: SystemTime) -> Conclusion {
        let ago = self.ago(at);
        if let Some(age) = self.certificates_age.filter(|age| *age >= CERTIFICATES_LAST) {
            let text = format!(
                "Ignition fetched {ago}, but the file is {} old and the certificates in it end after 24 h: make the Ignition \
                 files anew and arm the node again",
                time::span(age)
            );
            return stalled("ignition", text);
        }
        if self.within(at, INSTALLED_EXPECTED) {
            return conclusion(Health::UnderWay, "ignition", format!("Ignition fetched {ago}; it installs"));
        }
        let text = format!(
            "Ignition fetched {ago}, and neither a report nor a reboot followed: see the machine's console for what the \
             installer waits for"
        );
        stalled("ignition", text)
    }

    fn after_disk(&self, at: SystemTime) -> Conclusion {
        let ago = self.ago(at);
        let again = self.recent(&self.trace.disks);
        if again >= LOOP_TIMES {
            let text = format!(
                "it was sent to its disk {again} times within {} and comes back each time: the disk does not boot; see its \
                 console, or install it anew (farosctl node install)",
                time::span(LOOP_TIME)
            );
            return stalled("disk", text);
        }
        conclusion(Health::Fine, "disk", format!("it was sent to its disk {ago}"))
    }

    fn failure_since(&self, at: SystemTime) -> Option<&super::trace::Trouble> {
        self.trace.file_failed.as_ref().filter(|failed| failed.at >= at)
    }

    fn file_failed(&self, at: &'static str, failed: &super::trace::Trouble) -> Conclusion {
        let file = failed.what.as_deref().unwrap_or("a file");
        let text = format!(
            "{file} could not be sent {}: {}; see: farosctl boot loaders, farosctl check",
            self.ago(failed.at),
            failed.reason
        );
        stalled(at, text)
    }

    /// How many of `times` lie within [`LOOP_TIME`].
    fn recent(&self, times: &[SystemTime]) -> usize {
        times.iter().filter(|at| self.within(**at, LOOP_TIME)).count()
    }
}

#[cfg(test)]
#[path = "conclusion_tests.rs"]
mod tests;
