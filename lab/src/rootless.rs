//! The lab of an ordinary user: the same program again, as root of a user namespace of its own.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use crate::error::LabError;

/// Tells the second start from the first.
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
        again.args(way).args(["sh", "-c", PREPARE]).arg(own).args(std::env::args_os().skip(1)).env(MARK, "1");
        return Err(LabError::doing("start unshare")(again.exec()));
    }
    Err(refusal("unshare --user failed"))
}
