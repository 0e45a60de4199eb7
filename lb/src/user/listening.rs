//! Accepting: some connections per turn, within the limits of the front end and of the process. Who does not fit waits in
//! the kernel's queue; nothing spins while they do.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::acceptfrom_with;

use super::session::Session;
use super::shared::{Core, Served, contains};
use super::slab::{Key, Slab};
use super::sockets;
use crate::pool::Cut;

/// Connections accepted in one turn at most.
const BATCH_MAX: u32 = 64;

/// A listening socket of one loop.
pub(super) struct Listener {
    pub(super) id: u64,
    pub(super) served: Arc<Served>,
    socket: OwnedFd,
    key: Key,
    is_shared: bool,
    is_paused: bool,
    /// Connections to accept per turn: grows while more are waiting.
    batch: u32,
}

/// Why no more is accepted now.
enum Full {
    /// Nobody waits.
    Empty,
    /// The front end has as many as it may.
    Crowded,
    /// This host has run out of something.
    Short,
}

/// The token of listeners among the legs of a session.
pub(super) const LISTENER: u8 = 255;

impl Listener {
    pub(super) fn new(id: u64, socket: OwnedFd, served: Arc<Served>, is_shared: bool, key: Key) -> Self {
        Self { id, served, socket, key, is_shared, is_paused: true, batch: 1 }
    }

    /// Accepts from now on.
    pub(super) fn resume(&mut self, core: &Core) -> rustix::io::Result<()> {
        if self.is_paused {
            let mut flags = EventFlags::IN;
            flags.set(EventFlags::EXCLUSIVE, self.is_shared);
            let data = EventData::new_u64(self.key.token(LISTENER));
            epoll::add(&core.epoll, &self.socket, data, flags)?;
            self.is_paused = false;
        }
        Ok(())
    }

    /// Accepts no more; who comes waits.
    pub(super) fn pause(&mut self, core: &Core) {
        if !self.is_paused {
            self.is_paused = true;
            // The socket may be open elsewhere too, so closing would not be enough.
            let _gone = epoll::delete(&core.epoll, &self.socket);
        }
    }

    /// Accepts what waits, up to a batch; `false`: something has run out and it has paused.
    pub(super) fn accept(
        &mut self,
        sessions: &mut Slab<Session>,
        core: &mut Core,
        begun: &mut Vec<Key>,
    ) -> bool {
        for _ in 0..self.batch {
            match self.accept_one(sessions, core, begun) {
                Ok(()) => {}
                Err(Full::Empty) => {
                    self.batch = 1;
                    return true;
                }
                Err(full) => {
                    self.pause(core);
                    return matches!(full, Full::Crowded);
                }
            }
        }
        // Asking whether more wait costs as much as accepting: only who is called again asks for more.
        self.batch = (self.batch * 2).min(BATCH_MAX);
        true
    }

    fn accept_one(
        &mut self,
        sessions: &mut Slab<Session>,
        core: &mut Core,
        begun: &mut Vec<Key>,
    ) -> Result<(), Full> {
        let settings = &self.served.front.settings;
        let counters = &self.served.front.counters;
        if !core.shared.take_descriptors(2) {
            return Err(Full::Short);
        }
        if let Err(full) = self.enter(sessions) {
            core.shared.give_descriptors(2);
            return Err(full);
        }
        let accepted = loop {
            match acceptfrom_with(&self.socket, sockets::FLAGS) {
                // Gone while it waited (accept(2)), or an error of the network that concerns only this one.
                Err(
                    Errno::INTR
                    | Errno::CONNABORTED
                    | Errno::PROTO
                    | Errno::NETDOWN
                    | Errno::HOSTUNREACH
                    | Errno::NETUNREACH,
                ) => {}
                result => break result,
            }
        };
        let (client, peer) = match accepted {
            Ok((client, peer)) => (client, peer.and_then(|peer| SocketAddr::try_from(peer).ok())),
            Err(error) => {
                self.served.leave(&core.shared);
                core.shared.give_descriptors(2);
                return Err(if sockets::is_shortage(error) { Full::Short } else { Full::Empty });
            }
        };
        counters.accepted.fetch_add(1, Ordering::Relaxed);
        // Where a PROXY header follows, the client that it names counts.
        let admission = match peer {
            None => Err(Cut::Internal),
            Some(peer) if contains(&settings.proxy_in, peer.ip()) => Ok(false),
            Some(peer) => self.served.admit(peer.ip()),
        };
        match (admission, peer) {
            (Ok(counts), Some(peer)) => {
                let served = Arc::clone(&self.served);
                begun.push(
                    sessions.insert_with(|key| Session::new(key, client, peer, served, counts, core.now)),
                );
            }
            (admission, _) => {
                sockets::reset_on_close(client.as_fd());
                let cut = admission.err().unwrap_or(Cut::Internal);
                counters.ended[cut as usize].fetch_add(1, Ordering::Relaxed);
                self.served.leave(&core.shared);
                core.shared.give_descriptors(2);
            }
        }
        Ok(())
    }

    /// Takes a place under the front end's limit.
    fn enter(&self, sessions: &Slab<Session>) -> Result<(), Full> {
        if !sessions.has_room() {
            return Err(Full::Short);
        }
        let front = &self.served.front;
        let most = front.settings.limits.connections;
        let one_more = |active| (active < most).then_some(active + 1);
        for _ in 0..2 {
            if front.counters.active.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).is_ok() {
                return Ok(());
            }
            // Said before looking again: whoever ends a connection meanwhile calls us.
            self.served.crowded.store(true, Ordering::SeqCst);
        }
        Err(Full::Crowded)
    }
}
