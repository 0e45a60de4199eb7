//! What a journal says about itself.

use super::{Journal, JournalError, Lsn};

/// For the status page and the metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct JournalStatus {
    /// The journal's name.
    pub name: &'static str,
    /// The last durable record's number.
    pub durable: Lsn,
    /// Records that wait for the disk.
    pub queued: usize,
    /// Bytes of the file that hold something.
    pub bytes: u64,
    /// Bytes of the last snapshot.
    pub snapshot_bytes: u64,
    /// Bytes appended since.
    pub bytes_since_snapshot: u64,
    /// How often the file has been replaced.
    pub generation: u64,
    /// Commits since the start.
    pub commits: u64,
    /// How long the last commit took, in microseconds.
    pub commit_micros_last: u64,
    /// The longest, in microseconds.
    pub commit_micros_max: u64,
    /// How long the commit under way has been taking, in microseconds.
    pub commit_micros_now: Option<u64>,
    /// Snapshots since the start.
    pub snapshots: u64,
    /// Why the last snapshot failed, if it did.
    pub snapshot_failed: Option<String>,
    /// How often the disk has failed since the start.
    pub failures: u64,
    /// Why nothing more becomes durable at present: a stable word, as [`JournalError::reason`] gives.
    pub failed_reason: Option<&'static str>,
    /// The same for people.
    pub failed: Option<String>,
}

impl JournalStatus {
    pub(super) fn of(journal: &Journal) -> Self {
        let mut status = Self { name: journal.options.name, ..Self::default() };
        status.update(journal, None);
        status
    }

    pub(super) fn update(&mut self, journal: &Journal, failed: Option<&JournalError>) {
        self.durable = journal.durable();
        self.bytes = journal.end;
        self.snapshot_bytes = journal.snapshot_bytes();
        self.bytes_since_snapshot = journal.bytes_since_snapshot();
        self.generation = journal.generation();
        self.failed_reason = failed.map(JournalError::reason);
        self.failed = failed.map(ToString::to_string);
    }
}
