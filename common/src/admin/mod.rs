//! The admin socket: HTTP/1.1 with JSON over `<run-dir>/<name>.sock`.
//!
//! Every daemon answers `GET /status`, `GET /metrics`, `GET /events` (`?since=N` resumes, `?follow=1`
//! streams), `GET /explain` and `POST /reload`, and adds verbs of its own. Reading is for whoever may open
//! the socket (its group); posting is for root, for members of the group [`OPERATORS`], and, where the
//! daemon was started by an ordinary user, for that user.

pub mod client;
mod impatient;
mod platform;
pub(crate) mod server;

use std::collections::BTreeMap;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde::Serialize;

/// The group whose members may read.
pub const READERS: &str = "faros";
/// The group whose members may change things.
pub const OPERATORS: &str = "faros-operators";
/// The largest body of a request; beyond it the answer is 413.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// A request to one of a daemon's own verbs.
#[derive(Clone, Debug)]
pub struct AdminRequest {
    /// The method; anything but GET was already allowed for this peer.
    pub method: Method,
    /// The decoded path, with its leading slash.
    pub path: String,
    /// The decoded query; of a repeated key the last one.
    pub query: BTreeMap<String, String>,
    /// The body, at most [`BODY_BYTES_MAX`].
    pub body: Bytes,
}

impl AdminRequest {
    /// The path in parts: `/leases/192.0.2.1` is `["leases", "192.0.2.1"]`.
    pub fn segments(&self) -> Vec<&str> {
        self.path.split('/').filter(|part| !part.is_empty()).collect()
    }

    /// A value of the query.
    pub fn query(&self, key: &str) -> Option<&str> {
        self.query.get(key).map(String::as_str)
    }
}

/// What a verb answers.
#[derive(Clone, Debug)]
pub struct AdminResponse {
    /// The status.
    pub status: StatusCode,
    /// The type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
}

impl AdminResponse {
    /// 200 with `value`.
    pub fn json(value: &impl Serialize) -> Self {
        Self::json_with(StatusCode::OK, value)
    }

    /// `status` with `value`.
    pub fn json_with(status: StatusCode, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self { status, content_type: "application/json", body: body.into() },
            Err(error) => {
                Self::error(StatusCode::INTERNAL_SERVER_ERROR, &format!("cannot be shown: {error}"))
            }
        }
    }

    /// A refusal: `{"error": message}`. The message says what is wrong and what to do.
    pub fn error(status: StatusCode, message: &str) -> Self {
        let body = serde_json::json!({ "error": message }).to_string();
        Self { status, content_type: "application/json", body: body.into() }
    }
}

/// Decodes `a=1&b=%20x+y`. What is no valid percent-encoding stays as it is.
pub fn parse_query(query: &str) -> BTreeMap<String, String> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decode(&key.replace('+', " ")), percent_decode(&value.replace('+', " ")))
        })
        .collect()
}

/// Decodes percent-encoding; invalid UTF-8 becomes replacement characters.
pub fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while let Some(&byte) = bytes.get(index) {
        let escaped = (byte == b'%').then(|| text.get(index + 1..index + 3)).flatten();
        // The parser of numbers would take a sign.
        let escaped = escaped.filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()));
        // Digits alone: a number may also begin with a plus sign.
        let escaped = escaped.filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(value) => {
                decoded.push(value);
                index += 3;
            }
            None => {
                decoded.push(byte);
                index += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded() {
        let query = parse_query("mac=52%3A54&name=a+b&flag&odd=%zz%4&sign=%+1");
        assert_eq!(percent_decode("%+e"), "%+e");
        assert_eq!(query["mac"], "52:54");
        assert_eq!(query["name"], "a b");
        assert_eq!(query["flag"], "");
        assert_eq!(query["odd"], "%zz%4");
        assert_eq!(query["sign"], "% 1");
    }
}
