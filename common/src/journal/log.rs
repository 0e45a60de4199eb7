//! The journal itself.

use std::path::Path;
use std::sync::Arc;

use super::{Disk, JournalError, JournalOptions, Lsn, Recovered};

/// An open journal, for one thread. [`GroupCommit`](super::GroupCommit) shares it among tasks.
#[derive(Debug)]
pub struct Journal {}

impl Journal {
    /// Opens the journal in a directory, or creates it on the first start.
    pub fn open(directory: &Path, options: JournalOptions) -> Result<(Self, Recovered), JournalError> {
        let _ = (directory, options);
        Err(JournalError::Closed)
    }
    /// Opens the journal on any disk.
    pub fn open_on(disk: Arc<dyn Disk>, options: JournalOptions) -> Result<(Self, Recovered), JournalError> {
        let _ = (disk, options);
        Err(JournalError::Closed)
    }
    /// Takes a record; durable after [`commit`](Self::commit).
    pub fn append(&mut self, _record: &[u8]) -> Result<Lsn, JournalError> {
        Err(JournalError::Closed)
    }
    /// Makes everything appended durable: one write, one `fdatasync`.
    pub fn commit(&mut self) -> Result<Lsn, JournalError> {
        Err(JournalError::Closed)
    }
    /// Replaces everything by these records.
    pub fn snapshot<R: AsRef<[u8]>>(&mut self, _records: impl IntoIterator<Item = R>) -> Result<(), JournalError> {
        Err(JournalError::Closed)
    }
    /// Bytes appended since the last snapshot.
    #[must_use]
    pub fn bytes_since_snapshot(&self) -> u64 {
        0
    }
}
