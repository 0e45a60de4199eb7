//! Reading and posting to a daemon's admin socket.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use crate::tasks;

/// How long a daemon may take to answer a request that is no stream.
pub const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// The largest answer that is read; beyond it the answer is [`ClientError::TooLarge`].
pub const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why a daemon could not be asked.
#[derive(Debug)]
pub enum ClientError {
    /// Nobody listens: the daemon does not run, or the socket is not ours to open.
    Connect {
        /// The socket.
        socket: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The conversation broke off.
    Http(hyper::Error),
    /// No answer within [`ANSWER_TIME_MAX`], or the shorter time that the asker allowed.
    TimedOut,
    /// An answer beyond [`ANSWER_BYTES_MAX`].
    TooLarge,
    /// An answer that is not JSON where JSON was expected.
    Json(serde_json::Error),
    /// The daemon refused, with its status and reason.
    Refused(StatusCode, String),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect { socket, source } if source.kind() == io::ErrorKind::PermissionDenied => write!(
                f,
                "may not open {}: become root or join the group {}",
                socket.display(),
                super::READERS
            ),
            Self::Connect { socket, source } => {
                write!(f, "no daemon answers at {}: {source} (is it running?)", socket.display())
            }
            Self::Http(error) => write!(f, "the daemon's answer broke off: {error}"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::TooLarge => write!(f, "the answer is larger than {ANSWER_BYTES_MAX} bytes"),
            Self::Json(error) => write!(f, "the answer is not JSON: {error}"),
            Self::Refused(status, reason) => write!(f, "{reason} ({status})"),
        }
    }
}

impl std::error::Error for ClientError {}

/// The socket of the daemon `name` below `run_dir`.
pub fn socket_path(run_dir: &Path, name: &str) -> PathBuf {
    run_dir.join(format!("{name}.sock"))
}

/// `GET path_and_query`, answered in JSON.
///
/// # Errors
/// See [`ClientError`]; every status but 2xx is [`ClientError::Refused`].
pub async fn get(socket: &Path, path_and_query: &str) -> Result<serde_json::Value, ClientError> {
    json(&request(socket, Method::GET, path_and_query, Bytes::new()).await?)
}

/// `POST path_and_query` with `body`, answered in JSON.
///
/// # Errors
/// As [`get`].
pub async fn post(
    socket: &Path,
    path_and_query: &str,
    body: Bytes,
) -> Result<serde_json::Value, ClientError> {
    json(&request(socket, Method::POST, path_and_query, body).await?)
}

/// `GET path_and_query`, answered in text (`/metrics`).
///
/// # Errors
/// As [`get`].
pub async fn get_text(socket: &Path, path_and_query: &str) -> Result<String, ClientError> {
    let body = request(socket, Method::GET, path_and_query, Bytes::new()).await?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// A stream of lines, as `/events?follow=1` gives.
#[derive(Debug)]
pub struct Lines {
    body: Incoming,
    buffered: BytesMut,
}

impl Lines {
    /// The next line without its newline; `None` when the daemon has ended the stream.
    ///
    /// # Errors
    /// The connection broke, or a line exceeds [`ANSWER_BYTES_MAX`].
    pub async fn next(&mut self) -> Result<Option<String>, ClientError> {
        loop {
            if let Some(end) = self.buffered.iter().position(|&byte| byte == b'\n') {
                let line = self.buffered.split_to(end + 1);
                return Ok(Some(String::from_utf8_lossy(&line[..end]).into_owned()));
            }
            if self.buffered.len() > ANSWER_BYTES_MAX {
                return Err(ClientError::TooLarge);
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(ClientError::Http(error)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffered.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}

/// `GET path_and_query` as a stream of lines.
///
/// # Errors
/// As [`get`].
pub async fn follow(socket: &Path, path_and_query: &str) -> Result<Lines, ClientError> {
    let response = send(socket, Method::GET, path_and_query, Bytes::new()).await?;
    if !response.status().is_success() {
        let status = response.status();
        return Err(refusal(status, &collect(response).await?));
    }
    Ok(Lines { body: response.into_body(), buffered: BytesMut::new() })
}

async fn request(socket: &Path, method: Method, path: &str, body: Bytes) -> Result<Bytes, ClientError> {
    let exchange = async {
        let response = send(socket, method, path, body).await?;
        let status = response.status();
        let body = collect(response).await?;
        if status.is_success() { Ok(body) } else { Err(refusal(status, &body)) }
    };
    tokio::time::timeout(ANSWER_TIME_MAX, exchange).await.unwrap_or(Err(ClientError::TimedOut))
}

async fn send(
    socket: &Path,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<Response<Incoming>, ClientError> {
    let connect_error = |source| ClientError::Connect { socket: socket.to_owned(), source };
    let stream = UnixStream::connect(socket).await.map_err(connect_error)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(ClientError::Http)?;
    tasks::spawn("admin client", connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(hyper::header::HOST, "faros")
        .body(Full::new(body))
        .map_err(|error| connect_error(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    sender.send_request(request).await.map_err(ClientError::Http)
}

async fn collect(response: Response<Incoming>) -> Result<Bytes, ClientError> {
    let limited = http_body_util::Limited::new(response.into_body(), ANSWER_BYTES_MAX);
    let collected = limited.collect().await;
    collected.map(http_body_util::Collected::to_bytes).map_err(|error| {
        match error.downcast::<hyper::Error>() {
            Ok(error) => ClientError::Http(*error),
            Err(_) => ClientError::TooLarge,
        }
    })
}

fn refusal(status: StatusCode, body: &Bytes) -> ClientError {
    let reason = serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|value| Some(value.get("error")?.as_str()?.to_owned()))
        .unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    ClientError::Refused(status, reason)
}

fn json(body: &Bytes) -> Result<serde_json::Value, ClientError> {
    serde_json::from_slice(body).map_err(ClientError::Json)
}
