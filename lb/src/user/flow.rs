//! One direction of a connection: octets from one socket to the other, until the end of the stream has been passed on.
//!
//! Readiness is edge-triggered: `readable` and `writable` are believed until a call says otherwise. What was read goes
//! out at once; only what the other side did not take is kept, and then nothing more is read until it is gone. A
//! stream that fills the buffer again and again goes through a pipe instead, without being copied.
//!
//! TCP's urgent octet (RFC 6093) is not passed on: it is left out of the stream, as the socket interface does by itself.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown, sockopt};
use rustix::pipe::{SpliceFlags, splice};

use super::pipes::Pipe;
use super::shared::Core;
use super::{ports, sockets};

/// A read of so much may belong to a long stream.
const LONG_READ: usize = 32 * 1024;
/// So many of them in a row do.
const LONG_READS: u8 = 2;
/// From so many octets on the kernel is told how much it may keep: later it would have offered the sender more already,
/// and what was offered is taken.
const BOUNDED_FROM: u64 = 32 * 1024;
/// Octets moved in one direction until others get their turn.
const TURN: usize = 1024 * 1024;
/// Octets moved into a pipe at a time: also what a peer that does not read leaves there.
const PIECE: usize = 256 * 1024;

/// Why a direction has stopped moving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Until one of the sockets is ready again.
    Waiting,
    /// It has had its turn; there may be more.
    Turn,
    /// The end of the stream has been passed on.
    Finished,
    /// The socket that is read is broken.
    Source(Errno),
    /// The socket that is written is broken.
    Sink(Errno),
}

/// One direction of a connection.
#[derive(Default)]
pub(super) struct Flow {
    /// Octets taken from the source.
    pub(super) octets: u64,
    /// How many of them the counters know of.
    pub(super) told: u64,
    held: Option<Box<Held>>,
    pipe: Option<Pipe>,
    in_pipe: u32,
    long_reads: u8,
    sends: u8,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// The end of the stream has been seen, though perhaps not read up to.
    pub(super) ending: bool,
    /// The end of the stream has been seen, with no error so far: the source has said all it has to say.
    pub(super) closed: bool,
    /// An error has been seen, which reading will meet.
    pub(super) broken: bool,
    /// There is, or was, an urgent octet in the stream.
    pub(super) urgent: bool,
    /// The end of the stream has been read.
    pub(super) ended: bool,
    /// ... and passed on.
    pub(super) finished: bool,
    /// The other direction has finished.
    pub(super) is_last: bool,
    /// Whoever ends first towards a server has a port waiting afterwards.
    waits: bool,
    bounded: bool,
    copies: bool,
}

/// What the sink has not taken yet.
struct Held {
    octets: Vec<u8>,
    at: usize,
    /// A header of ours, which the first octets of the stream may join.
    joins: bool,
}

impl Flow {
    /// From the client, who may have sent something already, to a server that has yet to be found.
    pub(super) fn up() -> Self {
        Self { readable: true, waits: true, ..Self::default() }
    }

    /// From the server to the client. The client's socket sends at once: it has that from the listening one.
    pub(super) fn down() -> Self {
        Self { writable: true, sends: 2, ..Self::default() }
    }

    /// Puts a header before the stream.
    pub(super) fn begin_with(&mut self, header: Vec<u8>) {
        self.held = Some(Box::new(Held { octets: header, at: 0, joins: true }));
    }

    /// Whether something was read that the sink has not taken.
    pub(super) fn holds(&self) -> bool {
        self.held.is_some() || self.in_pipe > 0
    }

    /// Whether it waits for the sink.
    pub(super) fn is_blocked(&self) -> bool {
        !self.writable && (self.holds() || self.readable)
    }

    /// Whether the source has closed in order, and the sink has not got all of it yet.
    pub(super) fn owes(&self, to: BorrowedFd<'_>) -> bool {
        // The end of the stream counts as one.
        self.closed && (!self.finished || sockets::unsent(to) > 1)
    }

    /// Goes on without the source, whose octets and whose end are here, up to that end. The next error counts.
    pub(super) fn outlive_source(&mut self) {
        self.closed = false;
        self.readable = !self.ended;
        self.broken = false;
    }

    /// Whether it is a long stream.
    pub(super) fn is_long(&self) -> bool {
        self.bounded
    }

    /// Gives the pipe back, or up.
    pub(super) fn release(&mut self, core: &mut Core) {
        if let Some(pipe) = self.pipe.take() {
            match self.in_pipe {
                0 => core.pipes.give(pipe),
                _ => core.pipes.lost(),
            }
        }
    }

    /// Moves what can be moved.
    pub(super) fn run(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, core: &mut Core) -> Stop {
        let before = self.octets;
        let stop = loop {
            if self.finished {
                break Stop::Finished;
            }
            if !self.writable {
                break Stop::Waiting;
            }
            let step = if self.in_pipe > 0 {
                self.drain_pipe(to)
            } else if self.held.as_ref().is_some_and(|held| !held.joins) {
                self.send_held(to)
            } else if self.ended && self.held.is_none() {
                self.finish(to)
            } else if !self.readable && self.held.is_none() {
                break Stop::Waiting;
            } else if self.octets - before >= TURN as u64 {
                break Stop::Turn;
            } else if self.long_reads >= LONG_READS && self.may_splice() && self.pipe(core) {
                self.fill_pipe(from)
            } else {
                self.copy(from, to, core)
            };
            if let Err(stop) = step {
                break stop;
            }
        };
        if self.in_pipe == 0 && self.pipe.is_some() && stop != Stop::Turn {
            self.release(core);
        }
        stop
    }

    /// Reads once, and sends what came.
    fn copy(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, core: &mut Core) -> Result<(), Stop> {
        let scratch = &mut core.scratch[..];
        let mut len = 0;
        if let Some(header) = self.held.take() {
            scratch[..header.octets.len()].copy_from_slice(&header.octets);
            len = header.octets.len();
        }
        let mut failed = None;
        while self.readable && !self.ended && len < scratch.len() {
            match recv(from, &mut scratch[len..], RecvFlags::empty()) {
                Ok((0, _)) => self.ended = true,
                Ok((count, _)) => {
                    self.octets += count as u64;
                    len += count;
                    // A short read has emptied the socket: what comes later makes an event, and after the event of
                    // the stream's end nothing comes. Only an urgent octet interrupts a read as well (tcp(7)).
                    let is_empty = len < scratch.len() && !self.urgent;
                    self.readable = !is_empty;
                    self.ended = is_empty && self.ending && !self.broken;
                    self.long_reads = if count >= LONG_READ { self.long_reads.saturating_add(1) } else { 0 };
                }
                Err(Errno::AGAIN) => self.readable = false,
                Err(Errno::INTR) => {}
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        if !self.bounded && self.octets >= BOUNDED_FROM {
            self.bounded = true;
            core.shared.option(&sockets::bound_memory(from, to));
        }
        if len > 0 {
            self.send(to, len, core)?;
        }
        failed.map_or(Ok(()), |error| Err(Stop::Source(error)))
    }

    /// Sends the first `len` octets of the scratch buffer and keeps what is not taken.
    fn send(&mut self, to: BorrowedFd<'_>, len: usize, core: &mut Core) -> Result<(), Stop> {
        self.prompt(to);
        let mut flags = SendFlags::NOSIGNAL;
        // The end of the stream goes into the same segment.
        flags.set(SendFlags::MORE, self.ended);
        let octets = &core.scratch[..len];
        let sent = retry(|| send(to, octets, flags)).or_else(would_block).map_err(Stop::Sink)?;
        if sent < len {
            self.writable = false;
            self.held = Some(Box::new(Held { octets: octets[sent..].to_vec(), at: 0, joins: false }));
        }
        Ok(())
    }

    fn send_held(&mut self, to: BorrowedFd<'_>) -> Result<(), Stop> {
        let Some(held) = &mut self.held else { return Ok(()) };
        let mut flags = SendFlags::NOSIGNAL;
        flags.set(SendFlags::MORE, self.ended);
        let octets = &held.octets[held.at..];
        held.at += retry(|| send(to, octets, flags)).or_else(would_block).map_err(Stop::Sink)?;
        if held.at < held.octets.len() {
            self.writable = false;
        } else {
            self.held = None;
        }
        Ok(())
    }

    fn finish(&mut self, to: BorrowedFd<'_>) -> Result<(), Stop> {
        self.finished = true;
        // Behind the other direction's end the socket is closed at once, which says the same.
        if self.is_last {
            return Ok(());
        }
        if self.waits {
            ports::will_wait(to);
        }
        shutdown(to, Shutdown::Write).map_err(Stop::Sink)?;
        Ok(())
    }

    /// The second send and all later ones are not to wait for an acknowledgement (RFC 896); the first never does, and
    /// many connections have no second one.
    fn prompt(&mut self, to: BorrowedFd<'_>) {
        if self.sends == 1 {
            // Whether accepted or not changes only when octets arrive.
            let _slower = sockopt::set_tcp_nodelay(to, true);
        }
        self.sends = self.sends.saturating_add(1);
    }

    /// Splicing never gets past an urgent octet, which reading leaves out.
    fn may_splice(&self) -> bool {
        !self.copies && !self.urgent
    }

    fn pipe(&mut self, core: &mut Core) -> bool {
        if self.pipe.is_none() {
            self.pipe = core.pipes.take();
            if self.pipe.is_none() {
                // Asks again after as many octets as made it a long stream.
                self.long_reads = 0;
            }
        }
        self.pipe.is_some()
    }

    fn fill_pipe(&mut self, from: BorrowedFd<'_>) -> Result<(), Stop> {
        let Some(pipe) = &self.pipe else { return Ok(()) };
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        match retry(|| splice(from, None, &pipe.write, None, PIECE, flags)) {
            // The end of the stream, or an urgent octet before it that no event has told of yet: reading knows.
            Ok(0) => self.copies = true,
            Ok(count) => {
                self.in_pipe = count as u32;
                self.octets += count as u64;
            }
            Err(Errno::AGAIN) => self.readable = false,
            // A socket that cannot be spliced can be read.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => self.copies = true,
            Err(error) => return Err(Stop::Source(error)),
        }
        Ok(())
    }

    fn drain_pipe(&mut self, to: BorrowedFd<'_>) -> Result<(), Stop> {
        let Some(pipe) = &self.pipe else { return Ok(()) };
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        let len = self.in_pipe as usize;
        let count = retry(|| splice(&pipe.read, None, to, None, len, flags))
            .or_else(would_block)
            .map_err(Stop::Sink)?;
        self.in_pipe -= count as u32;
        self.writable = count > 0;
        Ok(())
    }
}

fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

/// Nothing taken is no error.
fn would_block(error: Errno) -> Result<usize, Errno> {
    if error == Errno::AGAIN { Ok(0) } else { Err(error) }
}
