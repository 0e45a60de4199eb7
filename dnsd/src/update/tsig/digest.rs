//! The keyed digests of RFC 8945 section 6.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};

use crate::protocol::name::Name;

/// How a transaction is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the name of the digest says it")]
pub enum Algorithm {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Algorithm {
    /// Its name on the wire.
    pub fn to_name(self) -> Name {
        let text = match self {
            Self::Sha1 => "hmac-sha1.",
            Self::Sha224 => "hmac-sha224.",
            Self::Sha256 => "hmac-sha256.",
            Self::Sha384 => "hmac-sha384.",
            Self::Sha512 => "hmac-sha512.",
        };
        Name::parse(text).expect("the names above are names")
    }

    /// The length of a whole signature, in octets.
    pub fn bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    pub(super) fn digest(self, secret: &[u8]) -> Digest {
        const ANY: &str = "HMAC takes keys of any length";
        match self {
            Self::Sha1 => Digest::Sha1(Hmac::new_from_slice(secret).expect(ANY)),
            Self::Sha224 => Digest::Sha224(Hmac::new_from_slice(secret).expect(ANY)),
            Self::Sha256 => Digest::Sha256(Hmac::new_from_slice(secret).expect(ANY)),
            Self::Sha384 => Digest::Sha384(Hmac::new_from_slice(secret).expect(ANY)),
            Self::Sha512 => Digest::Sha512(Hmac::new_from_slice(secret).expect(ANY)),
        }
    }
}

/// A digest under way.
pub(super) enum Digest {
    Sha1(Hmac<Sha1>),
    Sha224(Hmac<Sha224>),
    Sha256(Hmac<Sha256>),
    Sha384(Hmac<Sha384>),
    Sha512(Hmac<Sha512>),
}

/// The same for each of them.
macro_rules! each {
    ($digest:expr, $mac:ident => $body:expr) => {
        match $digest {
            Digest::Sha1($mac) => $body,
            Digest::Sha224($mac) => $body,
            Digest::Sha256($mac) => $body,
            Digest::Sha384($mac) => $body,
            Digest::Sha512($mac) => $body,
        }
    };
}

impl Digest {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        each!(self, mac => mac.update(bytes));
    }

    pub(super) fn finish(self) -> Vec<u8> {
        each!(self, mac => mac.finalize().into_bytes().to_vec())
    }

    /// Whether `signature`, possibly cut short, is this digest's; takes the same time wherever they differ.
    pub(super) fn verify(self, signature: &[u8]) -> bool {
        each!(self, mac => mac.verify_truncated_left(signature).is_ok())
    }
}
