//! The zones that this server is authoritative for: from records to finished answers.
//!
//! A [`ZoneSource`] is compiled into an immutable [`Zone`], whose answers are wire octets already; a
//! [`Snapshot`] holds all zones, and answers a question by one search and one copy.
//!
//! ```text
//! master file text ─ text ─► Record ─► ZoneSource ─ compile ─► Zone ─► Snapshot ─ lookup ─► answer
//!                            ▲                                  │
//!                            └──────────── records ─────────────┴─ render ─► master file
//! ```
//!
//! | Module | What it holds | Source |
//! |---|---|---|
//! | `rdata` | record types and the shape of their data | RFC 1035, 3597 and those of the types |
//! | [`text`] | data out of master file text | RFC 1035 section 5.1, RFC 3597 section 5 |
//! | [`render`] | a zone as a master file | the same |
//! | `prove` | whether records are a zone | RFC 1034 section 4.2, RFC 2181, RFC 6672 section 2 |
//! | `compile` | the answers of a zone | RFC 1034 sections 4.2.1 and 4.3.2 |
//! | `template`, `writer` | an answer's octets, and what depends on the question | RFC 1035 section 4.1.4 |
//! | `tree` | the names of a zone | RFC 4592 section 2.2 |
//! | `lookup` | zone and exact answer of a question | RFC 1034 section 4.3.2, RFC 8482 |
//! | `chain` | every other answer | RFC 1034 section 4.3.2, RFC 2308, 4592, 6672 |
//!
//! Deviation from RFC 1034 section 4.3.2: an answer's authority section has no NS records unless it is a
//! referral. Nobody needs them, and they cost room.

mod chain;
mod compile;
mod error;
mod lookup;
mod prove;
mod rdata;
pub mod render;
mod template;
#[cfg(test)]
mod tests;
pub mod text;
mod tree;
mod writer;

pub use chain::CHAIN_MAX;
pub use error::{ERRORS_MAX, ZoneError};
pub use lookup::{Answered, Snapshot};
pub use rdata::{is_data, kind_of, mnemonic, mnemonic_of};

use crate::protocol::name::{LowerName, Name};
use prove::{prove, soa_numbers};
use tree::Tree;

/// A record of class IN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose it is; may be a wildcard.
    pub owner: Name,
    /// Its type.
    pub kind: u16,
    /// How long others may keep it, in seconds; at most 2^31 - 1 (RFC 2181 section 8).
    pub ttl: u32,
    /// Its data in wire form, uncompressed.
    pub rdata: Box<[u8]>,
}

/// What a zone is compiled from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneSource {
    /// The apex.
    pub origin: Name,
    /// All records, the SOA and NS records of the apex among them, in any order. Equal ones are merged; within
    /// an RRset the smallest TTL goes for all (RFC 2181 section 5.2).
    pub records: Vec<Record>,
}

/// A zone with all its answers; immutable.
#[derive(Debug)]
pub struct Zone {
    origin: Name,
    serial: u32,
    records: Box<[Record]>,
    tree: Tree,
    transparent: bool,
}

impl Zone {
    /// Proves the records to be a zone, and makes its answers.
    ///
    /// # Errors
    /// All flaws that keep them from being one, up to [`ERRORS_MAX`].
    pub fn compile(source: &ZoneSource) -> Result<Self, Vec<ZoneError>> {
        let proven = prove(source)?;
        let tree = compile::compile(&source.origin, &proven)?;
        let serial = soa_numbers(&proven.records[0])[0];
        Ok(Self {
            origin: source.origin.clone(),
            serial,
            records: proven.records.into(),
            tree,
            transparent: false,
        })
    }

    /// The same zone as an overlay: names that it has no data for are left to others instead of being denied, the
    /// apex with nothing but SOA and NS records among them.
    #[must_use]
    pub fn into_transparent(self) -> Self {
        Self { transparent: true, ..self }
    }

    /// Whether the zone answers for a name that is in it; `hash` is the name's.
    pub(super) fn claims(&self, name: &LowerName, hash: u64) -> bool {
        !self.transparent || self.tree.has_data(name, hash)
    }

    /// The apex.
    pub fn origin(&self) -> &Name {
        &self.origin
    }

    /// The serial number of the SOA record.
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// All records, the SOA record first, then in canonical order (RFC 4034 section 6), names below delegations
    /// included: the order of a transfer, which ends with the first record once more (RFC 5936 section 2.2).
    pub fn records(&self) -> impl ExactSizeIterator<Item = &Record> {
        self.records.iter()
    }
}
