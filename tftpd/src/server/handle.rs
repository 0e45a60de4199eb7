//! The line to a worker: what it is told, and what it shows of itself.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};

use faros_common::tasks;
use rustix::event::{EventfdFlags, epoll, eventfd};

use super::active::Ready;
use super::report::Reporter;
use super::spin::Crowd;
use super::worker::{self, Shared, Worker};

/// What a worker is told.
#[derive(Debug)]
pub enum Command {
    /// Send a file.
    Start(Box<Ready>),
    /// The request of the transfer with this number came again.
    Repeated(u64),
    /// The transfer with this number gave its place to another: it ends without a word.
    Displaced(u64),
    /// End as soon as nothing is under way.
    Drain,
}

/// The line to a worker.
#[derive(Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    wake: Arc<OwnedFd>,
    shared: Arc<Shared>,
    crowd: Arc<Crowd>,
}

impl Handle {
    /// Starts a worker thread.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn start(
        reporter: Reporter,
        crowd: Arc<Crowd>,
    ) -> io::Result<(Self, std::thread::JoinHandle<Option<()>>)> {
        let (commands, receiver) = mpsc::channel();
        let wake = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &wake, epoll::EventData::new_u64(worker::WAKE), epoll::EventFlags::IN)?;
        let shared = Arc::new(Shared::default());
        let mut worker = Worker::new(
            epoll,
            Arc::clone(&wake),
            receiver,
            Arc::clone(&shared),
            reporter,
            Arc::clone(&crowd),
        );
        let thread = tasks::spawn_thread("tftpd-data", move || worker.run())?;
        Ok((Self { commands, wake, shared, crowd }, thread))
    }

    /// Gives the worker a transfer, which counts from now on: of requests that come together each shall find
    /// another worker. `false`: the worker is gone.
    pub fn give(&self, ready: Ready) -> bool {
        if self.shared.transfers.fetch_add(1, Ordering::Relaxed) == 0 {
            self.crowd.enter();
        }
        self.tell(Command::Start(Box::new(ready)))
    }

    /// Tells the worker. `false`: it is gone.
    pub fn tell(&self, command: Command) -> bool {
        let told = self.commands.send(command).is_ok();
        // A full counter wakes as well as a new one.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
        told
    }

    /// How many transfers it has.
    pub fn transfers(&self) -> usize {
        self.shared.transfers.load(Ordering::Relaxed)
    }

    /// How often its loop has gone round.
    pub fn turns(&self) -> u64 {
        self.shared.turns.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use arc_swap::ArcSwap;
    use faros_common::clock;
    use faros_common::events::Events;
    use faros_common::metrics::Metrics;

    use super::*;
    use crate::config::tests::config;
    use crate::files::body::Body;
    use crate::metrics::Counters;
    use crate::protocol::{options, request};
    use crate::server::socket::TransferSocket;
    use crate::server::table::{Slot, Table};

    fn worker() -> Handle {
        let counters = Counters::new(&Metrics::new("tftpd"));
        let config = Arc::new(ArcSwap::from_pointee(config(std::path::Path::new("/srv"))));
        let reporter = Reporter::new(counters, Events::new("tftpd"), config);
        Handle::start(reporter, Arc::new(Crowd::new())).unwrap().0
    }

    /// A transfer to `client` that repeats itself only after minutes.
    fn ready(table: &Arc<Table>, client: &UdpSocket) -> Ready {
        let asked = request::parse(b"\0\x01a\0octet\0timeout\x00255\0").unwrap();
        let agreement = options::agree(&asked.options, asked.mode, 1, 512);
        let peer = client.local_addr().unwrap();
        let slot: Slot = table.begin(peer, asked, clock::now()).unwrap().0;
        let socket = TransferSocket::new(None, peer).unwrap();
        Ready { slot, socket, body: Body::Cached(bytes::Bytes::from_static(b"x")), agreement }
    }

    fn eventually(what: &str, holds: impl Fn() -> bool) {
        let deadline = clock::now() + Duration::from_secs(10);
        while !holds() {
            assert!(clock::now() < deadline, "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn t38_a_displaced_transfer_gives_its_socket_back_at_once() {
        let (worker, table) = (worker(), Arc::new(Table::default()));
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let ready = ready(&table, &client);
        let id = ready.slot.info.id;
        assert!(worker.give(ready));
        client.recv(&mut [0; 600]).unwrap();
        assert_eq!(worker.transfers(), 1);
        worker.tell(Command::Displaced(id));
        eventually("the transfer ends", || worker.transfers() == 0 && table.is_empty());
    }

    #[test]
    fn t38_a_transfer_displaced_before_it_began_sends_nothing() {
        let (worker, table) = (worker(), Arc::new(Table::default()));
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let ready = ready(&table, &client);
        ready.slot.info.displaced.store(true, Ordering::Relaxed);
        assert!(worker.give(ready));
        eventually("the transfer ends", || worker.transfers() == 0 && table.is_empty());
        client.set_nonblocking(true).unwrap();
        assert!(client.recv(&mut [0; 600]).is_err());
    }
}
