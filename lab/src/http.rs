//! A small HTTP/1.1 client over any stream: admin sockets, and what light nodes fetch.
//!
//! One request per connection (RFC 9112). It reads bodies by length, in chunks, or to the end.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Header lines beyond this end the conversation.
const HEADERS_MAX: usize = 100;

/// A longer header or chunk-size line ends the conversation.
const LINE_BYTES_MAX: u64 = 16 * 1024;

/// Silence on a connection beyond this is an error.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(15);

/// An answer whose body has not been read yet.
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    stream: BufReader<Box<dyn Read + Send>>,
    framing: Framing,
}

enum Framing {
    Remaining(u64),
    Chunked { remaining: u64, ended: bool },
    ToEnd,
}

impl Answer {
    /// The header `name` (lower case).
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The whole body.
    pub(crate) fn body(mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        self.read_to_end(&mut body)?;
        Ok(body)
    }
}

impl Read for Answer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        match &mut self.framing {
            Framing::ToEnd => self.stream.read(buffer),
            Framing::Remaining(remaining) => read_within(&mut self.stream, remaining, buffer),
            Framing::Chunked { ended: true, .. } => Ok(0),
            Framing::Chunked { remaining, ended } => {
                if *remaining == 0 {
                    *remaining = next_chunk(&mut self.stream)?;
                    if *remaining == 0 {
                        *ended = true;
                        return Ok(0);
                    }
                }
                let count = read_within(&mut self.stream, remaining, buffer)?;
                if *remaining == 0 {
                    line(&mut self.stream)?;
                }
                Ok(count)
            }
        }
    }
}

/// A request over an admin socket.
pub(crate) fn unix(
    socket: &Path,
    method: &str,
    target: &str,
    silence: Option<Duration>,
) -> io::Result<Answer> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(silence)?;
    stream.set_write_timeout(Some(SILENCE_MAX))?;
    let reading = stream.try_clone()?;
    exchange(stream, Box::new(reading), method, target, "faros", &[])
}

/// A request to an `http://address[:port]/path` URL, with further header lines.
pub(crate) fn tcp(method: &str, url: &str, headers: &[(&str, &str)]) -> io::Result<Answer> {
    let (host, target) = split_url(url)?;
    let address = host_address(host)?;
    let stream = TcpStream::connect_timeout(&address, SILENCE_MAX)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.set_write_timeout(Some(SILENCE_MAX))?;
    let reading = stream.try_clone()?;
    exchange(stream, Box::new(reading), method, target, host, headers)
}

fn exchange(
    mut writing: impl Write,
    reading: Box<dyn Read + Send>,
    method: &str,
    target: &str,
    host: &str,
    headers: &[(&str, &str)],
) -> io::Result<Answer> {
    let mut request = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if method == "POST" {
        request.push_str("Content-Length: 0\r\n");
    }
    request.push_str("\r\n");
    writing.write_all(request.as_bytes())?;
    writing.flush()?;
    read_head(reading, method == "HEAD")
}

fn read_head(reading: Box<dyn Read + Send>, no_body: bool) -> io::Result<Answer> {
    let mut stream = BufReader::new(reading);
    let status_line = line(&mut stream)?;
    let status = status_line
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1))
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| broken(&format!("not an HTTP answer: {status_line:?}")))?;
    let mut headers = Vec::new();
    loop {
        let text = line(&mut stream)?;
        if text.is_empty() {
            break;
        }
        if headers.len() == HEADERS_MAX {
            return Err(broken("too many headers"));
        }
        let (name, value) = text.split_once(':').ok_or_else(|| broken("a header without a colon"))?;
        headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
    }
    let find = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let framing = if no_body || status == 204 || status == 304 {
        Framing::Remaining(0)
    } else if find("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        Framing::Chunked { remaining: 0, ended: false }
    } else if let Some(length) = find("content-length") {
        Framing::Remaining(length.parse().map_err(|_| broken("a length that is no number"))?)
    } else {
        Framing::ToEnd
    };
    Ok(Answer { status, headers, stream, framing })
}

fn split_url(url: &str) -> io::Result<(&str, &str)> {
    let rest = url.strip_prefix("http://").ok_or_else(|| broken(&format!("not an http:// URL: {url}")))?;
    Ok(rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash)))
}

fn host_address(host: &str) -> io::Result<SocketAddr> {
    host.parse()
        .or_else(|_| host.parse().map(|address| SocketAddr::new(address, 80)))
        .map_err(|_| broken(&format!("not an address: {host}")))
}

fn read_within(stream: &mut impl Read, remaining: &mut u64, buffer: &mut [u8]) -> io::Result<usize> {
    let want = buffer.len().min(usize::try_from(*remaining).unwrap_or(usize::MAX));
    let count = stream.read(&mut buffer[..want])?;
    if count == 0 && want > 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{remaining} bytes are missing")));
    }
    *remaining -= count as u64;
    Ok(count)
}

fn next_chunk(stream: &mut impl BufRead) -> io::Result<u64> {
    let text = line(stream)?;
    let size = text.split(';').next().unwrap_or_default().trim();
    u64::from_str_radix(size, 16).map_err(|_| broken("a chunk size that is no number"))
}

fn line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut bytes = Vec::new();
    stream.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
    if bytes.pop() != Some(b'\n') {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer broke off in a line"));
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    String::from_utf8(bytes).map_err(|_| broken("a line that is not text"))
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &'static str) -> io::Result<Answer> {
        read_head(Box::new(text.as_bytes()), false)
    }

    #[test]
    fn bodies_are_read_by_length_in_chunks_and_to_the_end() {
        let by_length = answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, more").unwrap();
        assert_eq!(by_length.body().unwrap(), b"hello");
        let chunked = answer(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n",
        );
        assert_eq!(chunked.unwrap().body().unwrap(), b"hello");
        assert_eq!(answer("HTTP/1.1 503 Busy\r\n\r\nwait").unwrap().body().unwrap(), b"wait");
    }

    #[test]
    fn a_body_that_breaks_off_is_an_error() {
        let short = answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello").unwrap();
        assert_eq!(short.body().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(answer("SSH-2.0\r\n").is_err());
    }

    #[test]
    fn urls_are_taken_apart() {
        assert_eq!(split_url("http://10.0.0.1:8080/a?b").unwrap(), ("10.0.0.1:8080", "/a?b"));
        assert_eq!(split_url("http://10.0.0.1").unwrap(), ("10.0.0.1", "/"));
        assert_eq!(host_address("10.0.0.1").unwrap().port(), 80);
        assert!(split_url("https://10.0.0.1/").is_err());
    }
}
