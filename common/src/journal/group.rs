//! Many tasks, one `fdatasync`.

use std::io;
use std::sync::Arc;

use tokio::sync::watch;

use super::{Journal, JournalError, Lsn};

/// How far the disk has come.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Everything up to here is durable.
    pub durable: Lsn,
    /// Why nothing more becomes durable at present. Appends are refused; the journal retries every second.
    pub failed: Option<Arc<JournalError>>,
}

/// For the status page.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct JournalStatus {}

/// Handle to a journal that a thread of its own writes.
#[derive(Debug, Clone)]
pub struct GroupCommit {
    progress: watch::Receiver<Progress>,
}

impl GroupCommit {
    /// Starts the thread.
    pub fn start(journal: Journal) -> io::Result<Self> {
        let _ = journal;
        Ok(Self { progress: watch::channel(Progress::default()).1 })
    }
    /// Queues a record.
    pub fn append(&self, _record: impl Into<Vec<u8>>) -> Result<Lsn, JournalError> {
        Err(JournalError::Closed)
    }
    /// Waits until the record is durable.
    pub async fn durable(&self, _lsn: Lsn) -> Result<(), JournalError> {
        Err(JournalError::Closed)
    }
    /// How far the disk has come.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }
    /// Queues a snapshot.
    pub fn snapshot(&self, _records: Vec<Vec<u8>>) -> Result<(), JournalError> {
        Err(JournalError::Closed)
    }
    /// Whether a snapshot is worth its cost now.
    #[must_use]
    pub fn snapshot_due(&self) -> bool {
        false
    }
    /// Flushes and ends the thread.
    pub async fn shutdown(&self) -> Result<(), JournalError> {
        Err(JournalError::Closed)
    }
    /// For the status page.
    #[must_use]
    pub fn status(&self) -> JournalStatus {
        JournalStatus::default()
    }
}
