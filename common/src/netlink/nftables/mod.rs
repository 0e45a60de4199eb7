//! The kernel's packet filter, nf_tables, spoken to directly.
//!
//! ```no_run
//! use faros_common::netlink::nftables::{Batch, Chain, ChainKind, Family, Hook, Nftables, Rule, Statements, Table, priority};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let table = Table::new(Family::Inet, "example");
//! let chain = Chain::base(&table.id, "incoming", ChainKind::Filter, Hook::Input, priority::FILTER);
//! let refuse = Statements::new().tcp().destination_port(23).counter().reset();
//! let mut batch = Batch::new();
//! batch.replace_table(&table).add_chain(&chain);
//! batch.append_rule(&Rule::new(&table.id, "incoming", refuse).with_comment("no telnet"));
//! Nftables::open()?.commit(&batch)?;
//! # Ok(())
//! # }
//! ```
//!
//! A [`Batch`] is one transaction: all of it or nothing, between two packets. What the kernel refuses is attributed to
//! its message ([`Rejection`]). [`Nftables`] also lists what is there. Needs `CAP_NET_ADMIN` in the network namespace;
//! for everything, the numbers are those of `linux/netfilter/nf_tables.h`.

mod batch;
mod chain;
mod client;
mod data;
mod element;
mod event;
mod expression;
#[cfg(test)]
mod live;
mod object;
mod rule;
mod set;
mod statements;
mod table;
mod userdata;
mod verdict;

pub use batch::Batch;
pub use chain::{Base, Chain, ChainKind, Hook, priority};
pub use client::{CommitError, Generation, Nftables, Rejection};
pub use data::{DataType, Key, interface_name};
pub use element::{Element, ElementValue};
pub use event::{Change, Event};
pub use expression::{
    Bitwise, Checksum, Comparison, ConnTrackKey, Direction, DynamicOperation, DynamicSet, Expression,
    ExtensionHeader, Fib, FibResult, Hash, HashKind, HeaderKind, Limit, LimitUnit, LogLevel, LogTo, Lookup,
    LookupResult, MetaKey, Nat, NatFlags, NatKind, NumberGenerator, NumberKind, ObjectReference, Payload,
    PayloadBase, Quota, Register, Reject, RouteKey, SynProxy,
};
pub use object::{Object, ObjectKind, ObjectState};
pub use rule::Rule;
pub use set::{Set, SetFlags, SetValue};
pub use statements::Statements;
pub use table::{Family, Table, TableId};
pub use userdata::{ENTRY_COMMENT, ENTRY_SET_COMMENT, USERDATA_BYTES_MAX, UserData};
pub use verdict::{Policy, Verdict};

use crate::netlink::attribute::{Attributes, Malformed};

/// Bits of [`ConnTrackKey::State`].
pub mod ct_state {
    /// It belongs to nothing known and cannot begin anything.
    pub const INVALID: u32 = 1;
    /// It belongs to a connection that has been answered.
    pub const ESTABLISHED: u32 = 2;
    /// It belongs to what a connection has announced, or is an error about it.
    pub const RELATED: u32 = 4;
    /// It begins a connection.
    pub const NEW: u32 = 8;
    /// It is not tracked.
    pub const UNTRACKED: u32 = 64;
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Counters {
    /// Packets.
    pub packets: u64,
    /// Octets, with the headers of IP.
    pub octets: u64,
}

impl Counters {
    fn decode(attributes: Attributes<'_>) -> Result<Self, Malformed> {
        Self::from_fields(&attributes.fields()?)
    }
}

/// The subsystem of netfilter, in the upper octet of message types.
const SUBSYSTEM: u16 = 10;

/// Message types (`NFT_MSG_…`).
mod message {
    pub(super) const NEW_TABLE: u8 = 0;
    pub(super) const GET_TABLE: u8 = 1;
    pub(super) const DELETE_TABLE: u8 = 2;
    pub(super) const NEW_CHAIN: u8 = 3;
    pub(super) const GET_CHAIN: u8 = 4;
    pub(super) const DELETE_CHAIN: u8 = 5;
    pub(super) const NEW_RULE: u8 = 6;
    pub(super) const GET_RULE: u8 = 7;
    pub(super) const DELETE_RULE: u8 = 8;
    pub(super) const NEW_SET: u8 = 9;
    pub(super) const GET_SET: u8 = 10;
    pub(super) const DELETE_SET: u8 = 11;
    pub(super) const NEW_ELEMENT: u8 = 12;
    pub(super) const GET_ELEMENT: u8 = 13;
    pub(super) const DELETE_ELEMENT: u8 = 14;
    pub(super) const NEW_GENERATION: u8 = 15;
    pub(super) const GET_GENERATION: u8 = 16;
    pub(super) const NEW_OBJECT: u8 = 18;
    pub(super) const GET_OBJECT: u8 = 19;
    pub(super) const DELETE_OBJECT: u8 = 20;
    pub(super) const GET_OBJECT_RESET: u8 = 21;
}
