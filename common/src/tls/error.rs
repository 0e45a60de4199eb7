//! Why a certificate cannot serve.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use super::files::FILE_MAX;

/// Why a certificate or its key cannot serve. Each says what to do next; none holds any part of a key.
#[derive(Clone, Debug)]
pub enum TlsError {
    /// The file is not there.
    Missing(PathBuf),
    /// The file is there and cannot be read.
    Unreadable(PathBuf, Arc<io::Error>),
    /// The file is larger than any chain of certificates.
    TooLarge(PathBuf),
    /// There is no certificate in the file.
    NoCertificate(PathBuf),
    /// There is no private key in the file.
    NoKey(PathBuf),
    /// The private key is encrypted, and nobody is there to type a passphrase.
    EncryptedKey(PathBuf),
    /// What is in the file cannot be understood.
    Malformed(PathBuf, String),
    /// Anybody on this host could read the key; with the file's mode.
    KeyOpen(PathBuf, u32),
    /// The key belongs to another certificate.
    Mismatch {
        /// Where the certificate is.
        certificate: PathBuf,
        /// Where the key is.
        key: PathBuf,
    },
    /// The certificate's time is over.
    Expired(PathBuf, SystemTime),
    /// The certificate's time has not begun.
    NotYetValid(PathBuf, SystemTime),
}

impl TlsError {
    /// Its name in logs, metrics and JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Missing(_) => "missing",
            Self::Unreadable(..) => "unreadable",
            Self::TooLarge(_) => "too_large",
            Self::NoCertificate(_) => "no_certificate",
            Self::NoKey(_) => "no_key",
            Self::EncryptedKey(_) => "encrypted_key",
            Self::Malformed(..) => "malformed",
            Self::KeyOpen(..) => "key_open",
            Self::Mismatch { .. } => "mismatch",
            Self::Expired(..) => "expired",
            Self::NotYetValid(..) => "not_yet_valid",
        }
    }

    /// Whether there is simply nothing there: no fault, if nobody has asked for encryption.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(_))
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = |at: &SystemTime| humantime::format_rfc3339_seconds(*at);
        match self {
            Self::Missing(path) => {
                write!(f, "{} does not exist: make it with `farosctl ca issue`", path.display())
            }
            Self::Unreadable(path, error) => write!(
                f,
                "{} cannot be read ({error}): the group faros must be able to, as in `chgrp faros` and `chmod 640`",
                path.display()
            ),
            Self::TooLarge(path) => {
                write!(f, "{} is larger than {FILE_MAX} bytes: is it the right file?", path.display())
            }
            Self::NoCertificate(path) => write!(
                f,
                "{} holds no certificate: it must have the PEM form, -----BEGIN CERTIFICATE-----",
                path.display()
            ),
            Self::NoKey(path) => write!(
                f,
                "{} holds no private key: it must have the PEM form, -----BEGIN PRIVATE KEY-----",
                path.display()
            ),
            Self::EncryptedKey(path) => write!(
                f,
                "the key in {} is encrypted: write it without a passphrase, as with `openssl pkey -in … -out …`",
                path.display()
            ),
            Self::Malformed(path, reason) => {
                write!(f, "{} cannot be understood ({reason}): make it anew", path.display())
            }
            Self::KeyOpen(path, mode) => write!(
                f,
                "anybody on this host may read or change the key {} (mode {mode:04o}): `chmod o= {}`, and better make \
                 a new one",
                path.display(),
                path.display()
            ),
            Self::Mismatch { certificate, key } => write!(
                f,
                "the key {} does not belong to the first certificate in {}: the server's own stands first there, or \
                 one of the files is of another time",
                key.display(),
                certificate.display()
            ),
            Self::Expired(path, at) => write!(
                f,
                "the certificate {} ended at {}: renew it with `farosctl ca renew`",
                path.display(),
                date(at)
            ),
            Self::NotYetValid(path, at) => write!(
                f,
                "the certificate {} begins at {}: is this host's clock right?",
                path.display(),
                date(at)
            ),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable(_, error) => Some(&**error),
            _ => None,
        }
    }
}
