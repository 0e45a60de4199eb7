//! The plane over loopback, with real sockets at both ends.

mod connecting;
mod limits;
mod proxying;
mod relaying;
mod reloading;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use faros_common::site::Balance;
use socket2::SockRef;

use super::UserPlane;
use crate::pool::{
    ConnectFailure, ConnectionEnd, Cut, Front, FrontCounters, Limits, Observer, Roster, Server, Settings,
    Slot,
};

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the plane has told.
#[derive(Default)]
struct Notes {
    failed: Mutex<Vec<(Arc<str>, ConnectFailure)>>,
    succeeded: Mutex<Vec<Arc<str>>>,
    ends: Mutex<Vec<ConnectionEnd>>,
}

impl Observer for Notes {
    fn connect_failed(&self, server: &Arc<Server>, failure: ConnectFailure) {
        self.failed.lock().unwrap().push((Arc::clone(&server.name), failure));
    }

    fn connect_succeeded(&self, server: &Arc<Server>) {
        self.succeeded.lock().unwrap().push(Arc::clone(&server.name));
    }

    fn ended(&self, end: &ConnectionEnd) {
        self.ends.lock().unwrap().push(end.clone());
    }
}

/// A plane with one front end.
struct Rig {
    plane: UserPlane,
    notes: Arc<Notes>,
    front: Arc<Front>,
    address: SocketAddr,
}

fn settings() -> Settings {
    Settings {
        connect: Duration::from_secs(5),
        idle: Duration::from_secs(3600),
        first_byte: None,
        limits: Limits { connections: 1000, per_source: None },
        allow: Vec::new(),
        proxy_in: Vec::new(),
        proxy_out: None,
        congestion: None,
        log: true,
        close_on_down: true,
    }
}

fn front(settings: Settings, servers: &[SocketAddr]) -> Arc<Front> {
    let slots = servers
        .iter()
        .enumerate()
        .map(|(at, &address)| Slot { server: Server::new("test", &format!("s{at}"), address), weight: 1 });
    Arc::new(Front {
        name: "test".into(),
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        settings,
        roster: Arc::new(ArcSwap::from_pointee(Roster::new(Balance::RoundRobin, slots.collect()))),
        counters: Arc::new(FrontCounters::default()),
    })
}

impl Rig {
    fn new(settings: Settings, servers: &[SocketAddr]) -> Self {
        let notes = Arc::new(Notes::default());
        let plane = UserPlane::start(2, Arc::clone(&notes) as Arc<dyn Observer>).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let front = front(settings, servers);
        plane.serve(Arc::clone(&front), vec![listener]);
        Self { plane, notes, front, address }
    }

    fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(self.address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.set_write_timeout(Some(PATIENCE)).unwrap();
        client
    }

    /// A connection through the plane, with both of its ends.
    fn pair(&self, server: &TcpListener) -> (TcpStream, TcpStream) {
        let client = self.connect();
        (client, accept(server))
    }

    fn server(&self, at: usize) -> Arc<Server> {
        Arc::clone(&self.front.roster.load().slots[at].server)
    }

    fn ended(&self, cut: Cut) -> u64 {
        self.front.counters.ended[cut as usize].load(Ordering::Relaxed)
    }

    /// Waits until one connection has ended so, and nothing is left of it.
    fn wait_for(&self, cut: Cut) {
        wait_until(&format!("{cut:?}, not {:?}", self.front.counters), || {
            self.ended(cut) > 0 && self.front.counters.active.load(Ordering::Relaxed) == 0
        });
        for slot in &self.front.roster.load().slots {
            assert_eq!(slot.server.counters.active.load(Ordering::Relaxed), 0, "{}", slot.server.name);
        }
    }
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn accept(server: &TcpListener) -> TcpStream {
    let (stream, _) = server.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// An address where nothing listens.
fn closed_port() -> SocketAddr {
    listen().1
}

fn wait_until(what: &str, done: impl Fn() -> bool) {
    for _ in 0..PATIENCE.as_millis() / 2 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("waited in vain for {what}");
}

/// Closes with a reset.
fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

fn is_reset(result: &io::Result<usize>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::ConnectionReset)
}

/// Octets that differ from place to place, so that none is lost, doubled or moved unseen.
fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

fn echo_once(client: &mut TcpStream, server: &mut TcpStream) {
    client.write_all(b"ping").unwrap();
    let mut buffer = [0; 4];
    server.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"ping");
    server.write_all(b"pong").unwrap();
    client.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"pong");
}
