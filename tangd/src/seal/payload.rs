//! What is sealed: key files, as they would stand in a directory.
//!
//! ```text
//! "FSK1" { name length u16, name, content length u32, content }*     big-endian
//! ```

use super::{SealError, SecretBytes};
use crate::keys::{Loaded, PrivateJwk, Skipped, SourcedKey};

const MAGIC: &[u8; 4] = b"FSK1";
/// The longest name of a key file, as file systems have it.
pub(super) const NAME_BYTES_MAX: usize = 255;
/// The largest key file; a JWK has some 400 bytes. Larger ones are refused when sealing.
pub(super) const CONTENT_BYTES_MAX: usize = 64 * 1024;
/// How many key files a store holds at most. At one rotation a month that is a century.
pub(super) const FILES_MAX: usize = 4096;

/// A key file in clear, in memory.
#[derive(Debug)]
pub(super) struct KeyFile {
    /// Its name, without folders; a leading `.` means hidden.
    pub(super) name: String,
    /// What stands in it.
    pub(super) content: SecretBytes,
}

impl KeyFile {
    /// A fresh key under its thumbprint.
    pub(super) fn of(jwk: &PrivateJwk) -> Result<Self, SealError> {
        let content = SecretBytes::copy_of(&jwk.to_json()?)?;
        Ok(Self { name: format!("{}.jwk", jwk.thumbprint()), content })
    }

    /// Whether it is advertised, as far as its name goes.
    pub(super) fn is_visible(&self) -> bool {
        !self.name.starts_with('.')
    }
}

/// All files in one piece.
pub(super) fn encode(files: &[KeyFile]) -> Result<SecretBytes, SealError> {
    if files.len() > FILES_MAX {
        return Err(SealError::Invalid(format!(
            "more than {FILES_MAX} key files; delete some that nobody uses any more"
        )));
    }
    let length = files.iter().map(|file| 6 + file.name.len() + file.content.len()).sum::<usize>();
    let mut encoded = SecretBytes::zeroed(MAGIC.len() + length)?;
    let mut rest: &mut [u8] = &mut encoded;
    let mut put = |bytes: &[u8]| {
        let (here, beyond) = std::mem::take(&mut rest).split_at_mut(bytes.len());
        here.copy_from_slice(bytes);
        rest = beyond;
    };
    put(MAGIC);
    for KeyFile { name, content } in files {
        if !name_is_good(name) || content.len() > CONTENT_BYTES_MAX {
            return Err(SealError::Invalid(format!("{name} is too large or not a name for a key file")));
        }
        put(&u16::try_from(name.len()).expect("checked above").to_be_bytes());
        put(name.as_bytes());
        put(&u32::try_from(content.len()).expect("checked above").to_be_bytes());
        put(content);
    }
    Ok(encoded)
}

/// The files of [`encode`]. What comes here was authenticated; a fault is a defect of whoever wrote it, and is refused all
/// the same.
pub(super) fn decode(encoded: &[u8]) -> Result<Vec<KeyFile>, SealError> {
    decode_parts(encoded).ok_or_else(|| SealError::Corrupt("its content is malformed".to_owned()))?
}

fn decode_parts(encoded: &[u8]) -> Option<Result<Vec<KeyFile>, SealError>> {
    let mut rest = encoded.strip_prefix(MAGIC)?;
    let mut files = Vec::new();
    while !rest.is_empty() {
        let (length, beyond) = rest.split_first_chunk()?;
        let (name, beyond) = beyond.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let (length, beyond) = beyond.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (content, beyond) = beyond.split_at_checked(length)?;
        let name = std::str::from_utf8(name).ok().filter(|name| name_is_good(name))?.to_owned();
        if length > CONTENT_BYTES_MAX || files.len() == FILES_MAX {
            return None;
        }
        match SecretBytes::copy_of(content) {
            Ok(content) => files.push(KeyFile { name, content }),
            Err(error) => return Some(Err(error.into())),
        }
        rest = beyond;
    }
    Some(Ok(files))
}

/// The keys in these files.
pub(super) fn load(files: &[KeyFile]) -> Loaded {
    let (mut keys, mut skipped) = (Vec::new(), Vec::new());
    for KeyFile { name: file, content } in files {
        match PrivateJwk::parse(content) {
            Ok(jwk) => keys.push(SourcedKey { file: file.clone(), jwk }),
            Err(error) => skipped.push(Skipped { file: file.clone(), reason: error.to_string() }),
        }
    }
    Loaded::Open { keys, skipped }
}

/// Whether a directory could hold a key file of this name.
pub(super) fn name_is_good(name: &str) -> bool {
    name.ends_with(".jwk") && name.len() <= NAME_BYTES_MAX && !name.contains(['/', '\0'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(name: &str, content: &[u8]) -> KeyFile {
        KeyFile { name: name.to_owned(), content: SecretBytes::copy_of(content).unwrap() }
    }

    #[test]
    fn files_come_back_as_they_were() {
        let files = [file("a.jwk", b"{}"), file(".b.jwk", b""), file("ü.jwk", &[0xff; 400])];
        let back = decode(&encode(&files).unwrap()).unwrap();
        let plain = |files: &[KeyFile]| -> Vec<_> {
            files.iter().map(|file| (file.name.clone(), file.content.to_vec())).collect()
        };
        assert_eq!(plain(&back), plain(&files));
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["../a.jwk", "a.json", "", "a\0.jwk", &format!("{}.jwk", "x".repeat(252))] {
            assert!(encode(&[file(name, b"")]).is_err(), "{name:?}");
        }
        assert!(encode(&[file("a.jwk", &vec![0; CONTENT_BYTES_MAX + 1])]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_decoding_panic(mut bytes: Vec<u8>) {
            let _ = decode(&bytes);
            bytes.splice(0..0, *MAGIC);
            let _ = decode(&bytes);
        }
    }
}
