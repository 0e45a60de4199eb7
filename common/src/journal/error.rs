//! What can go wrong with a journal, and what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a journal could not be opened, or a record not be made durable.
///
/// Cloned to everybody who waits for the same batch. The text says what the operator can do.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum JournalError {
    /// The state directory is missing or cannot be opened. At start: refuse to serve.
    Directory {
        /// The state directory.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// A file belongs to somebody else. At start: refuse to serve.
    Denied {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// Another process has this journal open. At start: refuse to serve.
    InUse {
        /// The lock file.
        path: PathBuf,
    },
    /// There was a journal, and it is gone. At start: refuse to serve.
    Vanished {
        /// The journal that is missing.
        path: PathBuf,
        /// The marker that tells of it.
        marker: PathBuf,
    },
    /// The file is not a journal, or belongs to another one. At start: refuse to serve.
    Foreign {
        /// The file.
        path: PathBuf,
        /// What was found instead.
        found: String,
    },
    /// The file was written by a newer version of this program. At start: refuse to serve.
    Newer {
        /// The file.
        path: PathBuf,
        /// "file layout" or "records".
        what: &'static str,
        /// The version found.
        found: u16,
        /// The newest version that this program reads.
        supported: u16,
    },
    /// The journal is older than its marker: somebody restored an old copy. At start: refuse to serve.
    RolledBack {
        /// The journal.
        path: PathBuf,
        /// Its generation.
        generation: u64,
        /// The generation that had been put in place.
        expected: u64,
        /// The marker that tells of it.
        marker: PathBuf,
    },
    /// Records that had been promised are unreadable. At start: refuse to serve;
    /// [`OnDamage::Salvage`](super::OnDamage::Salvage) recovers what is readable on either side.
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the first unreadable byte range begins.
        offset: u64,
        /// Records readable before it.
        before: u64,
        /// Records readable after it.
        after: u64,
    },
    /// The disk refused an operation. Promise nothing that is not durable yet.
    Disk {
        /// What was being done: "write", "synchronise", ….
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The record is longer than [`JournalOptions::record_bytes_max`](super::JournalOptions::record_bytes_max).
    /// It was not appended.
    RecordTooLong {
        /// Its length in bytes.
        bytes: usize,
        /// The longest allowed.
        bytes_max: usize,
    },
    /// Too much waits for the disk already, or a snapshot is being written. Nothing was queued: drop the
    /// request, the client will ask again.
    Busy,
    /// The records on disk have an older version than the caller's: hand over a snapshot in the new form
    /// before the first append.
    SnapshotFirst,
    /// The journal was shut down, or its thread has ended.
    Closed,
}

impl JournalError {
    /// Whether the disk has no room (`ENOSPC`, `EDQUOT`) or refuses writing for now (`EROFS`).
    ///
    /// Nothing that was durable is in doubt then, and writing goes on in the same file once it can.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Disk { source, .. } if is_full(source))
    }

    /// A stable word for a metric's `reason` label.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Directory { .. } => "directory",
            Self::Denied { .. } => "denied",
            Self::InUse { .. } => "in_use",
            Self::Vanished { .. } => "vanished",
            Self::Foreign { .. } => "foreign",
            Self::Newer { .. } => "newer",
            Self::RolledBack { .. } => "rolled_back",
            Self::Damaged { .. } => "damaged",
            Self::Disk { .. } if self.is_full() => "disk_full",
            Self::Disk { .. } => "disk_error",
            Self::RecordTooLong { .. } => "record_too_long",
            Self::Busy => "busy",
            Self::SnapshotFirst => "snapshot_first",
            Self::Closed => "closed",
        }
    }

    /// The error of an operation on an open journal.
    pub(super) fn disk(action: &'static str, path: &Path, source: io::Error) -> Self {
        let (path, source) = (path.to_owned(), Arc::new(source));
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::Denied { path, source },
            _ => Self::Disk { action, path, source },
        }
    }
}

/// Whether an error says that there is no room, or no writing, for now.
pub(super) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem)
}

impl std::error::Error for JournalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Directory { source, .. } | Self::Denied { source, .. } | Self::Disk { source, .. } => {
                Some(&**source)
            }
            _ => None,
        }
    }
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory { path, source } => {
                write!(
                    f,
                    "{}: state directory cannot be opened ({source}): create or mount it",
                    path.display()
                )
            }
            Self::Denied { path, source } => {
                write!(
                    f,
                    "{}: {source}: give it to the user that this service runs as (chown)",
                    path.display()
                )
            }
            Self::InUse { path } => {
                write!(f, "{}: another process holds this journal: stop it first", path.display())
            }
            Self::Vanished { path, marker } => write!(
                f,
                "{}: the journal is gone: restore it from a backup, or remove {} to start empty",
                path.display(),
                marker.display()
            ),
            Self::Foreign { path, found } => write!(
                f,
                "{}: not this journal but {found}: restore it from a backup, or move it and its marker away to start empty",
                path.display()
            ),
            Self::Newer { path, what, found, supported } => write!(
                f,
                "{}: version {found} of the {what}, this program knows {supported}: start the newer program",
                path.display()
            ),
            Self::RolledBack { path, generation, expected, marker } => write!(
                f,
                "{}: generation {generation} is older than the last one, {expected}: put the newer file back, \
                 or remove {} to accept the older state",
                path.display(),
                marker.display()
            ),
            Self::Damaged { path, offset, before, after } => write!(
                f,
                "{}: unreadable at byte {offset}, with {before} readable records before it and {after} after: restore \
                 the file from a backup, or salvage what is readable with farosctl journal repair {}",
                path.display(),
                path.display()
            ),
            Self::Disk { action, path, source } => {
                let hint = match source.kind() {
                    io::ErrorKind::StorageFull => ": free some space",
                    io::ErrorKind::QuotaExceeded => ": raise the quota or free some space",
                    io::ErrorKind::ReadOnlyFilesystem => ": mount the file system for writing",
                    _ => ": check the disk",
                };
                write!(f, "{}: cannot {action} ({source}){hint}", path.display())
            }
            Self::RecordTooLong { bytes, bytes_max } => {
                write!(f, "a record of {bytes} bytes is longer than the {bytes_max} that this journal takes")
            }
            Self::Busy => write!(f, "too much waits for the disk: try again"),
            Self::SnapshotFirst => {
                write!(
                    f,
                    "the journal holds records of an older version: a snapshot in the new form comes first"
                )
            }
            Self::Closed => write!(f, "the journal is closed"),
        }
    }
}
