//! The thread behind a [`GroupCommit`](super::GroupCommit).

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tracing::{error, info, warn};

use super::gathering::Pace;
use super::group::{Item, Progress, Shared};
use super::{Journal, JournalError, JournalStatus};
use crate::clock;

/// How often a failed disk is tried again.
const RETRY: Duration = Duration::from_secs(1);

pub(super) struct Worker {
    journal: Journal,
    shared: Arc<Shared>,
    progress: watch::Sender<Progress>,
    failed: Option<Arc<JournalError>>,
    status: JournalStatus,
    pace: Pace,
}

impl Worker {
    pub(super) fn new(journal: Journal, shared: Arc<Shared>, progress: watch::Sender<Progress>) -> Self {
        let status = JournalStatus::of(&journal);
        let pace = Pace::start(journal.options.gathering, clock::now());
        Self { journal, shared, progress, failed: None, status, pace }
    }

    /// Takes what has gathered, commits it, writes a piece of a snapshot, and again.
    pub(super) fn run(mut self) {
        if self.journal.is_failed() {
            // Opened on a disk that takes no writing: known to all before the first append.
            self.commit();
        }
        loop {
            let (items, closing) = self.take();
            for item in items {
                self.accept(item);
            }
            self.commit();
            self.step_snapshot();
            while self.failed.is_some() && self.journal.is_compacting() {
                // Nobody waits for a commit, and it may be the cure.
                self.step_snapshot();
            }
            if closing && (self.failed.is_some() || !self.journal.is_compacting()) {
                break;
            }
        }
    }

    fn take(&mut self) -> (Vec<Item>, bool) {
        let mut queue = self.shared.queue();
        if self.failed.is_some() {
            // A snapshot, which may be the cure, and the end of the service cut the wait short.
            queue = self.shared.wait(queue, Some(RETRY));
        } else if !self.journal.is_compacting() {
            queue = self.shared.wait(queue, None);
            if let Some(wait) = self.pace.wait(clock::now()).filter(|_| !queue.closing) {
                drop(queue);
                std::thread::sleep(wait);
                queue = self.shared.queue();
            }
            self.pace.on_batch(queue.records, clock::now());
        }
        queue.records = 0;
        queue.bytes = 0;
        (std::mem::take(&mut queue.items), queue.closing)
    }

    fn accept(&mut self, item: Item) {
        match item {
            Item::Record(record) => {
                self.journal.push(record);
            }
            Item::Snapshot(records) => {
                if let Err(error) = self.journal.begin_snapshot(records) {
                    self.snapshot_failed(&error);
                }
            }
        }
    }

    fn commit(&mut self) {
        if self.failed.is_none() && !self.journal.is_failed() && self.journal.last() == self.journal.durable()
        {
            return;
        }
        let began = clock::now();
        self.shared.queue().commit_since = Some(began);
        let was_compacting = self.journal.is_compacting();
        let result = self.journal.commit();
        if was_compacting && !self.journal.is_compacting() {
            // Healing took the snapshot under way for the fresh file.
            match &result {
                Ok(_) => self.snapshot_done(),
                Err(error) => self.snapshot_failed(error),
            }
        }
        let micros = clock::now().duration_since(began).as_micros() as u64;
        self.status.commits += 1;
        self.status.commit_micros_last = micros;
        self.status.commit_micros_max = self.status.commit_micros_max.max(micros);
        self.report(result.err());
    }

    fn step_snapshot(&mut self) {
        if !self.journal.is_compacting() {
            return;
        }
        let was_failed = self.journal.is_failed();
        match self.journal.step_snapshot() {
            Ok(false) => {}
            Ok(true) => {
                self.snapshot_done();
                // It stands for everything appended before it, and ends a failure.
                self.report(None);
            }
            Err(error) => {
                self.snapshot_failed(&error);
                let broken = !was_failed && self.journal.is_failed();
                self.report(if broken { Some(error) } else { self.failed.as_deref().cloned() });
            }
        }
    }

    fn snapshot_done(&mut self) {
        self.status.snapshots += 1;
        self.status.snapshot_failed = None;
        let mut queue = self.shared.queue();
        queue.snapshotting = false;
        queue.snapshot_failed_at = None;
    }

    fn snapshot_failed(&mut self, error: &JournalError) {
        warn!(event = "journal_snapshot_failed", journal = self.journal.options.name, %error, "snapshot failed");
        self.status.snapshot_failed = Some(error.to_string());
        let at: Instant = clock::now();
        let mut queue = self.shared.queue();
        queue.snapshotting = false;
        queue.snapshot_failed_at = Some(at);
    }

    /// Tells everybody where the journal stands.
    fn report(&mut self, error: Option<JournalError>) {
        let name = self.journal.options.name;
        match (&error, &self.failed) {
            (Some(error), None) => {
                error!(event = "journal_failed", journal = name, %error, "nothing new can be promised");
                self.status.failures += 1;
            }
            (None, Some(_)) => info!(event = "journal_healed", journal = name, "the journal writes again"),
            _ => {}
        }
        self.failed = error.map(Arc::new);
        self.status.update(&self.journal, self.failed.as_deref());
        let progress = Progress { durable: self.journal.durable(), failed: self.failed.clone() };
        let mut queue = self.shared.queue();
        queue.commit_since = None;
        queue.failed = self.failed.clone();
        queue.status = self.status.clone();
        drop(queue);
        self.progress.send_replace(progress);
    }
}

impl Drop for Worker {
    /// Also when the thread panics: whoever waits learns that nobody writes any more, as the sender is dropped next.
    fn drop(&mut self) {
        self.shared.queue().ended = true;
    }
}
