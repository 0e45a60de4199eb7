//! Attributes: what netlink messages carry behind their fixed part (RFC 3549 section 2.2, `linux/netlink.h`).

mod builder;
mod parser;
#[cfg(test)]
mod tests;

pub use builder::Builder;
pub use parser::{Attribute, Attributes, Fields, Malformed};

/// Length and kind.
const HEADER_BYTES: usize = 4;
/// Attributes begin at multiples of this.
const ALIGNMENT: usize = 4;
/// Marks attributes that consist of attributes.
const NESTED: u16 = 0x8000;
/// What of the kind is its number; the two upper bits are marks.
const KIND_MASK: u16 = 0x3fff;
