//! JWK thumbprints (RFC 7638).

use data_encoding::BASE64URL_NOPAD;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use crate::crypto::Point;

/// The thumbprints of a key under S1, S224, S256, S384 and S512 (SHA-1 and SHA-2), in this order, in base64url.
pub type Thumbprints = [String; 5];

/// All thumbprints of the EC key with this public point: disks bound long ago ask for their key under S1.
#[must_use]
pub fn all(point: &Point) -> Thumbprints {
    // The required members alone, in lexical order, without white space (RFC 7638 sections 3.2 and 3.3).
    let (crv, x, y) = (point.curve().name(), encode(point.x()), encode(point.y()));
    let text = format!(r#"{{"crv":"{crv}","kty":"EC","x":"{x}","y":"{y}"}}"#);
    [
        encode(&Sha1::digest(&text)),
        encode(&Sha224::digest(&text)),
        encode(&Sha256::digest(&text)),
        encode(&Sha384::digest(&text)),
        encode(&Sha512::digest(&text)),
    ]
}

/// The one of them that operators see, that names key files and that clevis stores: S256.
#[must_use]
pub fn usual(thumbprints: &Thumbprints) -> &str {
    &thumbprints[2]
}

fn encode(octets: &[u8]) -> String {
    BASE64URL_NOPAD.encode(octets)
}
