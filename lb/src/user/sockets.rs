//! The sockets of both legs: how they are made, set and ended, and what their errors mean.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};
use socket2::{SockRef, TcpKeepalive};

use crate::pool::{ConnectFailure, Settings};

/// How long a quiet connection is left alone until the peer is asked whether it is still there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
/// Time between two such questions.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
/// Unanswered questions after which the peer is held to be gone.
const KEEPALIVE_TRIES: u32 = 3;
/// How long sent octets may stay unacknowledged until the peer is held to be gone (RFC 5482).
const USER_TIMEOUT: Duration = Duration::from_secs(60);
/// Octets not yet sent that the kernel takes for a peer that reads slowly: enough for a turn of the loop.
const NOT_SENT_MAX: u32 = 256 * 1024;
/// What the kernel keeps of a long stream until the other side takes it. The kernel doubles it for its own needs.
const RECEIVE_BUFFER: usize = 256 * 1024;

/// Flags of every socket made or accepted here.
pub(super) const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

/// Sets a listening socket up; what it accepts inherits all of it, so that no connection pays for it.
/// The first error is given back, the rest is set nevertheless.
pub(super) fn prepare_listener(listener: &TcpListener, settings: &Settings) -> io::Result<()> {
    let socket = SockRef::from(listener);
    listener
        .set_nonblocking(true)
        .and(socket.set_tcp_nodelay(true))
        .and(keep_alive(listener.as_fd()))
        .and(socket.set_tcp_notsent_lowat(NOT_SENT_MAX))
        .and(congestion(listener.as_fd(), settings))
}

/// Has the kernel find out when the peer is gone, even if nothing is to be sent.
pub(super) fn keep_alive(socket: BorrowedFd<'_>) -> io::Result<()> {
    let socket = SockRef::from(&socket);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY)
        .with_retries(KEEPALIVE_TRIES);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))
}

/// Lets a peer that answers but does not read (RFC 9293 section 3.8.6.1) take as long as it likes, or not.
pub(super) fn be_patient(socket: BorrowedFd<'_>, patient: bool) -> io::Result<()> {
    // An option of 0 stands for the system's own rule, which counts probes without an answer.
    SockRef::from(&socket).set_tcp_user_timeout(Some(if patient { Duration::ZERO } else { USER_TIMEOUT }))
}

/// Sets the algorithm of congestion control that the settings ask for.
pub(super) fn congestion(socket: BorrowedFd<'_>, settings: &Settings) -> io::Result<()> {
    match &settings.congestion {
        Some(name) => Ok(sockopt::set_tcp_congestion(socket, name)?),
        None => Ok(()),
    }
}

/// Bounds what the kernel holds of a long stream, on the socket that it comes from and the one that it goes to.
pub(super) fn bound_memory(source: BorrowedFd<'_>, sink: BorrowedFd<'_>) -> io::Result<()> {
    sockopt::set_socket_recv_buffer_size(source, RECEIVE_BUFFER)?;
    SockRef::from(&sink).set_tcp_notsent_lowat(NOT_SENT_MAX)
}

/// A socket for a connection to `address`.
pub(super) fn stream(address: SocketAddr) -> rustix::io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    rustix::net::socket_with(family, SocketType::STREAM, FLAGS, Some(ipproto::TCP))
}

/// Lets the last step of connecting, the acknowledgement, wait for the client's first octets, so that the server wakes
/// once for both. Only where the client speaks first: it waits for up to 200 ms.
pub(super) fn await_client(socket: BorrowedFd<'_>) {
    // Refused, it goes out by itself.
    let _at_once = sockopt::set_tcp_quickack(socket, false);
}

/// Has the coming close reset the connection instead of ending it in order.
pub(super) fn reset_on_close(socket: BorrowedFd<'_>) {
    // A socket that refuses is gone already.
    let _gone = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
}

/// The error that waits on a socket, if any; asking takes it away.
pub(super) fn pending_error(socket: BorrowedFd<'_>) -> Option<Errno> {
    match sockopt::socket_error(socket) {
        Ok(Ok(())) => None,
        Ok(Err(error)) | Err(error) => Some(error),
    }
}

/// Octets that the peer has not acknowledged yet.
pub(super) fn unsent(socket: BorrowedFd<'_>) -> u64 {
    crate::platform::unacknowledged_octets(socket).unwrap_or(0)
}

/// What a failed attempt to connect says.
pub(super) fn connect_failure(error: Errno) -> ConnectFailure {
    match error {
        Errno::CONNREFUSED | Errno::CONNRESET => ConnectFailure::Refused,
        Errno::TIMEDOUT => ConnectFailure::TimedOut,
        error if is_shortage(error) => ConnectFailure::Local,
        Errno::ADDRNOTAVAIL | Errno::AGAIN | Errno::ADDRINUSE => ConnectFailure::Local,
        _ => ConnectFailure::Unreachable,
    }
}

/// Whether this host has run out of something.
pub(super) fn is_shortage(error: Errno) -> bool {
    matches!(error, Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
}

/// Whether the error of an established connection is a reset by the peer; else the peer has vanished.
pub(super) fn is_reset(error: Errno) -> bool {
    matches!(error, Errno::CONNRESET | Errno::PIPE | Errno::CONNABORTED | Errno::NOTCONN)
}
