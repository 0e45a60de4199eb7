//! Who is being served: caps, repeated requests, and what `GET /transfers` shows.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;
use serde_json::{Value, json};

use crate::protocol::options::Agreement;
use crate::protocol::request::ReadRequest;

/// Transfers of one address at a time. One more takes the place of one that was not answered for
/// [`UNANSWERED_AGE`], if there is such a one, and is refused with an ERROR otherwise.
pub const CLIENT_TRANSFERS_MAX: usize = 8;
/// Transfers at a time. One more takes the place of the oldest whose client has not answered yet, if there is
/// such a one, and is refused with an ERROR otherwise.
pub const TRANSFERS_MAX: usize = 2048;
/// Transfers whose client has not answered yet: behind a forged address nobody ever will. One more takes the
/// place of the oldest, which a living client gave up within milliseconds by answering.
pub const UNANSWERED_MAX: usize = 512;
/// How long the first answer may take before a client that has [`CLIENT_TRANSFERS_MAX`] loses the place to a
/// request of its own: it was reset, or somebody else used its address.
pub const UNANSWERED_AGE: Duration = Duration::from_secs(2);

/// The transfers under way.
#[derive(Debug, Default)]
pub struct Table {
    inner: Mutex<Inner>,
    in_flight: Gauge,
}

#[derive(Debug, Default)]
struct Inner {
    next_id: u64,
    active: HashMap<u64, Arc<Info>>,
    /// Each client's transfers, oldest first.
    of_client: HashMap<IpAddr, Vec<u64>>,
    of_request: HashMap<(SocketAddr, ReadRequest), u64>,
    /// Those not answered when last looked at, oldest first; never more than [`UNANSWERED_MAX`].
    unanswered: VecDeque<u64>,
}

/// What is known of one transfer; its worker keeps it up to date.
#[derive(Debug)]
pub struct Info {
    /// Its number, never used twice.
    pub id: u64,
    /// The client.
    pub peer: SocketAddr,
    /// What it asked for.
    pub request: ReadRequest,
    /// When.
    pub started: Instant,
    /// What was agreed on, and the size in octets; once the file is found.
    pub terms: OnceLock<Terms>,
    /// Octets that the client has acknowledged.
    pub acknowledged: AtomicU64,
    /// Blocks and OACKs sent again.
    pub retransmits: AtomicU64,
    /// Whether the client has answered.
    pub answered: AtomicBool,
    /// Whether its place was given to another: it is to end without a word.
    pub displaced: AtomicBool,
}

/// How a file is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Octets per block.
    pub blksize: u16,
    /// Blocks per acknowledgement.
    pub windowsize: u16,
    /// Octets of the file.
    pub size: u64,
    /// The worker that sends it.
    pub worker: usize,
}

impl Terms {
    /// The terms of an agreement.
    pub fn new(agreement: &Agreement, size: u64, worker: usize) -> Self {
        Self { blksize: agreement.blksize, windowsize: agreement.windowsize, size, worker }
    }
}

/// A place in the table, given back when it is dropped, wherever that is.
#[derive(Debug)]
pub struct Slot {
    /// What is known of the transfer.
    pub info: Arc<Info>,
    table: Arc<Table>,
}

/// Why there is no place.
#[derive(Clone, Debug)]
pub enum Busy {
    /// The same request is being answered.
    Repeated(Arc<Info>),
    /// The client has [`CLIENT_TRANSFERS_MAX`].
    Client,
    /// There are [`TRANSFERS_MAX`].
    Server,
}

impl Table {
    /// An empty table that shows its length in `in_flight`.
    pub fn new(in_flight: Gauge) -> Self {
        Self { in_flight, ..Self::default() }
    }

    /// Takes a place for `request` of `peer`. The second is the transfer that had to give way to it, if any:
    /// its worker is to be told.
    ///
    /// # Errors
    /// Why there is none.
    pub fn begin(
        self: &Arc<Self>,
        peer: SocketAddr,
        request: ReadRequest,
        now: Instant,
    ) -> Result<(Slot, Option<Arc<Info>>), Busy> {
        let mut inner = self.lock();
        let key = (peer, request);
        let same = inner.of_request.get(&key).and_then(|id| inner.active.get(id));
        // Once the client has answered, the same request is a new one: a reader that was reset.
        if let Some(info) = same.filter(|info| info.is_unanswered()) {
            return Err(Busy::Repeated(Arc::clone(info)));
        }
        let displaced = inner.make_room(peer.ip(), now)?;
        let id = inner.next_id;
        inner.next_id += 1;
        let info = Arc::new(Info {
            id,
            peer,
            request: key.1.clone(),
            started: now,
            terms: OnceLock::new(),
            acknowledged: AtomicU64::new(0),
            retransmits: AtomicU64::new(0),
            answered: AtomicBool::new(false),
            displaced: AtomicBool::new(false),
        });
        inner.of_request.insert(key, id);
        inner.of_client.entry(peer.ip()).or_default().push(id);
        inner.unanswered.push_back(id);
        inner.active.insert(id, Arc::clone(&info));
        self.in_flight.set(inner.active.len() as i64);
        Ok((Slot { info, table: Arc::clone(self) }, displaced))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lock().active.len()
    }

    /// Whether nobody is being served.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All transfers, oldest first.
    pub fn snapshot(&self) -> Vec<Arc<Info>> {
        let mut all: Vec<_> = self.lock().active.values().cloned().collect();
        all.sort_unstable_by_key(|info| info.id);
        all
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Sees to it that one more transfer of `client` has a place; returns the one that gave way, if any.
    fn make_room(&mut self, client: IpAddr, now: Instant) -> Result<Option<Arc<Info>>, Busy> {
        let own = self.of_client.get(&client).filter(|own| own.len() >= CLIENT_TRANSFERS_MAX);
        if let Some(own) = own {
            let long_ago = |id: &&u64| {
                self.active.get(id).is_some_and(|info| {
                    info.is_unanswered() && now.saturating_duration_since(info.started) >= UNANSWERED_AGE
                })
            };
            let id = own.iter().find(long_ago).copied().ok_or(Busy::Client)?;
            return Ok(self.displace(id));
        }
        if self.unanswered.len() < UNANSWERED_MAX && self.active.len() < TRANSFERS_MAX {
            return Ok(None);
        }
        let active = &self.active;
        self.unanswered.retain(|id| active.get(id).is_some_and(|info| info.is_unanswered()));
        if self.unanswered.len() < UNANSWERED_MAX && self.active.len() < TRANSFERS_MAX {
            return Ok(None);
        }
        let oldest = self.unanswered.front().copied().ok_or(Busy::Server)?;
        Ok(self.displace(oldest))
    }

    fn displace(&mut self, id: u64) -> Option<Arc<Info>> {
        self.unanswered.retain(|other| *other != id);
        let info = self.active.get(&id).cloned()?;
        info.displaced.store(true, Ordering::Relaxed);
        self.remove(&info);
        Some(info)
    }

    fn remove(&mut self, info: &Info) {
        if self.active.remove(&info.id).is_none() {
            return;
        }
        let key = (info.peer, info.request.clone());
        if self.of_request.get(&key) == Some(&info.id) {
            self.of_request.remove(&key);
        }
        if let Some(own) = self.of_client.get_mut(&info.peer.ip()) {
            own.retain(|id| *id != info.id);
            if own.is_empty() {
                self.of_client.remove(&info.peer.ip());
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut inner = self.table.lock();
        inner.remove(&self.info);
        self.table.in_flight.set(inner.active.len() as i64);
    }
}

impl Info {
    fn is_unanswered(&self) -> bool {
        !self.answered.load(Ordering::Relaxed)
    }

    /// The transfer as `GET /transfers` shows it.
    pub fn to_json(&self, now: Instant) -> Value {
        let terms = self.terms.get();
        json!({
            "id": self.id,
            "peer": self.peer.to_string(),
            "file": String::from_utf8_lossy(&self.request.name),
            "mode": self.request.mode.to_string(),
            "seconds": now.saturating_duration_since(self.started).as_secs_f64(),
            "size": terms.map(|terms| terms.size),
            "blksize": terms.map(|terms| terms.blksize),
            "windowsize": terms.map(|terms| terms.windowsize),
            "acknowledged_bytes": self.acknowledged.load(Ordering::Relaxed),
            "retransmits": self.retransmits.load(Ordering::Relaxed),
            "answered": self.answered.load(Ordering::Relaxed),
        })
    }
}

#[cfg(test)]
mod tests;
