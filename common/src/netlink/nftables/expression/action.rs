//! Steps that decide, translate, answer and tell.

use super::keys::numbered;
use super::register::{Data, VERDICT_REGISTER, encode_value, encode_verdict};
use super::selector::register_if_any;
use super::{Expression, Register};
use crate::netlink::attribute::{Builder, Fields, Malformed};

numbered! {
    /// What is translated (`NFT_NAT_…`).
    NatKind, "an unknown type of nat":
    /// The source: hooks postrouting and input.
    Source = 0,
    /// The destination: hooks prerouting and output.
    Destination = 1,
}

/// How addresses and ports are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NatFlags {
    /// Ports at random, by hash.
    pub random: bool,
    /// Ports at random, fully.
    pub fully_random: bool,
    /// The same address for the same client.
    pub persistent: bool,
    /// Prefix to prefix: the rest of the address stays.
    pub prefix: bool,
}

const RANDOM: u32 = 4;
const PERSISTENT: u32 = 8;
const FULLY_RANDOM: u32 = 16;
const PREFIX: u32 = 64;

impl NatFlags {
    fn number(self) -> u32 {
        let flag = |set: bool, flag: u32| if set { flag } else { 0 };
        flag(self.random, RANDOM)
            | flag(self.fully_random, FULLY_RANDOM)
            | flag(self.persistent, PERSISTENT)
            | flag(self.prefix, PREFIX)
    }

    /// What the kernel adds for itself (that there is an address, that there is a port) is left out.
    fn from_number(number: u32) -> Self {
        Self {
            random: number & RANDOM != 0,
            fully_random: number & FULLY_RANDOM != 0,
            persistent: number & PERSISTENT != 0,
            prefix: number & PREFIX != 0,
        }
    }
}

/// A translation of addresses and ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nat {
    /// What is translated.
    pub kind: NatKind,
    /// Of which IP the address is: 2 for IPv4, 10 for IPv6. In a table of both, the rule must have looked before.
    pub family: u8,
    /// The register with the (first) address, and with the last one.
    pub addresses: Option<(Register, Option<Register>)>,
    /// The register with the (first) port, and with the last one.
    pub ports: Option<(Register, Option<Register>)>,
    /// How they are chosen.
    pub flags: NatFlags,
}

/// An answer to a packet that is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reject {
    /// A reset; TCP only.
    TcpReset,
    /// "Destination unreachable" of the packet's own ICMP, with its code (3: port unreachable in IPv4, 4 in IPv6).
    Icmp(u8),
    /// The same for both kinds of IP: 0 no route, 1 port unreachable, 2 host unreachable, 3 prohibited.
    IcmpAny(u8),
}

numbered! {
    /// How grave a line in the kernel's log is.
    LogLevel, "an unknown level of log":
    /// 0.
    Emergency = 0,
    /// 1.
    Alert = 1,
    /// 2.
    Critical = 2,
    /// 3.
    Error = 3,
    /// 4.
    Warning = 4,
    /// 5.
    Notice = 5,
    /// 6.
    Info = 6,
    /// 7.
    Debug = 7,
    /// To the audit system.
    Audit = 8,
}

/// Whom a packet is told to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LogTo {
    /// The kernel's log.
    Kernel {
        /// What the line begins with: at most 127 octets.
        prefix: Option<String>,
        /// How grave.
        level: LogLevel,
        /// `NF_LOG_…`: what of the packet is in the line.
        flags: u32,
    },
    /// User space that listens to a group (`NETLINK_NETFILTER`, log).
    Group {
        /// Which group.
        group: u16,
        /// What it is told along: at most 127 octets.
        prefix: Option<String>,
        /// How many octets of the packet; 0: all.
        octets: u32,
        /// How many packets are gathered before it is told; 0: the listener says.
        threshold: u16,
    },
}

/// How SYNs are answered with cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SynProxy {
    /// The largest segment, as servers announce it.
    pub segment_size: u16,
    /// The window scale of the servers: at most 14.
    pub window_scale: u8,
    /// Bits of `NF_SYNPROXY_OPT_…`: 1 segment size, 2 window scale, 4 selective acknowledgements, 8 time stamps.
    pub flags: u32,
}

mod immediate {
    pub(super) const INTO: u16 = 1;
    pub(super) const DATA: u16 = 2;
}

mod nat {
    pub(super) const KIND: u16 = 1;
    pub(super) const FAMILY: u16 = 2;
    pub(super) const ADDRESS_FIRST: u16 = 3;
    pub(super) const ADDRESS_LAST: u16 = 4;
    pub(super) const PORT_FIRST: u16 = 5;
    pub(super) const PORT_LAST: u16 = 6;
    pub(super) const FLAGS: u16 = 7;
}

mod masq {
    pub(super) const FLAGS: u16 = 1;
    pub(super) const PORT_FIRST: u16 = 2;
    pub(super) const PORT_LAST: u16 = 3;
}

mod redir {
    pub(super) const PORT_FIRST: u16 = 1;
    pub(super) const PORT_LAST: u16 = 2;
    pub(super) const FLAGS: u16 = 3;
}

mod reject {
    pub(super) const KIND: u16 = 1;
    pub(super) const CODE: u16 = 2;
    pub(super) const ICMP: u32 = 0;
    pub(super) const RESET: u32 = 1;
    pub(super) const ICMP_ANY: u32 = 2;
}

mod log {
    pub(super) const GROUP: u16 = 1;
    pub(super) const PREFIX: u16 = 2;
    pub(super) const OCTETS: u16 = 3;
    pub(super) const THRESHOLD: u16 = 4;
    pub(super) const LEVEL: u16 = 5;
    pub(super) const FLAGS: u16 = 6;
}

mod synproxy {
    pub(super) const SEGMENT_SIZE: u16 = 1;
    pub(super) const WINDOW_SCALE: u16 = 2;
    pub(super) const FLAGS: u16 = 3;
}

mod queue {
    pub(super) const FIRST: u16 = 1;
    pub(super) const COUNT: u16 = 2;
    pub(super) const FLAGS: u16 = 3;
    pub(super) const FROM: u16 = 4;
    pub(super) const BYPASS: u16 = 1;
    pub(super) const FANOUT: u16 = 2;
}

mod tproxy {
    pub(super) const FAMILY: u16 = 1;
    pub(super) const ADDRESS: u16 = 2;
    pub(super) const PORT: u16 = 3;
}

pub(super) fn encode(expression: &Expression, to: &mut Builder) {
    match expression {
        Expression::Immediate { into, value } => {
            to.u32_be(immediate::INTO, into.number());
            encode_value(immediate::DATA, value, to);
        }
        Expression::Verdict(verdict) => {
            to.u32_be(immediate::INTO, VERDICT_REGISTER);
            encode_verdict(immediate::DATA, verdict, to);
        }
        Expression::Nat(wanted) => {
            to.u32_be(nat::KIND, wanted.kind.number());
            to.u32_be(nat::FAMILY, u32::from(wanted.family));
            encode_span(wanted.addresses, nat::ADDRESS_FIRST, nat::ADDRESS_LAST, to);
            encode_span(wanted.ports, nat::PORT_FIRST, nat::PORT_LAST, to);
            encode_flags(nat::FLAGS, wanted.flags, to);
        }
        Expression::Masquerade { flags, ports } => {
            encode_flags(masq::FLAGS, *flags, to);
            encode_span(*ports, masq::PORT_FIRST, masq::PORT_LAST, to);
        }
        Expression::Redirect { flags, ports } => {
            encode_span(*ports, redir::PORT_FIRST, redir::PORT_LAST, to);
            encode_flags(redir::FLAGS, *flags, to);
        }
        Expression::Reject(answer) => {
            let (kind, code) = match answer {
                Reject::Icmp(code) => (reject::ICMP, *code),
                Reject::TcpReset => (reject::RESET, 0),
                Reject::IcmpAny(code) => (reject::ICMP_ANY, *code),
            };
            to.u32_be(reject::KIND, kind);
            to.u8(reject::CODE, code);
        }
        Expression::Log(wanted) => encode_log(wanted, to),
        Expression::SynProxy(wanted) => {
            to.u16_be(synproxy::SEGMENT_SIZE, wanted.segment_size);
            to.u8(synproxy::WINDOW_SCALE, wanted.window_scale);
            to.u32_be(synproxy::FLAGS, wanted.flags);
        }
        Expression::Queue { first, count, bypass, fanout } => {
            to.u16_be(queue::FIRST, *first);
            to.u16_be(queue::COUNT, *count);
            let bypass = if *bypass { queue::BYPASS } else { 0 };
            to.u16_be(queue::FLAGS, bypass | if *fanout { queue::FANOUT } else { 0 });
        }
        Expression::TransparentProxy { family, address, port } => {
            to.u32_be(tproxy::FAMILY, u32::from(*family));
            if let Some(address) = address {
                to.u32_be(tproxy::ADDRESS, address.number());
            }
            if let Some(port) = port {
                to.u32_be(tproxy::PORT, port.number());
            }
        }
        _ => {}
    }
}

fn encode_span(span: Option<(Register, Option<Register>)>, first: u16, last: u16, to: &mut Builder) {
    let Some((lowest, highest)) = span else { return };
    to.u32_be(first, lowest.number());
    if let Some(highest) = highest {
        to.u32_be(last, highest.number());
    }
}

fn encode_flags(kind: u16, flags: NatFlags, to: &mut Builder) {
    if flags.number() != 0 {
        to.u32_be(kind, flags.number());
    }
}

fn encode_log(wanted: &LogTo, to: &mut Builder) {
    let (LogTo::Kernel { prefix, .. } | LogTo::Group { prefix, .. }) = wanted;
    if let Some(prefix) = prefix {
        to.text(log::PREFIX, prefix);
    }
    match wanted {
        LogTo::Kernel { level, flags, .. } => {
            to.u32_be(log::LEVEL, level.number());
            if *flags != 0 {
                to.u32_be(log::FLAGS, *flags);
            }
        }
        LogTo::Group { group, octets, threshold, .. } => {
            to.u16_be(log::GROUP, *group);
            if *octets != 0 {
                to.u32_be(log::OCTETS, *octets);
            }
            if *threshold != 0 {
                to.u16_be(log::THRESHOLD, *threshold);
            }
        }
    }
}

pub(super) fn decode(name: &str, fields: &Fields<'_>) -> Result<Option<Expression>, Malformed> {
    Ok(match name {
        "immediate" => Some(decode_immediate(fields)?),
        "nat" => decode_nat(fields)?.map(Expression::Nat),
        "masq" => Some(Expression::Masquerade {
            flags: NatFlags::from_number(fields.u32_be(masq::FLAGS)?.unwrap_or_default()),
            ports: span(fields, masq::PORT_FIRST, masq::PORT_LAST)?,
        }),
        "redir" => Some(Expression::Redirect {
            flags: NatFlags::from_number(fields.u32_be(redir::FLAGS)?.unwrap_or_default()),
            ports: span(fields, redir::PORT_FIRST, redir::PORT_LAST)?,
        }),
        "reject" => decode_reject(fields)?.map(Expression::Reject),
        "log" => decode_log(fields)?.map(Expression::Log),
        "notrack" => Some(Expression::NoTrack),
        "synproxy" => Some(Expression::SynProxy(SynProxy {
            segment_size: fields.u16_be(synproxy::SEGMENT_SIZE)?.unwrap_or_default(),
            window_scale: fields.u8(synproxy::WINDOW_SCALE)?.unwrap_or_default(),
            flags: fields.u32_be(synproxy::FLAGS)?.unwrap_or_default(),
        })),
        "queue" if fields.get(queue::FROM).is_none() => {
            let flags = fields.u16_be(queue::FLAGS)?.unwrap_or_default();
            Some(Expression::Queue {
                first: fields.u16_be(queue::FIRST)?.unwrap_or_default(),
                count: fields.u16_be(queue::COUNT)?.unwrap_or(1),
                bypass: flags & queue::BYPASS != 0,
                fanout: flags & queue::FANOUT != 0,
            })
        }
        "tproxy" => Some(Expression::TransparentProxy {
            family: family(fields, tproxy::FAMILY)?,
            address: register_if_any(fields, tproxy::ADDRESS)?,
            port: register_if_any(fields, tproxy::PORT)?,
        }),
        _ => None,
    })
}

fn decode_immediate(fields: &Fields<'_>) -> Result<Expression, Malformed> {
    let data = Data::decode(fields.need(immediate::DATA, "immediate without its data")?)?;
    let into = fields.need(immediate::INTO, "immediate without its register")?;
    match data {
        Data::Verdict(verdict) => Ok(Expression::Verdict(verdict)),
        Data::Value(value) => Ok(Expression::Immediate { into: Register::decode(into)?, value }),
    }
}

/// The kernel repeats the first register as the last one where there is only one.
fn span(
    fields: &Fields<'_>,
    first: u16,
    last: u16,
) -> Result<Option<(Register, Option<Register>)>, Malformed> {
    let Some(lowest) = register_if_any(fields, first)? else { return Ok(None) };
    let highest = register_if_any(fields, last)?.filter(|highest| *highest != lowest);
    Ok(Some((lowest, highest)))
}

fn family(fields: &Fields<'_>, kind: u16) -> Result<u8, Malformed> {
    u8::try_from(fields.u32_be(kind)?.unwrap_or_default())
        .map_err(|_| Malformed::new("an unknown family of nat"))
}

fn decode_nat(fields: &Fields<'_>) -> Result<Option<Nat>, Malformed> {
    let kind = fields.need(nat::KIND, "nat without its type")?.u32_be()?;
    let Ok(kind) = NatKind::from_number(kind) else { return Ok(None) };
    Ok(Some(Nat {
        kind,
        family: family(fields, nat::FAMILY)?,
        addresses: span(fields, nat::ADDRESS_FIRST, nat::ADDRESS_LAST)?,
        ports: span(fields, nat::PORT_FIRST, nat::PORT_LAST)?,
        flags: NatFlags::from_number(fields.u32_be(nat::FLAGS)?.unwrap_or_default()),
    }))
}

fn decode_reject(fields: &Fields<'_>) -> Result<Option<Reject>, Malformed> {
    let code = fields.u8(reject::CODE)?.unwrap_or_default();
    Ok(match fields.need(reject::KIND, "reject without its type")?.u32_be()? {
        reject::ICMP => Some(Reject::Icmp(code)),
        reject::RESET => Some(Reject::TcpReset),
        reject::ICMP_ANY => Some(Reject::IcmpAny(code)),
        _ => None,
    })
}

fn decode_log(fields: &Fields<'_>) -> Result<Option<LogTo>, Malformed> {
    let prefix = fields.get(log::PREFIX).map(|prefix| prefix.text().map(str::to_owned)).transpose()?;
    if let Some(group) = fields.u16_be(log::GROUP)? {
        let octets = fields.u32_be(log::OCTETS)?.unwrap_or_default();
        let threshold = fields.u16_be(log::THRESHOLD)?.unwrap_or_default();
        return Ok(Some(LogTo::Group { group, prefix, octets, threshold }));
    }
    let level = fields.u32_be(log::LEVEL)?.unwrap_or(LogLevel::Warning.number());
    let Ok(level) = LogLevel::from_number(level) else { return Ok(None) };
    Ok(Some(LogTo::Kernel { prefix, level, flags: fields.u32_be(log::FLAGS)?.unwrap_or_default() }))
}
