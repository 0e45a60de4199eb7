//! Before anything was fetched: it is all about DHCP.

use std::time::{Duration, SystemTime};

use faros_common::site::OwnerKind;

use super::{Conclusion, Evidence, Health, conclusion, stalled};
use crate::node::state::Stage;

/// A machine that has its address asks for its loader at once.
const LOADER_EXPECTED: Duration = Duration::from_secs(60);
/// An offer is taken within a second, unless somebody else's was.
const REQUEST_EXPECTED: Duration = Duration::from_secs(15);

impl Evidence<'_> {
    /// Nothing was fetched yet.
    pub(super) fn before_loader(&self) -> Conclusion {
        let trace = self.trace;
        if trace.is_silent() {
            return self.needs("dhcpd", "none", "nothing was heard of it").unwrap_or_else(|| self.silent());
        }
        if let Some(armed) = self.armed_since_heard() {
            let text = format!("armed {}; it installs at its next network boot: restart it", self.ago(armed));
            return conclusion(Health::UnderWay, "none", text);
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

    /// When the node was armed, if it has not been heard of since.
    fn armed_since_heard(&self) -> Option<SystemTime> {
        let remembered =
            self.node.filter(|node| node.stage == Some(Stage::Armed)).and_then(|node| node.since);
        let armed = remembered.max(self.trace.armed)?;
        self.trace.heard.is_none_or(|heard| heard < armed).then_some(armed)
    }

    fn silent(&self) -> Conclusion {
        if self.node.is_some_and(|node| node.stage == Some(Stage::Held)) {
            let text = "nothing was heard of it lately; it is not armed, so a network boot goes to its disk";
            return conclusion(Health::Silent, "none", text);
        }
        let macs: Vec<String> = self.macs.iter().map(ToString::to_string).collect();
        let text = match (self.kind, macs.as_slice()) {
            (Some(OwnerKind::Node), [_, ..]) => format!(
                "no DHCP request seen from any of its MACs ({}): it is off or unplugged, boots from elsewhere first, \
                 sits in another VLAN, or the MAC in the site file is not its own (farosctl boot unknown shows strangers)",
                macs.join(", ")
            ),
            _ => "no request seen from it: it is off, unplugged, in another network, or needs nothing"
                .to_owned(),
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
}
