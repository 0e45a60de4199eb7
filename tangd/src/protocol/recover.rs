//! Exchanges.

use super::jwk::PublicJwk;
use super::reply::{Outcome, Reason, Reply};
use super::request::RequestJwk;
use crate::crypto::{CryptoError, Point, PrivateKey};
use crate::keys::{KeyEntry, KeySet};

/// A request for an exchange in which nothing is wrong: only the computation remains.
#[derive(Debug)]
pub struct Recovery<'k> {
    key: &'k KeyEntry,
    private: &'k PrivateKey,
    point: Point,
}

impl<'k> Recovery<'k> {
    /// Checks a request for an exchange with the key of this thumbprint, in upstream's order.
    ///
    /// # Errors
    /// The first [`Reason`] against it. [`Reason::Sealed`] comes after all that is wrong for good, so that a client is
    /// asked to come again only where that may help.
    pub fn prepare(thumbprint: &str, body: &[u8], keys: &'k KeySet) -> Result<Self, Reason> {
        let request = RequestJwk::parse(body)?;
        let key = keys.find(thumbprint).ok_or(Reason::UnknownKey)?;
        if !key.purpose.exchanges() {
            return Err(Reason::NotAnExchangeKeyOfOurs);
        }
        let point = request.point(key.curve)?;
        let private = key.private().ok_or(Reason::Sealed)?;
        Ok(Self { key, private, point })
    }

    /// The key that would take part.
    #[must_use]
    pub fn key(&self) -> &'k KeyEntry {
        self.key
    }

    /// Computes the answer: a fraction of a millisecond of pure computation.
    #[must_use]
    pub fn exchange(&self) -> Reply {
        match self.private.exchange(&self.point) {
            Ok(product) => Reply::recovered(
                PublicJwk::new(product, "ECMR", &["deriveKey"]).to_json(),
                Outcome::Recovered {
                    thumbprint: self.key.thumbprint().to_owned(),
                    file: self.key.file.clone(),
                    hidden: self.key.hidden,
                },
            ),
            Err(CryptoError::Curve) => Reply::refused(Reason::OtherCurve),
            Err(CryptoError::Infinity | CryptoError::PublicPoint | CryptoError::Scalar) => {
                Reply::refused(Reason::NotAPoint)
            }
            Err(CryptoError::System(_)) => Reply::refused(Reason::System),
        }
    }
}
