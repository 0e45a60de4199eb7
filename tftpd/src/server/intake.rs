//! The well-known port: which packets become transfers.
//!
//! One task per listener takes packets; each request is resolved by a blocking task, so that a slow disk
//! holds up neither the port nor the transfers under way.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use faros_common::{clock, fault, tasks};
use rustix::net::netdevice;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;

use super::active::Ready;
use super::handle::{Command, Handle};
use super::report::Reporter;
use super::socket::{self, TransferSocket};
use super::table::{Busy, CLIENT_TRANSFERS_MAX, Info, Slot, Table, Terms};
use crate::config::Config;
use crate::files::body::{Body, Cache};
use crate::files::{self, Content, Refusal};
use crate::platform::{self, Received};
use crate::protocol::options;
use crate::protocol::packet::{self, ErrorCode};
use crate::protocol::request::{self, REQUEST_BYTES_MAX};

/// Requests that look for their file at the same time; others wait.
const RESOLVERS_MAX: usize = 16;
/// Requests that look or wait; one more is dropped, and its client asks again. Fewer than
/// [`UNANSWERED_MAX`](super::table::UNANSWERED_MAX), so that nobody gives way before the answer was on its way.
const REQUESTS_MAX: usize = 256;
/// Packets taken at once before the runtime's other tasks get their turn.
const PACKETS_PER_TURN: usize = 64;

/// A listener at the well-known port.
pub struct Listener {
    socket: UdpSocket,
    address: SocketAddr,
}

/// What all listeners share.
pub struct Intake {
    /// The configuration.
    pub config: Arc<ArcSwap<Config>>,
    /// Who is being served.
    pub table: Arc<Table>,
    /// Files in memory.
    pub cache: Cache,
    /// Those who send.
    pub workers: Vec<Handle>,
    /// The one who tells.
    pub reporter: Reporter,
    /// Places for requests whose file is not found yet.
    pub requests: Arc<Semaphore>,
    /// Places for those of them that look for it.
    pub resolvers: Semaphore,
}

impl Intake {
    /// The limit for [`Intake::requests`].
    pub fn requests() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(REQUESTS_MAX))
    }

    /// The limit for [`Intake::resolvers`].
    pub fn resolvers() -> Semaphore {
        Semaphore::new(RESOLVERS_MAX)
    }

    /// Takes packets until the task is dropped; `beat` is called at least twice a second.
    pub async fn listen(self: Arc<Self>, listener: Arc<Listener>, beat: impl Fn()) {
        let mut buffer = vec![0; REQUEST_BYTES_MAX];
        loop {
            beat();
            let ready = tokio::time::timeout(Duration::from_millis(500), listener.socket.readable()).await;
            let Ok(Ok(())) = ready else { continue };
            for _ in 0..PACKETS_PER_TURN {
                let receive = || platform::receive(&listener.socket, &mut buffer);
                match listener.socket.try_io(Interest::READABLE, receive) {
                    Ok(received) => {
                        let packet = &buffer[..received.len];
                        tasks::contain("request", || self.take(&listener, packet, received));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // What the network reports about ERRORs of ours concerns nobody.
                    Err(_) => self.reporter.counters.dropped("receive_failed"),
                }
            }
            tokio::task::yield_now().await;
        }
    }

    /// Decides about one packet.
    fn take(self: &Arc<Self>, listener: &Arc<Listener>, packet: &[u8], received: Received) {
        let counters = &self.reporter.counters;
        let config = self.config.load_full();
        if let Err(reason) = listener.admits(&config, received) {
            counters.dropped(reason);
            return;
        }
        let request = match request::parse(packet) {
            Ok(request) => request,
            Err(error) => {
                counters.dropped(error.reason());
                if let Some((code, text)) = error.answer() {
                    counters.error(code);
                    listener.refuse(received, code, text);
                }
                return;
            }
        };
        counters.requests.inc();
        let Ok(place) = Arc::clone(&self.requests).try_acquire_owned() else {
            counters.dropped("overloaded");
            return;
        };
        let name = String::from_utf8_lossy(&request.name).into_owned();
        let slot = match self.table.begin(received.peer, request, clock::now()) {
            Ok((slot, displaced)) => {
                displaced.iter().for_each(|info| {
                    counters.failed("displaced");
                    self.tell_worker_of(info, Command::Displaced(info.id));
                });
                slot
            }
            Err(Busy::Repeated(info)) => {
                if !self.tell_worker_of(&info, Command::Repeated(info.id)) {
                    counters.dropped("request_repeated");
                }
                return;
            }
            Err(busy) => {
                let refusal = match busy {
                    Busy::Client => Refusal::new(
                        ErrorCode::NotDefined,
                        "client_limit",
                        format!(
                            "this address has {CLIENT_TRANSFERS_MAX} transfers under way; wait for one to end"
                        ),
                    ),
                    _ => Refusal::new(
                        ErrorCode::NotDefined,
                        "server_limit",
                        "the server is busy; try again soon",
                    ),
                };
                self.refuse(listener, received, &name, &refusal);
                return;
            }
        };
        let (intake, listener) = (Arc::clone(self), Arc::clone(listener));
        tasks::spawn("request", async move {
            // The semaphore is never closed; were it, the request would be dropped and come again.
            let Ok(_permit) = intake.resolvers.acquire().await else { return };
            let (resolving, answering) = (Arc::clone(&intake), Arc::clone(&listener));
            let resolved = tokio::task::spawn_blocking(move || {
                tasks::contain("request", || {
                    fault::point("tftpd.request");
                    resolving.serve(slot, received, &config).inspect_err(|refusal| {
                        resolving.refuse(&answering, received, &name, refusal);
                    })
                })
            });
            let _ = resolved.await;
            drop(place);
        });
    }

    /// Finds the file and hands it to a worker.
    fn serve(&self, slot: Slot, received: Received, config: &Config) -> Result<(), Refusal> {
        let request = &slot.info.request;
        let located = files::locate(&request.name, config)?;
        let body = match located.content {
            Content::Script(bytes) => Body::Cached(bytes),
            Content::File(file, _) => {
                self.cache.body(file).map_err(|error| files::unreadable(&located.name, &error))?
            }
        };
        let exhausted = |error: io::Error| {
            Refusal::new(
                ErrorCode::NotDefined,
                "exhausted",
                format!("the server cannot open a socket ({error}); try again"),
            )
        };
        let blksize_max = socket::blksize_max(received.destination, received.peer);
        let agreement = options::agree(&request.options, request.mode, body.size(), blksize_max);
        let socket = TransferSocket::new(received.destination, received.peer).map_err(exhausted)?;
        let lightest = self.workers.iter().enumerate().min_by_key(|(_, worker)| worker.transfers());
        let Some((index, worker)) = lightest else {
            return Err(Refusal::new(ErrorCode::NotDefined, "defect", "the server has no worker"));
        };
        let _ = slot.info.terms.set(Terms::new(&agreement, body.size(), index));
        worker.give(Ready { slot, socket, body, agreement });
        Ok(())
    }

    /// `false`: no worker has the transfer yet.
    fn tell_worker_of(&self, info: &Info, command: Command) -> bool {
        let worker = info.terms.get().and_then(|terms| self.workers.get(terms.worker));
        worker.is_some_and(|worker| worker.tell(command))
    }

    fn refuse(&self, listener: &Listener, received: Received, name: &str, refusal: &Refusal) {
        listener.refuse(received, refusal.code, &refusal.text);
        self.reporter.refused(received.peer, name, refusal);
    }
}

impl Listener {
    /// A listener on `socket`; within the runtime.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let address = socket.local_addr()?;
        platform::tell_destination(&socket, address.is_ipv6())?;
        Ok(Self { socket: UdpSocket::from_std(socket)?, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether a packet that arrived as `received` says is to be looked at; else why not.
    fn admits(&self, config: &Config, received: Received) -> Result<(), &'static str> {
        let Received { peer, destination, interface, .. } = received;
        if peer.port() == 0 || !is_unicast(peer.ip()) {
            return Err("bad_source");
        }
        let destination = destination.ok_or("no_destination")?;
        // Requests to a broadcast address are not answered (RFC 1123 section 4.2.3.5).
        if !is_unicast(destination) {
            return Err("broadcast");
        }
        // Asked each time: interfaces come, go and change their names.
        let name = netdevice::index_to_name_inlined(&self.socket, interface);
        let name = name.map_err(|_| "unknown_interface")?;
        match config.serves_on(name.as_str(), destination) {
            true => Ok(()),
            false => Err("other_interface"),
        }
    }

    fn refuse(&self, received: Received, code: ErrorCode, text: &str) {
        // Best effort: a client without an answer asks again.
        let packet = packet::error(code, text);
        let _ = platform::send_from(&self.socket, &packet, received.peer, received.destination);
    }
}

fn is_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            !address.is_multicast() && !address.is_broadcast() && !address.is_unspecified()
        }
        IpAddr::V6(address) => !address.is_multicast() && !address.is_unspecified(),
    }
}
