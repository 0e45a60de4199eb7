//! Who is being served: caps, repeated requests, and what `GET /transfers` shows.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;
use serde_json::{Value, json};

use crate::protocol::options::Agreement;
use crate::protocol::request::ReadRequest;

/// Transfers of one address at a time. One more is refused with an ERROR that says so.
pub const CLIENT_TRANSFERS_MAX: usize = 8;
/// Transfers at a time. One more takes the place of one whose client has not answered for
/// [`UNANSWERED_AGE`], if there is such a one, and is refused with an ERROR otherwise.
pub const TRANSFERS_MAX: usize = 2048;
/// How long a client's first answer may take before its place may be given to another.
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
    of_client: HashMap<IpAddr, usize>,
    of_request: HashMap<(SocketAddr, ReadRequest), u64>,
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

    /// Takes a place for `request` of `peer`.
    ///
    /// # Errors
    /// Why there is none.
    pub fn begin(
        self: &Arc<Self>,
        peer: SocketAddr,
        request: ReadRequest,
        now: Instant,
    ) -> Result<Slot, Busy> {
        let mut inner = self.lock();
        let key = (peer, request);
        let same = inner.of_request.get(&key).and_then(|id| inner.active.get(id));
        // Once the client has answered, the same request is a new one: a reader that was reset.
        if let Some(info) = same.filter(|info| !info.answered.load(Ordering::Relaxed)) {
            return Err(Busy::Repeated(Arc::clone(info)));
        }
        if inner.of_client.get(&peer.ip()).is_some_and(|&count| count >= CLIENT_TRANSFERS_MAX) {
            return Err(Busy::Client);
        }
        if inner.active.len() >= TRANSFERS_MAX && !inner.displace(now) {
            return Err(Busy::Server);
        }
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
        *inner.of_client.entry(peer.ip()).or_default() += 1;
        inner.active.insert(id, Arc::clone(&info));
        self.in_flight.set(inner.active.len() as i64);
        Ok(Slot { info, table: Arc::clone(self) })
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
    /// Frees the place of the oldest client that has not answered, if that is long ago.
    fn displace(&mut self, now: Instant) -> bool {
        let unanswered = self.active.values().filter(|info| {
            !info.answered.load(Ordering::Relaxed)
                && now.saturating_duration_since(info.started) >= UNANSWERED_AGE
        });
        let Some(oldest) = unanswered.min_by_key(|info| info.id).cloned() else { return false };
        oldest.displaced.store(true, Ordering::Relaxed);
        self.remove(&oldest);
        true
    }

    fn remove(&mut self, info: &Info) {
        if self.active.remove(&info.id).is_none() {
            return;
        }
        let key = (info.peer, info.request.clone());
        if self.of_request.get(&key) == Some(&info.id) {
            self.of_request.remove(&key);
        }
        if let Some(count) = self.of_client.get_mut(&info.peer.ip()) {
            *count -= 1;
            if *count == 0 {
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
mod tests {
    use super::*;
    use crate::protocol::request;

    fn asked(name: &str) -> ReadRequest {
        request::parse(format!("\0\x01{name}\0octet\0").as_bytes()).unwrap()
    }

    fn peer(address: u32, port: u16) -> SocketAddr {
        SocketAddr::new(std::net::Ipv4Addr::from(address).into(), port)
    }

    #[test]
    fn t37_a_request_is_served_once_until_it_is_answered() {
        let table = Arc::new(Table::default());
        let now = faros_common::clock::now();
        let slot = table.begin(peer(1, 2070), asked("a"), now).unwrap();
        for _ in 0..1000 {
            assert!(matches!(table.begin(peer(1, 2070), asked("a"), now), Err(Busy::Repeated(_))));
        }
        assert_eq!(table.len(), 1);
        slot.info.answered.store(true, Ordering::Relaxed);
        let again = table.begin(peer(1, 2070), asked("a"), now).unwrap();
        drop(slot);
        assert!(matches!(table.begin(peer(1, 2070), asked("a"), now), Err(Busy::Repeated(_))));
        drop(again);
        assert!(table.is_empty());
        assert!(table.lock().of_request.is_empty() && table.lock().of_client.is_empty());
    }

    #[test]
    fn t38_one_client_gets_no_more_than_its_share() {
        let table = Arc::new(Table::default());
        let now = faros_common::clock::now();
        let slots: Vec<_> =
            (0..8).map(|port| table.begin(peer(1, 1000 + port), asked("a"), now).unwrap()).collect();
        assert!(matches!(table.begin(peer(1, 99), asked("a"), now), Err(Busy::Client)));
        assert!(table.begin(peer(2, 99), asked("a"), now).is_ok());
        drop(slots);
        assert!(table.begin(peer(1, 99), asked("a"), now).is_ok());
    }

    #[test]
    fn t38_a_flood_of_clients_that_never_answer_does_not_shut_others_out() {
        let table = Arc::new(Table::default());
        let start = faros_common::clock::now();
        let flood: Vec<_> = (0..TRANSFERS_MAX as u32)
            .map(|address| table.begin(peer(address, 99), asked("a"), start).unwrap())
            .collect();
        assert!(matches!(table.begin(peer(1 << 20, 99), asked("a"), start), Err(Busy::Server)));
        let later = start + UNANSWERED_AGE;
        let _slot = table.begin(peer(1 << 20, 99), asked("a"), later).unwrap();
        assert!(flood[0].info.displaced.load(Ordering::Relaxed));
        assert_eq!(table.len(), TRANSFERS_MAX);
        flood.iter().for_each(|slot| slot.info.answered.store(true, Ordering::Relaxed));
        assert!(matches!(table.begin(peer(1 << 21, 99), asked("a"), later), Err(Busy::Server)));
    }
}
