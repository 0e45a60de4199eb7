//! Sockets: accepting, limits, one task per connection, drain.
//!
//! The accepting loop owns the heartbeat, and judges every half second who keeps us waiting for too long. Each connection
//! is a task of its own that ends with its peer, with our patience, when its place is given to somebody else, or, while
//! draining, with its last answer. Cancelling it drops the socket.

mod connection;
mod desk;
mod first_line;
mod limits;
mod lobby;
mod seats;
#[cfg(test)]
mod tests;

pub use connection::{Answer, BodyTooLarge, Desk, Peer};
pub use desk::FrontDesk;
pub use limits::{CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS_MAX, Limits, PATIENCE};

use std::future::poll_fn;
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use faros_common::daemon::Control;
use faros_common::tasks;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use crate::metrics::Counters;
use crate::platform;
use seats::{Seat, Seats};

/// How often patience is judged, and the heart beats.
const TICK: Duration = Duration::from_millis(500);
/// From so many connections on, their memory is given back to the system once most of them are gone.
const FLOOD: usize = 256;
/// How long accepting pauses when the system is out of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(50);

/// A listening socket, and what is spoken on it.
pub struct Door {
    /// The socket.
    pub listener: TcpListener,
    /// How connections are encrypted, if they are.
    pub tls: Option<TlsAcceptor>,
}

/// Serves on `doors` until `control` says stop, then lets every connection finish its answer.
pub async fn run<D: Desk>(
    desk: Arc<D>,
    doors: Vec<Door>,
    limits: Limits,
    counters: Arc<Counters>,
    control: Control,
) {
    let seats = Seats::new(limits);
    // Most connections since the heap was last shrunk.
    let mut most = 0;
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = control.stopping() => break,
            _ = tick.tick() => {
                control.heartbeat();
                counters.turn_away_many("patience", seats.reap());
                let count = seats.count();
                most = most.max(count);
                if most >= FLOOD && count <= most / 4 {
                    platform::shrink_heap();
                    most = count;
                }
            }
            accepted = accept(&doors) => match accepted {
                Ok((door, stream, remote)) => {
                    begin(&desk, door.tls.as_ref(), stream, remote, &seats, &counters, &control);
                }
                // Of the system's making: wait until somebody has gone.
                Err(error) => {
                    counters.turn_away("accept");
                    warn!(event = "accept_failed", %error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
    drop(doors);
    loop {
        tokio::select! {
            () = seats.empty() => return,
            _ = tick.tick() => {
                control.heartbeat();
                counters.turn_away_many("patience", seats.reap());
            }
        }
    }
}

/// Serves one connection that somebody else has accepted, on a stream such as standard input and output.
pub async fn run_once<D, S>(desk: Arc<D>, stream: S)
where
    D: Desk,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let seats = Seats::new(Limits::of_process());
    let peer = Peer { address: Ipv6Addr::UNSPECIFIED.into(), tls: false };
    // The house is empty.
    let Some((seat, _)) = seats.take(peer.address) else { return };
    let (control, _switch) = Control::new();
    let mut tick = tokio::time::interval(TICK);
    let mut connection = std::pin::pin!(connection::serve(desk, stream, peer, seat, &control));
    loop {
        tokio::select! {
            () = &mut connection => return,
            _ = tick.tick() => {
                seats.reap();
            }
        }
    }
}

/// The next connection at any door. A peer that gave up before it was accepted is passed over.
async fn accept(doors: &[Door]) -> io::Result<(&Door, TcpStream, SocketAddr)> {
    poll_fn(|context| {
        for door in doors {
            loop {
                match door.listener.poll_accept(context) {
                    Poll::Ready(Err(error)) if is_of_the_peer(&error) => {}
                    Poll::Ready(Ok((stream, remote))) => return Poll::Ready(Ok((door, stream, remote))),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => break,
                }
            }
        }
        Poll::Pending
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

fn begin<D: Desk>(
    desk: &Arc<D>,
    tls: Option<&TlsAcceptor>,
    stream: TcpStream,
    remote: SocketAddr,
    seats: &Arc<Seats>,
    counters: &Arc<Counters>,
    control: &Control,
) {
    let peer = Peer { address: remote.ip().to_canonical(), tls: tls.is_some() };
    if !desk.serves(peer) {
        counters.turn_away("foreign_peer");
        debug!(event = "peer_refused", address = %peer.address, "a peer that is not of this site was turned away");
        return;
    }
    let Some((seat, displaced)) = seats.take(peer.address) else {
        counters.turn_away("connections");
        debug!(event = "peer_refused", address = %peer.address, "all places are taken by requests in work");
        return;
    };
    if displaced {
        counters.turn_away("displaced");
    }
    counters.accepted.inc();
    // Answers are written whole; waiting for more would only delay them. Where it fails the peer is gone already.
    let _ = stream.set_nodelay(true);
    let (desk, counters, control) = (Arc::clone(desk), Arc::clone(counters), control.clone());
    match tls {
        None => drop(tasks::spawn("connection", serve_plain(desk, stream, peer, seat, counters, control))),
        Some(tls) => {
            let tls = tls.clone();
            drop(tasks::spawn("connection", serve_tls(desk, tls, stream, peer, seat, counters, control)));
        }
    }
}

async fn serve_plain<D: Desk>(
    desk: Arc<D>,
    stream: TcpStream,
    peer: Peer,
    seat: Seat,
    counters: Arc<Counters>,
    control: Control,
) {
    let _open = counters.open();
    // Nothing is allocated for a peer that says nothing.
    tokio::select! {
        _ = stream.readable() => {}
        () = seat.given_up() => return,
        () = control.stopping() => return,
    }
    connection::serve(desk, stream, peer, seat, &control).await;
}

async fn serve_tls<D: Desk>(
    desk: Arc<D>,
    tls: TlsAcceptor,
    stream: TcpStream,
    peer: Peer,
    seat: Seat,
    counters: Arc<Counters>,
    control: Control,
) {
    let _open = counters.open();
    let stream = tokio::select! {
        stream = tls.accept(stream) => stream,
        () = seat.given_up() => return,
        () = control.stopping() => return,
    };
    match stream {
        Ok(stream) => connection::serve(desk, stream, peer, seat, &control).await,
        Err(error) => {
            counters.turn_away("tls_handshake");
            debug!(event = "tls_failed", address = %peer.address, %error, "a handshake did not end well");
        }
    }
}
