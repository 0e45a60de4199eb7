//! Files, restricted by landlock as far as the kernel knows it.

use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus,
};

use super::Sandbox;

/// The newest landlock version whose rights we know; older kernels enforce what they know of it.
const KNOWN: ABI = ABI::V5;

/// What every daemon may read where it is there: its own image and the C library (backtraces, lazy loading), the
/// kernel's view of the process and network, time zones, names of hosts and the certificates of authorities. Of
/// `/etc` no more than that: it holds the host's secrets.
const ALWAYS_READ: [&str; 17] = [
    "/proc",
    "/sys/class/net",
    "/sys/devices",
    "/usr",
    "/lib",
    "/lib64",
    "/dev/urandom",
    "/etc/ca-certificates",
    "/etc/group",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/pki",
    "/etc/resolv.conf",
    "/etc/ssl",
];

/// Restricts the process to `sandbox`; says how far the kernel does it.
pub(super) fn restrict(sandbox: &Sandbox) -> io::Result<&'static str> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))
        .and_then(Ruleset::create)
        .map_err(io::Error::other)?;
    let reading = AccessFs::from_read(KNOWN) & !AccessFs::Execute;
    let always: Vec<_> = ALWAYS_READ.iter().map(PathBuf::from).filter(|path| path.exists()).collect();
    let read = always.iter().chain(&sandbox.read).map(|path| (path, reading));
    let write = sandbox.read_write.iter().map(|path| (path, reading | AccessFs::from_write(KNOWN)));
    for (path, rights) in read.chain(write) {
        let Some((file, rights)) = nearest_existing(path, rights)? else { continue };
        rules = rules.add_rule(PathBeneath::new(file, rights)).map_err(io::Error::other)?;
    }
    let status = rules.restrict_self().map_err(io::Error::other)?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => "full",
        RulesetStatus::PartiallyEnforced => "partial",
        RulesetStatus::NotEnforced => "none",
    })
}

/// `path` or its nearest existing parent, never the root directory: a file that appears later is reached
/// through the directory it appears in.
fn nearest_existing(
    path: &Path,
    rights: BitFlags<AccessFs>,
) -> io::Result<Option<(PathFd, BitFlags<AccessFs>)>> {
    for path in path.ancestors().filter(|path| path.parent().is_some()) {
        let Ok(metadata) = path.metadata() else { continue };
        let file = PathFd::new(path).map_err(io::Error::other)?;
        let rights = if metadata.is_dir() { rights } else { rights & AccessFs::from_file(KNOWN) };
        return Ok(Some((file, rights)));
    }
    Ok(None)
}
