//! Journals that somebody damaged: what is recovered was written, in order, and what was promised is not lost
//! in silence.

use std::sync::Arc;

use faros_common::journal::sim::SimDisk;
use faros_common::journal::{Journal, JournalError, JournalOptions, OnDamage, Recovered, inspect_on};

use crate::Target;
use crate::input::Input;

/// Feeds [`Journal::open_on`] and [`inspect_on`].
pub const TARGET: Target = Target { name: "journal_log", run, seeds, memory: (2 << 20, 512) };

const FILE: &str = "leases.journal";
const RECORD_BYTES_MAX: usize = 1024;

fn options(on_damage: OnDamage) -> JournalOptions {
    JournalOptions {
        record_bytes_max: RECORD_BYTES_MAX,
        preallocate_bytes: 2048,
        on_damage,
        ..JournalOptions::new("leases", 1)
    }
}

fn open(disk: &SimDisk, on_damage: OnDamage) -> Result<(Journal, Recovered), JournalError> {
    Journal::open_on(Arc::new(disk.clone()), options(on_damage))
}

fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let disk = SimDisk::new(7);
    match input.below(3) {
        0 => {
            disk.put(FILE, input.rest());
            usable(&disk, None);
        }
        1 => {
            disk.put(FILE, &sealed(&mut input));
            usable(&disk, None);
        }
        _ => {
            let written = written(&disk, &mut input);
            damage(&disk, &mut input);
            usable(&disk, Some(&written));
        }
    }
}

/// Opens what is on the disk in both ways; what opens goes on working.
fn usable(disk: &SimDisk, written: Option<&[Vec<u8>]>) {
    let entries = inspect_on(Arc::new(disk.clone()), "leases").map(Iterator::count);
    let content = disk.content(FILE).expect("it is there");
    for on_damage in [OnDamage::Refuse, OnDamage::Salvage] {
        let disk = SimDisk::new(9);
        disk.put(FILE, &content);
        let (mut journal, recovered) = match open(&disk, on_damage) {
            Ok(opened) => opened,
            Err(refused) => {
                assert!(!refused.to_string().is_empty());
                continue;
            }
        };
        assert!(entries.is_ok(), "it opens, and cannot be looked at");
        if let Some(written) = written {
            let lost = recovered.report.records_lost;
            let good = match on_damage {
                OnDamage::Refuse => lost == 0 && written.starts_with(&recovered.records),
                OnDamage::Salvage => is_part(&recovered.records, written),
            };
            assert!(good, "{:?} out of {written:?}", recovered.records);
        }
        assert_eq!(recovered.report.records, recovered.records.len() as u64);
        if journal.append(b"next").is_err() || journal.commit().is_err() {
            continue;
        }
        drop(journal);
        let (_, again) = open(&disk, OnDamage::Refuse).expect("what has been repaired opens");
        let (next, before) = again.records.split_last().expect("something was appended");
        assert_eq!((next.as_slice(), before), (&b"next"[..], recovered.records.as_slice()));
    }
}

/// Whether `part` is `whole` with some records missing.
fn is_part(part: &[Vec<u8>], whole: &[Vec<u8>]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|record| rest.any(|other| other == record))
}

/// A journal as a daemon writes it, with restarts and power cuts; all its records in order.
fn written(disk: &SimDisk, input: &mut Input<'_>) -> Vec<Vec<u8>> {
    let (mut journal, _) = open(disk, OnDamage::Refuse).expect("a first start");
    let (mut all, mut promised) = (Vec::new(), 0);
    for step in 0..input.below(24) {
        match input.below(8) {
            0..4 => {
                let length = usize::from(input.byte()) * 2;
                // Each record differs from all others, so that order can be told.
                let record = [&[step][..], &input.byte().to_le_bytes().repeat(length)].concat();
                journal.append(&record).expect("there is room");
                all.push(record);
            }
            4 | 5 => {
                journal.commit().expect("the disk is sound");
                promised = all.len();
            }
            6 => {
                journal.commit().expect("the disk is sound");
                journal.snapshot(all.iter()).expect("the disk is sound");
                promised = all.len();
            }
            _ => {
                drop(journal);
                disk.power_cut();
                let (opened, recovered) = open(disk, OnDamage::Refuse).expect("a power cut damages nothing");
                assert!(recovered.records.len() >= promised, "a promise was lost");
                assert!(all.starts_with(&recovered.records));
                (journal, all) = (opened, recovered.records);
                promised = all.len();
            }
        }
    }
    journal.commit().expect("the disk is sound");
    all
}

fn damage(disk: &SimDisk, input: &mut Input<'_>) {
    let mut bytes = disk.content(FILE).expect("it is there");
    for _ in 0..input.below(5) {
        let at = usize::from(input.u16()) % bytes.len().max(1);
        let length = usize::from(input.u16() % 2048).min(bytes.len() - at);
        match input.below(7) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << input.below(8),
            2 => bytes[at..at + length].fill(0),
            3 => bytes[at..at + length].fill(input.byte()),
            4 => bytes.truncate(at),
            5 => {
                let copy = bytes[at..at + length].to_vec();
                let to = usize::from(input.u16()) % (bytes.len() + 1);
                bytes.splice(to..to, copy);
            }
            _ => drop(bytes.drain(at..at + length)),
        }
    }
    disk.put(FILE, &bytes);
}

/// A journal whose checksums are right and whose numbers are not: what stands in the module's documentation,
/// written down once more.
fn sealed(input: &mut Input<'_>) -> Vec<u8> {
    let mut bytes = Vec::from(*b"farosjnl\x01\0\x01\0\0\0\0\0");
    let (generation, salt) = (sane(input.u64()), u64::from(input.byte()));
    bytes.extend(generation.to_le_bytes());
    bytes.extend(salt.to_le_bytes());
    bytes.extend(*b"leases\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    let seed = crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), &generation.to_le_bytes());
    let number = |input: &mut Input<'_>| match input.below(4) {
        0 => sane(input.u64()),
        1 => u64::MAX - u64::from(input.byte()),
        _ => input.byte().into(),
    };
    while !input.is_empty() {
        let how = input.byte();
        if how.is_multiple_of(8) {
            bytes.extend_from_slice(input.short());
            continue;
        }
        let kind = 1 + input.below(4);
        let sequence = number(input);
        let (place, session) = (number(input) as u32, number(input) as u32);
        let base = number(input).to_le_bytes();
        let payload = if kind == 2 && how < 128 { &base } else { input.short() };
        let length = (payload.len() as u32).to_le_bytes();
        let mut rest = sequence.to_le_bytes().to_vec();
        rest.extend(place.to_le_bytes());
        rest.extend(session.to_le_bytes());
        rest.extend([kind, 0, 0, 0]);
        rest.extend_from_slice(payload);
        let crc = crc32c::crc32c_append(crc32c::crc32c_append(seed, &length), &rest);
        bytes.extend(length);
        bytes.extend(crc.to_le_bytes());
        bytes.extend(rest);
    }
    bytes
}

/// No journal goes on from the very last numbers that are read: where the end is near, it is passed.
fn sane(number: u64) -> u64 {
    if (1 << 61..=1 << 62).contains(&number) { number << 2 } else { number }
}

fn seeds() -> Vec<Vec<u8>> {
    let disk = SimDisk::new(1);
    written(&disk, &mut Input::new(&[9, 0, 9, 1, 0, 20, 2, 4, 0, 30, 3, 6, 1, 5, 4, 4, 2, 40, 5, 7]));
    let whole = disk.content(FILE).expect("it was written");
    let story = [2, 12, 0, 9, 1, 0, 20, 2, 4, 0, 30, 3, 6, 1, 5, 4, 4, 2, 40, 5, 7, 0, 3, 3, 4, 0, 2, 2, 4];
    let sealed = |records: &[&[u8]]| [&[1, 0, 0, 0, 0, 0, 0, 0, 1, 5][..], &records.concat()].concat();
    vec![
        [&[0], whole.as_slice()].concat(),
        [&[0], &whole[..whole.len() / 2]].concat(),
        story.to_vec(),
        [&story[..], &[1, 0, 0x90, 0, 0, 0, 3]].concat(),
        [&story[..], &[2, 0, 0x90, 0, 40, 2, 1, 0, 1, 0, 4]].concat(),
        [&story[..], &[1, 0, 0x80, 0, 90, 5, 1, 0]].concat(),
        // A snapshot of one record, its seal, a session, two records of one batch.
        sealed(&[
            &[1, 0, 2, 0, 2, 0, 2, 0, 2, 0, 1, b'a'],
            &[1, 1, 2, 1, 2, 0, 2, 0, 2, 1],
            &[1, 3, 2, 1, 2, 0, 2, 1, 2, 0, 0],
            &[1, 2, 2, 2, 2, 0, 2, 1, 2, 0, 1, b'b'],
            &[1, 2, 2, 3, 2, 1, 2, 1, 2, 0, 1, b'c'],
        ]),
    ]
}
