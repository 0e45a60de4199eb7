//! What can be loaded and set: the kernel's keys, and where octets are in packets.

/// Defines an enum of the kernel's numbers.
macro_rules! numbered {
    ($(#[$outer:meta])* $name:ident, $unknown:literal: $($(#[$doc:meta])* $variant:ident = $number:literal),+ $(,)?) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum $name { $($(#[$doc])* $variant = $number),+ }

        impl $name {
            pub(in crate::netlink::nftables) fn number(self) -> u32 {
                self as u32
            }

            pub(in crate::netlink::nftables) fn from_number(
                number: u32,
            ) -> Result<Self, crate::netlink::attribute::Malformed> {
                match number {
                    $($number => Ok(Self::$variant),)+
                    _ => Err(crate::netlink::attribute::Malformed::new($unknown)),
                }
            }
        }
    };
}
pub(super) use numbered;

numbered! {
    /// Facts about a packet (`NFT_META_…`). Numbers are in the order of the machine where nothing else is said.
    MetaKey, "an unknown key of meta":
    /// Octets of the packet; 4.
    Length = 0,
    /// `ETH_P_…`, in network order; 2.
    Protocol = 1,
    /// The priority of traffic control; 4.
    Priority = 2,
    /// The mark; 4.
    Mark = 3,
    /// The index of the interface where it came in; 4.
    InterfaceIn = 4,
    /// The index of the interface where it goes out; 4.
    InterfaceOut = 5,
    /// The name of the interface where it came in, padded with NUL; 16.
    InterfaceInName = 6,
    /// The name of the interface where it goes out, padded with NUL; 16.
    InterfaceOutName = 7,
    /// `ARPHRD_…` of the interface where it came in; 2.
    InterfaceInType = 8,
    /// `ARPHRD_…` of the interface where it goes out; 2.
    InterfaceOutType = 9,
    /// The user of the sending socket; 4.
    SocketUser = 10,
    /// The group of the sending socket; 4.
    SocketGroup = 11,
    /// Whether it is traced (can be set); 1.
    Trace = 12,
    /// `NFPROTO_…`: 2 for IPv4, 10 for IPv6; 1.
    Family = 15,
    /// The protocol above IP, such as 6 for TCP; 1.
    L4Protocol = 16,
    /// The bridge port where it came in; 16.
    BridgeInName = 17,
    /// The bridge port where it goes out; 16.
    BridgeOutName = 18,
    /// `PACKET_…`: to this host, broadcast, multicast, …; 1.
    PacketType = 19,
    /// The processor; 4.
    Processor = 20,
    /// The group of the interface where it came in; 4.
    InterfaceInGroup = 21,
    /// The group of the interface where it goes out; 4.
    InterfaceOutGroup = 22,
    /// The class of the control group, version 1; 4.
    ControlGroup = 23,
    /// A random number; 4.
    Random = 24,
    /// Whether IPsec brought it; 1.
    SecurityPath = 25,
    /// Nanoseconds since 1970; 8.
    TimeNanoseconds = 30,
    /// The day of the week, from Sunday = 0; 1.
    TimeDay = 31,
    /// Seconds since midnight, UTC; 4.
    TimeOfDay = 32,
}

numbered! {
    /// Facts about a connection (`NFT_CT_…`), in the order of the machine where nothing else is said.
    ConnTrackKey, "an unknown key of ct":
    /// A bit of [`crate::netlink::nftables::ct_state`]; 4.
    State = 0,
    /// Of which direction the packet is: 0 original, 1 reply; 1.
    Direction = 1,
    /// Bits of [`crate::netlink::conntrack::Status`]; 4.
    Status = 2,
    /// The mark; 4.
    Mark = 3,
    /// The security mark; 4.
    SecurityMark = 4,
    /// Milliseconds until it is forgotten; 4.
    Expiration = 5,
    /// The name of its helper; 16.
    Helper = 6,
    /// `NFPROTO_…`; 1.
    Family = 7,
    /// The source address, in tables of one family; 4 or 16. With direction.
    Source = 8,
    /// The destination address, in tables of one family; 4 or 16. With direction.
    Destination = 9,
    /// The protocol above IP; 1. With direction.
    Protocol = 10,
    /// The source port, in network order; 2. With direction.
    SourcePort = 11,
    /// The destination port, in network order; 2. With direction.
    DestinationPort = 12,
    /// Labels; 16.
    Labels = 13,
    /// Packets; 8. Needs `net.netfilter.nf_conntrack_acct`.
    Packets = 14,
    /// Octets; 8. Needs `net.netfilter.nf_conntrack_acct`.
    Octets = 15,
    /// Octets per packet; 8.
    OctetsPerPacket = 16,
    /// The zone; 2.
    Zone = 17,
    /// Which events are told (can only be set); 4.
    EventMask = 18,
    /// The IPv4 source; 4. With direction.
    SourceIpv4 = 19,
    /// The IPv4 destination; 4. With direction.
    DestinationIpv4 = 20,
    /// The IPv6 source; 16. With direction.
    SourceIpv6 = 21,
    /// The IPv6 destination; 16. With direction.
    DestinationIpv6 = 22,
    /// Its number; 4.
    Id = 23,
}

/// A side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// As who opened it sends.
    Original,
    /// As who answers sends.
    Reply,
}

numbered! {
    /// Facts about a route (`NFT_RT_…`).
    RouteKey, "an unknown key of rt":
    /// The realm; 4.
    Realm = 0,
    /// The next hop; 4.
    NextHopIpv4 = 1,
    /// The next hop; 16.
    NextHopIpv6 = 2,
    /// The largest segment that fits, in the order of the machine; 2.
    SegmentSize = 3,
    /// Whether IPsec takes it; 1.
    IpSec = 4,
}

numbered! {
    /// From where octets of a packet are counted (`NFT_PAYLOAD_…`).
    PayloadBase, "an unknown base of payload":
    /// The header of the link.
    Link = 0,
    /// The header of IP or ARP.
    Network = 1,
    /// The header of TCP, UDP, …
    Transport = 2,
    /// What that header is of.
    Inner = 3,
}

/// Octets of a packet. A packet that does not have them does not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Payload {
    /// From where.
    pub base: PayloadBase,
    /// The first octet.
    pub offset: u32,
    /// How many.
    pub length: u32,
}

impl Payload {
    /// Octets of a header.
    pub const fn new(base: PayloadBase, offset: u32, length: u32) -> Self {
        Self { base, offset, length }
    }
    /// The IPv4 source.
    pub const IPV4_SOURCE: Self = Self::new(PayloadBase::Network, 12, 4);
    /// The IPv4 destination.
    pub const IPV4_DESTINATION: Self = Self::new(PayloadBase::Network, 16, 4);
    /// The IPv6 source.
    pub const IPV6_SOURCE: Self = Self::new(PayloadBase::Network, 8, 16);
    /// The IPv6 destination.
    pub const IPV6_DESTINATION: Self = Self::new(PayloadBase::Network, 24, 16);
    /// The source port of TCP, UDP, SCTP, …
    pub const SOURCE_PORT: Self = Self::new(PayloadBase::Transport, 0, 2);
    /// The destination port of TCP, UDP, SCTP, …
    pub const DESTINATION_PORT: Self = Self::new(PayloadBase::Transport, 2, 2);
    /// The flags of TCP.
    pub const TCP_FLAGS: Self = Self::new(PayloadBase::Transport, 13, 1);
    /// The type of ICMP and ICMPv6.
    pub const ICMP_TYPE: Self = Self::new(PayloadBase::Transport, 0, 1);
    /// The code of ICMP and ICMPv6.
    pub const ICMP_CODE: Self = Self::new(PayloadBase::Transport, 1, 1);
    /// The sender's card.
    pub const ETHERNET_SOURCE: Self = Self::new(PayloadBase::Link, 6, 6);
}

/// A checksum of the Internet kind that is corrected when octets below it change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Checksum {
    /// Where it is, from the same base as the octets.
    pub offset: u32,
    /// The checksum of the header above covers the octets too (pseudo header: addresses of IP).
    pub pseudo_header: bool,
}

numbered! {
    /// Kinds of extension headers and options (`NFT_EXTHDR_OP_…`).
    HeaderKind, "an unknown kind of extension header":
    /// Extension headers of IPv6.
    Ipv6 = 0,
    /// Options of TCP.
    TcpOption = 1,
    /// Options of IPv4.
    Ipv4Option = 2,
    /// Chunks of SCTP.
    SctpChunk = 3,
    /// Options of DCCP.
    DccpOption = 4,
}

/// Octets of an extension header or option. A packet without it does not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExtensionHeader {
    /// Which kind.
    pub kind: HeaderKind,
    /// Its number, such as 2 for the segment size of TCP.
    pub number: u8,
    /// The first octet.
    pub offset: u32,
    /// How many.
    pub length: u32,
}

impl ExtensionHeader {
    /// The largest segment (MSS) of a SYN, in network order.
    pub const TCP_SEGMENT_SIZE: Self = Self { kind: HeaderKind::TcpOption, number: 2, offset: 2, length: 2 };
}
