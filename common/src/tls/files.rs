//! The two files, read with suspicion.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::{Facts, TlsError};

/// A longer file is refused: chains have some few thousand bytes.
pub(super) const FILE_MAX: usize = 256 * 1024;
/// The rights of those who are neither the owner nor in the group.
const OTHERS: u32 = 0o007;

/// Where a certificate chain and its private key stand, each a PEM file. The server's own certificate is the first of
/// its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// The private key: PKCS #8, SEC 1 or PKCS #1; RSA, ECDSA or Ed25519.
    pub key: PathBuf,
}

/// A pair that may serve.
pub(super) struct Loaded {
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) facts: Facts,
}

/// What changes when somebody replaces or touches a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Files {
    /// The directories that must stay readable, so that renewed files can be: for
    /// [`Sandbox::read`](crate::sandbox::Sandbox::read).
    pub fn directories(&self) -> Vec<PathBuf> {
        let mut directories: Vec<PathBuf> = [&self.certificate, &self.key]
            .into_iter()
            .filter_map(|file| Some(file.parent()?.to_owned()))
            .collect();
        directories.dedup();
        directories
    }

    /// Whether the pair may serve at `now`; with the facts of the server's own certificate.
    ///
    /// # Errors
    /// Why it may not.
    pub fn judge(&self, now: SystemTime) -> Result<Facts, TlsError> {
        self.load(now).map(|loaded| loaded.facts)
    }

    pub(super) fn load(&self, now: SystemTime) -> Result<Loaded, TlsError> {
        let chain = certificates(&self.certificate)?;
        let facts = Facts::of(&chain[0], &self.certificate)?;
        let key = private_key(&self.key)?;
        let certified =
            CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => {
                    TlsError::Mismatch { certificate: self.certificate.clone(), key: self.key.clone() }
                }
                error => TlsError::Malformed(self.key.clone(), error.to_string()),
            })?;
        if now < facts.not_before {
            return Err(TlsError::NotYetValid(self.certificate.clone(), facts.not_before));
        }
        if facts.remaining(now).is_none() {
            return Err(TlsError::Expired(self.certificate.clone(), facts.not_after));
        }
        Ok(Loaded { certified: Arc::new(certified), facts })
    }

    /// What the files look like from outside; none for one that is not there.
    pub(super) fn stamps(&self) -> [Option<Stamp>; 2] {
        [&self.certificate, &self.key].map(|path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some(Stamp {
                device: metadata.dev(),
                inode: metadata.ino(),
                size: metadata.size(),
                modified: (metadata.mtime(), metadata.mtime_nsec()),
                changed: (metadata.ctime(), metadata.ctime_nsec()),
            })
        })
    }
}

/// The certificates in a PEM file: one at least.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let (text, _) = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|error| TlsError::Malformed(path.to_owned(), error.to_string()))?;
    if chain.is_empty() { Err(TlsError::NoCertificate(path.to_owned())) } else { Ok(chain) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let (mut text, mode) = read(path)?;
    if mode & OTHERS != 0 {
        text.fill(0);
        return Err(TlsError::KeyOpen(path.to_owned(), mode));
    }
    let key = PrivateKeyDer::from_pem_slice(&text);
    // Old and new ways of saying so: a header of its own, or a header line.
    let encrypted = [&b"ENCRYPTED PRIVATE KEY"[..], b"Proc-Type: 4,ENCRYPTED"]
        .iter()
        .any(|mark| text.windows(mark.len()).any(|window| window == *mark));
    text.fill(0);
    if encrypted {
        return Err(TlsError::EncryptedKey(path.to_owned()));
    }
    key.map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => TlsError::NoKey(path.to_owned()),
        // Its text may quote the file.
        _ => TlsError::Malformed(path.to_owned(), "it is no PEM file".to_owned()),
    })
}

/// The content of a file, and who may do what with it.
fn read(path: &Path) -> Result<(Vec<u8>, u32), TlsError> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => TlsError::Missing(path.to_owned()),
        _ => TlsError::Unreadable(path.to_owned(), Arc::new(error)),
    };
    // A pipe in the file's place must not make anybody wait.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(std::io::Error::other("it is no file")));
    }
    // Read in one piece: a buffer that grows would leave copies of a key behind.
    let mut bytes = Vec::with_capacity(FILE_MAX + 1);
    file.take(FILE_MAX as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > FILE_MAX {
        bytes.fill(0);
        return Err(TlsError::TooLarge(path.to_owned()));
    }
    Ok((bytes, metadata.mode() & 0o7777))
}
