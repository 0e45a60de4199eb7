//! Reading captures: classic pcap files of Ethernet frames.

use std::net::Ipv4Addr;
use std::path::Path;

use faros_common::site::Mac;

/// A UDP datagram from a capture.
#[derive(Clone, Debug)]
pub struct Datagram {
    /// Where from.
    pub source: (Ipv4Addr, u16),
    /// Where to.
    pub destination: (Ipv4Addr, u16),
    /// What.
    pub payload: Vec<u8>,
}

/// All whole UDP datagrams over IPv4 in the capture at `path`. A file that ends within a record (its writer
/// was killed) gives what is before.
pub fn datagrams(path: &Path) -> Vec<Datagram> {
    let bytes = std::fs::read(path).expect("the capture is there");
    let mut rest = bytes.get(24..).unwrap_or_default();
    let mut found = Vec::new();
    while let Some(length) = rest.get(8..12) {
        let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
        let Some(frame) = rest.get(16..16 + length) else { break };
        found.extend(datagram(frame));
        rest = &rest[16 + length..];
    }
    found
}

fn datagram(frame: &[u8]) -> Option<Datagram> {
    let packet = frame.get(14..).filter(|_| frame[12..14] == [8, 0])?;
    let header = usize::from(packet.first()? & 15) * 4;
    let udp = packet.get(header..).filter(|_| packet[9] == 17)?;
    let port = |at: usize| Some(u16::from_be_bytes(udp.get(at..at + 2)?.try_into().ok()?));
    let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?));
    let length = usize::from(port(4)?);
    Some(Datagram {
        source: (address(12)?, port(0)?),
        destination: (address(16)?, port(2)?),
        payload: udp.get(8..length)?.to_vec(),
    })
}

/// The acknowledgement in `payload`, if it is one: who got which address.
pub fn dhcp_ack(payload: &[u8]) -> Option<(Mac, Ipv4Addr)> {
    let options = payload.get(240..)?;
    let acknowledged = options.windows(3).any(|option| option == [53, 1, 5]);
    let address = Ipv4Addr::from(<[u8; 4]>::try_from(payload.get(16..20)?).ok()?);
    let mac = Mac(payload.get(28..34)?.try_into().ok()?);
    (payload[0] == 2 && acknowledged && !address.is_unspecified()).then_some((mac, address))
}
