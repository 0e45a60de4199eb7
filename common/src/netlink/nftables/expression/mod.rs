//! What rules consist of: small steps over registers, done in order until one does not match.
//!
//! A step loads something of the packet into a register, compares or changes a register, or acts. Values in registers
//! are as they are in the packet (network byte order), but for the kernel's own numbers (marks, interface indices,
//! results of [`Expression::NumberGenerator`] and [`Expression::Hash`]), which are in the order of the machine.
//! [`super::Statements`] writes the usual sequences.

mod action;
mod comparison;
mod generator;
mod keys;
mod meter;
mod register;
mod selector;
#[cfg(test)]
mod tests;

pub use action::{LogLevel, LogTo, Nat, NatFlags, NatKind, Reject, SynProxy};
pub use comparison::{Bitwise, Comparison, Lookup, LookupResult};
pub use generator::{Fib, FibResult, Hash, HashKind, NumberGenerator, NumberKind};
pub use keys::{
    Checksum, ConnTrackKey, Direction, ExtensionHeader, HeaderKind, MetaKey, Payload, PayloadBase, RouteKey,
};
pub use meter::{DynamicOperation, DynamicSet, Limit, LimitUnit, ObjectReference, Quota};
pub use register::Register;

pub(in crate::netlink::nftables) use meter::{
    decode_connection_limit, decode_limit, decode_quota, encode_connection_limit, encode_limit, encode_quota,
};
pub(in crate::netlink::nftables) use register::{Data, encode_value, encode_verdict};

use super::Counters;
use super::verdict::Verdict;
use crate::netlink::attribute::{Attributes, Builder, Fields, Malformed};

/// One step of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// Loads a fact about the packet that is not in it.
    Meta {
        /// Which.
        key: MetaKey,
        /// Where to.
        into: Register,
    },
    /// Sets a fact about the packet, such as its mark.
    SetMeta {
        /// Which.
        key: MetaKey,
        /// From where.
        from: Register,
    },
    /// Loads octets of the packet.
    Payload {
        /// Which octets.
        payload: Payload,
        /// Where to.
        into: Register,
    },
    /// Writes octets of the packet.
    SetPayload {
        /// Which octets.
        payload: Payload,
        /// From where.
        from: Register,
        /// Which checksum is corrected.
        checksum: Option<Checksum>,
    },
    /// Loads a fact about the packet's connection.
    ConnTrack {
        /// Which.
        key: ConnTrackKey,
        /// Of which side, for addresses and ports (needed), counters and zones (possible).
        direction: Option<Direction>,
        /// Where to.
        into: Register,
    },
    /// Sets a fact about the packet's connection: mark, labels, zone or events.
    SetConnTrack {
        /// Which.
        key: ConnTrackKey,
        /// Of which side (zones only).
        direction: Option<Direction>,
        /// From where.
        from: Register,
    },
    /// Loads an extension header or option, or whether there is one.
    ExtensionHeader {
        /// Which octets.
        header: ExtensionHeader,
        /// Loads 1 or 0 for whether there is one, in one octet.
        present: bool,
        /// Where to.
        into: Register,
    },
    /// Writes octets of a TCP option that is there.
    SetExtensionHeader {
        /// Which octets.
        header: ExtensionHeader,
        /// From where.
        from: Register,
    },
    /// Loads a fact about the packet's route.
    Route {
        /// Which.
        key: RouteKey,
        /// Where to.
        into: Register,
    },
    /// Asks the routing table.
    Fib(Fib),
    /// Loads a number.
    NumberGenerator(NumberGenerator),
    /// Loads a hash.
    Hash(Hash),
    /// Goes on if the register compares so.
    Compare {
        /// The register.
        register: Register,
        /// How; greater and less are of octets from the first on.
        comparison: Comparison,
        /// With what: 1–64 octets.
        with: Vec<u8>,
    },
    /// Goes on if the register is between two values, both included, or not.
    Range {
        /// The register.
        register: Register,
        /// Goes on if it is outside instead.
        outside: bool,
        /// The lowest.
        from: Vec<u8>,
        /// The highest, of the same length.
        to: Vec<u8>,
    },
    /// Changes bits of a register.
    Bitwise(Bitwise),
    /// Turns the byte order of words.
    ByteOrder {
        /// From where.
        from: Register,
        /// Where to.
        into: Register,
        /// To that of the network instead of that of the machine.
        to_network: bool,
        /// How many octets.
        length: u32,
        /// How many of them are a word: 2, 4 or 8.
        word: u32,
    },
    /// Goes on if a set has the register's value; loads what a map has for it.
    Lookup(Lookup),
    /// Loads a value.
    Immediate {
        /// Where to.
        into: Register,
        /// What: 1–64 octets.
        value: Vec<u8>,
    },
    /// Decides.
    Verdict(Verdict),
    /// Counts; in dumps with what was counted.
    Counter(Counters),
    /// Uses an object of the table: a named counter, limit, quota, …
    Object(ObjectReference),
    /// Goes on while a rate is not exceeded.
    Limit(Limit),
    /// Goes on until so many octets have passed.
    Quota(Quota),
    /// Goes on while its key has no more than so many connections.
    ConnectionLimit {
        /// How many.
        count: u32,
        /// Goes on if it has more instead.
        above: bool,
    },
    /// Writes an element of a set.
    DynamicSet(DynamicSet),
    /// Tells user space or the kernel's log.
    Log(LogTo),
    /// Translates addresses and ports; chain type nat.
    Nat(Nat),
    /// Translates the source to the address of the interface; chain type nat, hook postrouting.
    Masquerade {
        /// How.
        flags: NatFlags,
        /// The register with the (first) port, and with the last one.
        ports: Option<(Register, Option<Register>)>,
    },
    /// Translates the destination to this host; chain type nat, hooks prerouting and output.
    Redirect {
        /// How.
        flags: NatFlags,
        /// The register with the (first) port, and with the last one.
        ports: Option<(Register, Option<Register>)>,
    },
    /// Drops with an answer.
    Reject(Reject),
    /// Leaves the packet untracked; priority before [`super::priority::CONNTRACK`].
    NoTrack,
    /// Answers SYNs with cookies.
    SynProxy(SynProxy),
    /// Hands the packet to user space.
    Queue {
        /// The first queue.
        first: u16,
        /// How many queues share the load.
        count: u16,
        /// Goes on where nobody listens.
        bypass: bool,
        /// By processor instead of by flow.
        fanout: bool,
    },
    /// Hands the packet to a local socket without changing its addresses.
    TransparentProxy {
        /// `NFPROTO_…` of the address.
        family: u8,
        /// The register with the address.
        address: Option<Register>,
        /// The register with the port.
        port: Option<Register>,
    },
    /// One that this module does not know, as the kernel gave it.
    Unknown {
        /// Its name.
        name: String,
        /// Its attributes.
        data: Vec<u8>,
    },
}

const NAME: u16 = 1;
const DATA: u16 = 2;
const LIST_ELEMENT: u16 = 1;
/// Expressions within expressions (a counter in a dynamic set) go no deeper; what lies beyond is `Unknown`.
const DEPTH_MAX: u8 = 2;

impl Expression {
    /// Accepts the packet.
    pub const ACCEPT: Self = Self::Verdict(Verdict::Accept);
    /// Drops the packet.
    pub const DROP: Self = Self::Verdict(Verdict::Drop);
    /// A counter that starts at nothing.
    pub const COUNTER: Self = Self::Counter(Counters { packets: 0, octets: 0 });

    /// Loads a value.
    pub fn immediate(into: Register, value: impl Into<Vec<u8>>) -> Self {
        Self::Immediate { into, value: value.into() }
    }

    /// Goes on if the register is `with`.
    pub fn equal(register: Register, with: impl Into<Vec<u8>>) -> Self {
        Self::Compare { register, comparison: Comparison::Equal, with: with.into() }
    }

    /// Goes on if the register is not `with`.
    pub fn not_equal(register: Register, with: impl Into<Vec<u8>>) -> Self {
        Self::Compare { register, comparison: Comparison::NotEqual, with: with.into() }
    }

    /// The same without what was counted since it was made: for comparing what is there with what is wanted.
    #[must_use]
    pub fn without_state(&self) -> Self {
        match self {
            Self::Counter(_) => Self::COUNTER,
            Self::Quota(quota) => Self::Quota(Quota { consumed: 0, depleted: false, ..*quota }),
            Self::DynamicSet(set) => {
                let expressions = set.expressions.iter().map(Self::without_state).collect();
                Self::DynamicSet(DynamicSet { expressions, ..set.clone() })
            }
            other => other.clone(),
        }
    }

    /// The kernel's name of it, for error messages.
    pub fn name(&self) -> &str {
        match self {
            Self::Meta { .. } | Self::SetMeta { .. } => "meta",
            Self::Payload { .. } | Self::SetPayload { .. } => "payload",
            Self::ConnTrack { .. } | Self::SetConnTrack { .. } => "ct",
            Self::ExtensionHeader { .. } | Self::SetExtensionHeader { .. } => "exthdr",
            Self::Route { .. } => "rt",
            Self::Fib(_) => "fib",
            Self::NumberGenerator(_) => "numgen",
            Self::Hash(_) => "hash",
            Self::Compare { .. } => "cmp",
            Self::Range { .. } => "range",
            Self::Bitwise(_) => "bitwise",
            Self::ByteOrder { .. } => "byteorder",
            Self::Lookup(_) => "lookup",
            Self::Immediate { .. } | Self::Verdict(_) => "immediate",
            Self::Counter(_) => "counter",
            Self::Object(_) => "objref",
            Self::Limit(_) => "limit",
            Self::Quota(_) => "quota",
            Self::ConnectionLimit { .. } => "connlimit",
            Self::DynamicSet(_) => "dynset",
            Self::Log(_) => "log",
            Self::Nat(_) => "nat",
            Self::Masquerade { .. } => "masq",
            Self::Redirect { .. } => "redir",
            Self::Reject(_) => "reject",
            Self::NoTrack => "notrack",
            Self::SynProxy(_) => "synproxy",
            Self::Queue { .. } => "queue",
            Self::TransparentProxy { .. } => "tproxy",
            Self::Unknown { name, .. } => name,
        }
    }

    pub(in crate::netlink::nftables) fn encode(&self, into: &mut Builder) {
        into.text(NAME, self.name());
        match self {
            Self::NoTrack => {}
            Self::Unknown { data, .. } => into.bytes(DATA, data),
            _ => into.nest(DATA, |data| self.encode_data(data)),
        }
    }

    fn encode_data(&self, into: &mut Builder) {
        match self {
            Self::Meta { .. }
            | Self::SetMeta { .. }
            | Self::Payload { .. }
            | Self::SetPayload { .. }
            | Self::ConnTrack { .. }
            | Self::SetConnTrack { .. }
            | Self::ExtensionHeader { .. }
            | Self::SetExtensionHeader { .. }
            | Self::Route { .. } => selector::encode(self, into),
            Self::Fib(_) | Self::NumberGenerator(_) | Self::Hash(_) => generator::encode(self, into),
            Self::Compare { .. }
            | Self::Range { .. }
            | Self::Bitwise(_)
            | Self::ByteOrder { .. }
            | Self::Lookup(_) => comparison::encode(self, into),
            Self::Counter(_)
            | Self::Object(_)
            | Self::Limit(_)
            | Self::Quota(_)
            | Self::ConnectionLimit { .. }
            | Self::DynamicSet(_) => meter::encode(self, into),
            _ => action::encode(self, into),
        }
    }

    pub(in crate::netlink::nftables) fn decode(attributes: Attributes<'_>) -> Result<Self, Malformed> {
        Self::decode_at(attributes, 0)
    }

    fn decode_at(attributes: Attributes<'_>, depth: u8) -> Result<Self, Malformed> {
        let fields = attributes.fields()?;
        let name = fields.need(NAME, "an expression without its name")?.text()?;
        let data = fields.get(DATA);
        let raw = data.map_or(&[][..], |data| data.payload);
        let unknown = || Self::Unknown { name: name.to_owned(), data: raw.to_vec() };
        if depth >= DEPTH_MAX {
            return Ok(unknown());
        }
        // Only what is known is taken apart: others may keep something else than attributes there.
        let fields = || -> Result<Fields<'_>, Malformed> { Attributes::new(raw).fields() };
        let decoded = match name {
            "meta" | "payload" | "ct" | "exthdr" | "rt" => selector::decode(name, &fields()?)?,
            "fib" | "numgen" | "hash" => generator::decode(name, &fields()?)?,
            "cmp" | "range" | "bitwise" | "byteorder" | "lookup" => comparison::decode(name, &fields()?)?,
            "counter" | "objref" | "limit" | "quota" | "connlimit" | "dynset" => {
                meter::decode(name, &fields()?, depth)?
            }
            "immediate" | "nat" | "masq" | "redir" | "reject" | "log" | "notrack" | "synproxy" | "queue"
            | "tproxy" => action::decode(name, &fields()?)?,
            _ => None,
        };
        Ok(decoded.unwrap_or_else(unknown))
    }
}

/// A list of expressions, as rules, sets and elements have them.
pub(in crate::netlink::nftables) fn encode_list(expressions: &[Expression], into: &mut Builder) {
    for expression in expressions {
        into.nest(LIST_ELEMENT, |element| expression.encode(element));
    }
}

pub(in crate::netlink::nftables) fn decode_list(list: Attributes<'_>) -> Result<Vec<Expression>, Malformed> {
    decode_list_at(list, 0)
}

fn decode_list_at(list: Attributes<'_>, depth: u8) -> Result<Vec<Expression>, Malformed> {
    list.map(|element| Expression::decode_at(element?.nested(), depth)).collect()
}
