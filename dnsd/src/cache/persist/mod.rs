//! The cache's copy on disk: after a restart without the WAN, what was known is still known.
//!
//! The file `cache.dat` is written anew at the first save of a process, then appended to: pinned entries as soon as
//! they change, all others once in [`SAVE_EVERY`]. When what was appended outweighs the rest it is written anew, and
//! put in place by an atomic rename. An entry is written if its records have changed, or if the expiry on disk has
//! fallen behind by an hour; denials only once they were asked for again, so that a flood of random names leaves the
//! disk alone. `kill -9` loses at most [`SAVE_EVERY`] of what is not pinned.
//!
//! Nothing here was promised to anybody, so nothing stops the service: what is damaged is left out and counted, a file
//! that cannot be written is tried again.

mod bell;
mod copy;
mod file;
mod record;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use faros_common::tasks;
use serde::Serialize;
use tracing::{info, warn};

pub(super) use bell::Bell;
use bell::Call;
use copy::DiskCopy;
use record::Restored;

use super::entry::Entry;
use super::shard::Terms;
use super::{Cache, Now};
use crate::protocol::name::hash;

/// The file, in the state directory.
pub const FILE_NAME: &str = "cache.dat";
/// How often changes are written.
pub const SAVE_EVERY: Duration = Duration::from_secs(60);
/// How long after a failure writing is tried again.
pub const RETRY_AFTER: Duration = Duration::from_secs(30);
/// The most that is appended at once, in bytes. What is beyond waits for the next time.
pub const APPEND_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How often the thread looks at the clock.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What was found on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Loaded {
    /// There was no file: the first start.
    pub first_start: bool,
    /// Entries that are in the cache now.
    pub entries: u64,
    /// Entries that were too old, or that there was no room for.
    pub left_out: u64,
    /// Entries that were whole and yet none that could be given out.
    pub unreadable: u64,
    /// Damaged stretches of the file that were left out, each of one entry or more.
    pub damaged: u64,
    /// The last record was not written to its end, as after `kill -9` or a power cut.
    pub torn: bool,
    /// Why the file was not read, or not to its end.
    pub error: Option<String>,
}

impl Loaded {
    /// Whether something was lost that an operator should know of.
    pub fn is_damaged(&self) -> bool {
        self.unreadable > 0 || self.damaged > 0 || self.error.is_some()
    }
}

/// How writing goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SaveStatus {
    /// When everything was last on disk, in seconds since 1970.
    pub saved: Option<u64>,
    /// How often something was appended.
    pub appends: u64,
    /// How often the file was written anew.
    pub rewrites: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// How often writing failed.
    pub failures: u64,
    /// Why writing last failed, until it succeeds again.
    pub error: Option<String>,
}

/// Fills the cache from the file in `directory`. Pins are to be set before.
pub fn load(cache: &Cache, directory: &Path, now: Now) -> Loaded {
    let path = directory.join(FILE_NAME);
    let loaded = match File::open(&path) {
        Ok(file) => load_from(cache, file, now),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Loaded { first_start: true, ..Loaded::default() }
        }
        Err(error) => Loaded { error: Some(format!("cannot be read: {error}")), ..Loaded::default() },
    };
    Loaded { error: loaded.error.map(|error| format!("{}: {error}", path.display())), ..loaded }
}

/// Fills the cache from the content of a file. Pins are to be set before.
pub fn load_from(cache: &Cache, source: impl io::Read, now: Now) -> Loaded {
    let mut loaded = Loaded::default();
    let scan = file::read(source, |record| match record::decode(record, now) {
        Some(restored) => loaded.left_out += u64::from(!cache.restore(restored, now)),
        None => loaded.unreadable += 1,
    });
    loaded.entries = cache.stats().entries;
    match scan {
        Ok(scan) => {
            (loaded.damaged, loaded.torn) = (scan.damaged, scan.torn);
            loaded.error = scan.foreign_version.map(|version| {
                format!("version {version} of the file, this program knows {}", file::VERSION)
            });
        }
        Err(error) => loaded.error = Some(format!("reading stopped: {error}")),
    }
    loaded
}

/// The thread that keeps the copy on disk. Dropping it lets the thread save once more and end; [`stop`](Self::stop)
/// waits for that.
#[derive(Debug)]
pub struct Saver {
    cache: Arc<Cache>,
    status: Arc<Mutex<SaveStatus>>,
    thread: Option<JoinHandle<Option<()>>>,
}

impl Saver {
    /// Starts the thread, which writes below `directory`. One per cache.
    ///
    /// # Errors
    /// The system's refusal to make a thread.
    pub fn start(
        cache: Arc<Cache>,
        directory: PathBuf,
        clock: impl Fn() -> Now + Send + 'static,
    ) -> io::Result<Self> {
        let status = Arc::<Mutex<SaveStatus>>::default();
        let (for_thread, shared) = (Arc::clone(&cache), Arc::clone(&status));
        let thread = tasks::spawn_thread("cache", move || run(&for_thread, directory, &clock, &shared))?;
        Ok(Self { cache, status, thread: Some(thread) })
    }

    /// How writing goes.
    pub fn status(&self) -> SaveStatus {
        lock(&self.status).clone()
    }

    /// Writes what is not on disk yet, and ends the thread. Blocks for as long as the disk takes.
    pub fn stop(mut self) {
        self.cache.bell.close();
        if let Some(thread) = self.thread.take() {
            // A panic was counted and logged where it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        self.cache.bell.close();
    }
}

fn run(cache: &Cache, directory: PathBuf, clock: &impl Fn() -> Now, status: &Mutex<SaveStatus>) {
    let mut copy = DiskCopy::new(directory, clock());
    loop {
        let call = cache.bell.wait(LOOK_EVERY);
        let result = copy.turn(cache, clock(), call);
        let mut status = lock(status);
        report(&result, &mut status);
        status.bytes = copy.snapshot_bytes + copy.appended_bytes;
        (status.saved, status.appends, status.rewrites) = (copy.saved, copy.appends, copy.rewrites);
        if call == Call::Close {
            return;
        }
    }
}

fn report(result: &io::Result<bool>, status: &mut SaveStatus) {
    match result {
        Ok(true) => {
            if status.error.take().is_some() {
                info!(event = "cache_saved", "the cache is written to disk again");
            }
        }
        Ok(false) => {}
        Err(error) => {
            status.failures += 1;
            let error = error.to_string();
            if status.error.as_ref() != Some(&error) {
                warn!(event = "cache_not_saved", %error, "the cache cannot be written to disk: make room or check the disk");
            }
            status.error = Some(error);
        }
    }
}

impl Cache {
    fn restore(&self, Restored { entry, believed }: Restored, now: Now) -> bool {
        let terms = self.terms(now);
        let pin = self.is_pinned(entry.name(), entry.sort);
        if !pin && !entry.is_usable(terms.now_ms, terms.stale_ms) {
            return false;
        }
        let hash = hash(entry.name(), self.seed);
        self.shard(hash).restore(hash, entry, pin, believed, terms)
    }

    fn sweep(
        &self,
        shard: usize,
        from: u32,
        now: Now,
        save: impl FnMut(&Entry, bool) -> bool,
    ) -> Option<u32> {
        let terms: Terms = self.terms(now);
        self.shards[shard].lock().sweep(from, terms, save)
    }

    fn changes(&self, shard: usize, pinned_only: bool, save: impl FnMut(&Entry, bool) -> bool) -> bool {
        self.shards[shard].lock().changes(pinned_only, save)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
