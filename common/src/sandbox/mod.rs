//! What a daemon gives up once it holds its sockets: groups, ids, capabilities, files, system calls.
//!
//! Daemons do this themselves, so that a container or an appliance has it too and not only a systemd
//! unit. It happens while the process has a single thread; every later thread inherits it. A feature that
//! the kernel lacks is a warning, not an end; a privilege that cannot be given up is an end.

mod account;
mod files;
mod platform;
mod syscalls;

pub use account::Account;
pub(crate) use account::group_id;
pub use caps::Capability;

use std::io;
use std::path::{Path, PathBuf};

use caps::{CapSet, CapsHashSet};
use serde::Serialize;
use tracing::warn;

/// What stays allowed.
#[derive(Clone, Debug, Default)]
pub struct Sandbox {
    pub(crate) read: Vec<PathBuf>,
    pub(crate) read_write: Vec<PathBuf>,
    pub(crate) capabilities: Vec<Capability>,
    pub(crate) syscalls: Vec<i64>,
}

impl Sandbox {
    /// Nothing but what every daemon needs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reading below `path`, which need not exist yet: its nearest existing parent is what counts then.
    #[must_use]
    pub fn read(mut self, path: impl AsRef<Path>) -> Self {
        self.read.push(path.as_ref().to_owned());
        self
    }

    /// Reading and writing below `path`.
    #[must_use]
    pub fn read_write(mut self, path: impl AsRef<Path>) -> Self {
        self.read_write.push(path.as_ref().to_owned());
        self
    }

    /// A capability that is needed while serving, not only at start.
    #[must_use]
    pub fn capability(mut self, capability: Capability) -> Self {
        self.capabilities.push(capability);
        self
    }

    /// System calls beyond those of every daemon, by number (`libc::SYS_…`).
    #[must_use]
    pub fn syscalls(mut self, numbers: &[i64]) -> Self {
        self.syscalls.extend_from_slice(numbers);
        self
    }
}

/// What was given up, for `GET /status`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Confinement {
    /// The user it runs as.
    pub user: String,
    /// The capabilities it keeps.
    pub capabilities: Vec<String>,
    /// How files are restricted: `full`, `partial` or `none`.
    pub landlock: &'static str,
    /// Whether system calls are filtered.
    pub seccomp: bool,
}

/// Becomes `account` (where given and where we are root) and gives up all but `sandbox`.
///
/// # Errors
/// A privilege that could not be given up: the daemon must not serve then.
pub(crate) fn apply(sandbox: &Sandbox, account: Option<&Account>) -> io::Result<Confinement> {
    let mut confinement = Confinement::default();
    drop_privileges(&sandbox.capabilities, account)?;
    confinement.user = match account {
        Some(account) => account.name.clone(),
        None => rustix::process::geteuid().as_raw().to_string(),
    };
    let kept = caps::read(None, CapSet::Permitted).map_err(io::Error::other)?;
    confinement.capabilities = kept.iter().map(ToString::to_string).collect();
    rustix::thread::set_no_new_privs(true)?;
    confinement.landlock = match files::restrict(sandbox) {
        Ok(level) => level,
        Err(error) => {
            warn!(event = "landlock_failed", %error, "files are not restricted");
            "none"
        }
    };
    if confinement.landlock != "full" {
        warn!(
            event = "landlock_missing",
            level = confinement.landlock,
            "the kernel does not restrict files fully"
        );
    }
    match syscalls::restrict(&sandbox.syscalls) {
        Ok(()) => confinement.seccomp = true,
        Err(error) => warn!(event = "seccomp_missing", %error, "system calls are not filtered"),
    }
    Ok(confinement)
}

fn drop_privileges(kept: &[Capability], account: Option<&Account>) -> io::Result<()> {
    let permitted = caps::read(None, CapSet::Permitted).map_err(io::Error::other)?;
    let kept: CapsHashSet =
        kept.iter().copied().filter(|capability| permitted.contains(capability)).collect();
    if permitted.contains(&Capability::CAP_SETPCAP) {
        for capability in caps::all() {
            if !kept.contains(&capability)
                && caps::has_cap(None, CapSet::Bounding, capability).unwrap_or(false)
            {
                caps::drop(None, CapSet::Bounding, capability).map_err(io::Error::other)?;
            }
        }
    }
    if let Some(account) = account {
        rustix::thread::set_keep_capabilities(true)?;
        platform::become_user(account)?;
        rustix::thread::set_keep_capabilities(false)?;
    }
    // Ambient capabilities (from systemd) go by themselves as soon as they are no longer inheritable.
    caps::set(None, CapSet::Inheritable, &CapsHashSet::new()).map_err(io::Error::other)?;
    caps::set(None, CapSet::Effective, &kept).map_err(io::Error::other)?;
    caps::set(None, CapSet::Permitted, &kept).map_err(io::Error::other)?;
    Ok(())
}
