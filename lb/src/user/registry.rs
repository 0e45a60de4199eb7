//! Which front ends are served on which sockets, and by which loops.

use std::collections::{BTreeMap, HashMap};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::net::sockopt;

use super::command::Command;
use super::shared::{Served, Shared};
use super::sockets;
use super::sources::Sources;
use crate::pool::Front;

/// The front ends of a plane.
#[derive(Default)]
pub(super) struct Registry {
    fronts: HashMap<String, Entry>,
    next_id: u64,
}

struct Entry {
    served: Arc<Served>,
    sockets: Vec<Socket>,
}

/// A listening socket.
struct Socket {
    id: u64,
    address: Option<SocketAddr>,
    listener: TcpListener,
    loops: Vec<usize>,
}

impl Registry {
    pub(super) fn serve(&mut self, front: Arc<Front>, listeners: Vec<TcpListener>, shared: &Shared) {
        let name = front.name.to_string();
        let before = self.fronts.remove(&name);
        let (sources, crowded, before) = match before {
            Some(entry) => {
                (Arc::clone(&entry.served.sources), Arc::clone(&entry.served.crowded), entry.sockets)
            }
            None => (Arc::new(Sources::new()), Arc::new(AtomicBool::new(false)), Vec::new()),
        };
        let served = Arc::new(Served { front, sources, crowded });
        let settings = &served.front.settings;
        let (mut sockets, gone): (Vec<Socket>, Vec<Socket>) =
            before.into_iter().partition(|socket| is_listed(&served.front, socket.address));
        for socket in gone {
            close(&socket, true, shared);
        }
        for socket in &sockets {
            shared.option(&sockets::prepare_listener(&socket.listener, settings));
            for &number in &socket.loops {
                let command = Command::Update { id: socket.id, served: Arc::clone(&served) };
                shared.mailboxes[number].post(command);
            }
        }
        let known: Vec<u64> = sockets.iter().filter_map(|socket| cookie(&socket.listener)).collect();
        let mut by_address: BTreeMap<Option<SocketAddr>, Vec<TcpListener>> = BTreeMap::new();
        for listener in listeners {
            if cookie(&listener).is_none_or(|cookie| !known.contains(&cookie)) {
                by_address.entry(listener.local_addr().ok()).or_default().push(listener);
            }
        }
        for (address, listeners) in by_address {
            let loops = distribute(listeners.len(), shared.mailboxes.len());
            for (listener, loops) in listeners.into_iter().zip(loops) {
                shared.option(&sockets::prepare_listener(&listener, settings));
                self.next_id += 1;
                let socket = Socket { id: self.next_id, address, listener, loops };
                open(&socket, &served, shared);
                sockets.push(socket);
            }
        }
        self.fronts.insert(name, Entry { served, sockets });
    }

    pub(super) fn withdraw(&mut self, name: &str, shared: &Shared) {
        for socket in self.fronts.remove(name).into_iter().flat_map(|entry| entry.sockets) {
            close(&socket, true, shared);
        }
    }

    pub(super) fn stop(&mut self, shared: &Shared) {
        for entry in self.fronts.values_mut() {
            for socket in entry.sockets.drain(..) {
                close(&socket, false, shared);
            }
        }
    }

    pub(super) fn listeners(&self) -> Vec<(String, TcpListener)> {
        let mut listeners = Vec::new();
        for (name, entry) in &self.fronts {
            let duplicates = entry.sockets.iter().filter_map(|socket| socket.listener.try_clone().ok());
            listeners.extend(duplicates.map(|listener| (name.clone(), listener)));
        }
        listeners
    }
}

fn open(socket: &Socket, served: &Arc<Served>, shared: &Shared) {
    for &number in &socket.loops {
        let Ok(duplicate) = socket.listener.try_clone() else {
            tracing::error!(
                event = "listener_lost",
                address = ?socket.address,
                "no descriptor left to accept on this address in every loop; raise the limit of descriptors"
            );
            continue;
        };
        shared.mailboxes[number].post(Command::Listen {
            id: socket.id,
            socket: OwnedFd::from(duplicate),
            served: Arc::clone(served),
            is_shared: socket.loops.len() > 1,
        });
    }
}

/// Has every loop of a socket close it. The last of them closes it for good: until then its queue is kept.
fn close(socket: &Socket, last_round: bool, shared: &Shared) {
    for &number in &socket.loops {
        shared.mailboxes[number].post(Command::Close { id: socket.id, last_round });
    }
}

fn cookie(listener: &TcpListener) -> Option<u64> {
    sockopt::socket_cookie(listener).ok()
}

/// Whether the front end still listens on `address`.
fn is_listed(front: &Front, address: Option<SocketAddr>) -> bool {
    address.is_some_and(|address| {
        front.listen.iter().any(|listen| {
            listen.ip() == address.ip() && (listen.port() == address.port() || listen.port() == 0)
        })
    })
}

/// Which loops accept on which of `sockets` for one address: every socket has a loop, and every loop a socket.
fn distribute(sockets: usize, loops: usize) -> Vec<Vec<usize>> {
    (0..sockets)
        .map(|socket| match sockets >= loops {
            true => vec![socket % loops],
            false => (0..loops).filter(|number| number % sockets == socket).collect(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_socket_has_a_loop_and_every_loop_a_socket() {
        assert_eq!(distribute(2, 2), [[0], [1]]);
        assert_eq!(distribute(1, 3), [[0, 1, 2]]);
        assert_eq!(distribute(2, 3), [vec![0, 2], vec![1]]);
        assert_eq!(distribute(3, 2), [[0], [1], [0]]);
    }
}
