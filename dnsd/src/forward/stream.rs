//! A connection to an upstream, over TCP or TLS (RFC 7766, RFC 7858), shared by all questions: they are sent as
//! they come and answered in any order.
//!
//! One task owns each connection. It ends when nothing was asked for [`IDLE`], when the upstream closes, stalls
//! or misbehaves, or when the last handle is dropped; questions that are still waiting learn that by
//! [`StreamError::Closed`] and may be asked again on a new connection.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use faros_common::tasks;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;

use super::query::{Match, Query};
use super::random;
use super::record::Reply;
use super::udp::MISMATCHES_MAX;
use super::vitals::Vitals;

/// A connection without questions is closed after this (RFC 7766 section 6.2.3 asks for a few seconds).
pub const IDLE: Duration = Duration::from_secs(10);
/// A connection on which questions wait and nothing arrives is closed after this.
pub const STALL: Duration = Duration::from_secs(4);
/// Time for the handshakes of TCP and TLS together.
pub const CONNECT: Duration = Duration::from_secs(4);
/// Questions waiting on one connection; more are turned away as [`StreamError::Busy`].
pub const PENDING_MAX: usize = 512;
/// Octets read at once.
const READ_BYTES: usize = 4096;

/// What TLS needs.
#[derive(Clone)]
pub struct Tls {
    /// The name that the upstream has to prove.
    pub name: ServerName<'static>,
    /// Roots and protocol versions.
    pub config: Arc<rustls::ClientConfig>,
}

/// Why there is no reply.
#[derive(Clone, Debug)]
pub enum StreamError {
    /// No connection came about.
    Connect(Arc<io::Error>),
    /// The upstream could not prove its name, or broke the rules of TLS.
    Tls(Arc<io::Error>),
    /// The connection ended before the reply.
    Closed,
    /// Too many questions wait.
    Busy,
    /// The reply cannot be read, or is cut short where it must not be.
    Unreadable,
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "cannot connect: {error}"),
            Self::Tls(error) => write!(f, "no trust in the server: {error}"),
            Self::Closed => f.write_str("the connection was closed"),
            Self::Busy => f.write_str("too many questions wait on the connection"),
            Self::Unreadable => f.write_str("the reply cannot be read"),
        }
    }
}

impl std::error::Error for StreamError {}

/// What comes back for a question.
pub type StreamReply = Result<Answered, StreamError>;

/// A reply over a connection.
#[derive(Debug)]
pub enum Answered {
    /// As read.
    Reply(Box<Reply>, Vec<u8>),
    /// The server could not read the query.
    FormatError,
}

/// A handle to a connection.
#[derive(Clone)]
pub struct Connection {
    asks: mpsc::Sender<Ask>,
    failure: Arc<OnceLock<StreamError>>,
}

struct Ask {
    query: Query,
    reply: oneshot::Sender<StreamReply>,
}

impl Connection {
    /// Begins to connect to `upstream`; questions may be asked at once.
    pub fn open(upstream: SocketAddr, tls: Option<Tls>, vitals: Arc<Vitals>) -> Self {
        let (asks, queue) = mpsc::channel(PENDING_MAX);
        let failure = Arc::new(OnceLock::new());
        let told = failure.clone();
        tasks::spawn("dns_upstream", async move {
            match timeout(CONNECT, connect(upstream, tls)).await {
                Ok(Ok(Transport::Tcp(stream))) => Conversation::new(stream, queue, vitals).run().await,
                Ok(Ok(Transport::Tls(stream))) => Conversation::new(*stream, queue, vitals).run().await,
                Ok(Err(error)) => _ = told.set(error),
                Err(_) => _ = told.set(StreamError::Connect(Arc::new(io::ErrorKind::TimedOut.into()))),
            }
        });
        Self { asks, failure }
    }

    /// Whether it can take no more questions.
    pub fn is_closed(&self) -> bool {
        self.asks.is_closed()
    }

    /// Whether both are handles to the same connection.
    pub fn is_same(&self, other: &Self) -> bool {
        self.asks.same_channel(&other.asks)
    }

    /// Asks, and waits for the reply.
    ///
    /// # Errors
    /// What the enum says. The caller bounds the time.
    pub async fn ask(&self, query: Query) -> StreamReply {
        let (reply, answer) = oneshot::channel();
        match self.asks.try_send(Ask { query, reply }) {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(self.closed())),
            Err(mpsc::error::TrySendError::Full(_)) => Err(StreamError::Busy),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(self.closed()),
        }
    }

    fn closed(&self) -> StreamError {
        self.failure.get().cloned().unwrap_or(StreamError::Closed)
    }
}

enum Transport {
    Tcp(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

async fn connect(upstream: SocketAddr, tls: Option<Tls>) -> Result<Transport, StreamError> {
    let refused = |error| StreamError::Connect(Arc::new(error));
    let stream = TcpStream::connect(upstream).await.map_err(refused)?;
    stream.set_nodelay(true).map_err(refused)?;
    let Some(tls) = tls else { return Ok(Transport::Tcp(stream)) };
    match TlsConnector::from(tls.config).connect(tls.name, stream).await {
        Ok(stream) => Ok(Transport::Tls(Box::new(stream))),
        // What rustls refuses comes as invalid data; the rest is the connection's end.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(StreamError::Tls(Arc::new(error))),
        Err(error) => Err(refused(error)),
    }
}

/// The task's side of a connection.
struct Conversation<S> {
    stream: S,
    queue: mpsc::Receiver<Ask>,
    vitals: Arc<Vitals>,
    pending: HashMap<u16, Ask>,
    mismatches: u32,
    unsent: Vec<u8>,
    unread: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conversation<S> {
    fn new(stream: S, queue: mpsc::Receiver<Ask>, vitals: Arc<Vitals>) -> Self {
        vitals.connected(Instant::now());
        Self {
            stream,
            queue,
            vitals,
            pending: HashMap::new(),
            mismatches: 0,
            unsent: Vec::new(),
            unread: Vec::new(),
        }
    }

    async fn run(mut self) {
        let (mut reader, mut writer) = tokio::io::split(&mut self.stream);
        let mut buffer = vec![0; READ_BYTES];
        let mut deadline = Instant::now() + IDLE;
        loop {
            tokio::select! {
                ask = self.queue.recv(), if self.pending.len() < PENDING_MAX => {
                    let Some(ask) = ask else { return };
                    if self.pending.is_empty() {
                        deadline = Instant::now() + STALL;
                    }
                    take(ask, &mut self.pending, &mut self.unsent);
                    self.vitals.sent(Instant::now());
                }
                written = writer.write(&self.unsent), if !self.unsent.is_empty() => {
                    match written {
                        Ok(length) if length > 0 => drop(self.unsent.drain(..length)),
                        _ => return,
                    }
                    if self.unsent.is_empty() && writer.flush().await.is_err() {
                        return;
                    }
                }
                read = reader.read(&mut buffer) => {
                    match read {
                        Ok(length) if length > 0 => self.unread.extend_from_slice(&buffer[..length]),
                        _ => return,
                    }
                    while let Some(message) = frame(&mut self.unread) {
                        if !dispatch(message, &mut self.pending, &self.vitals) {
                            self.mismatches += 1;
                            if self.mismatches >= MISMATCHES_MAX {
                                return;
                            }
                        }
                    }
                    self.pending.retain(|_, ask| !ask.reply.is_closed());
                    deadline = Instant::now() + if self.pending.is_empty() { IDLE } else { STALL };
                }
                () = sleep_until(deadline) => return,
            }
        }
    }
}

/// Queues a question for sending, under an id that no other one waits with.
fn take(mut ask: Ask, pending: &mut HashMap<u16, Ask>, unsent: &mut Vec<u8>) {
    while pending.contains_key(&ask.query.id()) {
        ask.query.set_id(random::id());
    }
    let wire = ask.query.wire();
    unsent.extend_from_slice(&(wire.len() as u16).to_be_bytes());
    unsent.extend_from_slice(wire);
    pending.insert(ask.query.id(), ask);
}

/// The first whole message of `unread`, taken out (RFC 1035 section 4.2.2).
fn frame(unread: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = usize::from(u16::from_be_bytes(*unread.first_chunk()?));
    if unread.len() < 2 + length {
        return None;
    }
    let rest = unread.split_off(2 + length);
    let mut message = std::mem::replace(unread, rest);
    message.drain(..2);
    Some(message)
}

/// Hands a message to who waits for it; false if nobody does.
fn dispatch(message: Vec<u8>, pending: &mut HashMap<u16, Ask>, vitals: &Vitals) -> bool {
    let id = message.first_chunk().map(|octets| u16::from_be_bytes(*octets));
    let Some(ask) = id.and_then(|id| pending.remove(&id)) else {
        vitals.mismatch(super::query::Mismatch::Id);
        return false;
    };
    let reply = match ask.query.matches(message) {
        Match::Reply(reply, wire) => Ok(Answered::Reply(reply, wire)),
        Match::FormatError => Ok(Answered::FormatError),
        Match::Truncated | Match::Unreadable(_) => Err(StreamError::Unreadable),
        Match::Mismatch(mismatch) => {
            vitals.mismatch(mismatch);
            pending.insert(ask.query.id(), ask);
            return false;
        }
    };
    // Who asked may have gone; the reply is then of no use to anybody.
    _ = ask.reply.send(reply);
    true
}
