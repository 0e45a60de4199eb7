//! One request over a fresh connection.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use super::{Failure, Question, Stage};

/// The head of an answer may not be larger; beyond it the check has failed.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Headers of an answer; beyond it the check has failed.
const HEADERS_MAX: usize = 128;
/// How much of the body is looked at; what is expected must stand within it.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long the rest of an answer that is good already is waited for, so that it is not cut off.
const REST_TIME_MAX: Duration = Duration::from_millis(200);

/// Asks `question` over `stream`.
pub(super) async fn ask<S>(
    stream: S,
    target: SocketAddr,
    question: &Question,
    deadline: Instant,
) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let conversation = async {
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| explain(&error, Stage::Head))?;
        let answer = async {
            let asked = timeout_at(deadline, sender.send_request(request(target, question)?)).await;
            let answer = asked
                .map_err(|_| Failure::TimedOut(Stage::Head))?
                .map_err(|error| explain(&error, Stage::Head))?;
            judge(answer, question, deadline).await
        };
        // Dropped as soon as there is a verdict, and the connection with it.
        tokio::pin!(connection);
        tokio::pin!(answer);
        tokio::select! {
            biased;
            verdict = &mut answer => verdict,
            // What was read before the connection ended is still on its way to the verdict.
            _ = &mut connection => answer.await,
        }
    };
    conversation.await
}

fn request(target: SocketAddr, question: &Question) -> Result<Request<Empty<Bytes>>, Failure> {
    let host = if question.host.is_empty() { target.to_string() } else { question.host.clone() };
    Request::get(&question.path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, concat!("faros-lb/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| Failure::Local(format!("{} cannot be asked for: {error}", question.path)))
}

async fn judge(answer: Response<Incoming>, question: &Question, deadline: Instant) -> Result<(), Failure> {
    let status = answer.status().as_u16();
    if !question.statuses.iter().any(|&(first, last)| (first..=last).contains(&status)) {
        return Err(Failure::Status(status));
    }
    let Some(expected) = &question.body else {
        let rest = read_body(answer.into_body(), |_| false);
        let _ = timeout_at(deadline.min(Instant::now() + REST_TIME_MAX), rest).await;
        return Ok(());
    };
    let found = |seen: &[u8]| contains(seen, expected.as_bytes());
    let read = timeout_at(deadline, read_body(answer.into_body(), found)).await;
    match read.map_err(|_| Failure::TimedOut(Stage::Body))?? {
        true => Ok(()),
        false => Err(Failure::Body),
    }
}

/// Reads at most [`BODY_BYTES_MAX`] until `enough`; whether it was.
async fn read_body(mut body: Incoming, enough: impl Fn(&[u8]) -> bool) -> Result<bool, Failure> {
    let mut seen = BytesMut::new();
    if enough(&seen) {
        return Ok(true);
    }
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| explain(&error, Stage::Body))?;
        let Some(data) = frame.data_ref() else { continue };
        let room = BODY_BYTES_MAX - seen.len();
        seen.extend_from_slice(&data[..data.len().min(room)]);
        if enough(&seen) {
            return Ok(true);
        }
        if seen.len() == BODY_BYTES_MAX {
            break;
        }
    }
    Ok(false)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

fn explain(error: &hyper::Error, stage: Stage) -> Failure {
    if error.is_parse_too_large() {
        return Failure::HeadTooLarge;
    }
    if error.is_parse() {
        return Failure::NotHttp(error.to_string());
    }
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return Failure::Closed(stage);
    }
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    match source.map(std::io::Error::kind) {
        Some(std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe) => Failure::Reset(stage),
        Some(std::io::ErrorKind::UnexpectedEof) => Failure::Closed(stage),
        Some(std::io::ErrorKind::TimedOut) => Failure::TimedOut(stage),
        _ => Failure::NotHttp(error.to_string()),
    }
}
