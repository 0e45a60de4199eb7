//! Layer-4 balancing for the cluster: the API, machine configs, ingress, and whatever else the site file names.
//!
//! # Who forwards
//!
//! | Plane | How | While the daemon is gone |
//! |---|---|---|
//! | [`kernel`] | the packet filter gives each connection to a server | goes on, with the servers of that moment |
//! | [`user`] | loops of our own relay the octets: retries, PROXY headers, bounds per source, a log | clients wait (sockets kept by systemd), or are refused |
//!
//! `plane = "auto"` chooses per front end and says why. The user plane has a socket for every front end, also for those that
//! the kernel forwards for, so that clients find somebody while the rules are not there.
//!
//! # Standards
//!
//! | Document | Here |
//! |---|---|
//! | RFC 9293 (TCP) | half-closed connections and resets pass through in both directions; urgent data does not (user plane) |
//! | PROXY protocol, versions 1 and 2 | read from trusted sources, written to servers ([`protocol::proxy`]) |
//! | RFC 9110, 9112 (HTTP/1.1) | health checks: one `GET` on a fresh connection, redirects not followed ([`checks`]) |
//! | RFC 8446, 5246 (TLS 1.3, 1.2) | health checks; certificates are looked at where an authority is given |
//!
//! # Tasks and threads
//!
//! ```text
//! loops of the user plane (threads) ──reports──┐
//! watch of the kernel plane (thread) ──────────┤
//! check tasks ─────────────────verdicts────────┼──► director ──rosters──► both planes
//! admin socket, reload ────────wishes──────────┘       │
//! handover (thread) ◄── sockets, memory ───────────────┤
//! state (task) ◄── what is to be remembered ───────────┘
//! ```
//!
//! # Ends
//!
//! | What ends the process | User plane | Kernel plane |
//! |---|---|---|
//! | a next process starts beside it ([`handover`]) | nobody notices | nobody notices |
//! | `systemctl restart`, a crash under systemd | new connections wait in the queue of the sockets that systemd keeps | nobody notices |
//! | SIGTERM and a later start by hand | refused in between | nobody notices |
//!
//! Connections that a process has are its own: they end with it, after `lb.drain` at the latest.

pub mod admin;
pub mod checks;
pub mod config;
pub mod director;
pub mod handover;
pub mod import;
pub mod kernel;
pub mod metrics;
pub mod platform;
pub mod pool;
pub mod protocol;
pub mod server;
mod service;
pub mod store;
pub mod user;

pub use config::Config;
pub use service::Lb;
