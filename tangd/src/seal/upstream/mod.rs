//! Another Tang server, with us as its client.

mod advertised;
pub(super) mod arithmetic;
mod client;

use serde::{Deserialize, Serialize};

pub(super) use advertised::Advertised;
pub(super) use client::Client;

/// A Tang server that opens a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// Its URL, `http://` or `https://`; a path in it is a prefix.
    pub url: String,
    /// A thumbprint (of any of the five hashes) of one of its signing keys.
    pub thumbprint: String,
    /// The certificates of the authorities that may vouch for it (PEM, the text itself), in place of the host's own ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}
