//! What a client was told was on disk first: an append-only journal with group commit.
//!
//! A daemon keeps its state in memory, appends a record for every change that it is about to promise,
//! and answers once the record is durable. Now and then it hands over its whole state as a snapshot,
//! which replaces the file by an atomic rename. At start it gets back the snapshot's records followed
//! by those appended since, in order.
//!
//! ```no_run
//! # use faros_common::journal::{GroupCommit, Journal, JournalOptions};
//! # async fn grant() -> Result<(), Box<dyn std::error::Error>> {
//! let (journal, recovered) = Journal::open("/var/lib/faros/dhcpd".as_ref(), JournalOptions::new("leases", 1))?;
//! for record in &recovered.records { /* replay */ }
//! let group = GroupCommit::start(journal)?;
//! let lsn = group.append("a lease")?;       // at once, never blocks
//! group.durable(lsn).await?;                // now, and not before, it may be promised
//! # Ok(()) }
//! ```
//!
//! # What is promised
//!
//! - A record that was reported durable is recovered: after `kill -9`, after a power cut that loses, tears
//!   (at 512 bytes) or reorders whatever was not yet synchronised, after a full disk and after I/O errors.
//! - What is recovered is always a prefix of what was appended, in order, with nothing invented.
//! - Lost or unreadable state is an error that names the file, never an empty state.
//! - A file descriptor whose `fdatasync` failed is never used again (the kernel may have marked the lost
//!   pages clean): the journal copies what is certain into a fresh file.
//!
//! What it cannot see: a whole directory put back to an older state, marker included (a restored disk image).
//!
//! # Files
//!
//! | Name | Content |
//! |---|---|
//! | `NAME.journal` | header, snapshot, seal, appended records; replaced as a whole by each snapshot |
//! | `NAME.marker` | text: the generation last put in place. Beside it a missing journal is an error, and so is an older one |
//! | `NAME.tmp` | a snapshot being written; removed at start |
//! | `NAME.lock` | held with `flock` while a process has the journal open |
//! | `NAME.damaged-G` | what [`OnDamage::Salvage`] found in generation G |
//!
//! # Layout of `NAME.journal`
//!
//! All numbers little-endian.
//!
//! ```text
//! header, 64 bytes
//!   0        8        10       12       16            24            32           48         60      64
//!   ├────────┼────────┼────────┼────────┼─────────────┼─────────────┼────────────┼──────────┼───────┤
//!   │farosjnl│ format │ records│ zero   │ generation  │ salt        │ name, NUL  │ zero     │CRC32C │
//!   │        │ = 1    │ version│        │             │             │ padded     │          │ 0..60 │
//!   └────────┴────────┴────────┴────────┴─────────────┴─────────────┴────────────┴──────────┴───────┘
//! record, 28 bytes and the payload
//!   0        4        8                 16       20       24     25    28
//!   ├────────┼────────┼─────────────────┼────────┼────────┼──────┼─────┼───────────────┤
//!   │ length │ CRC32C │ sequence        │ place  │ session│ kind │ zero│ payload …     │
//!   └────────┴────────┴─────────────────┴────────┴────────┴──────┴─────┴───────────────┘
//! file
//!   header, snapshot record*, seal, (appended record or session record)*, zeroes written ahead*
//! ```
//!
//! *CRC32C* of a record continues that of the file's salt and generation (8 bytes each) over the record without the
//! CRC field: no record of another file passes for one of this, nor does anything that a client sends, who does not
//! know the salt. *kind* is 1 in a snapshot (sequence counts from 0), 2 for the seal that ends it (sequence: how many
//! records it has; payload: the last [`Lsn`] that it stands for, 8 bytes), 3 for an appended record (sequence: its
//! [`Lsn`]), 4 for the record that each process writes first (sequence: the last LSN before it; *session*: one more than
//! before). A record with a lower session than those before it was never promised: an earlier process had failed to
//! cut it off. *place* counts from 0 within the batch that one `fdatasync` covered, so a later record proves that all
//! before its batch had been promised.

mod compaction;
mod disk;
mod error;
mod files;
mod format;
mod gathering;
mod group;
mod healing;
mod inspect;
mod log;
mod real;
mod recovery;
mod salvage;
mod scan;
pub mod sim;
mod status;
#[cfg(test)]
mod tests;
mod worker;

pub use disk::{Disk, DiskFile, Space};
pub use error::JournalError;
pub use gathering::Gathering;
pub use group::{
    GroupCommit, Progress, QUEUE_BYTES_MAX, QUEUE_RECORDS_MAX, SNAPSHOT_AFTER_BYTES, SNAPSHOT_RETRY,
};
pub use inspect::{Entry, EntryKind, inspect, inspect_on};
pub use log::Journal;
pub use real::RealDisk;
pub use salvage::salvage;
pub use status::JournalStatus;

/// Longest record that a journal takes unless its options say otherwise, in bytes.
pub const RECORD_BYTES_MAX: usize = 64 * 1024;

/// Bytes of zeroes written ahead of the records unless the options say otherwise.
///
/// A record that overwrites them needs no change of the file's length, which spares the file system a commit
/// of its own; and on a full disk this much can still be promised.
pub const PREALLOCATE_BYTES: u64 = 1024 * 1024;

/// A record's place in the journal: 1 for the first ever appended, then counting up, across restarts and snapshots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct Lsn(pub u64);

/// What a journal is and how it behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalOptions {
    /// Begins the file names, and is written into the header; 1 to 16 bytes of `a-z`, `0-9`, `-`.
    pub name: &'static str,
    /// Version of the caller's records. A file with a newer one is refused; after opening one with an older one
    /// ([`RecoveryReport::version`]) a snapshot in the new form must precede the first append.
    pub version: u16,
    /// Longest record taken, in bytes. What is longer is refused by `append`, and on disk is damage.
    pub record_bytes_max: usize,
    /// How far zeroes are written ahead, in bytes; 0: not at all.
    pub preallocate_bytes: u64,
    /// What to do when records that had been promised are unreadable.
    pub on_damage: OnDamage,
    /// Whether a [`GroupCommit`] lets records gather under load. For those whose clients do not wait for each other:
    /// a writer that waits for each of its records would be slowed down to one per gap.
    pub gathering: Option<Gathering>,
}

impl JournalOptions {
    /// The usual options under a name, for records of a version.
    #[must_use]
    pub fn new(name: &'static str, version: u16) -> Self {
        Self {
            name,
            version,
            record_bytes_max: RECORD_BYTES_MAX,
            preallocate_bytes: PREALLOCATE_BYTES,
            on_damage: OnDamage::Refuse,
            gathering: None,
        }
    }
}

/// What to do when records that had been promised are unreadable: a flipped bit, a zeroed page, a shortened file.
///
/// A single flipped bit is put right in either case. A torn tail is not damage: it had not been promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDamage {
    /// Refuse to open, with [`JournalError::Damaged`]: whoever serves without the lost records may promise the
    /// same thing twice.
    Refuse,
    /// Keep the file as `NAME.damaged-G`, recover every readable record before and after the damage, and
    /// count the others in [`RecoveryReport::records_lost`]. For the operator's explicit repair.
    Salvage,
}

/// What [`Journal::open`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The snapshot's records, then those appended since, in order.
    pub records: Vec<Vec<u8>>,
    /// How they were found.
    pub report: RecoveryReport,
}

/// How the records were found: for the log line and the metrics of a start.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct RecoveryReport {
    /// There was neither journal nor marker: this is the first start in this directory.
    pub first_start: bool,
    /// How many records were recovered.
    pub records: u64,
    /// How many of them came from the snapshot.
    pub snapshot_records: u64,
    /// The last record's number.
    pub last: Lsn,
    /// How often the file has been replaced by a snapshot.
    pub generation: u64,
    /// Version of the caller's records in the file.
    pub version: u16,
    /// Bytes cut off at the end that had never been promised.
    pub bytes_cut: u64,
    /// Why they were cut.
    pub cut: Option<Cut>,
    /// Records that were found twice, the second being ignored.
    pub records_duplicate: u64,
    /// Records with a single flipped bit that was put right.
    pub records_corrected: u64,
    /// Records that had been promised and could not be read; only with [`OnDamage::Salvage`].
    pub records_lost: u64,
    /// A snapshot that a crash had left unfinished was removed.
    pub stale_snapshot: bool,
    /// The state lives in memory: it will not survive a restart of the machine. Worth a warning.
    pub tmpfs: bool,
}

/// Why the end of a journal was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// The last batch was not written as a whole before power or process ended.
    Torn,
    /// After the last record there is something that is no record.
    Garbage,
    /// After the last record come copies of earlier ones.
    Duplicate,
}

impl std::fmt::Display for Lsn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
