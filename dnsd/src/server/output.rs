//! Replies on their way into a stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;
use tokio::time::Instant;

use super::stream::OUTPUT_PAUSE;

/// A buffer that grew beyond this is given back when it is empty.
const KEPT_BYTES: usize = 4 * 1024;

/// Replies that the client has not read yet.
pub(super) struct Output {
    bytes: Vec<u8>,
    /// How much of them the client's system has taken.
    written: usize,
    /// Since when the client has been expected to read.
    pub(super) since: Instant,
    /// TLS holds records back until it is told to let them go.
    unflushed: bool,
}

impl Output {
    pub(super) fn new(now: Instant) -> Self {
        Self { bytes: Vec::new(), written: 0, since: now, unflushed: false }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    pub(super) fn push(&mut self, message: &[u8]) {
        // Nothing that makes messages makes longer ones.
        let Ok(length) = u16::try_from(message.len()) else { return };
        if self.bytes.is_empty() {
            self.since = Instant::now();
        }
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(message);
    }

    /// Writes what is there, if anything is. A client that reads gets its time again for each [`OUTPUT_PAUSE`] octets.
    pub(super) fn poll<S: AsyncWrite>(
        &mut self,
        mut stream: Pin<&mut S>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.len() == 0 {
            if !self.unflushed {
                return Poll::Pending;
            }
            ready!(stream.poll_flush(context))?;
            self.unflushed = false;
            return Poll::Ready(Ok(()));
        }
        let count = ready!(stream.as_mut().poll_write(context, &self.bytes[self.written..]))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.unflushed = true;
        self.written += count;
        if self.len() == 0 {
            self.bytes.clear();
            self.written = 0;
            if self.bytes.capacity() > KEPT_BYTES {
                self.bytes = Vec::new();
            }
        } else if self.written >= OUTPUT_PAUSE {
            self.bytes.drain(..self.written);
            self.written = 0;
            self.since = Instant::now();
        }
        Poll::Ready(Ok(()))
    }
}
