//! Requests byte by byte.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a client of the tests waits for an answer.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The fields: name in lower case, and value.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// A request with a body as `clevis` sends it.
pub fn post(path: &str, body: &[u8]) -> Vec<u8> {
    request("POST", path, "Content-Type: application/jwk+json\r\n", Some(body))
}

/// A request without a body.
pub fn get(path: &str) -> Vec<u8> {
    request("GET", path, "", None)
}

/// Any request; `fields` end with a line break each.
pub fn request(method: &str, path: &str, fields: &str, body: Option<&[u8]>) -> Vec<u8> {
    let length = body.map_or_else(String::new, |body| format!("Content-Length: {}\r\n", body.len()));
    let head = format!("{method} {path} HTTP/1.1\r\nHost: tang\r\n{fields}{length}\r\n");
    [head.as_bytes(), body.unwrap_or_default()].concat()
}

/// Sends `request` over a connection of its own, from the namespace of this thread.
///
/// # Errors
/// The connection's, or an answer that is none.
pub fn exchange(server: SocketAddr, request: &[u8]) -> io::Result<Reply> {
    let mut stream = connect(server)?;
    // A server may answer before it has read all of a body that it does not want.
    let sent = stream.write_all(request);
    receive(&mut stream, request.starts_with(b"HEAD")).map_err(|error| sent.err().unwrap_or(error))
}

/// A connection that waits for [`PATIENCE`].
///
/// # Errors
/// The system's.
pub fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads one answer; `bodiless`: to HEAD.
///
/// # Errors
/// The connection's, or an answer that is none.
pub fn receive(stream: &mut TcpStream, bodiless: bool) -> io::Result<Reply> {
    let mut bytes = Vec::new();
    loop {
        let reply = receive_any(stream, &mut bytes, bodiless)?;
        if reply.status != 100 {
            return Ok(reply);
        }
    }
}

/// One answer, be it an interim one; what was read beyond it stays in `bytes`.
fn receive_any(stream: &mut TcpStream, bytes: &mut Vec<u8>, bodiless: bool) -> io::Result<Reply> {
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        more(stream, bytes)?;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status =
        lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).ok_or_else(|| odd(&head))?;
    let fields: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut reply = Reply { status, fields, body: Vec::new() };
    bytes.drain(..end + 4);
    let length = match reply.field("content-length") {
        _ if bodiless || status == 100 => 0,
        Some(text) => text.parse().map_err(|_| odd(&head))?,
        None => 0,
    };
    while bytes.len() < length {
        more(stream, bytes)?;
    }
    reply.body = bytes.drain(..length).collect();
    Ok(reply)
}

fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut part = [0; 4096];
    match stream.read(&mut part)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        length => {
            bytes.extend_from_slice(&part[..length]);
            Ok(())
        }
    }
}

fn odd(head: &str) -> io::Error {
    io::Error::other(format!("no answer of HTTP: {head}"))
}
