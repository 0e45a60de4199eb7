//! A slot for a passphrase: Argon2id (RFC 9106).

use std::fmt;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use data_encoding::BASE64URL_NOPAD;
use openssl::rand::rand_bytes;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::seal::aead::KEY_BYTES;
use crate::seal::{Key, SealError};

/// The shortest passphrase that is taken for a new slot, in bytes. Each guess costs an attacker 64 MiB and a tenth of a second;
/// what is shorter falls all the same.
pub const PASSPHRASE_BYTES_MIN: usize = 12;
/// The longest passphrase.
pub const PASSPHRASE_BYTES_MAX: usize = 1024;

/// What a guess costs: the second recommended choice of RFC 9106 section 4, a quarter of a second on one slow core.
const COST: Cost = Cost { memory_kib: 64 * 1024, passes: 3, lanes: 4 };
/// The most that a store's file may ask for: beyond, it would be an attack on this host's memory.
const COST_MAX: Cost = Cost { memory_kib: 1024 * 1024, passes: 64, lanes: 64 };
const SALT_BYTES: usize = 16;

/// A passphrase, wiped when it is let go, and shown to nobody.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// These bytes, without the line end that editors and `echo` leave.
    ///
    /// # Errors
    /// [`SealError::Invalid`] for none at all or more than [`PASSPHRASE_BYTES_MAX`].
    pub fn new(mut bytes: Zeroizing<Vec<u8>>) -> Result<Self, SealError> {
        let line =
            bytes.strip_suffix(b"\n").map_or(&bytes[..], |line| line.strip_suffix(b"\r").unwrap_or(line));
        let length = line.len();
        if length == 0 || length > PASSPHRASE_BYTES_MAX {
            return Err(SealError::Invalid(format!("a passphrase has 1 to {PASSPHRASE_BYTES_MAX} bytes")));
        }
        bytes.truncate(length);
        Ok(Self(bytes))
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Passphrase(…)")
    }
}

/// How a passphrase becomes a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassphraseLock {
    salt: String,
    #[serde(flatten)]
    cost: Cost,
}

/// What deriving costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl PassphraseLock {
    /// A lock with a fresh salt, and its key.
    pub(in crate::seal) fn new(passphrase: &Passphrase) -> Result<(Self, Key), SealError> {
        if passphrase.0.len() < PASSPHRASE_BYTES_MIN {
            return Err(SealError::Invalid(format!(
                "the passphrase is shorter than {PASSPHRASE_BYTES_MIN} bytes; take several words"
            )));
        }
        let mut salt = [0; SALT_BYTES];
        rand_bytes(&mut salt)?;
        let lock = Self { salt: BASE64URL_NOPAD.encode(&salt), cost: COST };
        let key = lock.key(passphrase)?;
        Ok((lock, key))
    }

    /// A lock that costs next to nothing, for tests of something else.
    #[cfg(test)]
    pub(in crate::seal) fn cheap(passphrase: &Passphrase) -> Result<(Self, Key), SealError> {
        let cost = Cost { memory_kib: 64, passes: 1, lanes: 1 };
        let lock = Self { salt: BASE64URL_NOPAD.encode(&[7; SALT_BYTES]), cost };
        let key = lock.key(passphrase)?;
        Ok((lock, key))
    }

    /// The key that this passphrase gives: some key in any case.
    pub(in crate::seal) fn key(&self, passphrase: &Passphrase) -> Result<Key, SealError> {
        self.check()?;
        let salt = BASE64URL_NOPAD.decode(self.salt.as_bytes()).map_err(|_| malformed())?;
        let Cost { memory_kib, passes, lanes } = self.cost;
        let parameters = Params::new(memory_kib, passes, lanes, Some(KEY_BYTES)).map_err(|_| malformed())?;
        let mut memory = Vec::new();
        let blocks = parameters.block_count();
        memory.try_reserve_exact(blocks).map_err(|_| {
            SealError::System(format!("no {} MiB of memory to derive a key with", memory_kib / 1024))
        })?;
        memory.resize(blocks, Block::default());
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters);
        let mut key = Key::new([0; KEY_BYTES]);
        let derived = argon2.hash_password_into_with_memory(&passphrase.0, &salt, &mut *key, &mut memory);
        memory.iter_mut().for_each(Zeroize::zeroize);
        derived.map_err(|_| malformed())?;
        Ok(key)
    }

    pub(super) fn check(&self) -> Result<(), SealError> {
        let Cost { memory_kib, passes, lanes } = self.cost;
        let good = memory_kib <= COST_MAX.memory_kib && passes <= COST_MAX.passes && lanes <= COST_MAX.lanes;
        if good && self.salt.len() <= 128 { Ok(()) } else { Err(malformed()) }
    }
}

fn malformed() -> SealError {
    SealError::Corrupt("a passphrase slot asks for what cannot be".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(Zeroizing::new(text.as_bytes().to_vec())).unwrap()
    }

    #[test]
    fn deriving_is_that_of_rfc_9106() {
        // What the reference program prints for this: argon2 somesalt -id -t 2 -k 65536 -p 1 -l 32, password "password".
        let cost = Cost { memory_kib: 65536, passes: 2, lanes: 1 };
        let lock = PassphraseLock { salt: BASE64URL_NOPAD.encode(b"somesalt"), cost };
        let key = lock.key(&passphrase("password")).unwrap();
        let expected = "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7";
        assert_eq!(data_encoding::HEXLOWER.encode(&*key), expected);
    }

    #[test]
    fn a_new_slot_costs_at_least_64_mib_and_another_passphrase_gives_another_key() {
        let (lock, key) = PassphraseLock::new(&passphrase("correct horse battery")).unwrap();
        assert!(lock.cost.memory_kib >= 64 * 1024 && lock.cost.passes >= 3);
        assert_eq!(
            lock.key(&passphrase("correct horse battery\n")).unwrap(),
            key,
            "a final line end does not count"
        );
        assert_ne!(lock.key(&passphrase("correct horse batterz")).unwrap(), key);
        assert_ne!(
            PassphraseLock::new(&passphrase("correct horse battery")).unwrap().1,
            key,
            "the salt is fresh"
        );
    }

    #[test]
    fn a_short_passphrase_makes_no_slot() {
        assert!(matches!(PassphraseLock::new(&passphrase("hunter2")), Err(SealError::Invalid(_))));
        assert!(Passphrase::new(Zeroizing::new(b"\r\n".to_vec())).is_err());
        assert!(Passphrase::new(Zeroizing::new(vec![b'x'; PASSPHRASE_BYTES_MAX + 1])).is_err());
        assert_eq!(format!("{:?}", passphrase("hunter2")), "Passphrase(…)");
    }

    #[test]
    fn a_file_cannot_make_this_host_run_out_of_memory() {
        for cost in [
            Cost { memory_kib: u32::MAX, ..COST },
            Cost { passes: u32::MAX, ..COST },
            Cost { lanes: u32::MAX, ..COST },
            Cost { memory_kib: 0, ..COST },
            Cost { lanes: 0, ..COST },
        ] {
            let lock = PassphraseLock { salt: BASE64URL_NOPAD.encode(&[1; 16]), cost };
            assert!(
                matches!(lock.key(&passphrase("anything at all")), Err(SealError::Corrupt(_))),
                "{cost:?}"
            );
        }
    }
}
