//! Many tasks, one `fdatasync`: the handle that tasks share, and what passes between it and the writing thread.

use std::future::Future;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::log::check_length;
use super::worker::Worker;
use super::{Journal, JournalError, JournalOptions, JournalStatus, Lsn};
use crate::{clock, tasks};

/// How many records may wait for the disk. Beyond it `append` is [`Busy`](JournalError::Busy).
pub const QUEUE_RECORDS_MAX: usize = 16_384;
/// How many bytes may wait for the disk. Beyond it `append` is [`Busy`](JournalError::Busy).
pub const QUEUE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A snapshot is not due before so many bytes were appended since the last one.
pub const SNAPSHOT_AFTER_BYTES: u64 = 4 * 1024 * 1024;
/// After a snapshot has failed the next is not due for so long.
pub const SNAPSHOT_RETRY: Duration = Duration::from_secs(60);

/// How far the disk has come.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Everything up to here is durable. It only grows, and leaves nothing out.
    pub durable: Lsn,
    /// Why nothing more becomes durable at present. Appends are refused; the journal retries every second, and
    /// writes what had been appended before once it can.
    pub failed: Option<Arc<JournalError>>,
}

/// A journal written by a thread of its own, shared by cloning.
///
/// While one `fdatasync` runs, everything appended gathers for the next: under load each carries many records, and
/// more still with [`Gathering`](super::Gathering).
///
/// # When the disk fails
///
/// Whoever waits in [`durable`](Self::durable) gets the error, and so does every `append` until the disk has healed:
/// then nothing was appended. What had been appended before is kept and written as soon as the disk takes it (see
/// [`Journal`]), so it may still appear after a restart. The rule for a daemon: promise nothing unless `durable`
/// said so; change the state in memory only if `append` took the record; go on serving what is durable.
///
/// Dropping the last handle flushes and ends the thread, without anybody waiting for it;
/// [`shutdown`](Self::shutdown) waits.
#[derive(Debug, Clone)]
pub struct GroupCommit {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    progress: watch::Receiver<Progress>,
}

/// What the handles and the thread share.
#[derive(Debug)]
pub(super) struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    options: JournalOptions,
}

/// What waits for the thread, and what it last said about itself.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) items: Vec<Item>,
    pub(super) records: usize,
    pub(super) bytes: usize,
    /// The last number given out.
    pub(super) last: Lsn,
    pub(super) failed: Option<Arc<JournalError>>,
    pub(super) closing: bool,
    /// The thread waits to be woken; to wake it otherwise is a system call for nothing.
    pub(super) idle: bool,
    pub(super) ended: bool,
    /// A snapshot waits or is being written.
    pub(super) snapshotting: bool,
    pub(super) snapshot_failed_at: Option<Instant>,
    /// When the commit under way began.
    pub(super) commit_since: Option<Instant>,
    pub(super) status: JournalStatus,
}

#[derive(Debug)]
pub(super) enum Item {
    Record(Vec<u8>),
    Snapshot(Vec<Vec<u8>>),
}

impl GroupCommit {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system's refusal to make a thread; `InvalidInput` if the journal holds records of an older version:
    /// [`Journal::snapshot`] in the new form comes first.
    pub fn start(journal: Journal) -> io::Result<Self> {
        if journal.needs_snapshot() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, JournalError::SnapshotFirst));
        }
        let options = journal.options.clone();
        let (sender, progress) = watch::channel(Progress { durable: journal.durable(), failed: None });
        let queue = Queue {
            items: Vec::new(),
            records: 0,
            bytes: 0,
            last: journal.last(),
            failed: None,
            closing: false,
            idle: false,
            ended: false,
            snapshotting: false,
            snapshot_failed_at: None,
            commit_since: None,
            status: JournalStatus::of(&journal),
        };
        let shared = Arc::new(Shared { queue: Mutex::new(queue), wake: Condvar::new(), options });
        let worker = Worker::new(journal, Arc::clone(&shared), sender);
        tasks::spawn_thread("journal", move || worker.run())?;
        Ok(Self { handle: Arc::new(Handle { shared, progress }) })
    }

    /// Queues a record, without waiting for anything, and returns its number.
    ///
    /// # Errors
    /// The record was not taken then, and never will be: [`RecordTooLong`](JournalError::RecordTooLong);
    /// [`Busy`](JournalError::Busy) beyond [`QUEUE_RECORDS_MAX`] or [`QUEUE_BYTES_MAX`]; the disk's error while it is
    /// failed; [`Closed`](JournalError::Closed) after a shutdown.
    pub fn append(&self, record: impl Into<Vec<u8>>) -> Result<Lsn, JournalError> {
        let record = record.into();
        let shared = &self.handle.shared;
        check_length(record.len(), &shared.options)?;
        let mut queue = shared.queue();
        queue.refuse()?;
        if queue.records >= QUEUE_RECORDS_MAX || queue.bytes + record.len() > QUEUE_BYTES_MAX {
            return Err(JournalError::Busy);
        }
        queue.records += 1;
        queue.bytes += record.len();
        queue.last.0 += 1;
        let lsn = queue.last;
        queue.items.push(Item::Record(record));
        let idle = std::mem::take(&mut queue.idle);
        drop(queue);
        if idle {
            shared.wake.notify_one();
        }
        Ok(lsn)
    }

    /// Waits until a record is durable. Dropping the future changes nothing.
    ///
    /// # Errors
    /// It is not durable, and the disk has failed: promise nothing. It may yet become durable, once the disk has
    /// healed. [`Closed`](JournalError::Closed): the thread has ended without writing it.
    pub fn durable(&self, lsn: Lsn) -> impl Future<Output = Result<(), JournalError>> + Send + use<> {
        let mut progress = self.progress();
        async move {
            loop {
                {
                    let now = progress.borrow_and_update();
                    if now.durable >= lsn {
                        return Ok(());
                    }
                    if let Some(error) = &now.failed {
                        return Err((**error).clone());
                    }
                }
                if progress.changed().await.is_err() {
                    let reached = progress.borrow().durable >= lsn;
                    return if reached { Ok(()) } else { Err(JournalError::Closed) };
                }
            }
        }
    }

    /// How far the disk has come, for one task that answers for many records.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.handle.progress.clone()
    }

    /// Queues the whole state, as it is after everything appended so far, to replace all that.
    ///
    /// The caller makes sure that nothing is appended between collecting the state and this call. Appends go on while
    /// it is written. A snapshot that fails leaves the journal as it was: [`status`](Self::status) tells. While the disk
    /// is failed a snapshot is welcome: put in place, it heals the journal.
    ///
    /// # Errors
    /// [`Busy`](JournalError::Busy) while another one is under way; [`RecordTooLong`](JournalError::RecordTooLong);
    /// [`Closed`](JournalError::Closed).
    pub fn snapshot(&self, records: Vec<Vec<u8>>) -> Result<(), JournalError> {
        let shared = &self.handle.shared;
        for record in &records {
            check_length(record.len(), &shared.options)?;
        }
        let mut queue = shared.queue();
        if queue.closing || queue.ended {
            return Err(JournalError::Closed);
        }
        if queue.snapshotting {
            return Err(JournalError::Busy);
        }
        queue.snapshotting = true;
        queue.items.push(Item::Snapshot(records));
        drop(queue);
        shared.wake.notify_one();
        Ok(())
    }

    /// Whether a snapshot is worth its cost now: more than [`SNAPSHOT_AFTER_BYTES`] and twice the last snapshot were
    /// appended since, none is under way, and none has failed within [`SNAPSHOT_RETRY`]. Ask after each append.
    #[must_use]
    pub fn snapshot_due(&self) -> bool {
        let queue = self.handle.shared.queue();
        let status = &queue.status;
        let grown = status.bytes_since_snapshot > SNAPSHOT_AFTER_BYTES.max(2 * status.snapshot_bytes);
        let rested =
            queue.snapshot_failed_at.is_none_or(|at| clock::now().duration_since(at) >= SNAPSHOT_RETRY);
        grown && rested && !queue.snapshotting && !queue.closing
    }

    /// How long the commit under way has been waiting for the disk; `None` if there is none.
    ///
    /// A disk that takes seconds for an `fdatasync` is about to fail: stop promising new things, raise an alarm.
    #[must_use]
    pub fn stalled(&self) -> Option<Duration> {
        self.handle.shared.queue().commit_since.map(|since| clock::now().duration_since(since))
    }

    /// Writes everything appended so far, finishes a snapshot under way, and ends the thread. Later appends are refused.
    ///
    /// # Errors
    /// The disk's, if not everything could be written.
    pub async fn shutdown(&self) -> Result<(), JournalError> {
        let shared = &self.handle.shared;
        let last = {
            let mut queue = shared.queue();
            queue.closing = true;
            queue.last
        };
        shared.wake.notify_one();
        let mut progress = self.progress();
        while progress.changed().await.is_ok() {}
        let end = progress.borrow();
        match &end.failed {
            Some(error) => Err((**error).clone()),
            None if end.durable < last => Err(JournalError::Closed),
            None => Ok(()),
        }
    }

    /// For the status page.
    #[must_use]
    pub fn status(&self) -> JournalStatus {
        let queue = self.handle.shared.queue();
        let mut status = queue.status.clone();
        status.queued = queue.records;
        status.commit_micros_now =
            queue.commit_since.map(|since| clock::now().duration_since(since).as_micros() as u64);
        status
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.queue().closing = true;
        self.shared.wake.notify_one();
    }
}

impl Queue {
    /// Why nothing can be appended now.
    fn refuse(&self) -> Result<(), JournalError> {
        if self.closing || self.ended {
            return Err(JournalError::Closed);
        }
        match &self.failed {
            Some(error) => Err((**error).clone()),
            None => Ok(()),
        }
    }
}

impl Shared {
    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it holds the lock; and if it did, the queue would still be a queue.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is something to do, at most so long.
    pub(super) fn wait<'a>(
        &self,
        queue: MutexGuard<'a, Queue>,
        timeout: Option<Duration>,
    ) -> MutexGuard<'a, Queue> {
        let idle = |queue: &mut Queue| {
            queue.idle = queue.items.is_empty() && !queue.closing;
            queue.idle
        };
        match timeout {
            None => self.wake.wait_while(queue, idle).unwrap_or_else(PoisonError::into_inner),
            Some(timeout) => {
                self.wake.wait_timeout_while(queue, timeout, idle).unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }
}
