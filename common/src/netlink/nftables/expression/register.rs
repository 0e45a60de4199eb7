//! Registers and the data that goes through them.

use crate::netlink::attribute::{Attribute, Builder, Malformed};
use crate::netlink::nftables::verdict::Verdict;

/// Where a rule keeps values between its steps: 16 words of four octets. A value of more octets goes on in the
/// following words, so that values side by side make a concatenation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Register(u8);

/// How many words there are.
const WORDS: u8 = 16;
/// The numbers of the kernel for word 0 (`NFT_REG32_00`) and for the verdict.
const FIRST_WORD: u32 = 8;
const VERDICT: u32 = 0;

impl Register {
    /// Words 0 to 3.
    pub const R1: Self = Self(0);
    /// Words 4 to 7.
    pub const R2: Self = Self(4);
    /// Words 8 to 11.
    pub const R3: Self = Self(8);
    /// Words 12 to 15.
    pub const R4: Self = Self(12);

    /// The register that begins with this word; `None` beyond the 16th.
    pub const fn word(word: u8) -> Option<Self> {
        if word < WORDS { Some(Self(word)) } else { None }
    }

    /// The register behind a value of `octets` in this one, for a concatenation; `None`: no room.
    pub fn after(self, octets: usize) -> Option<Self> {
        let words = u8::try_from(octets.div_ceil(4)).ok()?;
        Self::word(self.0.checked_add(words)?)
    }

    /// The number of its first word: 0–15.
    pub const fn index(self) -> u8 {
        self.0
    }

    pub(super) fn number(self) -> u32 {
        FIRST_WORD + u32::from(self.0)
    }

    /// The kernel names words that begin a group of four by the number of the group, from 1.
    pub(super) fn from_number(number: u32) -> Result<Self, Malformed> {
        match number {
            1..=4 => Ok(Self((number as u8 - 1) * 4)),
            8..=23 => Ok(Self(number as u8 - 8)),
            _ => Err(Malformed::new("an unknown register")),
        }
    }

    pub(super) fn decode(attribute: Attribute<'_>) -> Result<Self, Malformed> {
        Self::from_number(attribute.u32_be()?)
    }
}

const VALUE: u16 = 1;
const VERDICT_DATA: u16 = 2;

/// Writes a value as `NFTA_DATA_VALUE`.
pub(in crate::netlink::nftables) fn encode_value(kind: u16, value: &[u8], into: &mut Builder) {
    into.nest(kind, |data| data.bytes(VALUE, value));
}

/// Writes a verdict as `NFTA_DATA_VERDICT`.
pub(in crate::netlink::nftables) fn encode_verdict(kind: u16, verdict: &Verdict, into: &mut Builder) {
    into.nest(kind, |data| data.nest(VERDICT_DATA, |into| verdict.encode(into)));
}

/// The register number that stands for the verdict.
pub(super) const VERDICT_REGISTER: u32 = VERDICT;

/// A value or a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::netlink::nftables) enum Data {
    Value(Vec<u8>),
    Verdict(Verdict),
}

impl Data {
    pub(in crate::netlink::nftables) fn decode(attribute: Attribute<'_>) -> Result<Self, Malformed> {
        let fields = attribute.nested().fields()?;
        if let Some(value) = fields.get(VALUE) {
            return Ok(Self::Value(value.payload.to_vec()));
        }
        let verdict = fields.need(VERDICT_DATA, "data that is neither value nor verdict")?;
        Ok(Self::Verdict(Verdict::decode(verdict.nested())?))
    }

    pub(in crate::netlink::nftables) fn value(attribute: Attribute<'_>) -> Result<Vec<u8>, Malformed> {
        match Self::decode(attribute)? {
            Self::Value(value) => Ok(value),
            Self::Verdict(_) => Err(Malformed::new("a verdict where a value belongs")),
        }
    }
}
