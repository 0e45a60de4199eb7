//! The pulse of one upstream: its health, its counters, and word to whoever waits for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::counters::{Counters, UpstreamCounters};
use super::health::{Cause, Change, Health};
use super::query::Mismatch;

/// Who is told of upstreams that go down and come back.
pub trait Observer: Send + Sync + 'static {
    /// `upstream` went down for `cause`.
    fn down(&self, upstream: &str, cause: Cause);
    /// `upstream` answers again, after `outage`.
    fn up(&self, upstream: &str, outage: Duration);
}

/// Health and counters of an upstream, shared by all who talk to it.
pub struct Vitals {
    label: String,
    observer: Arc<dyn Observer>,
    health: Mutex<Health>,
    state: watch::Sender<Option<Cause>>,
    counters: UpstreamCounters,
}

impl Vitals {
    /// Of an upstream that nothing is known of yet.
    pub fn new(label: String, counters: &Counters, observer: Arc<dyn Observer>) -> Self {
        let counters = counters.upstream(&label);
        let (state, _) = watch::channel(None);
        Self { label, observer, health: Mutex::new(Health::new()), state, counters }
    }

    /// Its name in events, metrics and status.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The counters.
    pub fn counters(&self) -> &UpstreamCounters {
        &self.counters
    }

    /// A copy of what is known.
    pub fn health(&self) -> Health {
        self.lock().clone()
    }

    /// Why it is down, if it is.
    pub fn down(&self) -> Option<Cause> {
        *self.state.borrow()
    }

    /// Waits until it is down.
    pub async fn until_down(&self) -> Cause {
        let mut state = self.state.subscribe();
        let down = state.wait_for(Option::is_some).await;
        // The sender lives as long as `self`.
        down.ok().and_then(|cause| *cause).unwrap_or(Cause::Silence)
    }

    /// A query went out.
    pub fn sent(&self, now: Instant) {
        self.counters.queries.inc();
        self.lock().on_sent(now);
    }

    /// A connection was made.
    pub fn connected(&self, now: Instant) {
        self.counters.connections.inc();
        self.lock().on_connected(now);
    }

    /// A reply came.
    pub fn answered(&self, round_trip: Option<Duration>, now: Instant) {
        self.counters.answers.inc();
        let mut health = self.lock();
        let change = health.on_answer(round_trip, now);
        if let Some(smoothed) = health.round_trip() {
            self.counters.round_trip(smoothed);
        }
        self.tell(health, change);
    }

    /// A probe was answered after so long.
    pub fn path(&self, round_trip: Duration) {
        self.lock().on_path(round_trip);
    }

    /// The network or TLS failed.
    pub fn failed(&self, cause: Cause, now: Instant) {
        self.counters.errors.inc();
        let mut health = self.lock();
        let change = health.on_error(cause, now);
        self.tell(health, change);
    }

    /// It refuses questions, or only points elsewhere.
    pub fn refused(&self, now: Instant) {
        self.counters.refusals.inc();
        self.lock().on_refusal(now);
    }

    /// A question is late enough to look into it.
    pub fn suspected(&self, now: Instant) {
        self.lock().on_suspected(now);
    }

    /// Time has passed.
    pub fn silent(&self, now: Instant) {
        let mut health = self.lock();
        let change = health.on_silence(now);
        self.tell(health, change);
    }

    /// A datagram that was no reply.
    pub fn mismatch(&self, mismatch: Mismatch) {
        self.counters.mismatches.inc();
        self.counters.dropped(mismatch.name());
    }

    /// A question was given up without an answer.
    pub fn timed_out(&self) {
        self.counters.timeouts.inc();
    }

    fn tell(&self, health: MutexGuard<'_, Health>, change: Option<Change>) {
        let cause = health.down().map(|(_, cause)| cause);
        // Under the lock, so that two changes are told in the order they happened.
        self.state.send_if_modified(|state| std::mem::replace(state, cause) != cause);
        self.counters.up.set(i64::from(cause.is_none()));
        drop(health);
        match change {
            None => {}
            Some(Change::Down(cause)) => self.observer.down(&self.label, cause),
            Some(Change::Up(outage)) => self.observer.up(&self.label, outage),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
