//! Network-bound disk unlocking: the server that clevis asks (Tang).
//!
//! # What is served
//!
//! | Request | Answer |
//! |---|---|
//! | `GET /adv` | the public keys, signed by every signing key among them |
//! | `GET /adv/{thumbprint}` | the same, signed by the named key as well |
//! | `POST /rec/{thumbprint}` | the client's point, multiplied by the named key: with it the client can decrypt, and nobody else |
//!
//! # Standards
//!
//! | Document | Here |
//! |---|---|
//! | Tang, as upstream serves it | done, byte by byte: paths, statuses, key files, rotated keys, five hashes |
//! | RFC 7515 (JWS), 7517 (JWK), 7518 (algorithms) | what Tang uses: ES256, ES384, ES512, ECMR; P-256, P-384, P-521 |
//! | RFC 7638 (thumbprints) | S1, S224, S256, S384, S512 |
//! | RFC 9112 (HTTP/1.1) | done: chunks, `Expect: 100-continue`, persistent connections, pipelining |
//!
//! Deviation from upstream: connections that keep us waiting end after ten seconds, `Connection: close` is honoured, and
//! a malformed request is answered with 400 instead of silence.
//!
//! # Tasks
//!
//! ```text
//! accepting loop ──spawns──► connection: hyper ◄─► desk ──► keys (read again when the directory changes)
//!   │ heartbeat, patience                           │ └───► policy ──► leases of dhcpd
//!   ▼                                               ▼
//! drain: every connection ends with its present answer     audit: writer and syncer threads, events, metrics
//! ```

pub mod admin;
pub mod audit;
mod condition;
pub mod config;
pub mod crypto;
pub mod keys;
pub mod metrics;
pub mod personality;
pub mod platform;
pub mod policy;
pub mod protocol;
pub mod seal;
pub mod server;
mod service;

pub use config::Config;
pub use personality::main_as;
pub use service::Tangd;
