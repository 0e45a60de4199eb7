//! Connections one by one and in crowds, and how each of them ended.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use faros_common::clock;
use faros_lab::Namespace;

use super::{PATIENCE, backend};

/// A connection that waits for [`PATIENCE`], from the namespace of this thread.
///
/// # Errors
/// The system's.
pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Connects, sends a line, and reads to the end: the name of the server that [`super::Backend::named`] has.
///
/// # Errors
/// The connection's.
pub fn ask(address: SocketAddr) -> io::Result<String> {
    let mut stream = connect(address)?;
    stream.write_all(b"who?\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.strip_suffix('\n') {
        Some(name) => Ok(name.to_owned()),
        None => {
            Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("an answer without an end: {answer:?}")))
        }
    }
}

/// [`ask`], but it is the client who closes first.
///
/// # Errors
/// The connection's.
pub fn ask_and_leave(address: SocketAddr) -> io::Result<String> {
    let mut stream = connect(address)?;
    stream.write_all(b"who?\n")?;
    backend::read_line(&mut stream)
}

/// [`ask`] inside `client`.
pub fn ask_from(client: &Namespace, address: SocketAddr) -> io::Result<String> {
    client.inside(|| ask(address)).expect("the namespace is there")
}

/// How a connection ended on its client's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With FIN.
    Finished,
    /// With a reset.
    Reset,
    /// Not at all, within the client's patience.
    Open,
}

/// Reads until the connection ends; returns what came before, and how it ended.
pub fn read_to_end(stream: &mut TcpStream) -> (Vec<u8>, End) {
    let mut bytes = Vec::new();
    let end = match stream.read_to_end(&mut bytes) {
        Ok(_) => End::Finished,
        Err(error) if backend::is_reset(&error) => End::Reset,
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            End::Open
        }
        Err(error) => panic!("an end of another kind: {error}"),
    };
    (bytes, end)
}

/// Many connections, some of them at once.
#[derive(Debug, Default)]
pub struct Crowd {
    /// How many each server has answered.
    pub served: BTreeMap<String, usize>,
    /// What went wrong, one entry per connection.
    pub failed: Vec<String>,
    /// The time that each connection took, sorted.
    pub times: Vec<Duration>,
}

impl Crowd {
    /// `count` times [`ask`] inside `client`, `at_once` of them at a time.
    pub fn asks(client: &Namespace, address: SocketAddr, count: usize, at_once: usize) -> Self {
        Self::does(client, count, at_once, || ask(address))
    }

    /// `count` times `action` inside `client`, `at_once` of them at a time.
    pub fn does(
        client: &Namespace,
        count: usize,
        at_once: usize,
        action: impl Fn() -> io::Result<String> + Sync,
    ) -> Self {
        let (next, crowd) = (AtomicUsize::new(0), Mutex::new(Self::default()));
        std::thread::scope(|scope| {
            for _ in 0..at_once {
                scope.spawn(|| {
                    client.enter().expect("the namespace is there");
                    while next.fetch_add(1, Ordering::Relaxed) < count {
                        let start = clock::now();
                        let outcome = action();
                        let took = start.elapsed();
                        let mut crowd = crowd.lock().expect("nobody panics with it");
                        match outcome {
                            Ok(name) => *crowd.served.entry(name).or_default() += 1,
                            Err(error) => crowd.failed.push(format!("{:?}: {error}", error.kind())),
                        }
                        crowd.times.push(took);
                    }
                });
            }
        });
        let mut crowd = crowd.into_inner().expect("nobody panics with it");
        crowd.times.sort();
        crowd
    }

    /// How many were answered.
    pub fn answered(&self) -> usize {
        self.served.values().sum()
    }

    /// The time that at least `share` (0 to 1) of all did not exceed.
    pub fn time(&self, share: f64) -> Duration {
        let last = self.times.len().saturating_sub(1);
        self.times[((last as f64) * share).round() as usize]
    }

    /// The test fails where a connection has; says how long they took.
    pub fn assert_all_served(&self, what: &str) {
        println!(
            "{what}: {:?} served, median {:?}, p99 {:?}, slowest {:?}",
            self.served,
            self.time(0.5),
            self.time(0.99),
            self.time(1.0)
        );
        let some: Vec<_> = self.failed.iter().take(5).collect();
        assert!(
            self.failed.is_empty(),
            "{what}: {} of {} failed: {some:?}",
            self.failed.len(),
            self.times.len()
        );
    }
}
