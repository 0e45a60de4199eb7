//! The threads that write.
//!
//! `audit-write` ends when the [`Audit`] is dropped and its queue is empty; `audit-sync` ends with it.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use faros_common::{clock, tasks};
use serde::Serialize;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::files::{FILE_BYTES_MAX, Files};
use super::{Entry, Head};

/// Entries that wait at most, while the disk takes nothing. Beyond, they are counted and lost.
pub const QUEUE_MAX: usize = 8192;
/// How long an answer waits for its entry to be written. A dead disk must not keep machines locked.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// How long entries that nobody waits for are gathered.
const GATHER: Duration = Duration::from_millis(20);
/// Pause between two attempts on a disk that takes nothing.
const RETRY: Duration = Duration::from_millis(500);
/// Most lines that are written at once.
const BATCH_MAX: usize = 256;

/// The log; cheap to clone.
#[derive(Clone, Debug)]
pub struct Audit {
    shared: Arc<Shared>,
    /// Dropped with the last clone: ends the threads.
    _life: Arc<Life>,
}

/// Its part of `GET /status`.
#[derive(Clone, Debug, Serialize)]
pub struct AuditState {
    /// The end of the chain.
    pub head: Head,
    /// Entries that wait to be written.
    pub waiting: usize,
    /// Entries that were never written since the start.
    pub lost: u64,
    /// Why the disk takes nothing at present.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    queue: Mutex<Queue>,
    awake: Condvar,
    /// Generation of what was written, and the growing file, for the syncer.
    dirty: Mutex<Dirty>,
    written: Condvar,
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    urgent: bool,
    /// Lost since the last line that tells of it.
    lost: u64,
    head: Head,
    failure: Option<String>,
    over: bool,
}

#[derive(Debug)]
struct Waiting {
    entry: Entry,
    done: Option<oneshot::Sender<()>>,
}

#[derive(Debug, Default)]
struct Dirty {
    file: Option<std::fs::File>,
    over: bool,
}

#[derive(Debug)]
struct Life {
    shared: Arc<Shared>,
    writer: Mutex<Option<std::thread::JoinHandle<Option<()>>>>,
}

impl Drop for Life {
    fn drop(&mut self) {
        self.shared.queue().over = true;
        self.shared.awake.notify_all();
        if let Some(writer) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = writer.join();
        }
    }
}

impl Audit {
    /// Opens the log in `directory`, which is made if need be. A last line that was not written to its end is cut off,
    /// and an entry says so.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn open(directory: &Path) -> io::Result<Self> {
        Self::open_with(directory, FILE_BYTES_MAX)
    }

    pub(super) fn open_with(directory: &Path, bytes_max: u64) -> io::Result<Self> {
        let (files, head, tail) = Files::open(directory, bytes_max)?;
        let shared = Arc::new(Shared {
            directory: directory.to_owned(),
            queue: Mutex::new(Queue { head, ..Queue::default() }),
            awake: Condvar::new(),
            dirty: Mutex::default(),
            written: Condvar::new(),
            lost: AtomicU64::new(0),
        });
        let syncer = Arc::clone(&shared);
        tasks::spawn_thread("audit-sync", move || syncer.sync())?;
        let writer = Arc::clone(&shared);
        let writer = tasks::spawn_thread("audit-write", move || writer.write(files))?;
        let audit = Self {
            shared: Arc::clone(&shared),
            _life: Arc::new(Life { shared, writer: Mutex::new(Some(writer)) }),
        };
        if tail.torn_bytes > 0 {
            let bytes = tail.torn_bytes;
            warn!(
                event = "audit_torn",
                bytes, "the last line of the audit log was not whole and has been cut off"
            );
            audit.record(Entry::note(clock::wall(), format!("a torn line of {bytes} bytes was cut off")));
        }
        if tail.foreign {
            warn!(
                event = "audit_foreign",
                "the last line of the audit log is none of ours; the chain goes on after it"
            );
            audit.record(Entry::note(clock::wall(), "the line before is none of the audit log"));
        }
        Ok(audit)
    }

    /// Has `entry` written soon.
    pub fn record(&self, entry: Entry) {
        self.shared.push(Waiting { entry, done: None });
    }

    /// Has `entry` written at once; what is returned ends when it is in the file, or after [`PATIENCE`]: then false,
    /// and it is written once the disk takes it.
    #[must_use = "the entry is recorded, but whoever does not wait does not know when"]
    pub fn record_first(&self, entry: Entry) -> impl Future<Output = bool> + Send + 'static {
        let (done, written) = oneshot::channel();
        self.shared.push(Waiting { entry, done: Some(done) });
        async move { matches!(tokio::time::timeout(PATIENCE, written).await, Ok(Ok(()))) }
    }

    /// Where the files are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.shared.directory
    }

    /// How it is.
    #[must_use]
    pub fn state(&self) -> AuditState {
        let queue = self.shared.queue();
        AuditState {
            head: queue.head,
            waiting: queue.waiting.len(),
            lost: self.shared.lost.load(Ordering::Relaxed),
            failure: queue.failure.clone(),
        }
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, mut waiting: Waiting) {
        let mut queue = self.queue();
        if queue.failure.is_some() {
            // Nobody is kept waiting for a disk that is known to take nothing.
            waiting.done = None;
        }
        if queue.waiting.len() >= QUEUE_MAX {
            queue.lost += 1;
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let wake = queue.waiting.is_empty() || (waiting.done.is_some() && !queue.urgent);
        queue.urgent |= waiting.done.is_some();
        queue.waiting.push_back(waiting);
        drop(queue);
        if wake {
            self.awake.notify_one();
        }
    }

    /// The life of the writer.
    fn write(&self, mut files: Files) {
        while self.gather() {
            while let Err(error) = self.write_batch(&mut files) {
                if self.fail(&error) {
                    return;
                }
            }
        }
        let mut dirty = self.dirty();
        dirty.over = true;
        self.written.notify_one();
    }

    /// Waits until there is something worth writing; false: there will be nothing any more.
    fn gather(&self) -> bool {
        let queue = self.queue();
        let idle = |queue: &mut Queue| queue.waiting.is_empty() && !queue.over;
        let queue = self.awake.wait_while(queue, idle).unwrap_or_else(PoisonError::into_inner);
        let patient = |queue: &mut Queue| !queue.urgent && !queue.over && queue.waiting.len() < BATCH_MAX;
        let (queue, _) =
            self.awake.wait_timeout_while(queue, GATHER, patient).unwrap_or_else(PoisonError::into_inner);
        !queue.waiting.is_empty()
    }

    /// Writes what waits, at most a batch of it. On an error everything stays in the queue.
    fn write_batch(&self, files: &mut Files) -> io::Result<()> {
        let mut bytes = Vec::new();
        let (mut head, lost, count) = {
            let mut queue = self.queue();
            let (mut head, lost) = (queue.head, queue.lost);
            let count = queue.waiting.len().min(BATCH_MAX);
            for (index, waiting) in queue.waiting.iter().take(count).enumerate() {
                let line = waiting.entry.line(head, if index == 0 { lost } else { 0 });
                head = head.after(&line[..line.len() - 1]);
                bytes.extend_from_slice(&line);
            }
            queue.urgent = queue.waiting.iter().skip(count).any(|waiting| waiting.done.is_some());
            (head, lost, count)
        };
        if count == 0 {
            return Ok(());
        }
        files.append(&bytes)?;
        let mut dirty = self.dirty();
        if dirty.file.is_none() {
            dirty.file = files.handle().ok();
        }
        drop(dirty);
        self.written.notify_one();
        let mut queue = self.queue();
        std::mem::swap(&mut queue.head, &mut head);
        queue.lost -= lost;
        if queue.failure.take().is_some() {
            info!(event = "audit_healed", "the audit log is written again");
        }
        let next_seq = queue.head.seq + 1;
        let written: Vec<_> = queue.waiting.drain(..count).filter_map(|waiting| waiting.done).collect();
        drop(queue);
        // Whoever has stopped waiting is not there any more.
        for done in written {
            let _ = done.send(());
        }
        match files.rotate(next_seq) {
            Ok(false) => {}
            // The file before has been synced; the next handle is of the new one.
            Ok(true) => self.dirty().file = None,
            Err(error) => {
                warn!(event = "audit_rotation_failed", %error, "the audit log could not begin a new file or remove an old one");
            }
        }
        Ok(())
    }

    /// Tells of a failure, once, and waits before the next attempt; true: there will be none.
    fn fail(&self, error: &io::Error) -> bool {
        let mut queue = self.queue();
        if queue.failure.is_none() {
            error!(event = "audit_failed", %error, "the audit log cannot be written; machines are still unlocked, and entries kept in memory");
        }
        queue.failure = Some(error.to_string());
        queue.urgent = false;
        // Nobody is kept waiting for it.
        queue.waiting.iter_mut().for_each(|waiting| waiting.done = None);
        let (queue, _) = self
            .awake
            .wait_timeout_while(queue, RETRY, |queue| !queue.over)
            .unwrap_or_else(PoisonError::into_inner);
        if queue.over {
            error!(
                event = "audit_lost",
                entries = queue.waiting.len(),
                "entries of the audit log were never written"
            );
        }
        queue.over
    }

    fn dirty(&self) -> MutexGuard<'_, Dirty> {
        self.dirty.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of the syncer.
    fn sync(&self) {
        let mut failing = false;
        loop {
            let idle = |dirty: &mut Dirty| dirty.file.is_none() && !dirty.over;
            let mut dirty =
                self.written.wait_while(self.dirty(), idle).unwrap_or_else(PoisonError::into_inner);
            let file = dirty.file.take();
            let over = dirty.over;
            drop(dirty);
            if let Some(file) = file {
                let result = file.sync_data();
                if let (Err(error), false) = (&result, failing) {
                    error!(event = "audit_sync_failed", %error, "the audit log does not reach the disk");
                }
                failing = result.is_err();
            }
            if over {
                return;
            }
            std::thread::sleep(GATHER);
        }
    }
}
