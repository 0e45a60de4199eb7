//! The sealed store: keys that are encrypted at rest.
//!
//! All private keys of a site lie in one file, encrypted under a random master key. Its slots give shares of that key: an operator's
//! passphrase, another Tang server (so that headquarters can take a site's keys away), the TPM of this host; any `threshold`
//! of them open it. After a start the store is sealed: advertisements are served from a signed copy, recoveries are answered
//! 503 until it is open.
//!
//! ```text
//!               ┌── slot "operator"  Argon2id(passphrase) ──► share 1 ─┐
//! keys.sealed ──┼── slot "hq"        McCallum–Relyea      ──► share 2 ─┼─ any k ─► master key ─► AES-256-GCM ─► key files
//!               └── slot "tpm2"      TPM 2.0              ──► share 3 ─┘             (locked memory, wiped when closed)
//! ```
//!
//! | Part | Role |
//! |---|---|
//! | [`KeyStore`] | a directory's keys, sealed or not: the server's [`KeySource`](crate::keys::KeySource) |
//! | [`Keeper`] | the task beside the server: opens by upstream servers, rotates, answers operators |
//! | `make` | sealing a directory, slots, backup and restore |
//! | `slot`, `upstream` | the kinds of slots; the client of another Tang server |
//! | `format`, `payload`, `aead`, `shamir` | the file and its cryptography |
//! | `files`, `disk` | the order of steps on disk, each of which may be the last |
//!
//! # What it protects, and what not
//!
//! A stolen disk, a discarded disk, a stolen bastion that is switched off: what lies on disk opens nothing without the slots. A
//! bastion that runs holds its keys in memory. A TPM slot alone opens for whoever takes the whole machine. Whoever can
//! *write* to the disk can put an older store back (rollback), which brings deleted keys and removed slots back to life: a
//! daemon that had a newer one open notices and says so, a freshly started one cannot.

mod aead;
mod disk;
mod error;
mod files;
mod format;
mod keeper;
mod make;
mod opening;
mod payload;
mod platform;
pub mod rotation;
mod shamir;
mod slot;
mod store;
#[cfg(test)]
mod tests;
mod upstream;

pub use error::SealError;
pub use files::STORE_FILE;
pub use keeper::{Keeper, Notes, RETRY_AFTER_SECS};
pub use make::Sealed;
pub use opening::{FREE_ATTEMPTS, SHARE_LIFE, WAIT_MAX};
pub use platform::SecretBytes;
pub use slot::passphrase::{PASSPHRASE_BYTES_MAX, PASSPHRASE_BYTES_MIN};
pub use slot::tpm2::Tpm2;
pub use slot::{Lock, NewSlot, Opener, Passphrase, PassphraseLock, SLOTS_MAX, Slot, Tpm2Lock, UpstreamLock};
pub use store::{Description, KeyStore, Progress, SlotDescription};
pub use upstream::Upstream;

use aead::Key;

/// System calls that the store needs beyond those of every daemon: for [`SecretBytes`].
pub const SYSCALLS: &[i64] = &[libc::SYS_mlock, libc::SYS_munlock];
