//! Points on the curves, by a library that the tests call themselves: what an exchange has to give, to the last byte.

use data_encoding::BASE64URL_NOPAD;
use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcKey, EcPoint};
use openssl::nid::Nid;
use openssl::sha::sha256;
use serde_json::{Value, json};

/// A curve as JSON Web Keys name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Curve {
    /// Its name in `crv`.
    pub name: &'static str,
    /// Bytes of a coordinate.
    pub bytes: usize,
    nid: Nid,
}

/// The curves of Tang.
pub const CURVES: [Curve; 3] = [
    Curve { name: "P-521", bytes: 66, nid: Nid::SECP521R1 },
    Curve { name: "P-384", bytes: 48, nid: Nid::SECP384R1 },
    Curve { name: "P-256", bytes: 32, nid: Nid::X9_62_PRIME256V1 },
];

/// A point by its coordinates, each as long as the curve's numbers are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Its curve.
    pub curve: Curve,
    /// x, big-endian, padded.
    pub x: Vec<u8>,
    /// y, likewise.
    pub y: Vec<u8>,
}

impl Curve {
    /// A point nobody has chosen.
    pub fn random_point(self) -> Point {
        let group = self.group();
        let key = EcKey::generate(&group).expect("a key");
        self.point_of(&group, key.public_key())
    }

    /// A random key for exchanges: private, as a server keeps it.
    pub fn exchange_key(self) -> Value {
        let group = self.group();
        let key = EcKey::generate(&group).expect("a key");
        let point = self.point_of(&group, key.public_key());
        let d = key.private_key().to_vec_padded(self.bytes as i32).expect("it fits");
        json!({
            "alg": "ECMR", "crv": self.name, "d": BASE64URL_NOPAD.encode(&d), "key_ops": ["deriveKey"], "kty": "EC",
            "x": BASE64URL_NOPAD.encode(&point.x), "y": BASE64URL_NOPAD.encode(&point.y),
        })
    }

    fn group(self) -> EcGroup {
        EcGroup::from_curve_name(self.nid).expect("a curve that everybody has")
    }

    fn point_of(self, group: &EcGroup, point: &openssl::ec::EcPointRef) -> Point {
        let mut context = BigNumContext::new().expect("memory");
        let (mut x, mut y) = (BigNum::new().expect("memory"), BigNum::new().expect("memory"));
        point.affine_coordinates(group, &mut x, &mut y, &mut context).expect("a point");
        let padded = |number: &BigNum| number.to_vec_padded(self.bytes as i32).expect("it fits");
        Point { curve: self, x: padded(&x), y: padded(&y) }
    }
}

impl Point {
    /// What `clevis` sends: a public key without anything but the point, and a line break.
    pub fn request(&self) -> Vec<u8> {
        let mut body = serde_json::to_vec(&self.jwk()).expect("text");
        body.push(b'\n');
        body
    }

    /// The point as a public key for exchanges.
    pub fn jwk(&self) -> Value {
        let (x, y) = self.encoded();
        json!({ "alg": "ECMR", "crv": self.curve.name, "key_ops": ["deriveKey"], "kty": "EC", "x": x, "y": y })
    }

    /// The point multiplied by the private part of `key`.
    pub fn multiplied(&self, key: &Value) -> Self {
        let group = self.curve.group();
        let mut context = BigNumContext::new().expect("memory");
        let number = |bytes: &[u8]| BigNum::from_slice(bytes).expect("memory");
        let d =
            BASE64URL_NOPAD.decode(key["d"].as_str().expect("a private key").as_bytes()).expect("base64url");
        let mut point = EcPoint::new(&group).expect("memory");
        point
            .set_affine_coordinates_gfp(&group, &number(&self.x), &number(&self.y), &mut context)
            .expect("a point of the curve");
        let mut product = EcPoint::new(&group).expect("memory");
        product.mul2(&group, &point, &number(&d), &mut context).expect("a product");
        self.curve.point_of(&group, &product)
    }

    /// The answer that holds this point, byte by byte as upstream writes it.
    pub fn reply(&self) -> String {
        let (x, y) = self.encoded();
        let crv = self.curve.name;
        format!(r#"{{"alg":"ECMR","crv":"{crv}","key_ops":["deriveKey"],"kty":"EC","x":"{x}","y":"{y}"}}"#)
    }

    /// Whether a coordinate begins with a byte of zeros: on P-521, where half of them do, with two.
    pub fn has_leading_zero(&self) -> bool {
        let zeros = if self.curve.name == "P-521" { 2 } else { 1 };
        [&self.x, &self.y].into_iter().any(|number| number.iter().take(zeros).all(|&byte| byte == 0))
    }

    fn encoded(&self) -> (String, String) {
        (BASE64URL_NOPAD.encode(&self.x), BASE64URL_NOPAD.encode(&self.y))
    }
}

/// The S256 thumbprint of a key (RFC 7638 section 3.2).
pub fn thumbprint(key: &Value) -> String {
    BASE64URL_NOPAD.encode(&sha256(canonical(key).as_bytes()))
}

/// The S1 thumbprint, by which old clients know keys.
pub fn thumbprint_s1(key: &Value) -> String {
    BASE64URL_NOPAD.encode(&openssl::sha::sha1(canonical(key).as_bytes()))
}

fn canonical(key: &Value) -> String {
    let part = |name: &str| key[name].as_str().unwrap_or_default();
    let (crv, kty, x, y) = (part("crv"), part("kty"), part("x"), part("y"));
    format!(r#"{{"crv":"{crv}","kty":"{kty}","x":"{x}","y":"{y}"}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_an_exchange_reach_the_same_point() {
        for curve in CURVES {
            let (a, b) = (curve.exchange_key(), curve.exchange_key());
            let point = curve.random_point();
            assert_eq!(point.multiplied(&a).multiplied(&b), point.multiplied(&b).multiplied(&a));
        }
    }
}
