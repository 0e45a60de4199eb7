//! IPv4 and UDP headers made by hand, for clients that have no address yet.
//!
//! The kernel would ask for such a client by ARP, which it cannot answer; so the datagram goes into a packet
//! socket with the card's address beside it. Nobody fills in checksums on that way.

use std::net::Ipv4Addr;

const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const TTL: u8 = 64;
const PROTOCOL_UDP: u8 = 17;

/// The most payload a frame takes; more is never sent (see [`super::request::MESSAGE_BYTES_MAX`]).
pub const PAYLOAD_BYTES_MAX: usize = 1500 - IP_HEADER - UDP_HEADER;

/// An IPv4 packet with a UDP datagram from `from` to `to`, each an address and a port; longer payloads than
/// [`PAYLOAD_BYTES_MAX`] are cut.
pub fn udp_packet(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), payload: &[u8]) -> Vec<u8> {
    let payload = &payload[..payload.len().min(PAYLOAD_BYTES_MAX)];
    let udp_len = (UDP_HEADER + payload.len()) as u16;
    let mut packet = Vec::with_capacity(IP_HEADER + usize::from(udp_len));
    packet.extend([0x45, 0x10]);
    packet.extend((IP_HEADER as u16 + udp_len).to_be_bytes());
    packet.extend([0, 0, 0x40, 0, TTL, PROTOCOL_UDP, 0, 0]);
    packet.extend(from.0.octets());
    packet.extend(to.0.octets());
    let header_sum = checksum(&packet, 0);
    packet[10..12].copy_from_slice(&header_sum.to_be_bytes());

    packet.extend(from.1.to_be_bytes());
    packet.extend(to.1.to_be_bytes());
    packet.extend(udp_len.to_be_bytes());
    packet.extend([0, 0]);
    packet.extend_from_slice(payload);
    let pseudo = sum(&packet[12..20]) + u32::from(PROTOCOL_UDP) + u32::from(udp_len);
    // A sum of zero means "no checksum" in UDP over IPv4, so it goes out as its other form (RFC 768).
    let udp_sum = match checksum(&packet[IP_HEADER..], pseudo) {
        0 => 0xffff,
        sum => sum,
    };
    packet[IP_HEADER + 6..IP_HEADER + 8].copy_from_slice(&udp_sum.to_be_bytes());
    packet
}

/// The Internet checksum (RFC 1071) over `bytes`, continuing `start`.
pub fn checksum(bytes: &[u8], start: u32) -> u16 {
    let mut total = start + sum(bytes);
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    !(total as u16)
}

fn sum(bytes: &[u8]) -> u32 {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let last = rest.first().map_or(0, |&byte| u32::from(byte) << 8);
    pairs.iter().map(|&pair| u32::from(u16::from_be_bytes(pair))).sum::<u32>() + last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_checksums_verify() {
        for payload in [&b""[..], b"x", b"odd length", &[0xff; 300]] {
            let from = (Ipv4Addr::new(192, 168, 8, 1), 67);
            let to = (Ipv4Addr::new(192, 168, 8, 77), 68);
            let packet = udp_packet(from, to, payload);
            assert_eq!(checksum(&packet[..20], 0), 0, "header");
            let pseudo = sum(&packet[12..20]) + 17 + (packet.len() - 20) as u32;
            assert_eq!(checksum(&packet[20..], pseudo), 0, "datagram");
            assert_eq!(usize::from(u16::from_be_bytes([packet[2], packet[3]])), packet.len());
        }
    }
}
