//! Boot scripts: what a machine's loader is told to do, in the loader's own language.
//!
//! Whoever stands at the console reads what happens and why. Nothing a client sent stands in a script but
//! values that were parsed (a MAC address, a UUID); a step that fails is tried again and never ends in a
//! shell.

mod grub;
mod ipxe;

use std::fmt;
use std::net::IpAddr;

use faros_common::site::Mac;

/// How long a machine waits before it asks again, after a step has failed, in seconds.
pub const RETRY_SECS: u32 = 5;

/// How long a machine that nobody knows shows its MAC address before it goes to its disk, in seconds.
pub const UNKNOWN_SECS: u32 = 5;

/// The loader that is to run a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loader {
    /// iPXE, on BIOS or UEFI: the script asks which.
    Ipxe,
    /// GRUB on UEFI.
    Grub,
}

impl Loader {
    /// The name in events and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ipxe => "ipxe",
            Self::Grub => "grub",
        }
    }
}

/// What a script does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Script {
    /// Boots the installation.
    Install(Install),
    /// Goes on to the local disk.
    Disk {
        /// The machine, by the name of its node or by its MAC address.
        who: String,
        /// Why: "it is installed".
        why: String,
    },
    /// Waits and asks again.
    Wait {
        /// The machine.
        who: String,
        /// What for.
        why: String,
    },
    /// Says that the machine is not in the site file, then goes on to the local disk.
    Unknown {
        /// Its card, if it said so.
        mac: Option<Mac>,
        /// Its address.
        address: IpAddr,
    },
}

/// What an installation boots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Install {
    /// The node's name.
    pub node: String,
    /// The profile's name.
    pub profile: String,
    /// The bastion's HTTP server, `http://192.168.8.1:8080`.
    pub http: String,
    /// The bastion's TFTP server, for a GRUB that speaks HTTP on port 80 only.
    pub tftp: Option<IpAddr>,
    /// The kernel's path below the boot root.
    pub kernel: String,
    /// The initial RAM disks' paths, in order.
    pub initrds: Vec<String>,
    /// The kernel's arguments, placeholders filled in.
    pub args: String,
}

/// Writes `script` for `loader`. `again` is the URL under which the same machine asks once more.
pub fn render(loader: Loader, script: &Script, again: &str) -> String {
    match loader {
        Loader::Ipxe => ipxe::render(script, again),
        Loader::Grub => grub::render(script, again),
    }
}

/// Arguments that a loader cannot hand to a kernel as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unquotable {
    /// The loader.
    pub loader: Loader,
    /// The argument.
    pub argument: String,
    /// What is in the way.
    pub because: &'static str,
}

impl fmt::Display for Unquotable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot pass the argument {:?}: {}", self.loader.name(), self.argument, self.because)
    }
}

/// What of the arguments `args` does not arrive at the kernel as it stands, for the check of a site file.
pub fn unquotable(loader: Loader, args: &str) -> Vec<Unquotable> {
    let reason = match loader {
        Loader::Ipxe => ipxe::unquotable,
        Loader::Grub => grub::unquotable,
    };
    let mut found: Vec<_> = args
        .split_ascii_whitespace()
        .filter_map(|word| Some(Unquotable { loader, argument: word.to_owned(), because: reason(word)? }))
        .collect();
    if args.contains(|c: char| c.is_control()) {
        let because = "control characters and line breaks end a line of a script";
        found.push(Unquotable { loader, argument: args.to_owned(), because });
    }
    found
}

/// `text` for a machine's console: whatever a loader could take for its own syntax becomes `?`.
fn printable(text: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || " .,:/_()=@+-[]\"?".contains(c);
    text.chars().map(|c| if harmless(c) { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests;
