//! Pipes for splicing: a bounded number of them, lent for as long as octets are in them.

use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

/// Pipes of one loop at most; whoever finds none copies.
const PIPES_MAX: usize = 32;
/// Room of a pipe. The kernel counts it in pages, but what is in a page's place may be less or more: a part of a segment
/// that the network card has received, or many of them that were put together.
const PIPE_ROOM: usize = 512 * 1024;

/// A pipe that octets go through on their way from one socket to the other.
pub(super) struct Pipe {
    pub(super) read: OwnedFd,
    pub(super) write: OwnedFd,
}

/// The pipes of one loop.
pub(super) struct Pipes {
    idle: Vec<Pipe>,
    made: usize,
    /// How often there was none.
    pub(super) refused: u64,
}

impl Pipes {
    pub(super) const fn new() -> Self {
        Self { idle: Vec::new(), made: 0, refused: 0 }
    }

    /// An empty pipe; `None`: there is none to be had now.
    pub(super) fn take(&mut self) -> Option<Pipe> {
        let pipe = self.idle.pop().or_else(|| self.make());
        self.refused += u64::from(pipe.is_none());
        pipe
    }

    /// Takes a pipe back that is empty.
    pub(super) fn give(&mut self, pipe: Pipe) {
        self.idle.push(pipe);
    }

    /// Takes note that a pipe was lost together with the octets in it.
    pub(super) fn lost(&mut self) {
        self.made -= 1;
    }

    /// Pipes made, and how many of them are idle.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.made, self.idle.len())
    }

    fn make(&mut self) -> Option<Pipe> {
        if self.made >= PIPES_MAX {
            return None;
        }
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        // A smaller pipe works as well, only with more turns.
        let _smaller = fcntl_setpipe_size(&write, PIPE_ROOM);
        self.made += 1;
        Some(Pipe { read, write })
    }
}
