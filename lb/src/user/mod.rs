//! The user plane: connections relayed by loops of our own, one per core, without a task, thread or buffer per connection.
//!
//! ```text
//! UserPlane ──commands──► Mailbox ─► Reactor (one thread, one epoll)
//!                                      ├─ Listener ── accept ──► Session ─┬─ Flow up   ─┐ splice or copy
//!                                      ├─ Slab of sessions                └─ Flow down ─┘ through Core's buffer, pipes
//!                                      └─ Core: Wheel of timers, Pipes, scratch buffer
//! ```
//!
//! A connection is accepted, a server picked and dialled in the same turn. Nothing is read from the client before a
//! server has answered, so another one can be tried at any time. Options that only long connections need are set when
//! one turns out to be long.

mod command;
mod connecting;
mod flow;
mod listening;
mod pipes;
mod ports;
mod preamble;
mod reactor;
mod registry;
mod session;
mod shared;
mod slab;
mod sockets;
mod sources;
mod wheel;

#[cfg(test)]
mod tests;

use std::io;
use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use faros_common::tasks;
use serde_json::json;

use self::command::Command;
use self::reactor::Reactor;
use self::registry::Registry;
use self::shared::Shared;
use crate::pool::{Cut, Front, Observer, Server};

/// The user plane. Dropping it resets whatever connections are left.
pub struct UserPlane {
    shared: Arc<Shared>,
    registry: Mutex<Registry>,
    threads: Vec<JoinHandle<Option<()>>>,
}

impl UserPlane {
    /// Starts `loops` threads (at least one). The limit of descriptors is raised as far as this process may; a part of it is kept back
    /// for everything else.
    ///
    /// # Errors
    /// The system has no descriptors or threads left.
    pub fn start(loops: usize, observer: Arc<dyn Observer>) -> io::Result<Self> {
        let loops = loops.max(1);
        let shared = Arc::new(Shared::new(loops, observer)?);
        let mut plane = Self { shared: Arc::clone(&shared), registry: Mutex::default(), threads: Vec::new() };
        for number in 0..loops {
            let reactor = Reactor::new(number, Arc::clone(&shared))?;
            plane.threads.push(tasks::spawn_thread("lb-loop", move || reactor.run())?);
        }
        Ok(plane)
    }

    /// Serves a front end on `listeners`, or goes on to serve the one of that name as `front` now says: connections go
    /// on as they began, new ones follow the new settings. Listeners that are served already, whether given again or
    /// not, stay open as long as their address is among [`Front::listen`] (port 0 stands for any); others are closed
    /// after what waits in their queue is accepted.
    pub fn serve(&self, front: Arc<Front>, listeners: Vec<TcpListener>) {
        self.registry().serve(front, listeners, &self.shared);
    }

    /// Accepts no more for the front end `name`; its connections go on.
    pub fn withdraw(&self, name: &str) {
        self.registry().withdraw(name, &self.shared);
    }

    /// Resets the connections of `server` and has those that are being made to it look for another.
    pub fn hang_up(&self, server: &Arc<Server>, cut: Cut) {
        self.shared.broadcast(|| Command::HangUp(Arc::clone(server), cut));
    }

    /// The listening sockets, each with the name of its front end, as duplicates for another process.
    pub fn listeners(&self) -> Vec<(String, TcpListener)> {
        self.registry().listeners()
    }

    /// Accepts no more at all. What waits in a queue is left to whoever else holds the socket.
    pub fn stop_accepting(&self) {
        self.registry().stop(&self.shared);
    }

    /// Connections now.
    pub fn active(&self) -> usize {
        self.shared.mailboxes.iter().map(|mailbox| mailbox.sessions.load(Ordering::Relaxed)).sum()
    }

    /// Resets all connections.
    pub fn close_all(&self, cut: Cut) {
        self.shared.broadcast(|| Command::CloseAll(cut));
    }

    /// How long ago the slowest of the loops has turned; each does so at least every second, so more than a few say
    /// that one hangs or has died.
    pub fn heartbeat(&self) -> Duration {
        let now = self.shared.now();
        let turned = |mailbox: &shared::Mailbox| mailbox.turned.load(Ordering::Relaxed);
        let eldest = self.shared.mailboxes.iter().map(turned).min().unwrap_or(now);
        Duration::from_micros(now.saturating_sub(eldest))
    }

    /// How the loops are, for the daemon's status.
    pub fn status(&self) -> serde_json::Value {
        let loops: Vec<_> = self
            .shared
            .mailboxes
            .iter()
            .map(|mailbox| {
                json!({
                    "connections": mailbox.sessions.load(Ordering::Relaxed),
                    "session_memory": mailbox.memory.load(Ordering::Relaxed),
                    "pipes": mailbox.pipes.load(Ordering::Relaxed),
                    "pipes_idle": mailbox.pipes_idle.load(Ordering::Relaxed),
                    "pipes_refused": mailbox.pipes_refused.load(Ordering::Relaxed),
                    "accept_shortages": mailbox.shortages.load(Ordering::Relaxed),
                })
            })
            .collect();
        json!({
            "loops": loops,
            "options_refused": self.shared.options_refused.load(Ordering::Relaxed),
        })
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UserPlane {
    fn drop(&mut self) {
        self.shared.broadcast(|| Command::Quit);
        for thread in self.threads.drain(..) {
            // A thread that has panicked has told so.
            let _panicked = thread.join();
        }
    }
}
