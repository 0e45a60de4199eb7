//! What wakes the thread that saves.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::lock;

/// What the thread is woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// Time has passed.
    Look,
    /// Something changed that is to be on disk at once.
    Ring,
    /// The service ends.
    Close,
}

/// Wakes the thread.
#[derive(Debug, Default)]
pub(in crate::cache) struct Bell {
    state: Mutex<BellState>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct BellState {
    rung: bool,
    closed: bool,
}

impl Bell {
    /// Something is to be on disk at once.
    pub(in crate::cache) fn ring(&self) {
        lock(&self.state).rung = true;
        self.wake.notify_one();
    }

    pub(super) fn close(&self) {
        lock(&self.state).closed = true;
        self.wake.notify_one();
    }

    pub(super) fn wait(&self, timeout: Duration) -> Call {
        let idle = |state: &mut BellState| !state.rung && !state.closed;
        let waited = self.wake.wait_timeout_while(lock(&self.state), timeout, idle);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        match (std::mem::take(&mut state.rung), state.closed) {
            (_, true) => Call::Close,
            (true, false) => Call::Ring,
            (false, false) => Call::Look,
        }
    }
}
