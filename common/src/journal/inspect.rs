//! Reading a journal without opening it: for an operator's eyes, beside a running daemon too.

use std::path::Path;
use std::sync::Arc;

use super::disk::Disk;
use super::files::Files;
use super::format::{BadHeader, FORMAT, Kind};
use super::scan::Scan;
use super::{JournalError, Lsn, RealDisk};

/// Which part of the file an entry stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// The snapshot.
    Snapshot,
    /// What was appended since.
    Appended,
}

/// One record of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which part of the file it stands in.
    pub kind: EntryKind,
    /// Its number; for a record of the snapshot the last number that the snapshot stands for.
    pub lsn: Lsn,
    /// Its payload.
    pub record: Vec<u8>,
}

/// Reads the records of the journal `name` in a directory, each with its offset in the file, and an error for each
/// range of promised records that cannot be read.
///
/// It takes no lock and changes nothing. Beside a running daemon the last records may be missing.
///
/// # Errors
/// [`Directory`](JournalError::Directory), [`Denied`](JournalError::Denied), [`Disk`](JournalError::Disk) if there is
/// no such file, [`Foreign`](JournalError::Foreign), [`Newer`](JournalError::Newer), and
/// [`Damaged`](JournalError::Damaged) if not even the header can be read.
pub fn inspect(
    directory: &Path,
    name: &str,
) -> Result<impl Iterator<Item = (u64, Result<Entry, JournalError>)> + use<>, JournalError> {
    let disk = RealDisk::new(directory)
        .map_err(|source| JournalError::Directory { path: directory.to_owned(), source: Arc::new(source) })?;
    inspect_on(Arc::new(disk), name)
}

/// [`inspect`] on any disk.
///
/// # Errors
/// As there.
pub fn inspect_on(
    disk: Arc<dyn Disk>,
    name: &str,
) -> Result<impl Iterator<Item = (u64, Result<Entry, JournalError>)> + use<>, JournalError> {
    let files = Files::new(disk, name);
    let path = files.journal_path();
    let bytes =
        files.disk.read(&files.journal).map_err(|error| files.error("read", &files.journal, error))?;
    // Whatever fits into the file may be a record.
    let scan = Scan::new(&bytes, bytes.len()).map_err(|bad| match bad {
        BadHeader::Foreign => {
            JournalError::Foreign { path: path.clone(), found: "something else".to_owned() }
        }
        BadHeader::Newer(found) => {
            JournalError::Newer { path: path.clone(), what: "file layout", found, supported: FORMAT }
        }
        BadHeader::Damaged => JournalError::Damaged { path: path.clone(), offset: 0, before: 0, after: 0 },
    })?;
    let mut entries: Vec<_> = scan
        .records
        .iter()
        .map(|found| {
            let (kind, lsn) = match found.kind {
                Kind::Appended => (EntryKind::Appended, Lsn(found.sequence)),
                _ => (EntryKind::Snapshot, scan.base),
            };
            (found.offset as u64, Ok(Entry { kind, lsn, record: found.payload.to_vec() }))
        })
        .collect();
    for damage in &scan.damage {
        let (before, after) = scan.around(damage);
        let offset = damage.bytes.start as u64;
        entries.push((offset, Err(JournalError::Damaged { path: path.clone(), offset, before, after })));
    }
    entries.sort_by_key(|(offset, _)| *offset);
    Ok(entries.into_iter())
}
