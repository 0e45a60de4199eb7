//! Advertisements: the public keys, signed by every signing key among them (RFC 7515 section 7.2).

use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;

use super::jwk::PublicJwk;
use super::spaced_json;
use crate::crypto::{CryptoError, PrivateKey};

/// A key that signs an advertisement.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'a>(&'a PrivateKey);

impl<'a> Signer<'a> {
    /// Signs with `key`, by the algorithm of its curve.
    #[must_use]
    pub fn new(key: &'a PrivateKey) -> Self {
        Self(key)
    }
}

/// The JWS of `keys`, signed by each of `signers` in turn: flattened for one, general for several. None without a signer
/// or without keys.
///
/// # Errors
/// [`CryptoError`] where a key does not sign.
pub fn sign<'a>(
    keys: impl Iterator<Item = &'a PublicJwk>,
    signers: &[Signer<'_>],
) -> Result<Option<Vec<u8>>, CryptoError> {
    let keys: Vec<_> = keys.collect();
    if keys.is_empty() || signers.is_empty() {
        return Ok(None);
    }
    let payload = BASE64URL_NOPAD.encode(&spaced_json::encode(&Payload { keys }));
    let mut signatures = Vec::with_capacity(signers.len());
    for signer in signers {
        signatures.push(signature(&payload, signer.0)?);
    }
    Ok(Some(if let [only] = &mut signatures[..] {
        let Signature { protected, signature } = std::mem::take(only);
        spaced_json::encode(&Flattened { payload, protected, signature })
    } else {
        spaced_json::encode(&General { payload, signatures })
    }))
}

// The members of each are in lexical order, as upstream writes them.

#[derive(Serialize)]
struct Payload<'a> {
    keys: Vec<&'a PublicJwk>,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    cty: &'a str,
}

#[derive(Serialize)]
struct Flattened {
    payload: String,
    protected: String,
    signature: String,
}

#[derive(Serialize)]
struct General {
    payload: String,
    signatures: Vec<Signature>,
}

#[derive(Default, Serialize)]
struct Signature {
    protected: String,
    signature: String,
}

fn signature(payload: &str, key: &PrivateKey) -> Result<Signature, CryptoError> {
    let header = Header { alg: key.curve().signature_algorithm(), cty: "jwk-set+json" };
    let header = serde_json::to_vec(&header).expect("two strings");
    let protected = BASE64URL_NOPAD.encode(&header);
    let signature = key.sign(format!("{protected}.{payload}").as_bytes())?;
    Ok(Signature { protected, signature: BASE64URL_NOPAD.encode(&signature) })
}
