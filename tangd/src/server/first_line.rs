//! The first line of a connection, kept within bounds before the library sees it.
//!
//! The library refuses a line that its buffer cannot hold as a head that is too large (431), and upstream's answer is
//! that the target is too long (414). So a line that goes on and on is ended here: what is left of it is still too long
//! to be served, and is answered as such.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::protocol::TARGET_BYTES_MAX;

/// A line of this length is cut: the target in it is too long already.
pub(super) const LINE_BYTES_MAX: usize = 2 * TARGET_BYTES_MAX;
/// Bytes read at once before the line's end is seen: a connection that goes no further has touched no more memory.
const PIECE_BYTES: usize = 1024;
/// What a cut line ends with.
const END: &[u8] = b" HTTP/1.1\r\nHost: cut\r\nConnection: close\r\n\r\n";

/// A stream whose first line is no longer than [`LINE_BYTES_MAX`].
#[derive(Debug)]
pub(super) struct FirstLine<S> {
    stream: S,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes were read, none of them a line's end.
    Within(usize),
    /// The line was too long; so many bytes of [`END`] have been handed over.
    Cut(usize),
    /// The line has ended: everything is passed on.
    Past,
}

impl<S> FirstLine<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, state: State::Within(0) }
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// Whether the line was cut: then the rest of it may still be on its way.
    pub(super) fn is_cut(&self) -> bool {
        matches!(self.state, State::Cut(_))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FirstLine<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.state {
            State::Past => Pin::new(&mut self.stream).poll_read(context, buffer),
            State::Cut(given) => {
                let rest = &END[given..];
                let now = rest.len().min(buffer.remaining());
                buffer.put_slice(&rest[..now]);
                self.state = State::Cut(given + now);
                Poll::Ready(Ok(()))
            }
            State::Within(before) => {
                let room = buffer.remaining().min(LINE_BYTES_MAX - before).min(PIECE_BYTES);
                let mut limited = ReadBuf::new(buffer.initialize_unfilled_to(room));
                ready!(Pin::new(&mut self.stream).poll_read(context, &mut limited))?;
                let read = limited.filled().len();
                let line_ends = limited.filled().contains(&b'\n');
                buffer.advance(read);
                self.state = if line_ends {
                    State::Past
                } else if before + read >= LINE_BYTES_MAX {
                    State::Cut(0)
                } else {
                    State::Within(before + read)
                };
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FirstLine<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
