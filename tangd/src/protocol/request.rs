//! The key that a client sends.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use zeroize::Zeroizing;

use super::BODY_BYTES_MAX;
use super::jwk;
use super::reply::Reason;
use crate::crypto::{Curve, Point, PrivateKey};

/// How deep JSON may be nested, as upstream's parser has it: beyond, the body is no JSON.
pub const NESTING_MAX: usize = 2048;

/// The body of a request: what of the client's JWK matters. Anything else in it is passed over.
#[derive(Default)]
pub struct RequestJwk {
    kty: Option<Value>,
    crv: Option<Value>,
    x: Option<Value>,
    y: Option<Value>,
    alg: Option<Value>,
    usage: Option<Value>,
    operations: Option<Value>,
    /// A private part, which should never have been sent: the client's loss, not ours.
    d: Option<Value>,
}

impl RequestJwk {
    /// Reads a body and checks what does not depend on our key.
    ///
    /// # Errors
    /// [`Reason::BodyTooLarge`], [`Reason::NotJson`], [`Reason::NotAnExchangeKey`] or [`Reason::RequestForbidsExchange`].
    pub fn parse(body: &[u8]) -> Result<Self, Reason> {
        if body.len() > BODY_BYTES_MAX {
            return Err(Reason::BodyTooLarge);
        }
        let text = std::str::from_utf8(body).map_err(|_| Reason::NotJson)?;
        let jwk: Self = serde_json::from_str(text).map_err(|_| Reason::NotJson)?;
        if nesting(text) > NESTING_MAX {
            return Err(Reason::NotJson);
        }
        jwk.check()?;
        Ok(jwk)
    }

    /// Its point, if it is one of our key's curve.
    ///
    /// # Errors
    /// [`Reason::OtherCurve`] or [`Reason::NotAPoint`].
    pub fn point(&self, curve: Curve) -> Result<Point, Reason> {
        let [kty, crv, x, y] =
            [&self.kty, &self.crv, &self.x, &self.y].map(|member| member.as_ref().and_then(Value::as_str));
        if crv != Some(curve.name()) {
            return Err(Reason::OtherCurve);
        }
        let point = jwk::point(kty, crv, x, y).map_err(|_| Reason::NotAPoint)?;
        if let Some(d) = &self.d {
            let d = d.as_str().and_then(|d| BASE64URL_NOPAD.decode(d.as_bytes()).ok());
            let d = Zeroizing::new(d.ok_or(Reason::NotAPoint)?);
            PrivateKey::new(point.clone(), &d).map_err(|_| Reason::NotAPoint)?;
        }
        Ok(point)
    }

    /// As upstream: an exchange must be among `key_ops`; without `key_ops` there must not be a `use` either.
    fn check(&self) -> Result<(), Reason> {
        let permitted = self.operations.as_ref().map_or(self.usage.is_none(), |operations| {
            operations.as_array().is_some_and(|names| names.iter().any(|name| name == "deriveKey"))
        });
        if !permitted {
            return Err(Reason::RequestForbidsExchange);
        }
        let fits = self.kty.as_ref().is_some_and(|kty| kty == "EC")
            && self.alg.as_ref().is_none_or(|algorithm| algorithm == "ECMR");
        if fits { Ok(()) } else { Err(Reason::NotAnExchangeKey) }
    }
}

impl fmt::Debug for RequestJwk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kty, crv, x, y, .. } = self;
        formatter
            .debug_struct("RequestJwk")
            .field("kty", kty)
            .field("crv", crv)
            .field("x", x)
            .field("y", y)
            .finish_non_exhaustive()
    }
}

impl<'de> Deserialize<'de> for RequestJwk {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = RequestJwk;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JWK")
    }

    /// Of a member that occurs twice the last counts, as for upstream.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RequestJwk, A::Error> {
        let mut jwk = RequestJwk::default();
        while let Some(name) = map.next_key::<String>()? {
            let member = match &*name {
                "kty" => &mut jwk.kty,
                "crv" => &mut jwk.crv,
                "x" => &mut jwk.x,
                "y" => &mut jwk.y,
                "alg" => &mut jwk.alg,
                "use" => &mut jwk.usage,
                "key_ops" => &mut jwk.operations,
                "d" => &mut jwk.d,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *member = Some(map.next_value()?);
        }
        Ok(jwk)
    }
}

/// The deepest nesting of arrays and objects in what is known to be JSON.
fn nesting(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}
