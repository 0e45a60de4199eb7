//! Steps that count, limit and remember.

use std::time::Duration;

use super::keys::numbered;
use super::selector::{register, register_if_any};
use super::{Expression, Register, decode_list_at, encode_list};
use crate::netlink::attribute::{Builder, Fields, Malformed};
use crate::netlink::nftables::Counters;
use crate::netlink::nftables::object::ObjectKind;

numbered! {
    /// What a [`Limit`] counts (`NFT_LIMIT_…`).
    LimitUnit, "an unknown unit of limit":
    /// Packets.
    Packets = 0,
    /// Octets.
    Octets = 1,
}

/// A rate, as a bucket that fills evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    /// How many per period; not 0.
    pub rate: u64,
    /// The period, in whole seconds: 1, 60, 3600, …
    pub period: Duration,
    /// How many at once; packets: 0 means 5 to the kernel.
    pub burst: u32,
    /// What is counted.
    pub unit: LimitUnit,
    /// Goes on when the rate is exceeded instead.
    pub above: bool,
}

/// So many octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    /// How many.
    pub octets: u64,
    /// Goes on once they are used up instead.
    pub above: bool,
    /// How many are used up.
    pub consumed: u64,
    /// Whether the kernel has told so; in dumps.
    pub depleted: bool,
}

/// Which object of the table is used.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ObjectReference {
    /// The one of this name.
    Named {
        /// Of which kind.
        kind: ObjectKind,
        /// Its name.
        name: String,
    },
    /// The one that a map has for the register's value.
    Map {
        /// The map.
        set: String,
        /// The register with the key.
        key: Register,
    },
}

numbered! {
    /// What is done to an element (`NFT_DYNSET_OP_…`).
    DynamicOperation, "an unknown operation of dynset":
    /// It is added if it is not there.
    Add = 0,
    /// It is added, or its time-out begins anew.
    Update = 1,
    /// It is deleted.
    Delete = 2,
}

/// Writes an element of a set that is marked [`dynamic`](super::super::SetFlags::dynamic). Goes on if that worked and
/// the element's own expressions went on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamicSet {
    /// What is done.
    pub operation: DynamicOperation,
    /// The set.
    pub set: String,
    /// The number that the set got in this transaction, if it has no name of its own.
    pub set_id: Option<u32>,
    /// The register with the key.
    pub key: Register,
    /// The register with the value, for maps.
    pub value: Option<Register>,
    /// The element's time-out; `None`: the set's. Kernels count in ticks of up to 10 ms.
    pub timeout: Option<Duration>,
    /// What new elements have: counters, limits, connection limits; at most 2.
    pub expressions: Vec<Expression>,
    /// Goes on if it did not work.
    pub inverted: bool,
}

mod counter {
    pub(super) const OCTETS: u16 = 1;
    pub(super) const PACKETS: u16 = 2;
}

mod limit {
    pub(super) const RATE: u16 = 1;
    pub(super) const PERIOD: u16 = 2;
    pub(super) const BURST: u16 = 3;
    pub(super) const UNIT: u16 = 4;
    pub(super) const FLAGS: u16 = 5;
}

mod quota {
    pub(super) const OCTETS: u16 = 1;
    pub(super) const FLAGS: u16 = 2;
    pub(super) const CONSUMED: u16 = 4;
    pub(super) const DEPLETED: u32 = 2;
}

mod connlimit {
    pub(super) const COUNT: u16 = 1;
    pub(super) const FLAGS: u16 = 2;
}

/// Flag of limit, quota and connlimit, and of dynset.
const INVERTED: u32 = 1;

mod objref {
    pub(super) const KIND: u16 = 1;
    pub(super) const NAME: u16 = 2;
    pub(super) const KEY: u16 = 3;
    pub(super) const SET: u16 = 4;
}

mod dynset {
    pub(super) const SET: u16 = 1;
    pub(super) const SET_ID: u16 = 2;
    pub(super) const OPERATION: u16 = 3;
    pub(super) const KEY: u16 = 4;
    pub(super) const VALUE: u16 = 5;
    pub(super) const TIMEOUT: u16 = 6;
    pub(super) const EXPRESSION: u16 = 7;
    pub(super) const FLAGS: u16 = 9;
    pub(super) const EXPRESSIONS: u16 = 10;
    pub(super) const SEVERAL: u32 = 2;
}

/// What a limit says of itself, in a rule or as an object.
pub(in crate::netlink::nftables) fn encode_limit(wanted: &Limit, to: &mut Builder) {
    to.u64_be(limit::RATE, wanted.rate);
    to.u64_be(limit::PERIOD, wanted.period.as_secs().max(1));
    to.u32_be(limit::BURST, wanted.burst);
    to.u32_be(limit::UNIT, wanted.unit.number());
    to.u32_be(limit::FLAGS, flag(wanted.above, INVERTED));
}

pub(in crate::netlink::nftables) fn decode_limit(fields: &Fields<'_>) -> Result<Limit, Malformed> {
    Ok(Limit {
        rate: fields.u64_be(limit::RATE)?.unwrap_or_default(),
        period: Duration::from_secs(fields.u64_be(limit::PERIOD)?.unwrap_or_default()),
        burst: fields.u32_be(limit::BURST)?.unwrap_or_default(),
        unit: LimitUnit::from_number(fields.u32_be(limit::UNIT)?.unwrap_or_default())?,
        above: fields.u32_be(limit::FLAGS)?.unwrap_or_default() & INVERTED != 0,
    })
}

/// What a quota says of itself, in a rule or as an object.
pub(in crate::netlink::nftables) fn encode_quota(wanted: &Quota, to: &mut Builder) {
    to.u64_be(quota::OCTETS, wanted.octets);
    to.u32_be(quota::FLAGS, flag(wanted.above, INVERTED));
    to.u64_be(quota::CONSUMED, wanted.consumed);
}

pub(in crate::netlink::nftables) fn decode_quota(fields: &Fields<'_>) -> Result<Quota, Malformed> {
    let flags = fields.u32_be(quota::FLAGS)?.unwrap_or_default();
    Ok(Quota {
        octets: fields.u64_be(quota::OCTETS)?.unwrap_or_default(),
        above: flags & INVERTED != 0,
        consumed: fields.u64_be(quota::CONSUMED)?.unwrap_or_default(),
        depleted: flags & quota::DEPLETED != 0,
    })
}

impl Counters {
    pub(in crate::netlink::nftables) fn encode(self, to: &mut Builder) {
        to.u64_be(counter::OCTETS, self.octets);
        to.u64_be(counter::PACKETS, self.packets);
    }

    pub(in crate::netlink::nftables) fn from_fields(fields: &Fields<'_>) -> Result<Self, Malformed> {
        let packets = fields.u64_be(counter::PACKETS)?.unwrap_or_default();
        Ok(Self { packets, octets: fields.u64_be(counter::OCTETS)?.unwrap_or_default() })
    }
}

pub(in crate::netlink::nftables) fn encode_connection_limit(count: u32, above: bool, to: &mut Builder) {
    to.u32_be(connlimit::COUNT, count);
    to.u32_be(connlimit::FLAGS, flag(above, INVERTED));
}

pub(in crate::netlink::nftables) fn decode_connection_limit(
    fields: &Fields<'_>,
) -> Result<(u32, bool), Malformed> {
    let flags = fields.u32_be(connlimit::FLAGS)?.unwrap_or_default();
    Ok((fields.u32_be(connlimit::COUNT)?.unwrap_or_default(), flags & INVERTED != 0))
}

fn flag(set: bool, flag: u32) -> u32 {
    if set { flag } else { 0 }
}

pub(super) fn encode(expression: &Expression, to: &mut Builder) {
    match expression {
        Expression::Counter(counters) => counters.encode(to),
        Expression::Limit(limit) => encode_limit(limit, to),
        Expression::Quota(quota) => encode_quota(quota, to),
        Expression::ConnectionLimit { count, above } => encode_connection_limit(*count, *above, to),
        Expression::Object(ObjectReference::Named { kind, name }) => {
            to.u32_be(objref::KIND, kind.number());
            to.text(objref::NAME, name);
        }
        Expression::Object(ObjectReference::Map { set, key }) => {
            to.u32_be(objref::KEY, key.number());
            to.text(objref::SET, set);
        }
        Expression::DynamicSet(wanted) => encode_dynamic_set(wanted, to),
        _ => {}
    }
}

fn encode_dynamic_set(wanted: &DynamicSet, to: &mut Builder) {
    to.text(dynset::SET, &wanted.set);
    if let Some(id) = wanted.set_id {
        to.u32_be(dynset::SET_ID, id);
    }
    to.u32_be(dynset::OPERATION, wanted.operation.number());
    to.u32_be(dynset::KEY, wanted.key.number());
    if let Some(value) = wanted.value {
        to.u32_be(dynset::VALUE, value.number());
    }
    if let Some(timeout) = wanted.timeout {
        to.u64_be(dynset::TIMEOUT, timeout.as_millis() as u64);
    }
    let several = wanted.expressions.len() > 1;
    to.u32_be(dynset::FLAGS, flag(wanted.inverted, INVERTED) | flag(several, dynset::SEVERAL));
    match wanted.expressions.as_slice() {
        [] => {}
        [expression] => to.nest(dynset::EXPRESSION, |into| expression.encode(into)),
        expressions => to.nest(dynset::EXPRESSIONS, |into| encode_list(expressions, into)),
    }
}

pub(super) fn decode(name: &str, fields: &Fields<'_>, depth: u8) -> Result<Option<Expression>, Malformed> {
    Ok(match name {
        "counter" => Some(Expression::Counter(Counters::from_fields(fields)?)),
        "limit" => Some(Expression::Limit(decode_limit(fields)?)),
        "quota" => Some(Expression::Quota(decode_quota(fields)?)),
        "connlimit" => {
            let (count, above) = decode_connection_limit(fields)?;
            Some(Expression::ConnectionLimit { count, above })
        }
        "objref" => decode_reference(fields)?.map(Expression::Object),
        "dynset" => decode_dynamic_set(fields, depth)?,
        _ => None,
    })
}

fn decode_reference(fields: &Fields<'_>) -> Result<Option<ObjectReference>, Malformed> {
    if let Some(key) = register_if_any(fields, objref::KEY)? {
        let set = fields.need(objref::SET, "objref without its map")?.text()?.to_owned();
        return Ok(Some(ObjectReference::Map { set, key }));
    }
    let kind = fields.need(objref::KIND, "objref without its type")?.u32_be()?;
    let Ok(kind) = ObjectKind::from_number(kind) else { return Ok(None) };
    let name = fields.need(objref::NAME, "objref without its name")?.text()?.to_owned();
    Ok(Some(ObjectReference::Named { kind, name }))
}

fn decode_dynamic_set(fields: &Fields<'_>, depth: u8) -> Result<Option<Expression>, Malformed> {
    let operation = fields.need(dynset::OPERATION, "dynset without its operation")?.u32_be()?;
    let Ok(operation) = DynamicOperation::from_number(operation) else { return Ok(None) };
    let expressions = match (fields.get(dynset::EXPRESSIONS), fields.get(dynset::EXPRESSION)) {
        (Some(list), _) => decode_list_at(list.nested(), depth + 1)?,
        (None, Some(one)) => vec![Expression::decode_at(one.nested(), depth + 1)?],
        (None, None) => Vec::new(),
    };
    // The kernel says 0 for "the set's".
    let timeout = fields.u64_be(dynset::TIMEOUT)?.filter(|millis| *millis != 0);
    Ok(Some(Expression::DynamicSet(DynamicSet {
        operation,
        set: fields.need(dynset::SET, "dynset without its set")?.text()?.to_owned(),
        set_id: fields.u32_be(dynset::SET_ID)?,
        key: register(fields, dynset::KEY)?,
        value: register_if_any(fields, dynset::VALUE)?,
        timeout: timeout.map(Duration::from_millis),
        expressions,
        inverted: fields.u32_be(dynset::FLAGS)?.unwrap_or_default() & INVERTED != 0,
    })))
}
