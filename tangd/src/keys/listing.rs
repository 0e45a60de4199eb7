//! What a key directory looks like at a moment.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{KeysError, Version};

/// How long after a change another one may leave equal times, where the file system counts the kernel's ticks: 10 ms
/// at most, and a margin.
const SETTLED_AFTER: Duration = Duration::from_millis(100);
/// The same where it counts whole seconds or pairs of them (FAT, old network file systems).
const SETTLED_AFTER_COARSE: Duration = Duration::from_secs(3);
/// What the name of a key file ends with.
pub(super) const SUFFIX: &str = ".jwk";

/// An open key directory.
pub(super) struct Listing<'p> {
    path: &'p Path,
    directory: OwnedFd,
}

impl<'p> Listing<'p> {
    pub(super) fn open(path: &'p Path) -> Result<Self, KeysError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(path, flags, Mode::empty());
        Ok(Self { path, directory: directory.map_err(|error| KeysError::Io(path.to_owned(), error.into()))? })
    }

    /// Waits until no other process changes keys; until this value is dropped, others wait.
    pub(super) fn lock(&self) -> Result<(), KeysError> {
        rustix::io::retry_on_intr(|| rustix::fs::flock(&self.directory, FlockOperation::LockExclusive))
            .map_err(|error| self.error("", error.into()))
    }

    /// The names of all key files, sorted. A name that is not UTF-8 cannot be one of ours or upstream's.
    pub(super) fn names(&self) -> Result<Vec<String>, KeysError> {
        self.names_with(SUFFIX)
    }

    /// The names of all files whose name ends with `suffix`, sorted.
    pub(super) fn names_with(&self, suffix: &str) -> Result<Vec<String>, KeysError> {
        let mut names = Vec::new();
        // Opened anew each time: a second reading through the same descriptor goes on where the first ended.
        let entries = Dir::read_from(&self.directory).map_err(|error| self.error("", error.into()))?;
        for entry in entries {
            let entry = entry.map_err(|error| self.error("", error.into()))?;
            let name = entry.file_name().to_str().ok().filter(|name| name.ends_with(suffix));
            names.extend(name.map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    /// The state of the directory and of each key file in it.
    pub(super) fn version(&self) -> Result<Version, KeysError> {
        let mut hasher = DefaultHasher::new();
        let own = rustix::fs::fstat(&self.directory).map_err(|error| self.error("", error.into()))?;
        let mut newest = stamp(&own, &mut hasher);
        for name in self.names()? {
            name.hash(&mut hasher);
            // Behind a symbolic link it is the file that counts: that is how Kubernetes hands out secrets.
            match rustix::fs::statat(&self.directory, &*name, AtFlags::empty()) {
                Ok(stat) => newest = newest.max(stamp(&stat, &mut hasher)),
                Err(Errno::NOENT | Errno::LOOP | Errno::ACCESS) => 0.hash(&mut hasher),
                Err(error) => return Err(self.error(&name, error.into())),
            }
        }
        let after = if newest.subsec_nanos() == 0 { SETTLED_AFTER_COARSE } else { SETTLED_AFTER };
        let now = faros_common::clock::wall().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Ok(Version { stamp: vec![hasher.finish()], settled: now.abs_diff(newest) > after })
    }

    pub(super) fn directory(&self) -> impl AsFd {
        &self.directory
    }

    pub(super) fn error(&self, name: &str, error: io::Error) -> KeysError {
        KeysError::Io(if name.is_empty() { self.path.to_owned() } else { self.path.join(name) }, error)
    }
}

/// Feeds what a change changes, and returns the time of the latest one.
fn stamp(stat: &Stat, hasher: &mut DefaultHasher) -> Duration {
    (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mode, stat.st_uid, stat.st_gid).hash(hasher);
    (stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec).hash(hasher);
    let time = |seconds: i64, nanoseconds: u64| {
        Duration::new(u64::try_from(seconds).unwrap_or(0), u32::try_from(nanoseconds).unwrap_or(0))
    };
    time(stat.st_mtime, stat.st_mtime_nsec).max(time(stat.st_ctime, stat.st_ctime_nsec))
}
