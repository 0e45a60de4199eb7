//! Encryption with authentication: AES-256-GCM (NIST SP 800-38D).
//!
//! From libcrypto, which is linked anyway for the curves: constant in time, with the processor's AES instructions, and one
//! implementation fewer to trust. A key encrypts a handful of messages in its life, each under a random nonce of 96 bits,
//! which is far from the 2³² for which such nonces are allowed.

use openssl::rand::rand_bytes;
use openssl::symm::{Cipher, Crypter, Mode};
use zeroize::Zeroizing;

use super::{SealError, SecretBytes};

/// Bytes of a key.
pub(super) const KEY_BYTES: usize = 32;
/// Bytes in front of each ciphertext.
const NONCE_BYTES: usize = 12;
/// Bytes behind each ciphertext.
const TAG_BYTES: usize = 16;
/// By how much a sealed message is longer than what it holds.
pub(super) const OVERHEAD_BYTES: usize = NONCE_BYTES + TAG_BYTES;

/// A key, wiped when it is let go.
pub(super) type Key = Zeroizing<[u8; KEY_BYTES]>;

/// A fresh random key.
pub(super) fn new_key() -> Result<Key, SealError> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    rand_bytes(&mut *key)?;
    Ok(key)
}

/// Encrypts `plain` and binds it to `context`: nonce, ciphertext and tag.
pub(super) fn encrypt(key: &[u8; KEY_BYTES], context: &[u8], plain: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut nonce = [0; NONCE_BYTES];
    rand_bytes(&mut nonce)?;
    let mut crypter = Crypter::new(Cipher::aes_256_gcm(), Mode::Encrypt, key, Some(&nonce))?;
    crypter.aad_update(context)?;
    // Room for one block more, as libcrypto's binding asks for.
    let mut sealed = vec![0; NONCE_BYTES + plain.len() + 16];
    sealed[..NONCE_BYTES].copy_from_slice(&nonce);
    let written = crypter.update(plain, &mut sealed[NONCE_BYTES..])?;
    let written = NONCE_BYTES + written + crypter.finalize(&mut sealed[NONCE_BYTES + written..])?;
    sealed.truncate(written);
    let mut tag = [0; TAG_BYTES];
    crypter.get_tag(&mut tag)?;
    sealed.extend_from_slice(&tag);
    Ok(sealed)
}

/// Decrypts what [`encrypt`] has made. None: the key is another one, or something of the message or of `context` is changed;
/// nothing of the plain text is kept then.
pub(super) fn decrypt(
    key: &[u8; KEY_BYTES],
    context: &[u8],
    sealed: &[u8],
) -> Result<Option<SecretBytes>, SealError> {
    let Some(length) = sealed.len().checked_sub(OVERHEAD_BYTES) else { return Ok(None) };
    let (nonce, rest) = sealed.split_at(NONCE_BYTES);
    let (ciphertext, tag) = rest.split_at(length);
    let mut crypter = Crypter::new(Cipher::aes_256_gcm(), Mode::Decrypt, key, Some(nonce))?;
    crypter.aad_update(context)?;
    crypter.set_tag(tag)?;
    let mut room = SecretBytes::zeroed(length + 16)?;
    let written = crypter.update(ciphertext, &mut room)?;
    if crypter.finalize(&mut room[written..]).is_err() {
        return Ok(None);
    }
    Ok(Some(SecretBytes::copy_of(&room[..length])?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_opens_with_its_key_and_context_only() {
        let (key, other) = (new_key().unwrap(), new_key().unwrap());
        for plain in [&b""[..], b"x", &[7; 1000]] {
            let sealed = encrypt(&key, b"slot 1", plain).unwrap();
            assert_eq!(&*decrypt(&key, b"slot 1", &sealed).unwrap().unwrap(), plain);
            assert!(decrypt(&other, b"slot 1", &sealed).unwrap().is_none());
            assert!(decrypt(&key, b"slot 2", &sealed).unwrap().is_none());
        }
    }

    #[test]
    fn every_changed_or_missing_bit_is_noticed() {
        let key = new_key().unwrap();
        let sealed = encrypt(&key, b"", b"secret").unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(decrypt(&key, b"", &changed).unwrap().is_none(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(decrypt(&key, b"", &sealed[..length]).unwrap().is_none(), "length {length}");
        }
    }

    #[test]
    fn the_cipher_is_the_published_one() {
        // Test case 14 of "The Galois/Counter Mode of Operation" (McGrew, Viega): zeros under zeros.
        let sealed = [
            &[0; 12][..],
            &data_encoding::HEXLOWER.decode(b"cea7403d4d606b6e074ec5d3baf39d18").unwrap(),
            &data_encoding::HEXLOWER.decode(b"d0d1c8a799996bf0265b98b5d48ab919").unwrap(),
        ]
        .concat();
        assert_eq!(&*decrypt(&[0; 32], b"", &sealed).unwrap().unwrap(), &[0; 16]);
    }
}
