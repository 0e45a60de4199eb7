//! The certificate that a service shows to its clients: read, judged, and renewed without a restart.
//!
//! ```text
//! files ── read ──► judged (readable, complete, matching, in its time) ──► Identity ◄── rustls asks at each handshake
//!   ▲                                                                        │
//!   └───────── looked at every few seconds, and on reload ◄──────────────────┘
//! ```
//!
//! What is refused never replaces what serves: a half-written renewal leaves the old certificate in place and is
//! tried again. A service whose files are missing runs without its encrypted listeners until they appear.

mod error;
mod facts;
mod files;
mod identity;
#[cfg(test)]
mod tests;

pub use error::TlsError;
pub use facts::Facts;
pub use files::Files;
pub use identity::{Identity, Reloaded, State};

use std::time::Duration;

/// From so long before its end on, a certificate is spoken of as one to renew.
pub const EXPIRY_WARNED: Duration = Duration::from_secs(30 * 24 * 3600);
