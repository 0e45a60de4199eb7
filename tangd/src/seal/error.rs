//! What goes wrong with a sealed store.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use openssl::error::ErrorStack;

use crate::crypto::CryptoError;
use crate::keys::KeysError;

/// Why a sealed store cannot be made, read, opened or changed. None of these holds anything secret.
#[derive(Debug)]
pub enum SealError {
    /// The system refused: the path and its reason.
    Io(PathBuf, io::Error),
    /// The store's file is none of ours, or damaged; what is wrong with it.
    Corrupt(String),
    /// The file was changed after it was sealed, though the slots open.
    Tampered,
    /// There is no sealed store in this directory.
    NotSealed(PathBuf),
    /// There is a sealed store already.
    AlreadySealed(PathBuf),
    /// The store has to be open for this.
    Sealed,
    /// No slot opens with this passphrase.
    WrongPassphrase,
    /// The store has no slot that this could open.
    NoSuchSlot(String),
    /// What was asked for cannot be: the text says why and what to do.
    Invalid(String),
    /// An upstream Tang server: where, and what is wrong.
    Upstream(String),
    /// The TPM or its tools: what is wrong.
    Tpm(String),
    /// Too many wrong passphrases, or too many at once; so many seconds until the next.
    TooManyAttempts(u64),
    /// Keys could not be read or written.
    Keys(Box<KeysError>),
    /// libcrypto or the system's memory failed.
    System(String),
}

impl SealError {
    /// For `map_err`: an error about this path.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io(path, error)
    }
}

impl fmt::Display for SealError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(formatter, "{}: {error}", path.display()),
            Self::Corrupt(what) => {
                write!(formatter, "the sealed store is damaged: {what}; restore it with `farosctl tang restore`")
            }
            Self::Tampered => formatter.write_str(
                "the sealed store was changed by somebody without its key; restore it with `farosctl tang restore`",
            ),
            Self::NotSealed(path) => {
                write!(formatter, "{} holds no sealed store; make one with `farosctl tang seal`", path.display())
            }
            Self::AlreadySealed(path) => write!(formatter, "{} exists already", path.display()),
            Self::Sealed => formatter.write_str("the key store is sealed; open it with `farosctl tang unseal`"),
            Self::WrongPassphrase => formatter.write_str("no slot opens with this passphrase"),
            Self::NoSuchSlot(which) => {
                write!(formatter, "there is no slot {which}; `farosctl tang slots list` shows them")
            }
            Self::Invalid(text) | Self::Upstream(text) | Self::Tpm(text) | Self::System(text) => {
                formatter.write_str(text)
            }
            Self::TooManyAttempts(seconds) => {
                write!(formatter, "too many attempts; the next one is possible in {seconds} s")
            }
            Self::Keys(error) => write!(formatter, "{error}"),
        }
    }
}

impl std::error::Error for SealError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(_, error) => Some(error),
            Self::Keys(error) => Some(error),
            _ => None,
        }
    }
}

impl From<ErrorStack> for SealError {
    fn from(error: ErrorStack) -> Self {
        Self::System(format!("libcrypto could not compute: {error}"))
    }
}

impl From<io::Error> for SealError {
    fn from(error: io::Error) -> Self {
        Self::System(format!("the system refused: {error}"))
    }
}

impl From<CryptoError> for SealError {
    fn from(error: CryptoError) -> Self {
        Self::System(error.to_string())
    }
}

impl From<KeysError> for SealError {
    fn from(error: KeysError) -> Self {
        Self::Keys(Box::new(error))
    }
}

impl From<SealError> for KeysError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Io(path, error) => Self::Io(path, error),
            SealError::Sealed => Self::Sealed,
            SealError::Keys(error) => *error,
            other => Self::Store(other.to_string()),
        }
    }
}
