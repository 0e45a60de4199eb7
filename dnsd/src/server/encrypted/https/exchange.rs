//! One request over HTTPS and its response (RFC 8484).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use faros_common::tasks;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Body;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use super::freshness;
use crate::engine::{Client, Engine, MESSAGE_BYTES_MAX};

/// The path of the URI template `/dns-query{?dns}`.
pub(super) const PATH: &str = "/dns-query";
/// The type of a DNS message (RFC 8484 section 6).
const MESSAGE: &str = "application/dns-message";
/// How long the body of a request may take.
const BODY_TIME: Duration = Duration::from_secs(5);

/// Why a request is no question, as the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) text: &'static str,
}

const NO_MESSAGE: Refusal = Refusal {
    status: StatusCode::BAD_REQUEST,
    text: "the parameter dns is to hold one DNS message in base64url without padding (RFC 8484 section 4.1)\n",
};
const NOT_DNS: Refusal =
    Refusal { status: StatusCode::BAD_REQUEST, text: "this is no DNS request (RFC 1035 section 4.1)\n" };
const TOO_LONG: Refusal =
    Refusal { status: StatusCode::PAYLOAD_TOO_LARGE, text: "a DNS message has 65535 octets at most\n" };
const TOO_SLOW: Refusal =
    Refusal { status: StatusCode::REQUEST_TIMEOUT, text: "the request took too long to come\n" };
const CUT: Refusal = Refusal { status: StatusCode::BAD_REQUEST, text: "the request broke off\n" };
const DEFECT: Refusal =
    Refusal { status: StatusCode::INTERNAL_SERVER_ERROR, text: "a defect of the server; please report it\n" };

/// Answers one request.
pub(super) async fn answer<B>(
    request: Request<B>,
    engine: &Arc<Engine>,
    client: &Client,
) -> Response<Full<Bytes>>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let message = match question(request).await {
        Ok(message) => message,
        Err(refusal) => return refuse(refusal),
    };
    match tasks::contain_async("question over https", engine.answer(&message, client)).await {
        Some(Some(reply)) => reply_with(reply),
        Some(None) => refuse(NOT_DNS),
        None => refuse(DEFECT),
    }
}

/// The DNS message in a request.
async fn question<B>(request: Request<B>) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if request.uri().path() != PATH {
        return Err(Refusal {
            status: StatusCode::NOT_FOUND,
            text: "DNS over HTTPS is at /dns-query{?dns} (RFC 8484)\n",
        });
    }
    match *request.method() {
        Method::GET => in_query(request.uri().query()),
        Method::POST => {
            if !is_message(request.headers().get(CONTENT_TYPE)) {
                return Err(Refusal {
                    status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    text: "the body is to be of type application/dns-message (RFC 8484 section 4.1)\n",
                });
            }
            in_body(request.into_body()).await
        }
        _ => Err(Refusal {
            status: StatusCode::METHOD_NOT_ALLOWED,
            text: "ask by GET or POST (RFC 8484 section 4.1)\n",
        }),
    }
}

/// The parameter `dns`, of which there is one.
pub(super) fn in_query(query: Option<&str>) -> Result<Bytes, Refusal> {
    let mut values = query.unwrap_or_default().split('&').filter_map(|part| part.strip_prefix("dns="));
    let (Some(value), None) = (values.next(), values.next()) else { return Err(NO_MESSAGE) };
    // Padding is not allowed, and harmless.
    let message = BASE64URL_NOPAD.decode(value.trim_end_matches('=').as_bytes()).map_err(|_| NO_MESSAGE)?;
    if message.is_empty() { Err(NO_MESSAGE) } else { Ok(message.into()) }
}

async fn in_body<B>(body: B) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if body.size_hint().lower() > MESSAGE_BYTES_MAX as u64 {
        return Err(TOO_LONG);
    }
    let body = Limited::new(body, MESSAGE_BYTES_MAX).collect();
    match tokio::time::timeout(BODY_TIME, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(TOO_LONG),
        Ok(Err(_)) => Err(CUT),
        Err(_) => Err(TOO_SLOW),
    }
}

/// Whether a content type is that of DNS messages; parameters do not count.
pub(super) fn is_message(kind: Option<&HeaderValue>) -> bool {
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(MESSAGE)
}

fn reply_with(reply: Vec<u8>) -> Response<Full<Bytes>> {
    let cache = match freshness::seconds(&reply) {
        Some(seconds) => {
            HeaderValue::try_from(format!("max-age={seconds}")).expect("digits are good in a header")
        }
        None => HeaderValue::from_static("no-store"),
    };
    let mut response = Response::new(Full::new(reply.into()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MESSAGE));
    response.headers_mut().insert(CACHE_CONTROL, cache);
    response
}

fn refuse(refusal: Refusal) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(refusal.text.as_bytes())));
    *response.status_mut() = refusal.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if refusal.status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, POST"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn asked(method: Method, uri: &str, kind: Option<&str>, body: &[u8]) -> Result<Bytes, u16> {
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(kind) = kind {
            request = request.header(CONTENT_TYPE, kind);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body))).unwrap();
        question(request).await.map_err(|refusal| refusal.status.as_u16())
    }

    #[tokio::test]
    async fn the_example_of_the_rfc_is_read_either_way() {
        // RFC 8484 section 4.1.1: www.example.com A.
        const TEXT: &str = "AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB";
        let wire = b"\0\0\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\x03com\0\0\x01\0\x01";
        let get = |uri: String| async move { asked(Method::GET, &uri, None, b"").await };
        assert_eq!(get(format!("https://x/dns-query?dns={TEXT}")).await.unwrap(), &wire[..]);
        assert_eq!(get(format!("/dns-query?a=b&dns={TEXT}&c")).await.unwrap(), &wire[..]);
        let post = asked(Method::POST, "/dns-query", Some("Application/DNS-message; x=y"), wire).await;
        assert_eq!(post.unwrap(), &wire[..]);
    }

    #[tokio::test]
    async fn what_is_no_question_is_told_why() {
        let kind = Some(MESSAGE);
        for (expected, got) in [
            (404, asked(Method::GET, "/", None, b"").await),
            (404, asked(Method::GET, "/dns-query/?dns=AAAA", None, b"").await),
            (404, asked(Method::POST, "/resolve", kind, b"x").await),
            (405, asked(Method::PUT, "/dns-query", kind, b"x").await),
            (405, asked(Method::HEAD, "/dns-query?dns=AAAA", None, b"").await),
            (415, asked(Method::POST, "/dns-query", None, b"x").await),
            (415, asked(Method::POST, "/dns-query", Some("application/dns-json"), b"x").await),
            (415, asked(Method::POST, "/dns-query", Some("application/dns-messages"), b"x").await),
            (400, asked(Method::GET, "/dns-query", None, b"").await),
            (400, asked(Method::GET, "/dns-query?dns=", None, b"").await),
            (400, asked(Method::GET, "/dns-query?dns=A", None, b"").await),
            (400, asked(Method::GET, "/dns-query?dns=AA+A", None, b"").await),
            (400, asked(Method::GET, "/dns-query?dns=AAAA&dns=AAAA", None, b"").await),
            (413, asked(Method::POST, "/dns-query", kind, &vec![0; MESSAGE_BYTES_MAX + 1]).await),
        ] {
            assert_eq!(got.unwrap_err(), expected);
        }
    }
}
