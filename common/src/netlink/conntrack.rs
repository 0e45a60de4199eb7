//! Connection tracking: which connections there are, what became of them, and how to end them.
//!
//! Needs `CAP_NET_ADMIN` in the network namespace. Only connections that a rule of the packet filter looks at (`ct`,
//! nat) are tracked at all.

mod client;
mod filter;
mod flow;
#[cfg(test)]
mod tests;

pub use client::{ConnTrack, ConnTrackEvent};
pub use filter::{Ends, Filter};
pub use flow::{Flow, Status, TcpState, Tuple};

/// The subsystem of netfilter, in the upper octet of message types.
const SUBSYSTEM: u16 = 1;

/// Message types (`IPCTNL_MSG_CT_…`).
mod message {
    pub(super) const NEW: u8 = 0;
    pub(super) const GET: u8 = 1;
    pub(super) const DELETE: u8 = 2;
    pub(super) const GET_STATISTICS: u8 = 5;
}

/// Attributes of a connection (`CTA_…`).
mod kind {
    pub(super) const ORIGINAL: u16 = 1;
    pub(super) const REPLY: u16 = 2;
    pub(super) const STATUS: u16 = 3;
    pub(super) const PROTOCOL_INFO: u16 = 4;
    pub(super) const TIMEOUT: u16 = 7;
    pub(super) const MARK: u16 = 8;
    pub(super) const COUNTERS_ORIGINAL: u16 = 9;
    pub(super) const COUNTERS_REPLY: u16 = 10;
    pub(super) const ID: u16 = 12;
    pub(super) const ZONE: u16 = 18;
    pub(super) const MARK_MASK: u16 = 21;
}
