//! The load: several clients, each of which asks when its last answer is there; and what one multiplication costs, which
//! no server can go below.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::str::FromStr;
use std::time::Duration;

use openssl::bn::BigNumContext;
use openssl::ec::{EcGroup, EcKey, EcPoint};
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use socket2::SockRef;

use crate::progress::now;
use crate::stats::{micros, quantile};

/// What the clients saw.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Answers with status 200.
    pub answered: u64,
    /// Other answers, and connections that broke.
    pub failed: u64,
    /// From the first request to the last answer, in seconds.
    pub seconds: f64,
    /// Half of the answers took at most so long, with the connection where that is fresh.
    pub p50_millis: f64,
    /// 99 of 100 answers took at most so long.
    pub p99_millis: f64,
}

impl Load {
    /// Answers per second.
    pub fn rate(&self) -> f64 {
        self.answered as f64 / self.seconds
    }
}

impl fmt::Display for Load {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answered, failed, seconds, p50_millis, p99_millis } = self;
        write!(
            out,
            "load: {answered} answered, {failed} failed, {seconds} s, {p50_millis} p50, {p99_millis} p99"
        )
    }
}

impl FromStr for Load {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let line = text.lines().find_map(|line| line.strip_prefix("load: ")).ok_or(())?;
        let mut numbers =
            line.split(", ").map(|part| part.split(' ').next().unwrap_or_default().parse::<f64>());
        let mut number = || numbers.next().and_then(Result::ok).ok_or(());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was a count")]
        let (answered, failed) = (number()? as u64, number()? as u64);
        Ok(Self { answered, failed, seconds: number()?, p50_millis: number()?, p99_millis: number()? })
    }
}

/// What is asked, and how.
#[derive(Clone, Debug)]
pub struct Asking {
    /// Whom.
    pub server: SocketAddr,
    /// The request, whole.
    pub request: Vec<u8>,
    /// Over one connection per client instead of one per request.
    pub kept: bool,
}

/// A request for `path`: `/rec/…` with a random point in its body, anything else without.
///
/// # Errors
/// The library's.
pub fn request(path: &str) -> Result<Vec<u8>, ErrorStack> {
    if !path.starts_with("/rec") {
        return Ok(format!("GET {path} HTTP/1.1\r\nHost: tang\r\nAccept: */*\r\n\r\n").into_bytes());
    }
    let group = EcGroup::from_curve_name(Nid::SECP521R1)?;
    let key = EcKey::generate(&group)?;
    let mut context = BigNumContext::new()?;
    let (mut x, mut y) = (openssl::bn::BigNum::new()?, openssl::bn::BigNum::new()?);
    key.public_key().affine_coordinates(&group, &mut x, &mut y, &mut context)?;
    let encode = |number: &openssl::bn::BigNum| number.to_vec_padded(66).map(|bytes| base64url(&bytes));
    let body = format!(
        "{{\"alg\":\"ECMR\",\"crv\":\"P-521\",\"key_ops\":[\"deriveKey\"],\"kty\":\"EC\",\"x\":\"{}\",\"y\":\"{}\"}}\n",
        encode(&x)?,
        encode(&y)?
    );
    let length = body.len();
    Ok(format!(
        "POST {path} HTTP/1.1\r\nHost: tang\r\nAccept: */*\r\nContent-Type: application/jwk+json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes())
}

/// Asks for `period` with so many clients at once.
pub fn run(asking: &Asking, clients: usize, period: Duration) -> Load {
    let start = now();
    let seen: Vec<(Vec<f64>, u64)> = std::thread::scope(|scope| {
        let ask = || {
            let (mut times, mut failed) = (Vec::new(), 0);
            let mut connection = None;
            while start.elapsed() < period {
                let begun = now();
                match asking.once(&mut connection) {
                    Ok(200) => times.push(micros(begun.elapsed()) / 1e3),
                    Ok(_) | Err(_) => {
                        failed += 1;
                        connection = None;
                        std::thread::sleep(PAUSE);
                    }
                }
            }
            (times, failed)
        };
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let seconds = start.elapsed().as_secs_f64();
    let times: Vec<f64> = seen.iter().flat_map(|(times, _)| times.iter().copied()).collect();
    let at = |share| quantile(&times, share).unwrap_or_default();
    let failed = seen.iter().map(|(_, failed)| failed).sum();
    Load { answered: times.len() as u64, failed, seconds, p50_millis: at(0.5), p99_millis: at(0.99) }
}

/// After a failure, so that a server that is not there is not asked without end.
const PAUSE: Duration = Duration::from_millis(5);
/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

impl Asking {
    /// One request; the status of its answer.
    fn once(&self, connection: &mut Option<TcpStream>) -> io::Result<u16> {
        let mut stream = match connection.take() {
            Some(stream) => stream,
            None => self.connect()?,
        };
        stream.write_all(&self.request)?;
        let status = receive(&mut stream)?;
        if self.kept {
            *connection = Some(stream);
        }
        Ok(status)
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.server, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // Thousands of ports would otherwise wait for minutes until they can be used again.
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        Ok(stream)
    }
}

/// Reads one answer to its last byte.
fn receive(stream: &mut TcpStream) -> io::Result<u16> {
    let mut bytes = Vec::with_capacity(4096);
    let mut part = [0; 4096];
    loop {
        if let Some((status, length)) = parse(&bytes)
            && bytes.len() >= length
        {
            return Ok(status);
        }
        match stream.read(&mut part)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => bytes.extend_from_slice(&part[..count]),
        }
    }
}

/// The status, and how long the answer is with its head; none while that is not known.
fn parse(bytes: &[u8]) -> Option<(u16, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    Some((status, end + 4 + length.unwrap_or(0)))
}

fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digits = |chunk: &[u8]| {
        let bits =
            chunk.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        let digit = move |place: usize| char::from(ALPHABET[(bits >> (18 - 6 * place)) as usize & 63]);
        (0..=chunk.len()).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(digits).collect()
}

/// What one multiplication of a point of P-521 costs on this machine, by the same library.
#[derive(Clone, Copy, Debug)]
pub struct Multiplication {
    /// The fastest of several batches, per multiplication, in microseconds.
    pub micros: f64,
}

impl Multiplication {
    const BATCHES: u32 = 10;
    const BATCH: u32 = 50;

    /// Measures it; not a number where the library refuses.
    pub fn measure() -> Self {
        Self { micros: Self::try_measure().unwrap_or(f64::NAN) }
    }

    fn try_measure() -> Result<f64, ErrorStack> {
        let group = EcGroup::from_curve_name(Nid::SECP521R1)?;
        let (key, other) = (EcKey::generate(&group)?, EcKey::generate(&group)?);
        let mut context = BigNumContext::new()?;
        let mut product = EcPoint::new(&group)?;
        let mut least = f64::INFINITY;
        for _ in 0..Self::BATCHES {
            let start = now();
            for _ in 0..Self::BATCH {
                product.mul2(&group, other.public_key(), key.private_key(), &mut context)?;
            }
            least = least.min(micros(start.elapsed()) / f64::from(Self::BATCH));
        }
        Ok(least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_again() {
        let load = Load { answered: 100, failed: 2, seconds: 1.5, p50_millis: 0.25, p99_millis: 44.0 };
        assert_eq!(load.to_string().parse(), Ok(load));
        assert_eq!("dnsperf: 7".parse::<Load>(), Err(()));
    }

    #[test]
    fn an_answer_ends_with_its_last_byte() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 3\r\n\r\nabc";
        assert_eq!(parse(answer), Some((200, answer.len())));
        assert_eq!(parse(&answer[..20]), None);
    }

    #[test]
    fn base64url_has_no_padding() {
        assert_eq!(base64url(b""), "");
        assert_eq!(base64url(b"\xff"), "_w");
        assert_eq!(base64url(b"\xff\xfe"), "__4");
        assert_eq!(base64url(b"Man"), "TWFu");
    }
}
