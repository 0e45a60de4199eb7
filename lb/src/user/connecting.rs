//! Finding a server: one that refuses is left for the next at once; one that is silent gets a rival after a while, and
//! whoever answers first wins. Nothing of the client's is sent before, so nothing is ever sent twice.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;

use super::preamble::Ends;
use super::session::{Phase, Session, Step, micros};
use super::shared::{Core, Micros, Shared};
use super::{ports, sockets};
use crate::pool::{ConnectFailure, Cut, Server};

/// A server that has not answered after this gets a rival.
const HEDGE_AFTER: Micros = 250_000;
/// Attempts under way at a time.
const UNDER_WAY_MAX: usize = 4;
/// Attempts of one connection; it is given up after them.
const ATTEMPTS_MAX: u8 = 200;
/// Where this host had no port or descriptor left, it is tried again after this.
const SHORTAGE_PAUSE: Micros = 40_000;

/// A search that has not succeeded at once, and what a PROXY header said.
#[derive(Default)]
pub(super) struct Search {
    pub(super) ends: Option<Ends>,
    tried: Vec<Arc<Server>>,
    rivals: Vec<Attempt>,
    hedge_at: Micros,
    /// When to begin anew: only shortages of our own have kept us from everybody.
    again_at: Option<Micros>,
    is_short: bool,
}

struct Attempt {
    socket: OwnedFd,
    server: Arc<Server>,
    leg: u8,
    started: Micros,
}

impl Search {
    /// Ends all attempts.
    pub(super) fn give_up(&mut self, shared: &Shared) {
        for rival in self.rivals.drain(..) {
            lose(&rival.server);
            shared.give_descriptors(1);
        }
    }
}

fn lose(server: &Server) {
    server.counters.active.fetch_sub(1, Ordering::Relaxed);
}

impl Session {
    /// Begins to look for a server.
    pub(super) fn search(&mut self, core: &mut Core) -> Step {
        self.phase = Phase::Connecting;
        self.since = core.now;
        core.arm(self.key.index, core.now + HEDGE_AFTER.min(micros(self.served.front.settings.connect)));
        self.try_next(core)
    }

    /// Starts an attempt with the next server, if any is left.
    fn try_next(&mut self, core: &mut Core) -> Step {
        loop {
            let ticket = core.ticket();
            let roster = self.served.front.roster.load();
            let picked = match &self.search {
                None => roster.pick(self.source().ip(), ticket, &[]),
                Some(search) => roster.pick_where(self.source().ip(), ticket, |server| {
                    !search.tried.iter().any(|tried| Arc::ptr_eq(tried, server))
                }),
            };
            let Some(server) = picked.filter(|_| self.attempts < ATTEMPTS_MAX).cloned() else {
                drop(roster);
                return self.nobody_left(core);
            };
            drop(roster);
            if let Some(search) = &mut self.search {
                search.tried.push(Arc::clone(&server));
            }
            match self.open(&server, core) {
                Ok(()) => return Ok(()),
                Err(error) => self.note_failure(&server, sockets::connect_failure(error), core),
            }
        }
    }

    /// Opens a connection to `server`, as the main attempt or a rival of it.
    fn open(&mut self, server: &Arc<Server>, core: &mut Core) -> Result<(), Errno> {
        let is_rival = self.server.is_some();
        if is_rival && !core.shared.take_descriptors(1) {
            return Err(Errno::MFILE);
        }
        let result = self.dial(server, core);
        match result {
            Ok(socket) => {
                server.counters.active.fetch_add(1, Ordering::Relaxed);
                let attempt =
                    Attempt { socket, server: Arc::clone(server), leg: self.attempts, started: core.now };
                match &mut self.search {
                    Some(search) if is_rival => search.rivals.push(attempt),
                    _ => self.lead_with(attempt),
                }
                Ok(())
            }
            Err(error) => {
                if is_rival {
                    core.shared.give_descriptors(1);
                }
                Err(error)
            }
        }
    }

    fn dial(&mut self, server: &Server, core: &mut Core) -> Result<OwnedFd, Errno> {
        let mut socket = sockets::stream(server.address)?;
        if self.served.front.settings.first_byte.is_some() {
            sockets::await_client(socket.as_fd());
        }
        match rustix::net::connect(&socket, &server.address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(Errno::ADDRNOTAVAIL) => socket = ports::connect(server.address, || core.ticket())?,
            Err(error) => return Err(error),
        }
        self.attempts += 1;
        let data = EventData::new_u64(self.key.token(self.attempts));
        let flags = EventFlags::IN | EventFlags::PRI | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&core.epoll, &socket, data, flags)?;
        Ok(socket)
    }

    fn lead_with(&mut self, attempt: Attempt) {
        self.leg = attempt.leg;
        self.server = Some(attempt.socket);
        self.backend = Some(attempt.server);
    }

    /// Something has happened to an attempt.
    pub(super) fn attempt_stirs(&mut self, leg: u8, flags: EventFlags, core: &mut Core) -> Step {
        if flags.intersects(EventFlags::ERR | EventFlags::HUP) {
            return self.attempt_failed(leg, core);
        }
        if !flags.contains(EventFlags::OUT) {
            return Ok(());
        }
        if leg != self.leg && !self.rival_leads(leg, core) {
            return Ok(());
        }
        self.end_search(core);
        self.connected(flags, core)
    }

    /// Makes the rival `leg` the main attempt; `false`: there is none of that number any more.
    fn rival_leads(&mut self, leg: u8, core: &Core) -> bool {
        let Some(search) = &mut self.search else { return false };
        let Some(at) = search.rivals.iter().position(|rival| rival.leg == leg) else { return false };
        let winner = search.rivals.swap_remove(at);
        core.shared.give_descriptors(1);
        let loser = self.backend.take();
        self.lead_with(winner);
        if let Some(loser) = loser {
            lose(&loser);
            self.note_failure(&loser, ConnectFailure::TimedOut, core);
        }
        true
    }

    /// Whoever has been silent for longer than the winner's rivals are given is told of.
    fn end_search(&mut self, core: &Core) {
        let Some(mut search) = self.search.take() else { return };
        for rival in &search.rivals {
            if core.now >= rival.started + HEDGE_AFTER {
                self.note_failure(&rival.server, ConnectFailure::TimedOut, core);
            }
        }
        search.give_up(&core.shared);
        // What the PROXY header said is still needed.
        if search.ends.is_some() {
            (search.tried, search.rivals) = (Vec::new(), Vec::new());
            self.search = Some(search);
        }
    }

    fn attempt_failed(&mut self, leg: u8, core: &mut Core) -> Step {
        if leg == self.leg {
            let Some(socket) = self.server.take() else { return Ok(()) };
            let error = sockets::pending_error(socket.as_fd()).unwrap_or(Errno::CONNRESET);
            drop(socket);
            if let Some(server) = self.backend.take() {
                lose(&server);
                self.remember_tried(&server);
                self.note_failure(&server, sockets::connect_failure(error), core);
            }
            self.promote(core);
        } else {
            let Some(search) = &mut self.search else { return Ok(()) };
            let Some(at) = search.rivals.iter().position(|rival| rival.leg == leg) else { return Ok(()) };
            let rival = search.rivals.swap_remove(at);
            core.shared.give_descriptors(1);
            let error = sockets::pending_error(rival.socket.as_fd()).unwrap_or(Errno::CONNRESET);
            lose(&rival.server);
            self.note_failure(&rival.server, sockets::connect_failure(error), core);
        }
        self.see_client(core)?;
        self.try_next(core)
    }

    /// Lets the eldest rival lead.
    fn promote(&mut self, core: &Core) {
        let Some(search) = &mut self.search else { return };
        if !search.rivals.is_empty() {
            let eldest = search.rivals.remove(0);
            core.shared.give_descriptors(1);
            self.lead_with(eldest);
        }
    }

    fn remember_tried(&mut self, server: &Arc<Server>) {
        let hedge_at = self.since + HEDGE_AFTER;
        let search = self.search.get_or_insert_default();
        search.hedge_at = search.hedge_at.max(hedge_at);
        if !search.tried.iter().any(|tried| Arc::ptr_eq(tried, server)) {
            search.tried.push(Arc::clone(server));
        }
    }

    fn note_failure(&mut self, server: &Arc<Server>, failure: ConnectFailure, core: &Core) {
        self.remember_tried(server);
        self.retries = self.retries.saturating_add(1);
        self.served.front.counters.retries.fetch_add(1, Ordering::Relaxed);
        if failure == ConnectFailure::Local {
            self.search.get_or_insert_default().is_short = true;
            return;
        }
        server.counters.failed.fetch_add(1, Ordering::Relaxed);
        core.shared.failed(server);
        core.shared.observer.connect_failed(server, failure);
    }

    /// Everybody was tried: waits for those that have not answered, or begins anew if the fault was ours.
    fn nobody_left(&mut self, core: &mut Core) -> Step {
        if self.server.is_some() {
            return Ok(());
        }
        match &mut self.search {
            Some(search) if search.is_short && self.attempts < ATTEMPTS_MAX => {
                search.again_at = Some(core.now + SHORTAGE_PAUSE);
                core.arm(self.key.index, core.now + SHORTAGE_PAUSE);
                Ok(())
            }
            _ => Err(Cut::NoServer),
        }
    }

    /// Time has passed while a server was looked for.
    pub(super) fn search_on(&mut self, core: &mut Core) -> Step {
        let deadline = self.since + micros(self.served.front.settings.connect);
        if core.now >= deadline {
            return self.search_is_over(core);
        }
        if let Some(server) = self.backend.clone() {
            self.remember_tried(&server);
        }
        self.see_client(core)?;
        let search = self.search.get_or_insert_default();
        let mut next = deadline;
        if let Some(again_at) = search.again_at {
            if core.now >= again_at {
                search.again_at = None;
                search.is_short = false;
                search.tried.clear();
                core.arm(self.key.index, deadline.min(core.now + HEDGE_AFTER));
                return self.try_next(core);
            }
            next = next.min(again_at);
        } else if core.now >= search.hedge_at && search.rivals.len() + 1 < UNDER_WAY_MAX {
            search.hedge_at = core.now + HEDGE_AFTER;
            let before = self.attempts;
            self.try_next(core)?;
            if self.attempts > before {
                self.served.front.counters.hedges.fetch_add(1, Ordering::Relaxed);
                next = next.min(core.now + HEDGE_AFTER);
            }
        } else {
            next = next.min(search.hedge_at.max(core.now + HEDGE_AFTER));
        }
        core.arm_by(self.key.index, next);
        Ok(())
    }

    fn search_is_over(&mut self, core: &Core) -> Step {
        let silent: Vec<Arc<Server>> = self
            .backend
            .iter()
            .cloned()
            .chain(
                self.search.iter().flat_map(|search| &search.rivals).map(|rival| Arc::clone(&rival.server)),
            )
            .collect();
        for server in &silent {
            self.note_failure(server, ConnectFailure::TimedOut, core);
        }
        Err(Cut::NoServer)
    }

    /// From now on it is noticed when the client leaves.
    fn see_client(&mut self, core: &Core) -> Step {
        if self.is_registered { Ok(()) } else { self.register_client(core) }
    }

    /// The client has done something while a server is looked for: what it has sent waits. One that has only closed its
    /// side may still want to hear what the server says by itself.
    pub(super) fn client_stirs(&self, flags: EventFlags) -> Step {
        if flags.contains(EventFlags::ERR) { Err(Cut::ClientReset) } else { Ok(()) }
    }

    /// The server of this session is to be left.
    pub(super) fn hang_up(&mut self, server: &Arc<Server>, cut: Cut, core: &mut Core) -> Step {
        let leads = self.backend.as_ref().is_some_and(|backend| Arc::ptr_eq(backend, server));
        if self.phase != Phase::Connecting {
            return if leads { Err(cut) } else { Ok(()) };
        }
        if !leads {
            if let Some(search) = &mut self.search {
                search.rivals.retain(|rival| {
                    let stays = !Arc::ptr_eq(&rival.server, server);
                    if !stays {
                        lose(&rival.server);
                        core.shared.give_descriptors(1);
                    }
                    stays
                });
            }
            return Ok(());
        }
        self.server = None;
        self.backend = None;
        lose(server);
        self.remember_tried(server);
        self.promote(core);
        self.try_next(core)
    }
}
