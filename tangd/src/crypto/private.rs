//! Private keys.

use std::fmt;

use josekit::jwk::alg::ec::EcKeyPair;
use josekit::jws::JwsSigner;
use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcKey, EcPoint};
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use zeroize::Zeroizing;

use super::{Curve, Point, PointError};

/// Why a private key could not be made or used.
#[derive(Debug)]
pub enum CryptoError {
    /// The scalar is not between 1 and the order of the curve, or not as wide as the order.
    Scalar,
    /// The public point is none, or it is not the scalar's.
    PublicPoint,
    /// Another curve than the key's.
    Curve,
    /// The result is the point at infinity.
    Infinity,
    /// libcrypto refused; the text says which of its functions, and holds nothing secret.
    System(String),
}

impl fmt::Display for CryptoError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar => formatter.write_str("the private value is out of range"),
            Self::PublicPoint => formatter.write_str("the public point does not belong to the private value"),
            Self::Curve => formatter.write_str("the point is on another curve than the key"),
            Self::Infinity => formatter.write_str("the result is the point at infinity"),
            Self::System(text) => write!(formatter, "libcrypto could not compute: {text}"),
        }
    }
}

impl std::error::Error for CryptoError {}

impl From<ErrorStack> for CryptoError {
    fn from(error: ErrorStack) -> Self {
        Self::System(error.to_string())
    }
}

/// A private scalar with its public point.
///
/// The scalar is held by libcrypto alone, marked for computation in constant time, and wiped by it when the last copy
/// is let go. There is no way to print it; [`Self::scalar`] is for whoever writes the key down.
#[derive(Clone)]
pub struct PrivateKey {
    curve: Curve,
    public: Point,
    key: EcKey<Private>,
}

impl PrivateKey {
    /// The key with scalar `d` (big-endian, as wide as a coordinate) and the public point `public`.
    ///
    /// # Errors
    /// [`CryptoError`]: where `d` is out of range or `public` is not its point.
    pub fn new(public: Point, d: &[u8]) -> Result<Self, CryptoError> {
        let curve = public.curve();
        if d.len() != curve.coordinate_bytes() {
            return Err(CryptoError::Scalar);
        }
        let group = curve.group()?;
        let mut scalar = BigNum::new_secure()?;
        scalar.copy_from_slice(d)?;
        scalar.set_const_time();
        let mut order = BigNum::new()?;
        order.set_const_time();
        let mut context = BigNumContext::new_secure()?;
        group.order(&mut order, &mut context)?;
        if scalar.num_bits() == 0 || scalar.ucmp(&order).is_ge() {
            return Err(CryptoError::Scalar);
        }
        let point = public.to_openssl().map_err(|error| match error {
            PointError::System => CryptoError::System("no memory".to_owned()),
            PointError::Width | PointError::NotOnCurve => CryptoError::PublicPoint,
        })?;
        let mut expected = EcPoint::new(group)?;
        expected.mul_generator2(group, &scalar, &mut context)?;
        if !expected.eq(group, &point, &mut context)? {
            return Err(CryptoError::PublicPoint);
        }
        let key = EcKey::from_private_components(group, &scalar, &point)?;
        Ok(Self { curve, public, key })
    }

    /// A new key from libcrypto's generator of random numbers.
    ///
    /// # Errors
    /// [`CryptoError::System`] where there is no randomness to be had.
    pub fn generate(curve: Curve) -> Result<Self, CryptoError> {
        let pair = EcKeyPair::generate(curve.in_josekit())
            .map_err(|error| CryptoError::System(error.to_string()))?;
        // The one form of josekit's that is not copied on the way and can be wiped.
        let der = Zeroizing::new(pair.to_raw_private_key());
        let key = EcKey::private_key_from_der(&der)?;
        let public = Point::from_openssl(curve, key.public_key())?;
        Ok(Self { curve, public, key })
    }

    /// The curve that it is on.
    #[must_use]
    pub fn curve(&self) -> Curve {
        self.curve
    }

    /// Its public point.
    #[must_use]
    pub fn public(&self) -> &Point {
        &self.public
    }

    /// The scalar, big-endian, as wide as a coordinate: for writing the key to its file or its sealed store.
    ///
    /// # Errors
    /// [`CryptoError::System`] where there is no memory.
    pub fn scalar(&self) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let width = i32::try_from(self.curve.coordinate_bytes()).expect("66 at most");
        Ok(Zeroizing::new(self.key.private_key().to_vec_padded(width)?))
    }

    /// The point times the scalar, whole: the client subtracts from it, so the sign of y matters and an exchange that
    /// knows only x would lead half of all clients astray.
    ///
    /// # Errors
    /// [`CryptoError::Curve`] for a point of another curve, [`CryptoError::Infinity`] for a result without coordinates.
    pub fn exchange(&self, point: &Point) -> Result<Point, CryptoError> {
        if point.curve() != self.curve {
            return Err(CryptoError::Curve);
        }
        let group = self.curve.group()?;
        let point = point.to_openssl().map_err(|_| CryptoError::PublicPoint)?;
        let mut context = BigNumContext::new_secure()?;
        let mut product = EcPoint::new(group)?;
        product.mul2(group, &point, self.key.private_key(), &mut context)?;
        Point::from_openssl(self.curve, &product)
    }

    /// Signs `message` as JWS does (RFC 7518 section 3.4): r and s, each as wide as the order of the curve.
    ///
    /// # Errors
    /// [`CryptoError::System`] where libcrypto refuses.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let system = |error: josekit::JoseError| CryptoError::System(error.to_string());
        let der = Zeroizing::new(PKey::from_ec_key(self.key.clone())?.private_key_to_pkcs8()?);
        let signer = self.curve.signatures().signer_from_der(&*der).map_err(system)?;
        signer.sign(message).map_err(system)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PrivateKey").field("public", &self.public).finish_non_exhaustive()
    }
}
