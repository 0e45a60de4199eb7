//! What other threads tell a loop.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::shared::Served;
use crate::pool::{Cut, Server};

/// Something that a loop is to do.
pub(super) enum Command {
    /// Accept on this socket.
    Listen {
        /// Which listener, plane-wide.
        id: u64,
        socket: OwnedFd,
        served: Arc<Served>,
        /// Whether other loops accept on the same socket.
        is_shared: bool,
    },
    /// New connections of this listener are treated so from now on.
    Update { id: u64, served: Arc<Served> },
    /// Accept no more. `last_round`: what waits is accepted before, because nobody else will.
    Close { id: u64, last_round: bool },
    /// Try again to accept: something has become free.
    Resume,
    /// Reset the connections of this server.
    HangUp(Arc<Server>, Cut),
    /// End all connections.
    CloseAll(Cut),
    /// End the thread; what is left is reset.
    Quit,
}
