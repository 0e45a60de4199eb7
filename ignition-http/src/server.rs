//! Sockets: accepting, limits, one task per connection, drain.
//!
//! The accepting loop owns the heartbeat. Each connection is a task of its own that ends with its peer, with
//! the peer's lack of haste ([`Patience`]), or, while draining, with its last answer; cancelling it drops the
//! socket and whatever body was being sent.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use faros_common::daemon::{Control, RunError};
use faros_common::{clock, tasks};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tracing::{debug, warn};

use crate::body::Busy;
use crate::protocol::head::{FIELDS_MAX, HEAD_BYTES_MAX};
use crate::service::{Peer, Reply, Service};
use crate::wire::{Patience, Wire, WireState};

/// Most connections at once. Those beyond are closed at once and counted.
pub const CONNECTIONS_MAX: usize = 4096;
/// Most connections at once from one address. Those beyond are closed at once and counted.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 128;
/// Descriptors that a connection may need: its socket and the file that is sent.
const DESCRIPTORS_PER_CONNECTION: u64 = 2;
/// Descriptors for everything else.
const DESCRIPTORS_ELSE: u64 = 128;
/// How often a connection's patience is judged, and the heart beats.
const TICK: Duration = Duration::from_secs(1);
/// How long accepting pauses when the system is out of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(100);

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// At once.
    pub connections: usize,
    /// At once, from one address.
    pub per_address: usize,
    /// Of their peers' time.
    pub patience: Patience,
    /// How often patience is judged.
    pub tick: Duration,
}

impl Limits {
    /// The usual limits, as far as the process may have so many descriptors; it asks for what it may have.
    pub fn of_process() -> Self {
        let descriptors = raise_descriptors();
        let affordable = descriptors.saturating_sub(DESCRIPTORS_ELSE) / DESCRIPTORS_PER_CONNECTION;
        let connections = CONNECTIONS_MAX.min(usize::try_from(affordable).unwrap_or(CONNECTIONS_MAX)).max(16);
        let per_address = CONNECTIONS_PER_ADDRESS_MAX.min(connections);
        Self { connections, per_address, patience: Patience::default(), tick: TICK }
    }
}

/// Raises the soft limit of descriptors as far as needed and allowed; gives what holds now.
fn raise_descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let wanted = CONNECTIONS_MAX as u64 * DESCRIPTORS_PER_CONNECTION + DESCRIPTORS_ELSE;
    let current = limit.current.unwrap_or(u64::MAX);
    let allowed = limit.maximum.unwrap_or(u64::MAX).min(wanted);
    if current >= allowed {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), maximum: limit.maximum }) {
        Ok(()) => allowed,
        Err(error) => {
            warn!(event = "descriptors_limited", %error, current, "fewer connections are possible than usual");
            current
        }
    }
}

/// The connections there are.
#[derive(Debug, Default)]
struct Census {
    by_address: Mutex<HashMap<IpAddr, usize>>,
    all: AtomicUsize,
    left: Notify,
}

/// A connection's place in the census, given back when dropped.
struct Seat {
    census: Arc<Census>,
    address: IpAddr,
}

impl Census {
    /// A place for one more connection, or the reason why there is none.
    fn admit(self: &Arc<Self>, address: IpAddr, limits: &Limits) -> Result<Seat, &'static str> {
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if self.all.load(Ordering::Relaxed) >= limits.connections {
            return Err("connections");
        }
        let count = by_address.entry(address).or_insert(0);
        if *count >= limits.per_address {
            return Err("connections_per_address");
        }
        *count += 1;
        self.all.fetch_add(1, Ordering::Relaxed);
        Ok(Seat { census: Arc::clone(self), address })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut by_address = self.census.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.address);
            }
        }
        if self.census.all.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.census.left.notify_waiters();
        }
    }
}

/// Serves on `listeners` until `control` says stop, then lets every connection finish its answer.
///
/// # Errors
/// None at present: what goes wrong with one connection ends that connection.
pub async fn run(
    service: Arc<Service>,
    listeners: Vec<TcpListener>,
    limits: Limits,
    control: Control,
) -> Result<(), RunError> {
    let census = Arc::new(Census::default());
    let mut tick = tokio::time::interval(limits.tick);
    loop {
        tokio::select! {
            () = control.stopping() => break,
            _ = tick.tick() => control.heartbeat(),
            accepted = accept(&listeners) => match accepted {
                Ok((stream, remote)) => {
                    control.heartbeat();
                    begin(&service, stream, remote, &census, limits, &control);
                }
                // Of the system's making: wait until somebody has gone.
                Err(error) => {
                    service.counters.turn_away("accept");
                    warn!(event = "accept_failed", %error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
    drop(listeners);
    loop {
        let left = census.left.notified();
        tokio::pin!(left);
        left.as_mut().enable();
        if census.all.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        tokio::select! {
            () = left => {}
            _ = tick.tick() => control.heartbeat(),
        }
    }
}

/// The next connection on any listener. A peer that gave up before it was accepted is passed over.
async fn accept(listeners: &[TcpListener]) -> io::Result<(TcpStream, SocketAddr)> {
    poll_fn(|context| {
        for listener in listeners {
            loop {
                match listener.poll_accept(context) {
                    std::task::Poll::Ready(Err(error)) if is_of_the_peer(&error) => {}
                    std::task::Poll::Ready(result) => return std::task::Poll::Ready(result),
                    std::task::Poll::Pending => break,
                }
            }
        }
        std::task::Poll::Pending
    })
    .await
}

/// accept(2) passes on errors of the new connection's network.
fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, NetworkDown, NetworkUnreachable,
    };
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionReset
            | HostUnreachable
            | NetworkDown
            | NetworkUnreachable
            | io::ErrorKind::Interrupted
    )
}

fn begin(
    service: &Arc<Service>,
    stream: TcpStream,
    remote: SocketAddr,
    census: &Arc<Census>,
    limits: Limits,
    control: &Control,
) {
    let Ok(local) = stream.local_addr() else { return };
    let config = service.config.load();
    let peer = Peer::of(&config, remote, local);
    if !peer.is_served(&config) {
        service.counters.turn_away("foreign_peer");
        debug!(event = "peer_refused", address = %peer.address, "a peer that is not of this site was turned away");
        return;
    }
    let seat = match census.admit(peer.address, &limits) {
        Ok(seat) => seat,
        Err(reason) => {
            service.counters.turn_away(reason);
            debug!(event = "peer_refused", address = %peer.address, reason, "too many connections");
            return;
        }
    };
    let (service, control) = (Arc::clone(service), control.clone());
    tasks::spawn("connection", async move {
        service.counters.accepted.inc();
        service.counters.connections.inc();
        // Dropped also when the task panics or is cancelled.
        let _open = OnDrop(Some(|| {
            service.counters.connections.dec();
        }));
        serve(&service, stream, peer, limits, &control).await;
        drop(seat);
    });
}

struct OnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        if let Some(run) = self.0.take() {
            run();
        }
    }
}

type Answering = Pin<Box<dyn Future<Output = Result<Reply, std::convert::Infallible>> + Send>>;

/// One connection, from its first byte to its last.
async fn serve(service: &Arc<Service>, stream: TcpStream, peer: Peer, limits: Limits, control: &Control) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(event = "nodelay_failed", %error, "a connection is already gone");
        return;
    }
    let wire = Wire::new(stream);
    let state = wire.state();
    let answering = {
        let (service, state) = (Arc::clone(service), Arc::clone(&state));
        service_fn(move |request| -> Answering {
            Box::pin(answer(Arc::clone(&service), Arc::clone(&state), request, peer))
        })
    };
    let mut connection = http1::Builder::new()
        .half_close(true)
        .header_read_timeout(None)
        .max_headers(FIELDS_MAX + 1)
        // Also what is buffered for writing: no more than the piece that is being sent.
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(wire, answering);
    let mut tick = tokio::time::interval(limits.tick);
    let mut draining = false;
    let result = loop {
        tokio::select! {
            biased;
            result = poll_fn(|context| connection.poll_without_shutdown(context)) => break result,
            () = control.stopping(), if !draining => {
                draining = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            _ = tick.tick() => if let Some(impatience) = state.judge(&limits.patience, clock::now()) {
                if let Some(reason) = impatience.reason() {
                    service.counters.turn_away(reason);
                    debug!(event = "peer_too_slow", address = %peer.address, reason, "a connection was ended");
                }
                return;
            },
        }
    };
    match result {
        Ok(()) => connection.into_parts().io.close().await,
        Err(error) => {
            debug!(event = "connection_broken", address = %peer.address, %error, "a connection broke");
        }
    }
}

async fn answer(
    service: Arc<Service>,
    state: Arc<WireState>,
    request: Request<Incoming>,
    peer: Peer,
) -> Result<Reply, std::convert::Infallible> {
    let busy = Busy::new(&state.busy);
    let reply = service.answer(state.next_verdict(), request, peer).await;
    let (head, body) = reply.into_parts();
    Ok(Reply::from_parts(head, body.keeping(busy)))
}

#[cfg(test)]
mod tests;
