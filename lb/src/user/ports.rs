//! What to do when no local port is left for a connection to a server.
//!
//! The kernel gives a port whose last connection to the same server still waits for late segments (TIME-WAIT) only to
//! those who ask for it by number, and where both sides stamp their segments (RFC 7323 section 5, RFC 6191). So we ask
//! by number, at random. For this to work the sockets that will be left waiting are marked when we send our FIN first.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::sockopt;

use super::sockets;

/// Ports tried for one attempt to connect.
const TRIES: u32 = 48;

/// Lets the port of `socket` be used again while it waits for late segments.
pub(super) fn will_wait(socket: BorrowedFd<'_>) {
    // Refused only for sockets that are no more.
    let _gone = sockopt::set_socket_reuseaddr(socket, true);
}

/// Starts to connect to `address` from a port of our choice, after the kernel has found none.
pub(super) fn connect(address: SocketAddr, mut random: impl FnMut() -> u64) -> Result<OwnedFd, Errno> {
    let (low, high) = range();
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    for _ in 0..TRIES {
        let socket = sockets::stream(address)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        let port = low + (random() % u64::from(high - low + 1)) as u16;
        match rustix::net::bind(socket.as_fd(), &SocketAddr::new(any, port)) {
            Ok(()) => {}
            Err(Errno::ADDRINUSE) => continue,
            Err(error) => return Err(error),
        }
        match rustix::net::connect(socket.as_fd(), &address) {
            Ok(()) | Err(Errno::INPROGRESS) => return Ok(socket),
            Err(Errno::ADDRNOTAVAIL | Errno::ADDRINUSE) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Errno::ADDRNOTAVAIL)
}

/// The ports that the system gives to connections.
fn range() -> (u16, u16) {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ports = text.split_ascii_whitespace().map(str::parse);
    match (ports.next(), ports.next()) {
        (Some(Ok(low)), Some(Ok(high))) if low <= high => (low, high),
        // What Linux starts with.
        _ => (32768, 60999),
    }
}
