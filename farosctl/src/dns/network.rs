//! A question to a name server over the network: UDP, and TCP where the answer was cut short.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use faros_common::clock;
use faros_dnsd::forward::record::{Reply, Rr};
use faros_dnsd::protocol::code::{class, kind, rcode};
use faros_dnsd::protocol::name::Name;
use faros_dnsd::zone::{kind_of, mnemonic, render};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::exit::{Exit, Failure};
use crate::output::harmless;

/// How long each of [`TRIES`] attempts may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Attempts over UDP, which loses packets.
const TRIES: usize = 3;
/// What we say by EDNS that we take over UDP.
const UDP_SIZE: u16 = 1232;
const PORT: u16 = 53;
const HEADER_BYTES: usize = 12;

/// Asks `server`; the answer has the form of dnsd's `GET /query`.
pub(super) async fn ask(server: &str, name: &str, kind: &str) -> Result<Value, Failure> {
    let address = socket(server)
        .ok_or_else(|| Failure::usage(format!("{} is no ADDRESS or ADDRESS:PORT", harmless(server))))?;
    let owner = Name::parse(name)
        .map_err(|error| Failure::usage(format!("{} is no name: {error}", harmless(name))))?;
    let kind = kind_of(&kind.to_ascii_uppercase())
        .ok_or_else(|| Failure::usage(format!("{} is no type of a record; try A", harmless(kind))))?;
    let id = (clock::wall().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos())
        >> 4) as u16;
    let question = question(id, &owner, kind);
    let begun = clock::now();
    let message = exchange(address, &question).await?;
    let micros = clock::now().saturating_duration_since(begun).as_micros();
    let reply = Reply::read(&message)
        .map_err(|error| Failure::failed(format!("{address} answers what cannot be read: {error}")))?;
    let records = |records: &[Rr]| records.iter().map(record).collect::<Vec<Value>>();
    Ok(json!({
        "name": owner.to_string(),
        "type": mnemonic(kind).to_string(),
        "rcode": rcode::mnemonic(reply.rcode),
        "authoritative": reply.authoritative,
        "authentic": reply.authentic,
        "source": address.to_string(),
        "ede": reply.opt.as_ref().and_then(|opt| opt.extended_error).map(|code| json!({ "code": code })),
        "micros": u64::try_from(micros).unwrap_or(u64::MAX),
        "bytes": message.len(),
        "answers": records(&reply.answers),
        "authorities": records(&reply.authorities),
    }))
}

fn record(record: &Rr) -> Value {
    json!({
        "name": record.owner.to_string(),
        "ttl": record.ttl,
        "type": mnemonic(record.kind).to_string(),
        "data": render::rdata(record.kind, &record.rdata),
    })
}

fn socket(server: &str) -> Option<SocketAddr> {
    let bare = server.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(server);
    match bare.parse::<IpAddr>() {
        Ok(address) => Some(SocketAddr::new(address, PORT)),
        Err(_) => server.parse().ok(),
    }
}

/// A query with RD and EDNS.
fn question(id: u16, owner: &Name, kind: u16) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    message.extend_from_slice(owner.as_wire());
    message.extend(kind.to_be_bytes());
    message.extend(class::IN.to_be_bytes());
    message.extend([0, 0, kind::OPT as u8]);
    message.extend(UDP_SIZE.to_be_bytes());
    message.extend([0; 6]);
    message
}

async fn exchange(server: SocketAddr, question: &[u8]) -> Result<Vec<u8>, Failure> {
    let unreachable = |error: std::io::Error| {
        Failure::failed(format!("{server} cannot be asked: {error}; is a name server there?"))
    };
    let local: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0; 16], 0).into() };
    let udp = UdpSocket::bind(local).await.map_err(unreachable)?;
    udp.connect(server).await.map_err(unreachable)?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    for _ in 0..TRIES {
        udp.send(question).await.map_err(unreachable)?;
        let reply = timeout(PATIENCE, async {
            loop {
                let length = udp.recv(&mut buffer).await?;
                if answers(question, &buffer[..length]) {
                    return Ok::<usize, std::io::Error>(length);
                }
            }
        });
        match reply.await {
            Ok(length) => {
                buffer.truncate(length.map_err(unreachable)?);
                let cut_short = buffer[2] & 2 != 0;
                return if cut_short {
                    over_tcp(server, question).await.map_err(unreachable)
                } else {
                    Ok(buffer)
                };
            }
            Err(_) => continue,
        }
    }
    let text = format!("{server} does not answer; is a name server there?");
    Err(Failure::Because(Exit::TimedOut, text))
}

async fn over_tcp(server: SocketAddr, question: &[u8]) -> std::io::Result<Vec<u8>> {
    let exchange = async {
        let mut stream = TcpStream::connect(server).await?;
        let mut framed = (question.len() as u16).to_be_bytes().to_vec();
        framed.extend_from_slice(question);
        stream.write_all(&framed).await?;
        let length = stream.read_u16().await?;
        let mut reply = vec![0; usize::from(length)];
        stream.read_exact(&mut reply).await?;
        if answers(question, &reply) { Ok(reply) } else { Err(std::io::ErrorKind::InvalidData.into()) }
    };
    timeout(PATIENCE * TRIES as u32, exchange).await.unwrap_or(Err(std::io::ErrorKind::TimedOut.into()))
}

/// Whether `reply` is the answer to `question`: same number, same question, and an answer at all.
fn answers(question: &[u8], reply: &[u8]) -> bool {
    let Some(asked) = question.get(HEADER_BYTES..).and_then(|rest| {
        let length = faros_dnsd::protocol::name::wire_len(rest).ok()?;
        rest.get(..length + 4)
    }) else {
        return false;
    };
    let same = reply.get(HEADER_BYTES..).and_then(|rest| rest.get(..asked.len()));
    reply.len() >= HEADER_BYTES
        && reply[..2] == question[..2]
        && reply[2] & 0x80 != 0
        && same.is_some_and(|same| same.eq_ignore_ascii_case(asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_addresses_with_or_without_a_port() {
        assert_eq!(socket("192.0.2.1"), Some(([192, 0, 2, 1], 53).into()));
        assert_eq!(socket("192.0.2.1:5353"), Some(([192, 0, 2, 1], 5353).into()));
        assert_eq!(socket("fd08::1").map(|socket| socket.port()), Some(53));
        assert_eq!(socket("[fd08::1]:5353").map(|socket| socket.port()), Some(5353));
        assert_eq!(socket("ns.example"), None);
    }

    #[test]
    fn only_the_answer_to_the_question_counts() {
        let asked = question(7, &Name::parse("cp1.example.").unwrap(), kind::A);
        let mut reply = asked.clone();
        assert!(!answers(&asked, &reply), "a question is no answer");
        reply[2] |= 0x80;
        assert!(answers(&asked, &reply));
        assert!(!answers(&asked, &reply[..20]));
        reply[1] ^= 1;
        assert!(!answers(&asked, &reply));
    }
}
