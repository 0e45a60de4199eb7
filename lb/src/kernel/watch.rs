//! What happens in the kernel between two changes of ours.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use faros_common::netlink::nftables::Counters;
use faros_common::{clock, tasks};
use tracing::{debug, warn};

use super::error::KernelError;
use super::passive::{Counted, Seen, Watched};
use super::plane::Shared;
use super::ruleset::Family;
use super::state::State;
use super::wish::KernelFront;
use super::{forwarding, names, table};
use crate::pool::{ConnectFailure, Cut, Observer, Server};

/// How often counters are read: a few numbers for each server, whatever the number of connections.
const READING: Duration = Duration::from_millis(100);
/// Reading takes one part in so many of the time at most, where there are very many servers ...
const READING_PART: u32 = 5;
/// ... though it is read this often at least.
const READING_PAUSE_MAX: Duration = Duration::from_secs(2);
/// From one look at whether somebody else has changed the rules to the next.
const CHECK: Duration = Duration::from_secs(1);
/// So often at most trouble is told.
const TROUBLE: Duration = Duration::from_secs(60);

/// Somebody else had changed or deleted our rules; they are as they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The whole table was gone.
    pub all: bool,
    /// Steps of the transaction that restored them.
    pub changes: usize,
}

/// What a reading brought.
#[derive(Debug, Default)]
pub(super) struct Reading {
    seen: Vec<(Arc<Server>, Seen)>,
    incomplete: bool,
}

/// Starts the thread; it ends when nobody can send it servers any more.
pub(super) fn start(
    shared: Weak<Shared>,
    queue: Receiver<Arc<Server>>,
    observer: Arc<dyn Observer>,
    restored: impl Fn(Restored) + Send + 'static,
) -> io::Result<()> {
    tasks::spawn_thread("kernel-watch", move || watch(&shared, &queue, observer.as_ref(), restored))?;
    Ok(())
}

fn watch(
    shared: &Weak<Shared>,
    queue: &Receiver<Arc<Server>>,
    observer: &dyn Observer,
    restored: impl Fn(Restored),
) {
    let mut trouble: Option<Instant> = None;
    let mut next = clock::now() + READING;
    let mut check = next;
    loop {
        let task = queue.recv_timeout(next.saturating_duration_since(clock::now()));
        let Some(shared) = shared.upgrade() else { return };
        let done = match task {
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                let now = clock::now();
                let due = now >= check;
                if due {
                    check = now + CHECK;
                }
                let done = tasks::contain("kernel watch", || read(&shared, observer, due, now));
                next = now + pause(clock::now().saturating_duration_since(now));
                done
            }
            Ok(server) => tasks::contain("kernel cut", || shared.cut(&server)).map(|cut| cut.map(|_| None)),
        };
        match done {
            Some(Ok(Some(what))) => restored(what),
            Some(Err(error)) => {
                let now = clock::now();
                if trouble.is_none_or(|last| now.duration_since(last) >= TROUBLE) {
                    trouble = Some(now);
                    warn!(event = "lb_kernel_watch_failed", %error, "the kernel plane cannot be watched");
                }
            }
            _ => {}
        }
    }
}

/// From the start of a reading that took so long to the next one.
fn pause(took: Duration) -> Duration {
    (took * READING_PART).clamp(READING, READING_PAUSE_MAX.max(took + READING))
}

fn read(
    shared: &Shared,
    observer: &dyn Observer,
    check: bool,
    now: Instant,
) -> Result<Option<Restored>, KernelError> {
    let reading = shared.state().read_counters(now)?;
    for (server, seen) in &reading.seen {
        tell(observer, server, *seen);
    }
    if reading.incomplete || check { shared.state().restore() } else { Ok(None) }
}

fn tell(observer: &dyn Observer, server: &Arc<Server>, seen: Seen) {
    debug!(frontend = %server.frontend, server = %server.name, ?seen, "seen by the kernel plane");
    match seen {
        Seen::Failed(failure) => {
            // Refusals are counted one by one; how many were not answered is not known.
            if failure == ConnectFailure::TimedOut {
                server.counters.failed.fetch_add(1, Ordering::Relaxed);
            }
            observer.connect_failed(server, failure);
        }
        Seen::Succeeded => observer.connect_succeeded(server),
    }
}

impl State {
    pub(super) fn read_counters(&mut self, now: Instant) -> Result<Reading, KernelError> {
        let mut reading = Reading::default();
        if self.wanted.is_none() {
            return Ok(reading);
        }
        let counted = table::counters(&mut self.nftables)?;
        let delta = Delta { before: &self.counted, now: &counted };
        for front in &self.fronts {
            delta.front(front);
            for server in &front.servers {
                let name = names::of_server(names::CONNECTIONS, &front.front.name, &server.name);
                reading.incomplete |= !counted.contains_key(&name);
                delta.server(front, server);
                let counted = delta.handshakes(server);
                match self.watched.get_mut(&name) {
                    Some(watched) => {
                        let seen = watched.on_counted(counted, now);
                        reading.seen.extend(seen.map(|seen| (Arc::clone(server), seen)));
                    }
                    None => {
                        self.watched.insert(name, Watched::start(counted));
                    }
                }
            }
        }
        // While the table is gone, the last reading is what the next table goes on from.
        if !reading.incomplete {
            self.counted = counted;
        }
        Ok(reading)
    }

    /// Whether packets are forwarded wherever the site file demands it.
    fn forwards(&self) -> bool {
        let demanded = self.fronts.iter().filter(|front| front.demanded);
        Family::BOTH.into_iter().all(|family| {
            !demanded.clone().any(|front| front.family() == family) || forwarding::is_on(family)
        })
    }

    /// Puts right what somebody else has changed, and takes note of the gateway's coming and going.
    fn restore(&mut self) -> Result<Option<Restored>, KernelError> {
        if self.wanted.is_none() || (self.is_current()? && self.forwards()) {
            return Ok(None);
        }
        let guard = self.guard;
        let all = !table::exists(&mut self.nftables)?;
        let fronts = self.fronts.clone();
        let applied = self.apply(&fronts)?;
        let unasked = !all && guard != self.guard;
        if !applied.forwarding && (applied.changes == 0 || unasked) {
            return Ok(None);
        }
        self.restored += 1;
        Ok(Some(Restored { all, changes: applied.changes }))
    }
}

/// Two readings.
struct Delta<'a> {
    before: &'a BTreeMap<String, Counters>,
    now: &'a BTreeMap<String, Counters>,
}

impl Delta<'_> {
    /// What was counted in between. Counters that began anew count from nothing.
    fn of(&self, name: &str) -> Counters {
        let Some(now) = self.now.get(name) else { return Counters::default() };
        let before = self.before.get(name).copied().unwrap_or_default();
        Counters {
            packets: now.packets.checked_sub(before.packets).unwrap_or(now.packets),
            octets: now.octets.checked_sub(before.octets).unwrap_or(now.octets),
        }
    }

    fn server(&self, front: &KernelFront, server: &Server) {
        let of = |kind| self.of(&names::of_server(kind, &server.frontend, &server.name));
        let (connections, resets) = (of(names::CONNECTIONS).packets, of(names::RESETS).packets);
        let (sent, received) = (of(names::SENT).octets, of(names::RECEIVED).octets);
        add(&server.counters.total, connections);
        add(&server.counters.resets, resets);
        add(&server.counters.failed, of(names::REFUSED).packets);
        add(&server.counters.sent, sent);
        add(&server.counters.received, received);
        let front = &front.front.counters;
        add(&front.accepted, connections);
        add(&front.sent, sent);
        add(&front.received, received);
    }

    fn front(&self, front: &KernelFront) {
        let ended = &front.front.counters.ended;
        for (kind, cut) in
            [(names::NOBODY, Cut::NoServer), (names::FOREIGN, Cut::Source), (names::LIMITED, Cut::Limit)]
        {
            if let Some(counter) = ended.get(cut as usize) {
                add(counter, self.of(&names::of_front(kind, &front.front.name)).packets);
            }
        }
    }

    fn handshakes(&self, server: &Server) -> Counted {
        let of = |kind| {
            let name = names::of_server(kind, &server.frontend, &server.name);
            self.now.get(&name).copied().unwrap_or_default().packets
        };
        Counted { given: of(names::CONNECTIONS), answered: of(names::ANSWERED), refused: of(names::REFUSED) }
    }
}

fn add(counter: &AtomicU64, more: u64) {
    if more > 0 {
        counter.fetch_add(more, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_that_take_long_leave_time_for_all_else() {
        assert_eq!(pause(Duration::from_millis(3)), READING);
        assert_eq!(pause(Duration::from_millis(200)), Duration::from_secs(1));
        assert_eq!(pause(Duration::from_secs(1)), READING_PAUSE_MAX);
        assert!(pause(Duration::from_secs(5)) > Duration::from_secs(5));
    }
}
