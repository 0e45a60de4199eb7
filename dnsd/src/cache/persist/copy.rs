//! The file of the cache, and when what is written to it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::bell::Call;
use super::{APPEND_BYTES_MAX, FILE_NAME, RETRY_AFTER, SAVE_EVERY, file, record};
use crate::cache::entry::Entry;
use crate::cache::{Cache, Now};
use crate::protocol::name::hash;

pub(super) const TMP_NAME: &str = "cache.tmp";
/// The file is not written anew before so many bytes were appended, nor before as many as it had at first.
pub(super) const REWRITE_AFTER_BYTES: u64 = 4 * 1024 * 1024;
/// The least time between files written anew on demand, in milliseconds.
const REWRITE_EVERY: u64 = 5000;
/// How far the date may move against the clock that never jumps before all dates on disk are wrong, in seconds.
const JUMP_SECS: u64 = 60;
/// How much is copied under a lock at once, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// The file and how far it is behind.
#[derive(Debug)]
pub(super) struct DiskCopy {
    directory: PathBuf,
    /// Open for appending; `None`: it is to be written anew.
    pub(super) file: Option<File>,
    salt: u32,
    pub(super) snapshot_bytes: u64,
    pub(super) appended_bytes: u64,
    /// When all changes were last written, and when the clocks were last compared.
    last: Now,
    clocks: Now,
    rewritten_at: Option<u64>,
    failed_at: Option<u64>,
    pub(super) saved: Option<u64>,
    pub(super) appends: u64,
    pub(super) rewrites: u64,
}

impl DiskCopy {
    pub(super) fn new(directory: PathBuf, now: Now) -> Self {
        Self {
            directory,
            file: None,
            salt: 0,
            snapshot_bytes: 0,
            appended_bytes: 0,
            last: now,
            clocks: now,
            rewritten_at: None,
            failed_at: None,
            saved: None,
            appends: 0,
            rewrites: 0,
        }
    }

    /// Does what is due. `false`: nothing was.
    pub(super) fn turn(&mut self, cache: &Cache, now: Now, call: Call) -> io::Result<bool> {
        let since = |then: u64| Duration::from_millis(now.mono_millis.saturating_sub(then));
        if call != Call::Close && self.failed_at.is_some_and(|then| since(then) < RETRY_AFTER) {
            return Ok(false);
        }
        let everything =
            call == Call::Close || since(self.last.mono_millis) >= SAVE_EVERY || self.failed_at.is_some();
        // All dates on disk are of the old calendar then.
        let jumped = self.jumped(now);
        let flushed = cache.flushed.load(Ordering::Relaxed)
            && self.rewritten_at.is_none_or(|then| now.mono_millis.saturating_sub(then) >= REWRITE_EVERY);
        let outgrown = self.appended_bytes > self.snapshot_bytes.max(REWRITE_AFTER_BYTES);
        let result =
            if flushed || jumped || (self.file.is_none() || outgrown) && (everything || call == Call::Ring) {
                self.rewrite(cache, now)
            } else if everything || call == Call::Ring {
                self.append(cache, now, everything)
            } else {
                return Ok(false);
            };
        match &result {
            Ok(()) if everything => (self.last, self.saved) = (now, Some(now.wall_secs)),
            Ok(()) => {}
            Err(_) => self.file = None,
        }
        self.failed_at = result.is_err().then_some(now.mono_millis);
        result.map(|()| true)
    }

    /// Whether the date was set since the last look.
    fn jumped(&mut self, now: Now) -> bool {
        let before = std::mem::replace(&mut self.clocks, now);
        let passed = now.mono_millis.saturating_sub(before.mono_millis) / 1000;
        now.wall_secs.abs_diff(before.wall_secs.saturating_add(passed)) > JUMP_SECS
    }

    /// Writes all there is into a new file, and puts that in place.
    fn rewrite(&mut self, cache: &Cache, now: Now) -> io::Result<()> {
        let flushed = cache.flushed.swap(false, Ordering::Relaxed);
        let result = self.write_anew(cache, now);
        if result.is_err() && flushed {
            cache.flushed.store(true, Ordering::Relaxed);
        }
        result
    }

    fn write_anew(&mut self, cache: &Cache, now: Now) -> io::Result<()> {
        self.file = None;
        let moment = [now.mono_millis.to_le_bytes(), now.wall_secs.to_le_bytes()].concat();
        self.salt = hash(&moment, cache.seed) as u32;
        let tmp = self.directory.join(TMP_NAME);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&tmp)?;
        let mut buffer = file::header(self.salt);
        let mut bytes = 0;
        for shard in 0..cache.shards.len() {
            let mut from = Some(0);
            while let Some(slot) = from {
                from = cache.sweep(shard, slot, now, frames(self.salt, now, &mut buffer, CHUNK_BYTES));
                file.write_all(&buffer)?;
                bytes += buffer.len() as u64;
                buffer.clear();
            }
        }
        file.sync_data()?;
        fs::rename(&tmp, self.directory.join(FILE_NAME))?;
        File::open(&self.directory)?.sync_all()?;
        (self.snapshot_bytes, self.appended_bytes) = (bytes, 0);
        self.file = Some(file);
        self.rewritten_at = Some(now.mono_millis);
        self.rewrites += 1;
        Ok(())
    }

    /// Appends what has changed, or what of it is pinned.
    fn append(&mut self, cache: &Cache, now: Now, everything: bool) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut buffer = Vec::new();
        for shard in 0..cache.shards.len() {
            let mut more = true;
            while more && buffer.len() < APPEND_BYTES_MAX {
                let bytes_max = buffer.len() + CHUNK_BYTES;
                more = cache.changes(shard, !everything, frames(self.salt, now, &mut buffer, bytes_max));
            }
        }
        if buffer.is_empty() {
            return Ok(());
        }
        file.write_all(&buffer)?;
        file.sync_data()?;
        self.appended_bytes += buffer.len() as u64;
        self.appends += 1;
        Ok(())
    }
}

/// Appends entries to `buffer` until it has `bytes_max` bytes.
fn frames(salt: u32, now: Now, buffer: &mut Vec<u8>, bytes_max: usize) -> impl FnMut(&Entry, bool) -> bool {
    move |entry, believed| {
        file::frame(salt, buffer, |out| record::encode(entry, believed, now, out));
        buffer.len() < bytes_max
    }
}
