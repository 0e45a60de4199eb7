//! Places for connections, and who has kept us waiting for how long.
//!
//! A full house turns nobody away who has a request: whoever comes gets the place of the one that has kept us waiting
//! longest. So connections on which nothing happens, however many, cost no honest client anything.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use faros_common::clock;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use super::Limits;
use super::limits::LARGE_BODIES_MAX;

/// In place of a time: we are at work, nobody keeps us waiting.
const AT_WORK: u64 = u64::MAX;

/// All places.
#[derive(Debug)]
pub(super) struct Seats {
    limits: Limits,
    /// Times are milliseconds since then.
    began: Instant,
    taken: Mutex<Taken>,
    left: Notify,
    large_bodies: Semaphore,
}

#[derive(Debug, Default)]
struct Taken {
    by_address: HashMap<IpAddr, Vec<Arc<State>>>,
    count: usize,
}

#[derive(Debug)]
struct State {
    /// Since when its peer keeps us waiting.
    since: AtomicU64,
    given_up: Notify,
}

/// A connection's place, free again when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    address: IpAddr,
    state: Arc<State>,
}

impl Seats {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        let large_bodies = Semaphore::new(LARGE_BODIES_MAX);
        let (began, taken, left) = (clock::now(), Mutex::default(), Notify::new());
        Arc::new(Self { limits, began, taken, left, large_bodies })
    }

    /// A place for a connection from `address`, and whether somebody else had to give it up. None: everybody who could
    /// is at work.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Option<(Seat, bool)> {
        let state = Arc::new(State { since: AtomicU64::new(self.now()), given_up: Notify::new() });
        let mut taken = self.taken();
        let own = taken.by_address.get(&address).map_or(0, Vec::len);
        let from = if own >= self.limits.per_address {
            Some(address)
        } else if taken.count >= self.limits.connections {
            let most = taken.by_address.iter().max_by_key(|(_, seats)| (seats.len(), oldest(seats)));
            most.map(|(address, _)| *address)
        } else {
            None
        };
        if let Some(from) = from {
            let seats = taken.by_address.get(&from)?;
            let longest = seats.iter().min_by_key(|seat| seat.since())?;
            if longest.since() == AT_WORK {
                return None;
            }
            let longest = Arc::clone(longest);
            taken.remove(from, &longest);
            longest.given_up.notify_one();
        }
        taken.by_address.entry(address).or_default().push(Arc::clone(&state));
        taken.count += 1;
        Some((Seat { seats: Arc::clone(self), address, state }, from.is_some()))
    }

    /// Gives up those who have kept us waiting for too long; how many.
    pub(super) fn reap(&self) -> usize {
        let patience = u64::try_from(self.limits.patience.as_millis()).unwrap_or(u64::MAX);
        let Some(limit) = self.now().checked_sub(patience) else { return 0 };
        let taken = self.taken();
        let late = taken.by_address.values().flatten().filter(|seat| seat.since() <= limit);
        late.map(|seat| {
            // Not found a second time: it is on its way out.
            seat.since.store(AT_WORK, Ordering::Relaxed);
            seat.given_up.notify_one();
        })
        .count()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.taken().count
    }

    /// Waits until no connection is left.
    pub(super) async fn empty(&self) {
        loop {
            let left = self.left.notified();
            if self.taken().by_address.is_empty() {
                return;
            }
            left.await;
        }
    }

    fn now(&self) -> u64 {
        let since = clock::now().saturating_duration_since(self.began);
        u64::try_from(since.as_millis()).unwrap_or(AT_WORK - 1)
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The larger, the longer somebody of these has kept us waiting.
fn oldest(seats: &[Arc<State>]) -> u64 {
    AT_WORK - seats.iter().map(|seat| seat.since()).min().unwrap_or(AT_WORK)
}

impl Taken {
    fn remove(&mut self, address: IpAddr, state: &Arc<State>) {
        let Some(seats) = self.by_address.get_mut(&address) else { return };
        if let Some(index) = seats.iter().position(|seat| Arc::ptr_eq(seat, state)) {
            seats.swap_remove(index);
            self.count -= 1;
        }
        if seats.is_empty() {
            self.by_address.remove(&address);
        }
    }
}

impl State {
    fn since(&self) -> u64 {
        self.since.load(Ordering::Relaxed)
    }
}

impl Seat {
    /// From now on it is we who work.
    pub(super) fn at_work(&self) {
        self.state.since.store(AT_WORK, Ordering::Relaxed);
    }

    /// From now on it is the peer that we wait for.
    pub(super) fn waiting(&self) {
        self.state.since.store(self.seats.now(), Ordering::Relaxed);
    }

    /// Leave to read a large body, while there is room for one more.
    pub(super) fn place_for_large_body(&self) -> Option<SemaphorePermit<'_>> {
        self.seats.large_bodies.try_acquire().ok()
    }

    /// Waits until the place is somebody else's, or patience is at its end.
    pub(super) async fn given_up(&self) {
        self.state.given_up.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        taken.remove(self.address, &self.state);
        let empty = taken.by_address.is_empty();
        drop(taken);
        if empty {
            self.seats.left.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn seats(connections: usize, per_address: usize) -> Arc<Seats> {
        Seats::new(Limits { connections, per_address, patience: Duration::ZERO })
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn is_given_up(seat: &Seat) -> bool {
        let mut given_up = std::pin::pin!(seat.given_up());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        given_up.as_mut().poll(&mut context).is_ready()
    }

    #[test]
    fn who_has_said_nothing_for_longest_makes_room() {
        let seats = seats(10, 2);
        let (first, _) = seats.take(address(1)).unwrap();
        let (second, _) = seats.take(address(1)).unwrap();
        first.state.since.store(1, Ordering::Relaxed);
        second.state.since.store(2, Ordering::Relaxed);
        let (_third, displaced) = seats.take(address(1)).unwrap();
        assert!(displaced && is_given_up(&first) && !is_given_up(&second));
        let (_other, displaced) = seats.take(address(2)).unwrap();
        assert!(!displaced);
    }

    #[test]
    fn who_is_being_answered_is_not_displaced() {
        let seats = seats(10, 1);
        let (first, _) = seats.take(address(1)).unwrap();
        first.at_work();
        assert!(seats.take(address(1)).is_none());
        first.waiting();
        assert!(seats.take(address(1)).is_some_and(|(_, displaced)| displaced));
    }

    #[test]
    fn a_full_house_takes_from_whom_has_most() {
        let seats = seats(3, 3);
        let (modest, _) = seats.take(address(1)).unwrap();
        modest.state.since.store(0, Ordering::Relaxed);
        let greedy = [seats.take(address(2)).unwrap().0, seats.take(address(2)).unwrap().0];
        let (_new, displaced) = seats.take(address(3)).unwrap();
        assert!(displaced && !is_given_up(&modest));
        assert_eq!(greedy.iter().filter(|seat| is_given_up(seat)).count(), 1);
    }

    #[test]
    fn places_are_free_again() {
        let seats = seats(2, 2);
        for _ in 0..10 {
            drop(seats.take(address(1)).unwrap());
        }
        let taken = seats.taken();
        assert_eq!((taken.count, taken.by_address.len()), (0, 0));
    }

    #[test]
    fn the_late_are_reaped_once_and_workers_never() {
        let seats = seats(4, 4);
        let (idle, _) = seats.take(address(1)).unwrap();
        let (busy, _) = seats.take(address(1)).unwrap();
        busy.at_work();
        assert_eq!((seats.reap(), seats.reap()), (1, 0));
        assert!(is_given_up(&idle) && !is_given_up(&busy));
    }
}
