//! Locks on disk: what an operator was told is locked stays locked, whatever happens to this process or its power.

use std::path::Path;

use faros_common::clock;
use faros_common::daemon::StartError;
use faros_common::journal::{
    GroupCommit, Journal, JournalError, JournalOptions, JournalStatus, OnDamage, Recovered,
};
use tracing::error;

use super::locks::{Change, Lock, Locks};

/// The journal's name, and the version of its records.
const JOURNAL: (&str, u16) = ("locks", 1);
/// Locks change once in a long while.
const PREALLOCATE_BYTES: u64 = 16 * 1024;
/// More records than this are replaced by one for each lock, at start.
const RECORDS_MAX: usize = 256;
/// Why everything is locked after records were lost.
const LOST: &str =
    "records of locks were damaged: see what should be locked, then farosctl tang unlock --all";

/// The journal of locks, open while nothing is served yet.
#[derive(Debug)]
pub struct Store {
    journal: GroupCommit,
}

impl Store {
    /// Opens the journal in `directory`, with the locks that it holds. Where records are damaged, everything is locked:
    /// a lock that was promised must not end by a flipped bit.
    ///
    /// # Errors
    /// The journal is gone, of another program or not ours to open: starting empty would unlock everything.
    pub fn open(directory: &Path) -> Result<(Self, Locks), StartError> {
        Self::open_journal(directory).map_err(|error| StartError::System(error.to_string()))
    }

    fn open_journal(directory: &Path) -> Result<(Self, Locks), JournalError> {
        let options = JournalOptions {
            preallocate_bytes: PREALLOCATE_BYTES,
            ..JournalOptions::new(JOURNAL.0, JOURNAL.1)
        };
        let (mut journal, recovered) = match Journal::open(directory, options.clone()) {
            Err(JournalError::Damaged { .. }) => {
                Journal::open(directory, JournalOptions { on_damage: OnDamage::Salvage, ..options })?
            }
            other => other?,
        };
        let (locks, whole) = replay(&recovered);
        if !whole || recovered.records.len() > RECORDS_MAX {
            // Before anything is served: the next start finds an undamaged journal, which must say this too.
            journal.snapshot(locks.changes().iter().map(bytes))?;
        }
        let journal = GroupCommit::start(journal).map_err(|error| JournalError::Disk {
            action: "start the journal's thread for",
            path: JOURNAL.0.into(),
            source: std::sync::Arc::new(error),
        })?;
        Ok((Self { journal }, locks))
    }

    /// Writes a change; once this returns it survives everything but the disk.
    ///
    /// # Errors
    /// It is not on disk, and nobody knows whether it will be.
    pub async fn write(&self, change: &Change) -> Result<(), JournalError> {
        let lsn = self.journal.append(bytes(change))?;
        self.journal.durable(lsn).await
    }

    /// How the journal fares.
    #[must_use]
    pub fn status(&self) -> JournalStatus {
        self.journal.status()
    }

    /// Ends the journal.
    ///
    /// # Errors
    /// The disk's.
    pub async fn shutdown(&self) -> Result<(), JournalError> {
        self.journal.shutdown().await
    }
}

/// The locks of the journal, and whether all of it could be read.
fn replay(recovered: &Recovered) -> (Locks, bool) {
    let mut locks = Locks::default();
    let mut whole = recovered.report.records_lost == 0;
    for record in &recovered.records {
        match serde_json::from_slice::<Change>(record) {
            Ok(change) => locks.apply(change),
            Err(_) => whole = false,
        }
    }
    if !whole {
        error!(
            event = "locks_lost",
            lost = recovered.report.records_lost,
            "records of locks are lost: everything is locked until an operator unlocks it"
        );
        locks.all.get_or_insert_with(|| Lock::new(clock::wall(), Some(LOST.to_owned())));
    }
    (locks, whole)
}

fn bytes(change: &Change) -> Vec<u8> {
    serde_json::to_vec(change).expect("a change is texts only")
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn lock(subject: &str) -> Change {
        Change::Lock { subject: Some(subject.to_owned()), lock: Lock::new(SystemTime::UNIX_EPOCH, None) }
    }

    #[tokio::test]
    async fn a_lock_survives_a_restart_and_so_does_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let (store, locks) = Store::open(directory.path()).unwrap();
        assert_eq!(locks, Locks::default());
        store.write(&lock("cp1")).await.unwrap();
        store.write(&lock("cp2")).await.unwrap();
        store.write(&Change::Unlock { subject: Some("cp1".to_owned()) }).await.unwrap();
        store.shutdown().await.unwrap();
        drop(store);
        let (_, locks) = Store::open(directory.path()).unwrap();
        assert!(locks.holds(Some("cp2")) && !locks.holds(Some("cp1")));
    }

    #[tokio::test]
    async fn damage_locks_everything_also_after_the_next_start() {
        let directory = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(directory.path()).unwrap();
        for index in 0..20 {
            store.write(&lock(&format!("cp{index}"))).await.unwrap();
        }
        store.shutdown().await.unwrap();
        drop(store);
        let path = directory.path().join("locks.journal");
        let mut content = std::fs::read(&path).unwrap();
        let at = content.windows(5).position(|window| window == b"\"cp5\"").unwrap();
        content[at..at + 40].fill(0xaa);
        std::fs::write(&path, content).unwrap();
        for _ in 0..2 {
            let (store, locks) = Store::open(directory.path()).unwrap();
            assert!(locks.holds(None) && locks.holds(Some("cp4")) && locks.holds(Some("cp19")));
            store.shutdown().await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_journal_that_is_gone_is_no_empty_one() {
        let directory = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(directory.path()).unwrap();
        store.shutdown().await.unwrap();
        drop(store);
        std::fs::remove_file(directory.path().join("locks.journal")).unwrap();
        assert!(Store::open(directory.path()).is_err());
    }
}
