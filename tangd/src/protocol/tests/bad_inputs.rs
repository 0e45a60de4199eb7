//! What is sent to break us.

use proptest::prelude::*;

use super::*;

fn status(body: impl AsRef<[u8]>) -> u16 {
    recover(&SERVER.exchange[2].thumbprint(), body.as_ref()).status
}

fn point_status(x: &[u8], y: &[u8]) -> u16 {
    let [x, y] = [x, y].map(|octets| BASE64URL_NOPAD.encode(octets));
    status(json!({"kty": "EC", "crv": "P-521", "x": x, "y": y}).to_string())
}

/// A point on P-521 whose x begins with a zero octet, as every other one does.
fn with_leading_zero() -> Point {
    let keys = (0..200).map(|_| PrivateKey::generate(Curve::P521).unwrap());
    let mut points = keys.map(|key| key.public().clone());
    points.find(|point| point.x()[0] == 0).expect("one in two points is like this")
}

#[test]
fn what_is_no_json_object_is_400() {
    let jwk = client_jwk(Curve::P521).to_string();
    let texts = [
        "",
        " ",
        "hello",
        "[]",
        "null",
        "1",
        "\"x\"",
        "{",
        "{}",
        "{}{}",
        "{\"a\":1,}",
        "'a'",
        "\u{feff}{}",
        "{\"a\":NaN}",
    ];
    for text in texts.map(str::to_owned).into_iter().chain([
        format!("[{jwk}]"),
        format!("{jwk}x"),
        format!("{jwk}{jwk}"),
        format!("{jwk}\0"),
        jwk.replace('"', "'"),
        jwk.replace("{", "{\"a\":\"\u{1}\","),
    ]) {
        assert_eq!(status(&text), 400, "{text:?}");
    }
    let mut latin = jwk.clone().into_bytes();
    latin.splice(1..1, *b"\"a\":\"\xff\",");
    assert_eq!(status(latin), 400);
}

#[test]
fn nesting_is_bounded_wherever_it_is() {
    let jwk = client_jwk(Curve::P521).to_string();
    let nested = |depth: usize| format!("{{\"a\":{}{},{}", "[".repeat(depth), "]".repeat(depth), &jwk[1..]);
    assert_eq!((status(nested(NESTING_MAX - 1)), status(nested(NESTING_MAX))), (200, 400));
    assert_eq!(status(nested(10_000)), 400);
    for text in ["[".repeat(60_000), "{\"a\":".repeat(12_000), format!("{{\"x\":{}", "[".repeat(60_000))] {
        assert_eq!(status(text), 400);
    }
    // Brackets in text do not nest.
    assert_eq!(status(format!("{{\"a\":\"{}\\\"[\",{}", "[".repeat(10_000), &jwk[1..])), 200);
}

#[test]
fn of_members_that_occur_twice_the_last_counts() {
    let jwk = client_jwk(Curve::P521).to_string();
    let begun = |member: &str| format!("{{{member},{}", &jwk[1..]);
    let ended = |member: &str| format!("{},{member}}}", &jwk[..jwk.len() - 1]);
    for (member, last) in
        [(r#""x":"AA""#, 400), (r#""kty":"RSA""#, 400), (r#""alg":"ES512""#, 400), (r#""key_ops":[]"#, 403)]
    {
        assert_eq!((status(begun(member)), status(ended(member))), (200, last), "{member}");
    }
}

#[test]
fn a_private_part_is_taken_only_with_its_own_point() {
    let key = PrivateKey::generate(Curve::P521).unwrap();
    let with = |d: &[u8]| status(changed(jwk(key.public()), "d", BASE64URL_NOPAD.encode(d)).to_string());
    let scalar = key.scalar().unwrap();
    assert_eq!(with(&scalar), 200);
    for d in [&scalar[1..], &[], &[0; 66], &[0xff; 66], &[1; 66]] {
        assert_eq!(with(d), 400);
    }
}

#[test]
fn coordinates_have_one_encoding() {
    let point = with_leading_zero();
    let (x, y) = (point.x(), point.y());
    assert_eq!(point_status(x, y), 200);
    let stretched = [&[0], x].concat();
    for x in [&x[1..], &x[..65], &stretched, &[], &[0], &[4; 133], &[1; 40_000]] {
        assert_eq!(point_status(x, y), 400);
    }
    let text = BASE64URL_NOPAD.encode(x);
    let whole = changed(jwk(&point), "x", text.clone());
    assert_eq!(status(whole.to_string()), 200);
    let spellings = [
        format!("{text}="),
        format!("{text}===="),
        format!(" {text}"),
        format!("{text}\n"),
        text.replacen('A', "+", 1),
        text.replacen('A', "/", 1),
        text.replacen('A', "\u{e9}", 1),
    ];
    for spelling in spellings {
        assert_eq!(status(changed(whole.clone(), "x", spelling).to_string()), 400);
    }
}

#[test]
fn bits_beyond_the_last_octet_must_be_zero() {
    // 32 octets are 43 characters, of which the last carries two bits too many.
    let jwk = client_jwk(Curve::P256);
    let thumbprint = SERVER.exchange[0].thumbprint();
    assert_eq!(recover(&thumbprint, jwk.to_string().as_bytes()).status, 200);
    let x = jwk["x"].as_str().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = alphabet.find(x.chars().last().unwrap()).unwrap();
    let spelling = format!("{}{}", &x[..42], &alphabet[last + 1..last + 2]);
    assert_eq!(recover(&thumbprint, changed(jwk, "x", spelling).to_string().as_bytes()).status, 400);
}

#[test]
fn points_off_the_curve_on_its_twist_and_at_infinity_are_400() {
    let point = with_leading_zero();
    let (x, y) = (point.x(), point.y());
    let prime: Vec<u8> = [&[1], &[0xff; 65][..]].concat();
    let one = [&[0; 65][..], &[1]].concat();
    let zero = [0; 66];
    assert_eq!(point_status(x, y), 200);
    // x = p and y = p stand for zero, x + p for x: not below the prime.
    let mut beyond = x.to_vec();
    let mut carry = 0_u16;
    for (octet, prime) in beyond.iter_mut().zip(&prime).rev() {
        let sum = u16::from(*octet) + u16::from(*prime) + carry;
        (*octet, carry) = ((sum & 0xff) as u8, sum >> 8);
    }
    for (x, y) in [
        (x, &zero[..]),
        (&zero, y),
        (&zero, &zero),
        (&prime, y),
        (x, &prime),
        (&prime, &prime),
        (&beyond, y),
        (&[0xff; 66], &[0xff; 66]),
        (&one, &one),
        (y, x),
        (x, x),
    ] {
        assert_eq!(point_status(x, y), 400, "{x:02x?} {y:02x?}");
    }
    for (x, y) in [(&[][..], &[][..]), (&[0], &[0]), (&[0], &[])] {
        assert_eq!(point_status(x, y), 400);
    }
}

#[test]
fn our_own_public_key_is_a_point_like_any_other() {
    // As upstream has it: s times S tells no more than s times any point does, and monitoring scripts send it.
    let point = SERVER.exchange[2].public().point().clone();
    assert_eq!(point_status(point.x(), point.y()), 200);
    let mut negative = openssl::bn::BigNum::new().unwrap();
    let prime = openssl::bn::BigNum::from_slice(&[&[1], &[0xff; 65][..]].concat()).unwrap();
    negative.checked_sub(&prime, &openssl::bn::BigNum::from_slice(point.y()).unwrap()).unwrap();
    assert_eq!(point_status(point.x(), &negative.to_vec_padded(66).unwrap()), 200);
}

#[test]
fn a_signing_key_never_computes_for_strangers() {
    let server = &*SERVER;
    for key in [&server.sign, &server.hidden_sign] {
        let key = server.keys.find(&key.thumbprint()).unwrap();
        for thumbprint in &key.thumbprints {
            let reply = recover(thumbprint, client_jwk(Curve::P521).to_string().as_bytes());
            assert_eq!(reply, Reply::refused(Reason::NotAnExchangeKeyOfOurs));
        }
    }
}

#[test]
fn all_five_thumbprints_lead_to_the_same_key() {
    let server = &*SERVER;
    let body = client_jwk(Curve::P521).to_string();
    for key in [&server.exchange[2], &server.hidden_exchange] {
        let key = server.keys.find(&key.thumbprint()).unwrap();
        let replies: Vec<_> = key.thumbprints.iter().map(|name| recover(name, body.as_bytes())).collect();
        assert_eq!(replies[0].status, 200);
        assert!(replies.iter().all(|reply| reply == &replies[0]));
    }
    let sign = server.keys.find(&server.sign.thumbprint()).unwrap();
    assert!(sign.thumbprints.iter().all(|name| get(&format!("/adv/{name}")).status == 200));
}

#[test]
fn odd_thumbprints_are_404() {
    let body = client_jwk(Curve::P521).to_string();
    let thumbprint = SERVER.exchange[2].thumbprint();
    let names = [
        "..".to_owned(),
        "../adv".to_owned(),
        "%2e%2e".to_owned(),
        "a/../b".to_owned(),
        "exc".to_owned(),
        "exc.jwk".to_owned(),
        "a".repeat(4000),
        thumbprint[..42].to_owned(),
        format!("{thumbprint}A"),
        thumbprint.to_lowercase(),
    ];
    for name in names {
        assert_eq!(recover(&name, body.as_bytes()).status, 404, "{name}");
    }
}

#[test]
fn a_refusal_has_neither_body_nor_type() {
    for reason in Reason::ALL {
        let reply = Reply::refused(reason);
        assert_eq!((reply.status, reply.content_type, reply.body.len()), (reason.status(), None, 0));
    }
    let names: std::collections::BTreeSet<_> = Reason::ALL.map(Reason::name).into();
    assert_eq!(names.len(), Reason::ALL.len());
}

proptest! {
    #[test]
    fn any_request_gets_one_of_upstreams_statuses(method in "GET|POST|PUT|[A-Z]{1,6}", target in "/{0,3}(adv|rec|[a-z]{0,4})(/{0,2}[0-9A-Za-z_%.?/-]{0,60})?", body in prop::collection::vec(any::<u8>(), 0..200)) {
        let reply = respond(&method, &target, &body, &SERVER.keys);
        prop_assert!([200, 400, 403, 404, 405].contains(&reply.status));
        prop_assert_eq!(reply.status == 200, !reply.body.is_empty());
    }

    #[test]
    fn a_request_with_one_octet_changed_never_reaches_another_curve(position in 0_usize..240, octet: u8) {
        let mut body = client_jwk(Curve::P521).to_string().into_bytes();
        let position = position % body.len();
        body[position] = octet;
        let reply = recover(&SERVER.exchange[2].thumbprint(), &body);
        prop_assert!([200, 400, 403].contains(&reply.status));
        if reply.status == 200 {
            let answer: Value = serde_json::from_slice(&reply.body).unwrap();
            prop_assert_eq!(&answer["crv"], "P-521");
        }
    }

    #[test]
    fn routes_are_found_as_the_grammar_says(target in "/{0,3}(adv|rec)?/{0,3}[A-Za-z_.-]{0,3}/?") {
        let expected = |text: &str| -> Option<(bool, String)> {
            let bytes = text.strip_prefix('/')?;
            let rest = bytes.trim_start_matches('/');
            let advertise = rest.starts_with("adv");
            let rest = rest.strip_prefix("adv").or_else(|| rest.strip_prefix("rec"))?;
            let name = rest.trim_start_matches('/');
            let named = rest.len() > name.len() && !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
            (named || (advertise && name.is_empty())).then(|| (advertise, name.to_owned()))
        };
        let method = if target.contains("rec") { "POST" } else { "GET" };
        let found = match Route::of(method, &target) {
            Ok(Route::Advertise) => Some((true, String::new())),
            Ok(Route::AdvertiseKey(name)) => Some((true, name.to_owned())),
            Ok(Route::Recover(name)) => Some((false, name.to_owned())),
            Err(_) => None,
        };
        prop_assert_eq!(found, expected(&target));
    }
}
