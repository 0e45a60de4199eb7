//! The simulated disk as a journal sees it.

use std::any::Any;
use std::io;
use std::path::Path;
use std::sync::MutexGuard;

use super::inode::{Inode, SECTOR_BYTES};
use super::{Change, Fault, Operation, SimDisk, State};
use crate::journal::{Disk, DiskFile, Space};

impl Disk for SimDisk {
    fn path(&self) -> &Path {
        &self.path
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut state = self.state();
        state.begin_whole(Operation::Read)?;
        let inode = state.find(name)?;
        Ok(state.inodes[inode].live.clone())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.begin_whole(Operation::Open)?;
        let inode = state.find(name)?;
        Ok(Box::new(SimFile { disk: self.clone(), inode, epoch: state.epoch }))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.begin_whole(Operation::Create)?;
        let inode = match state.names.get(name) {
            Some(inode) => *inode,
            None => {
                state.inodes.push(Inode::default());
                let inode = state.inodes.len() - 1;
                state.change(Change::Link(name.to_owned(), inode));
                inode
            }
        };
        state.inodes[inode].truncate(0);
        Ok(Box::new(SimFile { disk: self.clone(), inode, epoch: state.epoch }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.begin_whole(Operation::Rename)?;
        let inode = state.find(from)?;
        state.change(Change::Rename(from.to_owned(), to.to_owned(), inode));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.begin_whole(Operation::Remove)?;
        state.find(name)?;
        state.change(Change::Unlink(name.to_owned()));
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.state();
        state.begin_whole(Operation::SyncDir)?;
        state.unsynced.clear();
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn lock(&self, name: &str) -> io::Result<Box<dyn Any + Send>> {
        let mut state = self.state();
        state.begin_whole(Operation::Lock)?;
        if state.locks.contains_key(name) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.locks_taken += 1;
        let number = state.locks_taken;
        state.locks.insert(name.to_owned(), number);
        Ok(Box::new(SimLock { disk: self.clone(), name: name.to_owned(), number }))
    }

    fn space(&self) -> io::Result<Space> {
        let state = self.state();
        let free_bytes = state.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(state.used()));
        Ok(Space { free_bytes, tmpfs: state.tmpfs })
    }

    fn salt(&self) -> u64 {
        self.state().random.next()
    }
}

#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    name: String,
    number: u64,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.locks.get(&self.name) == Some(&self.number) {
            state.locks.remove(&self.name);
        }
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: usize,
    epoch: u64,
}

impl SimFile {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        if state.epoch == self.epoch { Ok(state) } else { Err(Fault::Io.error()) }
    }
}

impl DiskFile for SimFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.state()?.inodes[self.inode].live.len() as u64)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state()?;
        state.begin_whole(Operation::Read)?;
        let live = &state.inodes[self.inode].live;
        let from = live.get(offset as usize..).unwrap_or_default();
        let length = from.len().min(into.len());
        into[..length].copy_from_slice(&from[..length]);
        Ok(length)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.state()?;
        let whole = state.begin(Operation::Write)?;
        let mut length = bytes.len();
        if !whole || (length > 1 && state.random.chance(16)) {
            // Cut off by a stopping machine or by a signal: between sectors, for pages are copied as a whole.
            let stop = offset as usize + 1 + state.random.below(length as u64) as usize;
            length = (stop.next_multiple_of(SECTOR_BYTES) - offset as usize).min(length);
        }
        let size = state.inodes[self.inode].live.len() as u64;
        let growth = (offset + length as u64).saturating_sub(size);
        if let Some(capacity) = state.capacity {
            let free = capacity.saturating_sub(state.used());
            if growth > free {
                // Room is given by the sector.
                let stop = (offset + length as u64 - (growth - free)) as usize / SECTOR_BYTES * SECTOR_BYTES;
                length = stop.saturating_sub(offset as usize);
                if length == 0 {
                    return Err(Fault::NoSpace.error());
                }
            }
        }
        state.inodes[self.inode].write(offset as usize, &bytes[..length]);
        if whole { Ok(length) } else { Err(Fault::Io.error()) }
    }

    fn truncate(&mut self, size: u64) -> io::Result<()> {
        let mut state = self.state()?;
        state.begin_whole(Operation::Truncate)?;
        state.inodes[self.inode].truncate(size as usize);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let delay = self.state()?.sync_delay;
        if !delay.is_zero() {
            std::thread::sleep(delay);
        }
        let mut state = self.state()?;
        let begun = state.begin(Operation::Sync);
        let State { random, inodes, .. } = &mut *state;
        match begun {
            Ok(true) => {
                inodes[self.inode].sync();
                Ok(())
            }
            // The machine stops half way.
            Ok(false) => Err(Fault::Io.error()),
            Err(error) => {
                inodes[self.inode].lose(random);
                Err(error)
            }
        }
    }
}
