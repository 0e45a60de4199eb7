//! The lab's own directory, and clearing away what a crashed lab left behind.
//!
//! Everything of one lab carries its tag, `fl<pid>` or `fl<pid>x<n>`: the directory `<tmp>/faros-lab/<tag>`
//! and the namespaces `<tag>-…`. The directory holds a locked file as long as its owner lives; the lock
//! goes with the process, however it ends. Whoever finds a directory whose lock is free removes it, its
//! namespaces, and the processes in them.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::FlockOperation;

use crate::error::LabError;
use crate::netns;
use crate::rootless;

/// The directory of one lab; removed when dropped.
#[derive(Debug)]
pub(crate) struct Workdir {
    path: PathBuf,
    tag: String,
    keep: bool,
    _lock: File,
}

static LABS: AtomicU32 = AtomicU32::new(0);

impl Workdir {
    /// A fresh directory. What dead labs left is swept first.
    pub(crate) fn create() -> Result<Self, LabError> {
        let base = base();
        fs::create_dir_all(&base).map_err(LabError::io("create", &base))?;
        // A directory that somebody else has put there could hold anything.
        let owner = fs::metadata(&base).map_err(LabError::io("look at", &base))?.uid();
        if owner != rustix::process::geteuid().as_raw() {
            return Err(LabError::Unplayable(format!(
                "{} belongs to user {owner}; remove it, or set TMPDIR to another place",
                base.display()
            )));
        }
        sweep(&base);
        let count = LABS.fetch_add(1, Ordering::Relaxed);
        let pid = std::process::id();
        let tag = if count == 0 { format!("fl{pid}") } else { format!("fl{pid}x{count}") };
        let path = base.join(&tag);
        fs::create_dir_all(&path).map_err(LabError::io("create", &path))?;
        // The daemons leave root behind and still have to pass through.
        for directory in [&base, &path] {
            let _ = fs::set_permissions(directory, fs::Permissions::from_mode(0o755));
        }
        let lock = File::create(path.join(LOCK)).map_err(LabError::io("create", &path))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| LabError::io("lock", &path)(error.into()))?;
        Ok(Self { path, tag, keep: false, _lock: lock })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What every name of this lab begins with.
    pub(crate) fn tag(&self) -> &str {
        &self.tag
    }

    /// Leaves the files in place when the lab ends.
    pub(crate) fn keep(&mut self) {
        self.keep = true;
    }

    /// A directory in it, created.
    pub(crate) fn directory(&self, name: &str) -> Result<PathBuf, LabError> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).map_err(LabError::io("create", &path))?;
        Ok(path)
    }
}

impl Drop for Workdir {
    fn drop(&mut self) {
        if self.keep {
            // Without its lock file the directory is nobody's, and the next lab leaves it alone.
            let _ = fs::remove_file(self.path.join(LOCK));
        } else {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

const LOCK: &str = "lock";

fn base() -> PathBuf {
    // One place per user: nobody else's directory can be in the way.
    let uid = rootless::user();
    std::env::temp_dir().join(if uid == 0 { "faros-lab".to_owned() } else { format!("faros-lab-{uid}") })
}

/// Removes what labs left whose process is gone.
fn sweep(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        let Ok(lock) = File::open(path.join(LOCK)) else { continue };
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        let Some(tag) = path.file_name().and_then(|name| name.to_str()).filter(|tag| is_tag(tag)) else {
            continue;
        };
        for namespace in netns::existing(&format!("{tag}-")) {
            netns::remove(&namespace);
        }
        let _ = fs::remove_dir_all(&path);
    }
}

/// `fl<pid>` or `fl<pid>x<n>`: nothing else ever leads to the removal of a namespace.
fn is_tag(name: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    name.strip_prefix("fl").is_some_and(|rest| match rest.split_once('x') {
        Some((pid, count)) => number(pid) && number(count),
        None => number(rest),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_goes_with_its_owner_and_tags_differ() {
        let first = Workdir::create().unwrap();
        let second = Workdir::create().unwrap();
        assert_ne!(first.tag(), second.tag());
        let path = first.path().to_owned();
        assert!(path.exists());
        drop(first);
        assert!(!path.exists());
        assert!(second.path().exists(), "a living lab's directory is not swept");
    }

    #[test]
    fn only_names_of_ours_are_tags() {
        assert!(is_tag("fl17") && is_tag("fl17x3"));
        for name in ["", "fl", "flx3", "fl17x", "fl17-wan", "prod", "17"] {
            assert!(!is_tag(name), "{name}");
        }
    }

    #[test]
    fn what_a_dead_lab_left_is_swept() {
        let base = tempfile::tempdir().unwrap();
        let left = base.path().join("fl0");
        fs::create_dir(&left).unwrap();
        fs::write(left.join(LOCK), "").unwrap();
        let kept = base.path().join("kept");
        fs::create_dir(&kept).unwrap();
        sweep(base.path());
        assert!(!left.exists());
        assert!(kept.exists(), "what has no lock file is nobody's leftover");
    }
}
