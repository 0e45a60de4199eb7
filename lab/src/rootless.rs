//! The lab of an ordinary user: the same program again, as root of a user namespace of its own.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use crate::error::LabError;

/// Tells the second start from the first; holds the id of the user outside.
const MARK: &str = "FAROS_LAB_USER_NAMESPACE";

/// Names of namespaces live below `/run`, which the outer root owns.
const PREPARE: &str = "mount -t tmpfs tmpfs /run && exec \"$0\" \"$@\"";

/// Returns at once for root. Otherwise starts this program anew in a user namespace, and does not return.
///
/// # Errors
/// The kernel does not let this user have one.
pub(crate) fn enter_user_namespace() -> Result<(), LabError> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let refusal = |why: &str| {
        LabError::Missing(format!(
            "the lab needs network namespaces, and this user may not make any ({why}); run it as root, or \
             allow user namespaces (sysctl kernel.unprivileged_userns_clone=1)"
        ))
    };
    if std::env::var_os(MARK).is_some() {
        return Err(refusal("not even in a user namespace"));
    }
    let ways: [&[&str]; 2] = [
        // With a range of ids the daemons can become somebody else.
        &["--user", "--map-root-user", "--map-auto", "--mount", "--net"],
        &["--user", "--map-root-user", "--mount", "--net"],
    ];
    for way in ways {
        let trial = Command::new("unshare").args(way).arg("true").stderr(Stdio::null()).status();
        if !trial.is_ok_and(|status| status.success()) {
            continue;
        }
        let own = std::env::current_exe().map_err(LabError::doing("find this program"))?;
        let mut again = Command::new("unshare");
        again
            .args(way)
            .args(["sh", "-c", PREPARE])
            .arg(own)
            .args(std::env::args_os().skip(1))
            .env(MARK, rustix::process::getuid().as_raw().to_string());
        return Err(LabError::doing("start unshare")(again.exec()));
    }
    Err(refusal("unshare --user failed"))
}

/// The user whose lab it is, as the file systems know them.
pub(crate) fn user() -> u32 {
    let outside = std::env::var(MARK).ok().and_then(|uid| uid.parse().ok());
    outside.unwrap_or_else(|| rustix::process::getuid().as_raw())
}

/// Whether this user namespace knows nobody but root: a daemon cannot become somebody else then.
pub(crate) fn is_alone() -> bool {
    std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| knows_only_root(&map))
}

/// Lines of `inside outside count` (user_namespaces(7)).
fn knows_only_root(map: &str) -> bool {
    let counts = map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok());
    counts.sum::<u64>() <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_of_one_is_alone() {
        assert!(knows_only_root("         0       1000          1\n"));
        assert!(!knows_only_root("0 1000 1\n1 100000 65536\n"));
        assert!(!knows_only_root("0 0 4294967295\n"));
    }
}
