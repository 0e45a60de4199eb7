//! The fixed part of a DHCP message (RFC 2131 section 2) and the checks that come before any meaning.

use std::fmt;
use std::net::Ipv4Addr;

use faros_common::site::Mac;

use super::options::{FramingError, Options};

/// Bytes before the options: the fixed fields and the magic cookie.
pub const HEADER_BYTES: usize = 240;

/// What tells DHCP from anything else (RFC 2131 section 3).
pub const MAGIC_COOKIE: [u8; 4] = [99, 130, 83, 99];

/// `op` of what clients send.
pub const BOOTREQUEST: u8 = 1;

/// `op` of what servers send.
pub const BOOTREPLY: u8 = 2;

/// `flags`: the client cannot receive unicast before its address is configured.
pub const FLAG_BROADCAST: u16 = 0x8000;

/// A client's hardware address with its type (`htype`, `hlen`, `chaddr`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hardware {
    /// The type from the ARP registry: 1 is Ethernet.
    pub kind: u8,
    length: u8,
    bytes: [u8; 16],
}

impl Hardware {
    /// The hardware address of type `kind` with these bytes; at most 16, more are cut.
    pub fn new(kind: u8, address: &[u8]) -> Self {
        let length = address.len().min(16);
        let mut bytes = [0; 16];
        bytes[..length].copy_from_slice(&address[..length]);
        Self { kind, length: length as u8, bytes }
    }

    /// An Ethernet card.
    pub fn ethernet(mac: Mac) -> Self {
        Self::new(1, &mac.0)
    }

    /// The address without padding; empty where the medium has none to tell (RFC 4390).
    pub fn address(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// The Ethernet address, if it is one (types 1 and 6, six bytes).
    pub fn mac(&self) -> Option<Mac> {
        match (self.kind, self.address()) {
            (1 | 6, address) => address.try_into().ok().map(Mac),
            _ => None,
        }
    }
}

impl fmt::Display for Hardware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(mac) = self.mac() {
            return fmt::Display::fmt(&mac, f);
        }
        write!(f, "{}/", self.kind)?;
        self.address().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hardware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why bytes are no message that a server could answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Shorter than [`HEADER_BYTES`].
    TooShort,
    /// No magic cookie: BOOTP of before RFC 1048, or not ours at all.
    NoCookie,
    /// `op` is not BOOTREQUEST: a reply that went to the server port, or garbage.
    NotARequest,
    /// A hardware address that no machine has: longer than its field, an Ethernet address that is not six
    /// bytes long, a group address or all zeros.
    Hardware,
    /// The options cannot be framed.
    Framing(FramingError),
}

/// A received message: fixed fields as values, the rest borrowed.
#[derive(Clone, Debug)]
pub struct Message<'p> {
    /// `htype`, `hlen` and `chaddr`.
    pub hardware: Hardware,
    /// The whole `chaddr` field, for the reply.
    pub chaddr: [u8; 16],
    /// Relays passed.
    pub hops: u8,
    /// Transaction.
    pub xid: [u8; 4],
    /// Seconds since the client began.
    pub secs: u16,
    /// See [`FLAG_BROADCAST`].
    pub flags: u16,
    /// The address the client has and can answer ARP for.
    pub ciaddr: Ipv4Addr,
    /// The relay the message came through.
    pub giaddr: Ipv4Addr,
    /// All options.
    pub options: Options<'p>,
}

impl<'p> Message<'p> {
    /// Reads what a client or relay sent.
    ///
    /// # Errors
    /// See [`Malformed`]; nothing of such a packet is believed.
    pub fn read(bytes: &'p [u8]) -> Result<Self, Malformed> {
        let (header, area) = bytes.split_at_checked(HEADER_BYTES).ok_or(Malformed::TooShort)?;
        if header[236..] != MAGIC_COOKIE {
            return Err(Malformed::NoCookie);
        }
        if header[0] != BOOTREQUEST {
            return Err(Malformed::NotARequest);
        }
        let mut chaddr = [0; 16];
        chaddr.copy_from_slice(&header[28..44]);
        let hardware = hardware(header[1], usize::from(header[2]), &chaddr).ok_or(Malformed::Hardware)?;
        let options =
            Options::frame(area, &header[108..236], &header[44..108]).map_err(Malformed::Framing)?;
        Ok(Self {
            hardware,
            chaddr,
            hops: header[3],
            xid: [header[4], header[5], header[6], header[7]],
            secs: u16::from_be_bytes([header[8], header[9]]),
            flags: u16::from_be_bytes([header[10], header[11]]),
            ciaddr: address_at(header, 12),
            giaddr: address_at(header, 24),
            options,
        })
    }

    /// Whether the client wants its replies broadcast (RFC 2131 section 4.1).
    pub fn wants_broadcast(&self) -> bool {
        self.flags & FLAG_BROADCAST != 0
    }
}

/// The hardware address of bytes that cannot be read as a message otherwise, for the record of what was
/// dropped; believed for nothing else.
pub fn suspected_hardware(bytes: &[u8]) -> Option<Hardware> {
    let chaddr: [u8; 16] = bytes.get(28..44)?.try_into().ok()?;
    hardware(bytes[1], usize::from(bytes[2]), &chaddr)
}

fn hardware(kind: u8, length: usize, chaddr: &[u8; 16]) -> Option<Hardware> {
    let address = chaddr.get(..length)?;
    let ethernet = matches!(kind, 1 | 6);
    let sound = if ethernet {
        length == 6 && address[0] & 1 == 0 && address.iter().any(|&byte| byte != 0)
    } else {
        kind != 0
    };
    sound.then(|| Hardware::new(kind, address))
}

fn address_at(header: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet() -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&[1, 1, 6, 0]);
        bytes[28..34].copy_from_slice(&[0x52, 0x54, 0, 0, 8, 0x11]);
        bytes[236..240].copy_from_slice(&MAGIC_COOKIE);
        bytes.extend([53, 1, 1, 255]);
        bytes
    }

    fn with(change: impl FnOnce(&mut Vec<u8>)) -> Option<Malformed> {
        let mut bytes = packet();
        change(&mut bytes);
        Message::read(&bytes).err()
    }

    #[test]
    fn a_sound_packet_is_read() {
        let bytes = packet();
        let message = Message::read(&bytes).unwrap();
        assert_eq!(message.hardware.mac(), Some(Mac([0x52, 0x54, 0, 0, 8, 0x11])));
    }

    #[test]
    fn d1_d2_short_packets_are_refused_at_every_length() {
        let bytes = packet();
        for length in 0..HEADER_BYTES {
            assert_eq!(Message::read(&bytes[..length]).err(), Some(Malformed::TooShort), "{length}");
        }
    }

    #[test]
    fn d3_d4_d5_wrong_cookie_and_wrong_op_are_refused() {
        assert_eq!(with(|b| b[236] = 98), Some(Malformed::NoCookie));
        for op in [0, 2, 3, 255] {
            assert_eq!(with(|b| b[0] = op), Some(Malformed::NotARequest), "op {op}");
        }
    }

    #[test]
    fn d6_d7_hardware_addresses_that_nobody_has_are_refused() {
        for (htype, hlen) in [(1, 17), (1, 255), (1, 5), (1, 16), (1, 0), (6, 8), (32, 17), (0, 6)] {
            assert_eq!(with(|b| (b[1], b[2]) = (htype, hlen)), Some(Malformed::Hardware), "{htype}/{hlen}");
        }
        assert_eq!(with(|b| b[28..34].fill(0)), Some(Malformed::Hardware));
        assert_eq!(with(|b| b[28..34].fill(0xff)), Some(Malformed::Hardware));
        assert_eq!(with(|b| b[28] = 0x01), Some(Malformed::Hardware));
        assert_eq!(with(|b| (b[1], b[2]) = (32, 0)), None, "InfiniBand has no chaddr (RFC 4390)");
    }
}
