//! Types of keys and values of sets, and how they are written side by side.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The type of a key or value. The kernel only compares octets; the type tells `nft` how to show them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataType {
    /// 1 octet, `NFPROTO_…`.
    Family,
    /// A number of so many octets, in the order of the machine, as numgen and hashes make it (4).
    Integer(u32),
    /// 4 octets.
    Ipv4Address,
    /// 16 octets.
    Ipv6Address,
    /// 6 octets.
    EthernetAddress,
    /// 1 octet, such as 6 for TCP.
    InetProtocol,
    /// 2 octets: a port.
    InetService,
    /// 4 octets in the order of the machine.
    Mark,
    /// 4 octets in the order of the machine.
    InterfaceIndex,
    /// 16 octets, padded with NUL: [`interface_name`].
    InterfaceName,
    /// 4 octets in the order of the machine: [`super::ct_state`].
    ConnTrackState,
    /// Another one.
    Other {
        /// Its number in `nft`.
        number: u32,
        /// Its octets.
        octets: u32,
    },
}

/// How many bits of the number of a concatenation one type takes.
const CONCATENATION_BITS: u32 = 6;
/// What the kernel keeps in one register of a concatenation.
const WORD_OCTETS: usize = 4;

impl DataType {
    /// Its number in `nft`.
    pub fn number(self) -> u32 {
        match self {
            Self::Family => 2,
            Self::Integer(_) => 4,
            Self::Ipv4Address => 7,
            Self::Ipv6Address => 8,
            Self::EthernetAddress => 9,
            Self::InetProtocol => 12,
            Self::InetService => 13,
            Self::Mark => 19,
            Self::InterfaceIndex => 20,
            Self::ConnTrackState => 26,
            Self::InterfaceName => 41,
            Self::Other { number, .. } => number,
        }
    }

    /// How many octets it has.
    pub fn octets(self) -> u32 {
        match self {
            Self::Family | Self::InetProtocol => 1,
            Self::InetService => 2,
            Self::Ipv4Address | Self::Mark | Self::InterfaceIndex | Self::ConnTrackState => 4,
            Self::EthernetAddress => 6,
            Self::Ipv6Address | Self::InterfaceName => 16,
            Self::Integer(octets) | Self::Other { octets, .. } => octets,
        }
    }

    /// Whether its octets are in the order of the machine.
    pub(super) fn is_in_host_order(self) -> bool {
        matches!(
            self,
            Self::Integer(_) | Self::Mark | Self::InterfaceIndex | Self::InterfaceName | Self::ConnTrackState
        )
    }

    /// The type of this number and length.
    pub fn from_number(number: u32, octets: u32) -> Self {
        let known = [
            Self::Family,
            Self::Integer(octets),
            Self::Ipv4Address,
            Self::Ipv6Address,
            Self::EthernetAddress,
            Self::InetProtocol,
            Self::InetService,
            Self::Mark,
            Self::InterfaceIndex,
            Self::ConnTrackState,
            Self::InterfaceName,
        ];
        let matching = known.into_iter().find(|known| known.number() == number && known.octets() == octets);
        matching.unwrap_or(Self::Other { number, octets })
    }

    /// The number that `nft` gives these types side by side.
    pub(super) fn concatenation(types: &[Self]) -> u32 {
        types.iter().fold(0, |number, part| number.wrapping_shl(CONCATENATION_BITS) | part.number())
    }

    /// How many octets these types have side by side.
    pub(super) fn total(types: &[Self]) -> u32 {
        match types {
            [only] => only.octets(),
            several => several.iter().map(|part| part.octets().next_multiple_of(WORD_OCTETS as u32)).sum(),
        }
    }

    /// Takes a number and a length of the kernel apart. Lengths within a concatenation follow from the types.
    pub(super) fn parts(number: u32, octets: u32) -> Vec<Self> {
        let single = number >> CONCATENATION_BITS == 0;
        if single {
            return vec![Self::from_number(number, octets)];
        }
        let mut parts = Vec::new();
        let mut rest = number;
        while rest != 0 {
            let number = rest & ((1 << CONCATENATION_BITS) - 1);
            let sizes = [1, 2, 4, 6, 16].map(|octets| Self::from_number(number, octets));
            let known = sizes.into_iter().find(|part| !matches!(part, Self::Other { .. } | Self::Integer(_)));
            parts.push(known.unwrap_or(Self::Other { number, octets: WORD_OCTETS as u32 }));
            rest >>= CONCATENATION_BITS;
        }
        parts.reverse();
        parts
    }
}

/// Writes a key or value: one field as it is, several side by side, each padded to whole words.
///
/// ```
/// use faros_common::netlink::nftables::Key;
///
/// let octets = Key::new().address([192, 0, 2, 1].into()).port(6443).build();
/// assert_eq!(octets, [192, 0, 2, 1, 0x19, 0x2b, 0, 0]);
/// assert_eq!(Key::new().port(6443).build(), [0x19, 0x2b]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key {
    bytes: Vec<u8>,
    last: usize,
    fields: usize,
}

impl Key {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A field of these octets.
    #[must_use]
    pub fn octets(mut self, octets: &[u8]) -> Self {
        self.bytes.resize(self.bytes.len().next_multiple_of(WORD_OCTETS), 0);
        self.bytes.extend_from_slice(octets);
        self.last = octets.len();
        self.fields += 1;
        self
    }

    /// An address: 4 or 16 octets.
    #[must_use]
    pub fn address(self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => self.octets(&v4.octets()),
            IpAddr::V6(v6) => self.octets(&v6.octets()),
        }
    }

    /// A port.
    #[must_use]
    pub fn port(self, port: u16) -> Self {
        self.octets(&port.to_be_bytes())
    }

    /// A protocol above IP.
    #[must_use]
    pub fn protocol(self, protocol: u8) -> Self {
        self.octets(&[protocol])
    }

    /// A number of four octets in the order of the machine: marks, indices, what numgen and hashes make.
    #[must_use]
    pub fn number(self, number: u32) -> Self {
        self.octets(&number.to_ne_bytes())
    }

    /// The name of an interface.
    #[must_use]
    pub fn interface(self, name: &str) -> Self {
        self.octets(&interface_name(name))
    }

    /// The octets.
    pub fn build(mut self) -> Vec<u8> {
        if self.fields > 1 {
            self.bytes.resize(self.bytes.len().next_multiple_of(WORD_OCTETS), 0);
        }
        self.bytes
    }
}

/// A name of an interface as it is in registers and sets: 16 octets, padded with NUL. What is beyond the 15th octet is
/// no name of an interface and is cut off.
pub fn interface_name(name: &str) -> [u8; 16] {
    let mut padded = [0; 16];
    let length = name.len().min(15);
    padded[..length].copy_from_slice(&name.as_bytes()[..length]);
    padded
}

/// The address of 4 or 16 octets of a key or value; `None` for another length.
pub(super) fn address(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?).into()),
        _ => None,
    }
}
