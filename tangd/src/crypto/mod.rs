//! Elliptic curves: points, private scalars, the exchange of McCallum and Relyea, signatures.
//!
//! Everything rests on the distribution's libcrypto through the `openssl` crate, whose multiplication of a single
//! point takes the same time for every scalar. Where `josekit` does the work (signatures, new keys) it is handed DER,
//! never a JWK: its JWKs are plain JSON values that print their `d` and are not wiped.
//!
//! What a peer sends reaches a private scalar only as a [`Point`], and there is no way to a [`Point`] that is not on
//! its curve, and none to the point at infinity.

mod curve;
mod point;
mod private;
#[cfg(test)]
mod tests;

pub use curve::Curve;
pub use point::{Point, PointError};
pub use private::{CryptoError, PrivateKey};
