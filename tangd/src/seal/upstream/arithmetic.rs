//! Sums and differences of points.

use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcPoint};
use openssl::nid::Nid;

use crate::crypto::{Curve, Point};
use crate::seal::SealError;

/// a + b.
pub(in crate::seal) fn add(a: &Point, b: &Point) -> Result<Point, SealError> {
    combine(a, b, false)
}

/// a − b.
pub(in crate::seal) fn subtract(a: &Point, b: &Point) -> Result<Point, SealError> {
    combine(a, b, true)
}

fn combine(a: &Point, b: &Point, negate: bool) -> Result<Point, SealError> {
    let curve = a.curve();
    if b.curve() != curve {
        return Err(SealError::Upstream("the server answered with a point of another curve".to_owned()));
    }
    let group = EcGroup::from_curve_name(match curve {
        Curve::P256 => Nid::X9_62_PRIME256V1,
        Curve::P384 => Nid::SECP384R1,
        Curve::P521 => Nid::SECP521R1,
    })?;
    // The differences are secret.
    let mut context = BigNumContext::new_secure()?;
    let mut of = |point: &Point| {
        let octets = zeroize::Zeroizing::new([&[4], point.x(), point.y()].concat());
        EcPoint::from_bytes(&group, &octets, &mut context)
    };
    let (a, mut b) = (of(a)?, of(b)?);
    if negate {
        b.invert2(&group, &mut context)?;
    }
    let mut sum = EcPoint::new(&group)?;
    sum.add(&group, &a, &b, &mut context)?;
    if sum.is_infinity(&group) {
        // By chance once in a universe; a server could force it, which tells it nothing.
        return Err(SealError::Upstream("the exchange came to nothing; it is tried again".to_owned()));
    }
    let (mut x, mut y) = (BigNum::new_secure()?, BigNum::new_secure()?);
    sum.affine_coordinates(&group, &mut x, &mut y, &mut context)?;
    let width = i32::try_from(curve.coordinate_bytes()).expect("66 at most");
    let coordinate = |number: BigNum| number.to_vec_padded(width).map(zeroize::Zeroizing::new);
    Point::new(curve, &coordinate(x)?, &coordinate(y)?).map_err(|error| SealError::System(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::PrivateKey;

    #[test]
    fn the_exchange_gives_both_ends_the_same_point_on_every_curve() {
        for curve in Curve::ALL {
            for _ in 0..8 {
                let [server, client, blinding] = [(); 3].map(|()| PrivateKey::generate(curve).unwrap());
                let shared = client.exchange(server.public()).unwrap();
                let blinded = add(client.public(), blinding.public()).unwrap();
                let reply = server.exchange(&blinded).unwrap();
                let unblinding = blinding.exchange(server.public()).unwrap();
                assert_eq!(subtract(&reply, &unblinding).unwrap(), shared);
                assert_ne!(add(&reply, &unblinding).unwrap(), shared);
            }
        }
    }

    #[test]
    fn points_of_two_curves_and_sums_at_infinity_are_errors() {
        let [a, b] =
            [Curve::P256, Curve::P521].map(|curve| PrivateKey::generate(curve).unwrap().public().clone());
        assert!(add(&a, &b).is_err());
        assert!(subtract(&a, &a).is_err());
    }
}
