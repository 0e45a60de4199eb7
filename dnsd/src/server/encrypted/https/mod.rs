//! One connection of DNS over HTTPS (RFC 8484): HTTP/2, or HTTP/1.1 for clients that have nothing better.
//!
//! hyper does the HTTP, with bounds of ours. Deviation: the design names hickory-server for this transport. Its listener
//! answers neither wrong paths nor wrong types (the stream is reset instead), sends no `cache-control`, takes header
//! lists of 16 MB and any number of streams and connections, and writes answers anew, which loses their padding.

mod exchange;
mod freshness;

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::tls::Shared;
use crate::engine::Client;
use crate::server::stream::{End, IDLE_UNDER_PRESSURE};

/// How long a connection may be idle. Browsers come again and again, and a handshake costs more than a place.
pub(super) const IDLE: Duration = Duration::from_secs(60);
/// How long a connection that is being closed may take for what is under way.
const CLOSING_TIME: Duration = Duration::from_secs(5);
/// How long the header of a request may take over HTTP/1.1.
const HEADER_TIME: Duration = Duration::from_secs(5);
/// Questions of one connection at a time. A client is told so and keeps to it, or the connection ends.
const STREAMS_MAX: u32 = 128;
/// The header fields of one request, in octets as HTTP/2 counts them: the longest question in a URI takes some 90 kB,
/// but nobody asks that; a longer list is answered 431.
const HEADER_LIST_MAX: u32 = 16 * 1024;
/// Streams that a client may reset before we have seen to them; with more the connection ends ("rapid reset").
const PENDING_RESETS_MAX: usize = 20;
/// What of one request may be on its way unasked: a whole message.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The same for all requests of a connection.
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// Octets of replies that one stream may hold.
const SEND_BUFFER: usize = 64 * 1024;
/// The buffer of HTTP/1.1: one request's header.
const BUFFER_MAX: usize = 16 * 1024;

/// Serves `client` on `stream` until either side has enough.
pub(super) async fn serve<S>(stream: S, client: Client, shared: &Shared)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Arc::new(Activity::new(Instant::now()));
    let engine = Arc::clone(&shared.engine);
    let (asking, busy) = (Arc::clone(&engine), Arc::clone(&activity));
    let service = service_fn(move |request| {
        let (engine, busy) = (Arc::clone(&asking), Busy::begin(&busy));
        async move {
            let response = exchange::answer(request, &engine, &client).await;
            drop(busy);
            Ok::<_, Infallible>(response)
        }
    });
    let builder = builder();
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    // Set once the connection is being closed: why, and until when.
    let mut closing: Option<(End, Instant)> = None;
    let end = loop {
        let idle = if shared.admission.is_under_pressure() { IDLE_UNDER_PRESSURE } else { IDLE };
        let now = Instant::now();
        let deadline = match closing {
            Some((_, deadline)) => deadline,
            // Pressure may rise before the time is over.
            None => (activity.quiet_since(now) + idle).min(now + IDLE_UNDER_PRESSURE),
        };
        tokio::select! {
            ended = connection.as_mut() => {
                break closing.map_or(if ended.is_ok() { End::Closed } else { End::Broken }, |(end, _)| end);
            }
            () = shared.control.stopping(), if closing.is_none() => {
                connection.as_mut().graceful_shutdown();
                closing = Some((End::Stopped, now + CLOSING_TIME));
            }
            () = tokio::time::sleep_until(deadline) => match closing {
                Some((end, _)) => break end,
                None if Instant::now() >= activity.quiet_since(Instant::now()) + idle => {
                    connection.as_mut().graceful_shutdown();
                    closing = Some((End::Idle, Instant::now() + CLOSING_TIME));
                }
                None => {}
            },
        }
    };
    engine.counters().connection_ended(end.name());
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(BUFFER_MAX)
        .keep_alive(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_LIST_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER);
    builder
}

/// Whether anything is under way on a connection, and since when nothing has been.
struct Activity {
    born: Instant,
    under_way: AtomicUsize,
    /// Milliseconds after `born`.
    quiet_since: AtomicU64,
}

impl Activity {
    fn new(now: Instant) -> Self {
        Self { born: now, under_way: AtomicUsize::new(0), quiet_since: AtomicU64::new(0) }
    }

    fn quiet_since(&self, now: Instant) -> Instant {
        match self.under_way.load(Ordering::Acquire) {
            0 => self.born + Duration::from_millis(self.quiet_since.load(Ordering::Relaxed)),
            _ => now,
        }
    }
}

/// A request that is under way.
struct Busy(Arc<Activity>);

impl Busy {
    fn begin(activity: &Arc<Activity>) -> Self {
        activity.under_way.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let age = Instant::now().saturating_duration_since(self.0.born);
        self.0.quiet_since.store(age.as_millis() as u64, Ordering::Relaxed);
        self.0.under_way.fetch_sub(1, Ordering::Release);
    }
}
