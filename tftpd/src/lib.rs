//! TFTP server for boot loaders: the first files that a machine fetches when it boots from the network.
//!
//! It serves a read-only tree, the distribution's boot loaders, and small scripts that lead from a loader
//! to the HTTP server. It answers on the LAN only, from the address that was asked.
//!
//! ```text
//! site file ─► config
//! port 69 ──► server::intake ──► files (which octets) ──► server::worker ◄──► clients
//!                  │ protocol::request, options               │ protocol::transfer
//!                  └─ server::table (caps, repetitions)       └─ server::socket, active
//! ```
//!
//! | Document | State |
//! |---|---|
//! | RFC 1350 (TFTP) | reading, `octet` and `netascii`; writing is refused with ERROR 2; `mail` is unknown |
//! | RFC 1123 section 4.2 | no answer to broadcasts (4.2.3.5), adaptive timeouts (4.2.3.2), no sorcerer's apprentice (4.2.3.1); see the deviation for windows in [`protocol::transfer`] |
//! | RFC 2347 (options) | complete; options beyond octet 512 of a request are not negotiated |
//! | RFC 2348 (`blksize`) | complete; never more than the way to the client carries unfragmented |
//! | RFC 2349 (`timeout`, `tsize`) | complete; `tsize` in octet mode, and an empty file's not to curl, which takes 0 for an error |
//! | RFC 7440 (`windowsize`) | complete; at most 64 |
//! | `rollover` (no RFC) | on request; block 65535 is followed by 0 otherwise |
//! | RFC 2090 (multicast) | missing |
//!
//! Deviation from RFC 7440 section 4: a window cannot shrink while a client counts on it, so on loss it is
//! sent in smaller bursts instead.

pub mod admin;
pub mod config;
pub mod files;
pub mod metrics;
pub mod platform;
pub mod protocol;
pub mod server;

pub use server::Tftpd;
