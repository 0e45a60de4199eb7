//! The file of a sealed store.
//!
//! Two lines of text: a header in JSON, readable by whoever may read the file, and the encrypted key files in base64url. The
//! encryption covers the header byte for byte, so that one who opens the store also learns whether slots, threshold or the
//! public copy were tampered with.

use data_encoding::BASE64URL_NOPAD;
use openssl::rand::rand_bytes;
use serde::{Deserialize, Serialize};

use super::aead::{self, OVERHEAD_BYTES};
use super::payload::{self, KeyFile};
use super::shamir::{Share, interpolate};
use super::slot::{SLOTS_MAX, Slot};
use super::{Key, SealError};
use crate::keys::{KeySet, PublicCopy};

/// The largest file that is read, in bytes: beyond it is none of ours.
pub(super) const STORE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// What its header begins with; another number for another format.
const FORMAT: &str = "faros-tang-sealed-1";

/// What everybody may know about a store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Header {
    format: String,
    /// A random name: shares of one store are of no use in another.
    pub(super) store: String,
    /// Rises with each change. An older one than remembered is a rollback.
    pub(super) generation: u64,
    /// When its advertised keys were made, in seconds since 1970.
    pub(super) rotated: u64,
    /// How many slots it takes to open it.
    pub(super) threshold: usize,
    /// The highest place that a slot ever had.
    pub(super) last_place: u8,
    /// The ways to open it.
    pub(super) slots: Vec<Slot>,
    /// What is served while it is sealed.
    pub(super) public: PublicCopy,
}

/// A store as it is read: sealed.
#[derive(Clone, Debug)]
pub(super) struct SealedStore {
    pub(super) header: Header,
    header_line: Vec<u8>,
    ciphertext: Vec<u8>,
}

/// A random name for a new store.
pub(super) fn new_store_name() -> Result<String, SealError> {
    let mut name = [0; 16];
    rand_bytes(&mut name)?;
    Ok(BASE64URL_NOPAD.encode(&name))
}

impl Header {
    /// The header of a new store, without its keys.
    pub(super) fn new(store: String, threshold: usize, slots: Vec<Slot>, rotated: u64) -> Self {
        let last_place = slots.iter().map(|slot| slot.place).max().unwrap_or(0);
        let public = PublicCopy { keys: Vec::new(), advertisement: None, signed_by: Vec::new() };
        Self {
            format: FORMAT.to_owned(),
            store,
            generation: 0,
            rotated,
            threshold,
            last_place,
            slots,
            public,
        }
    }

    /// The key that these shares give, as far as they are enough.
    pub(super) fn combine(&self, shares: &[&Share]) -> Option<Key> {
        let enough = shares.get(..self.threshold)?;
        Some(interpolate(enough, 0))
    }

    /// The slot of this name.
    pub(super) fn slot(&self, name: &str) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.name == name)
    }

    fn check(&self) -> Result<(), SealError> {
        let corrupt = |what: &str| Err(SealError::Corrupt(what.to_owned()));
        if self.format != FORMAT {
            return corrupt("its format is unknown; is this an older version of the program?");
        }
        if self.slots.len() > SLOTS_MAX || self.threshold == 0 || self.threshold > self.slots.len() {
            return corrupt("its threshold and its slots do not fit");
        }
        for (index, slot) in self.slots.iter().enumerate() {
            slot.check()?;
            if self.slots[..index].iter().any(|other| other.place == slot.place || other.name == slot.name) {
                return corrupt("two of its slots are alike");
            }
        }
        Ok(())
    }
}

impl SealedStore {
    /// Encrypts `files` under `key`, and signs what is public about them. Rises the generation.
    pub(super) fn seal(mut header: Header, key: &Key, files: &[KeyFile]) -> Result<Self, SealError> {
        header.generation += 1;
        header.public = KeySet::new(payload::load(files)).public_copy()?;
        header.check()?;
        let header_line =
            serde_json::to_vec(&header).map_err(|error| SealError::System(error.to_string()))?;
        let ciphertext = aead::encrypt(key, &header_line, &payload::encode(files)?)?;
        Ok(Self { header, header_line, ciphertext })
    }

    /// Its files in clear.
    ///
    /// # Errors
    /// [`SealError::Tampered`] where the key or anything in the store is another one.
    pub(super) fn open(&self, key: &Key) -> Result<Vec<KeyFile>, SealError> {
        let plain = aead::decrypt(key, &self.header_line, &self.ciphertext)?.ok_or(SealError::Tampered)?;
        payload::decode(&plain)
    }

    /// The content of its file.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.header_line.clone();
        bytes.push(b'\n');
        bytes.extend_from_slice(BASE64URL_NOPAD.encode(&self.ciphertext).as_bytes());
        bytes.push(b'\n');
        bytes
    }

    /// Reads a file's content. What passes may still be tampered with: that shows when it is opened.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, SealError> {
        let corrupt = |what: &str| SealError::Corrupt(what.to_owned());
        let mut lines = bytes.split(|&byte| byte == b'\n');
        let header_line = lines.next().unwrap_or_default().to_vec();
        let (Some(second), Some([]), None) = (lines.next(), lines.next(), lines.next()) else {
            return Err(corrupt("it does not consist of two lines"));
        };
        let header: Header = serde_json::from_slice(&header_line).map_err(|error| {
            SealError::Corrupt(format!("its header is no header at column {}", error.column()))
        })?;
        header.check()?;
        let ciphertext =
            BASE64URL_NOPAD.decode(second).map_err(|_| corrupt("its second line is not base64url"))?;
        if ciphertext.len() < OVERHEAD_BYTES {
            return Err(corrupt("its second line is too short"));
        }
        Ok(Self { header, header_line, ciphertext })
    }
}
