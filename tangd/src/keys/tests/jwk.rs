//! One key: what its file says, and what nobody gets to see.

use super::*;

#[test]
fn a_key_file_is_written_as_upstream_writes_it() {
    let [sign, exchange] = PrivateJwk::pair().unwrap();
    for (key, alg, operations) in
        [(&sign, "ES512", r#"["sign","verify"]"#), (&exchange, "ECMR", r#"["deriveKey"]"#)]
    {
        let [d, x, y] =
            [&key.private().scalar().unwrap()[..], key.public().point().x(), key.public().point().y()]
                .map(|octets| BASE64URL_NOPAD.encode(octets));
        let expected = format!(
            "{{\"alg\":\"{alg}\",\"crv\":\"P-521\",\"d\":\"{d}\",\"key_ops\":{operations},\"kty\":\"EC\",\"x\":\"{x}\",\"y\":\"{y}\"}}\n"
        );
        assert_eq!(std::str::from_utf8(&key.to_json().unwrap()).unwrap(), expected);
    }
}

#[test]
fn what_is_written_is_read_again() {
    for curve in Curve::ALL {
        for key in [PrivateJwk::generate_sign(curve).unwrap(), PrivateJwk::generate_exchange(curve).unwrap()]
        {
            let json = key.to_json().unwrap();
            let read = PrivateJwk::parse(&json).unwrap();
            assert_eq!(read.to_json().unwrap(), json);
            assert_eq!((read.thumbprint(), read.purpose()), (key.thumbprint(), key.purpose()));
        }
    }
}

#[test]
fn members_that_mean_nothing_to_us_are_kept_and_advertised() {
    let key = PrivateJwk::generate_exchange(Curve::P521).unwrap();
    let content = with(
        &key,
        &[("kid", Some("rack 1".into())), ("a", Some(json!([{"b": null}]))), ("z", Some(1.into()))],
    );
    let read = PrivateJwk::parse(&content).unwrap();
    assert_eq!(read.public().members()["kid"], "rack 1");
    let written: Value = serde_json::from_slice(&read.to_json().unwrap()).unwrap();
    assert_eq!(written, serde_json::from_slice::<Value>(&content).unwrap());
}

#[test]
fn what_a_key_is_for_is_decided_as_upstream_does() {
    let sign = PrivateJwk::generate_sign(Curve::P521).unwrap();
    let exchange = PrivateJwk::generate_exchange(Curve::P521).unwrap();
    let purpose = |key: &PrivateJwk, changes: &[(&str, Option<Value>)]| {
        PrivateJwk::parse(&with(key, changes)).ok().map(|key| key.purpose())
    };
    let operations = |names: &[&str]| ("key_ops", Some(json!(names)));
    assert_eq!(purpose(&sign, &[("alg", None)]), Some(Purpose::Sign));
    assert_eq!(purpose(&sign, &[("key_ops", None)]), Some(Purpose::Sign));
    assert_eq!(purpose(&sign, &[("key_ops", None), ("use", Some("sig".into()))]), Some(Purpose::Sign));
    assert_eq!(purpose(&exchange, &[("alg", None)]), Some(Purpose::Exchange));
    assert_eq!(purpose(&exchange, &[("use", Some("sig".into()))]), Some(Purpose::Exchange));
    assert_eq!(purpose(&exchange, &[operations(&["deriveKey", "deriveBits"])]), Some(Purpose::Exchange));
    let all = operations(&["sign", "verify", "deriveKey"]);
    assert_eq!(purpose(&sign, &[("alg", None), all.clone()]), Some(Purpose::Both));
    assert_eq!(purpose(&sign, std::slice::from_ref(&all)), Some(Purpose::Sign));
    for changes in [
        &[("key_ops", None)][..],
        &[operations(&["deriveBits"])],
        &[("alg", Some("ES512".into()))],
        &[("key_ops", Some("deriveKey".into()))],
        &[("key_ops", None), ("use", Some("enc".into()))],
    ] {
        assert_eq!(purpose(&exchange, changes), None, "{changes:?}");
    }
    for changes in
        [&[("alg", Some("ES256".into()))][..], &[operations(&["verify"])], &[("alg", Some("ECMR".into()))]]
    {
        assert_eq!(purpose(&sign, changes), None, "{changes:?}");
    }
}

#[test]
fn a_damaged_key_is_refused_without_telling_its_content() {
    let key = PrivateJwk::generate_exchange(Curve::P521).unwrap();
    let other = PrivateJwk::generate_exchange(Curve::P521).unwrap();
    let d = BASE64URL_NOPAD.encode(&key.private().scalar().unwrap());
    let other_d = BASE64URL_NOPAD.encode(&other.private().scalar().unwrap());
    let whole = key.to_json().unwrap().to_vec();
    let escaped = String::from_utf8(whole.clone())
        .unwrap()
        .replace(&d, &format!("\\u00{:02x}{}", d.as_bytes()[0], &d[1..]));
    let set =
        serde_json::to_vec(&json!({"keys": [serde_json::from_slice::<Value>(&whole).unwrap()]})).unwrap();
    let damaged = [
        Vec::new(),
        b"garbage".to_vec(),
        whole[..whole.len() / 2].to_vec(),
        [&whole[..], b"x"].concat(),
        with(&key, &[("d", None)]),
        with(&key, &[("d", Some(7.into()))]),
        with(&key, &[("d", Some(format!("{d}=").into()))]),
        with(&key, &[("d", Some(d[..86].into()))]),
        with(&key, &[("d", Some(other_d.into()))]),
        with(&key, &[("x", Some(key.public().members()["y"].clone()))]),
        with(&key, &[("y", None)]),
        with(&key, &[("crv", Some("P-256".into()))]),
        with(&key, &[("kty", Some("RSA".into()))]),
        br#"{"kty":"oct","k":"c2VjcmV0"}"#.to_vec(),
        escaped.into_bytes(),
        set,
    ];
    for content in damaged {
        let error = PrivateJwk::parse(&content).expect_err(&String::from_utf8_lossy(&content));
        let text = format!("{error} {error:?}");
        assert!(!text.contains(&d[..10]) && !text.contains("c2Vj") && text.len() < 200, "{text}");
    }
}

#[test]
fn nothing_of_a_scalar_is_printed() {
    let [sign, exchange] = PrivateJwk::pair().unwrap();
    let directory = directory(&[("s.jwk", &sign), ("e.jwk", &exchange)]);
    let keys = keys_in(directory.path());
    let set = keys.current().unwrap();
    let loaded = keys.source().load().unwrap();
    let text = format!("{set:?} {loaded:?} {keys:?} {sign:?} {exchange:#?}");
    for key in [&sign, &exchange] {
        let scalar = key.private().scalar().unwrap();
        assert!(!text.contains(&BASE64URL_NOPAD.encode(&scalar)[..12]));
        assert!(!text.contains(&format!("{:?}", &scalar[..8])[1..20]));
    }
}
