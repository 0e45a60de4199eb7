//! The real file system.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Arc;

use super::super::{Disk, GroupCommit, Journal, JournalError, JournalOptions, Lsn, RealDisk, inspect};

fn options() -> JournalOptions {
    JournalOptions::new("leases", 1)
}

#[tokio::test]
async fn a_directory_keeps_records_through_snapshots_and_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for round in 0..4u32 {
        let (journal, found) = Journal::open(directory.path(), options()).unwrap();
        assert_eq!(found.report.first_start, round == 0);
        assert!(found.records == expected);
        let group = GroupCommit::start(journal).unwrap();
        for number in 0..200 {
            let record = format!("round {round} record {number}").into_bytes();
            group.append(&record[..]).unwrap();
            expected.push(record);
            if number == 100 && round % 2 == 1 {
                group.snapshot(expected.clone()).unwrap();
            }
        }
        group.shutdown().await.unwrap();
    }
    let entries: Vec<_> = inspect(directory.path(), "leases").unwrap().collect();
    assert_eq!(entries.len(), 800);
    assert_eq!(entries[799].1.as_ref().unwrap().lsn, Lsn(800));
    let mut names = RealDisk::new(directory.path()).unwrap().list().unwrap();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    assert_eq!(names, ["leases.journal", "leases.lock", "leases.marker"]);
}

#[test]
fn files_are_the_directory_owners_and_nobody_elses_to_read() {
    let directory = tempfile::tempdir().unwrap();
    let root = rustix::process::geteuid().is_root();
    if root {
        std::os::unix::fs::chown(directory.path(), Some(4321), Some(4322)).unwrap();
    }
    drop(Journal::open(directory.path(), options()).unwrap());
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let metadata = entry.unwrap().metadata().unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        if root {
            assert_eq!((metadata.uid(), metadata.gid()), (4321, 4322));
        }
    }
}

#[test]
fn a_second_opener_is_told_that_the_journal_is_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let first = Journal::open(directory.path(), options()).unwrap();
    assert!(matches!(Journal::open(directory.path(), options()), Err(JournalError::InUse { .. })));
    drop(first);
    Journal::open(directory.path(), options()).unwrap();
}

#[test]
fn x13_a_symbolic_link_in_place_of_the_journal_is_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    drop(Journal::open(directory.path(), options()).unwrap());
    let path = directory.path().join("leases.journal");
    std::fs::rename(&path, directory.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink("elsewhere", &path).unwrap();
    assert!(Journal::open(directory.path(), options()).is_err());
}

#[test]
fn zeroes_written_ahead_do_not_look_like_records_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(directory.path(), options()).unwrap();
    journal.append(b"a").unwrap();
    journal.commit().unwrap();
    drop(journal);
    let size = std::fs::metadata(directory.path().join("leases.journal")).unwrap().len();
    assert_eq!(size, super::super::PREALLOCATE_BYTES);
    let (_, found) = Journal::open(directory.path(), options()).unwrap();
    assert_eq!((found.records.len(), found.report.cut), (1, None));
}

#[test]
fn memory_file_systems_are_recognised() {
    if let Ok(disk) = RealDisk::new("/dev/shm".as_ref()) {
        let text = std::fs::read_to_string("/proc/self/mounts").unwrap();
        let expected = text.lines().any(|line| line.contains(" /dev/shm tmpfs "));
        assert_eq!(Arc::new(disk).space().unwrap().tmpfs, expected);
    }
    assert!(RealDisk::new("/proc".as_ref()).is_ok_and(|disk| !disk.space().unwrap().tmpfs));
}
