//! Key files of tangd: read, written and read again they are the same, and a refusal tells nothing of their content.

use faros_tangd::keys::PrivateJwk;

use crate::Target;

/// Feeds [`PrivateJwk::parse`].
pub const TARGET: Target = Target { name: "tang_key_file", run, seeds, memory: (64 * 1024, 512) };

fn run(data: &[u8]) {
    match PrivateJwk::parse(data) {
        Ok(key) => {
            let written = key.to_json().expect("memory");
            let again = PrivateJwk::parse(&written).expect("what is written can be read");
            assert_eq!(again.to_json().expect("memory"), written);
            assert_eq!((again.thumbprint(), again.purpose()), (key.thumbprint(), key.purpose()));
            assert!(key.public().members().get("d").is_none());
        }
        Err(error) => assert!(format!("{error} {error:?}").len() < 300, "{error}"),
    }
}

fn seeds() -> Vec<Vec<u8>> {
    [
        r#"{"alg": "ECMR", "crv": "P-256", "d": "aCLlhQ49GLYAnL1QL69vxD_mdkhovHXzd1hHoGtQl7Q", "key_ops": ["deriveKey"], "kty": "EC", "x": "Dt_svid9pafrP-YxFuAfrzDxJVdIphkF7wd3BPQbT7s", "y": "wNRrOOncRwhxOjk8NT2op7sNx2dRUoPFcLP0KqMHCIg"}"#,
        r#"{"alg": "ES256", "crv": "P-256", "d": "9kngizjWRwsUlIcmOad4NAlUlz2GH8tfV5AV90h9Hss", "key_ops": ["sign", "verify"], "kty": "EC", "x": "2Pbd93gI5_1LhpSPl5eszHagBvsyuB3T7F3h_yxvQA8", "y": "CzOmz_QPSRiqwzj3qjLQ3n_3zjP4atlG--BCgh13A-w"}"#,
        r#"{"alg": "ECMR", "crv": "P-521", "d": "AcZMn0TwKivdbZ9NM7JZ7A5A9tyGB2sFVzY-pf4ceXotERZuYGFhS6hmtaAUH4O1XM3QPVs2G-rW9iMG4I9GuBOa", "key_ops": ["deriveKey"], "kty": "EC", "x": "APOZAfDp-SNYA_uUjJIS3Jooe_KYzjaAI2BK88qUVwKwSS_jAm__eD5fhB1FId0cDXNO-RrTv6qY4vajKdB4uyU-", "y": "AbMnfvjKZO2QFDZYgR8NavU1w4pihAWYNQrxatHDLMMg12r11RY978Uy2o8RmrvYNbEE--s0QrcL6jOLv7JdEjz8"}"#,
        r#"{"alg": "ECMR", "crv": "P-256", "d": "5PEOtuUSFfDvfnsi66PXqWQFepyptE5uD_W6YR39ydw", "key_ops": ["deriveKey"], "kty": "EC", "x": "rQ4Z8J3UgxEpVEUX3fOkK7ae47flYYH3mUVGr27JbLA", "y": "lee96ZO1QohK-XElMUwOKBF23Jdm2iL9mw2XX6r5erk", "kid": "rack 1", "a": [{"b": null}]}"#,
        r#"{"kty":"oct","k":"c2VjcmV0"}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
