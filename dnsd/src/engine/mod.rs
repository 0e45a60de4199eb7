//! What becomes of one message: an answer at once, nothing, or a question to somebody else.
//!
//! ```text
//! message ─► View::decide ──► Reply: out of our zones or the cache; or an error
//!                         ├─► Drop
//!                         ├─► Ask ─────┐
//!                         └─► Session ─┴─► Engine::answer_later ─► forward, update
//! ```
//!
//! [`View::decide`] takes no lock but the cache's, allocates nothing and waits for nobody: serving threads call it for
//! each datagram. [`Engine::answer`] is all of it together, for transports that are not in such a hurry.

mod client;
mod conclude;
mod decide;
mod lane;
mod later;
mod limits;
mod log;
mod merge;
mod policy;
mod signed;
#[cfg(test)]
pub(crate) mod tests;

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};

pub use client::{Access, Client, Transport};
pub use decide::{Decision, DropReason, Session};
pub use lane::{CLIENT_WAITING_MAX, Lane, Pass, WAITING_MAX};
pub use later::CLIENT_TIME;
pub use limits::Limits;
pub use log::{Entry, RING_ENTRIES, Ring, is_about, is_from};
pub use policy::Policy;

pub use crate::site_zones::Source;

use crate::cache::Cache;
use crate::forward::Forwarder;
use crate::metrics::{Counters, Tally};
use crate::platform;
use crate::protocol::time::Now;
use crate::site_zones::Zones;
use crate::update::Updater;
use crate::zone::Snapshot;

/// The longest message of a stream, in octets.
pub const MESSAGE_BYTES_MAX: usize = 65_535;

/// What it needs to decide and to answer.
pub struct Engine {
    policy: ArcSwap<Policy>,
    zones: Arc<Zones>,
    cache: Arc<Cache>,
    forwarder: Arc<Forwarder>,
    updater: Arc<Updater>,
    limits: Limits,
    lane: Arc<Lane>,
    counters: Counters,
    rings: Mutex<Vec<Arc<Ring>>>,
    /// The books of everything that is not a serving thread.
    shared: Ledger,
}

/// The parts of an engine.
pub struct Parts {
    /// Who may have what.
    pub policy: Policy,
    /// What this server is authoritative for.
    pub zones: Arc<Zones>,
    /// Answers of upstream servers.
    pub cache: Arc<Cache>,
    /// The way to them.
    pub forwarder: Arc<Forwarder>,
    /// Dynamic updates, and the keys of whoever signs.
    pub updater: Arc<Updater>,
    /// Cookies and response rates.
    pub limits: Limits,
    /// The metrics.
    pub counters: Counters,
}

/// Where one serving thread keeps its books.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// Counts.
    pub tally: Arc<Tally>,
    /// The query log.
    pub ring: Arc<Ring>,
}

/// Everything as it is at one moment: for the messages of one batch.
pub struct View<'e> {
    engine: &'e Arc<Engine>,
    policy: Guard<Arc<Policy>>,
    zones: Guard<Arc<Snapshot>>,
    now: Now,
    /// No upstream server is known to answer.
    upstream_down: bool,
}

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; MESSAGE_BYTES_MAX].into());
}

impl Engine {
    /// Puts an engine together.
    pub fn new(parts: Parts) -> Arc<Self> {
        let ring = Arc::<Ring>::default();
        Arc::new(Self {
            policy: ArcSwap::from_pointee(parts.policy),
            zones: parts.zones,
            cache: parts.cache,
            forwarder: parts.forwarder,
            updater: parts.updater,
            limits: parts.limits,
            lane: Lane::new(parts.counters.waiting.clone()),
            shared: Ledger { tally: Arc::clone(&parts.counters.shared), ring: Arc::clone(&ring) },
            counters: parts.counters,
            rings: Mutex::new(vec![ring]),
        })
    }

    /// The present moment.
    #[inline]
    pub fn view(self: &Arc<Self>) -> View<'_> {
        View {
            engine: self,
            policy: self.policy.load(),
            zones: self.zones.load(),
            now: now(),
            upstream_down: self.forwarder.is_down(),
        }
    }

    /// Books for a serving thread of its own.
    pub fn own_ledger(&self) -> Ledger {
        let ledger = Ledger { tally: self.counters.own_tally(), ring: Arc::default() };
        self.rings().push(Arc::clone(&ledger.ring));
        ledger
    }

    /// The books of everything that is no serving thread.
    pub fn shared_ledger(&self) -> &Ledger {
        &self.shared
    }

    /// Room for the longest message, for as long as `body` takes.
    pub fn with_scratch<T>(&self, body: impl FnOnce(&mut [u8]) -> T) -> T {
        SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
            Ok(mut scratch) => body(&mut scratch),
            // Only within another call on this thread.
            Err(_) => body(&mut vec![0; MESSAGE_BYTES_MAX]),
        })
    }

    /// Lets a question of `client` wait for somebody else; `None`: too many do.
    pub fn enter(&self, client: &Client) -> Option<Pass> {
        self.lane.enter(client.address.ip())
    }

    /// The metrics.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What this server is authoritative for.
    pub fn zones(&self) -> &Arc<Zones> {
        &self.zones
    }

    /// Answers of upstream servers.
    pub fn cache(&self) -> &Arc<Cache> {
        &self.cache
    }

    /// The way to upstream servers.
    pub fn forwarder(&self) -> &Arc<Forwarder> {
        &self.forwarder
    }

    /// Dynamic updates.
    pub fn updater(&self) -> &Arc<Updater> {
        &self.updater
    }

    /// The policy in force.
    pub fn policy(&self) -> Guard<Arc<Policy>> {
        self.policy.load()
    }

    /// Puts another policy in force.
    pub fn set_policy(&self, policy: Policy) {
        if !policy.query_log {
            self.rings().iter().for_each(|ring| ring.clear());
        }
        self.policy.store(Arc::new(policy));
    }

    /// How many questions wait for somebody else.
    pub fn waiting(&self) -> usize {
        self.lane.waiting()
    }

    /// The latest entries of the query log for which `wanted` says so, newest first, at most `limit`.
    pub fn latest(&self, wanted: impl Fn(&Entry) -> bool, limit: usize) -> Vec<Entry> {
        let rings = self.rings().clone();
        log::latest(&rings, wanted, limit)
    }

    fn rings(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Ring>>> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The present time, as coarse as the kernel's tick.
pub fn now() -> Now {
    let (mono_millis, wall_secs) = platform::coarse_clocks();
    Now { mono_millis, wall_secs }
}
