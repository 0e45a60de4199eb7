//! Writing a snapshot in steps, while records go on being committed to the old file.

use super::disk::DiskFile;
use super::error::is_full;
use super::files::write_all;
use super::format::{Header, Kind, Record};
use super::log::{Journal, State, check_length, padded};
use super::{JournalError, Lsn};

/// How much of a snapshot is written between two commits, in bytes: it bounds what a commit waits for.
const STEP_BYTES: usize = if cfg!(test) { 2 * 1024 } else { 512 * 1024 };

/// A snapshot being written to `NAME.tmp`.
///
/// What is committed meanwhile goes to the old file and is remembered here, to follow the snapshot's records
/// into the new file before that is put in place. So at every moment one complete file stands under the name.
#[derive(Debug)]
pub(super) struct Compaction {
    records: std::vec::IntoIter<Vec<u8>>,
    /// The snapshot stands for everything up to here.
    base: Lsn,
    version: u16,
    /// Committed since, with numbers from `base + 1` on.
    tail: Vec<Vec<u8>>,
    file: Option<Box<dyn DiskFile>>,
    header: Option<Header>,
    written: u64,
    count: u64,
}

impl Compaction {
    pub(super) fn new(records: Vec<Vec<u8>>, base: Lsn, version: u16) -> Self {
        Self {
            records: records.into_iter(),
            base,
            version,
            tail: Vec::new(),
            file: None,
            header: None,
            written: 0,
            count: 0,
        }
    }

    /// Records have become durable in the old file; `before` is the last that was.
    pub(super) fn committed(&mut self, before: Lsn, records: impl Iterator<Item = Vec<u8>>) {
        let covered = self.base.0.saturating_sub(before.0) as usize;
        self.tail.extend(records.skip(covered));
    }
}

impl Journal {
    /// Begins to replace everything by these records; [`step_snapshot`](Self::step_snapshot) goes on with it.
    pub(super) fn begin_snapshot(&mut self, records: Vec<Vec<u8>>) -> Result<(), JournalError> {
        for record in &records {
            check_length(record.len(), &self.options)?;
        }
        self.compaction = Some(Compaction::new(records, self.last(), self.options.version));
        Ok(())
    }

    /// Whether a snapshot is being written.
    pub(super) fn is_compacting(&self) -> bool {
        self.compaction.is_some()
    }

    /// Writes a piece of the snapshot; `true` once it is in place. An error abandons it.
    pub(super) fn step_snapshot(&mut self) -> Result<bool, JournalError> {
        let Some(mut compaction) = self.compaction.take() else { return Ok(true) };
        let done = compaction.records.len() == 0 && compaction.file.is_some();
        let stepped = if done { self.finish(&mut compaction) } else { self.advance(&mut compaction) };
        if stepped.is_err() {
            // Its room may be what the next attempt needs.
            let _ = self.files.disk.remove(&self.files.tmp);
        } else if !done {
            self.compaction = Some(compaction);
        }
        stepped.map(|()| done)
    }

    fn advance(&mut self, compaction: &mut Compaction) -> Result<(), JournalError> {
        let mut bytes = Vec::new();
        if compaction.file.is_none() {
            let tmp = &self.files.tmp;
            let file = self.files.disk.create(tmp).map_err(|error| self.files.error("create", tmp, error))?;
            compaction.file = Some(file);
            let header = Header {
                version: compaction.version,
                generation: self.header.generation + 1,
                salt: self.files.disk.salt(),
                name: padded(self.options.name),
            };
            compaction.header = Some(header);
            bytes.extend_from_slice(&header.encode());
        }
        let seed = compaction.header.map_or(0, |header| header.seed());
        while bytes.len() < STEP_BYTES
            && let Some(payload) = compaction.records.next()
        {
            let sequence = compaction.count;
            Record { kind: Kind::Snapshot, sequence, place: 0, session: 0, payload: &payload }
                .encode(seed, &mut bytes);
            compaction.count += 1;
        }
        self.flush(compaction, &bytes)
    }

    fn finish(&mut self, compaction: &mut Compaction) -> Result<(), JournalError> {
        let Some(header) = compaction.header else { return Ok(()) };
        let seed = header.seed();
        let base = compaction.base.max(self.durable);
        let mut bytes = Vec::new();
        for payload in &compaction.tail {
            Record { kind: Kind::Snapshot, sequence: compaction.count, place: 0, session: 0, payload }
                .encode(seed, &mut bytes);
            compaction.count += 1;
        }
        let payload = &base.0.to_le_bytes();
        Record { kind: Kind::Seal, sequence: compaction.count, place: 0, session: 0, payload }
            .encode(seed, &mut bytes);
        self.flush(compaction, &bytes)?;

        if let Err(error) = self.files.disk.rename(&self.files.tmp, &self.files.journal) {
            if is_full(&error) {
                return Err(self.files.error("rename", &self.files.tmp, error));
            }
            // It may have happened all the same.
            return Err(self.fail("rename", State::Rotate, error));
        }
        // From here on the old file has no name: the new one is the journal, durable or not.
        self.header = header;
        self.session = 0;
        self.end = compaction.written;
        self.allocated = compaction.written;
        self.sealed_end = compaction.written;
        if let Err(error) = self.files.disk.sync_dir() {
            return Err(self.fail("synchronise the directory of", State::Rotate, error));
        }
        if let Some(file) = compaction.file.take() {
            self.state = State::Sound(file);
        }
        self.affirmed = true;
        self.settle(base);
        // Behind by one generation at most, which recovery allows for.
        self.marker_stale = self.files.mark(header.generation).is_err();
        Ok(())
    }

    /// Makes a piece of the snapshot durable at once, so that no later step waits for all of it.
    fn flush(&self, compaction: &mut Compaction, bytes: &[u8]) -> Result<(), JournalError> {
        let tmp = &self.files.tmp;
        let Some(file) = compaction.file.as_deref_mut() else { return Ok(()) };
        write_all(file, compaction.written, bytes).map_err(|error| self.files.error("write", tmp, error))?;
        file.sync().map_err(|error| self.files.error("synchronise", tmp, error))?;
        compaction.written += bytes.len() as u64;
        Ok(())
    }
}
