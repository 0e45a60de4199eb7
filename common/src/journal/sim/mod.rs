//! A disk in memory that fails on command and forgets what was not synchronised. For tests.
//!
//! It is as hostile as POSIX allows: a power cut keeps any selection of the unsynchronised 512-byte sectors and of
//! the unsynchronised directory changes; after a failed `fdatasync` the pages read back as written and count as
//! clean, whether or not they reached the disk. The same seed and calls give the same disk.
//!
//! ```
//! use std::sync::Arc;
//! use faros_common::journal::{Journal, JournalOptions, sim::SimDisk};
//!
//! let disk = SimDisk::new(1);
//! let (mut journal, _) = Journal::open_on(Arc::new(disk.clone()), JournalOptions::new("leases", 1)).unwrap();
//! journal.append(b"promised").unwrap();
//! journal.commit().unwrap();
//! journal.append(b"not promised").unwrap();
//! disk.power_cut();
//! let (_, recovered) = Journal::open_on(Arc::new(disk), JournalOptions::new("leases", 1)).unwrap();
//! assert_eq!(recovered.records, [b"promised"]);
//! ```

mod disk;
mod inode;
mod random;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::inode::Inode;
pub(in crate::journal) use self::random::Random;

/// What a fault is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Reading a whole file, or a part of one.
    Read,
    /// Opening an existing file.
    Open,
    /// Creating a file.
    Create,
    /// Writing.
    Write,
    /// Cutting or extending a file.
    Truncate,
    /// `fdatasync`.
    Sync,
    /// `fsync` of the directory.
    SyncDir,
    /// Renaming.
    Rename,
    /// Removing.
    Remove,
    /// Locking.
    Lock,
}

/// A fault to inject; the numbers are those that Linux gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No space left on device.
    NoSpace,
    /// Quota exceeded.
    Quota,
    /// Read-only file system.
    ReadOnly,
    /// Input/output error.
    Io,
    /// Permission denied.
    Denied,
}

impl Fault {
    fn error(self) -> io::Error {
        io::Error::from_raw_os_error(match self {
            Self::NoSpace => libc::ENOSPC,
            Self::Quota => libc::EDQUOT,
            Self::ReadOnly => libc::EROFS,
            Self::Io => libc::EIO,
            Self::Denied => libc::EACCES,
        })
    }
}

/// A disk in memory. Clones are the same disk: keep one to hurt it with.
#[derive(Debug, Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    path: PathBuf,
}

#[derive(Debug)]
struct State {
    random: Random,
    inodes: Vec<Inode>,
    /// What programs see.
    names: BTreeMap<String, usize>,
    /// What a power cut would leave.
    durable_names: BTreeMap<String, usize>,
    /// Changes in between, in order.
    unsynced: Vec<Change>,
    faults: BTreeMap<Operation, (Fault, u32)>,
    capacity: Option<u64>,
    sync_delay: Duration,
    tmpfs: bool,
    /// Operations left before the machine stops.
    fuse: Option<u64>,
    operations: u64,
    /// Counts restarts: files and locks of an earlier one are dead.
    epoch: u64,
    locks: BTreeMap<String, u64>,
    locks_taken: u64,
}

#[derive(Debug, Clone)]
enum Change {
    Link(String, usize),
    Unlink(String),
    Rename(String, String, usize),
}

impl SimDisk {
    /// An empty disk without limits.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let state = State {
            random: Random::new(seed),
            inodes: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            unsynced: Vec::new(),
            faults: BTreeMap::new(),
            capacity: None,
            sync_delay: Duration::ZERO,
            tmpfs: false,
            fuse: None,
            operations: 0,
            epoch: 0,
            locks: BTreeMap::new(),
            locks_taken: 0,
        };
        Self { state: Arc::new(Mutex::new(state)), path: PathBuf::from("/sim") }
    }

    /// Power goes and returns: of what was not synchronised an arbitrary selection is left. Open files and locks are dead.
    pub fn power_cut(&self) {
        let mut state = self.state();
        let State { random, inodes, .. } = &mut *state;
        for inode in inodes.iter_mut() {
            inode.power_cut(random);
        }
        for change in std::mem::take(&mut state.unsynced) {
            if state.random.chance(2) {
                apply(&mut state.durable_names, change);
            }
        }
        state.names = state.durable_names.clone();
        state.restart();
    }

    /// The process is killed: what it wrote stays visible, synchronised or not. Open files and locks are dead.
    pub fn kill(&self) {
        self.state().restart();
    }

    /// The machine stops in the middle of an operation, after so many whole ones: every later one fails with `EIO`
    /// until [`power_cut`](Self::power_cut) or [`kill`](Self::kill).
    pub fn stop_after(&self, operations: u64) {
        self.state().fuse = Some(operations);
    }

    /// Whether [`stop_after`](Self::stop_after) has come true.
    #[must_use]
    pub fn has_stopped(&self) -> bool {
        self.state().fuse == Some(0)
    }

    /// How many operations there have been.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// The next `times` operations of a kind fail.
    pub fn fail(&self, operation: Operation, fault: Fault, times: u32) {
        self.state().faults.insert(operation, (fault, times));
    }

    /// No operation fails any more.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// The file system is mounted read-only, or for writing again.
    pub fn read_only(&self, on: bool) {
        use Operation::{Create, Lock, Open, Remove, Rename, Truncate, Write};
        for operation in [Create, Lock, Open, Remove, Rename, Truncate, Write] {
            if on {
                self.fail(operation, Fault::ReadOnly, u32::MAX);
            } else {
                self.state().faults.remove(&operation);
            }
        }
    }

    /// How many bytes all files together may have; a write beyond is short, then `ENOSPC`.
    pub fn capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// How long each `fdatasync` takes.
    pub fn sync_delay(&self, delay: Duration) {
        self.state().sync_delay = delay;
    }

    /// Whether the disk says that it lives in memory.
    pub fn tmpfs(&self, tmpfs: bool) {
        self.state().tmpfs = tmpfs;
    }

    /// Bytes of all files together.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// A file's content as programs see it.
    #[must_use]
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        Some(state.inodes[*state.names.get(name)?].live.clone())
    }

    /// Puts a file there behind everybody's back, durably.
    pub fn put(&self, name: &str, content: &[u8]) {
        let mut state = self.state();
        state.inodes.push(Inode::durable(content.to_vec()));
        let inode = state.inodes.len() - 1;
        state.names.insert(name.to_owned(), inode);
        state.durable_names.insert(name.to_owned(), inode);
    }

    /// Takes a file away behind everybody's back, durably.
    pub fn take(&self, name: &str) {
        let mut state = self.state();
        state.names.remove(name);
        state.durable_names.remove(name);
    }

    /// The names of all files.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn restart(&mut self) {
        self.epoch += 1;
        self.fuse = None;
        self.locks.clear();
    }

    fn used(&self) -> u64 {
        self.names.values().map(|inode| self.inodes[*inode].live.len() as u64).sum()
    }

    /// Whether the operation is to happen: `Ok(true)`, or only in part, because the machine stops: `Ok(false)`.
    fn begin(&mut self, operation: Operation) -> io::Result<bool> {
        self.operations += 1;
        match &mut self.fuse {
            Some(0) => return Err(Fault::Io.error()),
            Some(left) => {
                *left -= 1;
                if *left == 0 {
                    return Ok(false);
                }
            }
            None => {}
        }
        if let Some((fault, times)) = self.faults.get_mut(&operation)
            && *times > 0
        {
            *times -= 1;
            return Err(fault.error());
        }
        Ok(true)
    }

    /// [`begin`](Self::begin) for what cannot happen in part.
    fn begin_whole(&mut self, operation: Operation) -> io::Result<()> {
        if self.begin(operation)? || self.random.chance(2) { Ok(()) } else { Err(Fault::Io.error()) }
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.names, change.clone());
        self.unsynced.push(change);
    }
}

fn apply(names: &mut BTreeMap<String, usize>, change: Change) {
    match change {
        Change::Link(name, inode) => {
            names.insert(name, inode);
        }
        Change::Unlink(name) => {
            names.remove(&name);
        }
        Change::Rename(from, to, inode) => {
            if names.get(&from) == Some(&inode) {
                names.remove(&from);
            }
            names.insert(to, inode);
        }
    }
}
