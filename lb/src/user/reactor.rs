//! One loop: waits for what happens to its sockets, timers and mailbox, and lets the sessions act.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use faros_common::tasks;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::time::Timespec;
use tracing::warn;

use super::command::Command;
use super::listening::{LISTENER, Listener};
use super::session::{Session, Step};
use super::shared::{Core, Mailbox, Micros, Served, Shared};
use super::slab::{Key, Slab};
use crate::pool::Cut;

/// Events taken from the kernel at a time.
const EVENTS: usize = 256;
/// The loop turns at least so often, as a proof that it can.
const TURN_EVERY: Micros = 1_000_000;
/// Where something has run out, accepting is tried again after this.
const SHORTAGE_PAUSE: Micros = 100_000;
/// Connections accepted from a listener that is closed and whose queue nobody else will serve.
const LAST_ROUND: usize = 4096;
/// The mailbox's number among events.
const MAILBOX: u64 = u64::MAX;

/// One loop.
pub(super) struct Reactor {
    number: usize,
    core: Core,
    sessions: Slab<Session>,
    listeners: Slab<Listener>,
    /// When listeners that had to pause are tried again.
    resume_at: Option<Micros>,
    /// Accepted in this turn.
    begun: Vec<Key>,
    expired: Vec<u32>,
    is_over: bool,
}

impl Reactor {
    pub(super) fn new(number: usize, shared: Arc<Shared>) -> io::Result<Self> {
        let core = Core::new(shared, number as u64)?;
        let mailbox = &core.shared.mailboxes[number];
        epoll::add(&core.epoll, &mailbox.wake, EventData::new_u64(MAILBOX), EventFlags::IN)?;
        mailbox.turned.store(core.now, Ordering::Relaxed);
        Ok(Self {
            number,
            core,
            sessions: Slab::new(),
            listeners: Slab::new(),
            resume_at: None,
            begun: Vec::new(),
            expired: Vec::new(),
            is_over: false,
        })
    }

    /// Turns until told to end.
    pub(super) fn run(mut self) {
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
        while !self.is_over {
            let timeout = self.timeout();
            events.clear();
            match epoll::wait(&self.core.epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    warn!(event = "loop_wait_failed", %error, "waiting for events failed");
                    std::thread::sleep(std::time::Duration::from_millis(100));
                }
            }
            self.turn(&events);
        }
        self.end_all(Cut::Drained);
    }

    fn timeout(&self) -> Timespec {
        let micros = if !self.core.ready.is_empty() {
            0
        } else {
            let resume = self.resume_at.map(|at| at.saturating_sub(self.core.now));
            [self.core.until_timer(), resume].into_iter().flatten().fold(TURN_EVERY, Micros::min)
        };
        // Rounded up to what epoll_wait counts in: woken too early, the loop would turn for nothing.
        let millis = micros.div_ceil(1000);
        Timespec { tv_sec: (millis / 1000) as i64, tv_nsec: (millis % 1000 * 1_000_000) as _ }
    }

    fn turn(&mut self, events: &[Event]) {
        self.core.now = self.core.shared.now();
        for event in events {
            let token = event.data.u64();
            if token == MAILBOX {
                self.obey();
                continue;
            }
            match Key::from_token(token) {
                (key, LISTENER) => self.accept(key),
                (key, leg) => self.with(key, |session, core| session.on_event(leg, event.flags, core)),
            }
        }
        for _ in 0..self.core.ready.len() {
            if let Some(key) = self.core.ready.pop_front() {
                self.with(key, Session::on_turn);
            }
        }
        self.let_time_pass();
        self.tell();
    }

    fn let_time_pass(&mut self) {
        let tick = self.core.tick();
        let mut expired = std::mem::take(&mut self.expired);
        self.core.wheel.advance(tick, &mut expired);
        for index in expired.drain(..) {
            if let Some(key) = self.sessions.key_at(index) {
                self.with(key, Session::on_timeout);
            }
        }
        self.expired = expired;
        if self.resume_at.is_some_and(|at| at <= self.core.now) {
            self.resume_at = None;
            self.resume();
        }
    }

    /// Lets a session act; a defect of ours costs this session and no other.
    fn with(&mut self, key: Key, act: impl FnOnce(&mut Session, &mut Core) -> Step) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let core = &mut self.core;
        match tasks::contain("lb session", || act(session, core)) {
            Some(Ok(())) => {}
            Some(Err(cut)) => self.end(key, cut),
            None => self.end(key, Cut::Internal),
        }
    }

    fn end(&mut self, key: Key, cut: Cut) {
        let Some(session) = self.sessions.remove(key) else { return };
        session.finish(cut, &mut self.core);
        // Its descriptors are free: who had to wait for some may go on.
        if self.resume_at.take().is_some() {
            self.resume();
        }
    }

    fn accept(&mut self, key: Key) {
        let Some(listener) = self.listeners.get_mut(key) else { return };
        let has_room = listener.accept(&mut self.sessions, &mut self.core, &mut self.begun);
        if !has_room {
            self.resume_at = Some(self.core.now + SHORTAGE_PAUSE);
            self.mailbox().shortages.fetch_add(1, Ordering::Relaxed);
        }
        let mut begun = std::mem::take(&mut self.begun);
        for key in begun.drain(..) {
            self.with(key, Session::begin);
        }
        self.begun = begun;
    }

    fn resume(&mut self) {
        let keys: Vec<Key> = self.listeners.iter().map(|(key, _)| key).collect();
        for key in keys {
            let Some(listener) = self.listeners.get_mut(key) else { continue };
            if listener.resume(&self.core).is_err() {
                self.resume_at = Some(self.core.now + SHORTAGE_PAUSE);
            }
        }
    }

    fn obey(&mut self) {
        for command in self.mailbox().collect() {
            match command {
                Command::Listen { id, socket, served, is_shared } => {
                    self.listen(id, socket, &served, is_shared);
                }
                Command::Update { id, served } => {
                    if let Some(listener) = self.find(id).and_then(|key| self.listeners.get_mut(key)) {
                        listener.served = served;
                    }
                    self.resume();
                }
                Command::Close { id, last_round } => self.close(id, last_round),
                Command::Resume => self.resume(),
                Command::HangUp(server, cut) => {
                    for key in self.keys() {
                        self.with(key, |session, core| session.hang_up(&server, cut, core));
                    }
                }
                Command::CloseAll(cut) => self.end_all(cut),
                Command::Quit => self.is_over = true,
            }
        }
    }

    fn listen(&mut self, id: u64, socket: OwnedFd, served: &Arc<Served>, is_shared: bool) {
        let served = Arc::clone(served);
        self.listeners.insert_with(|key| Listener::new(id, socket, served, is_shared, key));
        self.resume();
    }

    fn close(&mut self, id: u64, last_round: bool) {
        let Some(key) = self.find(id) else { return };
        let mut left = if last_round { LAST_ROUND } else { 0 };
        while left > 0 {
            let before = self.sessions.len();
            self.accept(key);
            if self.sessions.len() == before {
                break;
            }
            left = left.saturating_sub(self.sessions.len() - before);
        }
        if let Some(mut listener) = self.listeners.remove(key) {
            listener.pause(&self.core);
        }
    }

    fn end_all(&mut self, cut: Cut) {
        for key in self.keys() {
            self.end(key, cut);
        }
    }

    fn find(&self, id: u64) -> Option<Key> {
        self.listeners.iter().find(|(_, listener)| listener.id == id).map(|(key, _)| key)
    }

    fn keys(&self) -> Vec<Key> {
        self.sessions.iter().map(|(key, _)| key).collect()
    }

    fn mailbox(&self) -> &Mailbox {
        &self.core.shared.mailboxes[self.number]
    }

    /// Shows how it is.
    fn tell(&self) {
        let mailbox = self.mailbox();
        mailbox.turned.store(self.core.now, Ordering::Relaxed);
        mailbox.sessions.store(self.sessions.len(), Ordering::Relaxed);
        let (made, idle) = self.core.pipes.count();
        mailbox.pipes.store(made, Ordering::Relaxed);
        mailbox.pipes_idle.store(idle, Ordering::Relaxed);
        mailbox.pipes_refused.store(self.core.pipes.refused, Ordering::Relaxed);
        mailbox.memory.store(self.sessions.memory(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::sync::atomic::AtomicBool;

    use arc_swap::ArcSwap;
    use faros_common::site::Balance;

    use super::super::sources::Sources;
    use super::*;
    use crate::pool::{
        ConnectFailure, ConnectionEnd, Front, FrontCounters, Limits, Observer, Roster, Server, Settings,
    };

    struct Deaf;

    impl Observer for Deaf {
        fn connect_failed(&self, _server: &Arc<Server>, _failure: ConnectFailure) {}
        fn connect_succeeded(&self, _server: &Arc<Server>) {}
        fn ended(&self, _end: &ConnectionEnd) {}
    }

    fn served() -> Arc<Served> {
        let time = std::time::Duration::from_secs(5);
        let settings = Settings {
            connect: time,
            idle: time,
            first_byte: None,
            limits: Limits { connections: 10, per_source: None },
            allow: Vec::new(),
            proxy_in: Vec::new(),
            proxy_out: None,
            congestion: None,
            log: false,
            close_on_down: true,
        };
        let front = Front {
            name: "test".into(),
            listen: Vec::new(),
            settings,
            roster: Arc::new(ArcSwap::from_pointee(Roster::empty(Balance::RoundRobin))),
            counters: Arc::new(FrontCounters::default()),
        };
        let sources = Arc::new(Sources::new());
        Arc::new(Served { front: Arc::new(front), sources, crowded: Arc::new(AtomicBool::new(false)) })
    }

    #[test]
    fn a_defect_costs_one_connection_and_no_other() {
        let shared = Arc::new(Shared::new(1, Arc::new(Deaf)).unwrap());
        let mut reactor = Reactor::new(0, Arc::clone(&shared)).unwrap();
        let served = served();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut begin = || {
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (accepted, peer) = listener.accept().unwrap();
            assert!(shared.take_descriptors(2));
            served.front.counters.active.fetch_add(1, Ordering::Relaxed);
            let (accepted, served) = (OwnedFd::from(accepted), Arc::clone(&served));
            let make = |key| Session::new(key, accepted, peer, served, false, 0);
            (client, reactor.sessions.insert_with(make))
        };
        let (mut broken, broken_key) = begin();
        let (_other, other_key) = begin();
        reactor.with(broken_key, |_, _| panic!("on purpose"));
        assert!(broken.read(&mut [0; 1]).is_err(), "reset");
        assert!(reactor.sessions.get_mut(broken_key).is_none());
        assert!(reactor.sessions.get_mut(other_key).is_some());
        let counters = &served.front.counters;
        assert_eq!(counters.ended[Cut::Internal as usize].load(Ordering::Relaxed), 1);
        assert_eq!(counters.active.load(Ordering::Relaxed), 1);
    }
}
