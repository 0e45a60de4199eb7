//! Slots: the ways to open a store. Each gives a key of its own, which encrypts one share of the store's key.

pub(super) mod passphrase;
pub(super) mod tpm2;
pub(super) mod upstream;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use super::aead::{self, KEY_BYTES};
use super::shamir::Share;
use super::{Key, SealError};

pub use passphrase::{Passphrase, PassphraseLock};
pub use tpm2::Tpm2Lock;
pub use upstream::UpstreamLock;

/// How many slots a store has at most.
pub const SLOTS_MAX: usize = 16;
/// The longest name of a slot.
const NAME_BYTES_MAX: usize = 64;

/// One way to open a store, as it stands in its file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Slot {
    /// What operators call it; unique in its store.
    pub name: String,
    /// Where its share lies, from 1; never used again for another slot of the same store.
    pub place: u8,
    /// What opens it.
    #[serde(flatten)]
    pub lock: Lock,
    /// Its share of the store's key, encrypted.
    pub(super) wrapped: String,
}

/// What opens a slot.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Lock {
    /// An operator's passphrase.
    Passphrase(PassphraseLock),
    /// Another Tang server, asked without anybody's help.
    Tang(UpstreamLock),
    /// This host's TPM 2.0.
    Tpm2(Tpm2Lock),
}

impl Lock {
    /// Its kind as the site file calls it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Passphrase(_) => "passphrase",
            Self::Tang(_) => "tang",
            Self::Tpm2(_) => "tpm2",
        }
    }
}

/// A slot that is to be made.
#[derive(Clone, Debug)]
pub struct NewSlot {
    /// What operators shall call it.
    pub name: String,
    /// What shall open it.
    pub with: Opener,
}

/// What shall open a slot.
#[derive(Clone, Debug)]
pub enum Opener {
    /// A passphrase.
    Passphrase(Passphrase),
    /// Another Tang server.
    Tang(upstream::Upstream),
    /// The TPM of the host that this runs on.
    Tpm2(tpm2::Tpm2),
}

/// A lock with its key: all that is needed to make a slot once its share is known.
#[derive(Debug)]
pub(super) struct Fitted {
    pub(super) name: String,
    pub(super) lock: Lock,
    pub(super) key: Key,
}

impl NewSlot {
    /// Makes the lock: derives, asks the server or has the TPM seal.
    pub(super) async fn fit(&self) -> Result<Fitted, SealError> {
        let name = self.name.clone();
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(SealError::Invalid(format!("a slot is named with 1 to {NAME_BYTES_MAX} bytes")));
        }
        let (lock, key) = match &self.with {
            Opener::Passphrase(passphrase) => {
                let (lock, key) = PassphraseLock::new(passphrase)?;
                (Lock::Passphrase(lock), key)
            }
            Opener::Tang(upstream) => {
                let (lock, key) = UpstreamLock::new(upstream).await?;
                (Lock::Tang(lock), key)
            }
            Opener::Tpm2(tpm2) => {
                let (lock, key) = Tpm2Lock::new(tpm2)?;
                (Lock::Tpm2(lock), key)
            }
        };
        Ok(Fitted { name, lock, key })
    }
}

impl Fitted {
    /// The slot that holds `share`.
    pub(super) fn with_share(self, store: &str, threshold: usize, share: &Share) -> Result<Slot, SealError> {
        let wrapped = aead::encrypt(&self.key, &context(store, threshold, share.x), &*share.y)?;
        let wrapped = BASE64URL_NOPAD.encode(&wrapped);
        Ok(Slot { name: self.name, place: share.x, lock: self.lock, wrapped })
    }
}

impl Slot {
    /// Its share. None: it is another slot's key.
    pub(super) fn share(&self, store: &str, threshold: usize, key: &Key) -> Result<Option<Share>, SealError> {
        let damaged = || SealError::Corrupt(format!("the share of slot {} is malformed", self.name));
        let wrapped = BASE64URL_NOPAD.decode(self.wrapped.as_bytes()).map_err(|_| damaged())?;
        let Some(share) = aead::decrypt(key, &context(store, threshold, self.place), &wrapped)? else {
            return Ok(None);
        };
        let mut y = Key::new([0; KEY_BYTES]);
        if share.len() != y.len() {
            return Err(damaged());
        }
        y.copy_from_slice(&share);
        Ok(Some(Share { x: self.place, y }))
    }

    /// What of it can be wrong in a file that is otherwise one of ours.
    pub(super) fn check(&self) -> Result<(), SealError> {
        if self.place == 0 || self.name.len() > NAME_BYTES_MAX {
            return Err(SealError::Corrupt(format!("slot {:.64} is malformed", self.name)));
        }
        match &self.lock {
            Lock::Passphrase(lock) => lock.check(),
            Lock::Tang(_) | Lock::Tpm2(_) => Ok(()),
        }
    }
}

/// What a share is bound to, so that shares cannot be moved between slots or stores.
fn context(store: &str, threshold: usize, place: u8) -> Vec<u8> {
    format!("faros tang share 1 {store} {threshold} {place}").into_bytes()
}
