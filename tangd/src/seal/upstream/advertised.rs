//! An advertisement, judged as a client has to.

use data_encoding::BASE64URL_NOPAD;
use josekit::jws::alg::ecdsa::EcdsaJwsAlgorithm;
use josekit::jws::{ES256, ES384, ES512, JwsVerifier};
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use serde::Deserialize;
use serde_json::Value;

use crate::crypto::Curve;
use crate::protocol::jwk::PublicJwk;
use crate::protocol::thumbprint;
use crate::seal::SealError;

/// How many keys an advertisement may have: the work of checking them is bounded by it.
const KEYS_MAX: usize = 64;

/// An advertisement that every one of its signing keys has signed, and one of those is the one that we know.
#[derive(Debug)]
pub(in crate::seal) struct Advertised {
    keys: Vec<PublicJwk>,
}

/// A JWS in JSON, flattened or general (RFC 7515 section 7.2).
#[derive(Deserialize)]
struct Jws {
    payload: String,
    #[serde(flatten)]
    only: Option<Signature>,
    signatures: Option<Vec<Signature>>,
}

#[derive(Deserialize)]
struct Signature {
    protected: String,
    signature: String,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    /// Extensions that have to be understood; we know none (RFC 7515 section 4.1.11).
    crit: Option<Value>,
}

#[derive(Deserialize)]
struct KeyList {
    keys: Vec<Value>,
}

impl Advertised {
    /// Judges `jws`; `known` is a thumbprint of a signing key, under any of the five hashes.
    pub(in crate::seal) fn verify(jws: &[u8], known: &str) -> Result<Self, SealError> {
        let refused = |why: &str| SealError::Upstream(format!("the advertisement is refused: {why}"));
        let jws: Jws = serde_json::from_slice(jws).map_err(|_| refused("it is no JWS"))?;
        let payload = BASE64URL_NOPAD
            .decode(jws.payload.as_bytes())
            .map_err(|_| refused("its payload is not base64url"))?;
        let list: KeyList =
            serde_json::from_slice(&payload).map_err(|_| refused("its payload is no set of keys"))?;
        let signatures = jws.signatures.unwrap_or_else(|| jws.only.into_iter().collect());
        if list.keys.len() > KEYS_MAX || signatures.len() > KEYS_MAX {
            return Err(refused(&format!("it has more than {KEYS_MAX} keys or signatures")));
        }
        // Keys of kinds that we do not know are nothing to us, as long as they do not sign.
        let keys: Vec<PublicJwk> =
            list.keys.iter().filter_map(|key| serde_json::from_value(key.clone()).ok()).collect();
        let may_sign = list.keys.iter().filter(|key| has_operation(key, "verify")).count();
        let signers: Vec<_> = keys.iter().filter(|key| allows(key, "verify")).collect();
        if may_sign != signers.len() {
            return Err(refused("one of its signing keys is of a kind that cannot be checked"));
        }
        for signer in &signers {
            let signed = signatures.iter().any(|signature| is_by(signer, signature, &jws.payload));
            if !signed {
                return Err(refused("one of its signing keys has not signed it"));
            }
        }
        if !signers.iter().any(|signer| thumbprint::all(signer.point()).iter().any(|own| own == known)) {
            return Err(refused(&format!("none of its signing keys has the thumbprint {known}")));
        }
        Ok(Self { keys })
    }

    /// The first exchange key, as clevis takes it.
    pub(in crate::seal) fn exchange_key(&self) -> Result<PublicJwk, SealError> {
        let found = self.keys.iter().find(|key| allows(key, "deriveKey")).cloned();
        found.ok_or_else(|| SealError::Upstream("the server advertises no exchange key".to_owned()))
    }
}

fn allows(key: &PublicJwk, operation: &str) -> bool {
    key.members()
        .get("key_ops")
        .and_then(Value::as_array)
        .is_some_and(|names| names.iter().any(|name| name == operation))
}

fn has_operation(key: &Value, operation: &str) -> bool {
    key["key_ops"].as_array().is_some_and(|names| names.iter().any(|name| name == operation))
}

/// Whether `signature` is one of `payload` by `key`.
fn is_by(key: &PublicJwk, signature: &Signature, payload: &str) -> bool {
    let check = || -> Option<bool> {
        let header = BASE64URL_NOPAD.decode(signature.protected.as_bytes()).ok()?;
        let header: Header = serde_json::from_slice(&header).ok()?;
        if header.alg != key.point().curve().signature_algorithm() || header.crit.is_some() {
            return Some(false);
        }
        let octets = BASE64URL_NOPAD.decode(signature.signature.as_bytes()).ok()?;
        let message = format!("{}.{payload}", signature.protected);
        Some(verifier(key)?.verify(message.as_bytes(), &octets).is_ok())
    };
    check().unwrap_or(false)
}

fn verifier(key: &PublicJwk) -> Option<impl JwsVerifier> {
    let point = key.point();
    let (algorithm, curve): (EcdsaJwsAlgorithm, Nid) = match point.curve() {
        Curve::P256 => (ES256, Nid::X9_62_PRIME256V1),
        Curve::P384 => (ES384, Nid::SECP384R1),
        Curve::P521 => (ES512, Nid::SECP521R1),
    };
    let group = EcGroup::from_curve_name(curve).ok()?;
    let (x, y) = (BigNum::from_slice(point.x()).ok()?, BigNum::from_slice(point.y()).ok()?);
    let der = EcKey::from_public_key_affine_coordinates(&group, &x, &y).ok()?.public_key_to_der().ok()?;
    algorithm.verifier_from_der(der).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{KeySet, Loaded, PrivateJwk, SourcedKey};

    /// An advertisement of so many signing keys and one exchange key, and the signing keys' thumbprints.
    fn advertisement(signers: usize) -> (Vec<u8>, Vec<String>) {
        let mut jwks: Vec<_> =
            (0..signers).map(|index| PrivateJwk::generate_sign(Curve::ALL[index % 3]).unwrap()).collect();
        let thumbprints = jwks.iter().map(PrivateJwk::thumbprint).collect();
        jwks.push(PrivateJwk::generate_exchange(Curve::P521).unwrap());
        let keys = jwks
            .into_iter()
            .enumerate()
            .map(|(n, jwk)| SourcedKey { file: format!("{n}.jwk"), jwk })
            .collect();
        let set = KeySet::new(Loaded::Open { keys, skipped: Vec::new() });
        (set.advertisement().unwrap().to_vec(), thumbprints)
    }

    #[test]
    fn what_all_signing_keys_have_signed_is_taken_under_each_of_their_thumbprints() {
        for signers in 1..=3 {
            let (jws, thumbprints) = advertisement(signers);
            for known in &thumbprints {
                let advertised = Advertised::verify(&jws, known).unwrap();
                assert_eq!(advertised.exchange_key().unwrap().point().curve(), Curve::P521);
            }
        }
    }

    #[test]
    fn an_unknown_thumbprint_is_refused_and_so_is_that_of_the_exchange_key() {
        let (jws, thumbprints) = advertisement(1);
        let advertised = Advertised::verify(&jws, &thumbprints[0]).unwrap();
        let exchange = thumbprint::all(advertised.exchange_key().unwrap().point());
        for known in ["", "x", &advertisement(1).1[0], thumbprint::usual(&exchange)] {
            let error = Advertised::verify(&jws, known).unwrap_err().to_string();
            assert!(error.contains("thumbprint"), "{error}");
        }
    }

    #[test]
    fn a_missing_foreign_or_changed_signature_is_refused() {
        let (jws, thumbprints) = advertisement(2);
        let whole: Value = serde_json::from_slice(&jws).unwrap();
        let verify = |value: &Value| Advertised::verify(value.to_string().as_bytes(), &thumbprints[0]);
        verify(&whole).unwrap();

        let mut less = whole.clone();
        less["signatures"].as_array_mut().unwrap().pop();
        verify(&less).unwrap_err();

        let mut changed = whole.clone();
        let signature = changed["signatures"][0]["signature"].as_str().unwrap().to_owned();
        let flipped = if signature.starts_with('A') { 'B' } else { 'A' };
        changed["signatures"][0]["signature"] = format!("{flipped}{}", &signature[1..]).into();
        verify(&changed).unwrap_err();

        // The keys of another server with the signatures of this one.
        let other: Value = serde_json::from_slice(&advertisement(2).0).unwrap();
        let mut swapped = whole;
        swapped["payload"] = other["payload"].clone();
        verify(&swapped).unwrap_err();
    }

    #[test]
    fn an_added_key_that_has_not_signed_is_refused() {
        let (jws, thumbprints) = advertisement(1);
        let mut whole: Value = serde_json::from_slice(&jws).unwrap();
        let payload = BASE64URL_NOPAD.decode(whole["payload"].as_str().unwrap().as_bytes()).unwrap();
        let mut list: Value = serde_json::from_slice(&payload).unwrap();
        list["keys"].as_array_mut().unwrap().push(serde_json::json!({"kty": "RSA", "key_ops": ["verify"]}));
        whole["payload"] = BASE64URL_NOPAD.encode(list.to_string().as_bytes()).into();
        assert!(Advertised::verify(whole.to_string().as_bytes(), &thumbprints[0]).is_err());
    }

    #[test]
    fn rubbish_is_refused() {
        for rubbish in
            ["", "[]", "{}", r#"{"payload":"%"}"#, r#"{"payload":"e30"}"#, r#"{"payload":"eyJrZXlzIjpbXX0"}"#]
        {
            assert!(Advertised::verify(rubbish.as_bytes(), "x").is_err(), "{rubbish}");
        }
    }
}
