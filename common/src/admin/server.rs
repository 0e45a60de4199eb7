//! Serving the admin socket.
//!
//! One task accepts; each connection is a task of its own, at most [`CONNECTIONS_MAX`] at once. Where all
//! places are taken, whoever has been there longest without an answer under way makes room, so that no crowd
//! of idle connections keeps an operator out. Each follower of the events has a second task that gathers them.
//! A connection task that ends early loses its reader nothing but that answer. All end with the process.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;
use tracing::{debug, warn};

use super::impatient::Impatient;
use super::{AdminRequest, AdminResponse, BODY_BYTES_MAX, OPERATORS, parse_query, percent_decode, platform};
use crate::events::Events;
use crate::tasks;

/// Connections served at once; beyond it the longest idle one is closed for the new one.
const CONNECTIONS_MAX: usize = 320;
/// Readers that follow the events at once; a further one is refused with 503.
const FOLLOWERS_MAX: usize = 256;
/// How long a peer may take over its request's head, and stay without a request.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a peer may take over its request's body; beyond it the answer is 408.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);
/// A peer that takes nothing of what is to be written for so long is given up: who was stopped for longer
/// asks again, and resumes the events by number.
const STALL_TIME_MAX: Duration = Duration::from_secs(60);
/// A new connection that finds every place taken by an answer under way is looked at again after this time.
const PLACE_RETRY: Duration = Duration::from_millis(20);
/// What is buffered of a connection in either direction; a larger head is answered with 431.
const BUFFER_BYTES_MAX: usize = 32 * 1024;
/// Events looked at together, and the size beyond which a piece of them is sent.
const EVENTS_PER_PIECE: usize = 256;
const PIECE_BYTES: usize = 16 * 1024;

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
    if answers(path)? {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process answers there"));
    }
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
        Ok(metadata) if metadata.file_type().is_socket() => std::fs::remove_file(path)?,
        Ok(_) => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is something else; remove it"));
        }
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Binds `path` in the place of a process that answers there still and that this one succeeds: whoever asks finds the one
/// or the other at any time.
pub(crate) fn replace(path: &Path) -> io::Result<UnixListener> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = Path::new(&beside);
    let listener = bind(beside)?;
    std::fs::rename(beside, path)?;
    Ok(listener)
}

/// Which file stands at a path: a process that ends must not remove its successor's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SocketFile {
    device: u64,
    inode: u64,
}

impl SocketFile {
    /// What stands at `path` now.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        let metadata = path.symlink_metadata().ok()?;
        Some(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// Whether a process listens at `path`, also one that is too busy to accept.
fn answers(path: &Path) -> io::Result<bool> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    let connected = socket.connect(&SockAddr::unix(path)?);
    Ok(connected.map_or_else(|error| error.kind() == io::ErrorKind::WouldBlock, |()| true))
}

/// A connection being served.
struct Place {
    task: AbortHandle,
    /// Whether it has no answer under way, so that closing it loses nothing that was asked for.
    idle: Arc<AtomicBool>,
}

/// Accepts for ever.
pub(crate) async fn serve<H: Handler>(listener: UnixListener, posters: Posters, handler: Arc<H>) {
    let followers = Arc::new(Semaphore::new(FOLLOWERS_MAX));
    let mut places = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                make_room(&mut places).await;
                let idle = Arc::new(AtomicBool::new(true));
                let desk = Desk {
                    may_post: may_post(&stream, posters),
                    handler: Arc::clone(&handler),
                    followers: Arc::clone(&followers),
                    idle: Arc::clone(&idle),
                };
                let task = tasks::spawn("admin connection", converse(stream, desk)).abort_handle();
                places.push_back(Place { task, idle });
            }
            Err(error) => {
                warn!(event = "admin_accept_failed", %error, "admin socket cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Waits until there is a place; closes the longest idle connection if need be.
async fn make_room(places: &mut VecDeque<Place>) {
    loop {
        places.retain(|place| !place.task.is_finished());
        if places.len() < CONNECTIONS_MAX {
            return;
        }
        match places.iter().position(|place| place.idle.load(Ordering::Relaxed)) {
            Some(index) => {
                if let Some(place) = places.remove(index) {
                    place.task.abort();
                }
            }
            None => tokio::time::sleep(PLACE_RETRY).await,
        }
    }
}

/// What answers the requests of one connection.
struct Desk<H> {
    may_post: bool,
    handler: Arc<H>,
    followers: Arc<Semaphore>,
    idle: Arc<AtomicBool>,
}

async fn converse<H: Handler>(stream: UnixStream, desk: Desk<H>) {
    let desk = Arc::new(desk);
    let service = service_fn(move |request| {
        let desk = Arc::clone(&desk);
        async move { Ok::<_, Infallible>(desk.respond(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(Impatient::new(stream, STALL_TIME_MAX)), service);
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

impl<H: Handler> Desk<H> {
    async fn respond(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let path = percent_decode(head.uri.path());
        let query = parse_query(head.uri.query().unwrap_or_default());
        // A HEAD is answered as a GET; the body is left out on the way.
        let (method, head_only) = match head.method {
            Method::HEAD => (Method::GET, true),
            method => (method, false),
        };
        match method {
            Method::GET => {}
            Method::POST | Method::DELETE if self.may_post => {}
            Method::POST | Method::DELETE => {
                let reason = format!("posting is for root and the group {OPERATORS}");
                return plain(AdminResponse::error(StatusCode::FORBIDDEN, &reason));
            }
            _ => {
                let reason = "only GET, POST and DELETE are known here";
                let mut answer = plain(AdminResponse::error(StatusCode::METHOD_NOT_ALLOWED, reason));
                answer
                    .headers_mut()
                    .insert(header::ALLOW, HeaderValue::from_static("DELETE, GET, HEAD, POST"));
                return answer;
            }
        }
        let body = Limited::new(body, BODY_BYTES_MAX).collect();
        let body = match tokio::time::timeout(BODY_TIME_MAX, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => {
                let reason = format!("the body is larger than {BODY_BYTES_MAX} bytes or broke off");
                return plain(AdminResponse::error(StatusCode::PAYLOAD_TOO_LARGE, &reason));
            }
            Err(_) => {
                let reason = format!("the body did not arrive within {} s", BODY_TIME_MAX.as_secs());
                return plain(AdminResponse::error(StatusCode::REQUEST_TIMEOUT, &reason));
            }
        };
        if method == Method::GET && path == "/events" {
            return self.events(&query, head_only);
        }
        self.idle.store(false, Ordering::Relaxed);
        let request = AdminRequest { method, path: path.clone(), query, body };
        let handled = tasks::contain_async("admin request", Arc::clone(&self.handler).handle(request)).await;
        self.idle.store(true, Ordering::Relaxed);
        plain(match handled {
            Some(Some(response)) => response,
            Some(None) => AdminResponse::error(StatusCode::NOT_FOUND, &format!("there is no {path} here")),
            None => {
                AdminResponse::error(StatusCode::INTERNAL_SERVER_ERROR, "a defect of ours; the log has it")
            }
        })
    }

    fn events(&self, query: &BTreeMap<String, String>, head_only: bool) -> Answer {
        let since = match query.get("since").map(|text| text.parse::<u64>()) {
            None => 0,
            Some(Ok(since)) => since,
            Some(Err(_)) => {
                return plain(AdminResponse::error(
                    StatusCode::BAD_REQUEST,
                    "since takes the number of an event",
                ));
            }
        };
        let follow = !head_only && query.get("follow").is_some_and(|value| value != "0" && value != "false");
        let place = if follow {
            let Ok(place) = Arc::clone(&self.followers).try_acquire_owned() else {
                let reason = format!("{FOLLOWERS_MAX} readers follow the events already; end one of them");
                return plain(AdminResponse::error(StatusCode::SERVICE_UNAVAILABLE, &reason));
            };
            self.idle.store(false, Ordering::Relaxed);
            Some(place)
        } else {
            None
        };
        let (sender, receiver) = mpsc::channel(1);
        let events = self.handler.events().clone();
        tasks::spawn("admin events", async move {
            stream_events(events, since, follow, sender).await;
            drop(place);
        });
        let mut answer = Response::new(Pieces(receiver).boxed());
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        answer
    }
}

fn plain(response: AdminResponse) -> Answer {
    let mut answer = Response::new(Full::new(response.body).boxed());
    *answer.status_mut() = response.status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(response.content_type));
    answer
}

/// Sends what is there, then, when following, what comes. Ends when the reader goes away.
async fn stream_events(events: Events, mut since: u64, follow: bool, sender: mpsc::Sender<Bytes>) {
    let mut newest = events.newest();
    // Who does not follow gets what was there when they asked, however fast more comes.
    let end = if follow { u64::MAX } else { *newest.borrow() };
    loop {
        newest.borrow_and_update();
        loop {
            let (missed, batch) = events.after(since, EVENTS_PER_PIECE);
            let mut piece = String::new();
            if missed > 0 {
                piece += &events.missed_line(missed);
                piece.push('\n');
            }
            let mut taken = false;
            for event in batch.iter().take_while(|event| event.seq <= end) {
                piece += &event.json;
                piece.push('\n');
                since = event.seq;
                taken = true;
                if piece.len() >= PIECE_BYTES {
                    break;
                }
            }
            if !taken {
                break;
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
