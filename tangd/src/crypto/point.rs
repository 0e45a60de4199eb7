//! Public points.

use std::fmt;

use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcPoint, EcPointRef};

use super::{CryptoError, Curve};

/// Why two coordinates are no [`Point`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointError {
    /// A coordinate is shorter or longer than the curve's field elements.
    Width,
    /// A coordinate is not below the prime of the field, or the point is not on the curve.
    NotOnCurve,
    /// libcrypto could not compute (no memory).
    System,
}

impl fmt::Display for PointError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Width => "a coordinate is not as wide as the curve's",
            Self::NotOnCurve => "the point is not on the curve",
            Self::System => "libcrypto could not compute",
        })
    }
}

impl std::error::Error for PointError {}

/// A point on its curve, never the one at infinity: both coordinates, in whole width.
#[derive(Clone, PartialEq, Eq)]
pub struct Point {
    curve: Curve,
    /// 0x04, x, y: the uncompressed form (SEC 1 section 2.3.3).
    octets: Box<[u8]>,
}

impl Point {
    /// The point with these coordinates, each as wide as the curve's field elements, big-endian.
    ///
    /// # Errors
    /// [`PointError`]: where they are no point of the curve. The curve's order is prime, so no point on it has a small one.
    pub fn new(curve: Curve, x: &[u8], y: &[u8]) -> Result<Self, PointError> {
        if x.len() != curve.coordinate_bytes() || y.len() != curve.coordinate_bytes() {
            return Err(PointError::Width);
        }
        let point = Self { curve, octets: [&[4], x, y].concat().into() };
        point.to_openssl()?;
        Ok(point)
    }

    /// The curve that it is on.
    #[must_use]
    pub fn curve(&self) -> Curve {
        self.curve
    }

    /// The first coordinate, in whole width.
    #[must_use]
    pub fn x(&self) -> &[u8] {
        &self.octets[1..=self.curve.coordinate_bytes()]
    }

    /// The second coordinate, in whole width.
    #[must_use]
    pub fn y(&self) -> &[u8] {
        &self.octets[1 + self.curve.coordinate_bytes()..]
    }

    /// The same for libcrypto, which checks that the coordinates are below the prime and satisfy the curve's equation.
    pub(super) fn to_openssl(&self) -> Result<EcPoint, PointError> {
        let group = self.curve.group().map_err(|_| PointError::System)?;
        let mut context = BigNumContext::new().map_err(|_| PointError::System)?;
        let point =
            EcPoint::from_bytes(group, &self.octets, &mut context).map_err(|_| PointError::NotOnCurve)?;
        if point.is_infinity(group)
            || !point.is_on_curve(group, &mut context).map_err(|_| PointError::System)?
        {
            return Err(PointError::NotOnCurve);
        }
        Ok(point)
    }

    /// What libcrypto has computed.
    pub(super) fn from_openssl(curve: Curve, point: &EcPointRef) -> Result<Self, CryptoError> {
        let group = curve.group()?;
        if point.is_infinity(group) {
            return Err(CryptoError::Infinity);
        }
        let (mut x, mut y) = (BigNum::new()?, BigNum::new()?);
        let mut context = BigNumContext::new()?;
        point.affine_coordinates(group, &mut x, &mut y, &mut context)?;
        let width = curve.coordinate_bytes();
        let mut octets = Vec::with_capacity(1 + 2 * width);
        octets.push(4);
        for coordinate in [x, y] {
            let padded = coordinate.to_vec_padded(i32::try_from(width).expect("66 at most"))?;
            octets.extend_from_slice(&padded);
        }
        Ok(Self { curve, octets: octets.into() })
    }
}

impl fmt::Debug for Point {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encode = |octets| data_encoding::BASE64URL_NOPAD.encode(octets);
        let (x, y) = (encode(self.x()), encode(self.y()));
        formatter.debug_struct("Point").field("curve", &self.curve).field("x", &x).field("y", &y).finish()
    }
}
