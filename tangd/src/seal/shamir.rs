//! Sharing a secret so that any k of n shares give it back and any fewer say nothing about it (Shamir, 1979).
//!
//! Each byte is shared by itself, over the field of 256 elements with AES' polynomial. There are no tables, so no memory access
//! depends on a secret. Shares carry no checksum: whoever uses the secret finds out whether it is the right one.

use openssl::rand::rand_bytes;
use zeroize::Zeroizing;

use super::SealError;
use super::aead::{KEY_BYTES, Key};

/// A share: the polynomials' values at `x`. With a threshold of one it is the secret itself.
#[derive(Clone)]
pub(super) struct Share {
    /// Where, from 1; 0 is where the secret lies.
    pub(super) x: u8,
    /// The values, one for each byte of the secret.
    pub(super) y: Key,
}

/// Shares of `secret` at `places` (all different, none 0), any `threshold` of which give it back.
pub(super) fn split(
    secret: &[u8; KEY_BYTES],
    threshold: usize,
    places: &[u8],
) -> Result<Vec<Share>, SealError> {
    debug_assert!(threshold >= 1 && !places.contains(&0));
    let mut coefficients = vec![Zeroizing::new(*secret)];
    for _ in 1..threshold {
        let mut random = Zeroizing::new([0; KEY_BYTES]);
        rand_bytes(&mut *random)?;
        coefficients.push(random);
    }
    let value = |x: u8, byte: usize| {
        coefficients.iter().rev().fold(0, |sum, coefficient| multiply(sum, x) ^ coefficient[byte])
    };
    Ok(places.iter().map(|&x| Share { x, y: collect(|byte| value(x, byte)) }).collect())
}

/// The value at `x` of the polynomials that go through `shares` (all at different places): the secret at 0, another share
/// elsewhere. Meaningful with as many shares as the threshold.
pub(super) fn interpolate(shares: &[&Share], x: u8) -> Key {
    // Lagrange: the weight of each share depends on places alone, which are public.
    let weight = |own: &Share| {
        shares
            .iter()
            .filter(|other| other.x != own.x)
            .fold(1, |product, other| multiply(product, multiply(x ^ other.x, invert(own.x ^ other.x))))
    };
    let weights: Vec<u8> = shares.iter().map(|share| weight(share)).collect();
    collect(|byte| {
        shares.iter().zip(&weights).fold(0, |sum, (share, weight)| sum ^ multiply(share.y[byte], *weight))
    })
}

fn collect(value: impl Fn(usize) -> u8) -> Key {
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = value(index);
    }
    bytes
}

/// The product in GF(2⁸) modulo x⁸ + x⁴ + x³ + x + 1 (FIPS 197 section 4.2), without branches.
fn multiply(mut a: u8, b: u8) -> u8 {
    let mut product = 0;
    for bit in 0..8 {
        product ^= a & (b >> bit & 1).wrapping_neg();
        a = (a << 1) ^ (0x1b & (a >> 7).wrapping_neg());
    }
    product
}

/// The inverse: a²⁵⁴. Only ever of the difference of two places.
fn invert(a: u8) -> u8 {
    let mut result = 1;
    let mut square = a;
    for _ in 1..8 {
        square = multiply(square, square);
        result = multiply(result, square);
    }
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_field_is_that_of_aes() {
        // FIPS 197 section 4.2.
        assert_eq!(multiply(0x57, 0x83), 0xc1);
        assert_eq!(multiply(0x57, 0x13), 0xfe);
        for a in 1..=255 {
            assert_eq!(multiply(a, invert(a)), 1, "{a}");
        }
    }

    #[test]
    fn shares_of_a_known_polynomial_are_its_values() {
        // 0x53 + 0xca·x: at 1 the sum, at 2 worked out by hand.
        let line = [
            Share { x: 1, y: Zeroizing::new([0x53 ^ 0xca; 32]) },
            Share { x: 2, y: Zeroizing::new([0x53 ^ 0x8f; 32]) },
        ];
        assert_eq!(*interpolate(&[&line[0], &line[1]], 0), [0x53; 32]);
    }

    proptest! {
        #[test]
        fn any_threshold_of_shares_give_the_secret_back(
            secret: [u8; 32], threshold in 1_usize..8, spare in 0_usize..8, order: u64,
        ) {
            let count = threshold + spare;
            let places: Vec<u8> = (0..count).map(|index| u8::try_from(index * 31 % 255 + 1).unwrap()).collect();
            let mut shares = split(&secret, threshold, &places).unwrap();
            let rotate = usize::try_from(order % count as u64).unwrap();
            shares.rotate_left(rotate);
            let enough: Vec<&Share> = shares.iter().take(threshold).collect();
            prop_assert_eq!(*interpolate(&enough, 0), secret);
            for share in &shares {
                prop_assert_eq!(*interpolate(&enough, share.x), *share.y);
            }
        }

        #[test]
        fn one_share_too_few_gives_something_else(secret: [u8; 32], threshold in 2_usize..8) {
            let places: Vec<u8> = (1..=8).collect();
            let shares = split(&secret, threshold, &places).unwrap();
            let few: Vec<&Share> = shares.iter().take(threshold - 1).collect();
            prop_assert_ne!(*interpolate(&few, 0), secret);
        }
    }

    #[test]
    fn one_share_too_few_fits_every_secret() {
        // For any other secret there is a polynomial through the share at hand: nothing is ruled out.
        let shares = split(&[1; 32], 2, &[1, 2]).unwrap();
        for guess in 0..=255 {
            let claimed = Share { x: 0, y: Zeroizing::new([guess; 32]) };
            let other = interpolate(&[&claimed, &shares[0]], 2);
            assert_eq!(*interpolate(&[&shares[0], &Share { x: 2, y: other }], 0), [guess; 32]);
        }
    }
}
