//! Upstream's status codes, as measured on its releases 11 and 15.

use super::*;

fn statuses(thumbprint: &str, bodies: &[(&str, Value)]) -> Vec<(String, u16)> {
    let status = |body: &Value| recover(thumbprint, body.to_string().as_bytes()).status;
    bodies.iter().map(|(name, body)| ((*name).to_owned(), status(body))).collect()
}

fn expect(status: u16, bodies: &[(&str, Value)]) {
    let thumbprint = SERVER.exchange[2].thumbprint();
    for (name, found) in statuses(&thumbprint, bodies) {
        assert_eq!(found, status, "{name}");
    }
}

#[test]
fn requests_that_upstream_answers() {
    let jwk = client_jwk(Curve::P521);
    let plain = without(jwk.clone(), &["alg", "key_ops"]);
    expect(
        200,
        &[
            ("whole", jwk.clone()),
            ("no alg", without(jwk.clone(), &["alg"])),
            ("no key_ops", without(jwk.clone(), &["key_ops"])),
            ("neither", plain),
            ("key_ops win over use", changed(jwk.clone(), "use", "sig")),
            (
                "more key_ops",
                changed(jwk.clone(), "key_ops", json!(["deriveBits", 1, "deriveKey", "deriveKey"])),
            ),
            ("other members", changed(jwk.clone(), "kid", json!([{"a": null}]))),
        ],
    );
    let thumbprint = SERVER.exchange[2].thumbprint();
    for text in
        [format!("{jwk}\n"), format!("\r\n\t {jwk} "), jwk.to_string().replace("\"x\"", "\"\\u0078\"")]
    {
        assert_eq!(recover(&thumbprint, text.as_bytes()).status, 200, "{text}");
    }
}

#[test]
fn requests_that_forbid_themselves_are_403_before_all_else() {
    let jwk = client_jwk(Curve::P521);
    let plain = without(jwk.clone(), &["key_ops"]);
    let bodies = [
        ("sign", changed(jwk.clone(), "key_ops", json!(["sign"]))),
        ("none", changed(jwk.clone(), "key_ops", json!([]))),
        ("text", changed(jwk.clone(), "key_ops", "deriveKey")),
        ("null", changed(jwk.clone(), "key_ops", Value::Null)),
        ("object", changed(jwk.clone(), "key_ops", json!({"deriveKey": 1}))),
        ("bits", changed(jwk.clone(), "key_ops", json!(["deriveBits"]))),
        ("use sig", changed(plain.clone(), "use", "sig")),
        ("use enc", changed(plain.clone(), "use", "enc")),
        ("use null", changed(plain.clone(), "use", Value::Null)),
        ("only use", json!({"use": "sig"})),
        ("also alg", changed(changed(jwk.clone(), "alg", "ES512"), "key_ops", json!(["sign"]))),
        ("also kty", changed(changed(jwk, "kty", "RSA"), "key_ops", json!(["sign"]))),
    ];
    expect(403, &bodies);
    for (name, status) in statuses("unknown", &bodies) {
        assert_eq!(status, 403, "{name}");
    }
}

#[test]
fn requests_with_another_kty_or_alg_are_400_before_the_key_is_looked_up() {
    let jwk = client_jwk(Curve::P521);
    let bodies = [
        ("no kty", without(jwk.clone(), &["kty"])),
        ("RSA", changed(jwk.clone(), "kty", "RSA")),
        ("oct", json!({"kty": "oct", "k": "AAAA"})),
        ("OKP", changed(jwk.clone(), "kty", "OKP")),
        ("case", changed(jwk.clone(), "kty", "ec")),
        ("number", changed(jwk.clone(), "kty", 1)),
        ("ES512", changed(jwk.clone(), "alg", "ES512")),
        ("ECDH", changed(jwk.clone(), "alg", "ECDH")),
        ("empty alg", changed(jwk.clone(), "alg", "")),
        ("null alg", changed(jwk.clone(), "alg", Value::Null)),
        ("number alg", changed(jwk, "alg", 1)),
        ("empty", json!({})),
        ("only key_ops", json!({"key_ops": ["deriveKey"]})),
        ("only alg", json!({"alg": "ECMR"})),
    ];
    expect(400, &bodies);
    for (name, status) in statuses("unknown", &bodies) {
        assert_eq!(status, 400, "{name}");
    }
}

#[test]
fn the_key_is_looked_up_before_its_curve_and_the_point_matter() {
    let jwk = client_jwk(Curve::P521);
    let other_curve = client_jwk(Curve::P256);
    let bodies = [
        ("other curve", other_curve),
        ("renamed curve", changed(jwk.clone(), "crv", "P-256")),
        ("unknown curve", changed(jwk.clone(), "crv", "P-999")),
        ("curve in small letters", changed(jwk.clone(), "crv", "p-521")),
        ("no curve", without(jwk.clone(), &["crv"])),
        ("number for a curve", changed(jwk.clone(), "crv", 5)),
        ("no x", without(jwk.clone(), &["x"])),
        ("no y", without(jwk.clone(), &["y"])),
        ("empty y", changed(jwk.clone(), "y", "")),
        ("number", changed(jwk.clone(), "x", 5)),
        ("off the curve", changed(jwk.clone(), "y", jwk["x"].clone())),
        ("only kty", json!({"kty": "EC"})),
        ("d that is none", changed(jwk.clone(), "d", 5)),
        ("d of another key", changed(jwk, "d", BASE64URL_NOPAD.encode(&[1; 66]))),
    ];
    expect(400, &bodies);
    for (name, status) in statuses("unknown", &bodies) {
        assert_eq!(status, 404, "{name}");
    }
    for (name, status) in statuses(&SERVER.sign.thumbprint(), &bodies) {
        assert_eq!(status, 403, "{name}");
    }
}

#[test]
fn targets_and_methods() {
    let server = &*SERVER;
    let (sign, exchange) = (server.sign.thumbprint(), server.exchange[2].thumbprint());
    let body = client_jwk(Curve::P521).to_string();
    let status = |method: &str, target: &str| {
        let body = if method == "POST" || method == "PUT" { body.as_bytes() } else { b"" };
        respond(method, target, body, &server.keys).status
    };
    for target in ["/adv", "/adv/", "//adv//", "///adv", "/adv///"] {
        assert_eq!(status("GET", target), 200, "{target}");
        for method in ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "get"] {
            assert_eq!(status(method, target), 405, "{method} {target}");
        }
    }
    for target in [format!("/adv/{sign}"), format!("//adv///{sign}")] {
        assert_eq!((status("GET", &target), status("POST", &target)), (200, 405), "{target}");
    }
    for target in [format!("/rec/{exchange}"), format!("//rec//{exchange}")] {
        assert_eq!(
            (status("POST", &target), status("GET", &target), status("PUT", &target)),
            (200, 405, 405)
        );
    }
    let deep = format!("/adv/{sign}/x");
    let slashed = format!("/adv/{sign}/");
    let slashed_rec = format!("/rec/{exchange}/");
    let queried = format!("/adv/{sign}?x");
    let none = [
        "", "/", "adv", "/adv?x=1", "/adv#f", "/advx", "/ADV", "/adv/a.b", "/adv/%41", "/adv/AAA", "/rec",
        "/rec/",
    ];
    let more = [
        "/rec//",
        "/rec/a/b",
        "/rec/..",
        "/recx/A",
        "*",
        "http://x/adv",
        &deep,
        &slashed,
        &slashed_rec,
        &queried,
    ];
    for target in none.into_iter().chain(more) {
        for method in ["GET", "POST", "PUT"] {
            let expected = if target == "/adv/AAA" && method != "GET" { 405 } else { 404 };
            assert_eq!(status(method, target), expected, "{method} {target}");
        }
    }
    assert_eq!(status("POST", "/rec/AAA"), 404);
    assert_eq!(status("POST", &format!("/rec/{sign}")), 403);
    assert_eq!(status("GET", &format!("/adv/{exchange}")), 404);
    assert_eq!(status("GET", &format!("/adv/{}", server.hidden_exchange.thumbprint())), 404);
}

#[test]
fn targets_and_bodies_have_upstreams_bounds() {
    let long = format!("/{}", "a".repeat(TARGET_BYTES_MAX - 2));
    assert_eq!(get(&long).status, 404);
    assert_eq!(get(&format!("{long}a")).status, 414);
    let thumbprint = SERVER.exchange[2].thumbprint();
    let mut body = client_jwk(Curve::P521).to_string().into_bytes();
    body.resize(BODY_BYTES_MAX, b' ');
    assert_eq!(recover(&thumbprint, &body).status, 200);
    body.push(b' ');
    assert_eq!(recover(&thumbprint, &body).status, 413);
    for (method, target) in [("POST", "/foo"), ("GET", "/adv"), ("POST", "/adv")] {
        assert_eq!(respond(method, target, &body, &SERVER.keys).status, 413);
    }
}

#[test]
fn a_rotated_key_exchanges_signs_when_asked_and_is_not_advertised() {
    let server = &*SERVER;
    let reply = recover(&server.hidden_exchange.thumbprint(), client_jwk(Curve::P521).to_string().as_bytes());
    let Outcome::Recovered { thumbprint, file, hidden } = reply.outcome else { panic!("{reply:?}") };
    assert_eq!((thumbprint, &*file, hidden), (server.hidden_exchange.thumbprint(), ".exc.jwk", true));
    assert_eq!(get(&format!("/adv/{}", server.hidden_sign.thumbprint())).status, 200);
}

#[test]
fn without_a_signing_key_in_use_nothing_is_advertised() {
    let server = &*SERVER;
    let keys = set(&[("e.jwk", &server.exchange[2]), (".s.jwk", &server.hidden_sign)]);
    for target in
        ["/adv".to_owned(), format!("/adv/{}", server.hidden_sign.thumbprint()), "/adv/AAA".to_owned()]
    {
        let reply = respond("GET", &target, b"", &keys);
        assert_eq!(
            (reply.status, reply.outcome),
            (500, Outcome::Refused(Reason::NothingToAdvertise)),
            "{target}"
        );
    }
    let target = format!("/rec/{}", server.exchange[2].thumbprint());
    assert_eq!(respond("POST", &target, client_jwk(Curve::P521).to_string().as_bytes(), &keys).status, 200);
}

#[test]
fn a_sealed_store_advertises_its_copy_and_asks_to_come_again_for_exchanges() {
    let server = &*SERVER;
    let copy = serde_json::to_string(&server.keys.public_copy().unwrap()).unwrap();
    assert!(!copy.contains("\"d\""));
    let sealed = KeySet::new(Loaded::Sealed(serde_json::from_str(&copy).unwrap()));
    assert!(sealed.is_sealed());
    let named = format!("/adv/{}", server.hidden_sign.thumbprint());
    for target in ["/adv", &named] {
        assert_eq!(respond("GET", target, b"", &sealed), get(target));
    }
    let body = client_jwk(Curve::P521).to_string();
    let recover = |thumbprint: &str, body: &str| {
        respond("POST", &format!("/rec/{thumbprint}"), body.as_bytes(), &sealed).status
    };
    assert_eq!(recover(&server.exchange[2].thumbprint(), &body), 503);
    assert_eq!(recover(&server.hidden_exchange.thumbprint(), &body), 503);
    // What would fail once it is open fails now.
    assert_eq!(recover(&server.exchange[1].thumbprint(), &body), 400);
    assert_eq!((recover("unknown", &body), recover(&server.sign.thumbprint(), &body)), (404, 403));
    assert!(sealed.public_copy().is_err());
}
