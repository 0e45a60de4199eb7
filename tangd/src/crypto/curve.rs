//! The curves that keys may be on.

use std::fmt;
use std::sync::OnceLock;

use josekit::jwk::alg::ec::EcCurve;
use josekit::jws::ES256;
use josekit::jws::alg::ecdsa::EcdsaJwsAlgorithm;
use josekit::jws::{ES384, ES512};
use openssl::ec::{EcGroup, EcGroupRef};
use openssl::error::ErrorStack;
use openssl::nid::Nid;

/// A curve of prime order (RFC 7518 section 6.2.1.1): every point on it, save infinity, has the full order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Curve {
    /// P-256, also prime256v1 or secp256r1.
    P256,
    /// P-384, also secp384r1.
    P384,
    /// P-521, also secp521r1: what new keys are on.
    P521,
}

impl Curve {
    /// Every curve.
    pub const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];

    /// The curve that `crv` names; none for any other curve.
    #[must_use]
    pub fn named(crv: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|curve| curve.name() == crv)
    }

    /// Its name in a JWK (`crv`).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    /// How long a coordinate is, in octets: always whole, with zeros in front (RFC 7518 section 6.2.1.2).
    #[must_use]
    pub fn coordinate_bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    /// The algorithm that a key on this curve signs with (RFC 7518 section 3.4): `ES256`, `ES384` or `ES512`.
    #[must_use]
    pub fn signature_algorithm(self) -> &'static str {
        match self {
            Self::P256 => "ES256",
            Self::P384 => "ES384",
            Self::P521 => "ES512",
        }
    }

    /// The curve's parameters, made once.
    pub(super) fn group(self) -> Result<&'static EcGroupRef, ErrorStack> {
        static GROUPS: [OnceLock<EcGroup>; 3] = [const { OnceLock::new() }; 3];
        let slot = &GROUPS[self as usize];
        if let Some(group) = slot.get() {
            return Ok(group);
        }
        let group = EcGroup::from_curve_name(match self {
            Self::P256 => Nid::X9_62_PRIME256V1,
            Self::P384 => Nid::SECP384R1,
            Self::P521 => Nid::SECP521R1,
        })?;
        Ok(slot.get_or_init(|| group))
    }

    pub(super) fn signatures(self) -> EcdsaJwsAlgorithm {
        match self {
            Self::P256 => ES256,
            Self::P384 => ES384,
            Self::P521 => ES512,
        }
    }

    pub(super) fn in_josekit(self) -> EcCurve {
        match self {
            Self::P256 => EcCurve::P256,
            Self::P384 => EcCurve::P384,
            Self::P521 => EcCurve::P521,
        }
    }
}

impl fmt::Display for Curve {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
