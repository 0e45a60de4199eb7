//! Reading a whole journal file: which records it holds, where they end, and what is wrong with it.
//!
//! What separates a torn tail (never promised, cut off) from damage (promised, not to be dropped in silence):
//!
//! 1. A later record of a later batch proves that the unreadable one had been synchronised: damage.
//! 2. Records of the same batch may survive a power cut that lost their predecessor. Then at least one sector
//!    before them was never written and is still zero: torn. Without such a hole nothing was torn: damage.
//! 3. With no readable record after it, nothing says that it had been promised: cut, and reported.
//!
//! A record that has no hole but a single wrong bit is put right.

use std::borrow::Cow;
use std::ops::Range;

use super::format::{BadHeader, HEADER_BYTES, Header, Kind, RECORD_HEADER_BYTES, Record};
use super::{Cut, Lsn};

/// The unit that a disk writes wholly or not at all.
const SECTOR_BYTES: usize = 512;
/// Longest record in which a flipped bit is searched for; beyond it the search takes too long.
const CORRECTABLE_BYTES_MAX: usize = 4096;

/// A readable record of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found<'a> {
    pub(super) offset: usize,
    pub(super) kind: Kind,
    pub(super) sequence: u64,
    pub(super) payload: Cow<'a, [u8]>,
}

/// A range of bytes that held promised records and cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) bytes: Range<usize>,
    /// How many records were in it, as far as the numbers of those around it tell.
    pub(super) records: u64,
}

/// What a file holds.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    pub(super) header: Header,
    /// Snapshot's records first, without the seal.
    pub(super) records: Vec<Found<'a>>,
    pub(super) snapshot_records: usize,
    /// Where the first record after the seal stands.
    pub(super) sealed_end: usize,
    /// The last record covered by the snapshot.
    pub(super) base: Lsn,
    /// The last record.
    pub(super) last: Lsn,
    /// The last process that wrote to it.
    pub(super) session: u32,
    /// Where the next record goes.
    pub(super) end: usize,
    /// Why what follows `end` is to be cut, unless it is zeroes.
    pub(super) cut: Option<Cut>,
    pub(super) damage: Vec<Damage>,
    pub(super) duplicates: u64,
    pub(super) corrected: u64,
}

impl<'a> Scan<'a> {
    pub(super) fn new(bytes: &'a [u8], payload_bytes_max: usize) -> Result<Self, BadHeader> {
        let (header, corrected) = Header::decode(bytes)?;
        // A seal carries 8 bytes, however short the caller's records are.
        let payload_bytes_max = payload_bytes_max.max(8);
        let scan = Self {
            header,
            records: Vec::new(),
            snapshot_records: 0,
            sealed_end: 0,
            base: Lsn(0),
            last: Lsn(0),
            session: 0,
            end: HEADER_BYTES,
            cut: None,
            damage: Vec::new(),
            duplicates: 0,
            corrected: u64::from(corrected),
        };
        let mut scanner =
            Scanner { bytes, seed: header.seed(), payload_bytes_max, expected: 0, sealed: false, scan };
        scanner.run();
        Ok(scanner.scan)
    }

    /// How many records are readable before and after a damaged range.
    pub(super) fn around(&self, damage: &Damage) -> (u64, u64) {
        let before = self.records.iter().filter(|record| record.offset < damage.bytes.start).count();
        (before as u64, (self.records.len() - before) as u64)
    }

    /// How many promised records cannot be read.
    pub(super) fn records_lost(&self) -> u64 {
        self.damage.iter().map(|damage| damage.records).sum()
    }
}

struct Scanner<'a> {
    bytes: &'a [u8],
    seed: u32,
    payload_bytes_max: usize,
    /// The next sequence number, within the snapshot or after it.
    expected: u64,
    sealed: bool,
    scan: Scan<'a>,
}

impl<'a> Scanner<'a> {
    fn run(&mut self) {
        let mut at = HEADER_BYTES;
        loop {
            if let Some(record) = self.record(at)
                && self.take(at, record.size(), record, Cow::Borrowed(record.payload))
            {
                at += record.size();
                continue;
            }
            match self.beyond(at) {
                Some(next) => at = next,
                None => break,
            }
        }
        if !self.sealed && self.scan.damage.is_empty() {
            self.damaged(at..self.bytes.len(), 0);
        }
        self.scan.last = if self.sealed { Lsn(self.expected - 1) } else { self.scan.base };
    }

    fn record(&self, at: usize) -> Option<Record<'a>> {
        Record::decode(self.bytes.get(at..)?, self.seed, self.payload_bytes_max)
    }

    /// Takes the record if it is the next one, or a copy of an earlier one.
    fn take(&mut self, at: usize, size: usize, record: Record<'_>, payload: Cow<'a, [u8]>) -> bool {
        match (record.kind, self.sealed) {
            (Kind::Session, true) if self.begins(&record) && record.sequence + 1 == self.expected => {
                self.scan.session = record.session;
                self.scan.end = at + size;
                true
            }
            (Kind::Appended, true) if record.session != self.scan.session && !self.is_copy(&record) => false,
            (Kind::Snapshot, false) | (Kind::Appended, true) if record.sequence == self.expected => {
                self.expected += 1;
                self.scan.snapshot_records += usize::from(record.kind == Kind::Snapshot);
                self.scan.records.push(Found {
                    offset: at,
                    kind: record.kind,
                    sequence: record.sequence,
                    payload,
                });
                self.scan.end = at + size;
                true
            }
            (Kind::Seal, false) if record.sequence == self.expected => {
                let Some(base) = record.base() else { return false };
                self.seal(at + size, base);
                true
            }
            _ if self.is_copy(&record) => {
                self.scan.duplicates += 1;
                true
            }
            _ => false,
        }
    }

    fn seal(&mut self, end: usize, base: Lsn) {
        self.sealed = true;
        self.expected = base.0 + 1;
        self.scan.base = base;
        self.scan.sealed_end = end;
        self.scan.end = end;
    }

    /// Whether the record has been read before.
    fn is_copy(&self, record: &Record<'_>) -> bool {
        match record.kind {
            Kind::Snapshot => self.sealed || record.sequence < self.expected,
            Kind::Seal => self.sealed,
            Kind::Appended => self.sealed && record.sequence < self.expected,
            Kind::Session => self.sealed && record.session <= self.scan.session,
        }
    }

    /// Whether the record tells of a process that has not been heard of.
    fn begins(&self, record: &Record<'_>) -> bool {
        record.session > self.scan.session
    }

    /// Whether the record may come next, with others missing before it.
    fn is_later(&self, record: &Record<'_>) -> bool {
        match record.kind {
            Kind::Snapshot | Kind::Seal => !self.sealed && record.sequence >= self.expected,
            Kind::Appended => {
                !self.sealed || (record.sequence >= self.expected && record.session >= self.scan.session)
            }
            Kind::Session => !self.sealed || (record.sequence + 1 >= self.expected && self.begins(record)),
        }
    }

    /// What to do where no record can be read: the place to go on at, or `None` at the end.
    fn beyond(&mut self, at: usize) -> Option<usize> {
        let rest = self.bytes.get(at..).unwrap_or_default();
        if self.sealed && rest.iter().all(|byte| *byte == 0) {
            // Copies before it are not worth keeping; otherwise this is the clean end.
            self.scan.cut = (at > self.scan.end).then_some(Cut::Duplicate);
            return None;
        }
        let next = self.next_valid(at, Self::is_later);
        let hole = self.has_hole(at, next);
        if !hole && let Some(size) = self.correct(at) {
            return Some(at + size);
        }
        let proven = !self.sealed
            || self
                .next_valid(at, |scanner, record| scanner.is_later(record) && record.proves(scanner.expected))
                .is_some()
            || (next.is_some() && !hole);
        if proven {
            return self.skip_damage(at, next);
        }
        let declared =
            rest.first_chunk::<4>().map_or(usize::MAX, |length| u32::from_le_bytes(*length) as usize);
        let unfinished = declared <= self.payload_bytes_max && declared + RECORD_HEADER_BYTES > rest.len();
        self.scan.cut = Some(match () {
            () if hole || unfinished || rest.len() < RECORD_HEADER_BYTES => Cut::Torn,
            () if self.next_valid(at, Self::is_copy).is_some() => Cut::Duplicate,
            () => Cut::Garbage,
        });
        None
    }

    /// The nearest place from `at` on where a readable record stands that `wanted` accepts.
    fn next_valid(&self, at: usize, wanted: impl Fn(&Self, &Record<'_>) -> bool) -> Option<usize> {
        let last = self.bytes.len().checked_sub(RECORD_HEADER_BYTES)?;
        // A sequence number never runs ahead of what the remaining bytes could hold.
        let furthest = self.expected + (self.bytes.len() / RECORD_HEADER_BYTES) as u64;
        (at..=last).find(|place| {
            // Cheap looks before the checksum: the search visits every byte.
            let kind = self.bytes[place + 24];
            (1..=4).contains(&kind)
                && self.bytes[place + 25..place + 28] == [0; 3]
                && self.record(*place).is_some_and(|record| {
                    (!self.sealed || record.sequence <= furthest) && wanted(self, &record)
                })
        })
    }

    /// Whether a sector between the unreadable place and the next record (or the end) was never written.
    fn has_hole(&self, at: usize, next: Option<usize>) -> bool {
        let stop = next.map_or(self.bytes.len(), |next| next / SECTOR_BYTES * SECTOR_BYTES);
        let mut start = at;
        while start < stop {
            let end = ((start / SECTOR_BYTES + 1) * SECTOR_BYTES).min(stop);
            if self.bytes[start..end].iter().all(|byte| *byte == 0) {
                return true;
            }
            start = end;
        }
        false
    }

    /// Puts right a single flipped bit in the record that is due here; its size.
    fn correct(&mut self, at: usize) -> Option<usize> {
        let span = (RECORD_HEADER_BYTES + self.payload_bytes_max).min(self.bytes.len() - at);
        let mut copy = self.bytes[at..at + span.min(CORRECTABLE_BYTES_MAX)].to_vec();
        let declared = u32::from_le_bytes(*copy.first_chunk::<4>()?) as usize;
        let bits = RECORD_HEADER_BYTES.saturating_add(declared).min(copy.len()) * 8;
        // Even a wrong length is found: its bits are the first to be tried.
        for bit in 0..bits.max(RECORD_HEADER_BYTES * 8).min(copy.len() * 8) {
            copy[bit / 8] ^= 1 << (bit % 8);
            if let Some(record) = Record::decode(&copy, self.seed, self.payload_bytes_max)
                && self.is_later(&record)
                && self.take(at, record.size(), record, Cow::Owned(record.payload.to_vec()))
            {
                self.scan.corrected += 1;
                return Some(record.size());
            }
            copy[bit / 8] ^= 1 << (bit % 8);
        }
        None
    }

    /// Notes the damage and goes on behind it.
    fn skip_damage(&mut self, at: usize, next: Option<usize>) -> Option<usize> {
        let Some(next) = next else {
            self.damaged(at..self.bytes.len(), 0);
            return None;
        };
        let record = self.record(next).expect("next_valid has just read it");
        // The number that the record would have to have, were nothing missing.
        let due = record.sequence + u64::from(record.kind == Kind::Session);
        match record.kind {
            Kind::Appended | Kind::Session if !self.sealed => {
                // The seal is gone, and with it the count of the snapshot and the base.
                self.damaged(at..next, 1);
                self.seal(next, Lsn(due.saturating_sub(1)));
            }
            _ => {
                // Nothing may be missing: then what stands between is a piece of a copy.
                match due - self.expected {
                    0 if record.session == self.scan.session || record.kind == Kind::Session => {
                        self.scan.duplicates += 1;
                    }
                    lost => self.damaged(at..next, lost),
                }
                self.expected = due;
            }
        }
        if record.kind == Kind::Appended {
            // Its session's own record may be among what is missing.
            self.scan.session = record.session;
        }
        Some(next)
    }

    fn damaged(&mut self, bytes: Range<usize>, records: u64) {
        self.scan.damage.push(Damage { bytes, records: records.max(1) });
    }
}
