//! What goes wrong with keys.

use std::path::PathBuf;
use std::{fmt, io};

use crate::crypto::CryptoError;

/// Why keys cannot be read, made or changed.
#[derive(Debug)]
pub enum KeysError {
    /// The system refused: the path and its reason.
    Io(PathBuf, io::Error),
    /// Fresh keys could not be made.
    Crypto(CryptoError),
    /// The store is sealed: its keys can be neither read nor changed before it is opened.
    Sealed,
    /// The directory changed each time it was read; the next request tries again.
    Restless(PathBuf),
    /// There is no key of this thumbprint.
    NoSuchKey(String),
    /// The key in this file is not rotated out, and so cannot be deleted.
    InUse(String),
    /// A store of another kind failed; the text says what to do.
    Store(String),
}

impl fmt::Display for KeysError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(formatter, "{}: {error}", path.display()),
            Self::Crypto(error) => write!(formatter, "{error}"),
            Self::Sealed => {
                formatter.write_str("the key store is sealed; open it with `farosctl tang unseal`")
            }
            Self::Restless(path) => {
                write!(
                    formatter,
                    "{} changed each time it was read; is something rewriting it?",
                    path.display()
                )
            }
            Self::NoSuchKey(thumbprint) => {
                write!(
                    formatter,
                    "there is no key with the thumbprint {thumbprint}; `farosctl tang show-keys` lists them"
                )
            }
            Self::InUse(file) => {
                write!(formatter, "{file} is in use; rotate it out first with `farosctl tang rotate`")
            }
            Self::Store(text) => formatter.write_str(text),
        }
    }
}

impl std::error::Error for KeysError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(_, error) => Some(error),
            Self::Crypto(error) => Some(error),
            Self::Sealed | Self::Restless(_) | Self::NoSuchKey(_) | Self::InUse(_) | Self::Store(_) => None,
        }
    }
}

impl From<CryptoError> for KeysError {
    fn from(error: CryptoError) -> Self {
        Self::Crypto(error)
    }
}
