//! What the loops of a plane share, and what each session needs of its loop.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use faros_common::clock;
use ipnet::IpNet;
use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::command::Command;
use super::pipes::Pipes;
use super::slab::Key;
use super::sources::Sources;
use super::wheel::Wheel;
use crate::pool::{Cut, Front, Observer, Server};

/// The buffer that all copying of a loop goes through.
pub(super) const SCRATCH: usize = 128 * 1024;
/// Descriptors kept back for health checks, the admin socket, files and pipes.
const DESCRIPTORS_KEPT: usize = 160;
/// Part of the descriptors kept back at most, where the limit is small: one in so many.
const DESCRIPTORS_KEPT_PART: usize = 8;

/// Microseconds since the plane was started.
pub(super) type Micros = u64;

/// A front end as its connections hold it: they go on under the settings that they began with.
pub(super) struct Served {
    pub(super) front: Arc<Front>,
    pub(super) sources: Arc<Sources>,
    /// Whether some listener waits for room under the limits.
    pub(super) crowded: Arc<AtomicBool>,
}

impl Served {
    /// Lets a connection of `source` in, if it may connect and has not enough already; whether it counts among those
    /// of its source.
    pub(super) fn admit(&self, source: IpAddr) -> Result<bool, Cut> {
        let settings = &self.front.settings;
        if !settings.allow.is_empty() && !contains(&settings.allow, source) {
            return Err(Cut::Source);
        }
        match settings.limits.per_source {
            Some(most) if !self.sources.enter(source, most) => Err(Cut::Limit),
            most => Ok(most.is_some()),
        }
    }

    /// Gives a place under the front end's limit back; whoever waits for one is woken.
    pub(super) fn leave(&self, shared: &Shared) {
        // In one order with `Listener::enter`: either the place is seen there, or the wish for one here.
        self.front.counters.active.fetch_sub(1, Ordering::SeqCst);
        if self.crowded.swap(false, Ordering::SeqCst) {
            shared.broadcast(|| Command::Resume);
        }
    }
}

/// Whether `address` is in one of `networks`; that of an IPv4 peer may be written in IPv6's form.
pub(super) fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

/// What the loops of a plane share.
pub(super) struct Shared {
    pub(super) observer: Arc<dyn Observer>,
    pub(super) mailboxes: Vec<Mailbox>,
    epoch: Instant,
    /// Descriptors that sessions have taken or will take.
    descriptors: AtomicUsize,
    descriptors_max: usize,
    failing: Mutex<Vec<Weak<Server>>>,
    failing_count: AtomicUsize,
    /// How often a socket refused an option of ours.
    pub(super) options_refused: AtomicU64,
}

impl Shared {
    pub(super) fn new(loops: usize, observer: Arc<dyn Observer>) -> io::Result<Self> {
        let limit = raise_descriptor_limit();
        Ok(Self {
            observer,
            mailboxes: (0..loops).map(|_| Mailbox::new()).collect::<io::Result<_>>()?,
            epoch: clock::now(),
            descriptors: AtomicUsize::new(0),
            descriptors_max: limit - DESCRIPTORS_KEPT.min(limit / DESCRIPTORS_KEPT_PART),
            failing: Mutex::default(),
            failing_count: AtomicUsize::new(0),
            options_refused: AtomicU64::new(0),
        })
    }

    pub(super) fn now(&self) -> Micros {
        clock::now().saturating_duration_since(self.epoch).as_micros() as Micros
    }

    /// Sets descriptors aside; `false`: there are not that many.
    pub(super) fn take_descriptors(&self, count: usize) -> bool {
        let taken = self.descriptors.fetch_add(count, Ordering::Relaxed);
        let fits = taken + count <= self.descriptors_max;
        if !fits {
            self.give_descriptors(count);
        }
        fits
    }

    pub(super) fn give_descriptors(&self, count: usize) {
        self.descriptors.fetch_sub(count, Ordering::Relaxed);
    }

    /// Remembers that `server` has failed, so that its next success is told.
    pub(super) fn failed(&self, server: &Arc<Server>) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        failing.retain(|known| known.strong_count() > 0);
        if !failing.iter().any(|known| known.as_ptr() == Arc::as_ptr(server)) {
            failing.push(Arc::downgrade(server));
        }
        self.failing_count.store(failing.len(), Ordering::Relaxed);
    }

    /// `server` has taken a connection; tells so if it had failed before.
    pub(super) fn succeeded(&self, server: &Arc<Server>) {
        if self.failing_count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = failing.len();
        failing.retain(|known| known.as_ptr() != Arc::as_ptr(server));
        self.failing_count.store(failing.len(), Ordering::Relaxed);
        let had_failed = failing.len() < before;
        drop(failing);
        if had_failed {
            self.observer.connect_succeeded(server);
        }
    }

    /// Counts an option that a socket refused: the connection works without.
    pub(super) fn option<E>(&self, result: &Result<(), E>) {
        if result.is_err() {
            self.options_refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Tells all loops.
    pub(super) fn broadcast(&self, command: impl Fn() -> Command) {
        for mailbox in &self.mailboxes {
            mailbox.post(command());
        }
    }
}

/// How one loop is reached from other threads, and what it tells of itself.
pub(super) struct Mailbox {
    commands: Mutex<Vec<Command>>,
    pub(super) wake: OwnedFd,
    /// When the loop turned last.
    pub(super) turned: AtomicU64,
    pub(super) sessions: AtomicUsize,
    pub(super) memory: AtomicUsize,
    pub(super) pipes: AtomicUsize,
    pub(super) pipes_idle: AtomicUsize,
    pub(super) pipes_refused: AtomicU64,
    /// How often accepting stopped because something had run out.
    pub(super) shortages: AtomicU64,
}

impl Mailbox {
    fn new() -> io::Result<Self> {
        Ok(Self {
            commands: Mutex::default(),
            wake: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
            turned: AtomicU64::new(0),
            sessions: AtomicUsize::new(0),
            memory: AtomicUsize::new(0),
            pipes: AtomicUsize::new(0),
            pipes_idle: AtomicUsize::new(0),
            pipes_refused: AtomicU64::new(0),
            shortages: AtomicU64::new(0),
        })
    }

    /// Gives the loop something to do.
    pub(super) fn post(&self, command: Command) {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).push(command);
        // Full means that the loop is already about to wake.
        let _pending = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// What there is to do.
    pub(super) fn collect(&self) -> Vec<Command> {
        let mut count = [0; 8];
        let _nothing = rustix::io::read(&self.wake, &mut count);
        std::mem::take(&mut *self.commands.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a session needs of its loop.
pub(super) struct Core {
    pub(super) epoll: OwnedFd,
    pub(super) scratch: Box<[u8]>,
    pub(super) pipes: Pipes,
    pub(super) wheel: Wheel,
    /// Read once per turn.
    pub(super) now: Micros,
    pub(super) random: u64,
    /// Sessions that have more to do than one turn allows.
    pub(super) ready: VecDeque<Key>,
    pub(super) shared: Arc<Shared>,
}

/// A tick of the wheel, as a power of two of microseconds: 8 ms.
const TICK_BITS: u32 = 13;

impl Core {
    pub(super) fn new(shared: Arc<Shared>, number: u64) -> io::Result<Self> {
        let seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), number);
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            scratch: vec![0; SCRATCH].into_boxed_slice(),
            pipes: Pipes::new(),
            wheel: Wheel::new(),
            now: shared.now(),
            random: seed | 1,
            ready: VecDeque::new(),
            shared,
        })
    }

    /// A random number that nothing depends on but fairness (xorshift).
    pub(super) fn ticket(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Wakes the session at `index` at `time`, not before.
    pub(super) fn arm(&mut self, index: u32, time: Micros) {
        self.wheel.arm(index, tick_at_or_after(time));
    }

    /// Wakes the session at `index` at `time`, unless it is woken before.
    pub(super) fn arm_by(&mut self, index: u32, time: Micros) {
        let tick = tick_at_or_after(time);
        if self.wheel.due(index).is_none_or(|due| due > tick) {
            self.wheel.arm(index, tick);
        }
    }

    pub(super) fn tick(&self) -> u64 {
        self.now >> TICK_BITS
    }

    /// Microseconds until the next timer; `None`: there is none.
    pub(super) fn until_timer(&self) -> Option<Micros> {
        self.wheel.next_stop().map(|tick| (tick << TICK_BITS).saturating_sub(self.now))
    }
}

fn tick_at_or_after(time: Micros) -> u64 {
    (time >> TICK_BITS) + 1
}

/// Raises the limit of descriptors as far as allowed and gives it back.
fn raise_descriptor_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum {
        // Refused: then it stays as it is.
        let _refused = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
    getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(1 << 20)
}
