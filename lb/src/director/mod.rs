//! The director: it owns the health machines, has servers checked, decides who serves, and tells the planes.
//!
//! ```text
//!            due ┌────────────┐ verdict
//!   ┌──────────► │ check tasks│ ─────────┐
//!   │            └────────────┘          ▼
//! ┌─┴──────┐ reports   ┌────────────────────┐  rosters, rules   ┌────────┐
//! │  loop  │ ────────► │ state (one lock)   │ ────────────────► │ planes │
//! └────────┘           └────────────────────┘                   └───┬────┘
//!      ▲                  ▲ operator, reload                        │
//!      └──────────────────┼──────────── what the planes saw ────────┘
//! ```
//!
//! One task goes round the loop; each check is a task of its own, at most [`CHECKS_MAX`] at once; one task saves what is to
//! be remembered, one tells of connections that ended. All end with the process. A check task that is cancelled counts
//! as not made.

mod forward;
mod front;
mod observer;
mod operator;
mod planes;
mod state;
#[cfg(test)]
mod tests;
mod view;

pub(crate) use observer::{CUTS, name as cut_name};
pub use observer::{Observed, Report};
pub use operator::Refusal;
pub use planes::{Planes, Sockets};
pub use view::ServerReading;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use faros_common::events::{Event, Events};
use faros_common::{clock, fault, tasks};
use serde_json::Value;
use tokio::sync::{Notify, Semaphore, mpsc};
use tracing::{error, info};

use crate::checks::{self, Authority};
use crate::config::{Config, FrontConfig};
use crate::metrics::Counters;
use crate::pool::Server;
use crate::store::{Memory, Store};
use state::{Check, State};

/// Checks at the same time; further ones wait for their turn.
const CHECKS_MAX: usize = 128;
/// The loop goes round at least this often, to show that it lives.
const ROUND_TIME_MAX: Duration = Duration::from_millis(500);
/// Changes that come close together are saved together.
const SAVE_DELAY: Duration = Duration::from_millis(200);
/// When the disk refused, it is asked again after this time.
const SAVE_RETRY: Duration = Duration::from_secs(5);

/// See the module. Everything is shared: planes, admin socket and loop hold the same one.
pub struct Director {
    state: Mutex<State>,
    wake: Notify,
    save: Notify,
    store: tokio::sync::Mutex<Arc<Store>>,
    store_trouble: Mutex<Option<String>>,
    damage: Option<String>,
    authority: Authority,
    places: Arc<Semaphore>,
    events: Events,
    counters: Arc<Counters>,
    rounds: AtomicU64,
}

/// What a director starts with.
pub struct Beginning {
    /// The configuration.
    pub config: Config,
    /// The listening sockets, one group for each address of the configuration.
    pub sockets: Sockets,
    /// What earlier processes knew.
    pub memory: Memory,
    /// What is wrong with it.
    pub damage: Option<String>,
    /// Where it is kept.
    pub store: Store,
}

impl Director {
    /// Begins to serve: front ends whose servers are remembered as up have connections from now on.
    pub fn new(
        beginning: Beginning,
        planes: Arc<dyn Planes>,
        events: Events,
        counters: Arc<Counters>,
    ) -> Arc<Self> {
        let Beginning { config, sockets, memory, damage, store } = beginning;
        if let Some(damage) = &damage {
            error!(event = "lb_state_damaged", reason = damage, "what was remembered is damaged");
            events.emit(Event::new("lb_state_damaged").with("reason", damage.as_str()));
        }
        let state = State::new(config, sockets, memory, planes, events.clone(), clock::now());
        Arc::new(Self {
            state: Mutex::new(state),
            wake: Notify::new(),
            save: Notify::new(),
            store: tokio::sync::Mutex::new(Arc::new(store)),
            store_trouble: Mutex::default(),
            damage,
            authority: Authority::default(),
            places: Arc::new(Semaphore::new(CHECKS_MAX)),
            events,
            counters,
            rounds: AtomicU64::new(0),
        })
    }

    /// Goes round for ever; `reports` is the other end of an [`Observed`].
    pub async fn run(self: Arc<Self>, mut reports: mpsc::Receiver<Report>) {
        loop {
            let turn = tasks::contain("director", || self.turn());
            let (due, pause) = turn.unwrap_or((Vec::new(), ROUND_TIME_MAX));
            for check in due {
                tasks::spawn("check", Arc::clone(&self).check(check));
            }
            self.rounds.fetch_add(1, Ordering::Relaxed);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.wake.notified() => {}
                Some(report) = reports.recv() => {
                    tasks::contain("director", || {
                        self.lock().reported(&report.server, report.failure, clock::now());
                    });
                }
            }
        }
    }

    /// Saves what is to be remembered, whenever there is something.
    pub async fn keep_saved(self: Arc<Self>) {
        loop {
            self.save.notified().await;
            tokio::time::sleep(SAVE_DELAY).await;
            while self.save_now().await.is_err() {
                tokio::time::sleep(SAVE_RETRY).await;
            }
        }
    }

    /// Saves what is to be remembered now; once this returns, it is on disk.
    ///
    /// # Errors
    /// The disk's; it is tried again later.
    pub async fn save_now(&self) -> Result<(), String> {
        let store = self.store.lock().await;
        let memory = {
            let mut state = self.lock();
            if state.suspended {
                return Ok(());
            }
            state.unsaved = false;
            state.memory()
        };
        let writing = Arc::clone(&store);
        let written = tokio::task::spawn_blocking(move || writing.write(&memory)).await;
        let result = match written {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err("a defect of ours; the log has it".to_owned()),
        };
        let mut trouble = self.store_trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match &result {
            Ok(()) if trouble.take().is_some() => {
                info!(event = "lb_state_healed", "what is to be remembered can be written again");
                self.events.emit(Event::new("lb_state_healed"));
            }
            Ok(()) => {}
            Err(reason) => {
                self.lock().unsaved = true;
                if trouble.is_none() {
                    error!(event = "lb_state_failed", reason, "what is to be remembered cannot be written");
                    self.events.emit(Event::new("lb_state_failed").with("reason", reason.as_str()));
                }
                *trouble = Some(reason.clone());
            }
        }
        result
    }

    /// Takes a new configuration over; `open` makes sockets for the addresses that are new.
    ///
    /// # Errors
    /// A socket cannot be made: everything stays as it was.
    pub fn reload(
        &self,
        config: Config,
        open: impl Fn(&FrontConfig, SocketAddr) -> Result<Vec<TcpListener>, String>,
    ) -> Result<(), String> {
        let mut state = self.lock();
        if state.suspended {
            return Err("another process is taking over; reload that one".to_owned());
        }
        let mut fresh = BTreeMap::new();
        for (front, address) in config.listeners() {
            if !state.sockets.contains(address) && !fresh.contains_key(&address) {
                fresh.insert(address, open(front, address)?);
            }
        }
        state.take(config, fresh, clock::now());
        drop(state);
        self.authority
            .retain(|trust| self.lock().fronts.iter().any(|front| front.config.check.ca == trust.ca));
        self.nudge();
        Ok(())
    }

    /// Duplicates of all listening sockets, and all that is known, for a successor, who alone writes state and kernel
    /// from here on, until [`Director::resume`].
    pub fn hand_out(&self) -> (Vec<(SocketAddr, TcpListener)>, Value) {
        let mut state = self.lock();
        state.suspend(true, clock::now());
        let sockets = state.sockets.iter().filter_map(|(address, socket)| {
            // Told with the address that it has: the port may have been left to the system.
            let local = socket.local_addr().unwrap_or(address);
            Some((local, socket.try_clone().ok()?))
        });
        let sockets = sockets.collect();
        let memory = serde_json::to_value(state.memory()).unwrap_or_default();
        (sockets, memory)
    }

    /// The successor did not make it.
    pub fn resume(&self) {
        self.lock().suspend(false, clock::now());
        self.nudge();
    }

    /// Puts the listening sockets into the service manager's store; whether they are there.
    pub fn keep_descriptors(&self) -> bool {
        self.lock().sockets.every_group(crate::service::keep)
    }

    /// Accepts again after the planes were told to accept nothing more.
    pub fn accept_again(&self) {
        self.lock().serve_all();
    }

    /// Lets go of the listening sockets, so that nobody waits in the queue of one that is not accepted from any more.
    pub fn close_sockets(&self) {
        self.lock().sockets = Sockets::default();
    }

    /// How often the loop went round: it lives while this rises.
    pub fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::Relaxed)
    }

    /// How long connections may take to end once the daemon stops.
    pub fn drain(&self) -> Duration {
        self.lock().config.drain
    }

    /// What happens now, and how long until something else does.
    fn turn(&self) -> (Vec<Check>, Duration) {
        fault::point("lb.director");
        let now = clock::now();
        let mut state = self.lock();
        state.tick(now);
        let due = state.due(now);
        let next = state.deadline(now);
        if state.unsaved && !state.suspended {
            self.save.notify_one();
        }
        let pause =
            next.map_or(ROUND_TIME_MAX, |next| next.saturating_duration_since(now).min(ROUND_TIME_MAX));
        (due, pause)
    }

    async fn check(self: Arc<Self>, check: Check) {
        // However this ends, the servers must become due again.
        let mut open = Open { director: &self, subjects: check.subjects, verdict: None };
        let Ok(_place) = self.places.acquire().await else { return };
        let started = clock::now();
        let verdict = checks::ask(&check.probe, &self.authority).await;
        let took = started.elapsed();
        for server in &open.subjects {
            let result = verdict.as_ref().map_or_else(checks::Failure::name, |()| "good");
            self.counters.checked(&server.frontend, &server.name, result, took);
        }
        open.verdict = Some(verdict);
    }

    fn nudge(&self) {
        self.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A check that is under way.
struct Open<'a> {
    director: &'a Director,
    subjects: Vec<Arc<Server>>,
    verdict: Option<Result<(), checks::Failure>>,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let verdict = self.verdict.take();
        tasks::contain("director", || {
            self.director.lock().checked(&self.subjects, verdict.as_ref(), clock::now());
        });
        self.director.nudge();
    }
}

/// A number that nobody can foretell, for the jitter of checks.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
