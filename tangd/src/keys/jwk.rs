//! A private key as it stands in a file (RFC 7517).

use std::collections::BTreeMap;
use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use zeroize::Zeroizing;

use super::Purpose;
use crate::crypto::{CryptoError, Curve, PrivateKey};
use crate::protocol::jwk::{PublicJwk, PublicJwkError};
use crate::protocol::thumbprint;

/// Why a JWK is no key for us. Never tells anything of its content.
#[derive(Debug)]
pub enum JwkError {
    /// Not one JSON object, or a member of the wrong type.
    Json {
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault.
        column: usize,
    },
    /// Its public part is none.
    Public(PublicJwkError),
    /// It has no `d`, or one that is not base64url without padding.
    NoPrivatePart,
    /// The scalar and the point do not belong together.
    Private(CryptoError),
    /// `alg`, `use` and `key_ops` allow neither signing nor exchanging, or contradict each other.
    NoPurpose,
}

impl fmt::Display for JwkError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json { line, column } => write!(formatter, "not a JWK at line {line}, column {column}"),
            Self::Public(error) => write!(formatter, "{error}"),
            Self::NoPrivatePart => formatter.write_str("d is missing or not base64url without padding"),
            Self::Private(error) => write!(formatter, "{error}"),
            Self::NoPurpose => formatter.write_str(
                "alg, use and key_ops allow neither to sign (ES256, ES384, ES512) nor to exchange (ECMR)",
            ),
        }
    }
}

impl std::error::Error for JwkError {}

/// A private key with its JWK's members. Its scalar is nowhere but in the [`PrivateKey`]: not in JSON values, and not
/// in what `Debug` prints.
#[derive(Clone, Debug)]
pub struct PrivateJwk {
    /// All members but `d`, with `key_ops` as in the file.
    members: PublicJwk,
    key: PrivateKey,
    use_: Use,
}

/// What `alg`, `use` and `key_ops` make of a key.
#[derive(Clone, Copy, Debug)]
struct Use {
    purpose: Purpose,
    advertised: bool,
}

impl PrivateJwk {
    /// Reads a key file's content.
    ///
    /// # Errors
    /// [`JwkError`] where it is no key that can be used.
    pub fn parse(content: &[u8]) -> Result<Self, JwkError> {
        let raw: RawJwk = serde_json::from_slice(content)
            .map_err(|error| JwkError::Json { line: error.line(), column: error.column() })?;
        let members = PublicJwk::try_from(raw.members).map_err(JwkError::Public)?;
        let d = raw.d.ok_or(JwkError::NoPrivatePart)?;
        let key = PrivateKey::new(members.point().clone(), &d.0).map_err(JwkError::Private)?;
        let use_ = Use::of(&members).ok_or(JwkError::NoPurpose)?;
        Ok(Self { members, key, use_ })
    }

    /// A fresh signing key on this curve.
    ///
    /// # Errors
    /// [`CryptoError::System`] where there is no randomness to be had.
    pub fn generate_sign(curve: Curve) -> Result<Self, CryptoError> {
        let use_ = Use { purpose: Purpose::Sign, advertised: true };
        Self::generate(curve, curve.signature_algorithm(), &["sign", "verify"], use_)
    }

    /// A fresh exchange key on this curve.
    ///
    /// # Errors
    /// [`CryptoError::System`] where there is no randomness to be had.
    pub fn generate_exchange(curve: Curve) -> Result<Self, CryptoError> {
        let use_ = Use { purpose: Purpose::Exchange, advertised: true };
        Self::generate(curve, "ECMR", &["deriveKey"], use_)
    }

    /// A fresh pair on P-521: a signing key and an exchange key.
    ///
    /// # Errors
    /// [`CryptoError::System`] where there is no randomness to be had.
    pub fn pair() -> Result<[Self; 2], CryptoError> {
        Ok([Self::generate_sign(Curve::P521)?, Self::generate_exchange(Curve::P521)?])
    }

    fn generate(curve: Curve, algorithm: &str, operations: &[&str], use_: Use) -> Result<Self, CryptoError> {
        let key = PrivateKey::generate(curve)?;
        Ok(Self { members: PublicJwk::new(key.public().clone(), algorithm, operations), key, use_ })
    }

    /// The file's content: compact JSON with sorted members, as upstream's tools write it. Wiped when it is let go.
    ///
    /// # Errors
    /// [`CryptoError::System`] where there is no memory.
    pub fn to_json(&self) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let scalar = self.key.scalar()?;
        let mut d = Zeroizing::new(vec![0; BASE64URL_NOPAD.encode_len(scalar.len())]);
        BASE64URL_NOPAD.encode_mut(&scalar, &mut d);
        // Allocated once: a buffer that grows would leave copies of the scalar behind.
        let room = self.members.to_json().len() + d.len() + r#""d":"","#.len() + 1;
        let mut json = Zeroizing::new(Vec::with_capacity(room));
        let members = self.members.members();
        let before = members.iter().filter(|(name, _)| name.as_str() < "d").map(Some);
        let after = members.iter().filter(|(name, _)| name.as_str() > "d").map(Some);
        for member in before.chain([None]).chain(after) {
            let separator = if json.is_empty() { b'{' } else { b',' };
            json.push(separator);
            if let Some((name, value)) = member {
                serde_json::to_writer(&mut *json, name).expect("text, written to memory");
                json.push(b':');
                serde_json::to_writer(&mut *json, value).expect("plain JSON, written to memory");
            } else {
                json.extend_from_slice(br#""d":""#);
                json.extend_from_slice(&d);
                json.push(b'"');
            }
        }
        json.extend_from_slice(b"}\n");
        debug_assert!(json.len() <= room);
        Ok(json)
    }

    /// What it is for.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        self.use_.purpose
    }

    /// Its S256 thumbprint, which names its file.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        thumbprint::usual(&thumbprint::all(self.members.point())).to_owned()
    }

    /// The key itself.
    #[must_use]
    pub fn private(&self) -> &PrivateKey {
        &self.key
    }

    /// Its public part, as it is advertised: whoever signs, others verify.
    #[must_use]
    pub fn public(&self) -> PublicJwk {
        self.members.clone().map_operations(|name| match name.as_str() {
            Some("sign") => None,
            _ => Some(name.clone()),
        })
    }

    /// Its parts: public, private, purpose, and whether it may be advertised.
    pub(super) fn into_parts(self) -> (PublicJwk, PrivateKey, Purpose, bool) {
        (self.public(), self.key, self.use_.purpose, self.use_.advertised)
    }
}

impl Use {
    /// As upstream decides: exchanging must be said in `key_ops`; signing is allowed where nothing speaks against it.
    fn of(jwk: &PublicJwk) -> Option<Self> {
        let members = jwk.members();
        let operations = members.get("key_ops").map(|value| value.as_array().map_or(&[][..], Vec::as_slice));
        let names =
            |name: &str| operations.is_some_and(|operations| operations.iter().any(|value| value == name));
        let any = operations.is_none() && members.get("use").is_none_or(|value| value == "sig");
        let algorithm = |name: &str| members.get("alg").is_none_or(|value| value == name);
        let signs = (names("sign") || any) && algorithm(jwk.point().curve().signature_algorithm());
        let exchanges = names("deriveKey") && algorithm("ECMR");
        let purpose = match (signs, exchanges) {
            (true, true) => Purpose::Both,
            (true, false) => Purpose::Sign,
            (false, true) => Purpose::Exchange,
            (false, false) => return None,
        };
        Some(Self { purpose, advertised: exchanges || names("verify") || any })
    }
}

/// A JWK, with `d` kept apart from the first byte on.
struct RawJwk {
    members: BTreeMap<String, Value>,
    d: Option<Scalar>,
}

/// Private members of other kinds of keys: never kept.
const OTHER_PRIVATE_MEMBERS: [&str; 7] = ["dp", "dq", "k", "oth", "p", "q", "qi"];

impl<'de> Deserialize<'de> for RawJwk {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = RawJwk;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JWK")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawJwk, A::Error> {
                let mut jwk = RawJwk { members: BTreeMap::new(), d: None };
                while let Some(name) = map.next_key::<String>()? {
                    match &*name {
                        "d" => jwk.d = Some(map.next_value()?),
                        other if OTHER_PRIVATE_MEMBERS.contains(&other) => {
                            map.next_value::<IgnoredAny>()?;
                        }
                        _ => {
                            jwk.members.insert(name, map.next_value()?);
                        }
                    }
                }
                Ok(jwk)
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// `d`, decoded straight out of the file's bytes.
struct Scalar(Zeroizing<Vec<u8>>);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Scalar;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("base64url without padding or escapes")
            }

            /// Only text that is borrowed from the input: anything with escapes has been through a buffer that is not wiped.
            fn visit_borrowed_str<E: serde::de::Error>(self, text: &str) -> Result<Scalar, E> {
                let length = BASE64URL_NOPAD.decode_len(text.len()).map_err(|_| E::custom("d"))?;
                let mut octets = Zeroizing::new(vec![0; length]);
                let decoded = BASE64URL_NOPAD.decode_mut(text.as_bytes(), &mut octets);
                decoded.map_err(|_| E::custom("d"))?;
                Ok(Scalar(octets))
            }
        }

        deserializer.deserialize_str(Text).map_err(|_| D::Error::custom("d"))
    }
}
