//! Passive ejection: connections fail although checks are good.

use std::time::{Duration, Instant};

/// Failed connections to a server and what follows from them.
#[derive(Clone, Debug, Default)]
pub(super) struct Ejection {
    failures: u32,
    first_failure: Option<Instant>,
    ejections: u32,
    until: Option<Instant>,
}

impl Ejection {
    /// So many failures in a row eject.
    const AFTER: u32 = 3;
    /// All of them within this time: one lost packet an hour says nothing.
    const WINDOW: Duration = Duration::from_secs(10);
    /// The first ejection; each further one is twice as long.
    const TIME_MIN: Duration = Duration::from_secs(5);
    /// No ejection is longer.
    const TIME_MAX: Duration = Duration::from_secs(60);
    /// So long after the last ejection the next one is short again.
    const FORGET: Duration = Duration::from_secs(300);

    /// The server did not take a connection. Returns whether that ejects it now; while it is ejected,
    /// failures (of connections that were under way, or because nobody else is there) add nothing.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        if self.until(now).is_some() {
            return false;
        }
        if self.first_failure.is_none_or(|first| now.saturating_duration_since(first) > Self::WINDOW) {
            self.first_failure = Some(now);
            self.failures = 0;
        }
        self.failures += 1;
        if self.failures < Self::AFTER {
            return false;
        }
        if self.until.is_some_and(|until| now.saturating_duration_since(until) > Self::FORGET) {
            self.ejections = 0;
        }
        let time = Self::TIME_MIN.saturating_mul(2u32.saturating_pow(self.ejections)).min(Self::TIME_MAX);
        self.until = Some(now + time);
        self.ejections = self.ejections.saturating_add(1);
        self.succeeded();
        true
    }

    /// The server took a connection, which ends the row of failures. An ejection goes on: it was for several
    /// of them.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        self.first_failure = None;
    }

    /// Until when it is ejected; `None`: it is not.
    pub(super) fn until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|&until| now < until)
    }

    /// Whether connections failed lately and none succeeded since.
    pub(super) fn suspect(&self, now: Instant) -> bool {
        self.first_failure.is_some_and(|first| now.saturating_duration_since(first) <= Self::WINDOW)
    }

    /// Failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// The operator vouches for it.
    pub(super) fn forgive(&mut self) {
        *self = Self::default();
    }
}
