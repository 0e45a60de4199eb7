//! The PROXY protocol, versions 1 and 2 (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>): a header before
//! a connection's own octets that says between whom it was before a balancer took it.
//!
//! [`read`] looks at the first octets of a connection, however many have come: it is asked again from the beginning when
//! more have. A header is believed as a whole or refused as a whole; nothing is skipped to find one. Whether the peer may
//! send one at all, and what to do while it is [`Progress::Incomplete`], is the caller's.
//!
//! | | |
//! |---|---|
//! | version 1, `TCP4`, `TCP6` | read and written |
//! | version 1, `UNKNOWN` | read: no addresses; written for connections of our own |
//! | version 2, `LOCAL` | read: whatever it says is skipped; written for connections of our own |
//! | version 2, streams over IPv4 and IPv6 | read and written |
//! | version 2, unspecified, Unix stream | read: no addresses that could be used |
//! | version 2, datagrams | refused: this is a stream |
//! | version 2, CRC-32C | checked where it is there |
//! | version 2, other additions | carried along ([`Header::tlvs`]), not looked at |
//!
//! Deviation: a header of version 2 may be 65 551 octets long; beyond [`HEADER_LEN_MAX`] it is refused.

mod v1;
mod v2;

pub use v1::write_v1;
pub use v2::{Tlv, Tlvs, kind, write_v2, write_v2_with};

use std::fmt;
use std::net::SocketAddr;

/// The longest header that is read. Version 1 has 107 octets at most; of version 2 this leaves room for everything that
/// balancers add, certificates of clients included. What says that it is longer is refused at its 16th octet.
pub const HEADER_LEN_MAX: usize = 4096;

/// The two forms of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// The line of text.
    V1,
    /// The binary one.
    V2,
}

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// The sender's own, such as a health check: the connection's own addresses count.
    Local,
    /// Somebody's for whom the sender stands.
    Proxy,
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its form.
    pub version: Version,
    /// Whose connection it is.
    pub command: Command,
    /// The client; `None`: not told, and the connection's own address counts.
    pub source: Option<SocketAddr>,
    /// What the client has connected to; there whenever `source` is.
    pub destination: Option<SocketAddr>,
    /// Additions of version 2.
    pub tlvs: Tlvs<'a>,
}

/// How far a header has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<T> {
    /// It is there; the first `consumed` octets are the header, what follows is the connection's.
    Complete {
        /// The header.
        header: T,
        /// Its length.
        consumed: usize,
    },
    /// So far it may become one; never said of [`HEADER_LEN_MAX`] octets or more.
    Incomplete,
    /// It is none, whatever follows.
    Malformed(Reason),
}

/// Why octets are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// They begin like none.
    Absent,
    /// A line without its end within 107 octets.
    LineTooLong,
    /// A line that does not end in CR LF.
    LineEnd,
    /// A line with another protocol than `TCP4`, `TCP6` and `UNKNOWN`.
    Protocol,
    /// A line with too few fields, too many, or more than one blank between them.
    Fields,
    /// A field that is no address of the line's family.
    Address,
    /// A field that is no port.
    Port,
    /// A binary header of another version than 2.
    Version,
    /// A command other than LOCAL and PROXY.
    Command,
    /// An unknown combination of address family and transport.
    Family,
    /// Datagrams, on a stream.
    Datagram,
    /// A length that does not hold the addresses of its family.
    AddressesCut,
    /// Longer than [`HEADER_LEN_MAX`].
    TooLong,
    /// An addition that reaches beyond the header's end.
    TlvCut,
    /// A checksum of another size than 4, or two of them.
    ChecksumForm,
    /// A checksum that is not that of the header.
    Checksum,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 16] = [
        Self::Absent,
        Self::LineTooLong,
        Self::LineEnd,
        Self::Protocol,
        Self::Fields,
        Self::Address,
        Self::Port,
        Self::Version,
        Self::Command,
        Self::Family,
        Self::Datagram,
        Self::AddressesCut,
        Self::TooLong,
        Self::TlvCut,
        Self::ChecksumForm,
        Self::Checksum,
    ];

    /// Its name in counters and events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::LineTooLong => "line_too_long",
            Self::LineEnd => "line_end",
            Self::Protocol => "protocol",
            Self::Fields => "fields",
            Self::Address => "address",
            Self::Port => "port",
            Self::Version => "version",
            Self::Command => "command",
            Self::Family => "family",
            Self::Datagram => "datagram",
            Self::AddressesCut => "addresses_cut",
            Self::TooLong => "too_long",
            Self::TlvCut => "tlv_cut",
            Self::ChecksumForm => "checksum_form",
            Self::Checksum => "checksum",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Absent => "the connection begins without a PROXY header",
            Self::LineTooLong => "the PROXY line does not end within 107 octets",
            Self::LineEnd => "the PROXY line does not end in CR LF",
            Self::Protocol => "the PROXY line names another protocol than TCP4, TCP6 and UNKNOWN",
            Self::Fields => "the PROXY line has not the two addresses and two ports that it should have",
            Self::Address => "the PROXY line holds an address that is none of its family",
            Self::Port => "the PROXY line holds a port that is none",
            Self::Version => "the PROXY header is of another version than 1 and 2",
            Self::Command => "the PROXY header has a command other than LOCAL and PROXY",
            Self::Family => "the PROXY header has an unknown address family or transport",
            Self::Datagram => "the PROXY header speaks of datagrams, on a stream",
            Self::AddressesCut => "the PROXY header is too short for its addresses",
            Self::TooLong => "the PROXY header is longer than 4096 octets",
            Self::TlvCut => "the PROXY header has an addition beyond its end",
            Self::ChecksumForm => "the PROXY header has a checksum of the wrong size, or two",
            Self::Checksum => "the PROXY header was damaged: its checksum is wrong",
        })
    }
}

impl std::error::Error for Reason {}

/// Reads the header at the beginning of a connection from the octets that have come so far.
///
/// However they are split, the verdict is the same: one that was reached on a beginning holds for everything that begins
/// so, apart from [`Progress::Incomplete`].
pub fn read(bytes: &[u8]) -> Progress<Header<'_>> {
    match bytes.first() {
        None => Progress::Incomplete,
        Some(&first) if first == v1::SIGNATURE[0] => v1::read(bytes),
        Some(&first) if first == v2::SIGNATURE[0] => v2::read(bytes),
        Some(_) => Progress::Malformed(Reason::Absent),
    }
}

/// Writes the header of a connection of our own, such as a health check.
pub fn write_local(version: Version, out: &mut Vec<u8>) {
    match version {
        Version::V1 => out.extend_from_slice(b"PROXY UNKNOWN\r\n"),
        Version::V2 => v2::write_local(out),
    }
}

/// Source and destination as addresses of one family: IPv4 where both are, if need be taken out of their mapped form
/// (RFC 4291 section 2.5.5.2); otherwise both IPv6, mapped where they are not.
fn one_family(source: SocketAddr, destination: SocketAddr) -> (SocketAddr, SocketAddr) {
    let canonical = |socket: SocketAddr| SocketAddr::new(socket.ip().to_canonical(), socket.port());
    let mapped = |socket: SocketAddr| match socket {
        SocketAddr::V4(v4) => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
        SocketAddr::V6(v6) => SocketAddr::new((*v6.ip()).into(), v6.port()),
    };
    let (plain_source, plain_destination) = (canonical(source), canonical(destination));
    match (plain_source, plain_destination) {
        (SocketAddr::V4(_), SocketAddr::V4(_)) => (plain_source, plain_destination),
        _ => (mapped(source), mapped(destination)),
    }
}

#[cfg(test)]
mod tests;
