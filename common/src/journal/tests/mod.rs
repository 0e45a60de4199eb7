//! The journal against a hostile disk.

mod crash;
mod faults;
mod group;
mod open;
mod real;

use std::sync::Arc;

use super::sim::SimDisk;
use super::{Journal, JournalError, JournalOptions, OnDamage, Recovered};

fn options() -> JournalOptions {
    JournalOptions { preallocate_bytes: 0, ..JournalOptions::new("leases", 1) }
}

fn open(disk: &SimDisk) -> Result<(Journal, Recovered), JournalError> {
    Journal::open_on(Arc::new(disk.clone()), options())
}

fn salvage(disk: &SimDisk) -> (Journal, Recovered) {
    let options = JournalOptions { on_damage: OnDamage::Salvage, ..options() };
    Journal::open_on(Arc::new(disk.clone()), options).unwrap()
}

/// A disk with a journal of these batches, each committed, that nobody has open.
fn disk_with(batches: &[&[&str]]) -> SimDisk {
    let disk = SimDisk::new(1);
    let (mut journal, _) = open(&disk).unwrap();
    for batch in batches {
        for record in *batch {
            journal.append(record.as_bytes()).unwrap();
        }
        journal.commit().unwrap();
    }
    disk
}

fn recovered(disk: &SimDisk) -> Vec<String> {
    texts(&open(disk).unwrap().1)
}

fn texts(recovered: &Recovered) -> Vec<String> {
    recovered.records.iter().map(|record| String::from_utf8(record.clone()).unwrap()).collect()
}

/// Changes the journal's bytes behind its back.
fn edit(disk: &SimDisk, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = disk.content("leases.journal").unwrap();
    change(&mut bytes);
    disk.put("leases.journal", &bytes);
}

/// Where a text stands in the journal.
fn place_of(disk: &SimDisk, text: &str) -> usize {
    let bytes = disk.content("leases.journal").unwrap();
    bytes.windows(text.len()).position(|window| window == text.as_bytes()).unwrap()
}
