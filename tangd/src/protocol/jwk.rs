//! Public EC keys as JWKs (RFC 7517, RFC 7518 section 6.2).

use std::collections::BTreeMap;
use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::crypto::{Curve, Point, PointError};

/// Why a JWK is no public EC key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicJwkError {
    /// `kty` is missing or not `EC`.
    KeyType,
    /// `crv` is missing or none of P-256, P-384 and P-521.
    Curve,
    /// `x` or `y` is missing or not base64url without padding.
    Coordinate,
    /// The coordinates are no point of the curve.
    Point(PointError),
}

impl fmt::Display for PublicJwkError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyType => formatter.write_str("kty is not EC"),
            Self::Curve => formatter.write_str("crv is none of P-256, P-384 and P-521"),
            Self::Coordinate => formatter.write_str("x or y is missing or not base64url without padding"),
            Self::Point(error) => write!(formatter, "{error}"),
        }
    }
}

impl std::error::Error for PublicJwkError {}

/// A public EC key with all its public members, also those that mean nothing to us (`kid`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, Value>", into = "BTreeMap<String, Value>")]
pub struct PublicJwk {
    point: Point,
    members: BTreeMap<String, Value>,
}

impl PublicJwk {
    /// The key with this point, and with `alg` and `key_ops`.
    #[must_use]
    pub fn new(point: Point, algorithm: &str, operations: &[&str]) -> Self {
        let [x, y] = [point.x(), point.y()].map(|octets| BASE64URL_NOPAD.encode(octets));
        let members = [
            ("alg", algorithm.into()),
            ("crv", point.curve().name().into()),
            ("key_ops", operations.into()),
            ("kty", "EC".into()),
            ("x", x.into()),
            ("y", y.into()),
        ];
        Self { point, members: members.map(|(name, value): (_, Value)| (name.to_owned(), value)).into() }
    }

    /// The point.
    #[must_use]
    pub fn point(&self) -> &Point {
        &self.point
    }

    /// Its members by name.
    #[must_use]
    pub fn members(&self) -> &BTreeMap<String, Value> {
        &self.members
    }

    /// The same with other `key_ops`, if it has any.
    #[must_use]
    pub fn map_operations(mut self, map: impl Fn(&Value) -> Option<Value>) -> Self {
        if let Some(Value::Array(operations)) = self.members.get_mut("key_ops") {
            *operations = operations.iter().filter_map(map).collect();
        }
        self
    }

    /// Compact JSON with sorted members: clevis' test suite and upstream's compare replies byte by byte.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.members).expect("members have string keys and are plain JSON")
    }
}

impl TryFrom<BTreeMap<String, Value>> for PublicJwk {
    type Error = PublicJwkError;

    fn try_from(members: BTreeMap<String, Value>) -> Result<Self, PublicJwkError> {
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        let point = point(text("kty"), text("crv"), text("x"), text("y"))?;
        Ok(Self { point, members })
    }
}

impl From<PublicJwk> for BTreeMap<String, Value> {
    fn from(jwk: PublicJwk) -> Self {
        jwk.members
    }
}

/// The point of a JWK with these members.
///
/// # Errors
/// [`PublicJwkError`], the first in the order of its variants.
pub fn point(
    kty: Option<&str>,
    crv: Option<&str>,
    x: Option<&str>,
    y: Option<&str>,
) -> Result<Point, PublicJwkError> {
    if kty != Some("EC") {
        return Err(PublicJwkError::KeyType);
    }
    let curve = crv.and_then(Curve::named).ok_or(PublicJwkError::Curve)?;
    let decode = |text: Option<&str>| {
        let octets = text.and_then(|text| BASE64URL_NOPAD.decode(text.as_bytes()).ok());
        octets.ok_or(PublicJwkError::Coordinate)
    };
    Point::new(curve, &decode(x)?, &decode(y)?).map_err(PublicJwkError::Point)
}
