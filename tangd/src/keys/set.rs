//! The keys of a moment.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use super::{KeysError, Loaded, Skipped, SourcedKey};
use crate::crypto::{Curve, PrivateKey};
use crate::protocol::advertisement::{self, Signer};
use crate::protocol::jwk::PublicJwk;
use crate::protocol::thumbprint::{self, Thumbprints};

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Signs advertisements.
    Sign,
    /// Takes part in exchanges.
    Exchange,
    /// Both: its `key_ops` say so. Nobody makes such keys, but disks may be bound to one.
    Both,
}

impl Purpose {
    /// Whether the key signs.
    #[must_use]
    pub fn signs(self) -> bool {
        matches!(self, Self::Sign | Self::Both)
    }

    /// Whether the key exchanges.
    #[must_use]
    pub fn exchanges(self) -> bool {
        matches!(self, Self::Exchange | Self::Both)
    }
}

/// What is public about a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PublicKey {
    /// Name of its file, without folders: `THUMBPRINT.jwk` by custom, though any name does.
    pub file: String,
    /// Whether it is rotated out: not advertised, signs only when asked for by name, still exchanges.
    pub hidden: bool,
    /// Whether it stands in the advertisement: never when hidden.
    pub advertised: bool,
    /// What it is for.
    pub purpose: Purpose,
    /// Its JWK as it is advertised.
    pub jwk: PublicJwk,
}

/// A key of a set.
#[derive(Debug)]
pub struct KeyEntry {
    /// Name of its file, without folders: `THUMBPRINT.jwk` by custom, though any name does.
    pub file: String,
    /// Whether it is rotated out: not advertised, signs only when asked for by name, still exchanges.
    pub hidden: bool,
    /// Whether it stands in the advertisement: never when hidden.
    pub advertised: bool,
    /// What it is for.
    pub purpose: Purpose,
    /// Its curve.
    pub curve: Curve,
    /// Its thumbprints under S1, S224, S256, S384 and S512, in this order; [`Self::thumbprint`] is the usual one.
    pub thumbprints: Thumbprints,
    /// Its public part as it is advertised.
    pub public: PublicJwk,
    /// Its private part; none while the store is sealed.
    private: Option<PrivateKey>,
    /// The advertisement that it also signs, made when first asked for.
    signed: OnceLock<Option<Arc<[u8]>>>,
}

impl KeyEntry {
    /// The S256 thumbprint: what operators see and clevis stores.
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        thumbprint::usual(&self.thumbprints)
    }

    /// The private part; none while the store is sealed.
    #[must_use]
    pub fn private(&self) -> Option<&PrivateKey> {
        self.private.as_ref()
    }

    fn new(public: PublicKey, private: Option<PrivateKey>) -> Self {
        Self {
            thumbprints: thumbprint::all(public.jwk.point()),
            curve: public.jwk.point().curve(),
            file: public.file,
            hidden: public.hidden,
            advertised: public.advertised,
            purpose: public.purpose,
            public: public.jwk,
            private,
            signed: OnceLock::new(),
        }
    }

    fn signer(&self) -> Option<Signer<'_>> {
        self.private.as_ref().filter(|_| self.purpose.signs()).map(Signer::new)
    }
}

/// What of a set may be known while the keys are not: kept beside a sealed store, in clear, so that new disks can be
/// bound while it is sealed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PublicCopy {
    /// The keys.
    pub keys: Vec<PublicKey>,
    /// The signed advertisement.
    pub advertisement: Option<String>,
    /// The advertisements that one more key signs, by that key's S256 thumbprint.
    pub signed_by: Vec<(String, String)>,
}

/// All keys of a moment, immutable.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<KeyEntry>,
    by_thumbprint: HashMap<String, usize>,
    skipped: Vec<Skipped>,
    sealed: bool,
    advertisement: OnceLock<Option<Arc<[u8]>>>,
}

impl KeySet {
    /// The set of what a source holds. Keys are in the order of their file names.
    #[must_use]
    pub fn new(loaded: Loaded) -> Self {
        match loaded {
            Loaded::Open { keys, skipped } => Self::open(keys, skipped),
            Loaded::Sealed(copy) => Self::sealed(copy),
        }
    }

    fn open(sourced: Vec<SourcedKey>, skipped: Vec<Skipped>) -> Self {
        let entry = |SourcedKey { file, jwk }| {
            let (jwk, private, purpose, may_be_advertised) = jwk.into_parts();
            let hidden = file.starts_with('.');
            let advertised = may_be_advertised && !hidden;
            KeyEntry::new(PublicKey { file, hidden, advertised, purpose, jwk }, Some(private))
        };
        let keys = sourced.into_iter().map(entry).collect();
        Self::assemble(keys, skipped, false)
    }

    fn sealed(copy: PublicCopy) -> Self {
        let keys = copy.keys.into_iter().map(|public| KeyEntry::new(public, None)).collect();
        let set = Self::assemble(keys, Vec::new(), true);
        let bytes = |text: String| -> Arc<[u8]> { text.into_bytes().into() };
        drop(set.advertisement.set(copy.advertisement.map(bytes)));
        for (thumbprint, text) in copy.signed_by {
            if let Some(entry) = set.find(&thumbprint) {
                drop(entry.signed.set(Some(bytes(text))));
            }
        }
        set
    }

    fn assemble(mut keys: Vec<KeyEntry>, mut skipped: Vec<Skipped>, sealed: bool) -> Self {
        // An advertised key before its hidden twin: whoever asks by thumbprint gets the one in use.
        keys.sort_by(|a, b| a.file.cmp(&b.file));
        skipped.sort();
        let mut by_thumbprint = HashMap::new();
        for hidden in [false, true] {
            for (index, key) in keys.iter().enumerate().filter(|(_, key)| key.hidden == hidden) {
                for thumbprint in &key.thumbprints {
                    by_thumbprint.entry(thumbprint.clone()).or_insert(index);
                }
            }
        }
        Self { keys, by_thumbprint, skipped, sealed, advertisement: OnceLock::new() }
    }

    /// The keys, in the order of their file names.
    pub fn keys(&self) -> impl Iterator<Item = &KeyEntry> {
        self.keys.iter()
    }

    /// The key with this thumbprint, under any of the five hashes.
    #[must_use]
    pub fn find(&self, thumbprint: &str) -> Option<&KeyEntry> {
        self.by_thumbprint.get(thumbprint).map(|&index| &self.keys[index])
    }

    /// Files that hold no key that can be used, and why.
    #[must_use]
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Whether the store is sealed: there are no private keys then, and what is advertised is a copy.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// Whether another set is made of the same keys in the same files: then what is signed already can stay in use.
    #[must_use]
    pub(super) fn same_keys(&self, other: &Self) -> bool {
        let same = |(a, b): (&KeyEntry, &KeyEntry)| {
            (&a.file, a.advertised, a.purpose, &a.public) == (&b.file, b.advertised, b.purpose, &b.public)
        };
        // A public point has one scalar only, and that was checked when the keys were read.
        self.sealed == other.sealed
            && self.skipped == other.skipped
            && self.keys.len() == other.keys.len()
            && self.keys.iter().zip(&other.keys).all(same)
    }

    /// What `GET /adv` answers; none where no key signs or none can be advertised. Signed once per set.
    #[must_use]
    pub fn advertisement(&self) -> Option<Arc<[u8]>> {
        self.advertisement.get_or_init(|| self.sign(None)).clone()
    }

    /// What `GET /adv/{thumbprint}` answers: the same, signed by the named key as well, hidden or not. None where there
    /// is no such key or it does not sign. Signed once per set and key.
    #[must_use]
    pub fn advertisement_signed_by(&self, thumbprint: &str) -> Option<Arc<[u8]>> {
        let key = self.find(thumbprint).filter(|key| key.purpose.signs())?;
        key.signed.get_or_init(|| self.sign(key.signer())).clone()
    }

    /// What may be kept in clear beside a sealed store. Signs what has not been signed yet.
    ///
    /// # Errors
    /// [`KeysError::Sealed`] for a set that itself is such a copy.
    pub fn public_copy(&self) -> Result<PublicCopy, KeysError> {
        if self.sealed {
            return Err(KeysError::Sealed);
        }
        let text = |bytes: Arc<[u8]>| String::from_utf8_lossy(&bytes).into_owned();
        let signing = self.keys.iter().filter(|key| key.purpose.signs());
        Ok(PublicCopy {
            keys: self
                .keys
                .iter()
                .map(|key| PublicKey {
                    file: key.file.clone(),
                    hidden: key.hidden,
                    advertised: key.advertised,
                    purpose: key.purpose,
                    jwk: key.public.clone(),
                })
                .collect(),
            advertisement: self.advertisement().map(text),
            signed_by: signing
                .filter_map(|key| {
                    let thumbprint = key.thumbprint().to_owned();
                    let signed = self.advertisement_signed_by(&thumbprint)?;
                    Some((thumbprint, text(signed)))
                })
                .collect(),
        })
    }

    fn sign(&self, extra: Option<Signer<'_>>) -> Option<Arc<[u8]>> {
        let advertised = || self.keys.iter().filter(|key| key.advertised);
        // A set is not advertised unless its own keys vouch for it, whoever else is asked to sign.
        let own = advertised().filter_map(KeyEntry::signer).collect::<Vec<_>>();
        if own.is_empty() {
            return None;
        }
        let signers: Vec<_> = own.into_iter().chain(extra).collect();
        let signed = advertisement::sign(advertised().map(|key| &key.public), &signers);
        match signed {
            Ok(signed) => signed.map(Into::into),
            Err(error) => {
                tracing::error!(event = "advertisement_unsigned", %error, "the advertisement cannot be signed");
                None
            }
        }
    }
}
