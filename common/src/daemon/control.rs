//! How a running daemon learns that it shall stop, and shows that it lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::watch;

/// The daemon's line to its surroundings; cheap to clone.
#[derive(Clone, Debug)]
pub struct Control {
    stopping: watch::Receiver<bool>,
    beats: Arc<AtomicU64>,
    succeeded: Arc<AtomicBool>,
}

impl Control {
    /// A control and the switch that stops it; `run` of a daemon can be tested with it.
    pub fn new() -> (Self, watch::Sender<bool>) {
        let (switch, stopping) = watch::channel(false);
        (Self { stopping, beats: Arc::default(), succeeded: Arc::default() }, switch)
    }

    /// Waits until the daemon shall stop: no new work then, and what is under way comes to its end.
    pub async fn stopping(&self) {
        // A switch that is gone can stop nothing any more: then the process is ending anyway.
        let _ = self.stopping.clone().wait_for(|&stopping| stopping).await;
    }

    /// Whether [`Control::stopping`] is over, for loops outside the runtime.
    pub fn is_stopping(&self) -> bool {
        *self.stopping.borrow() || self.stopping.has_changed().is_err()
    }

    /// Shows that the serving loop goes round.
    pub fn heartbeat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// Another process serves in this one's place from now on: to end without being told to is clean then.
    pub fn succeeded(&self) {
        self.succeeded.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_succeeded(&self) -> bool {
        self.succeeded.load(Ordering::Relaxed)
    }

    pub(crate) fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }
}
