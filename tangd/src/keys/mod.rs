//! The keys: where they come from, what is known of them at a moment, and how they change.
//!
//! | Part | Role |
//! |---|---|
//! | [`PrivateJwk`] | one key as it stands in a file, its `d` wiped when it is let go |
//! | [`KeySource`] | where keys come from; [`KeyDirectory`] is the one in upstream's layout |
//! | [`KeySet`] | the keys of a moment: parsed, with thumbprints and signed advertisements |
//! | [`Keys`] | what a server asks at each request: the same set until the source changes |

mod current;
mod directory;
mod error;
mod forgetting;
mod jwk;
mod listing;
mod set;
mod source;
#[cfg(test)]
mod tests;

pub use current::Keys;
pub use directory::{KEY_FILE_BYTES_MAX, KeyDirectory};
pub use error::KeysError;
pub use jwk::{JwkError, PrivateJwk};
pub use set::{KeyEntry, KeySet, PublicCopy, PublicKey, Purpose};
pub use source::{KeySource, Loaded, Rotated, Skipped, SourcedKey, Version};
