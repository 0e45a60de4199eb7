//! The journal of one thread: append, commit, and healing after the disk has failed.

use std::any::Any;
use std::path::Path;
use std::sync::Arc;

use super::compaction::Compaction;
use super::disk::{Disk, DiskFile};
use super::error::is_full;
use super::files::Files;
use super::format::{HEADER_BYTES, Header, Kind, NAME_BYTES_MAX, RECORD_HEADER_BYTES, Record};
use super::{JournalError, JournalOptions, Lsn, RealDisk, Recovered};

/// How often a batch is tried again within one commit when signals cut the write short. Beyond it: an error.
const SHORT_WRITES_MAX: u32 = 4;

/// An open journal, for one thread. [`GroupCommit`](super::GroupCommit) shares it among tasks.
///
/// After an error of [`commit`](Self::commit) what had been appended is kept: it becomes durable when a later
/// call succeeds, in the order of its numbers, none left out. So a caller that applied the change to its state
/// in memory stays in step with the disk; only the promise to the client has to wait or be given up.
///
/// | What failed | What the next `commit` does |
/// |---|---|
/// | write: `ENOSPC`, `EDQUOT`, `EROFS` | opens the file anew, checks it, cuts the unfinished batch off, writes again |
/// | write: anything else; `fdatasync`; `fsync` of the directory | never touches that descriptor again: reads back what had been durable through a new one, checks every record, and puts it with the waiting records into a fresh file |
#[derive(Debug)]
pub struct Journal {
    pub(super) files: Files,
    pub(super) options: JournalOptions,
    pub(super) lock: Option<Box<dyn Any + Send>>,
    pub(super) state: State,
    pub(super) header: Header,
    /// Numbers the processes that have appended to this file.
    pub(super) session: u32,
    /// Where the next batch goes: everything before is durable.
    pub(super) end: u64,
    /// Up to here the file exists, with zeroes beyond `end`.
    pub(super) allocated: u64,
    /// Where the snapshot ends.
    pub(super) sealed_end: u64,
    /// The last record in the file; durable, if affirmed.
    pub(super) durable: Lsn,
    /// What was read at the start is known to be on disk.
    pub(super) affirmed: bool,
    /// Appended, not yet durable: numbers from `durable + 1` on.
    pub(super) pending: Vec<Vec<u8>>,
    pub(super) compaction: Option<Compaction>,
    /// The marker is behind the generation in place.
    pub(super) marker_stale: bool,
}

/// Whether the file can be written to.
#[derive(Debug)]
pub(super) enum State {
    Sound(Box<dyn DiskFile>),
    /// A write was refused for want of room: the same file will do, once there is some.
    Reopen,
    /// Nobody knows what of the file is on disk: a fresh one is due.
    Rotate,
}

impl Journal {
    /// Opens the journal in a directory, or creates it on the first start.
    ///
    /// # Errors
    /// See [`open_on`](Self::open_on).
    pub fn open(directory: &Path, options: JournalOptions) -> Result<(Self, Recovered), JournalError> {
        let disk = RealDisk::new(directory).map_err(|source| JournalError::Directory {
            path: directory.to_owned(),
            source: Arc::new(source),
        })?;
        Self::open_on(Arc::new(disk), options)
    }

    /// Opens the journal on any disk.
    ///
    /// On a disk that is full or read-only an existing journal opens all the same, [failed](Self::is_failed) until
    /// a commit succeeds, so that what was promised can be honoured.
    ///
    /// # Errors
    /// Everything that would make a wrong or empty state look right, see [`JournalError`]; and on the first start
    /// a disk that cannot be written.
    ///
    /// # Panics
    /// If the name in the options is not 1 to 16 bytes of `a-z`, `0-9` and `-`.
    pub fn open_on(disk: Arc<dyn Disk>, options: JournalOptions) -> Result<(Self, Recovered), JournalError> {
        super::recovery::open(disk, options)
    }

    /// Takes a record, to be made durable by [`commit`](Self::commit). Its number is returned.
    ///
    /// # Errors
    /// [`RecordTooLong`](JournalError::RecordTooLong) and [`SnapshotFirst`](JournalError::SnapshotFirst); then
    /// nothing was taken.
    pub fn append(&mut self, record: &[u8]) -> Result<Lsn, JournalError> {
        self.check(record.len())?;
        Ok(self.push(record.to_vec()))
    }

    /// Makes everything appended durable, by one write and one `fdatasync`. The last durable number is returned.
    ///
    /// # Errors
    /// Those of the disk. What was not durable stays appended: call again, about once a second.
    pub fn commit(&mut self) -> Result<Lsn, JournalError> {
        for _ in 0..SHORT_WRITES_MAX {
            self.heal()?;
            if self.pending.is_empty() || self.write_batch()? {
                return Ok(self.durable);
            }
        }
        let error =
            std::io::Error::new(std::io::ErrorKind::Interrupted, "writes are cut short again and again");
        Err(self.files.error("write", &self.files.journal, error))
    }

    /// Replaces everything by these records, which stand for the whole state after all that was appended.
    ///
    /// # Errors
    /// Those of the disk, and [`RecordTooLong`](JournalError::RecordTooLong): the journal goes on as it was.
    pub fn snapshot<R: AsRef<[u8]>>(
        &mut self,
        records: impl IntoIterator<Item = R>,
    ) -> Result<(), JournalError> {
        self.begin_snapshot(records.into_iter().map(|record| record.as_ref().to_vec()).collect())?;
        while !self.step_snapshot()? {}
        Ok(())
    }

    /// Bytes appended since the last snapshot.
    #[must_use]
    pub fn bytes_since_snapshot(&self) -> u64 {
        self.end - self.sealed_end
    }

    /// Bytes of the last snapshot.
    #[must_use]
    pub fn snapshot_bytes(&self) -> u64 {
        self.sealed_end - HEADER_BYTES as u64
    }

    /// How often the file has been replaced, the first one included.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.header.generation
    }

    /// The last record that is durable; 0 while not even what was recovered is, on a disk that failed from the start.
    #[must_use]
    pub fn durable(&self) -> Lsn {
        if self.affirmed { self.durable } else { Lsn(0) }
    }

    /// The last record appended.
    #[must_use]
    pub fn last(&self) -> Lsn {
        Lsn(self.durable.0 + self.pending.len() as u64)
    }

    /// Whether the disk has failed, so that the next commit must heal first.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        !matches!(self.state, State::Sound(_))
    }

    /// Whether a record of this length can be appended.
    pub(super) fn check(&self, bytes: usize) -> Result<(), JournalError> {
        if self.needs_snapshot() {
            return Err(JournalError::SnapshotFirst);
        }
        check_length(bytes, &self.options)
    }

    /// Whether the file holds records of an older version.
    pub(super) fn needs_snapshot(&self) -> bool {
        self.header.version < self.options.version
    }

    /// Takes a record that has been checked.
    pub(super) fn push(&mut self, record: Vec<u8>) -> Lsn {
        self.pending.push(record);
        self.last()
    }

    /// `false` if the write was cut short without a reason.
    fn write_batch(&mut self) -> Result<bool, JournalError> {
        let mut bytes = self.encode_batch();
        let length = bytes.len();
        let step = self.options.preallocate_bytes;
        if step > 0 && self.end + length as u64 > self.allocated {
            // Zeroes ahead come with the batch that needs the room.
            let ahead = (self.end + length as u64).next_multiple_of(step);
            bytes.resize((ahead - self.end) as usize, 0);
        }
        let State::Sound(file) = &mut self.state else { return Ok(false) };
        let mut written = file.write_at(self.end, &bytes);
        if bytes.len() > length && written.as_ref().is_err_and(is_full) {
            // No room for the zeroes, perhaps for the records.
            written = file.write_at(self.end, &bytes[..length]);
        }
        let written = match written {
            Ok(written) if written >= length => written,
            // Zeroes tell why, and look like no record: a batch in two writes could be torn within a sector.
            Ok(written) => match file.write_at(self.end + written as u64, &vec![0; length - written]) {
                // A signal: cut off and written anew.
                Ok(_) => {
                    self.state = State::Reopen;
                    return Ok(false);
                }
                Err(error) => return Err(self.write_failed(error)),
            },
            Err(error) => return Err(self.write_failed(error)),
        };
        if let Err(error) = file.sync() {
            return Err(self.fail("synchronise", State::Rotate, error));
        }
        self.allocated = self.allocated.max(self.end + written as u64);
        self.end += length as u64;
        self.settle(self.last());
        Ok(true)
    }

    fn encode_batch(&self) -> Vec<u8> {
        let seed = self.header.seed();
        let length = self.pending.iter().map(|record| RECORD_HEADER_BYTES + record.len()).sum();
        let mut bytes = Vec::with_capacity(length);
        for (place, payload) in (0u32..).zip(&self.pending) {
            let sequence = self.durable.0 + 1 + u64::from(place);
            Record { kind: Kind::Appended, sequence, place, session: self.session, payload }
                .encode(seed, &mut bytes);
        }
        bytes
    }

    fn write_failed(&mut self, error: std::io::Error) -> JournalError {
        let full = is_full(&error) || error.kind() == std::io::ErrorKind::Interrupted;
        self.fail("write", if full { State::Reopen } else { State::Rotate }, error)
    }

    /// Everything up to here is durable.
    pub(super) fn settle(&mut self, durable: Lsn) {
        let count = (durable.0.saturating_sub(self.durable.0) as usize).min(self.pending.len());
        let records = self.pending.drain(..count);
        if let Some(compaction) = &mut self.compaction {
            compaction.committed(self.durable, records);
        }
        self.durable = self.durable.max(durable);
    }

    /// Notes that the disk has failed.
    pub(super) fn fail(&mut self, action: &'static str, state: State, error: std::io::Error) -> JournalError {
        self.state = state;
        self.files.error(action, &self.files.journal, error)
    }
}

/// Whether a record is short enough.
pub(super) fn check_length(bytes: usize, options: &JournalOptions) -> Result<(), JournalError> {
    let bytes_max = options.record_bytes_max.min(u32::MAX as usize);
    if bytes > bytes_max { Err(JournalError::RecordTooLong { bytes, bytes_max }) } else { Ok(()) }
}

/// The name as the header holds it.
pub(super) fn padded(name: &str) -> [u8; NAME_BYTES_MAX] {
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len());
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    assert!(fits && plain, "a journal's name is 1 to 16 bytes of a-z, 0-9 and '-': {name:?}");
    let mut bytes = [0; NAME_BYTES_MAX];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes
}
