//! What a start finds: each kind of loss and damage, told apart from an empty state and from a torn tail.

use std::sync::Arc;

use super::super::sim::{Fault, Operation, SimDisk};
use super::super::{Cut, Journal, JournalError, JournalOptions, Lsn, OnDamage, RealDisk, inspect_on};
use super::{disk_with, edit, open, options, place_of, recovered, salvage, texts};

const LONG: &str = "a record that is long enough to span sectors ";

fn long(number: u8) -> String {
    format!("{number:02}{}", LONG.repeat(20))
}

#[test]
fn a_first_start_says_so_and_the_next_one_does_not() {
    let disk = SimDisk::new(1);
    let (journal, found) = open(&disk).unwrap();
    assert!(found.report.first_start);
    assert_eq!((found.records.len(), journal.generation(), journal.last()), (0, 1, Lsn(0)));
    drop(journal);
    let (_, found) = open(&disk).unwrap();
    assert!(!found.report.first_start);
}

#[test]
fn records_come_back_in_order_snapshot_first() {
    let disk = SimDisk::new(1);
    let (mut journal, _) = open(&disk).unwrap();
    for record in ["a", "b", "c"] {
        journal.append(record.as_bytes()).unwrap();
    }
    journal.commit().unwrap();
    journal.append(b"pending").unwrap();
    journal.snapshot(["abc", "pending"]).unwrap();
    assert_eq!(journal.durable(), Lsn(4), "the snapshot stands for what was waiting");
    assert_eq!(journal.append(b"d").unwrap(), Lsn(5));
    journal.commit().unwrap();
    drop(journal);
    let (journal, found) = open(&disk).unwrap();
    assert_eq!(texts(&found), ["abc", "pending", "d"]);
    let report = &found.report;
    assert_eq!((report.records, report.snapshot_records, report.last), (3, 2, Lsn(5)));
    assert_eq!((report.generation, report.bytes_cut, report.cut), (2, 0, None));
    assert_eq!(journal.last(), Lsn(5));
}

#[test]
fn an_empty_record_is_a_record() {
    assert_eq!(recovered(&disk_with(&[&[""], &["", "a"]])), ["", "", "a"]);
}

#[test]
fn x2_a_snapshot_left_unfinished_is_removed_and_the_journal_stands() {
    let disk = disk_with(&[&["a"]]);
    disk.put("leases.tmp", b"half a snaps");
    let (_, found) = open(&disk).unwrap();
    assert_eq!(texts(&found), ["a"]);
    assert!(found.report.stale_snapshot);
    assert!(!disk.names().contains(&"leases.tmp".to_owned()));
}

#[test]
fn x3_a_marker_behind_the_journal_is_caught_up() {
    let disk = disk_with(&[&["a"]]);
    let old = disk.content("leases.marker").unwrap();
    open(&disk).unwrap().0.snapshot(["a"]).unwrap();
    disk.put("leases.marker", &old);
    assert_eq!(recovered(&disk), ["a"]);
    assert_ne!(disk.content("leases.marker").unwrap(), old);
}

#[test]
fn x6_a_torn_tail_is_cut_off_and_reported() {
    let (first, second) = (long(1), long(2));
    for torn in 1..first.len() + 28 {
        let disk = disk_with(&[&["a"], &[&second]]);
        edit(&disk, |bytes| bytes.truncate(bytes.len() - torn));
        let (mut journal, found) = open(&disk).unwrap();
        assert_eq!(texts(&found), ["a"], "{torn}");
        assert_eq!(found.report.cut, Some(Cut::Torn), "{torn}");
        assert_eq!(found.report.bytes_cut as usize, second.len() + 28 - torn);
        journal.append(b"b").unwrap();
        journal.commit().unwrap();
        drop(journal);
        assert_eq!(recovered(&disk), ["a", "b"]);
    }
}

#[test]
fn x7_records_behind_a_hole_in_an_unsynchronised_batch_are_cut_off_with_it() {
    let batch = [long(1), long(2), long(3)];
    let batch: Vec<&str> = batch.iter().map(String::as_str).collect();
    let disk = disk_with(&[&["a"], &batch]);
    let hole = place_of(&disk, &batch[0][..8]).next_multiple_of(512);
    edit(&disk, |bytes| bytes[hole..hole + 512].fill(0));
    let (_, found) = open(&disk).unwrap();
    assert_eq!((texts(&found), found.report.cut), (vec!["a".to_owned()], Some(Cut::Torn)));
}

#[test]
fn x8_a_flipped_bit_anywhere_loses_nothing() {
    let disk = disk_with(&[&["alpha", "beta"], &["gamma"], &["delta"]]);
    let mut journal = open(&disk).unwrap().0;
    journal.snapshot(["alpha", "beta", "gamma", "delta"]).unwrap();
    journal.append(b"epsilon").unwrap();
    journal.append(b"zeta").unwrap();
    journal.commit().unwrap();
    drop(journal);
    let intact = disk.content("leases.journal").unwrap();
    for bit in 0..intact.len() * 8 {
        disk.put("leases.journal", &intact);
        edit(&disk, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        let (_, found) = open(&disk).unwrap();
        assert_eq!(texts(&found), ["alpha", "beta", "gamma", "delta", "epsilon", "zeta"], "bit {bit}");
        assert_eq!((found.report.records_corrected, found.report.records_lost), (1, 0), "bit {bit}");
        assert_eq!(open(&disk).unwrap().1.report.records_corrected, 0, "it was written down");
        disk.take("leases.marker");
    }
}

/// Makes the record unreadable beyond correction, without a hole.
fn destroy(disk: &SimDisk, text: &str) -> usize {
    let place = place_of(disk, text);
    edit(disk, |bytes| bytes[place..place + 4].copy_from_slice(b"\xff\xfe\xfd\xfc"));
    place - 28
}

#[test]
fn x8_promised_records_that_cannot_be_read_refuse_the_start_and_say_where() {
    let disk = disk_with(&[&["alpha"], &["beta", "gamma"], &["delta"]]);
    let place = destroy(&disk, "beta");
    let error = open(&disk).unwrap_err();
    let JournalError::Damaged { offset, before, after, .. } = &error else { panic!("{error:?}") };
    assert_eq!((*offset as usize, *before, *after), (place, 1, 2));
    assert!(error.to_string().contains(&format!("unreadable at byte {place}")), "{error}");
    // Within one batch too: nothing was torn there.
    let disk = disk_with(&[&["alpha"], &["beta", "gamma"]]);
    destroy(&disk, "beta");
    assert!(matches!(open(&disk), Err(JournalError::Damaged { before: 1, after: 1, .. })));
    // And a zeroed sector, if a later batch proves that it had been written.
    let (one, two) = (long(1), long(2));
    let disk = disk_with(&[&[&one], &[&two]]);
    let hole = place_of(&disk, &one[..8]).next_multiple_of(512);
    edit(&disk, |bytes| bytes[hole..hole + 512].fill(0));
    assert!(matches!(open(&disk), Err(JournalError::Damaged { before: 0, after: 1, .. })));
}

#[test]
fn x8_salvage_keeps_what_is_readable_on_both_sides_and_the_original() {
    let disk = disk_with(&[&["alpha"], &["beta", "gamma"], &["delta"]]);
    destroy(&disk, "beta");
    let damaged = disk.content("leases.journal").unwrap();
    let (mut journal, found) = salvage(&disk);
    assert_eq!(texts(&found), ["alpha", "gamma", "delta"]);
    assert_eq!((found.report.records_lost, found.report.last), (1, Lsn(4)));
    assert_eq!(disk.content("leases.damaged-1").unwrap(), damaged);
    assert_eq!(journal.append(b"epsilon").unwrap(), Lsn(5));
    journal.commit().unwrap();
    drop(journal);
    assert_eq!(recovered(&disk), ["alpha", "gamma", "delta", "epsilon"]);
}

#[test]
fn x8_damage_in_the_snapshot_is_never_taken_for_a_torn_tail() {
    let disk = disk_with(&[&["x"]]);
    let mut journal = open(&disk).unwrap().0;
    journal.snapshot(["alpha", "beta", "gamma"]).unwrap();
    journal.append(b"delta").unwrap();
    journal.commit().unwrap();
    drop(journal);
    let intact = disk.content("leases.journal").unwrap();
    destroy(&disk, "gamma");
    assert!(matches!(open(&disk), Err(JournalError::Damaged { before: 2, after: 1, .. })));
    let (_, found) = salvage(&disk);
    assert_eq!((texts(&found).join(" "), found.report.records_lost), ("alpha beta delta".to_owned(), 1));
    // Cut short in the snapshot: nothing says how much is missing.
    for length in 64..intact.len() - (28 + 5) - 1 {
        disk.take("leases.marker");
        disk.put("leases.journal", &intact[..length]);
        assert!(matches!(open(&disk), Err(JournalError::Damaged { .. })), "{length}");
    }
}

#[test]
fn x9_a_zeroed_tail_ends_the_journal() {
    let (one, two) = (long(1), long(2));
    let disk = disk_with(&[&["a"], &[&one], &[&two]]);
    let place = place_of(&disk, &two[..8]);
    edit(&disk, |bytes| bytes[place + 10..].fill(0));
    let (_, found) = open(&disk).unwrap();
    assert_eq!((found.report.records, found.report.cut), (2, Some(Cut::Torn)));
    edit(&disk, |bytes| bytes.extend([0; 5000]));
    let (_, found) = open(&disk).unwrap();
    assert_eq!((found.report.records, found.report.cut), (2, None), "zeroes are room, not records");
}

#[test]
fn x10_a_duplicated_tail_is_ignored_and_counted() {
    let disk = disk_with(&[&["alpha"], &["beta"], &["gamma"]]);
    let tail = place_of(&disk, "beta") - 28;
    edit(&disk, |bytes| bytes.extend_from_within(tail..));
    let (mut journal, found) = open(&disk).unwrap();
    assert_eq!((texts(&found).join(""), found.report.records_duplicate), ("alphabetagamma".to_owned(), 2));
    journal.append(b"delta").unwrap();
    journal.commit().unwrap();
    drop(journal);
    assert_eq!(recovered(&disk).join(""), "alphabetagammadelta");
    // From the middle of a record on.
    let disk = disk_with(&[&["alpha"], &["beta"], &["gamma"]]);
    edit(&disk, |bytes| bytes.extend_from_within(tail + 3..));
    let (_, found) = open(&disk).unwrap();
    assert_eq!(
        (texts(&found).join(""), found.report.cut),
        ("alphabetagamma".to_owned(), Some(Cut::Duplicate))
    );
}

#[test]
fn garbage_behind_the_last_record_is_cut_off_and_reported() {
    let disk = disk_with(&[&["a"]]);
    edit(&disk, |bytes| bytes.extend([0xff; 3000]));
    let (_, found) = open(&disk).unwrap();
    assert_eq!((texts(&found).join(""), found.report.cut), ("a".to_owned(), Some(Cut::Garbage)));
    assert_eq!(found.report.bytes_cut, 3000);
}

#[test]
fn x11_a_newer_version_is_refused_with_both_numbers() {
    let disk = disk_with(&[&["a"]]);
    let newer = JournalOptions { version: 3, ..options() };
    let (mut journal, found) = Journal::open_on(Arc::new(disk.clone()), newer).unwrap();
    assert_eq!(found.report.version, 1);
    assert!(matches!(journal.append(b"b"), Err(JournalError::SnapshotFirst)));
    journal.snapshot(["A"]).unwrap();
    journal.append(b"b").unwrap();
    drop(journal);
    let error = open(&disk).unwrap_err();
    assert!(
        matches!(error, JournalError::Newer { what: "records", found: 3, supported: 1, .. }),
        "{error:?}"
    );

    let disk = disk_with(&[&["a"]]);
    edit(&disk, |bytes| bytes[8..10].copy_from_slice(&300u16.to_le_bytes()));
    let error = open(&disk).unwrap_err();
    assert!(matches!(error, JournalError::Newer { what: "file layout", found: 300, .. }), "{error:?}");
}

#[test]
fn x12_a_journal_truncated_to_nothing_is_refused() {
    for length in [0, 1, 63, 64] {
        let disk = disk_with(&[&["a"]]);
        edit(&disk, |bytes| bytes.truncate(length));
        for marker in [true, false] {
            if !marker {
                disk.take("leases.marker");
            }
            let error = open(&disk).unwrap_err();
            assert!(
                matches!(error, JournalError::Damaged { before: 0, after: 0, .. }),
                "{length}: {error:?}"
            );
        }
    }
}

#[test]
fn x13_a_file_of_another_user_is_refused_with_advice() {
    for operation in [Operation::Lock, Operation::Read, Operation::Open] {
        let disk = disk_with(&[&["a"]]);
        disk.fail(operation, Fault::Denied, 1);
        let error = open(&disk).unwrap_err();
        assert!(matches!(error, JournalError::Denied { .. }), "{operation:?}: {error:?}");
        assert!(error.to_string().contains("chown"));
    }
}

#[test]
fn x14_a_vanished_journal_is_an_error_and_not_a_first_start() {
    let disk = disk_with(&[&["a"]]);
    disk.take("leases.journal");
    let error = open(&disk).unwrap_err();
    assert!(matches!(error, JournalError::Vanished { .. }), "{error:?}");
    assert!(error.to_string().contains("/sim/leases.marker"), "{error}");
    assert!(open(&disk).is_err(), "and stays one");
    assert!(matches!(
        Journal::open("/nowhere/at/all".as_ref(), options()),
        Err(JournalError::Directory { .. })
    ));
    assert!(RealDisk::new("/dev/null".as_ref()).is_err());
}

#[test]
fn x15_memory_as_a_disk_is_reported() {
    let disk = disk_with(&[&["a"]]);
    assert!(!open(&disk).unwrap().1.report.tmpfs);
    disk.tmpfs(true);
    assert!(open(&disk).unwrap().1.report.tmpfs);
}

#[test]
fn x44_an_older_copy_of_the_journal_is_refused() {
    let disk = disk_with(&[&["a"]]);
    let old = disk.content("leases.journal").unwrap();
    let mut journal = open(&disk).unwrap().0;
    journal.append(b"b").unwrap();
    journal.snapshot(["a", "b"]).unwrap();
    drop(journal);
    disk.put("leases.journal", &old);
    let error = open(&disk).unwrap_err();
    assert!(matches!(error, JournalError::RolledBack { generation: 1, expected: 2, .. }), "{error:?}");
    disk.take("leases.marker");
    assert_eq!(recovered(&disk), ["a"], "as the error advised");
}

#[test]
fn x45_an_upgrade_and_a_downgrade_keep_or_refuse_but_never_mix() {
    let disk = disk_with(&[&["old"]]);
    let newer = JournalOptions { version: 2, ..options() };
    let (journal, _) = Journal::open_on(Arc::new(disk.clone()), newer).unwrap();
    drop(journal);
    assert_eq!(recovered(&disk), ["old"], "nothing was written in the new form yet");
}

#[test]
fn a_length_beyond_all_bounds_allocates_nothing() {
    for length in [u32::MAX, 1 << 31, 70_000] {
        let disk = disk_with(&[&["alpha"], &["beta"], &["gamma"]]);
        let place = place_of(&disk, "beta") - 28;
        edit(&disk, |bytes| {
            bytes[place..place + 4].copy_from_slice(&length.to_le_bytes());
            bytes[place + 5] ^= 0x55;
        });
        assert!(matches!(open(&disk), Err(JournalError::Damaged { before: 1, after: 1, .. })));
    }
}

#[test]
fn what_a_client_sends_never_passes_for_a_record() {
    // The whole journal of one disk as a payload on another with the same generation, torn in front of it.
    let forged = disk_with(&[&["x"], &["forged"], &["y"]]).content("leases.journal").unwrap();
    let disk = SimDisk::new(77);
    let mut journal = open(&disk).unwrap().0;
    journal.append(&[&[b'.'; 600], &forged[..]].concat()).unwrap();
    journal.commit().unwrap();
    drop(journal);
    let start = disk.content("leases.journal").unwrap().windows(8).position(|w| w == [b'.'; 8]).unwrap();
    edit(&disk, |bytes| bytes[start - 28..start + 100].fill(0));
    let (_, found) = open(&disk).unwrap();
    assert_eq!(found.report.records, 0);
}

#[test]
fn another_journals_file_is_refused() {
    let disk = disk_with(&[&["a"]]);
    let other = JournalOptions { preallocate_bytes: 0, ..JournalOptions::new("nodes", 1) };
    disk.put("nodes.journal", &disk.content("leases.journal").unwrap());
    let error = Journal::open_on(Arc::new(disk.clone()), other).unwrap_err();
    assert!(matches!(&error, JournalError::Foreign { found, .. } if found.contains("leases")), "{error:?}");
    edit(&disk, |bytes| bytes[..8].copy_from_slice(b"SQLite f"));
    assert!(matches!(open(&disk), Err(JournalError::Foreign { .. })));
}

#[test]
fn two_processes_never_share_a_journal() {
    let disk = disk_with(&[&["a"]]);
    let first = open(&disk).unwrap();
    assert!(matches!(open(&disk), Err(JournalError::InUse { .. })));
    drop(first);
    assert_eq!(recovered(&disk), ["a"]);
}

#[test]
fn a_record_too_long_is_not_taken() {
    let disk = SimDisk::new(1);
    let options = JournalOptions { record_bytes_max: 3, ..options() };
    let mut journal = Journal::open_on(Arc::new(disk), options).unwrap().0;
    journal.append(b"abc").unwrap();
    let error = journal.append(b"abcd").unwrap_err();
    assert!(matches!(error, JournalError::RecordTooLong { bytes: 4, bytes_max: 3 }));
    assert!(journal.snapshot(["abcd"]).is_err());
    assert_eq!(journal.commit().unwrap(), Lsn(1));
}

#[test]
fn inspection_shows_records_and_damage_and_changes_nothing() {
    let disk = disk_with(&[&["alpha"], &["beta"], &["gamma"]]);
    destroy(&disk, "beta");
    let before = disk.content("leases.journal").unwrap();
    let entries: Vec<_> = inspect_on(Arc::new(disk.clone()), "leases").unwrap().collect();
    let shown: Vec<_> = entries
        .iter()
        .map(|(_, entry)| {
            entry.as_ref().map(|entry| (entry.lsn.0, &entry.record[..])).map_err(JournalError::reason)
        })
        .collect();
    assert_eq!(shown, [Ok((1, &b"alpha"[..])), Err("damaged"), Ok((3, &b"gamma"[..]))]);
    assert!(entries.is_sorted_by_key(|(offset, _)| *offset));
    assert_eq!(disk.content("leases.journal").unwrap(), before);
    let options = JournalOptions { on_damage: OnDamage::Salvage, ..options() };
    assert!(Journal::open_on(Arc::new(disk), options).is_ok());
}
