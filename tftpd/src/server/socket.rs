//! The socket of one transfer.
//!
//! It is bound to the address that was asked and takes packets from anybody, so that a stranger can be told
//! that the transfer is not theirs (RFC 1350 section 4).

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recvfrom, sendmsg_addr};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::platform;
use crate::protocol::options::blksize_of_mtu;
use crate::protocol::packet::DATA_HEADER_BYTES;

/// What one segmented send may carry, in octets: a UDP datagram less the headers.
const SEGMENTED_BYTES_MAX: usize = 65_000;
/// How many segments one send may have: the kernel's UDP_MAX_SEGMENTS.
const SEGMENTS_MAX: usize = 64;
/// Packets shorter than this, in octets, leave one by one: the kernel cuts whatever leaves a socket that it
/// segments, also an OACK or an ERROR, and those are never longer.
const SEGMENT_BYTES_MIN: usize = 512;
/// Room for packets that wait for a slow link, in octets; the kernel may give less.
const SEND_BUFFER_BYTES: usize = 1 << 20;
/// A link whose MTU the system does not tell is taken for Ethernet.
const MTU_UNKNOWN: usize = 1500;

/// One transfer's socket.
#[derive(Debug)]
pub struct TransferSocket {
    socket: UdpSocket,
    peer: SocketAddr,
    segmented: bool,
}

/// A packet at a transfer's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// How many octets of the buffer it filled.
    pub len: usize,
    /// Whether it came from the transfer's client.
    pub from_peer: bool,
    /// Where it came from.
    pub from: SocketAddr,
}

impl TransferSocket {
    /// A socket at `source` for `peer`.
    ///
    /// # Errors
    /// The system's refusal, such as that there is no descriptor left.
    pub fn new(source: Option<IpAddr>, peer: SocketAddr) -> io::Result<Self> {
        let ipv6 = peer.is_ipv6();
        let socket =
            Socket::new(Domain::for_address(peer), Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
        let source = match (source, peer) {
            (Some(IpAddr::V6(source)), SocketAddr::V6(peer)) => {
                SocketAddr::from(std::net::SocketAddrV6::new(source, 0, 0, peer.scope_id()))
            }
            (Some(source), _) => SocketAddr::new(source, 0),
            (None, SocketAddr::V4(_)) => SocketAddr::from(([0, 0, 0, 0], 0)),
            (None, SocketAddr::V6(_)) => SocketAddr::from(([0u16; 8], 0)),
        };
        socket.bind(&SockAddr::from(source))?;
        // What follows makes it better; a kernel without it serves nevertheless.
        let _ = socket.set_send_buffer_size(SEND_BUFFER_BYTES);
        let _ = platform::keep_reports(&socket, ipv6);
        let _ = platform::allow_fragments(&socket, ipv6);
        Ok(Self { socket: socket.into(), peer, segmented: false })
    }

    /// Lets the kernel cut windows into packets, where it can and where that is worth it.
    pub fn segment(&mut self, blksize: u16) {
        let bytes = blksize.saturating_add(DATA_HEADER_BYTES as u16);
        let worth_it = (SEGMENT_BYTES_MIN..=SEGMENTED_BYTES_MAX / 2).contains(&usize::from(bytes));
        self.segmented = worth_it && platform::segment(&self.socket, bytes).is_ok();
    }

    /// Sends one packet.
    ///
    /// # Errors
    /// What the system says.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        self.send_parts(&[IoSlice::new(packet)])
    }

    /// Sends DATA packets, each of which is two consecutive `parts`: its header and its block. All but the
    /// last are full.
    ///
    /// # Errors
    /// What the system says. Packets before the one that failed are sent.
    pub fn send_blocks(&mut self, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let Some(packet_bytes) = parts.get(..2).map(|first| first[0].len() + first[1].len()) else {
            return Ok(());
        };
        if self.segmented && parts.len() > 2 {
            let per_send = (SEGMENTED_BYTES_MAX / packet_bytes).clamp(1, SEGMENTS_MAX);
            let mut sent = 0;
            for chunk in parts.chunks(per_send * 2) {
                match self.send_parts(chunk) {
                    Ok(()) => sent += chunk.len(),
                    // The link cannot: its MTU shrank, or it has no checksum offload.
                    Err(error)
                        if matches!(
                            error.raw_os_error(),
                            Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE)
                        ) =>
                    {
                        self.segmented = false;
                        let _ = platform::segment(&self.socket, 0);
                        return self.send_one_by_one(&parts[sent..]);
                    }
                    Err(error) => return Err(error),
                }
            }
            return Ok(());
        }
        self.send_one_by_one(parts)
    }

    /// Takes the next packet.
    ///
    /// # Errors
    /// `WouldBlock` where there is none.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Arrival> {
        let (len, _, from) = recvfrom(&self.socket, buffer, RecvFlags::DONTWAIT)?;
        let from = from.and_then(|from| SocketAddr::try_from(from).ok());
        let from = from.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        let from_peer = from.ip() == self.peer.ip() && from.port() == self.peer.port();
        Ok(Arrival { len, from_peer, from })
    }

    /// Answers a stranger.
    pub fn reply(&self, packet: &[u8], stranger: SocketAddr) {
        // Best effort: the stranger may ask again.
        let _ = self.socket.send_to(packet, stranger);
    }

    /// Reads what the network reported: whether the client's port is closed.
    pub fn peer_is_unreachable(&self) -> bool {
        let mut closed = false;
        while let Some(report) = platform::take_report(&self.socket) {
            closed |= report.errno == libc::ECONNREFUSED && report.peer == self.peer;
        }
        closed
    }

    fn send_one_by_one(&self, parts: &[IoSlice<'_>]) -> io::Result<()> {
        parts.chunks(2).try_for_each(|packet| self.send_parts(packet))
    }

    fn send_parts(&self, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let send = || {
            sendmsg_addr(
                &self.socket,
                &self.peer,
                parts,
                &mut SendAncillaryBuffer::default(),
                SendFlags::DONTWAIT,
            )
        };
        match send() {
            Ok(_) => Ok(()),
            // A report about an earlier packet, perhaps of a stranger's, comes first: this one was not sent.
            Err(Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::INTR) => {
                send().map(drop).map_err(io::Error::from)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for TransferSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The largest block that reaches `peer` unfragmented, as far as this host knows.
pub fn blksize_max(source: Option<IpAddr>, peer: SocketAddr) -> u16 {
    let mtu = path_mtu(source, peer).unwrap_or(MTU_UNKNOWN);
    blksize_of_mtu(mtu, peer.is_ipv6())
}

fn path_mtu(source: Option<IpAddr>, peer: SocketAddr) -> io::Result<usize> {
    let socket = Socket::new(Domain::for_address(peer), Type::DGRAM.cloexec(), Some(Protocol::UDP))?;
    if let Some(source @ IpAddr::V4(_)) = source {
        socket.bind(&SockAddr::from(SocketAddr::new(source, 0)))?;
    }
    socket.connect(&SockAddr::from(peer))?;
    platform::path_mtu(&socket, peer.is_ipv6())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_leave_one_by_one_or_segmented_alike() {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        for (segmented, blksize) in [(false, 8), (true, 8), (false, 512), (true, 512)] {
            let mut socket =
                TransferSocket::new(Some("127.0.0.9".parse().unwrap()), client.local_addr().unwrap())
                    .unwrap();
            if segmented {
                socket.segment(blksize);
            }
            let block = vec![7; blksize.into()];
            let packets =
                [[&b"\0\x03\0\x01"[..], &block], [b"\0\x03\0\x02", &block], [b"\0\x03\0\x03", b"1"]];
            let parts: Vec<_> = packets.as_flattened().iter().map(|part| IoSlice::new(part)).collect();
            socket.send_blocks(&parts).unwrap();
            for expected in packets {
                let mut buffer = [0; 600];
                let (len, from) = client.recv_from(&mut buffer).unwrap();
                assert_eq!(
                    (&buffer[..len], from.ip().to_string()),
                    (&expected.concat()[..], "127.0.0.9".to_owned())
                );
            }
        }
    }

    #[test]
    fn an_oack_or_error_is_never_cut_whatever_the_block_size() {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let longest = crate::protocol::packet::error(
            crate::protocol::packet::ErrorCode::NotDefined,
            &"x".repeat(crate::protocol::packet::ERROR_TEXT_BYTES_MAX),
        );
        for blksize in [8, 32, 400, 507, 508, 1468] {
            let mut socket = TransferSocket::new(None, client.local_addr().unwrap()).unwrap();
            socket.segment(blksize);
            socket.send(&longest).unwrap();
            let mut buffer = [0; 600];
            let len = client.recv(&mut buffer).unwrap();
            assert_eq!(buffer[..len], longest, "blksize {blksize}");
        }
    }

    #[test]
    fn t31_a_stranger_s_closed_port_does_not_count_as_the_client_s() {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let socket = TransferSocket::new(None, client.local_addr().unwrap()).unwrap();
        socket.reply(b"\0\x05\0\x05\0", closed);
        socket.send(b"still here").unwrap();
        assert!(!socket.peer_is_unreachable());
        let mut buffer = [0; 100];
        assert_eq!(client.recv(&mut buffer).unwrap(), 10);
        drop(client);
        socket.send(b"gone").unwrap();
        assert!(socket.peer_is_unreachable());
    }

    #[test]
    fn the_block_fits_the_link_to_the_client() {
        assert_eq!(blksize_max(None, "127.0.0.1:9".parse().unwrap()), 65464);
    }
}
