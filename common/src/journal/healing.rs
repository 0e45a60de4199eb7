//! Making a journal fit for writing again after its disk has failed.

use super::JournalError;
use super::compaction::Compaction;
use super::format::{HEADER_BYTES, Header, Kind};
use super::log::{Journal, State};
use super::scan::Scan;

impl Journal {
    /// Makes the file fit for writing again, if it is not.
    pub(super) fn heal(&mut self) -> Result<(), JournalError> {
        if self.lock.is_none() {
            self.lock = Some(super::recovery::lock(&self.files)?);
        }
        match self.state {
            State::Sound(_) => Ok(()),
            State::Reopen => self.reopen(),
            State::Rotate => self.rotate(),
        }
    }

    fn reopen(&mut self) -> Result<(), JournalError> {
        let name = &self.files.journal;
        let mut file = self.files.disk.open(name).map_err(|error| self.files.error("open", name, error))?;
        let mut head = [0; HEADER_BYTES];
        let read = file.read_at(0, &mut head).map_err(|error| self.files.error("read", name, error))?;
        let size = file.size().map_err(|error| self.files.error("read", name, error))?;
        let same = Header::decode(&head[..read]).is_ok_and(|(header, _)| header == self.header);
        if !same || size < self.end {
            return Err(JournalError::Foreign {
                path: self.files.journal_path(),
                found: "a file that somebody put there while it was open".to_owned(),
            });
        }
        if let Err(error) = file.truncate(self.end) {
            return Err(self.files.error("truncate", name, error));
        }
        if let Err(error) = file.sync() {
            return Err(self.fail("synchronise", State::Rotate, error));
        }
        self.allocated = self.end;
        self.state = State::Sound(file);
        Ok(())
    }

    /// Puts a fresh file in place: the snapshot under way, if there is one, or else a copy of what is certain and of
    /// what waits.
    fn rotate(&mut self) -> Result<(), JournalError> {
        if self.compaction.is_none() {
            let (records, version) = self.certain_and_waiting()?;
            self.compaction = Some(Compaction::new(records, self.last(), version));
        }
        while !self.step_snapshot()? {}
        Ok(())
    }

    fn certain_and_waiting(&mut self) -> Result<(Vec<Vec<u8>>, u16), JournalError> {
        let name = &self.files.journal;
        let bytes = self.files.disk.read(name).map_err(|error| self.files.error("read", name, error))?;
        let path = self.files.journal_path();
        let damaged = |at: usize| JournalError::Damaged { path, offset: at as u64, before: 0, after: 0 };
        let scan = match Scan::new(&bytes, self.options.record_bytes_max) {
            Ok(scan) => scan,
            Err(_) => return Err(damaged(0)),
        };
        if let Some(damage) = scan.damage.first() {
            return Err(damaged(damage.bytes.start));
        }
        if scan.last < self.durable {
            return Err(damaged(scan.end));
        }
        // The file may hold more than is known to be durable; that much still waits here.
        let certain = self.durable.max(scan.base);
        let mut records: Vec<_> = scan
            .records
            .iter()
            .filter(|record| record.kind == Kind::Snapshot || record.sequence <= certain.0)
            .map(|record| record.payload.to_vec())
            .collect();
        records.extend(self.pending.iter().skip((certain.0 - self.durable.0) as usize).cloned());
        self.header.generation = self.header.generation.max(scan.header.generation);
        Ok((records, scan.header.version))
    }
}
