//! The keys that sign transactions, and what each is good for.

use std::fmt;
use std::sync::Arc;

use data_encoding::BASE64;
use faros_common::site::{DnsKey, DnsKeyAlgorithm, SecretError};

use super::tsig::{Algorithm, Key};
use crate::protocol::name::{Name, NameError};
use crate::zone;

/// A shorter secret protects nothing; RFC 8945 section 5.2.2.1 wants at least half of the digest.
const SECRET_BYTES_MIN: usize = 10;

/// All keys of the site file.
#[derive(Clone, Debug, Default)]
pub struct Keys(Vec<Arc<Granted>>);

/// A key and its rights.
#[derive(Debug)]
pub struct Granted {
    /// The key itself.
    pub key: Key,
    /// Names that it may change, with everything below them.
    pub subtrees: Vec<Name>,
    /// The types that it may change.
    pub kinds: Vec<u16>,
    /// Whether it may transfer zones.
    pub transfer: bool,
}

/// Why a key of the site file cannot be used.
#[derive(Debug)]
pub enum KeyError {
    /// Its secret cannot be read.
    Secret(String, SecretError),
    /// Its secret is no base64.
    Base64(String),
    /// Its secret is shorter than a signature may be.
    Short(String),
    /// A name of it is none.
    Name(String, NameError),
    /// A type of it is unknown.
    Kind(String, String),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(key, error) => write!(f, "key {key}: {error}"),
            Self::Base64(key) => {
                write!(f, "key {key}: its secret is no base64; make one with `openssl rand -base64 32`")
            }
            Self::Short(key) => write!(
                f,
                "key {key}: its secret has less than {SECRET_BYTES_MIN} octets; make one with `openssl rand -base64 32`"
            ),
            Self::Name(key, error) => write!(f, "key {key}: {error}"),
            Self::Kind(key, kind) => write!(f, "key {key}: {kind} is no type of a record"),
        }
    }
}

impl std::error::Error for KeyError {}

impl Keys {
    /// Reads the secrets of `keys`.
    ///
    /// # Errors
    /// The first key that cannot be used.
    pub fn read(keys: &[DnsKey]) -> Result<Self, KeyError> {
        keys.iter().map(|key| Granted::read(key).map(Arc::new)).collect::<Result<_, _>>().map(Self)
    }

    /// The key of that name and algorithm.
    pub fn find(&self, name: &Name, algorithm: &Name) -> Option<&Arc<Granted>> {
        self.0.iter().find(|granted| granted.key.is(name, algorithm))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One key that may do anything anywhere.
    #[cfg(test)]
    pub(crate) fn for_tests(key: Key) -> Self {
        let kinds = (1..=u16::from(u8::MAX)).collect();
        Self(vec![Arc::new(Granted { key, subtrees: vec![Name::root()], kinds, transfer: true })])
    }
}

impl Granted {
    fn read(key: &DnsKey) -> Result<Self, KeyError> {
        let said = || key.name.clone();
        let name = |text: &str| Name::parse(text).map_err(|error| KeyError::Name(said(), error));
        let secret = key.secret.read().map_err(|error| KeyError::Secret(said(), error))?;
        let bytes = BASE64.decode(secret.expose().trim_ascii()).map_err(|_| KeyError::Base64(said()))?;
        if bytes.len() < SECRET_BYTES_MIN {
            return Err(KeyError::Short(said()));
        }
        let kinds = key
            .types
            .iter()
            .map(|text| zone::kind_of(text).ok_or_else(|| KeyError::Kind(said(), text.clone())));
        Ok(Self {
            key: Key::new(&name(&key.name)?, algorithm(key.algorithm), bytes),
            subtrees: key.update.iter().map(|text| name(text)).collect::<Result<_, _>>()?,
            kinds: kinds.collect::<Result<_, _>>()?,
            transfer: key.transfer,
        })
    }

    /// Whether it may change records of `kind` at `owner`.
    pub fn may_change(&self, owner: &Name, kind: u16) -> bool {
        self.subtrees.iter().any(|subtree| owner.is_within(subtree)) && self.kinds.contains(&kind)
    }
}

fn algorithm(algorithm: DnsKeyAlgorithm) -> Algorithm {
    match algorithm {
        DnsKeyAlgorithm::HmacSha1 => Algorithm::Sha1,
        DnsKeyAlgorithm::HmacSha224 => Algorithm::Sha224,
        DnsKeyAlgorithm::HmacSha256 => Algorithm::Sha256,
        DnsKeyAlgorithm::HmacSha384 => Algorithm::Sha384,
        DnsKeyAlgorithm::HmacSha512 => Algorithm::Sha512,
    }
}

#[cfg(test)]
mod tests {
    use faros_common::site::SecretSource;

    use super::*;
    use crate::protocol::code::kind;

    fn key(secret: &str) -> (tempfile::TempDir, DnsKey) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, secret).unwrap();
        let key = DnsKey {
            name: "external-dns.".to_owned(),
            algorithm: DnsKeyAlgorithm::HmacSha256,
            secret: SecretSource::File(path),
            update: vec!["apps.edge.example.com.".to_owned()],
            types: vec!["A".to_owned(), "TXT".to_owned()],
            transfer: false,
        };
        (directory, key)
    }

    #[test]
    fn a_key_changes_its_types_in_its_subtree_only() {
        let (_directory, key) = key("MDEyMzQ1Njc4OWFiY2RlZg==\n");
        let keys = Keys::read(&[key]).unwrap();
        let name = |text: &str| Name::parse(text).unwrap();
        let granted = keys.find(&name("External-DNS."), &name("HMAC-SHA256.")).expect("found in any case");
        assert!(granted.may_change(&name("x.APPS.edge.example.com."), kind::A));
        assert!(!granted.may_change(&name("x.apps.edge.example.com."), kind::NS));
        assert!(!granted.may_change(&name("xapps.edge.example.com."), kind::A));
        assert!(keys.find(&name("external-dns."), &name("hmac-sha512.")).is_none());
        assert!(!format!("{keys:?}").contains("0123"), "a secret is never shown");
    }

    #[test]
    fn a_secret_must_be_one() {
        for (secret, expected) in [("###", "no base64"), ("c2hvcnQ=", "less than 10"), ("", "empty")] {
            let (_directory, key) = key(secret);
            let error = Keys::read(&[key]).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("external-dns."), "{error}");
        }
    }
}
