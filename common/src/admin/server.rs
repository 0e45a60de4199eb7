//! Serving the admin socket.
//!
//! One task accepts; each connection is a task of its own, at most [`CONNECTIONS_MAX`] at once. A
//! connection task that ends early loses its reader nothing but that answer. All end with the process.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tracing::{debug, warn};

use super::{AdminRequest, AdminResponse, BODY_BYTES_MAX, OPERATORS, parse_query, percent_decode, platform};
use crate::events::Events;
use crate::tasks;

/// Connections served at once; further ones wait in the socket's queue.
const CONNECTIONS_MAX: usize = 64;
/// How long a peer may take over its request's head.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// Events sent in one piece to a reader.
const EVENTS_PER_PIECE: usize = 256;

/// What the admin socket needs of the daemon behind it.
pub(crate) trait Handler: Send + Sync + 'static {
    /// Answers a verb; `None`: there is none of that name.
    fn handle(self: Arc<Self>, request: AdminRequest) -> impl Future<Output = Option<AdminResponse>> + Send;
    /// The event stream.
    fn events(&self) -> &Events;
}

/// Who may post.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Posters {
    /// The group of operators, where the host has one.
    pub(crate) group: Option<u32>,
    /// The user who started the daemon, where it was an ordinary one.
    pub(crate) user: Option<u32>,
}

/// Binds `path`, replacing a socket that a dead process left there.
pub(crate) fn bind(path: &Path) -> io::Result<UnixListener> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process answers there"));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Accepts for ever.
pub(crate) async fn serve<H: Handler>(listener: UnixListener, posters: Posters, handler: Arc<H>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let handler = Arc::clone(&handler);
                tasks::spawn("admin connection", async move {
                    converse(stream, posters, handler).await;
                    drop(place);
                });
            }
            Err(error) => {
                warn!(event = "admin_accept_failed", %error, "admin socket cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse<H: Handler>(stream: UnixStream, posters: Posters, handler: Arc<H>) {
    let may_post = may_post(&stream, posters);
    let service = service_fn(move |request| {
        let handler = Arc::clone(&handler);
        async move { Ok::<_, Infallible>(respond(request, may_post, handler).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        debug!(%error, "admin connection ended early");
    }
}

fn may_post(stream: &UnixStream, posters: Posters) -> bool {
    let Ok(peer) = stream.peer_cred() else { return false };
    let member = |group| {
        peer.gid() == group
            || platform::peer_groups(stream.as_fd()).is_ok_and(|groups| groups.contains(&group))
    };
    peer.uid() == 0 || posters.user == Some(peer.uid()) || posters.group.is_some_and(member)
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

async fn respond<H: Handler>(request: Request<Incoming>, may_post: bool, handler: Arc<H>) -> Answer {
    let (head, body) = request.into_parts();
    let path = percent_decode(head.uri.path());
    let query = parse_query(head.uri.query().unwrap_or_default());
    match head.method {
        Method::GET => {}
        Method::POST if may_post => {}
        Method::POST => {
            let reason = format!("posting is for root and the group {OPERATORS}");
            return plain(AdminResponse::error(StatusCode::FORBIDDEN, &reason));
        }
        _ => return plain(AdminResponse::error(StatusCode::METHOD_NOT_ALLOWED, "only GET and POST are known here")),
    }
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        return plain(AdminResponse::error(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large or broke off"));
    };
    if head.method == Method::GET && path == "/events" {
        return events(handler.events(), &query);
    }
    let request = AdminRequest { method: head.method, path, query, body: body.to_bytes() };
    let path = request.path.clone();
    plain(match tasks::contain_async("admin request", handler.handle(request)).await {
        Some(Some(response)) => response,
        Some(None) => AdminResponse::error(StatusCode::NOT_FOUND, &format!("there is no {path} here")),
        None => AdminResponse::error(StatusCode::INTERNAL_SERVER_ERROR, "a defect of ours; the log has it"),
    })
}

fn plain(response: AdminResponse) -> Answer {
    let mut answer = Response::new(Full::new(response.body).boxed());
    *answer.status_mut() = response.status;
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(response.content_type));
    answer
}

fn events(events: &Events, query: &std::collections::BTreeMap<String, String>) -> Answer {
    let since = match query.get("since").map(|text| text.parse::<u64>()) {
        None => 0,
        Some(Ok(since)) => since,
        Some(Err(_)) => {
            return plain(AdminResponse::error(StatusCode::BAD_REQUEST, "since takes the number of an event"));
        }
    };
    let follow = query.get("follow").is_some_and(|value| value != "0" && value != "false");
    let (sender, receiver) = mpsc::channel(4);
    tasks::spawn("admin events", stream_events(events.clone(), since, follow, sender));
    let mut answer = Response::new(Pieces(receiver).boxed());
    let lines = header::HeaderValue::from_static("application/x-ndjson");
    answer.headers_mut().insert(header::CONTENT_TYPE, lines);
    answer
}

/// Sends what is there, then, when following, what comes. Ends when the reader goes away.
async fn stream_events(events: Events, mut since: u64, follow: bool, sender: mpsc::Sender<Bytes>) {
    let mut newest = events.newest();
    loop {
        newest.borrow_and_update();
        loop {
            let (missed, batch) = events.after(since, EVENTS_PER_PIECE);
            let Some(last) = batch.last() else { break };
            since = last.seq;
            let mut piece = String::new();
            if missed > 0 {
                piece += &events.missed_line(missed);
                piece.push('\n');
            }
            for event in &batch {
                piece += &event.json;
                piece.push('\n');
            }
            if sender.send(piece.into()).await.is_err() {
                return;
            }
        }
        if !follow {
            return;
        }
        tokio::select! {
            changed = newest.changed() => if changed.is_err() { return },
            () = sender.closed() => return,
        }
    }
}

/// A body that arrives in pieces.
struct Pieces(mpsc::Receiver<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}
