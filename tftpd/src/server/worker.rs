//! The data plane: threads, each with an epoll loop over the sockets of its transfers.
//!
//! A lock-step transfer is paced by wake-ups: the client's ACK arrives within microseconds, while waking a
//! sleeping thread takes many. So a worker that has just sent looks again for a short while before it
//! sleeps, as long as that pays off (see `spin`).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use faros_common::{clock, tasks};
use rustix::event::{Timespec, epoll};

use super::active::{Active, Broken, Ready, Scratch};
use super::handle::Command;
use super::report::Reporter;
use super::spin::{Crowd, Spin};
use crate::files::Refusal;
use crate::protocol::packet::{self, ErrorCode, FromClient};
use crate::protocol::transfer::{Action, Outcome};

/// The longest sleep, so that a worker without work still shows that it lives.
const SLEEP_MAX: Duration = Duration::from_millis(500);
/// Coming back from a sleep so much too late is no matter of a busy processor any more.
const STOOD_STILL: Duration = Duration::from_secs(1);
/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 64;
/// Packets read from one socket before others get their turn.
const PACKETS_PER_TURN: usize = 4;
/// The longest packet of a client that is read, in octets; an ERROR's text beyond is cut.
const PACKET_BYTES_MAX: usize = 600;
/// The event that is no transfer's.
pub(super) const WAKE: u64 = u64::MAX;

/// What a worker tells its handle.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// How many transfers it has.
    pub(super) transfers: AtomicUsize,
    /// How often its loop has gone round.
    pub(super) turns: AtomicU64,
}

/// A thread's state. See the module.
pub(super) struct Worker {
    epoll: OwnedFd,
    wake: Arc<OwnedFd>,
    commands: mpsc::Receiver<Command>,
    shared: Arc<Shared>,
    reporter: Reporter,
    transfers: Vec<Place>,
    free: Vec<usize>,
    timers: BinaryHeap<Reverse<(Instant, u64)>>,
    scratch: Scratch,
    spin: Spin,
    crowd: Arc<Crowd>,
    draining: bool,
}

/// A place for a transfer. Its key tells it from those that had the place before.
#[derive(Default)]
struct Place {
    key: u64,
    active: Option<Active>,
    /// The earliest timer that is set for it.
    timer: Option<Instant>,
}

/// The upper half of a key counts the uses of a place, the lower half is the place.
fn place_of(key: u64) -> usize {
    (key & u64::from(u32::MAX)) as usize
}

impl Worker {
    /// A worker without transfers; `epoll` watches `wake` under the name [`WAKE`].
    pub(super) fn new(
        epoll: OwnedFd,
        wake: Arc<OwnedFd>,
        commands: mpsc::Receiver<Command>,
        shared: Arc<Shared>,
        reporter: Reporter,
        crowd: Arc<Crowd>,
    ) -> Self {
        Self {
            epoll,
            wake,
            commands,
            shared,
            reporter,
            transfers: Vec::new(),
            free: Vec::new(),
            timers: BinaryHeap::new(),
            scratch: Scratch::default(),
            spin: Spin::default(),
            crowd,
            draining: false,
        }
    }

    /// Serves until it is told to drain and nothing is under way.
    pub(super) fn run(&mut self) {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let mut now = clock::now();
        while !self.draining || self.shared.transfers.load(Ordering::Relaxed) > 0 {
            self.shared.turns.fetch_add(1, Ordering::Relaxed);
            let sleep = match self.crowd.has_room() && self.spin.looks_again(now) {
                true => Duration::ZERO,
                false => self.until_next_timer(now),
            };
            events.clear();
            let timeout = Timespec::try_from(sleep).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 1_000_000 });
            let waited =
                epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout));
            let before = std::mem::replace(&mut now, clock::now());
            self.make_up_for(now.saturating_duration_since(before + sleep));
            self.spin.looked(waited.is_ok_and(|count| count > 0), sleep.is_zero(), now);
            for event in events.drain(..) {
                match event.data.u64() {
                    WAKE => self.obey(now),
                    key => self.contained(key, |worker, active| worker.on_readable(active, now)),
                }
            }
            self.fire_timers(now);
        }
    }

    /// A process that was stopped, or a machine that was paused, heard nothing in between: it is not the
    /// clients that were silent.
    fn make_up_for(&mut self, late: Duration) {
        if late >= STOOD_STILL {
            let transfers = self.transfers.iter_mut().filter_map(|place| place.active.as_mut());
            transfers.for_each(|active| active.transfer.on_standstill(late));
        }
    }

    fn until_next_timer(&self, now: Instant) -> Duration {
        let next = self.timers.peek().map(|Reverse((at, _))| at.saturating_duration_since(now));
        next.unwrap_or(SLEEP_MAX).min(SLEEP_MAX)
    }

    fn obey(&mut self, now: Instant) {
        let mut counter = [0; 8];
        let _ = rustix::io::read(&self.wake, &mut counter);
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Start(ready) => {
                    if tasks::contain("start of a transfer", || self.start(*ready, now)).is_none() {
                        self.ended();
                    }
                }
                Command::Repeated(id) => self.with_transfer(id, |worker, active| {
                    let action = active.transfer.on_repeated_request(now);
                    worker.perform(active, action)
                }),
                Command::Displaced(id) => self.with_transfer(id, |_, _| false),
                Command::Drain => self.draining = true,
            }
        }
    }

    fn start(&mut self, ready: Ready, now: Instant) {
        if ready.slot.info.displaced.load(Ordering::Relaxed) {
            self.ended();
            return;
        }
        let (active, action) = Active::start(ready, now);
        let index = self.free.pop().unwrap_or_else(|| {
            self.transfers.push(Place::default());
            self.transfers.len() - 1
        });
        let place = &mut self.transfers[index];
        place.key = ((place.key >> 32) + 1) << 32 | index as u64;
        let key = place.key;
        if let Err(error) =
            epoll::add(&self.epoll, &active.socket, epoll::EventData::new_u64(key), epoll::EventFlags::IN)
        {
            let refusal =
                Refusal::new(ErrorCode::NotDefined, "exhausted", format!("the server has no room: {error}"));
            self.give_up(&active, &refusal);
            self.free.push(index);
            self.ended();
            return;
        }
        place.active = Some(active);
        self.contained(key, |worker, active| worker.perform(active, action));
    }

    /// As [`Worker::contained`], for the transfer with number `id`, if it is under way.
    fn with_transfer(&mut self, id: u64, handle: impl FnOnce(&mut Self, &mut Active) -> bool) {
        if let Some(place) = self.transfers.iter().find(|place| place.is(id)) {
            self.contained(place.key, handle);
        }
    }

    /// Lets `handle` work on a transfer, which is over when it returns `false` or panics.
    fn contained(&mut self, key: u64, handle: impl FnOnce(&mut Self, &mut Active) -> bool) {
        let index = place_of(key);
        let Some(place) = self.transfers.get_mut(index).filter(|place| place.key == key) else { return };
        let Some(mut active) = place.active.take() else { return };
        let goes_on = tasks::contain("transfer", || handle(self, &mut active)).unwrap_or(false);
        if !goes_on {
            self.transfers[index].timer = None;
            self.free.push(index);
            self.ended();
            return;
        }
        active.note_progress(&self.reporter.counters);
        let deadline = active.transfer.deadline();
        let place = &mut self.transfers[index];
        place.active = Some(active);
        if place.timer.is_none_or(|timer| deadline < timer) {
            place.timer = Some(deadline);
            self.timers.push(Reverse((deadline, key)));
        }
    }

    /// One transfer less.
    fn ended(&self) {
        if self.shared.transfers.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.crowd.leave();
        }
    }

    fn fire_timers(&mut self, now: Instant) {
        while let Some(&Reverse((at, key))) = self.timers.peek() {
            if at > now {
                return;
            }
            self.timers.pop();
            let Some(place) = self.transfers.get_mut(place_of(key)).filter(|place| place.key == key) else {
                continue;
            };
            if place.timer != Some(at) {
                continue;
            }
            place.timer = None;
            self.contained(key, |worker, active| {
                if active.transfer.deadline() > now {
                    return true;
                }
                let action = active.transfer.on_timeout(now);
                worker.perform(active, action)
            });
        }
    }

    fn on_readable(&mut self, active: &mut Active, now: Instant) -> bool {
        let mut buffer = [0; PACKET_BYTES_MAX];
        for _ in 0..PACKETS_PER_TURN {
            let arrival = match active.socket.receive(&mut buffer) {
                Ok(arrival) => arrival,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.reports(active),
                Err(_) => return self.reports(active),
            };
            let packet = FromClient::parse(&buffer[..arrival.len]);
            if !arrival.from_peer {
                self.reporter.counters.dropped("unknown_transfer_id");
                if !matches!(packet, FromClient::Error { .. }) {
                    self.reporter.counters.error(ErrorCode::UnknownTransferId);
                    let text = "this transfer belongs to another client";
                    active.socket.reply(&packet::error(ErrorCode::UnknownTransferId, text), arrival.from);
                }
                continue;
            }
            let action = match packet {
                FromClient::Ack(number) => active.transfer.on_ack(number, now),
                FromClient::Error { code, .. } => active.transfer.on_error(code),
                FromClient::Stray => {
                    self.reporter.counters.dropped("stray");
                    continue;
                }
            };
            if !self.perform(active, action) {
                return false;
            }
            if active.agreement.windowsize == 1 {
                // The next packet is an answer to what was just sent: it is not there yet.
                return true;
            }
        }
        true
    }

    /// What the network reported about packets of ours.
    fn reports(&mut self, active: &mut Active) -> bool {
        if active.socket.peer_is_unreachable() {
            let action = active.transfer.on_unreachable();
            return self.perform(active, action);
        }
        true
    }

    /// Does what the machine says; `false`: the transfer is over.
    fn perform(&mut self, active: &mut Active, action: Action) -> bool {
        match action {
            Action::Offer => {
                active.offer();
                true
            }
            Action::Send(blocks) => match active.send(blocks, &mut self.scratch, &self.reporter.counters) {
                Ok(()) => true,
                Err(broken) => {
                    let refusal = broken.refusal();
                    self.give_up(active, &refusal);
                    false
                }
            },
            Action::Drop(reason) => {
                self.reporter.counters.dropped(reason.reason());
                true
            }
            Action::Finish(outcome) => {
                active.note_progress(&self.reporter.counters);
                if matches!(outcome, Outcome::Stalled) {
                    let text = "giving up: the same block was acknowledged for too long";
                    self.reporter.counters.error(ErrorCode::NotDefined);
                    let _ = active.socket.send(&packet::error(ErrorCode::NotDefined, text));
                }
                self.reporter.ended(&active.slot.info, outcome);
                false
            }
        }
    }

    fn give_up(&self, active: &Active, refusal: &Refusal) {
        let _ = active.socket.send(&packet::error(refusal.code, &refusal.text));
        self.reporter.gave_up(&active.slot.info, refusal);
    }
}

impl Place {
    fn is(&self, id: u64) -> bool {
        self.active.as_ref().is_some_and(|active| active.slot.info.id == id)
    }
}

impl Broken {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Changed => Refusal::new(
                ErrorCode::NotDefined,
                "file_changed",
                "the file was changed while it was being sent; try again",
            ),
            Self::Unreadable(error) => {
                Refusal::new(ErrorCode::NotDefined, "unreadable", format!("cannot read the file: {error}"))
            }
        }
    }
}
