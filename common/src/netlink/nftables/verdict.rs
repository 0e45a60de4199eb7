//! What becomes of a packet.

use crate::netlink::attribute::{Attributes, Builder, Malformed};

/// What happens to a packet that no rule of a base chain decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// It goes on.
    Accept,
    /// It is dropped.
    Drop,
}

impl Policy {
    pub(super) fn number(self) -> u32 {
        match self {
            Self::Drop => 0,
            Self::Accept => 1,
        }
    }

    pub(super) fn from_number(number: u32) -> Result<Self, Malformed> {
        match number {
            0 => Ok(Self::Drop),
            1 => Ok(Self::Accept),
            _ => Err(Malformed::new("an unknown policy of a chain")),
        }
    }
}

/// A rule's decision about a packet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It goes on to the next base chain.
    Accept,
    /// It is dropped without an answer.
    Drop,
    /// The next rule.
    Continue,
    /// The next rule, without the rest of this one.
    Break,
    /// The rules of that chain, then the next rule.
    Jump(String),
    /// The rules of that chain, then those after the last jump.
    Goto(String),
    /// The rule after the last jump, or the policy.
    Return,
}

const CODE: u16 = 1;
const CHAIN: u16 = 2;

impl Verdict {
    pub(super) fn encode(&self, into: &mut Builder) {
        let code: i32 = match self {
            Self::Drop => 0,
            Self::Accept => 1,
            Self::Continue => -1,
            Self::Break => -2,
            Self::Jump(_) => -3,
            Self::Goto(_) => -4,
            Self::Return => -5,
        };
        into.u32_be(CODE, code.cast_unsigned());
        if let Self::Jump(chain) | Self::Goto(chain) = self {
            into.text(CHAIN, chain);
        }
    }

    pub(super) fn decode(attributes: Attributes<'_>) -> Result<Self, Malformed> {
        let (mut code, mut chain) = (None, None);
        for attribute in attributes {
            let attribute = attribute?;
            match attribute.kind {
                CODE => code = Some(attribute.u32_be()?.cast_signed()),
                CHAIN => chain = Some(attribute.text()?.to_owned()),
                _ => {}
            }
        }
        Ok(match (code, chain) {
            (Some(0), _) => Self::Drop,
            (Some(1), _) => Self::Accept,
            (Some(-1), _) => Self::Continue,
            (Some(-2), _) => Self::Break,
            (Some(-3), Some(chain)) => Self::Jump(chain),
            (Some(-4), Some(chain)) => Self::Goto(chain),
            (Some(-5), _) => Self::Return,
            _ => return Err(Malformed::new("an unknown verdict")),
        })
    }
}
