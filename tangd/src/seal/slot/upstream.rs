//! A slot for another Tang server, whose client we are (the exchange of McCallum and Relyea).
//!
//! ```text
//! making                                     opening
//! S  = server's exchange key                 e random, E = eG
//! c random, C = cG, kept: C                  X = C + E     ──► POST /rec ──►   Y = sX
//! K  = cS  ──► key                           K = Y − eS    ──► key
//! ```
//!
//! The server learns neither C nor K. Whoever runs it can take the site's keys away by deleting one of its own.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use crate::crypto::PrivateKey;
use crate::protocol::jwk::PublicJwk;
use crate::protocol::thumbprint;
use crate::seal::upstream::{Advertised, Client, arithmetic};
use crate::seal::{Key, SealError};

pub(crate) use crate::seal::upstream::Upstream;

/// What is kept of an upstream server: public, all of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpstreamLock {
    /// The server and how it is recognised.
    #[serde(flatten)]
    pub upstream: Upstream,
    /// The server's exchange key, S.
    server: PublicJwk,
    /// Our own public point, C; nobody knows its scalar any more.
    client: PublicJwk,
}

impl UpstreamLock {
    /// Fetches and judges the advertisement, and makes a lock and its key.
    pub(super) async fn new(upstream: &Upstream) -> Result<(Self, Key), SealError> {
        let client = Client::new(upstream)?;
        let advertised = Advertised::verify(&client.advertisement().await?, &upstream.thumbprint)?;
        let server = advertised.exchange_key()?;
        let secret = PrivateKey::generate(server.point().curve())?;
        let shared = secret.exchange(server.point())?;
        let own = PublicJwk::new(secret.public().clone(), "ECMR", &["deriveKey"]);
        let lock = Self { upstream: upstream.clone(), server, client: own };
        let key = lock.derive(shared.x());
        // A server that signs well but does not recover would lock the operator out at the next start.
        if lock.key().await? != key {
            return Err(SealError::Upstream(format!("{} does not recover what it advertises", upstream.url)));
        }
        Ok((lock, key))
    }

    /// Asks the server once.
    pub(in crate::seal) async fn key(&self) -> Result<Key, SealError> {
        let curve = self.server.point().curve();
        if self.client.point().curve() != curve {
            return Err(SealError::Corrupt("a Tang slot is malformed".to_owned()));
        }
        let blinding = PrivateKey::generate(curve)?;
        let blinded = arithmetic::add(self.client.point(), blinding.public())?;
        let kid = thumbprint::all(self.server.point());
        let reply = Client::new(&self.upstream)?.recover(thumbprint::usual(&kid), &blinded).await?;
        let shared = arithmetic::subtract(&reply, &blinding.exchange(self.server.point())?)?;
        Ok(self.derive(shared.x()))
    }

    /// One step of SHA-256 over the shared secret and what it is for (NIST SP 800-56C revision 2, section 4).
    fn derive(&self, shared_x: &[u8]) -> Key {
        let mut hash = Sha256::new();
        hash.update(1_u32.to_be_bytes());
        hash.update(shared_x);
        hash.update(b"faros tang upstream 1 ");
        for jwk in [&self.server, &self.client] {
            hash.update(thumbprint::usual(&thumbprint::all(jwk.point())));
        }
        let mut digest = hash.finalize();
        let key = Key::new(digest.into());
        digest.as_mut_slice().zeroize();
        key
    }

    /// The thumbprint of the server's exchange key: what its log names when we ask.
    #[must_use]
    pub fn exchange_thumbprint(&self) -> String {
        thumbprint::usual(&thumbprint::all(self.server.point())).to_owned()
    }
}
