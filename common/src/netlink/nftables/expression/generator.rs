//! Steps that make numbers: counters, hashes, questions to the routing table.

use super::keys::numbered;
use super::selector::{register, register_if_any};
use super::{Expression, Register};
use crate::netlink::attribute::{Builder, Fields, Malformed};

numbered! {
    /// How numbers follow each other (`NFT_NG_…`).
    NumberKind, "an unknown kind of numgen":
    /// One after the other.
    Incremental = 0,
    /// At random.
    Random = 1,
}

/// A number from `offset` to `offset + modulus - 1`, in the order of the machine; 4 octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NumberGenerator {
    /// How they follow each other.
    pub kind: NumberKind,
    /// How many different ones; not 0.
    pub modulus: u32,
    /// The lowest.
    pub offset: u32,
    /// Where to.
    pub into: Register,
}

/// What is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HashKind {
    /// The octets of registers, by Jenkins' hash.
    Jenkins {
        /// The first register.
        from: Register,
        /// How many octets.
        length: u32,
        /// The seed; `None`: the kernel makes one up.
        seed: Option<u32>,
    },
    /// Addresses and ports, the same for both directions.
    Symmetric,
}

/// A number from `offset` to `offset + modulus - 1`, in the order of the machine; 4 octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hash {
    /// What is hashed.
    pub kind: HashKind,
    /// How many different ones; at least 1 (Jenkins: at least 2).
    pub modulus: u32,
    /// The lowest.
    pub offset: u32,
    /// Where to.
    pub into: Register,
}

numbered! {
    /// What the routing table is asked for (`NFT_FIB_RESULT_…`).
    FibResult, "an unknown result of fib":
    /// The index of the interface, in the order of the machine, 0: no route; 4.
    Interface = 1,
    /// The name of the interface; 16.
    InterfaceName = 2,
    /// `RTN_…` of the address, in the order of the machine: 1 unicast, 2 local, 3 broadcast, …; 4.
    AddressType = 3,
}

/// A question to the routing table about the source or the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fib {
    /// What is asked.
    pub result: FibResult,
    /// About the source instead of the destination.
    pub source: bool,
    /// With the packet's mark.
    pub mark: bool,
    /// Only routes of the interface where it came in.
    pub interface_in: bool,
    /// Only routes of the interface where it goes out.
    pub interface_out: bool,
    /// Only whether there is one: 1 or 0 in one octet.
    pub present: bool,
    /// Where to.
    pub into: Register,
}

impl Fib {
    /// Whose address the destination is ([`FibResult::AddressType`]), in general.
    pub const fn destination_type(into: Register) -> Self {
        Self {
            result: FibResult::AddressType,
            source: false,
            mark: false,
            interface_in: false,
            interface_out: false,
            present: false,
            into,
        }
    }
}

mod numgen {
    pub(super) const INTO: u16 = 1;
    pub(super) const MODULUS: u16 = 2;
    pub(super) const KIND: u16 = 3;
    pub(super) const OFFSET: u16 = 4;
}

mod hash {
    pub(super) const FROM: u16 = 1;
    pub(super) const INTO: u16 = 2;
    pub(super) const LENGTH: u16 = 3;
    pub(super) const MODULUS: u16 = 4;
    pub(super) const SEED: u16 = 5;
    pub(super) const OFFSET: u16 = 6;
    pub(super) const KIND: u16 = 7;
    pub(super) const JENKINS: u32 = 0;
    pub(super) const SYMMETRIC: u32 = 1;
}

mod fib {
    pub(super) const INTO: u16 = 1;
    pub(super) const RESULT: u16 = 2;
    pub(super) const FLAGS: u16 = 3;
    pub(super) const SOURCE: u32 = 1;
    pub(super) const DESTINATION: u32 = 2;
    pub(super) const MARK: u32 = 4;
    pub(super) const INTERFACE_IN: u32 = 8;
    pub(super) const INTERFACE_OUT: u32 = 16;
    pub(super) const PRESENT: u32 = 32;
}

pub(super) fn encode(expression: &Expression, to: &mut Builder) {
    match expression {
        Expression::NumberGenerator(numbers) => {
            to.u32_be(numgen::INTO, numbers.into.number());
            to.u32_be(numgen::MODULUS, numbers.modulus);
            to.u32_be(numgen::KIND, numbers.kind.number());
            to.u32_be(numgen::OFFSET, numbers.offset);
        }
        Expression::Hash(wanted) => {
            to.u32_be(hash::INTO, wanted.into.number());
            to.u32_be(hash::MODULUS, wanted.modulus);
            to.u32_be(hash::OFFSET, wanted.offset);
            match wanted.kind {
                HashKind::Jenkins { from, length, seed } => {
                    to.u32_be(hash::KIND, hash::JENKINS);
                    to.u32_be(hash::FROM, from.number());
                    to.u32_be(hash::LENGTH, length);
                    if let Some(seed) = seed {
                        to.u32_be(hash::SEED, seed);
                    }
                }
                HashKind::Symmetric => to.u32_be(hash::KIND, hash::SYMMETRIC),
            }
        }
        Expression::Fib(question) => {
            to.u32_be(fib::INTO, question.into.number());
            to.u32_be(fib::RESULT, question.result.number());
            let about = if question.source { fib::SOURCE } else { fib::DESTINATION };
            let flag = |set: bool, flag: u32| if set { flag } else { 0 };
            let flags = about
                | flag(question.mark, fib::MARK)
                | flag(question.interface_in, fib::INTERFACE_IN)
                | flag(question.interface_out, fib::INTERFACE_OUT)
                | flag(question.present, fib::PRESENT);
            to.u32_be(fib::FLAGS, flags);
        }
        _ => {}
    }
}

pub(super) fn decode(name: &str, fields: &Fields<'_>) -> Result<Option<Expression>, Malformed> {
    Ok(match name {
        "numgen" => {
            let kind = fields.need(numgen::KIND, "numgen without its type")?.u32_be()?;
            let Ok(kind) = NumberKind::from_number(kind) else { return Ok(None) };
            Some(Expression::NumberGenerator(NumberGenerator {
                kind,
                modulus: fields.need(numgen::MODULUS, "numgen without its modulus")?.u32_be()?,
                offset: fields.u32_be(numgen::OFFSET)?.unwrap_or_default(),
                into: register(fields, numgen::INTO)?,
            }))
        }
        "hash" => decode_hash(fields)?,
        "fib" => decode_fib(fields)?,
        _ => None,
    })
}

fn decode_hash(fields: &Fields<'_>) -> Result<Option<Expression>, Malformed> {
    let kind = match fields.u32_be(hash::KIND)?.unwrap_or(hash::JENKINS) {
        hash::JENKINS => HashKind::Jenkins {
            from: register(fields, hash::FROM)?,
            length: fields.u32_be(hash::LENGTH)?.unwrap_or_default(),
            seed: fields.u32_be(hash::SEED)?,
        },
        hash::SYMMETRIC => HashKind::Symmetric,
        _ => return Ok(None),
    };
    Ok(Some(Expression::Hash(Hash {
        kind,
        modulus: fields.need(hash::MODULUS, "hash without its modulus")?.u32_be()?,
        offset: fields.u32_be(hash::OFFSET)?.unwrap_or_default(),
        into: register(fields, hash::INTO)?,
    })))
}

fn decode_fib(fields: &Fields<'_>) -> Result<Option<Expression>, Malformed> {
    let result = fields.need(fib::RESULT, "fib without its result")?.u32_be()?;
    let Ok(result) = FibResult::from_number(result) else { return Ok(None) };
    let flags = fields.u32_be(fib::FLAGS)?.unwrap_or_default();
    let Some(into) = register_if_any(fields, fib::INTO)? else { return Ok(None) };
    Ok(Some(Expression::Fib(Fib {
        result,
        source: flags & fib::SOURCE != 0,
        mark: flags & fib::MARK != 0,
        interface_in: flags & fib::INTERFACE_IN != 0,
        interface_out: flags & fib::INTERFACE_OUT != 0,
        present: flags & fib::PRESENT != 0,
        into,
    })))
}
