//! A server on raw sockets whose behaviour a test programs.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use faros_lab::Namespace;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, SockRef, Socket, Type};

/// How often a server looks whether it is to end or to refuse.
const ROUND: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// What is done with each connection, on a thread of its own.
pub type Handler = dyn Fn(TcpStream, &Counters) + Send + Sync;

/// What a server has seen.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Connections that the other side reset.
    pub resets: AtomicU64,
    /// Octets read.
    pub read: AtomicU64,
    /// Octets that the kernel took for sending.
    pub written: AtomicU64,
    /// Who connected.
    pub peers: Mutex<Vec<SocketAddr>>,
}

impl Counters {
    /// Connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Counts how a read or write ended.
    pub fn note<T>(&self, outcome: &io::Result<T>) {
        if outcome.as_ref().is_err_and(is_reset) {
            self.resets.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Whether an error says that the other side has reset the connection.
pub fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// A running server; ends when dropped.
pub struct Backend {
    /// What it has seen.
    pub counters: Arc<Counters>,
    stopping: Arc<AtomicBool>,
    refusing: Arc<AtomicBool>,
    listening: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Backend {
    /// Serves `address` inside `namespace`: `handle` does what is to be done with each connection.
    pub fn start(
        namespace: &Namespace,
        address: SocketAddr,
        handle: impl Fn(TcpStream, &Counters) + Send + Sync + 'static,
    ) -> Self {
        let mut backend = Self {
            counters: Arc::default(),
            stopping: Arc::default(),
            refusing: Arc::default(),
            listening: Arc::default(),
            thread: None,
        };
        let name = namespace.name().to_owned();
        let served = Served {
            address,
            handle: Arc::new(handle),
            counters: Arc::clone(&backend.counters),
            stopping: Arc::clone(&backend.stopping),
            refusing: Arc::clone(&backend.refusing),
            listening: Arc::clone(&backend.listening),
        };
        let first = namespace
            .inside(|| listen(address).expect("the backend's port"))
            .expect("the namespace is there");
        let serve = move || {
            let namespace =
                std::fs::File::open(format!("/run/netns/{name}")).expect("the namespace is there");
            let network = rustix::thread::LinkNameSpaceType::Network;
            rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), Some(network))
                .expect("the namespace can be entered");
            served.run(first);
        };
        #[expect(clippy::disallowed_methods, reason = "a panic of this thread is the test's")]
        let thread = std::thread::spawn(serve);
        backend.listening.store(true, Ordering::Relaxed);
        backend.thread = Some(thread);
        backend
    }

    /// A server that accepts for ever, holds what it has accepted, and says nothing.
    pub fn silent(namespace: &Namespace, address: SocketAddr) -> Self {
        Self::start(namespace, address, |mut stream, counters| {
            let ended = stream.read(&mut [0]);
            counters.note(&ended);
        })
    }

    /// A server that answers a line with `name` and closes.
    pub fn named(namespace: &Namespace, address: SocketAddr, name: &str) -> Self {
        let answer = format!("{name}\n");
        Self::start(namespace, address, move |mut stream, _| {
            if read_line(&mut stream).is_ok() {
                let _ = stream.write_all(answer.as_bytes());
            }
        })
    }

    /// A server that gives back what it gets, and ends when the other side has.
    pub fn echo(namespace: &Namespace, address: SocketAddr) -> Self {
        Self::start(namespace, address, |mut stream, counters| {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let outcome = stream.read(&mut buffer);
                counters.note(&outcome);
                let Ok(length @ 1..) = outcome else { break };
                counters.read.fetch_add(length as u64, Ordering::Relaxed);
                if stream.write_all(&buffer[..length]).is_err() {
                    break;
                }
                counters.written.fetch_add(length as u64, Ordering::Relaxed);
            }
        })
    }

    /// From now on nothing listens: connections are refused. What was accepted goes on.
    pub fn refuse(&self) {
        self.refusing.store(true, Ordering::Relaxed);
        self.await_listening(false);
    }

    /// Listens again.
    pub fn listen(&self) {
        self.refusing.store(false, Ordering::Relaxed);
        self.await_listening(true);
    }

    fn await_listening(&self, wanted: bool) {
        crate::eventually("the backend's port changes", || self.listening.load(Ordering::Relaxed) == wanted);
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Ends a connection with a reset instead of FIN.
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("an option");
    drop(stream);
}

/// Reads up to a line's end and returns the line without it.
///
/// # Errors
/// The connection's, or its end before the line's.
pub fn read_line(stream: &mut TcpStream) -> io::Result<String> {
    let mut line = Vec::new();
    let mut octet = [0];
    loop {
        stream.read_exact(&mut octet)?;
        match octet[0] {
            b'\n' => return Ok(String::from_utf8_lossy(&line).into_owned()),
            other => line.push(other),
        }
    }
}

/// Sends `bytes` so that the last segment carries the FIN, as a server does that knows where its answer ends.
pub fn write_last(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    SockRef::from(&*stream).send_with_flags(bytes, MSG_MORE)?;
    stream.shutdown(Shutdown::Write)
}

/// More follows: the kernel keeps a short segment back (send(2)).
const MSG_MORE: i32 = 0x8000;

struct Served {
    address: SocketAddr,
    handle: Arc<Handler>,
    counters: Arc<Counters>,
    stopping: Arc<AtomicBool>,
    refusing: Arc<AtomicBool>,
    listening: Arc<AtomicBool>,
}

impl Served {
    fn run(&self, first: TcpListener) {
        let mut listener = Some(first);
        while !self.stopping.load(Ordering::Relaxed) {
            if self.refusing.load(Ordering::Relaxed) {
                listener = None;
            } else if listener.is_none() {
                listener = listen(self.address).ok();
            }
            self.listening.store(listener.is_some(), Ordering::Relaxed);
            match &listener {
                Some(listener) => self.accept(listener),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn accept(&self, listener: &TcpListener) {
        let mut waiting = [PollFd::new(listener, PollFlags::IN)];
        if poll(&mut waiting, Some(&ROUND)) != Ok(1) {
            return;
        }
        let Ok((stream, peer)) = listener.accept() else { return };
        stream.set_nonblocking(false).expect("a socket blocks");
        stream.set_nodelay(true).expect("an option");
        self.counters.accepted.fetch_add(1, Ordering::Relaxed);
        self.counters.peers.lock().unwrap_or_else(PoisonError::into_inner).push(peer);
        let (handle, counters) = (Arc::clone(&self.handle), Arc::clone(&self.counters));
        let serve = move || handle(stream, &counters);
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(serve);
        drop(thread.expect("a thread"));
    }
}

/// Hundreds of handlers run at once.
const STACK_BYTES: usize = 256 * 1024;

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
