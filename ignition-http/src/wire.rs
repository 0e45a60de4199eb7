//! The byte stream between a socket and the HTTP library.
//!
//! Heads are read strictly ([`crate::protocol::head`]) before the library sees them. A refused one is
//! replaced by a stand-in, and its verdict waits for the service, which answers it and closes: so the
//! answers of earlier requests on the same connection still leave first. The wire also knows for how long
//! the peer has kept us waiting.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use faros_common::clock;
use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use crate::protocol::head::{Refusal, Scan, Scanner, leading_empty_lines};

/// What a connection may keep us waiting for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a head, and for a body, from its first byte to its last.
    pub request: Duration,
    /// For the next request.
    pub idle: Duration,
    /// Within this time a peer that is being sent something takes at least [`Patience::rate_bytes`].
    pub rate_time: Duration,
    /// See [`Patience::rate_time`].
    pub rate_bytes: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            rate_time: Duration::from_secs(60),
            rate_bytes: 60 * 1024,
        }
    }
}

/// What the library gets in place of a refused head.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nHost: refused\r\n\r\n";
/// Most empty lines, in bytes, that may come before a request line.
const EMPTY_LINES_BYTES_MAX: usize = 8;
/// Bytes read from the socket at once.
const READ_BYTES: usize = 4096;
/// How long, and how much, is read from a peer that is still sending after the last answer: closing at once
/// would reset the connection and might take the answer from the peer.
const LINGER: (Duration, usize) = (Duration::from_secs(1), 1024 * 1024);

/// Why a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Impatience {
    /// A head or a body takes too long.
    Request,
    /// Nothing was asked for a while.
    Idle,
    /// The peer takes what it asked for too slowly.
    Rate,
}

impl Impatience {
    /// The value of the `reason` label; an idle connection is nothing to count.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Request => Some("slow_request"),
            Self::Idle => None,
            Self::Rate => Some("slow_reader"),
        }
    }
}

/// A connection's stream.
pub struct Wire {
    stream: TcpStream,
    buffer: BytesMut,
    scanner: Scanner,
    phase: Phase,
    empty_bytes: usize,
    shared: Arc<WireState>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// A head is being collected.
    Head,
    /// This many bytes of a body are passed through.
    Body(u64),
    /// So many bytes of the buffer are handed over, then comes something else.
    Release(usize, Next),
    /// A head was refused: the library gets nothing more.
    Refused,
}

/// What comes after the bytes that are handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// A head.
    Head,
    /// So many bytes of a body.
    Body(u64),
    /// Nothing.
    Refused,
}

/// What the connection's task and service know of its wire.
#[derive(Debug)]
pub struct WireState {
    verdicts: Mutex<VecDeque<Result<(), Refusal>>>,
    /// Answers being made or sent.
    pub busy: Arc<AtomicUsize>,
    waits: Mutex<Waits>,
}

#[derive(Debug)]
struct Waits {
    request_since: Option<Instant>,
    last_activity: Instant,
    write_blocked: bool,
    written: u64,
    /// When the present measurement of the peer's rate began, and how much was written before it.
    rate_since: Instant,
    rate_from: u64,
}

impl WireState {
    fn new() -> Arc<Self> {
        let now = clock::now();
        let waits = Waits {
            request_since: None,
            last_activity: now,
            write_blocked: false,
            written: 0,
            rate_since: now,
            rate_from: 0,
        };
        Arc::new(Self { verdicts: Mutex::default(), busy: Arc::default(), waits: Mutex::new(waits) })
    }

    /// The verdict on the request that the service is given next.
    pub fn next_verdict(&self) -> Result<(), Refusal> {
        let next = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        // The library cannot know of a head that was not scanned.
        next.unwrap_or(Err(Refusal::Malformed))
    }

    /// Whether the peer has kept us waiting for too long. Asked about once a second.
    pub fn judge(&self, patience: &Patience, now: Instant) -> Option<Impatience> {
        let mut waits = self.waits();
        if waits.request_since.is_some_and(|since| now.duration_since(since) >= patience.request) {
            return Some(Impatience::Request);
        }
        if waits.write_blocked {
            if now.duration_since(waits.rate_since) >= patience.rate_time {
                if waits.written - waits.rate_from < patience.rate_bytes {
                    return Some(Impatience::Rate);
                }
                (waits.rate_since, waits.rate_from) = (now, waits.written);
            }
            return None;
        }
        (waits.rate_since, waits.rate_from) = (now, waits.written);
        let idle = self.busy.load(Ordering::Acquire) == 0 && waits.request_since.is_none();
        (idle && now.duration_since(waits.last_activity) >= patience.idle).then_some(Impatience::Idle)
    }

    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, verdict: Result<(), Refusal>) {
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner).push_back(verdict);
    }

    fn on_read(&self, in_request: bool) {
        let now = clock::now();
        let mut waits = self.waits();
        waits.last_activity = now;
        waits.request_since = in_request.then(|| waits.request_since.unwrap_or(now));
    }

    fn on_write(&self, result: &Poll<io::Result<usize>>) {
        let mut waits = self.waits();
        match result {
            Poll::Ready(Ok(bytes)) => {
                waits.written += *bytes as u64;
                waits.last_activity = clock::now();
                waits.write_blocked = false;
            }
            Poll::Pending => waits.write_blocked = true,
            Poll::Ready(Err(_)) => {}
        }
    }
}

impl Wire {
    /// A wire over `stream`.
    pub fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            scanner: Scanner::default(),
            phase: Phase::Head,
            empty_bytes: 0,
            shared: WireState::new(),
        }
    }

    /// What others need to know of it.
    pub fn state(&self) -> Arc<WireState> {
        Arc::clone(&self.shared)
    }

    /// Ends the connection so that the last answer arrives.
    pub async fn close(mut self) {
        let linger = async {
            self.stream.shutdown().await?;
            let mut rest = [0; READ_BYTES];
            let mut total = 0;
            while total < LINGER.1 {
                match self.stream.read(&mut rest).await? {
                    0 => break,
                    bytes => total += bytes,
                }
            }
            io::Result::Ok(())
        };
        // Whatever goes wrong here, there is nobody left to tell.
        let _ = tokio::time::timeout(LINGER.0, linger).await;
    }

    /// Looks at what has been collected; true: something is to be handed over.
    fn scan(&mut self) -> bool {
        let empty = leading_empty_lines(&self.buffer);
        self.buffer.advance(empty);
        self.empty_bytes += empty;
        let scan = match self.empty_bytes > EMPTY_LINES_BYTES_MAX {
            true => Scan::Refused(Refusal::Malformed),
            // A lone CR may be the first half of an empty line.
            false if self.buffer[..] == *b"\r" => Scan::Incomplete,
            false => self.scanner.on_bytes(&self.buffer),
        };
        match scan {
            Scan::Incomplete => return false,
            Scan::Complete(head) => {
                self.shared.push(Ok(()));
                let next = if head.body_bytes == 0 { Next::Head } else { Next::Body(head.body_bytes) };
                self.phase = Phase::Release(head.bytes, next);
            }
            Scan::Refused(refusal) => {
                self.shared.push(Err(refusal));
                self.buffer.clear();
                self.buffer.extend_from_slice(STAND_IN);
                self.phase = Phase::Release(STAND_IN.len(), Next::Refused);
            }
        }
        (self.scanner, self.empty_bytes) = (Scanner::default(), 0);
        true
    }

    /// Reads from the socket into the buffer; 0: the peer sends no more.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut bytes = [0; READ_BYTES];
        let mut room = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut room))?;
        self.buffer.extend_from_slice(room.filled());
        Poll::Ready(Ok(room.filled().len()))
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut out: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = &mut *self;
        loop {
            let phase = wire.phase;
            match phase {
                Phase::Refused => return Poll::Ready(Ok(())),
                Phase::Release(bytes, next) => {
                    let now = bytes.min(out.remaining());
                    out.put_slice(&wire.buffer[..now]);
                    wire.buffer.advance(now);
                    wire.phase = match next {
                        _ if now < bytes => Phase::Release(bytes - now, next),
                        Next::Head => Phase::Head,
                        Next::Body(left) => Phase::Body(left),
                        Next::Refused => Phase::Refused,
                    };
                    wire.shared.on_read(matches!(wire.phase, Phase::Body(_)));
                    return Poll::Ready(Ok(()));
                }
                Phase::Head if !wire.buffer.is_empty() && wire.scan() => {}
                Phase::Head => {
                    if ready!(wire.poll_fill(context))? == 0 {
                        // The rest of a head that will never be whole is nobody's request.
                        return Poll::Ready(Ok(()));
                    }
                    wire.shared.on_read(true);
                }
                Phase::Body(_) if wire.buffer.is_empty() => {
                    if ready!(wire.poll_fill(context))? == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
                Phase::Body(left) => {
                    let bytes = left.min(wire.buffer.len() as u64);
                    let next = if bytes == left { Next::Head } else { Next::Body(left - bytes) };
                    wire.phase = Phase::Release(bytes as usize, next);
                }
            }
        }
    }
}

impl Write for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.shared.on_write(&result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.shared.on_write(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
