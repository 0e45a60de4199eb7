//! Secrets: read when needed, and never shown.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use super::{SecretSource, file};

/// A longer secret is refused; pull secrets run to some ten thousand bytes.
const SECRET_MAX: usize = 256 * 1024;

/// A secret. It shows itself to nobody who does not ask by [`Secret::expose`], and is overwritten when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// The bytes themselves.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The text itself, if it is UTF-8.
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Without the final newline that editors leave.
    fn without_newline(mut bytes: Vec<u8>) -> Self {
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        Self(bytes)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.fill(0);
        // Keeps the compiler from leaving the overwriting out.
        std::hint::black_box(&self.0);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why a secret cannot be had. None of these holds any of it.
#[derive(Debug)]
pub enum SecretError {
    /// Its file cannot be read.
    File(PathBuf, std::io::Error),
    /// Its file is larger than a secret may be.
    TooLarge(PathBuf),
    /// Its environment variable is not set.
    Unset(String),
    /// There is a credential to be read, but systemd has handed over no directory of credentials.
    NoCredentials(String),
    /// It is empty.
    Empty(String),
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "the secret in {} cannot be read: {error}", path.display()),
            Self::TooLarge(path) => {
                write!(f, "the secret in {} is larger than {SECRET_MAX} bytes", path.display())
            }
            Self::Unset(variable) => {
                write!(f, "the environment variable {variable}, which is to hold a secret, is not set")
            }
            Self::NoCredentials(name) => write!(
                f,
                "the credential {name} cannot be read because CREDENTIALS_DIRECTORY is not set: \
                 start the unit with LoadCredential={name}:/path"
            ),
            Self::Empty(place) => write!(f, "the secret in {place} is empty"),
        }
    }
}

impl std::error::Error for SecretError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(_, error) => Some(error),
            _ => None,
        }
    }
}

impl SecretSource {
    /// Reads the secret.
    ///
    /// # Errors
    /// Where it is not there, not readable, empty or unreasonably large.
    pub fn read(&self) -> Result<Secret, SecretError> {
        self.read_with(|name| std::env::var_os(name).map(|value| value.as_encoded_bytes().to_vec()))
    }

    fn read_with(&self, variable: impl Fn(&str) -> Option<Vec<u8>>) -> Result<Secret, SecretError> {
        let secret = match self {
            Self::File(path) => read_file(path)?,
            Self::Env(name) => {
                Secret::without_newline(variable(name).ok_or_else(|| SecretError::Unset(name.clone()))?)
            }
            Self::Credential(name) => {
                let directory = variable("CREDENTIALS_DIRECTORY")
                    .ok_or_else(|| SecretError::NoCredentials(name.clone()))?;
                let directory = String::from_utf8_lossy(&directory).into_owned();
                read_file(&Path::new(OsStr::new(&directory)).join(name))?
            }
        };
        if secret.0.is_empty() { Err(SecretError::Empty(self.to_string())) } else { Ok(secret) }
    }
}

/// Where it stands, as an operator says it: `file /etc/…`, `env NAME`, `credential NAME`.
impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::Credential(name) => write!(f, "credential {name}"),
        }
    }
}

fn read_file(path: &Path) -> Result<Secret, SecretError> {
    let mut bytes =
        file::read(path, SECRET_MAX).map_err(|error| SecretError::File(path.to_owned(), error))?;
    if bytes.len() > SECRET_MAX {
        bytes.fill(0);
        return Err(SecretError::TooLarge(path.to_owned()));
    }
    Ok(Secret::without_newline(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_without_its_newline_and_never_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bmc");
        std::fs::write(&path, "hunter2\n").unwrap();
        let secret = SecretSource::File(path).read().unwrap();
        assert_eq!(secret.expose_text(), Some("hunter2"));
        assert_eq!(format!("{secret:?}"), "Secret(…)");

        let of = |name: &str| {
            (name == "CREDENTIALS_DIRECTORY")
                .then(|| directory.path().as_os_str().as_encoded_bytes().to_vec())
        };
        assert_eq!(SecretSource::Credential("bmc".to_owned()).read_with(of).unwrap(), secret);
        assert_eq!(
            SecretSource::Env("X".to_owned()).read_with(|_| Some(b"hunter2\r\n".to_vec())).unwrap(),
            secret
        );
    }

    #[test]
    fn what_is_missing_empty_or_huge_is_an_error_that_says_which() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        let read = || SecretSource::File(path.clone()).read().unwrap_err().to_string();
        assert!(read().contains("cannot be read"));
        std::fs::write(&path, "\n").unwrap();
        assert!(read().contains("is empty"));
        std::fs::write(&path, vec![b'x'; SECRET_MAX + 1]).unwrap();
        assert!(read().contains("larger than"));
        let none = |_: &str| None;
        let env = SecretSource::Env("X".to_owned()).read_with(none).unwrap_err();
        assert!(env.to_string().contains("X"));
        let credential = SecretSource::Credential("bmc".to_owned()).read_with(none).unwrap_err();
        assert!(credential.to_string().contains("LoadCredential=bmc"));
    }
}
