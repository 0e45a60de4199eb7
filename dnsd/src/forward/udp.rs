//! One question over UDP: a socket of its own on a random port, connected to the upstream, closed after the reply.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until};

use super::query::{Match, Mismatch, Query};
use super::random;
use super::record::Reply;
use super::vitals::Vitals;

/// Datagrams that are not the reply, after which a question goes on over TCP: somebody is guessing.
pub const MISMATCHES_MAX: u32 = 50;
/// Times that a query is sent. Between them passes twice the time each; the socket, port and id stay.
pub const SENDS_MAX: u32 = 3;
/// Random ports tried until one is free.
pub const BIND_ATTEMPTS: u32 = 32;
/// What is read of a datagram; more than is asked for (1232), no more than fits an Ethernet frame.
const DATAGRAM_BYTES: usize = 1472;

/// How it ended.
#[derive(Debug)]
pub enum Outcome {
    /// The reply, its octets, and the round trip time unless the query was sent more than once.
    Reply(Box<Reply>, Vec<u8>, Option<Duration>),
    /// The server could not read the query.
    FormatError,
    /// The reply is longer than a datagram.
    Truncated,
    /// The question came back in other letter case.
    CaseFolded,
    /// There were too many datagrams that were not the reply, or what matched could not be read.
    Suspicious,
}

/// Asks `upstream` until something comes; the caller bounds the time.
///
/// # Errors
/// What the system or the network says; [`is_local`] tells whose fault it is.
pub async fn exchange(
    upstream: SocketAddr,
    query: &Query,
    resend_after: Duration,
    vitals: &Vitals,
) -> io::Result<Outcome> {
    let socket = open(upstream)?;
    let started = Instant::now();
    socket.send(query.wire()).await?;
    vitals.sent(started);
    let (mut sends, mut mismatches) = (1, 0);
    let mut wait = resend_after;
    let mut resend_at = started + wait;
    let mut buffer = vec![0; DATAGRAM_BYTES];
    loop {
        let (length, source) = tokio::select! {
            received = socket.recv_from(&mut buffer) => received?,
            () = sleep_until(resend_at), if sends < SENDS_MAX => {
                socket.send(query.wire()).await?;
                vitals.sent(Instant::now());
                sends += 1;
                wait *= 2;
                resend_at += wait;
                continue;
            }
        };
        // A connected socket may still hold what came between bind and connect.
        let matched = if same_source(source, upstream) {
            query.matches(buffer[..length].to_vec())
        } else {
            Match::Mismatch(Mismatch::Source)
        };
        match matched {
            Match::Reply(reply, wire) => {
                let round_trip = (sends == 1).then(|| started.elapsed());
                return Ok(Outcome::Reply(reply, wire, round_trip));
            }
            Match::FormatError => return Ok(Outcome::FormatError),
            Match::Truncated => return Ok(Outcome::Truncated),
            Match::Unreadable(_) => return Ok(Outcome::Suspicious),
            Match::Mismatch(mismatch) => {
                vitals.mismatch(mismatch);
                mismatches += 1;
                if mismatch == Mismatch::Case {
                    return Ok(Outcome::CaseFolded);
                }
                if mismatches >= MISMATCHES_MAX {
                    return Ok(Outcome::Suspicious);
                }
            }
        }
    }
}

/// Whether an error is about this host's means (descriptors, memory, ports) rather than the way to the upstream.
pub fn is_local(error: &io::Error) -> bool {
    use io::ErrorKind::{AddrInUse, OutOfMemory};
    matches!(error.kind(), AddrInUse | OutOfMemory)
        || error
            .raw_os_error()
            .is_some_and(|code| matches!(code, libc::EMFILE | libc::ENFILE | libc::ENOBUFS))
}

fn same_source(source: SocketAddr, upstream: SocketAddr) -> bool {
    source.port() == upstream.port() && source.ip().to_canonical() == upstream.ip().to_canonical()
}

fn open(upstream: SocketAddr) -> io::Result<UdpSocket> {
    let any = match upstream {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let mut attempts = 0;
    let socket = loop {
        attempts += 1;
        match std::net::UdpSocket::bind(SocketAddr::new(any, random::port())) {
            Ok(socket) => break socket,
            // In use, or reserved by a policy of the host: another will do.
            Err(error)
                if attempts < BIND_ATTEMPTS
                    && matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) => {
            }
            Err(error) => return Err(error),
        }
    };
    socket.set_nonblocking(true)?;
    socket.connect(upstream)?;
    UdpSocket::from_std(socket)
}
