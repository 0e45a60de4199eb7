//! One connection.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use faros_common::daemon::Control;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tracing::debug;

use super::first_line::FirstLine;
use super::lobby::{self, Arrived};
use super::seats::Seat;
use crate::protocol::{BODY_BYTES_MAX, Reason, Reply};

/// The largest head of a request, in bytes: beyond, 431.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Most fields of a head: beyond, 431.
pub(super) const FIELDS_MAX: usize = 64;
/// A body up to here is read from everybody: an exchange has some 300 bytes. Larger ones are refused as too large while
/// [`LARGE_BODIES_MAX`](super::limits::LARGE_BODIES_MAX) of them are being read.
const BODY_BYTES_USUAL: usize = 4096;
/// How long, and how much, is read from a peer that is still sending after the last answer: closing at once would reset
/// the connection and might take the answer from the peer.
const LINGER: (Duration, usize) = (Duration::from_secs(1), 1024 * 1024);

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it is.
    pub address: IpAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

/// What a request is answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status, type and body.
    pub reply: Reply,
    /// In how many seconds it is worth asking again.
    pub retry_after: Option<u32>,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self { reply, retry_after: None }
    }
}

impl From<Reason> for Answer {
    fn from(reason: Reason) -> Self {
        Reply::refused(reason).into()
    }
}

/// What answers requests.
pub trait Desk: Send + Sync + 'static {
    /// Whether this peer is to be served at all. If not, its connection is closed without a word.
    fn serves(&self, peer: Peer) -> bool;

    /// Whether the body matters: otherwise it is not waited for.
    fn wants_body(&self, method: &str, target: &str) -> bool;

    /// The answer to a request. `target` stands as in the request line; a body that was too large comes as such.
    fn answer(
        &self,
        peer: Peer,
        method: &str,
        target: &str,
        body: Result<Bytes, BodyTooLarge>,
    ) -> impl Future<Output = Answer> + Send;
}

/// The body has more than [`BODY_BYTES_MAX`] bytes, or as many as are not affordable at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyTooLarge;

type Answering = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send>>;

/// Serves a connection to its end.
pub(super) async fn serve<D, S>(desk: Arc<D>, stream: S, peer: Peer, seat: Seat, control: &Control)
where
    D: Desk,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let arrived = tokio::select! {
        arrived = lobby::arrive(stream, control.stopping()) => arrived,
        () = seat.given_up() => return,
    };
    match arrived {
        // Apart, so that whoever is in the lobby does not occupy its room.
        Ok(Some(stream)) => Box::pin(converse(desk, stream, peer, seat, control)).await,
        Ok(None) => {}
        Err(error) => {
            debug!(event = "connection_broken", address = %peer.address, %error, "a connection broke");
        }
    }
}

async fn converse<D, S>(desk: Arc<D>, stream: Arrived<S>, peer: Peer, seat: Seat, control: &Control)
where
    D: Desk,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let visit = Arc::new(Visit { seat, unread: AtomicBool::new(false) });
    let answering = {
        let visit = Arc::clone(&visit);
        service_fn(move |request| -> Answering {
            let (desk, visit) = (Arc::clone(&desk), Arc::clone(&visit));
            Box::pin(async move { Ok(visit.respond(&*desk, request, peer).await) })
        })
    };
    let mut connection = http1::Builder::new()
        // Time is kept by the seats, for all connections at once.
        .header_read_timeout(None)
        .half_close(true)
        .max_headers(FIELDS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(FirstLine::new(stream)), answering);
    let mut draining = false;
    let result = loop {
        tokio::select! {
            biased;
            result = poll_fn(|context| connection.poll_without_shutdown(context)) => break result,
            () = visit.seat.given_up() => return,
            () = control.stopping(), if !draining => {
                draining = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    if let Err(error) = result {
        debug!(event = "connection_broken", address = %peer.address, %error, "a connection broke");
        if !error.is_parse() {
            return;
        }
        // The library has answered it.
        visit.unread.store(true, Ordering::Relaxed);
    }
    let stream = connection.into_parts().io.into_inner();
    visit.unread.fetch_or(stream.is_cut(), Ordering::Relaxed);
    visit.close(stream.into_inner().into_inner()).await;
}

/// A connection's state beside the library's.
struct Visit {
    seat: Seat,
    /// A body was left unread.
    unread: AtomicBool,
}

impl Visit {
    async fn respond<D: Desk>(
        &self,
        desk: &D,
        request: Request<Incoming>,
        peer: Peer,
    ) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let method = head.method.as_str();
        let target = head.uri.path_and_query().map_or("", |target| target.as_str());
        let body = if desk.wants_body(method, target) {
            self.read(body).await
        } else {
            if !body.is_end_stream() {
                self.unread.store(true, Ordering::Relaxed);
            }
            Ok(Ok(Bytes::new()))
        };
        self.seat.at_work();
        let answer = match body {
            Ok(body) => desk.answer(peer, method, target, body).await,
            // Broken off, or chunks that are none: whatever is answered, nobody may be there to read it.
            Err(_) => Reason::NotJson.into(),
        };
        self.seat.waiting();
        let close = self.unread.load(Ordering::Relaxed);
        response(answer, close)
    }

    /// The whole body.
    async fn read(&self, mut body: Incoming) -> Result<Result<Bytes, BodyTooLarge>, ()> {
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        let (mut whole, mut place) = (Vec::new(), None);
        let mut takes = |bytes: usize| {
            if bytes > BODY_BYTES_USUAL && place.is_none() {
                place = self.seat.place_for_large_body();
            }
            bytes <= BODY_BYTES_USUAL || bytes <= BODY_BYTES_MAX && place.is_some()
        };
        if !takes(announced) {
            self.unread.store(true, Ordering::Relaxed);
            return Ok(Err(BodyTooLarge));
        }
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                self.unread.store(true, Ordering::Relaxed);
                return Err(());
            };
            let Ok(data) = frame.into_data() else { continue };
            if !takes(whole.len() + data.len()) {
                self.unread.store(true, Ordering::Relaxed);
                return Ok(Err(BodyTooLarge));
            }
            whole.extend_from_slice(&data);
        }
        Ok(Ok(whole.into()))
    }

    /// Ends the connection so that the last answer arrives.
    async fn close<S: AsyncRead + AsyncWrite + Unpin>(&self, mut stream: S) {
        let linger = async {
            stream.shutdown().await?;
            if !self.unread.load(Ordering::Relaxed) {
                return Ok(());
            }
            // Not part of the task, which each connection has all the time.
            let mut rest = vec![0; 4096];
            let mut total = 0;
            while total < LINGER.1 {
                match stream.read(&mut rest).await? {
                    0 => break,
                    bytes => total += bytes,
                }
            }
            std::io::Result::Ok(())
        };
        // Whatever goes wrong here, there is nobody left to tell.
        let _ = tokio::time::timeout(LINGER.0, linger).await;
    }
}

fn response(answer: Answer, close: bool) -> Response<Full<Bytes>> {
    let Answer { reply, retry_after } = answer;
    let length = reply.body.len();
    let mut response = Response::new(Full::new(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if length == 0 {
        // Also in answer to HEAD, where the library would leave it out.
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    if let Some(kind) = reply.content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    if let Some(seconds) = retry_after {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    if close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
