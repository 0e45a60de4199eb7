mod bad_inputs;
mod status_table;

use std::sync::LazyLock;

use data_encoding::BASE64URL_NOPAD;
use josekit::jwk::Jwk;
use serde_json::{Value, json};

use super::*;
use crate::crypto::{Curve, Point, PrivateKey};
use crate::keys::{Loaded, PrivateJwk, SourcedKey};

/// A server's keys: a pair on each curve, a rotated pair on P-521.
struct Server {
    sign: PrivateJwk,
    exchange: Vec<PrivateJwk>,
    hidden_sign: PrivateJwk,
    hidden_exchange: PrivateJwk,
    keys: KeySet,
}

static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let sign = PrivateJwk::generate_sign(Curve::P521).unwrap();
    let exchange = Curve::ALL.map(|curve| PrivateJwk::generate_exchange(curve).unwrap()).to_vec();
    let [hidden_sign, hidden_exchange] = PrivateJwk::pair().unwrap();
    let files = [
        ("sig.jwk", &sign),
        ("e256.jwk", &exchange[0]),
        ("e384.jwk", &exchange[1]),
        ("exc.jwk", &exchange[2]),
    ];
    let hidden = [(".sig.jwk", &hidden_sign), (".exc.jwk", &hidden_exchange)];
    let keys = files.into_iter().chain(hidden);
    let keys = keys.map(|(file, jwk)| SourcedKey { file: file.to_owned(), jwk: jwk.clone() }).collect();
    let keys = KeySet::new(Loaded::Open { keys, skipped: Vec::new() });
    Server { sign, exchange, hidden_sign, hidden_exchange, keys }
});

fn set(files: &[(&str, &PrivateJwk)]) -> KeySet {
    let keys = files.iter().map(|(file, jwk)| SourcedKey { file: (*file).to_owned(), jwk: (*jwk).clone() });
    KeySet::new(Loaded::Open { keys: keys.collect(), skipped: Vec::new() })
}

fn jwk(point: &Point) -> Value {
    serde_json::to_value(jwk::PublicJwk::new(point.clone(), "ECMR", &["deriveKey"])).unwrap()
}

/// A JWK as a client sends it.
fn client_jwk(curve: Curve) -> Value {
    jwk(PrivateKey::generate(curve).unwrap().public())
}

fn changed(mut jwk: Value, name: &str, value: impl Into<Value>) -> Value {
    jwk[name] = value.into();
    jwk
}

fn without(mut jwk: Value, names: &[&str]) -> Value {
    names.iter().for_each(|name| drop(jwk.as_object_mut().unwrap().remove(*name)));
    jwk
}

fn recover(thumbprint: &str, body: &[u8]) -> Reply {
    respond("POST", &format!("/rec/{thumbprint}"), body, &SERVER.keys)
}

fn get(target: &str) -> Reply {
    respond("GET", target, b"", &SERVER.keys)
}

fn payload(body: &[u8]) -> Vec<Value> {
    let jws: Value = serde_json::from_slice(body).unwrap();
    let payload = BASE64URL_NOPAD.decode(jws["payload"].as_str().unwrap().as_bytes()).unwrap();
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    payload["keys"].as_array().unwrap().clone()
}

/// How many signatures `key` has verified, by josekit's reading of the whole.
fn signatures(body: &[u8], key: &PrivateJwk) -> usize {
    let jws: Value = serde_json::from_slice(body).unwrap();
    let mut public = serde_json::to_value(key.public()).unwrap();
    public["key_ops"] = json!(["verify"]);
    let public = Jwk::from_bytes(public.to_string()).unwrap();
    let verifier = josekit::jws::ES512.verifier_from_jwk(&public).unwrap();
    let parts = jws["signatures"].as_array().cloned().unwrap_or_else(|| vec![jws.clone()]);
    let flattened = |part: &Value| json!({"payload": jws["payload"], "protected": part["protected"], "signature": part["signature"]});
    let verified =
        |part: &&Value| josekit::jws::deserialize_json(flattened(part).to_string(), &verifier).is_ok();
    parts.iter().filter(verified).count()
}

#[test]
fn a_reply_has_sorted_members_without_spaces_and_whole_coordinates() {
    for (curve, key) in Curve::ALL.into_iter().zip(&SERVER.exchange) {
        let client = PrivateKey::generate(curve).unwrap();
        let reply = recover(&key.thumbprint(), jwk(client.public()).to_string().as_bytes());
        let product = client.exchange(key.public().point()).unwrap();
        let [x, y] = [product.x(), product.y()].map(|octets| BASE64URL_NOPAD.encode(octets));
        let expected = format!(
            r#"{{"alg":"ECMR","crv":"{curve}","key_ops":["deriveKey"],"kty":"EC","x":"{x}","y":"{y}"}}"#
        );
        assert_eq!(reply.body, expected);
        assert_eq!(reply.content_type, Some("application/jwk+json"));
    }
    assert_eq!(
        recover(&SERVER.exchange[2].thumbprint(), client_jwk(Curve::P521).to_string().as_bytes()).body.len(),
        253
    );
}

#[test]
fn an_advertisement_is_as_long_as_upstreams_and_holds_no_private_part() {
    let [sign, exchange] = PrivateJwk::pair().unwrap();
    let keys = set(&[("s.jwk", &sign), ("e.jwk", &exchange)]);
    let reply = respond("GET", "/adv", b"", &keys);
    assert_eq!((reply.status, reply.body.len()), (200, 993));
    assert_eq!(respond("GET", &format!("/adv/{}", sign.thumbprint()), b"", &keys).body.len(), 1271);
    let keys = payload(&reply.body);
    assert_eq!(keys[0], serde_json::to_value(exchange.public()).unwrap());
    assert_eq!(keys[1]["key_ops"], json!(["verify"]));
    assert!(keys.iter().all(|key| key.get("d").is_none()));
}

#[test]
fn one_signer_makes_a_flattened_and_several_a_general_jws_that_others_verify() {
    let server = &*SERVER;
    let flattened = get("/adv").body;
    assert!(flattened.starts_with(br#"{"payload": "#));
    assert_eq!(signatures(&flattened, &server.sign), 1);
    let general = get(&format!("/adv/{}", server.hidden_sign.thumbprint())).body;
    assert_eq!((signatures(&general, &server.sign), signatures(&general, &server.hidden_sign)), (1, 1));
    assert_eq!(payload(&general), payload(&flattened));
    assert_eq!(payload(&flattened).len(), 4, "a hidden key is not advertised");
    let twice = get(&format!("/adv/{}", server.sign.thumbprint())).body;
    assert_eq!(signatures(&twice, &server.sign), 2);
}

#[test]
fn an_advertisement_is_signed_once_and_shared() {
    let keys = set(&[("s.jwk", &SERVER.sign), ("e.jwk", &SERVER.exchange[2])]);
    assert_eq!(keys.advertisement(), keys.advertisement());
    let thumbprint = SERVER.sign.thumbprint();
    assert_eq!(keys.advertisement_signed_by(&thumbprint), keys.advertisement_signed_by(&thumbprint));
}

#[test]
fn thumbprints_are_those_of_the_rfcs() {
    let point = |curve, x: &str, y: &str| {
        let [x, y] = [x, y].map(|text| BASE64URL_NOPAD.decode(text.as_bytes()).unwrap());
        Point::new(curve, &x, &y).unwrap()
    };
    // RFC 9449 section 6.1.
    let key = point(
        Curve::P256,
        "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
        "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
    );
    assert_eq!(thumbprint::usual(&thumbprint::all(&key)), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    // The key of RFC 7520 section 3.1, by `jose jwk thp`.
    let key = point(
        Curve::P521,
        "AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt",
        "AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1",
    );
    assert_eq!(thumbprint::all(&key), BILBO);
}

const BILBO: [&str; 5] = [
    "HYRNOxxOOHap0amTONoy1bHnS5M",
    "OxaldHVrkjWDY4hW2-59pcuRcBL7lXcBqwVLng",
    "dHri3SADZkrush5HU_50AoRhcKFryN-PI6jPBtPL55M",
    "HncTFMje-quVjjwt2ufqfFb75ZwHLDh9M-VY4wJ9awQkfbu194TmVpeGbG6Ykb9b",
    "i8RIsIb6HVP2AO9o38HtraybJAP5veAfBIgynNUqpxlhuvq2UDgSA3JFgGgle1YvmCQDHllAn7MG52Idb8B4fA",
];
