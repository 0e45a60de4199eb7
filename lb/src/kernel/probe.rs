//! Letting clients know that their connection is over.
//!
//! A connection that connection tracking has forgotten is reset at the client's next segment. A client that only waits
//! sends none: it is sent an acknowledgement from outside of its window, to which TCP answers with one of its own
//! (RFC 9293 section 3.10.7.4, RFC 5961 section 5), and that one is reset.

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

use super::compile::PROBE_MARK;

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const TCP_HEADER: usize = 20;
const TCP: u8 = 6;
/// `IPPROTO_RAW`: packets come with their IP header.
const RAW: i32 = 255;
const HOPS: u8 = 64;
const ACK: u8 = 0x10;
const SEQUENCE: u32 = 0x0fa5_051b;

/// Sends probes.
#[derive(Debug)]
pub(super) struct Prober {
    four: Option<Socket>,
    six: Option<Socket>,
}

impl Prober {
    /// Without the right to send such packets (`CAP_NET_RAW`) it sends none: clients learn at their next segment.
    pub(super) fn open() -> Self {
        let open = |domain| {
            let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(RAW)))?;
            socket.set_nonblocking(true)?;
            socket.set_mark(PROBE_MARK)?;
            Ok::<_, io::Error>(socket)
        };
        Self { four: open(Domain::IPV4).ok(), six: open(Domain::IPV6).ok() }
    }

    /// Makes `client` say where it is in its connection to `service`. Nothing comes of it if the packet is lost.
    pub(super) fn probe(&self, service: SocketAddr, client: SocketAddr) {
        let socket = if client.is_ipv4() { &self.four } else { &self.six };
        let (Some(socket), Some(packet)) = (socket, packet(service, client)) else { return };
        // The port of a raw socket's destination must be 0 for IPv6.
        let to = SocketAddr::new(client.ip(), 0);
        let _ = socket.send_to(&packet, &to.into());
    }
}

/// An acknowledgement without data from `from` to `to`; `None`: they are of different families.
///
/// Its sequence number is an arbitrary one: by chance within the receiver's window once in some thousand times, and then
/// nothing is answered.
fn packet(from: SocketAddr, to: SocketAddr) -> Option<Vec<u8>> {
    let mut tcp = [0; TCP_HEADER];
    tcp[0..2].copy_from_slice(&from.port().to_be_bytes());
    tcp[2..4].copy_from_slice(&to.port().to_be_bytes());
    tcp[4..8].copy_from_slice(&SEQUENCE.to_be_bytes());
    tcp[12] = (TCP_HEADER as u8 / 4) << 4;
    tcp[13] = ACK;
    let mut packet = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut header = [0; IPV4_HEADER];
            header[0] = 0x45;
            header[2..4].copy_from_slice(&((IPV4_HEADER + TCP_HEADER) as u16).to_be_bytes());
            header[8] = HOPS;
            header[9] = TCP;
            header[12..16].copy_from_slice(&from.octets());
            header[16..20].copy_from_slice(&to.octets());
            let sum = checksum(&[&header]);
            header[10..12].copy_from_slice(&sum);
            header.to_vec()
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let mut header = [0; IPV6_HEADER];
            header[0] = 0x60;
            header[4..6].copy_from_slice(&(TCP_HEADER as u16).to_be_bytes());
            header[6] = TCP;
            header[7] = HOPS;
            header[8..24].copy_from_slice(&from.octets());
            header[24..40].copy_from_slice(&to.octets());
            header.to_vec()
        }
        _ => return None,
    };
    let addresses = if from.is_ipv4() { &packet[12..20] } else { &packet[8..40] };
    let sum = checksum(&[addresses, &[0, TCP, 0, TCP_HEADER as u8], &tcp]);
    tcp[16..18].copy_from_slice(&sum);
    packet.extend_from_slice(&tcp);
    Some(packet)
}

/// The checksum of the Internet (RFC 1071) over parts of even length.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let words = parts.iter().flat_map(|part| part.chunks_exact(2));
    let mut sum: u32 = words.map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sum over what includes a right checksum is all ones, of which the complement is 0.
    const RIGHT: [u8; 2] = [0, 0];

    #[test]
    fn checksums_of_ipv4_are_right() {
        let packet =
            packet("192.0.2.1:6443".parse().unwrap(), "198.51.100.7:40001".parse().unwrap()).unwrap();
        assert_eq!(packet.len(), 40);
        assert_eq!(checksum(&[&packet[..20]]), RIGHT);
        assert_eq!(checksum(&[&packet[12..20], &[0, 6, 0, 20], &packet[20..]]), RIGHT);
        assert_eq!(&packet[20..24], &[0x19, 0x2b, 0x9c, 0x41], "ports");
    }

    #[test]
    fn checksums_of_ipv6_are_right() {
        let packet =
            packet("[2001:db8::1]:6443".parse().unwrap(), "[2001:db8::2]:40001".parse().unwrap()).unwrap();
        assert_eq!(packet.len(), 60);
        assert_eq!(checksum(&[&packet[8..40], &[0, 6, 0, 20], &packet[40..]]), RIGHT);
    }

    #[test]
    fn families_do_not_mix() {
        assert_eq!(packet("192.0.2.1:1".parse().unwrap(), "[2001:db8::2]:2".parse().unwrap()), None);
    }
}
