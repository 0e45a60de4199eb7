//! Opening a damaged journal on an operator's word.

use std::path::Path;
use std::sync::Arc;

use super::disk::Disk;
use super::files::Files;
use super::scan::Scan;
use super::{Journal, JournalError, JournalOptions, OnDamage, RealDisk, RecoveryReport};

/// Repairs the journal `NAME.journal` in a directory, whosever it is: every readable record is kept, the file as it
/// was stays beside it, and the report counts what is lost. An undamaged journal stays as it is.
///
/// # Errors
/// The journal is in use, not there, or not even its header can be read; what is not readable then comes from a
/// backup only.
pub fn salvage(directory: &Path, name: &str) -> Result<RecoveryReport, JournalError> {
    let disk = RealDisk::new(directory)
        .map_err(|source| JournalError::Directory { path: directory.to_owned(), source: Arc::new(source) })?;
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let version = {
        let files = Files::new(Arc::clone(&disk), name);
        let path = files.journal_path();
        let bytes =
            files.disk.read(&files.journal).map_err(|error| files.error("read", &files.journal, error))?;
        let scan = Scan::new(&bytes, bytes.len());
        scan.map_err(|_| JournalError::Damaged { path, offset: 0, before: 0, after: 0 })?.header.version
    };
    // Once per process, at an operator's hand: the name may live as long as the process.
    let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
    let options = JournalOptions { on_damage: OnDamage::Salvage, ..JournalOptions::new(name, version) };
    let (_, recovered) = Journal::open_on(disk, options)?;
    Ok(recovered.report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_readable_of_a_damaged_journal_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let options = JournalOptions::new("test", 3);
        let (mut journal, _) = Journal::open(directory.path(), options.clone()).unwrap();
        for number in 0..10_u8 {
            journal.append(&[number; 100]).unwrap();
            journal.commit().unwrap();
        }
        drop(journal);
        let path = directory.path().join("test.journal");
        let mut bytes = std::fs::read(&path).unwrap();
        let fifth = bytes.windows(100).position(|window| window == [5; 100]).unwrap();
        bytes[fifth..fifth + 50].fill(0xee);
        std::fs::write(&path, bytes).unwrap();

        assert!(matches!(
            Journal::open(directory.path(), options.clone()),
            Err(JournalError::Damaged { .. })
        ));
        let report = salvage(directory.path(), "test").unwrap();
        assert_eq!((report.records, report.records_lost, report.version), (9, 1, 3));
        let (_, recovered) = Journal::open(directory.path(), options).unwrap();
        assert_eq!(recovered.records.len(), 9);
        assert_eq!(recovered.records[5], [6; 100]);
    }

    #[test]
    fn a_journal_that_is_not_there_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        assert!(salvage(directory.path(), "test").is_err());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
