//! A connection, as the kernel tracks it.

use std::net::IpAddr;
use std::time::Duration;

use super::kind;
use crate::netlink::attribute::{Attribute, Attributes, Builder, Malformed};
use crate::netlink::nftables::Counters;

/// Addresses and ports of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// Who sends.
    pub source: IpAddr,
    /// Who receives.
    pub destination: IpAddr,
    /// The protocol above IP: 6 TCP, 17 UDP, …
    pub protocol: u8,
    /// The sender's port; of ICMP: the number of the echo.
    pub source_port: u16,
    /// The receiver's port; of ICMP: type and code.
    pub destination_port: u16,
}

/// What the kernel knows of a connection (`IPS_…`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Status(pub u32);

impl Status {
    /// Another connection has announced it.
    pub const EXPECTED: u32 = 0x1;
    /// Both sides have sent.
    pub const SEEN_REPLY: u32 = 0x2;
    /// It is not forgotten early where room is short.
    pub const ASSURED: u32 = 0x4;
    /// Its first packet has left this host.
    pub const CONFIRMED: u32 = 0x8;
    /// Its source is translated.
    pub const SOURCE_NAT: u32 = 0x10;
    /// Its destination is translated.
    pub const DESTINATION_NAT: u32 = 0x20;
    /// It is being forgotten.
    pub const DYING: u32 = 0x200;

    /// Whether all of these bits are set.
    pub fn has(self, bits: u32) -> bool {
        self.0 & bits == bits
    }
}

/// How far a TCP connection is (`TCP_CONNTRACK_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TcpState {
    /// Nothing yet.
    None = 0,
    /// A SYN was sent.
    SynSent = 1,
    /// It was answered.
    SynReceived = 2,
    /// It is open.
    Established = 3,
    /// One side has closed.
    FinWait = 4,
    /// That was acknowledged.
    CloseWait = 5,
    /// Both sides have closed.
    LastAck = 6,
    /// All is acknowledged.
    TimeWait = 7,
    /// It was reset, or is over.
    Close = 8,
    /// Both sides have sent a SYN.
    SynSent2 = 9,
}

impl TcpState {
    fn from_number(number: u8) -> Option<Self> {
        let all = [
            Self::None,
            Self::SynSent,
            Self::SynReceived,
            Self::Established,
            Self::FinWait,
            Self::CloseWait,
            Self::LastAck,
            Self::TimeWait,
            Self::Close,
            Self::SynSent2,
        ];
        all.get(usize::from(number)).copied()
    }
}

/// A connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// As who opened it sends, before translation.
    pub original: Tuple,
    /// As who answers sends: its source is the translated destination.
    pub reply: Tuple,
    /// What the kernel knows.
    pub status: Status,
    /// The mark.
    pub mark: u32,
    /// The zone.
    pub zone: u16,
    /// How far it is, of TCP.
    pub tcp_state: Option<TcpState>,
    /// In how long it is forgotten, if nothing comes.
    pub timeout: Option<Duration>,
    /// What was sent, where `net.netfilter.nf_conntrack_acct` is on.
    pub sent: Option<Counters>,
    /// What was answered, where `net.netfilter.nf_conntrack_acct` is on.
    pub answered: Option<Counters>,
    /// The kernel's number.
    pub id: Option<u32>,
}

mod tuple_kind {
    pub(super) const IP: u16 = 1;
    pub(super) const PROTOCOL: u16 = 2;
    pub(super) const IPV4_SOURCE: u16 = 1;
    pub(super) const IPV4_DESTINATION: u16 = 2;
    pub(super) const IPV6_SOURCE: u16 = 3;
    pub(super) const IPV6_DESTINATION: u16 = 4;
    pub(super) const NUMBER: u16 = 1;
    pub(super) const SOURCE_PORT: u16 = 2;
    pub(super) const DESTINATION_PORT: u16 = 3;
    pub(super) const ICMP_ID: u16 = 4;
    pub(super) const ICMP_TYPE: u16 = 5;
    pub(super) const ICMP_CODE: u16 = 6;
    pub(super) const ICMPV6_ID: u16 = 7;
    pub(super) const ICMPV6_TYPE: u16 = 8;
    pub(super) const ICMPV6_CODE: u16 = 9;
}

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const TCP_INFO: u16 = 1;
const TCP_STATE: u16 = 1;
const COUNTER_PACKETS: u16 = 1;
const COUNTER_OCTETS: u16 = 2;

impl Tuple {
    pub(super) fn encode(&self, kind: u16, into: &mut Builder) {
        use tuple_kind as part;
        into.nest(kind, |tuple| {
            tuple.nest(part::IP, |ip| match (self.source, self.destination) {
                (IpAddr::V4(source), IpAddr::V4(destination)) => {
                    ip.bytes(part::IPV4_SOURCE, &source.octets());
                    ip.bytes(part::IPV4_DESTINATION, &destination.octets());
                }
                (source, destination) => {
                    let octets = |address| match address {
                        IpAddr::V6(v6) => v6.octets(),
                        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                    };
                    ip.bytes(part::IPV6_SOURCE, &octets(source));
                    ip.bytes(part::IPV6_DESTINATION, &octets(destination));
                }
            });
            tuple.nest(part::PROTOCOL, |protocol| {
                protocol.u8(part::NUMBER, self.protocol);
                let [icmp_type, icmp_code] = self.destination_port.to_be_bytes();
                let icmp = match self.protocol {
                    ICMP => Some([part::ICMP_ID, part::ICMP_TYPE, part::ICMP_CODE]),
                    ICMPV6 => Some([part::ICMPV6_ID, part::ICMPV6_TYPE, part::ICMPV6_CODE]),
                    _ => None,
                };
                match icmp {
                    Some([id, kind, code]) => {
                        protocol.u16_be(id, self.source_port);
                        protocol.u8(kind, icmp_type);
                        protocol.u8(code, icmp_code);
                    }
                    None => {
                        protocol.u16_be(part::SOURCE_PORT, self.source_port);
                        protocol.u16_be(part::DESTINATION_PORT, self.destination_port);
                    }
                }
            });
        });
    }

    fn decode(tuple: Attribute<'_>) -> Result<Self, Malformed> {
        use tuple_kind as part;
        let fields = tuple.nested().fields()?;
        let ip = fields.need(part::IP, "a connection without addresses")?.nested().fields()?;
        let protocol = fields.need(part::PROTOCOL, "a connection without a protocol")?.nested().fields()?;
        let either = |v4, v6| {
            let address = ip.get(v4).or(ip.get(v6));
            address.ok_or(Malformed::new("a connection with half its addresses"))?.address()
        };
        let number = protocol.need(part::NUMBER, "a connection without a protocol")?.u8()?;
        let (source_port, destination_port) = if let Some(id) = protocol.u16_be(part::ICMP_ID)? {
            let parts = (protocol.u8(part::ICMP_TYPE)?, protocol.u8(part::ICMP_CODE)?);
            (id, u16::from_be_bytes([parts.0.unwrap_or_default(), parts.1.unwrap_or_default()]))
        } else if let Some(id) = protocol.u16_be(part::ICMPV6_ID)? {
            let parts = (protocol.u8(part::ICMPV6_TYPE)?, protocol.u8(part::ICMPV6_CODE)?);
            (id, u16::from_be_bytes([parts.0.unwrap_or_default(), parts.1.unwrap_or_default()]))
        } else {
            let port = |kind| Ok(protocol.u16_be(kind)?.unwrap_or_default());
            (port(part::SOURCE_PORT)?, port(part::DESTINATION_PORT)?)
        };
        Ok(Self {
            source: either(part::IPV4_SOURCE, part::IPV6_SOURCE)?,
            destination: either(part::IPV4_DESTINATION, part::IPV6_DESTINATION)?,
            protocol: number,
            source_port,
            destination_port,
        })
    }
}

impl Flow {
    pub(super) fn decode(attributes: Attributes<'_>) -> Result<Self, Malformed> {
        let fields = attributes.fields()?;
        let counters = |kind| {
            let counters = fields.get(kind).map(|counters| counters.nested().fields()).transpose()?;
            counters.map_or(Ok(None), |counters| {
                let packets = counters.u64_be(COUNTER_PACKETS)?.unwrap_or_default();
                Ok(Some(Counters { packets, octets: counters.u64_be(COUNTER_OCTETS)?.unwrap_or_default() }))
            })
        };
        Ok(Self {
            original: Tuple::decode(fields.need(kind::ORIGINAL, "a connection without its tuple")?)?,
            reply: Tuple::decode(fields.need(kind::REPLY, "a connection without its reply tuple")?)?,
            status: Status(fields.u32_be(kind::STATUS)?.unwrap_or_default()),
            mark: fields.u32_be(kind::MARK)?.unwrap_or_default(),
            zone: fields.u16_be(kind::ZONE)?.unwrap_or_default(),
            tcp_state: fields.get(kind::PROTOCOL_INFO).map_or(Ok(None), tcp_state)?,
            timeout: fields.u32_be(kind::TIMEOUT)?.map(|seconds| Duration::from_secs(seconds.into())),
            sent: counters(kind::COUNTERS_ORIGINAL)?,
            answered: counters(kind::COUNTERS_REPLY)?,
            id: fields.u32_be(kind::ID)?,
        })
    }
}

fn tcp_state(info: Attribute<'_>) -> Result<Option<TcpState>, Malformed> {
    let Some(tcp) = info.nested().fields()?.get(TCP_INFO) else { return Ok(None) };
    let state = tcp.nested().fields()?.u8(TCP_STATE)?;
    Ok(state.and_then(TcpState::from_number))
}
