use data_encoding::{BASE64URL_NOPAD, HEXUPPER};
use proptest::prelude::*;

use super::*;

fn base64(text: &str) -> Vec<u8> {
    BASE64URL_NOPAD.decode(text.as_bytes()).unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    HEXUPPER.decode(text.replace(' ', "").as_bytes()).unwrap()
}

/// The key of RFC 7520 section 3.2.
fn bilbo() -> PrivateKey {
    let x = "AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt";
    let y = "AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1";
    let d = "AAhRON2r9cqXX1hg-RoI6R1tX5p2rUAYdmpHZoC1XNM56KtscrX6zbKipQrCW9CGZH3T4ubpnoTKLDYJ_fF3_rJt";
    let public = Point::new(Curve::P521, &base64(x), &base64(y)).unwrap();
    PrivateKey::new(public, &base64(d)).unwrap()
}

#[test]
fn an_exchange_gives_both_coordinates_of_rfc_5903_section_8_1() {
    let ours = hex("C88F01F5 10D9AC3F 70A292DA A2316DE5 44E9AAB8 AFE84049 C62A9C57 862D1433");
    let our_x = hex("DAD0B653 94221CF9 B051E1FE CA5787D0 98DFE637 FC90B9EF 945D0C37 72581180");
    let our_y = hex("5271A046 1CDB8252 D61F1C45 6FA3E59A B1F45B33 ACCF5F58 389E0577 B8990BB3");
    let key = PrivateKey::new(Point::new(Curve::P256, &our_x, &our_y).unwrap(), &ours).unwrap();
    let x = hex("D12DFB52 89C8D4F8 1208B702 70398C34 2296970A 0BCCB74C 736FC755 4494BF63");
    let y = hex("56FBF3CA 366CC23E 8157854C 13C58D6A AC23F046 ADA30F83 53E74F33 039872AB");
    let product = key.exchange(&Point::new(Curve::P256, &x, &y).unwrap()).unwrap();
    assert_eq!(product.x(), hex("D6840F6B 42F6EDAF D13116E0 E1256520 2FEF8E9E CE7DCE03 812464D0 4B9442DE"));
    assert_eq!(product.y(), hex("522BDE0A F0D8585B 8DEF9C18 3B5AE38F 50235206 A8674ECB 5D98EDB2 0EB153A2"));
}

#[test]
fn the_scalar_comes_out_as_it_went_in_with_its_leading_zeros() {
    assert_eq!(bilbo().scalar().unwrap()[..2], [0, 8]);
    assert_eq!(bilbo().scalar().unwrap().len(), 66);
}

/// `s(P + iG)` by our multiplication and as `sP + i(sG)` by a library that shares no code with it: ten thousand points
/// for the price of additions on its side.
macro_rules! agrees_with {
    ($name:ident, $oracle:ident, $curve:expr, $points:expr) => {
        #[test]
        fn $name() {
            use $oracle::elliptic_curve::group::Group;
            use $oracle::elliptic_curve::sec1::{FromEncodedPoint, ToEncodedPoint};
            use $oracle::{AffinePoint, EncodedPoint, ProjectivePoint};

            let oracle = |point: &Point| {
                let encoded =
                    EncodedPoint::from_affine_coordinates(point.x().into(), point.y().into(), false);
                ProjectivePoint::from(
                    Option::<AffinePoint>::from(AffinePoint::from_encoded_point(&encoded)).unwrap(),
                )
            };
            let ours = |point: &ProjectivePoint| {
                let encoded = point.to_affine().to_encoded_point(false);
                Point::new($curve, encoded.x().unwrap(), encoded.y().unwrap()).unwrap()
            };
            let key = PrivateKey::generate($curve).unwrap();
            let start = PrivateKey::generate($curve).unwrap();
            let scalar = {
                use $oracle::elliptic_curve::PrimeField;
                let octets = key.scalar().unwrap();
                let repr: &$oracle::FieldBytes = octets[..].into();
                Option::<$oracle::Scalar>::from($oracle::Scalar::from_repr(repr.clone())).unwrap()
            };
            assert_eq!(ours(&(ProjectivePoint::generator() * scalar)), *key.public());
            let mut point = oracle(start.public());
            let mut product = point * scalar;
            let (step, product_step) = (ProjectivePoint::generator(), oracle(key.public()));
            let mut with_leading_zeros = [0; 2];
            for _ in 0..$points {
                let (sent, expected) = (ours(&point), ours(&product));
                assert_eq!(key.exchange(&sent).unwrap(), expected, "{sent:?}");
                with_leading_zeros[0] += usize::from(expected.x()[0] == 0);
                with_leading_zeros[1] += usize::from(expected.y()[0] == 0);
                point += step;
                product += product_step;
            }
            assert!(with_leading_zeros.iter().all(|count| *count > 0), "{with_leading_zeros:?}");
        }
    };
}

agrees_with!(exchanges_on_p256_agree_with_another_library, p256, Curve::P256, 10_000);
agrees_with!(exchanges_on_p384_agree_with_another_library, p384, Curve::P384, 3_000);
agrees_with!(exchanges_on_p521_agree_with_another_library, p521, Curve::P521, 10_000);

#[test]
fn a_client_that_blinds_and_unblinds_finds_its_key() {
    // McCallum and Relyea, whole: K = cS at binding; X = C + eG, Y = sX, K = Y - eS at recovery.
    use openssl::bn::{BigNum, BigNumContext};
    use openssl::ec::EcPoint;
    for curve in Curve::ALL {
        let group = curve.group().unwrap();
        let mut context = BigNumContext::new().unwrap();
        let [server, client, blind] = [(); 3].map(|()| PrivateKey::generate(curve).unwrap());
        let bound = client.exchange(server.public()).unwrap();
        let mut sent = EcPoint::new(group).unwrap();
        let (c, e) = (client.public().to_openssl().unwrap(), blind.public().to_openssl().unwrap());
        sent.add(group, &c, &e, &mut context).unwrap();
        let answer = server.exchange(&Point::from_openssl(curve, &sent).unwrap()).unwrap();
        let mut mask = blind.exchange(server.public()).unwrap().to_openssl().unwrap();
        mask.invert2(group, &mut context).unwrap();
        let mut found = EcPoint::new(group).unwrap();
        found.add(group, &answer.to_openssl().unwrap(), &mask, &mut context).unwrap();
        assert_eq!(Point::from_openssl(curve, &found).unwrap(), bound);
        assert!(BigNum::from_slice(bound.x()).unwrap().num_bits() > 0);
    }
}

#[test]
fn a_point_of_another_curve_is_never_multiplied() {
    let [p256, p384, p521] = Curve::ALL.map(|curve| PrivateKey::generate(curve).unwrap());
    for (key, other) in [(&p256, &p384), (&p384, &p521), (&p521, &p256)] {
        assert!(matches!(key.exchange(other.public()), Err(CryptoError::Curve)));
    }
}

#[test]
fn what_is_no_point_is_refused() {
    for curve in Curve::ALL {
        let width = curve.coordinate_bytes();
        let key = PrivateKey::generate(curve).unwrap();
        let (x, y) = (key.public().x(), key.public().y());
        let zero = vec![0; width];
        let ones = vec![0xff; width];
        let mut tampered = y.to_vec();
        tampered[width - 1] ^= 1;
        let refused = |x: &[u8], y: &[u8]| Point::new(curve, x, y).unwrap_err();
        // Off the curve: (0, 0), y = 0 (order 2 on some other curve), swapped, one bit off, beyond the field.
        for (x, y) in [(&*zero, &*zero), (x, &*zero), (y, x), (x, &*tampered), (&*ones, y), (x, &*ones)] {
            assert_eq!(refused(x, y), PointError::NotOnCurve);
        }
        // Infinity in any spelling, compressed and uncompressed forms, cut and stretched coordinates.
        let compressed = [&[2 + (y[width - 1] & 1)], x].concat();
        let whole = [&[4], x, y].concat();
        let stretched = [&[0], x].concat();
        for x in [&[][..], &[0], &x[1..], &x[..width - 1], &compressed, &whole, &stretched, &[1; 4096]] {
            assert_eq!(refused(x, y), PointError::Width);
            assert_eq!(refused(y, x), PointError::Width);
        }
        // The same point with the prime added to x: below the width on P-521, and still refused.
        let mut order = openssl::bn::BigNum::new().unwrap();
        let [mut a, mut b] = [(); 2].map(|()| openssl::bn::BigNum::new().unwrap());
        let mut context = openssl::bn::BigNumContext::new().unwrap();
        curve.group().unwrap().components_gfp(&mut order, &mut a, &mut b, &mut context).unwrap();
        let sum = &order + &openssl::bn::BigNum::from_slice(x).unwrap();
        if let Ok(beyond) = sum.to_vec_padded(i32::try_from(width).unwrap()) {
            assert_eq!(refused(&beyond, y), PointError::NotOnCurve);
        }
    }
}

#[test]
fn scalars_out_of_range_and_of_other_points_are_refused() {
    for curve in Curve::ALL {
        let width = curve.coordinate_bytes();
        let key = PrivateKey::generate(curve).unwrap();
        let with = |d: &[u8]| PrivateKey::new(key.public().clone(), d);
        let mut order = openssl::bn::BigNum::new().unwrap();
        let mut context = openssl::bn::BigNumContext::new().unwrap();
        curve.group().unwrap().order(&mut order, &mut context).unwrap();
        let order = order.to_vec_padded(i32::try_from(width).unwrap()).unwrap();
        for d in [&vec![0; width][..], &order, &vec![0xff; width], &[], &[1], &key.scalar().unwrap()[1..]] {
            assert!(matches!(with(d), Err(CryptoError::Scalar)));
        }
        let mut other = vec![0; width];
        other[width - 1] = 1;
        assert!(matches!(with(&other), Err(CryptoError::PublicPoint)));
        assert!(with(&key.scalar().unwrap()).is_ok());
    }
}

#[test]
fn signatures_are_those_of_jws() {
    for curve in Curve::ALL {
        let key = PrivateKey::generate(curve).unwrap();
        for _ in 0..20 {
            let signature = key.sign(b"message").unwrap();
            assert_eq!(signature.len(), 2 * curve.coordinate_bytes());
            let jwk = crate::protocol::jwk::PublicJwk::new(
                key.public().clone(),
                curve.signature_algorithm(),
                &["verify"],
            );
            let jwk = josekit::jwk::Jwk::from_bytes(jwk.to_json()).unwrap();
            let verifier = curve.signatures().verifier_from_jwk(&jwk).unwrap();
            josekit::jws::JwsVerifier::verify(&verifier, b"message", &signature).unwrap();
            josekit::jws::JwsVerifier::verify(&verifier, b"massage", &signature).unwrap_err();
        }
    }
}

#[test]
fn a_private_key_prints_nothing_of_its_scalar() {
    let key = bilbo();
    let (scalar, text) = (key.scalar().unwrap(), format!("{key:?} {key:#?}"));
    let printed = [
        BASE64URL_NOPAD.encode(&scalar),
        HEXUPPER.encode(&scalar),
        data_encoding::HEXLOWER.encode(&scalar),
        format!("{:?}", &scalar[..8]),
        openssl::bn::BigNum::from_slice(&scalar).unwrap().to_dec_str().unwrap().to_string(),
    ];
    assert!(printed.iter().all(|form| !text.contains(form)));
    assert!(text.contains("AHKZLLOsCOzz5cY97ewNUajB957y"), "the public part may be seen: {text}");
}

proptest! {
    #[test]
    fn random_coordinates_are_no_point(curve in prop::sample::select(&Curve::ALL[..]), octets in prop::collection::vec(any::<u8>(), 132)) {
        let width = curve.coordinate_bytes();
        let (x, y) = (&octets[..width], &octets[width..2 * width]);
        prop_assert_eq!(Point::new(curve, x, y), Err(PointError::NotOnCurve));
    }

    #[test]
    fn coordinates_of_any_other_width_are_refused(curve in prop::sample::select(&Curve::ALL[..]), x in prop::collection::vec(any::<u8>(), 0..140)) {
        prop_assume!(x.len() != curve.coordinate_bytes());
        prop_assert_eq!(Point::new(curve, &x, &x), Err(PointError::Width));
    }
}
