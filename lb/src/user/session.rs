//! One connection of a client, from its acceptance to its end.
//!
//! ```text
//! accepted ──► Header ──► Connecting ──► Relaying ──► over
//!     └────(no PROXY header)──▲   │           └──► Resetting ──► over
//!                                 └──► over: nobody took it
//! ```

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use faros_common::fault;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;

use super::connecting::Search;
use super::flow::{Flow, Stop};
use super::shared::{Core, Micros, Served};
use super::slab::Key;
use super::sockets;
use crate::pool::{ConnectionEnd, Cut, Server};

/// The client's socket among those of a session; the others are attempts to reach a server, numbered from 1.
pub(super) const CLIENT: u8 = 0;
/// The counters know of octets after this.
const TELL_EVERY: Micros = 2_000_000;
/// A connection that lives so long gets the options that a short one does without.
const SETTLE_AFTER: Micros = 2_000_000;
/// Quiet for so long, it is looked at whether octets wait for a peer that does not want them.
const LOOK_AFTER: Micros = 20_000_000;
/// So long may octets that came before a server's reset take to the client.
const RESET_WITHIN: Micros = 1_000_000;
/// How often it is looked at whether they have.
const RESET_LOOK: Micros = 16_000;

/// Whether a session goes on.
pub(super) type Step = Result<(), Cut>;

/// One connection of a client.
pub(super) struct Session {
    pub(super) key: Key,
    pub(super) phase: Phase,
    /// The number of the attempt that `server` is.
    pub(super) leg: u8,
    /// Attempts so far: the number of the last one.
    pub(super) attempts: u8,
    /// Servers tried in vain.
    pub(super) retries: u8,
    pub(super) is_registered: bool,
    wants_room: bool,
    is_queued: bool,
    is_settled: bool,
    is_looked_at: bool,
    is_patient: bool,
    pub(super) counts_for_source: bool,
    /// A PROXY header at the beginning would be a lie.
    pub(super) inspects: bool,
    pub(super) client: OwnedFd,
    pub(super) server: Option<OwnedFd>,
    pub(super) served: Arc<Served>,
    pub(super) backend: Option<Arc<Server>>,
    pub(super) peer: SocketAddr,
    /// What only few need.
    pub(super) search: Option<Box<Search>>,
    pub(super) up: Flow,
    pub(super) down: Flow,
    pub(super) accepted: Micros,
    /// When it was accepted, or its PROXY header was complete, or a server took it.
    pub(super) since: Micros,
    pub(super) connected: Option<std::num::NonZeroU32>,
    pub(super) active: Micros,
}

/// Where a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its PROXY header is awaited.
    Header,
    /// A server is looked for.
    Connecting,
    /// Octets go both ways.
    Relaying,
    /// The server has reset it; the client gets what came before, and then its reset.
    Resetting,
}

impl Session {
    pub(super) fn new(
        key: Key,
        client: OwnedFd,
        peer: SocketAddr,
        served: Arc<Served>,
        counts_for_source: bool,
        now: Micros,
    ) -> Self {
        Self {
            key,
            phase: Phase::Connecting,
            leg: 0,
            attempts: 0,
            retries: 0,
            is_registered: false,
            wants_room: false,
            is_queued: false,
            is_settled: false,
            is_looked_at: false,
            is_patient: false,
            counts_for_source,
            inspects: false,
            client,
            server: None,
            served,
            backend: None,
            peer,
            search: None,
            up: Flow::up(),
            down: Flow::down(),
            accepted: now,
            since: now,
            connected: None,
            active: now,
        }
    }

    /// What has happened to one of its sockets.
    pub(super) fn on_event(&mut self, leg: u8, flags: EventFlags, core: &mut Core) -> Step {
        fault::point("lb.session");
        if leg == CLIENT {
            note(&mut self.up, &mut self.down, flags);
        }
        match self.phase {
            Phase::Header => self.read_header(core),
            Phase::Connecting if leg == CLIENT => self.client_stirs(flags),
            Phase::Connecting => self.attempt_stirs(leg, flags, core),
            Phase::Relaying if leg == CLIENT => self.relay_after(CLIENT, flags, core),
            Phase::Relaying if leg == self.leg => {
                note(&mut self.down, &mut self.up, flags);
                self.relay_after(leg, flags, core)
            }
            Phase::Resetting if flags.contains(EventFlags::ERR) => Err(Cut::ServerReset),
            // A late word of an attempt that has lost.
            Phase::Relaying | Phase::Resetting => Ok(()),
        }
    }

    /// It had more to do than one turn allowed.
    pub(super) fn on_turn(&mut self, core: &mut Core) -> Step {
        self.is_queued = false;
        match self.phase {
            Phase::Relaying => self.relay(core),
            _ => Ok(()),
        }
    }

    /// Its timer has run out.
    pub(super) fn on_timeout(&mut self, core: &mut Core) -> Step {
        match self.phase {
            Phase::Header => self.header_is_late(core),
            Phase::Connecting => self.search_on(core),
            Phase::Relaying => self.look_after(core),
            Phase::Resetting => self.keep_resetting(core),
        }
    }

    /// Moves octets both ways.
    pub(super) fn relay(&mut self, core: &mut Core) -> Step {
        if self.inspects && self.up.readable {
            self.inspect(core)?;
        }
        let Some(server) = &self.server else { return Err(Cut::Internal) };
        let (client, server) = (self.client.as_fd(), server.as_fd());
        let before = (self.up.octets, self.down.octets);
        self.up.is_last |= self.down.finished && !self.up.finished;
        let up = if self.inspects { Stop::Waiting } else { self.up.run(client, server, core) };
        self.down.is_last |= self.up.finished && !self.down.finished;
        let down = self.down.run(server, client, core);
        if (self.up.octets, self.down.octets) != before {
            self.active = core.now;
            self.is_looked_at = false;
            core.arm_by(self.key.index, core.now + TELL_EVERY);
            if self.up.is_long() && !self.is_settled {
                self.settle(core);
            }
        }
        // What the server has sent before it broke was passed on just now: its reset comes last.
        match (up, down) {
            (Stop::Source(error), _) | (_, Stop::Sink(error)) => return self.client_failed(error, core),
            (Stop::Sink(error), _) | (_, Stop::Source(error)) => return self.server_failed(error, core),
            (Stop::Finished, Stop::Finished) => {
                return Err(if self.down.is_last { Cut::ClientDone } else { Cut::ServerDone });
            }
            (Stop::Turn, _) | (_, Stop::Turn) if !self.is_queued => {
                self.is_queued = true;
                core.ready.push_back(self.key);
            }
            _ => {}
        }
        if self.down.is_blocked() && !self.wants_room {
            self.wants_room = true;
            self.register_client(core)?;
        }
        Ok(())
    }

    fn relay_after(&mut self, leg: u8, flags: EventFlags, core: &mut Core) -> Step {
        let step = self.relay(core);
        if step.is_err() || !flags.contains(EventFlags::ERR) || self.phase != Phase::Relaying {
            return step;
        }
        // Reading has not met the error: nothing is left to read, or nothing may be read now.
        let socket = if leg == CLIENT { Some(&self.client) } else { self.server.as_ref() };
        match socket.and_then(|socket| sockets::pending_error(socket.as_fd())) {
            Some(error) if leg == CLIENT => self.client_failed(error, core),
            Some(error) => self.server_failed(error, core),
            None => Ok(()),
        }
    }

    /// Has epoll report what happens to the client's socket.
    pub(super) fn register_client(&mut self, core: &Core) -> Step {
        let mut flags = EventFlags::IN | EventFlags::PRI | EventFlags::RDHUP | EventFlags::ET;
        flags.set(EventFlags::OUT, self.wants_room);
        let data = EventData::new_u64(self.key.token(CLIENT));
        let result = match self.is_registered {
            false => epoll::add(&core.epoll, &self.client, data, flags),
            true => epoll::modify(&core.epoll, &self.client, data, flags),
        };
        self.is_registered = true;
        result.map_err(|_out_of_memory| Cut::Internal)
    }

    fn client_failed(&mut self, error: Errno, core: &mut Core) -> Step {
        // One that had said all it had to say may be gone: the server gets the rest nevertheless.
        if self.server.as_ref().is_some_and(|server| self.up.owes(server.as_fd())) {
            self.down.finished = true;
            self.up.outlive_source();
            return self.relay(core);
        }
        Err(if sockets::is_reset(error) { Cut::ClientReset } else { Cut::ClientVanished })
    }

    fn server_failed(&mut self, error: Errno, core: &mut Core) -> Step {
        // Closed long ago, its system has forgotten the connection (FIN-WAIT-2); a slow client gets the rest nevertheless.
        if self.down.owes(self.client.as_fd()) {
            self.up.finished = true;
            self.down.outlive_source();
            return self.relay(core);
        }
        if !sockets::is_reset(error) {
            return Err(Cut::ServerVanished);
        }
        // A reset overtakes what waits to be sent, so it waits as well, for a while.
        if self.down.holds() || sockets::unsent(self.client.as_fd()) == 0 {
            return Err(Cut::ServerReset);
        }
        self.phase = Phase::Resetting;
        self.since = core.now;
        core.arm(self.key.index, core.now + RESET_LOOK);
        Ok(())
    }

    fn keep_resetting(&mut self, core: &mut Core) -> Step {
        let is_late = core.now >= self.since + RESET_WITHIN;
        if is_late || sockets::unsent(self.client.as_fd()) == 0 {
            return Err(Cut::ServerReset);
        }
        core.arm(self.key.index, core.now + RESET_LOOK);
        Ok(())
    }

    /// Time has passed while octets went both ways, or did not.
    fn look_after(&mut self, core: &mut Core) -> Step {
        let settings = &self.served.front.settings;
        let idle = micros(settings.idle);
        let quiet = core.now.saturating_sub(self.active);
        if quiet >= idle {
            return Err(Cut::Idle);
        }
        let mut next = self.active + idle;
        if let Some(patience) = settings.first_byte.filter(|_| self.up.octets == 0) {
            let due = self.accepted + micros(patience);
            if core.now >= due {
                return Err(Cut::FirstByte);
            }
            next = next.min(due);
        }
        if !self.is_settled {
            if core.now >= self.since + SETTLE_AFTER {
                self.settle(core);
            } else {
                next = next.min(self.since + SETTLE_AFTER);
            }
        }
        self.tell();
        if !self.is_looked_at {
            if quiet >= LOOK_AFTER {
                self.look(core);
                if !self.is_looked_at {
                    next = next.min(core.now + LOOK_AFTER);
                }
            } else {
                next = next.min(self.active + LOOK_AFTER);
            }
        }
        core.arm(self.key.index, next);
        Ok(())
    }

    /// It has come to stay: the kernel is to find out when the server is gone.
    fn settle(&mut self, core: &Core) {
        self.is_settled = true;
        if let Some(server) = &self.server {
            core.shared.option(&sockets::keep_alive(server.as_fd()));
            core.shared.option(&sockets::congestion(server.as_fd(), &self.served.front.settings));
        }
    }

    /// Nothing has moved for a while. Where octets wait for a peer that acknowledges but takes nothing, the kernel's
    /// limit for unacknowledged octets must not end the connection: the peer is there and does not want to read now.
    fn look(&mut self, core: &Core) {
        let Some(server) = &self.server else { return };
        let sockets = [self.client.as_fd(), server.as_fd()];
        let is_stuck = |socket: &BorrowedFd<'_>| {
            sockets::unsent(*socket) > 0 && crate::platform::segments_in_flight(*socket).unwrap_or(1) == 0
        };
        let waits = sockets.iter().any(|socket| sockets::unsent(*socket) > 0);
        let patient = sockets.iter().any(is_stuck);
        if patient != self.is_patient {
            self.is_patient = patient;
            for socket in sockets {
                core.shared.option(&sockets::be_patient(socket, patient));
            }
        }
        self.is_looked_at = !waits;
    }

    /// Lets the counters know.
    fn tell(&mut self) {
        let (up, down) = (self.up.octets - self.up.told, self.down.octets - self.down.told);
        (self.up.told, self.down.told) = (self.up.octets, self.down.octets);
        let front = &self.served.front.counters;
        let server = self.backend.as_ref().map(|server| &server.counters);
        if up > 0 {
            front.sent.fetch_add(up, Ordering::Relaxed);
            server.inspect(|server| _ = server.sent.fetch_add(up, Ordering::Relaxed));
        }
        if down > 0 {
            front.received.fetch_add(down, Ordering::Relaxed);
            server.inspect(|server| _ = server.received.fetch_add(down, Ordering::Relaxed));
        }
    }

    /// Ends it: the sockets are closed, in order or by reset, and everything is counted.
    pub(super) fn finish(mut self, cut: Cut, core: &mut Core) {
        core.wheel.disarm(self.key.index);
        self.tell();
        self.up.release(core);
        self.down.release(core);
        if !matches!(cut, Cut::ClientDone | Cut::ServerDone) {
            sockets::reset_on_close(self.client.as_fd());
            if let Some(server) = &self.server {
                sockets::reset_on_close(server.as_fd());
            }
        } else {
            self.leave_patiently(core);
        }
        let served = &self.served;
        let counters = &served.front.counters;
        counters.ended[cut as usize].fetch_add(1, Ordering::Relaxed);
        if let Some(server) = &self.backend {
            server.counters.active.fetch_sub(1, Ordering::Relaxed);
            if cut == Cut::ServerReset {
                server.counters.resets.fetch_add(1, Ordering::Relaxed);
            }
        }
        if let Some(search) = &mut self.search {
            search.give_up(&core.shared);
        }
        if self.counts_for_source {
            served.sources.leave(self.source().ip());
        }
        if served.front.settings.log {
            core.shared.observer.ended(&self.report(cut, core.now));
        }
        core.shared.give_descriptors(2);
        served.leave(&core.shared);
    }

    /// What is left of a long stream may take its peer as long as it likes, though nobody looks after it any more.
    fn leave_patiently(&self, core: &Core) {
        let server = self.server.as_ref().filter(|_| self.up.is_long());
        let client = Some(&self.client).filter(|_| self.down.is_long());
        for socket in client.into_iter().chain(server) {
            if sockets::unsent(socket.as_fd()) > 0 {
                core.shared.option(&sockets::be_patient(socket.as_fd(), true));
            }
        }
    }

    fn report(&self, cut: Cut, now: Micros) -> ConnectionEnd {
        let (client, local) = self.ends();
        ConnectionEnd {
            front: Arc::clone(&self.served.front),
            client,
            local,
            server: self.backend.clone().filter(|_| self.connected.is_some()),
            retries: self.retries.into(),
            connect: self.connected.map(|connected| Duration::from_micros(connected.get().into())),
            total: Duration::from_micros(now.saturating_sub(self.accepted)),
            sent: self.up.octets,
            received: self.down.octets,
            cut,
        }
    }
}

/// What an event says about the direction that a socket is read in and the one that it is written in.
pub(super) fn note(reads: &mut Flow, writes: &mut Flow, flags: EventFlags) {
    let ending = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
    reads.readable |= ending || flags.contains(EventFlags::IN);
    reads.ending |= ending;
    reads.closed |= flags.contains(EventFlags::RDHUP) && !flags.contains(EventFlags::ERR);
    reads.broken |= flags.contains(EventFlags::ERR);
    reads.urgent |= flags.contains(EventFlags::PRI);
    writes.writable |= flags.intersects(EventFlags::OUT | EventFlags::HUP | EventFlags::ERR);
}

/// A time in microseconds, as far as they go.
pub(super) fn micros(time: Duration) -> Micros {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_takes_little_memory() {
        // With its entry in the slab and its place in the wheel of timers.
        assert!(size_of::<Session>() + 16 + 24 <= 512, "{}", size_of::<Session>());
    }
}
