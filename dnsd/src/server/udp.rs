//! Datagrams: threads, each with a socket and a batch of its own.
//!
//! A thread takes what has come, up to a batch, decides about each message where it lies, and sends the replies in one
//! call. It allocates nothing, takes no lock but the cache's, and waits for nobody. What it cannot answer becomes a
//! task of the runtime, which replies from the same socket.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use faros_common::tasks;
use tokio::runtime::Handle;

use crate::engine::{Client, Decision, Engine, Ledger, Transport, View};
use crate::platform::{self, Batch, Datagram};

/// Threads of one listen address, if there are so many processors.
pub const THREADS_MAX: usize = 8;
/// How long a thread waits for a datagram before it shows that it lives, and sees whether it is to end.
const WAIT: Duration = Duration::from_millis(200);
/// Datagrams that may wait in either direction, in octets of kernel memory: several thousand.
const BUFFER_BYTES: i32 = 4 << 20;
/// A pause after an unexpected error, so that one that lasts does not take the processor.
const ERROR_PAUSE: Duration = Duration::from_millis(10);

/// A socket that threads serve.
pub struct Socket {
    socket: UdpSocket,
    /// Where it listens.
    pub address: SocketAddr,
    /// The kernel tells the address that each datagram was sent to, as the socket has all of them.
    everywhere: bool,
}

impl Socket {
    /// Makes `socket` ready for [`Worker`]s.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn new(socket: UdpSocket) -> io::Result<Self> {
        let address = socket.local_addr()?;
        let everywhere = address.ip().is_unspecified();
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(WAIT))?;
        platform::never_fragment(&socket, address.is_ipv6())?;
        if everywhere {
            platform::tell_destination(&socket, address.is_ipv6())?;
        }
        Ok(Self { socket, address, everywhere })
    }

    /// Asks for [`BUFFER_BYTES`] in each direction.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn enlarge_buffers(socket: &UdpSocket) -> io::Result<()> {
        platform::buffers(socket, BUFFER_BYTES)
    }

    /// The address of ours that a datagram was sent to; `None`: to many at once, which gets no answer.
    fn local_of(&self, datagram: &Datagram<'_>) -> Option<IpAddr> {
        match datagram.destination {
            None if self.everywhere => None,
            None => Some(self.address.ip()),
            Some(IpAddr::V4(address)) if address.is_multicast() || address.is_broadcast() => None,
            Some(address) if address.is_multicast() => None,
            Some(address) => Some(address),
        }
    }

    fn source(&self, local: IpAddr) -> Option<IpAddr> {
        self.everywhere.then_some(local)
    }
}

/// A thread that serves a socket.
pub struct Worker {
    thread: JoinHandle<Option<()>>,
    ledger: Ledger,
}

impl Worker {
    /// Starts to serve `socket`, until `stop` is set. Must be called within the runtime.
    ///
    /// # Errors
    /// The system's refusal to make a thread.
    pub fn start(socket: Arc<Socket>, engine: Arc<Engine>, stop: Arc<AtomicBool>) -> io::Result<Self> {
        let ledger = engine.own_ledger();
        let serving = Serving { socket, engine, ledger: ledger.clone() };
        let runtime = Handle::current();
        let thread = tasks::spawn_thread("dnsd-udp", move || {
            let _within = runtime.enter();
            serving.run(&stop);
        })?;
        Ok(Self { thread, ledger })
    }

    /// How often its loop has gone round.
    pub fn turns(&self) -> u64 {
        self.ledger.tally.turns()
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for its end.
    pub fn join(self) {
        // That it panicked was told where it happened.
        let _ = self.thread.join();
    }
}

struct Serving {
    socket: Arc<Socket>,
    engine: Arc<Engine>,
    ledger: Ledger,
}

impl Serving {
    fn run(&self, stop: &AtomicBool) {
        let mut batch = Batch::new(self.socket.everywhere);
        while !stop.load(Ordering::Relaxed) {
            self.ledger.tally.turned();
            match batch.receive(&self.socket.socket) {
                Ok(count) => self.serve(&mut batch, count),
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(_) => {
                    self.engine.counters().dropped("receive_failed");
                    std::thread::sleep(ERROR_PAUSE);
                }
            }
        }
    }

    fn serve(&self, batch: &mut Batch, count: usize) {
        let view = self.engine.view();
        for index in 0..count {
            let decided = tasks::contain("query", || self.decide(&view, batch, index));
            if let Some(Some((len, source))) = decided {
                batch.reply(index, len, source);
            }
        }
        let sent = batch.send(&self.socket.socket);
        for _ in 0..sent.refused {
            self.engine.counters().dropped("send_failed");
        }
    }

    /// Decides about a datagram. Returns the length of the reply, and where it is to come from.
    #[inline]
    fn decide(&self, view: &View<'_>, batch: &mut Batch, index: usize) -> Option<(usize, Option<IpAddr>)> {
        let dropped = |reason| {
            self.engine.counters().dropped(reason);
            None
        };
        let Some((datagram, out)) = batch.datagram(index) else { return dropped("source_address") };
        let Some(local) = self.socket.local_of(&datagram) else { return dropped("not_unicast") };
        if datagram.peer.port() == 0 {
            return dropped("source_port");
        }
        let client = Client { address: datagram.peer, local, transport: Transport::Udp };
        let source = self.socket.source(local);
        if datagram.cut {
            return match view.refuse_too_long(datagram.bytes, &client, &self.ledger, out) {
                Decision::Reply(len) => Some((len, source)),
                Decision::Drop(reason) => dropped(reason.name()),
                Decision::Ask | Decision::Session(_) => None,
            };
        }
        match view.decide(datagram.bytes, &client, &self.ledger, out) {
            Decision::Reply(len) => Some((len, source)),
            Decision::Drop(reason) => dropped(reason.name()),
            Decision::Ask | Decision::Session(_) => match self.engine.enter(&client) {
                Some(pass) => {
                    let (engine, socket) = (Arc::clone(&self.engine), Arc::clone(&self.socket));
                    let request: Box<[u8]> = datagram.bytes.into();
                    tasks::spawn("answer", async move {
                        match engine.answer_later(&request, &client, pass).await {
                            Some(reply) => socket.reply(&engine, &reply, &client),
                            None => engine.counters().dropped("limited"),
                        }
                    });
                    None
                }
                None => match view.decide_overloaded(datagram.bytes, &client, &self.ledger, out) {
                    Decision::Reply(len) => Some((len, source)),
                    _ => dropped("overloaded"),
                },
            },
        }
    }
}

impl Socket {
    fn reply(&self, engine: &Engine, reply: &[u8], client: &Client) {
        let source = self.source(client.local);
        if platform::send_from(&self.socket, reply, client.address, source).is_err() {
            engine.counters().dropped("send_failed");
        }
    }
}
