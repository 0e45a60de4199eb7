//! The store as a whole, on a real file system.

mod crash;
mod keeper;
mod store;
mod upstream;

use std::path::Path;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::slot::{Fitted, Lock};
use super::{KeyStore, NewSlot, Opener, Passphrase, PassphraseLock};
use crate::keys::{KeySource, Loaded, PrivateJwk, SourcedKey};

const WORDS: &str = "correct horse battery staple";

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(Zeroizing::new(text.as_bytes().to_vec())).unwrap()
}

fn slot(name: &str, words: &str) -> NewSlot {
    NewSlot { name: name.to_owned(), with: Opener::Passphrase(passphrase(words)) }
}

/// The lock of a slot for [`WORDS`].
fn fitted() -> Fitted {
    let (lock, key) = PassphraseLock::cheap(&passphrase(WORDS)).unwrap();
    Fitted { name: "operator".to_owned(), lock: Lock::Passphrase(lock), key }
}

/// A directory as upstream leaves it after a rotation, with a key that nobody can parse; and its keys.
fn directory() -> (TempDir, Vec<SourcedKey>) {
    let directory = tempfile::tempdir().unwrap();
    let mut keys = Vec::new();
    for dot in ["", "."] {
        for jwk in PrivateJwk::pair().unwrap() {
            let file = format!("{dot}{}.jwk", jwk.thumbprint());
            std::fs::write(directory.path().join(&file), &*jwk.to_json().unwrap()).unwrap();
            keys.push(SourcedKey { file, jwk });
        }
    }
    std::fs::write(directory.path().join("odd.jwk"), r#"{"kty":"EC","crv":"secp256k1","d":"c2VjcmV0"}"#)
        .unwrap();
    (directory, keys)
}

/// What of a file below `directory` gives one of `keys` away: its scalar in base64url, in hexadecimal or as it is.
fn leak(directory: &Path, keys: &[SourcedKey]) -> Option<String> {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let content = std::fs::read(&path).unwrap();
        let holds = |wanted: &[u8]| content.windows(wanted.len()).any(|window| window == wanted);
        for key in keys {
            let scalar = key.jwk.private().scalar().unwrap();
            let texts = [BASE64URL_NOPAD.encode(&scalar), HEXLOWER.encode(&scalar)];
            if holds(&scalar) || texts.iter().any(|text| holds(text.as_bytes())) {
                return Some(format!("{} holds the scalar of {}", path.display(), key.file));
            }
        }
        if holds(b"c2VjcmV0") {
            return Some(format!("{} holds the scalar that nobody can parse", path.display()));
        }
    }
    None
}

/// The thumbprints of all keys that a source gives, visible ones first; none while it is sealed.
fn thumbprints(source: &KeyStore) -> Option<Vec<String>> {
    match KeySource::load(source).unwrap() {
        Loaded::Sealed(_) => None,
        Loaded::Open { mut keys, .. } => {
            keys.sort_by_key(|key| key.file.starts_with('.'));
            Some(keys.iter().map(|key| key.jwk.thumbprint()).collect())
        }
    }
}

fn all_in(held: &[String], keys: &[SourcedKey]) -> bool {
    keys.iter().all(|key| held.contains(&key.jwk.thumbprint()))
}
