//! Version 2: binary, with additions.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Command, HEADER_LEN_MAX, Header, Progress, Reason, Version, one_family};

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and transport, length of the rest.
const FIXED_LEN: usize = 16;
const ADDRESSES4_LEN: usize = 12;
const ADDRESSES6_LEN: usize = 36;
const ADDRESSES_UNIX_LEN: usize = 216;
const TLV_HEAD_LEN: usize = 3;
const CHECKSUM_LEN: usize = 4;

const VERSION: u8 = 0x20;
const LOCAL: u8 = 0;
const PROXY: u8 = 1;
const UNSPECIFIED: u8 = 0x00;
const TCP4: u8 = 0x11;
const UDP4: u8 = 0x12;
const TCP6: u8 = 0x21;
const UDP6: u8 = 0x22;
const UNIX_STREAM: u8 = 0x31;
const UNIX_DATAGRAM: u8 = 0x32;

/// Kinds of additions, as the protocol numbers them.
pub mod kind {
    /// The protocol agreed on by TLS (ALPN).
    pub const ALPN: u8 = 0x01;
    /// The host name that the client asked for (SNI).
    pub const AUTHORITY: u8 = 0x02;
    /// CRC-32C of the whole header.
    pub const CRC32C: u8 = 0x03;
    /// Nothing: padding.
    pub const NOOP: u8 = 0x04;
    /// An identifier of the connection, up to 128 octets.
    pub const UNIQUE_ID: u8 = 0x05;
    /// What is known of TLS on the client's side.
    pub const SSL: u8 = 0x20;
    /// The client's network namespace.
    pub const NETNS: u8 = 0x30;
}

/// An addition: type, length, value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// What it is ([`kind`]).
    pub kind: u8,
    /// Its content.
    pub value: &'a [u8],
}

/// The additions of a header, in its order. What [`super::read`] hands out is whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tlvs<'a>(&'a [u8]);

impl<'a> Iterator for Tlvs<'a> {
    type Item = Tlv<'a>;

    fn next(&mut self) -> Option<Tlv<'a>> {
        let (tlv, rest) = first_tlv(self.0)?;
        self.0 = rest;
        Some(tlv)
    }
}

/// The first addition and what follows; none where it is not whole.
fn first_tlv(bytes: &[u8]) -> Option<(Tlv<'_>, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<TLV_HEAD_LEN>()?;
    let length = usize::from(u16::from_be_bytes([head[1], head[2]]));
    let (value, rest) = rest.split_at_checked(length)?;
    Some((Tlv { kind: head[0], value }, rest))
}

pub(super) fn read(bytes: &[u8]) -> Progress<Header<'_>> {
    let common = bytes.len().min(SIGNATURE.len());
    if bytes[..common] != SIGNATURE[..common] {
        return Progress::Malformed(Reason::Absent);
    }
    // Each octet is judged as soon as it is there, so that nobody waits for the rest of what is refused anyway.
    let command = match bytes.get(12) {
        None => return Progress::Incomplete,
        Some(byte) if byte & 0xf0 != VERSION => return Progress::Malformed(Reason::Version),
        Some(byte) if byte & 0x0f == LOCAL => Command::Local,
        Some(byte) if byte & 0x0f == PROXY => Command::Proxy,
        Some(_) => return Progress::Malformed(Reason::Command),
    };
    let family = match (bytes.get(13), command) {
        (None, _) => return Progress::Incomplete,
        // Whatever family a LOCAL header names has no meaning.
        (Some(_), Command::Local) => UNSPECIFIED,
        (Some(&family @ (UNSPECIFIED | TCP4 | TCP6 | UNIX_STREAM)), _) => family,
        (Some(&(UDP4 | UDP6 | UNIX_DATAGRAM)), _) => return Progress::Malformed(Reason::Datagram),
        (Some(_), _) => return Progress::Malformed(Reason::Family),
    };
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED_LEN>() else { return Progress::Incomplete };
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    let addresses = match family {
        TCP4 => ADDRESSES4_LEN,
        TCP6 => ADDRESSES6_LEN,
        UNIX_STREAM => ADDRESSES_UNIX_LEN,
        // Nothing is told, so all of the rest is skipped.
        _ => length,
    };
    if FIXED_LEN + length > HEADER_LEN_MAX {
        return Progress::Malformed(Reason::TooLong);
    }
    if length < addresses {
        return Progress::Malformed(Reason::AddressesCut);
    }
    let Some((addresses, additions)) = rest.get(..length).and_then(|rest| rest.split_at_checked(addresses))
    else {
        return Progress::Incomplete;
    };
    let consumed = FIXED_LEN + length;
    if let Err(reason) = verify(&bytes[..consumed], additions) {
        return Progress::Malformed(reason);
    }
    let (source, destination) = endpoints(family, addresses).unzip();
    let header = Header { version: Version::V2, command, source, destination, tlvs: Tlvs(additions) };
    Progress::Complete { header, consumed }
}

/// Source and destination, where the family has such.
fn endpoints(family: u8, block: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let port = |high: u8, low: u8| u16::from_be_bytes([high, low]);
    match family {
        TCP4 => {
            let b: &[u8; ADDRESSES4_LEN] = block.first_chunk()?;
            let source = Ipv4Addr::new(b[0], b[1], b[2], b[3]);
            let destination = Ipv4Addr::new(b[4], b[5], b[6], b[7]);
            Some(((source, port(b[8], b[9])).into(), (destination, port(b[10], b[11])).into()))
        }
        TCP6 => {
            let (source, rest) = block.split_first_chunk::<16>()?;
            let (destination, ports) = rest.split_first_chunk::<16>()?;
            let ports: &[u8; 4] = ports.first_chunk()?;
            Some((
                (Ipv6Addr::from(*source), port(ports[0], ports[1])).into(),
                (Ipv6Addr::from(*destination), port(ports[2], ports[3])).into(),
            ))
        }
        _ => None,
    }
}

/// Whether the additions are whole and the checksum, where there is one, is right. `header` ends with `additions`.
fn verify(header: &[u8], additions: &[u8]) -> Result<(), Reason> {
    let mut claimed: Option<(usize, [u8; CHECKSUM_LEN])> = None;
    let mut rest = additions;
    while !rest.is_empty() {
        let (tlv, after) = first_tlv(rest).ok_or(Reason::TlvCut)?;
        if tlv.kind == kind::CRC32C {
            let sum: [u8; CHECKSUM_LEN] = tlv.value.try_into().map_err(|_| Reason::ChecksumForm)?;
            if claimed.replace((header.len() - after.len() - CHECKSUM_LEN, sum)).is_some() {
                return Err(Reason::ChecksumForm);
            }
        }
        rest = after;
    }
    let Some((at, claimed)) = claimed else { return Ok(()) };
    if checksum(header, at) == u32::from_be_bytes(claimed) { Ok(()) } else { Err(Reason::Checksum) }
}

/// CRC-32C (RFC 9260 appendix A) of `header` with zeros in place of the checksum at `at`.
fn checksum(header: &[u8], at: usize) -> u32 {
    let before = crc32c::crc32c(&header[..at]);
    let through = crc32c::crc32c_append(before, &[0; CHECKSUM_LEN]);
    crc32c::crc32c_append(through, &header[at + CHECKSUM_LEN..])
}

/// Writes the header of a connection from `source` to `destination`. Should they be of different families, both are
/// written as IPv6 addresses, mapped where need be.
pub fn write_v2(source: SocketAddr, destination: SocketAddr, out: &mut Vec<u8>) {
    write_head(source, destination, 0, out);
}

/// The same with additions, and on request a checksum of it all after them.
///
/// # Errors
/// [`Reason::TooLong`] where the header would be longer than [`HEADER_LEN_MAX`]; [`Reason::ChecksumForm`] where
/// `additions` hold a checksum of their own. Nothing is written then.
pub fn write_v2_with(
    source: SocketAddr,
    destination: SocketAddr,
    additions: &[Tlv<'_>],
    with_checksum: bool,
    out: &mut Vec<u8>,
) -> Result<(), Reason> {
    if additions.iter().any(|tlv| tlv.kind == kind::CRC32C) {
        return Err(Reason::ChecksumForm);
    }
    let mut more: usize = additions.iter().map(|tlv| TLV_HEAD_LEN + tlv.value.len()).sum();
    more += if with_checksum { TLV_HEAD_LEN + CHECKSUM_LEN } else { 0 };
    if FIXED_LEN + ADDRESSES6_LEN + more > HEADER_LEN_MAX {
        return Err(Reason::TooLong);
    }
    let start = out.len();
    // Both fit 16 bits: they are within the header, which is bounded above.
    write_head(source, destination, more as u16, out);
    for tlv in additions {
        out.push(tlv.kind);
        out.extend_from_slice(&(tlv.value.len() as u16).to_be_bytes());
        out.extend_from_slice(tlv.value);
    }
    if with_checksum {
        out.extend_from_slice(&[kind::CRC32C, 0, CHECKSUM_LEN as u8, 0, 0, 0, 0]);
        let at = out.len() - CHECKSUM_LEN;
        let sum = checksum(&out[start..], at - start);
        out[at..].copy_from_slice(&sum.to_be_bytes());
    }
    Ok(())
}

pub(super) fn write_local(out: &mut Vec<u8>) {
    out.extend_from_slice(SIGNATURE);
    out.extend_from_slice(&[VERSION | LOCAL, UNSPECIFIED, 0, 0]);
}

/// Everything up to the additions, which are `more` octets.
fn write_head(source: SocketAddr, destination: SocketAddr, more: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(SIGNATURE);
    match one_family(source, destination) {
        (SocketAddr::V4(source), SocketAddr::V4(destination)) => {
            out.extend_from_slice(&[VERSION | PROXY, TCP4]);
            out.extend_from_slice(&(ADDRESSES4_LEN as u16 + more).to_be_bytes());
            out.extend_from_slice(&source.ip().octets());
            out.extend_from_slice(&destination.ip().octets());
        }
        (source, destination) => {
            let octets = |socket: SocketAddr| match socket {
                SocketAddr::V6(v6) => v6.ip().octets(),
                SocketAddr::V4(v4) => v4.ip().to_ipv6_mapped().octets(),
            };
            out.extend_from_slice(&[VERSION | PROXY, TCP6]);
            out.extend_from_slice(&(ADDRESSES6_LEN as u16 + more).to_be_bytes());
            out.extend_from_slice(&octets(source));
            out.extend_from_slice(&octets(destination));
        }
    }
    out.extend_from_slice(&source.port().to_be_bytes());
    out.extend_from_slice(&destination.port().to_be_bytes());
}
