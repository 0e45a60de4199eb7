//! `tang-show-keys`.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde_json::Value as Json;

use super::{Early, fail, print};
use crate::protocol::jwk::PublicJwk;
use crate::protocol::thumbprint;

const USAGE: &str = "Usage: tang-show-keys [<port> [<endpoint>]]";
/// The port without one on the command line, as upstream has it.
const PORT: u16 = 80;
/// How long the server may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest advertisement that is read.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

pub(super) fn main(parser: lexopt::Parser) -> ExitCode {
    let (port, endpoint) = match read(parser) {
        Ok(read) => read,
        Err(early) => return early.end(),
    };
    match fetch(port, &endpoint).and_then(|body| signing_keys(&body)) {
        Ok(thumbprints) => {
            thumbprints.iter().for_each(print);
            ExitCode::SUCCESS
        }
        Err(error) => fail(format!("tang-show-keys: {error}")),
    }
}

fn read(mut parser: lexopt::Parser) -> Result<(u16, String), Early> {
    let usage = || Early::Usage(USAGE.to_owned());
    let mut values = Vec::new();
    while let Some(argument) = parser.next().map_err(|_| usage())? {
        match argument {
            lexopt::Arg::Value(value) => values.push(value.into_string().map_err(|_| usage())?),
            lexopt::Arg::Short('h') | lexopt::Arg::Long("help") => return Err(Early::Told(USAGE.to_owned())),
            _ => return Err(usage()),
        }
    }
    let port = values.first().map_or(Ok(PORT), |port| port.parse()).map_err(|_| usage())?;
    let endpoint = values.get(1).map_or("", String::as_str).trim_matches('/').to_owned();
    if values.len() > 2 || endpoint.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(usage());
    }
    Ok((port, endpoint))
}

/// The advertisement of the server on this host.
fn fetch(port: u16, endpoint: &str) -> Result<Vec<u8>, String> {
    let refused = |error: std::io::Error| format!("localhost:{port}: {error}");
    let mut last = std::io::Error::other("there is no such host");
    let mut connected = None;
    for address in ("localhost", port).to_socket_addrs().map_err(refused)? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                connected = Some(stream);
                break;
            }
            Err(error) => last = error,
        }
    }
    let mut stream = connected.ok_or(last).map_err(refused)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(refused)?;
    let path = if endpoint.is_empty() { "/adv".to_owned() } else { format!("/{endpoint}/adv") };
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(refused)?;
    let answer = read_answer(stream).map_err(refused)?;
    let body = answer.windows(4).position(|end| end == b"\r\n\r\n").map(|at| &answer[at + 4..]);
    let status = answer.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
    match body {
        Some(body) if status == b"200" => Ok(body.to_vec()),
        Some(_) => Err(format!("localhost:{port}{path}: status {}", String::from_utf8_lossy(status))),
        None => Err(format!("localhost:{port}{path}: not an answer of an HTTP server")),
    }
}

/// The head, and as much of a body as it promises: older servers keep the connection open.
fn read_answer(stream: TcpStream) -> std::io::Result<Vec<u8>> {
    let mut stream = stream.take(ANSWER_BYTES_MAX);
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let bytes = stream.read(&mut piece)?;
        answer.extend_from_slice(&piece[..bytes]);
        if bytes == 0 || is_whole(&answer) {
            return Ok(answer);
        }
    }
}

fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|end| end == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    length.is_some_and(|length| answer.len() >= end + 4 + length)
}

/// The S256 thumbprints of the keys in an advertisement that sign.
fn signing_keys(advertisement: &[u8]) -> Result<Vec<String>, String> {
    #[derive(Deserialize)]
    struct Jws {
        payload: String,
    }
    #[derive(Deserialize)]
    struct Keys {
        keys: Vec<BTreeMap<String, Json>>,
    }
    let malformed = "the server's advertisement is malformed";
    let jws: Jws = serde_json::from_slice(advertisement).map_err(|_| malformed)?;
    let payload = BASE64URL_NOPAD.decode(jws.payload.as_bytes()).map_err(|_| malformed)?;
    let keys: Keys = serde_json::from_slice(&payload).map_err(|_| malformed)?;
    let signs = |key: &BTreeMap<String, Json>| {
        let operations = key.get("key_ops").and_then(Json::as_array);
        operations.is_some_and(|operations| operations.iter().any(|name| name == "verify"))
    };
    let keys = keys.keys.into_iter().filter(signs);
    keys.map(|key| {
        let key = PublicJwk::try_from(key).map_err(|error| format!("a key in the advertisement: {error}"))?;
        Ok(thumbprint::usual(&thumbprint::all(key.point())).to_owned())
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{KeySet, Loaded, PrivateJwk, SourcedKey};

    #[test]
    fn the_signing_keys_of_an_advertisement_are_shown_and_no_others() {
        let pair = PrivateJwk::pair().unwrap();
        let expected = pair[0].thumbprint();
        let keys = pair.map(|jwk| SourcedKey { file: format!("{}.jwk", jwk.thumbprint()), jwk });
        let set = KeySet::new(Loaded::Open { keys: keys.into(), skipped: Vec::new() });
        assert_eq!(signing_keys(&set.advertisement().unwrap()).unwrap(), [expected]);
    }

    #[test]
    fn an_answer_is_whole_when_its_length_says_so() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        assert!(is_whole(answer));
        assert!((0..answer.len()).all(|end| !is_whole(&answer[..end])));
    }
}
