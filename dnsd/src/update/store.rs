//! What updates have added, on disk: an owner with all its records, of several entries the last one counts.
//!
//! ```text
//! entry:  1 | zone: length 1, wire | owner: length 1, wire | records 2 | record …
//! record: type 2 | TTL 4 | length 2 | data          all numbers little-endian
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use faros_common::journal::{GroupCommit, Journal, JournalError, JournalOptions, JournalStatus};
use tracing::error;

use super::apply::Added;
use crate::protocol::name::Name;
use crate::zone::Record;

/// The journal's name.
pub const JOURNAL: &str = "dns-updates";
/// The version of these entries.
const ENTRIES_VERSION: u16 = 1;
const TAG_OWNER: u8 = 1;

/// What updates have added, by zone.
pub type AddedByZone = BTreeMap<Name, Added>;

/// The journal of updates.
#[derive(Debug)]
pub struct UpdateStore {
    group: GroupCommit,
}

/// Why updates cannot be kept.
#[derive(Debug)]
pub enum StoreError {
    /// The journal does not open.
    Journal(JournalError),
    /// Its thread does not start.
    Thread(std::io::Error),
}

/// Records are not on disk.
#[derive(Debug)]
pub struct NotKept {
    /// Why.
    pub error: JournalError,
    /// The journal has taken some of them, and writes these once the disk has healed.
    pub is_pending: bool,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal(error) => write!(f, "the journal {JOURNAL} cannot be opened: {error}"),
            Self::Thread(error) => write!(f, "the journal {JOURNAL} cannot be written: {error}"),
        }
    }
}

impl std::error::Error for StoreError {}

impl UpdateStore {
    /// Opens the journal in `state_dir`, and reads what it holds.
    ///
    /// # Errors
    /// It is damaged, or the disk refuses; nothing is lost by trying again.
    pub fn open(state_dir: &Path) -> Result<(Self, AddedByZone), StoreError> {
        let options = JournalOptions::new(JOURNAL, ENTRIES_VERSION);
        let (journal, recovered) = Journal::open(state_dir, options).map_err(StoreError::Journal)?;
        let added = replay(&recovered.records);
        let group = GroupCommit::start(journal).map_err(StoreError::Thread)?;
        Ok((Self { group }, added))
    }

    /// Writes what `owners` of `zone` have now, and waits until the disk has it.
    ///
    /// # Errors
    /// It is not on disk: nothing may be promised. It may get there all the same.
    pub async fn keep<'o>(
        &self,
        zone: &Name,
        owners: impl IntoIterator<Item = (&'o Name, &'o [Record])>,
    ) -> Result<(), NotKept> {
        let mut last = None;
        for (owner, records) in owners {
            let appended = self.group.append(encode(zone, owner, records));
            last = Some(appended.map_err(|error| NotKept { error, is_pending: last.is_some() })?);
        }
        match last {
            Some(last) => {
                let durable = self.group.durable(last).await;
                durable.map_err(|error| NotKept { error, is_pending: true })
            }
            None => Ok(()),
        }
    }

    /// Replaces the journal by a snapshot of everything, when that is worth its cost.
    pub fn tidy(&self, added: &AddedByZone) {
        if self.group.snapshot_due() {
            let entries = added.iter().flat_map(|(zone, owners)| {
                owners.iter().map(|(owner, records)| encode(zone, owner, records))
            });
            // One under way already, or a disk that has failed: the next update asks again.
            let _ = self.group.snapshot(entries.collect());
        }
    }

    /// Ends the journal: what was kept is on disk already.
    pub async fn shutdown(&self) {
        if let Err(error) = self.group.shutdown().await {
            error!(event = "dns_update_storage", %error, "the journal of updates did not end in order");
        }
    }

    /// How the journal is.
    pub fn status(&self) -> JournalStatus {
        self.group.status()
    }
}

fn replay(entries: &[Vec<u8>]) -> AddedByZone {
    let mut added = AddedByZone::new();
    for (zone, owner, records) in entries.iter().filter_map(|entry| decode(entry)) {
        let owners = added.entry(zone).or_default();
        if records.is_empty() {
            owners.remove(&owner);
        } else {
            owners.insert(owner, records);
        }
    }
    added.retain(|_, owners| !owners.is_empty());
    added
}

fn encode(zone: &Name, owner: &Name, records: &[Record]) -> Vec<u8> {
    let mut entry = vec![TAG_OWNER];
    for name in [zone, owner] {
        entry.push(name.as_wire().len() as u8);
        entry.extend(name.as_wire());
    }
    entry.extend((records.len() as u16).to_le_bytes());
    for record in records {
        entry.extend(record.kind.to_le_bytes());
        entry.extend(record.ttl.to_le_bytes());
        entry.extend((record.rdata.len() as u16).to_le_bytes());
        entry.extend(&record.rdata);
    }
    entry
}

fn decode(entry: &[u8]) -> Option<(Name, Name, Vec<Record>)> {
    let mut reader = Reader(entry);
    if reader.take(1)? != [TAG_OWNER] {
        return None;
    }
    let (zone, owner) = (reader.name()?, reader.name()?);
    let count = reader.u16()?;
    let records = (0..count).map(|_| {
        let kind = reader.u16()?;
        let ttl = u32::from_le_bytes(*reader.take(4)?.first_chunk()?);
        let length = usize::from(reader.u16()?);
        Some(Record { owner: owner.clone(), kind, ttl, rdata: reader.take(length)?.into() })
    });
    let records = records.collect::<Option<Vec<_>>>()?;
    reader.0.is_empty().then_some((zone, owner, records))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (part, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(part)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(*self.take(2)?.first_chunk()?))
    }

    fn name(&mut self) -> Option<Name> {
        let length = usize::from(self.take(1)?[0]);
        Name::from_wire(self.take(length)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::code::kind;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn records(owner: &str, last: &[u8]) -> Vec<Record> {
        let record = |&last: &u8| Record {
            owner: name(owner),
            kind: kind::A,
            ttl: 60,
            rdata: Box::new([192, 0, 2, last]),
        };
        last.iter().map(record).collect()
    }

    #[tokio::test]
    async fn what_was_kept_is_there_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let zone = name("example.com.");
        let (store, added) = UpdateStore::open(directory.path()).unwrap();
        assert!(added.is_empty());
        for (owner, last) in [
            ("a.example.com.", &[1, 2][..]),
            ("b.example.com.", &[3]),
            ("a.example.com.", &[4]),
            ("b.example.com.", &[]),
        ] {
            store.keep(&zone, [(&name(owner), &records(owner, last)[..])]).await.unwrap();
        }
        store.shutdown().await;
        let (_, added) = UpdateStore::open(directory.path()).unwrap();
        let expected = Added::from([(name("a.example.com."), records("a.example.com.", &[4]))]);
        assert_eq!(added, AddedByZone::from([(zone, expected)]));
    }

    proptest! {
        #[test]
        fn any_octets_are_decoded_or_passed_over(entry in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Some((zone, owner, records)) = decode(&entry) {
                prop_assert_eq!(encode(&zone, &owner, &records), entry);
            }
        }
    }
}
