//! Steps that compare and change registers.

use super::keys::numbered;
use super::register::{Data, encode_value};
use super::selector::{register, register_if_any};
use super::{Expression, Register};
use crate::netlink::attribute::{Builder, Fields, Malformed};

numbered! {
    /// How a register compares (`NFT_CMP_…`).
    Comparison, "an unknown comparison":
    /// The same octets.
    Equal = 0,
    /// Other octets.
    NotEqual = 1,
    /// Less.
    Less = 2,
    /// Less or the same.
    LessOrEqual = 3,
    /// Greater.
    Greater = 4,
    /// Greater or the same.
    GreaterOrEqual = 5,
}

/// A change of bits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Bitwise {
    /// `into = (from & mask) ^ xor`; all of the same length.
    Mask {
        /// From where.
        from: Register,
        /// Where to.
        into: Register,
        /// Which bits stay.
        mask: Vec<u8>,
        /// Which bits are turned over afterwards.
        xor: Vec<u8>,
    },
    /// Shifts words of four octets.
    Shift {
        /// From where.
        from: Register,
        /// Where to.
        into: Register,
        /// How many octets.
        length: u32,
        /// To the left instead of the right.
        left: bool,
        /// By how many bits: less than 32.
        bits: u32,
    },
}

impl Bitwise {
    /// Keeps the bits of `mask`, in place.
    pub fn mask(register: Register, mask: impl Into<Vec<u8>>) -> Self {
        let mask = mask.into();
        Self::Mask { from: register, into: register, xor: vec![0; mask.len()], mask }
    }
}

/// A question to a set or map.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lookup {
    /// Its name, in the same table.
    pub set: String,
    /// The number that the set got in this transaction, for a set without a name of its own ([`super::super::Set::id`]).
    pub set_id: Option<u32>,
    /// The register with the key.
    pub key: Register,
    /// What becomes of it.
    pub result: LookupResult,
}

/// What becomes of the answer to a [`Lookup`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LookupResult {
    /// Goes on if the key is there.
    Member,
    /// Goes on if the key is not there.
    NoMember,
    /// Goes on with the map's value in the register.
    Into(Register),
    /// Decides as the verdict map says.
    Verdict,
}

impl Lookup {
    /// Goes on if the key is in the set.
    pub fn member(set: impl Into<String>, key: Register) -> Self {
        Self { set: set.into(), set_id: None, key, result: LookupResult::Member }
    }

    /// Goes on if the key is not in the set.
    pub fn no_member(set: impl Into<String>, key: Register) -> Self {
        Self { result: LookupResult::NoMember, ..Self::member(set, key) }
    }

    /// Goes on if the key is in the map, with what the map has for it.
    pub fn map(set: impl Into<String>, key: Register, into: Register) -> Self {
        Self { result: LookupResult::Into(into), ..Self::member(set, key) }
    }

    /// Decides as the verdict map says.
    pub fn verdict(set: impl Into<String>, key: Register) -> Self {
        Self { result: LookupResult::Verdict, ..Self::member(set, key) }
    }
}

mod cmp {
    pub(super) const REGISTER: u16 = 1;
    pub(super) const OPERATION: u16 = 2;
    pub(super) const DATA: u16 = 3;
}

mod range {
    pub(super) const REGISTER: u16 = 1;
    pub(super) const OPERATION: u16 = 2;
    pub(super) const FROM: u16 = 3;
    pub(super) const TO: u16 = 4;
}

mod bitwise {
    pub(super) const FROM: u16 = 1;
    pub(super) const INTO: u16 = 2;
    pub(super) const LENGTH: u16 = 3;
    pub(super) const MASK: u16 = 4;
    pub(super) const XOR: u16 = 5;
    pub(super) const OPERATION: u16 = 6;
    pub(super) const DATA: u16 = 7;
    pub(super) const MASK_XOR: u32 = 0;
    pub(super) const LEFT: u32 = 1;
    pub(super) const RIGHT: u32 = 2;
}

mod byteorder {
    pub(super) const FROM: u16 = 1;
    pub(super) const INTO: u16 = 2;
    pub(super) const OPERATION: u16 = 3;
    pub(super) const LENGTH: u16 = 4;
    pub(super) const WORD: u16 = 5;
}

mod lookup {
    pub(super) const SET: u16 = 1;
    pub(super) const KEY: u16 = 2;
    pub(super) const INTO: u16 = 3;
    pub(super) const SET_ID: u16 = 4;
    pub(super) const FLAGS: u16 = 5;
    pub(super) const INVERTED: u32 = 1;
}

pub(super) fn encode(expression: &Expression, to: &mut Builder) {
    match expression {
        Expression::Compare { register, comparison, with } => {
            to.u32_be(cmp::REGISTER, register.number());
            to.u32_be(cmp::OPERATION, comparison.number());
            encode_value(cmp::DATA, with, to);
        }
        Expression::Range { register, outside, from, to: highest } => {
            to.u32_be(range::REGISTER, register.number());
            to.u32_be(range::OPERATION, u32::from(*outside));
            encode_value(range::FROM, from, to);
            encode_value(range::TO, highest, to);
        }
        Expression::Bitwise(Bitwise::Mask { from, into, mask, xor }) => {
            to.u32_be(bitwise::FROM, from.number());
            to.u32_be(bitwise::INTO, into.number());
            to.u32_be(bitwise::LENGTH, mask.len() as u32);
            to.u32_be(bitwise::OPERATION, bitwise::MASK_XOR);
            encode_value(bitwise::MASK, mask, to);
            encode_value(bitwise::XOR, xor, to);
        }
        Expression::Bitwise(Bitwise::Shift { from, into, length, left, bits }) => {
            to.u32_be(bitwise::FROM, from.number());
            to.u32_be(bitwise::INTO, into.number());
            to.u32_be(bitwise::LENGTH, *length);
            to.u32_be(bitwise::OPERATION, if *left { bitwise::LEFT } else { bitwise::RIGHT });
            encode_value(bitwise::DATA, &bits.to_ne_bytes(), to);
        }
        Expression::ByteOrder { from, into, to_network, length, word } => {
            to.u32_be(byteorder::FROM, from.number());
            to.u32_be(byteorder::INTO, into.number());
            to.u32_be(byteorder::OPERATION, u32::from(*to_network));
            to.u32_be(byteorder::LENGTH, *length);
            to.u32_be(byteorder::WORD, *word);
        }
        Expression::Lookup(wanted) => encode_lookup(wanted, to),
        _ => {}
    }
}

fn encode_lookup(wanted: &Lookup, to: &mut Builder) {
    to.text(lookup::SET, &wanted.set);
    if let Some(id) = wanted.set_id {
        to.u32_be(lookup::SET_ID, id);
    }
    to.u32_be(lookup::KEY, wanted.key.number());
    match wanted.result {
        LookupResult::Member => {}
        LookupResult::NoMember => to.u32_be(lookup::FLAGS, lookup::INVERTED),
        LookupResult::Into(into) => to.u32_be(lookup::INTO, into.number()),
        LookupResult::Verdict => to.u32_be(lookup::INTO, super::register::VERDICT_REGISTER),
    }
}

pub(super) fn decode(name: &str, fields: &Fields<'_>) -> Result<Option<Expression>, Malformed> {
    let value = |kind| Data::value(fields.need(kind, "a comparison without its value")?);
    Ok(match name {
        "cmp" => {
            let operation = fields.need(cmp::OPERATION, "cmp without its operation")?.u32_be()?;
            let Ok(comparison) = Comparison::from_number(operation) else { return Ok(None) };
            let register = register(fields, cmp::REGISTER)?;
            Some(Expression::Compare { register, comparison, with: value(cmp::DATA)? })
        }
        "range" => Some(Expression::Range {
            register: register(fields, range::REGISTER)?,
            outside: fields.u32_be(range::OPERATION)?.unwrap_or_default() != 0,
            from: value(range::FROM)?,
            to: value(range::TO)?,
        }),
        "bitwise" => decode_bitwise(fields)?,
        "byteorder" => Some(Expression::ByteOrder {
            from: register(fields, byteorder::FROM)?,
            into: register(fields, byteorder::INTO)?,
            to_network: fields.u32_be(byteorder::OPERATION)?.unwrap_or_default() != 0,
            length: fields.u32_be(byteorder::LENGTH)?.unwrap_or_default(),
            word: fields.u32_be(byteorder::WORD)?.unwrap_or_default(),
        }),
        "lookup" => decode_lookup(fields)?,
        _ => None,
    })
}

fn decode_bitwise(fields: &Fields<'_>) -> Result<Option<Expression>, Malformed> {
    let from = register(fields, bitwise::FROM)?;
    let into = register(fields, bitwise::INTO)?;
    let value = |kind| Data::value(fields.need(kind, "bitwise without its operand")?);
    let operation = fields.u32_be(bitwise::OPERATION)?.unwrap_or(bitwise::MASK_XOR);
    let change = match operation {
        bitwise::MASK_XOR => {
            // Newer kernels also combine two registers, without a value for the mask.
            if fields.get(bitwise::MASK).is_none() {
                return Ok(None);
            }
            Bitwise::Mask { from, into, mask: value(bitwise::MASK)?, xor: value(bitwise::XOR)? }
        }
        bitwise::LEFT | bitwise::RIGHT => {
            let bits = <[u8; 4]>::try_from(value(bitwise::DATA)?);
            let bits =
                u32::from_ne_bytes(bits.map_err(|_| Malformed::new("bitwise with a shift of odd length"))?);
            let length = fields.u32_be(bitwise::LENGTH)?.unwrap_or_default();
            Bitwise::Shift { from, into, length, left: operation == bitwise::LEFT, bits }
        }
        _ => return Ok(None),
    };
    Ok(Some(Expression::Bitwise(change)))
}

fn decode_lookup(fields: &Fields<'_>) -> Result<Option<Expression>, Malformed> {
    let inverted = fields.u32_be(lookup::FLAGS)?.unwrap_or_default() & lookup::INVERTED != 0;
    let result = match fields.u32_be(lookup::INTO)? {
        Some(super::register::VERDICT_REGISTER) => LookupResult::Verdict,
        Some(_) => match register_if_any(fields, lookup::INTO)? {
            Some(into) => LookupResult::Into(into),
            None => return Ok(None),
        },
        None if inverted => LookupResult::NoMember,
        None => LookupResult::Member,
    };
    Ok(Some(Expression::Lookup(Lookup {
        set: fields.need(lookup::SET, "lookup without its set")?.text()?.to_owned(),
        set_id: fields.u32_be(lookup::SET_ID)?,
        key: register(fields, lookup::KEY)?,
        result,
    })))
}
