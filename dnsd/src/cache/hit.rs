//! What the cache is asked, and what it says.

use crate::protocol::body::{TooLong, Written};
use crate::protocol::name::LowerName;

/// What an answer is kept under.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// The name asked for.
    pub name: &'a LowerName,
    /// The type asked for.
    pub kind: u16,
    /// DO: with signatures.
    pub dnssec_ok: bool,
    /// CD: not validated.
    pub checking_disabled: bool,
}

/// What the cache has to say to a question. Nothing of it is authoritative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hit {
    /// An answer, or the denial of one.
    Fresh {
        /// What was written to the front of the buffer.
        written: Result<Written, TooLong>,
        /// It expires soon, and the caller is the one to ask for it again in the background.
        prefetch: bool,
    },
    /// An expired answer, all its TTLs [`STALE_TTL`](super::STALE_TTL). The client is to be told so (EDE 3, or 19 for "no such name").
    Stale {
        /// What was written to the front of the buffer.
        written: Result<Written, TooLong>,
        /// The caller is the one to ask for it again in the background: true once a second, and never while a
        /// failure is remembered.
        refresh: bool,
    },
    /// Asking has failed a short while ago, and is not to be tried again yet.
    Failed {
        /// A body without records.
        written: Written,
        /// The extended error that was noted with the failure.
        ede: Option<(u16, &'static str)>,
    },
    /// Nothing: ask.
    Miss,
}

/// A failure to resolve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The response code for the client, usually SERVFAIL.
    pub rcode: u16,
    /// The extended error for the client (RFC 8914): code and text.
    pub ede: Option<(u16, &'static str)>,
}

impl Failure {
    pub(super) fn hit(self) -> Hit {
        Hit::Failed { written: Written::empty(self.rcode), ede: self.ede }
    }
}

/// Why an answer was not kept; it can be passed on all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotStored {
    /// Its TTL is 0.
    TtlZero,
    /// It denies something, and no SOA says for how long.
    NoSoa,
    /// Its response code is neither NOERROR nor NXDOMAIN.
    Rcode,
    /// A type that is no data: 0, OPT, TKEY, TSIG, and zone transfers.
    Kind,
    /// Its parts do not fit together.
    Malformed,
    /// It takes more than its share of the memory.
    TooLarge,
}

impl NotStored {
    /// The label of a metric.
    pub fn name(self) -> &'static str {
        match self {
            Self::TtlZero => "ttl_zero",
            Self::NoSoa => "no_soa",
            Self::Rcode => "rcode",
            Self::Kind => "type",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
        }
    }
}
