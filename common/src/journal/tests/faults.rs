//! A disk that fails while the journal is open.

use std::sync::Arc;

use super::super::sim::{Fault, Operation, SimDisk};
use super::super::{Journal, JournalError, JournalOptions, Lsn};
use super::{open, options, recovered};

fn journal_with_one_record(disk: &SimDisk) -> Journal {
    let (mut journal, _) = open(disk).unwrap();
    journal.append(b"before").unwrap();
    journal.commit().unwrap();
    journal
}

#[test]
fn x1_x4_a_kill_keeps_what_was_committed_and_a_power_cut_too() {
    for cut in [false, true] {
        let disk = SimDisk::new(1);
        let mut journal = journal_with_one_record(&disk);
        journal.append(b"never committed").unwrap();
        if cut {
            disk.power_cut();
        } else {
            disk.kill();
        }
        assert_eq!(recovered(&disk), ["before"]);
    }
}

#[test]
fn x16_x17_x20_no_room_fails_the_commit_and_the_next_one_heals_in_the_same_file() {
    for fault in [Fault::NoSpace, Fault::Quota, Fault::ReadOnly] {
        let disk = SimDisk::new(1);
        let mut journal = journal_with_one_record(&disk);
        disk.fail(Operation::Write, fault, 2);
        assert_eq!(journal.append(b"during").unwrap(), Lsn(2));
        for _ in 0..2 {
            let error = journal.commit().unwrap_err();
            assert!(error.is_full() && error.reason() == "disk_full", "{error}");
            assert!(journal.is_failed());
            assert_eq!(journal.durable(), Lsn(1));
        }
        assert_eq!(journal.append(b"after").unwrap(), Lsn(3));
        assert_eq!(journal.commit().unwrap(), Lsn(3), "what had waited is written first");
        assert_eq!(journal.generation(), 1, "the file was good");
        disk.power_cut();
        assert_eq!(recovered(&disk), ["before", "during", "after"]);
    }
}

#[test]
fn x16_a_disk_that_fills_up_byte_by_byte_never_leaves_half_a_batch_behind() {
    for room in 0..200 {
        let disk = SimDisk::new(room);
        let mut journal = journal_with_one_record(&disk);
        disk.capacity(Some(disk.used() + room));
        journal.append(&[b'x'; 60]).unwrap();
        journal.append(&[b'y'; 60]).unwrap();
        let fits = room >= 2 * (60 + 28);
        match journal.commit() {
            Ok(_) => assert!(fits),
            Err(error) => assert!(!fits && error.is_full(), "{room}: {error}"),
        }
        disk.kill();
        assert_eq!(recovered(&disk).len() == 3, fits, "{room}");
    }
}

#[test]
fn zeroes_written_ahead_are_room_on_a_full_disk() {
    let disk = SimDisk::new(1);
    let options = JournalOptions { preallocate_bytes: 4096, ..options() };
    let (mut journal, _) = Journal::open_on(Arc::new(disk.clone()), options.clone()).unwrap();
    journal.append(b"before").unwrap();
    journal.commit().unwrap();
    disk.capacity(Some(disk.used()));
    let mut promised = 1;
    loop {
        journal.append(&[b'x'; 100]).unwrap();
        match journal.commit() {
            Ok(_) => promised += 1,
            Err(error) => break assert!(error.is_full(), "{error}"),
        }
    }
    assert!(promised > 25, "{promised}");
    disk.power_cut();
    let (mut journal, found) = Journal::open_on(Arc::new(disk.clone()), options).unwrap();
    assert_eq!(found.records.len(), promised);
    disk.capacity(None);
    journal.append(b"after").unwrap();
    assert_eq!(journal.commit().unwrap().0 as usize, promised + 1);
}

#[test]
fn x18_x19_after_an_io_error_the_file_is_never_written_again() {
    for operation in [Operation::Write, Operation::Sync] {
        for seed in 0..50 {
            let disk = SimDisk::new(seed);
            let mut journal = journal_with_one_record(&disk);
            disk.fail(operation, Fault::Io, 1);
            journal.append(b"during").unwrap();
            let error = journal.commit().unwrap_err();
            assert_eq!(error.reason(), "disk_error");
            journal.append(b"after").unwrap();
            assert_eq!(journal.commit().unwrap(), Lsn(3));
            assert_eq!(journal.generation(), 2, "a fresh file");
            disk.power_cut();
            assert_eq!(recovered(&disk), ["before", "during", "after"]);
        }
    }
}

#[test]
fn x19_nothing_is_promised_by_a_second_fdatasync_after_a_failed_one() {
    let disk = SimDisk::new(3);
    let mut journal = journal_with_one_record(&disk);
    disk.fail(Operation::Sync, Fault::Io, 1);
    journal.append(b"during").unwrap();
    journal.commit().unwrap_err();
    // The fresh file cannot be made either: nothing else may help itself.
    disk.fail(Operation::Create, Fault::Io, 5);
    for _ in 0..5 {
        journal.commit().unwrap_err();
        assert_eq!(journal.durable(), Lsn(1));
    }
    disk.power_cut();
    disk.heal();
    assert_eq!(recovered(&disk)[0], "before");
}

#[test]
fn x19_a_restart_after_a_failed_fdatasync_makes_sure_of_what_it_reads() {
    let mut whole = 0;
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        let mut journal = journal_with_one_record(&disk);
        disk.fail(Operation::Sync, Fault::Io, 1);
        journal.append(&[b'x'; 2000]).unwrap();
        journal.commit().unwrap_err();
        disk.kill();
        let (journal, found) = open(&disk).unwrap();
        assert_eq!(journal.durable(), found.report.last);
        // Unless the write itself was cut short, and therefore cut off.
        whole += usize::from(found.records.len() == 2);
        disk.power_cut();
        assert_eq!(recovered(&disk).len(), found.records.len());
    }
    assert!(whole > 40, "{whole}");
}

#[test]
fn x20_on_a_read_only_file_system_the_state_is_served_and_heals_when_it_is_writable() {
    let disk = SimDisk::new(1);
    drop(journal_with_one_record(&disk));
    disk.read_only(true);
    let (mut journal, found) = open(&disk).unwrap();
    assert_eq!(found.records, [b"before"]);
    assert!(journal.is_failed());
    journal.append(b"after").unwrap();
    assert!(journal.commit().unwrap_err().is_full());
    disk.read_only(false);
    assert_eq!(journal.commit().unwrap(), Lsn(2));
    drop(journal);
    assert_eq!(recovered(&disk), ["before", "after"]);
}

#[test]
fn x20_x21_a_first_start_that_cannot_write_is_refused() {
    for (operation, fault) in [(Operation::Create, Fault::NoSpace), (Operation::Lock, Fault::ReadOnly)] {
        let disk = SimDisk::new(1);
        disk.fail(operation, fault, 1);
        let error = open(&disk).unwrap_err();
        assert!(error.is_full(), "{error:?}");
        assert!(open(&disk).unwrap().1.report.first_start, "nothing was left behind");
    }
}

#[test]
fn x21_without_inodes_a_snapshot_fails_and_the_journal_goes_on() {
    let disk = SimDisk::new(1);
    let mut journal = journal_with_one_record(&disk);
    disk.fail(Operation::Create, Fault::NoSpace, u32::MAX);
    assert!(journal.snapshot(["all"]).unwrap_err().is_full());
    assert!(!journal.is_failed());
    journal.append(b"after").unwrap();
    journal.commit().unwrap();
    drop(journal);
    disk.heal();
    assert_eq!(recovered(&disk), ["before", "after"]);
}

#[test]
fn a_snapshot_that_does_not_fit_leaves_the_journal_as_it_was() {
    let disk = SimDisk::new(1);
    let mut journal = journal_with_one_record(&disk);
    disk.capacity(Some(disk.used() + 300));
    assert!(journal.snapshot([[b'x'; 1000]]).unwrap_err().is_full());
    assert!(!disk.names().contains(&"leases.tmp".to_owned()), "its room is free again");
    journal.append(b"after").unwrap();
    journal.commit().unwrap();
    drop(journal);
    assert_eq!(recovered(&disk), ["before", "after"]);
}

#[test]
fn x3_a_rename_that_is_not_durable_promises_nothing() {
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        let mut journal = journal_with_one_record(&disk);
        journal.append(b"during").unwrap();
        disk.fail(Operation::SyncDir, Fault::Io, 1);
        assert!(journal.snapshot(["before", "during"]).is_err());
        assert_eq!((journal.durable(), journal.is_failed()), (Lsn(1), true));
        if seed % 2 == 0 {
            disk.power_cut();
            assert_eq!(recovered(&disk)[0], "before");
        } else {
            assert_eq!(journal.commit().unwrap(), Lsn(2));
            disk.power_cut();
            assert_eq!(recovered(&disk), ["before", "during"]);
        }
    }
}

#[test]
fn a_failed_rename_is_healed_by_the_next_commit() {
    let disk = SimDisk::new(1);
    let mut journal = journal_with_one_record(&disk);
    disk.fail(Operation::Rename, Fault::Io, 1);
    journal.snapshot(["before"]).unwrap_err();
    journal.append(b"after").unwrap();
    assert_eq!(journal.commit().unwrap(), Lsn(2));
    disk.power_cut();
    assert_eq!(recovered(&disk), ["before", "after"]);
}

#[test]
fn what_is_committed_while_a_snapshot_is_written_follows_it() {
    let disk = SimDisk::new(1);
    let mut journal = journal_with_one_record(&disk);
    journal.append(b"covered, and still waiting").unwrap();
    let state: Vec<Vec<u8>> = (0..40).map(|number| vec![number; 500]).collect();
    journal.begin_snapshot(state.clone()).unwrap();
    let mut steps = 0;
    let mut expected = state;
    while !journal.step_snapshot().unwrap() {
        steps += 1;
        let record = format!("meanwhile {steps}").into_bytes();
        journal.append(&record).unwrap();
        expected.push(record);
        journal.commit().unwrap();
    }
    assert!(steps > 5, "{steps}");
    journal.append(b"after").unwrap();
    expected.push(b"after".to_vec());
    journal.commit().unwrap();
    disk.power_cut();
    let (journal, found) = open(&disk).unwrap();
    assert!(found.records == expected);
    assert_eq!(journal.last(), Lsn(2 + steps + 1));
}

#[test]
fn a_file_put_in_place_of_the_open_one_is_not_written_to() {
    let disk = SimDisk::new(1);
    let mut journal = journal_with_one_record(&disk);
    let other = SimDisk::new(2);
    drop(journal_with_one_record(&other));
    disk.fail(Operation::Write, Fault::NoSpace, 1);
    journal.append(b"x").unwrap();
    journal.commit().unwrap_err();
    disk.put("leases.journal", &other.content("leases.journal").unwrap());
    assert!(matches!(journal.commit(), Err(JournalError::Foreign { .. })));
    assert_eq!(disk.content("leases.journal"), other.content("leases.journal"));
}

#[test]
fn the_marker_never_runs_ahead_of_a_journal_whose_rename_may_be_lost() {
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        let mut journal = journal_with_one_record(&disk);
        disk.fail(Operation::SyncDir, Fault::Io, 1);
        journal.snapshot(["before"]).unwrap_err();
        disk.kill();
        // The directory fails the next start too.
        disk.fail(Operation::SyncDir, Fault::Io, 2);
        let (journal, _) = open(&disk).unwrap();
        assert!(journal.is_failed());
        drop(journal);
        disk.power_cut();
        disk.heal();
        assert_eq!(recovered(&disk), ["before"], "{seed}");
    }
}

#[test]
fn what_an_earlier_process_could_not_cut_off_is_known_by_its_session() {
    let disk = SimDisk::new(1);
    let mut journal = journal_with_one_record(&disk);
    for record in ["lost 1", "lost 2"] {
        journal.append(record.as_bytes()).unwrap();
    }
    journal.commit().unwrap();
    drop(journal);
    let leftovers = disk.content("leases.journal").unwrap();
    // As if that batch had been cut off, and the cut had not reached the disk.
    let place = leftovers.windows(6).position(|window| window == b"lost 1").unwrap() - 28;
    disk.put("leases.journal", &leftovers[..place]);
    let mut journal = open(&disk).unwrap().0;
    journal.append(b"new").unwrap();
    journal.commit().unwrap();
    drop(journal);
    let mut bytes = disk.content("leases.journal").unwrap();
    let next = place + leftovers[place..].len() / 2;
    bytes.extend_from_slice(&leftovers[next..]);
    disk.put("leases.journal", &bytes);
    let (_, found) = open(&disk).unwrap();
    assert_eq!(found.records.len(), 2, "the leftover would have been the third");
    assert_eq!(found.report.cut, Some(super::super::Cut::Garbage));
}
