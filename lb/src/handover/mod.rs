//! Listening sockets across a change of the process: an update of the program, or a restart without a service manager.
//!
//! ```text
//! successor                              predecessor (serves)
//!   │ ── hello ───────────────────────────► │  only root and its own user are heard
//!   │ ◄── sockets (SCM_RIGHTS), memory ──── │  keeps on serving, but writes no state and leaves the kernel alone
//!   │  … assembles itself, serves …         │
//!   │ ── ready ───────────────────────────► │  accepts nothing more, finishes what it has, ends
//!   │ ◄── (closed) ──────────────────────── │
//! ```
//!
//! Both accept from the same queues in between, so none waits and none is refused. A successor that goes away before it
//! is ready changes nothing: the predecessor takes up its pen again.
//!
//! With systemd there is also the store of descriptors ([`faros_common::daemon::descriptors`]), which covers a crash.
//! Without either, as after `kill -TERM` and a later start, clients are refused in between (user plane).

mod predecessor;
mod successor;
mod wire;

#[cfg(test)]
mod tests;

pub use predecessor::{Estate, Handover};
pub use successor::{Succession, ask};

/// The socket's name in the run directory.
const SOCKET: &str = "lb.handover";
