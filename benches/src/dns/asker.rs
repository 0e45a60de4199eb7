//! One question after another: whether the answers are right, and how long each takes.

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use super::message;
use super::platform::DATAGRAM_BYTES;
use super::zone::Question;
use crate::progress::now;
use crate::stats::micros;

/// What became of a question.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// Until the answer, or until patience ran out, in microseconds.
    pub micros: f64,
    /// The response code; `None`: no answer.
    pub rcode: Option<u8>,
    /// The records of the answer, as type and data.
    pub records: Vec<String>,
}

impl Asked {
    /// Whether the answer is what is true.
    pub fn is_right(&self, question: &Question) -> bool {
        self.rcode == Some(question.rcode) && self.records == question.answers
    }

    /// Reads what [`fmt::Display`] printed.
    pub fn parse(line: &str) -> Option<Self> {
        let mut parts = line.strip_prefix("asked: ")?.splitn(3, ' ');
        let micros = parts.next()?.parse().ok()?;
        let rcode = match parts.next()? {
            "-" => None,
            code => Some(code.parse().ok()?),
        };
        let records = parts.next().unwrap_or_default().split("; ").filter(|record| !record.is_empty());
        Some(Self { micros, rcode, records: records.map(str::to_owned).collect() })
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rcode = self.rcode.map_or_else(|| "-".to_owned(), |code| code.to_string());
        write!(out, "asked: {:.1} {rcode} {}", self.micros, self.records.join("; "))
    }
}

/// How long to wait for answers.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For each.
    pub each: Duration,
    /// For all together; what has not been asked by then is not asked any more.
    pub all: Duration,
}

/// Asks `server` these questions (messages with any id), each when the one before has its answer or has waited for long
/// enough; `done` is told of each.
pub fn run(
    server: SocketAddr,
    questions: &[Vec<u8>],
    patience: Patience,
    mut done: impl FnMut(&Asked),
) -> io::Result<()> {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?;
    let start = now();
    for (index, question) in questions.iter().enumerate() {
        if start.elapsed() > patience.all {
            break;
        }
        let mut message = question.clone();
        let id = (index as u16).wrapping_add(1).to_be_bytes();
        message[..2].copy_from_slice(&id);
        done(&ask(&socket, &message, patience.each)?);
    }
    Ok(())
}

fn ask(socket: &UdpSocket, message: &[u8], patience: Duration) -> io::Result<Asked> {
    let start = now();
    // That nobody listens at the port is told by the next call, whichever that is; no answer is no answer.
    let sent = socket.send(message);
    let mut refused = sent.is_err();
    let mut room = [0; DATAGRAM_BYTES];
    loop {
        let left = patience.saturating_sub(start.elapsed());
        if left.is_zero() || refused {
            return Ok(Asked { micros: micros(start.elapsed()), rcode: None, records: Vec::new() });
        }
        socket.set_read_timeout(Some(left))?;
        let len = match socket.recv(&mut room) {
            Ok(len) => len,
            Err(error) => {
                refused = error.kind() == io::ErrorKind::ConnectionRefused;
                continue;
            }
        };
        let micros = micros(start.elapsed());
        if room[..len].get(..2) != message.get(..2) {
            continue;
        }
        if let Some(answer) = message::read(&room[..len]) {
            return Ok(Asked { micros, rcode: Some(answer.rcode), records: answer.records });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_again() {
        let records = vec!["A 10.0.0.1".to_owned(), "SRV 0 10 389 a.b".to_owned()];
        for asked in [
            Asked { micros: 12.5, rcode: Some(0), records },
            Asked { micros: 7.0, rcode: Some(3), records: Vec::new() },
            Asked { micros: 1e6, rcode: None, records: Vec::new() },
        ] {
            assert_eq!(Asked::parse(&asked.to_string()), Some(asked));
        }
        assert_eq!(Asked::parse("load: 7"), None);
    }

    #[test]
    fn silence_is_no_answer() {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let question = message::query("a.example", "A", false).unwrap();
        let mut seen = Vec::new();
        let each = Duration::from_millis(20);
        let patience = Patience { each, all: each };
        run(silent.local_addr().unwrap(), &[question], patience, |asked| seen.push(asked.clone())).unwrap();
        assert_eq!(seen.len(), 1);
        assert!(seen[0].rcode.is_none() && seen[0].micros >= 20_000.0);
    }
}
