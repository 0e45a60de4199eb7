//! From the loader to the disk: which step was the last, and why there is no next one.

use std::time::{Duration, SystemTime};

use super::{Conclusion, Evidence, Health, LOOP_TIME, conclusion, stalled};
use crate::output::time;

/// A loader asks for an address, which some switches delay for half a minute, then for its script.
const SCRIPT_EXPECTED: Duration = Duration::from_secs(90);
/// The kernel is asked for at once; it may be large and the line slow.
const KERNEL_EXPECTED: Duration = Duration::from_secs(120);
/// A live system may fetch a root image of a gigabyte before it asks for its Ignition.
const IGNITION_EXPECTED: Duration = Duration::from_secs(300);
/// Writing a disk and the first reboot.
const INSTALLED_EXPECTED: Duration = Duration::from_secs(45 * 60);
/// Coming back more often than this within [`LOOP_TIME`] is a loop.
const LOOP_TIMES: usize = 3;
/// The certificates in a bootstrap machine's Ignition end so long after it was made.
const CERTIFICATES_LAST: Duration = Duration::from_secs(24 * 3600);

impl Evidence<'_> {
    pub(super) fn after_loader(&self, at: SystemTime) -> Conclusion {
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

    pub(super) fn after_script(&self, at: SystemTime) -> Conclusion {
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

    pub(super) fn after_kernel(&self, at: SystemTime) -> Conclusion {
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

    pub(super) fn after_ignition(&self, at: SystemTime) -> Conclusion {
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

    pub(super) fn after_disk(&self, at: SystemTime) -> Conclusion {
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
}
