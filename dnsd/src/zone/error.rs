//! What keeps records from being a zone.

use std::fmt;

use super::rdata::mnemonic;
use crate::protocol::name::Name;

/// How many flaws of one zone are reported; more have one reason, and more text helps nobody.
pub const ERRORS_MAX: usize = 100;

/// A flaw of a zone, with the record it was found at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZoneError {
    /// The apex has no SOA record.
    NoSoa(Name),
    /// The apex has several SOA records.
    SeveralSoa(Name),
    /// A SOA record stands elsewhere than at the apex.
    SoaBelowApex(Name),
    /// The apex has no NS record.
    NoNs(Name),
    /// A record's owner is neither the apex nor below it.
    OutOfZone {
        /// Whose the record is.
        owner: Name,
        /// The apex.
        origin: Name,
    },
    /// A name with a CNAME record has other records as well (RFC 1034 section 3.6.2, RFC 2181 section 10.1).
    CnameAndOther {
        /// The name.
        owner: Name,
        /// The type of one of the others.
        kind: u16,
    },
    /// A name has several CNAME or DNAME records (RFC 2181 section 10.1, RFC 6672 section 2.4).
    SeveralAliases {
        /// The name.
        owner: Name,
        /// CNAME or DNAME.
        kind: u16,
    },
    /// A name has both a DNAME record and a delegation (RFC 6672 section 2.3).
    DnameAtCut(Name),
    /// A name has a DS record but no NS record: nothing is delegated there (RFC 4035 section 2.4).
    DsWithoutCut(Name),
    /// A type that is no data: a question's, a transaction's or a reserved one.
    NotData {
        /// Whose the record is.
        owner: Name,
        /// The type.
        kind: u16,
    },
    /// The data do not have the form of their type.
    Misshapen {
        /// Whose the record is.
        owner: Name,
        /// The type.
        kind: u16,
    },
    /// The TTL is beyond 2^31 - 1 (RFC 2181 section 8).
    Ttl {
        /// Whose the record is.
        owner: Name,
        /// The type.
        kind: u16,
    },
    /// The records of one name and type do not fit into one message.
    RrsetTooLong {
        /// Whose they are.
        owner: Name,
        /// Their type.
        kind: u16,
    },
    /// The zone is larger than its tables can address.
    ZoneTooLarge(Name),
}

impl fmt::Display for ZoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSoa(apex) => write!(f, "zone {apex} has no SOA record at its apex: add one"),
            Self::SeveralSoa(apex) => {
                write!(f, "zone {apex} has more than one SOA record: keep one")
            }
            Self::SoaBelowApex(owner) => {
                write!(
                    f,
                    "{owner} has a SOA record but is not the apex: remove it, or make it a zone of its own"
                )
            }
            Self::NoNs(apex) => write!(f, "zone {apex} has no NS record at its apex: add one"),
            Self::OutOfZone { owner, origin } => {
                write!(f, "{owner} is not in zone {origin}: remove it, or put it into its own zone")
            }
            Self::CnameAndOther { owner, kind } => write!(
                f,
                "{owner} has a CNAME record beside {} data: an alias can have no other records",
                mnemonic(*kind)
            ),
            Self::SeveralAliases { owner, kind } => {
                write!(f, "{owner} has more than one {} record: keep one", mnemonic(*kind))
            }
            Self::DnameAtCut(owner) => {
                write!(f, "{owner} is delegated and has a DNAME record: keep either NS or DNAME")
            }
            Self::DsWithoutCut(owner) => {
                write!(f, "{owner} has a DS record but no NS record: remove it, or delegate the name")
            }
            Self::NotData { owner, kind } => {
                write!(f, "{owner} has a record of type {}, which is no data: remove it", mnemonic(*kind))
            }
            Self::Misshapen { owner, kind } => {
                write!(f, "the data of {owner} {} do not have the form of that type", mnemonic(*kind))
            }
            Self::Ttl { owner, kind } => {
                write!(f, "the TTL of {owner} {} is beyond 2147483647 seconds", mnemonic(*kind))
            }
            Self::RrsetTooLong { owner, kind } => {
                write!(f, "the {} records of {owner} do not fit into one message: use fewer", mnemonic(*kind))
            }
            Self::ZoneTooLarge(apex) => write!(f, "zone {apex} is beyond 4 GiB: split it"),
        }
    }
}

impl std::error::Error for ZoneError {}
