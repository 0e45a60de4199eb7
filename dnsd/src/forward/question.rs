//! What is asked of the upstream servers.

use std::hash::{Hash, Hasher};

use crate::protocol::name::Name;

/// A question of class IN that outlives the request it came with. Equal questions share one upstream query:
/// the letter case of the name does not count.
#[derive(Clone, Debug)]
pub struct OwnedQuestion {
    /// The name.
    pub name: Name,
    /// The type.
    pub kind: u16,
    /// Whether DNSSEC records are wanted (RFC 3225).
    pub dnssec_ok: bool,
    /// Whether the client validates by itself and takes what does not validate (RFC 4035 section 3.2.2).
    pub checking_disabled: bool,
}

impl OwnedQuestion {
    /// A question of a client without DNSSEC.
    pub fn new(name: Name, kind: u16) -> Self {
        Self { name, kind, dnssec_ok: false, checking_disabled: false }
    }

    /// The same about another name: the next link of a chain.
    #[must_use]
    pub fn about(&self, name: Name) -> Self {
        Self { name, ..self.clone() }
    }
}

impl PartialEq for OwnedQuestion {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.dnssec_ok == other.dnssec_ok
            && self.checking_disabled == other.checking_disabled
            && self.name == other.name
    }
}

impl Eq for OwnedQuestion {}

impl Hash for OwnedQuestion {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        (self.kind, self.dnssec_ok, self.checking_disabled).hash(state);
    }
}
