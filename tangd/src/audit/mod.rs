//! Who unlocked what, when: a log that cannot be changed without it showing.
//!
//! One JSON object in a line for every entry. Each carries the SHA-256 of the line before it (`previous`), also from one
//! file to the next: whoever changes, removes or inserts a line breaks the chain, and [`verify`] names the place. The
//! hash of the last line ([`Head`]) stands in `GET /status`; kept elsewhere now and then, it also shows that the end was
//! cut off, which the chain alone cannot.
//!
//! ```text
//! answer ──record──► queue ──► writer: chains, appends ──► answer leaves
//!                                │
//!                                └──► syncer: fdatasync, at most every 20 ms
//! ```
//!
//! The entry of an exchange is in the file before its answer leaves, so it survives the end of the process; it is on the
//! disk within some tens of milliseconds. A disk that takes nothing does not keep a site locked: after [`PATIENCE`] the
//! answer leaves all the same, the failure is told, entries wait in memory, and what does not fit there is counted in
//! the next one (`lost`).

mod chain;
mod dependants;
mod entry;
mod files;
mod read;
mod restraint;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

pub use chain::{Digest, Head};
pub use dependants::{LEFT_AFTER, dependants};
pub use entry::{Decision, Entry, KeyAge};
pub use files::{FILE_BYTES_MAX, FILES_MAX};
pub use read::{KeyUse, latest, uses};
pub use restraint::Restraint;
pub use verify::{Fault, Verified, verify};
pub use writer::{Audit, AuditState, PATIENCE, QUEUE_MAX};
